"""What ``sample`` of PyMC takes besides, and what that is here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from vibayes.arguments import shown

__all__ = ["of_nutpie", "unknown_settings_told"]

WITHOUT_EFFECT = frozenset(
    {
        "blas_cores",
        "jitter_max_retries",
        "keep_warning_stat",
        "mp_ctx",
        "n_init",
        "progressbar_theme",
        "quiet",
    }
)
"""Arguments on which no draw of nutpie depends."""

REFUSED = {
    "callback": "nutpie calls no function at each draw",
    "compile_kwargs": "give backend=",
    "step": "all free variables are drawn by NUTS",
    "trace": "draws are returned",
}
"""Why an argument can only be None."""

UNKNOWN = re.compile(r"(?:Unknown settings attribute: |Settings' object has no attribute ')(\w+)")
"""What nutpie says of an argument that it does not know, in newer and older versions."""

OF_NUTS = ("target_accept", "max_treedepth")


def of_nutpie(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``nutpie.sample`` among those of ``sample``, PyMC's understood.

    Parameters
    ----------
    given
        Arguments by name, those of PyMC among them: ``nuts_sampler``, ``nuts``,
        ``nuts_sampler_kwargs`` and those that have no effect, or no meaning, here.

    Returns
    -------
    dict
        Arguments of nutpie; and ``target_accept`` and ``max_treedepth``, where ``nuts`` or
        ``nuts_sampler_kwargs`` has them.

    Raises
    ------
    ValueError
        If another sampler is asked for.
    TypeError
        If an argument has no meaning here, or is given twice.
    """
    rest = {name: value for name, value in given.items() if name not in WITHOUT_EFFECT}
    sampler = rest.pop("nuts_sampler", None)
    if sampler not in (None, "nutpie"):
        raise ValueError(f"nuts_sampler must be 'nutpie', by which all draws are, got {sampler!r}")
    for name, reason in REFUSED.items():
        if rest.pop(name, None):
            raise TypeError(f"sample has no argument {name}: {reason}")
    for group in ("nuts", "nuts_sampler_kwargs"):
        own = rest.pop(group, None) or {}
        if not isinstance(own, Mapping):
            raise TypeError(f"{group} must be a dict of arguments, got {shown(own)}")
        for name, value in own.items():
            if group == "nuts" and name not in OF_NUTS:
                raise TypeError(f"nuts takes {' and '.join(OF_NUTS)}, got {name!r}")
            if name in rest:
                raise TypeError(f"{name} is given twice, the second time in {group}")
            rest[name] = value
    return rest


@contextmanager
def unknown_settings_told() -> Iterator[None]:
    """Turn nutpie's error for a name that it does not know into one of an argument."""
    try:
        yield
    except AttributeError as error:
        found = UNKNOWN.search(str(error))
        if found is None:
            raise
        raise TypeError(
            f"sample has no argument {found[1]!r}; others than its own go to nutpie.sample"
        ) from None
