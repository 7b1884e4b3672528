"""Results that also give the draws of a variable by its name.

The class depends on the generation of ArviZ, and either base is slow to import: so this module is
imported by the first results that are made.
"""

from __future__ import annotations

from typing import Any

from vibayes.posterior.generation import arviz_generation, stack_draws

if arviz_generation() == 0:
    from arviz import InferenceData as ArvizResults
else:
    from xarray import DataTree as ArvizResults

__all__ = ["Results"]


class Results(ArvizResults):
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
        if "posterior" not in self:
            return []
        return [str(name) for name in self["posterior"].data_vars]

    def __getitem__(self, key: Any) -> Any:
        try:
            return super().__getitem__(key)
        except KeyError:
            if key not in self.varnames:
                raise
        return stack_draws(self["posterior"][key])
