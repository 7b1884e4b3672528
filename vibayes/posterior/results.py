"""Results that also give the draws of a variable by its name.

The class derives from what the installed ArviZ takes. Either base is slow to import: so the class
is made for the first results that there are.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from vibayes.posterior.generation import arviz_generation
from vibayes.records.stacked import stacked_draws

__all__ = ["DrawsByName", "results_class"]


class DrawsByName:
    """What ArviZ takes, with PyMC3's way to read draws beside ArviZ's own.

    ``results["mu"]`` is an array of all draws of ``mu``, those of all chains along the first axis.
    The name of a group, or a path such as ``"posterior/mu"``, is looked up first and gives what it
    always gives. In all else this is the ``InferenceData`` or ``DataTree`` that it derives from.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     mu = vb.Normal("mu", shape=3)
    ...     results = vb.MeanField().sample(100)
    >>> results.varnames
    ['mu']
    >>> results["mu"].shape
    (100, 3)
    >>> dict(results.posterior["mu"].sizes)
    {'chain': 1, 'draw': 100, 'mu_dim_0': 3}
    """

    __slots__ = ()  # as xarray asks of its subclasses

    @property
    def varnames(self) -> list[str]:
        """Names of the variables of the posterior."""
        groups: Any = self
        if "posterior" not in groups:
            return []
        return [str(name) for name in groups["posterior"].data_vars]

    def __getitem__(self, key: Any) -> Any:
        try:
            return super().__getitem__(key)  # type: ignore[misc]
        except KeyError:
            if key not in self.varnames:
                raise
        return stacked_draws(self["posterior"][key])


@cache
def results_class() -> type[Any]:
    """Return the class of results: ArviZ's own, with PyMC3's way to read draws."""
    if arviz_generation() == 0:
        from arviz import InferenceData as ArvizResults
    else:
        from xarray import DataTree as ArvizResults

    class Results(DrawsByName, ArvizResults):
        __doc__ = DrawsByName.__doc__
        __slots__ = ()
        __qualname__ = "Results"  # by which unpickling finds it

    return Results


def __getattr__(name: str) -> Any:
    if name == "Results":
        return results_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
