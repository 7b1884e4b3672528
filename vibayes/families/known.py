"""Which families there are, and how they are found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vibayes.arguments import shown
from vibayes.exceptions import ParametrizationError, UnknownNameError
from vibayes.registry import Registry

__all__ = ["FAMILIES", "choose_family"]

FAMILIES: Registry[Any] = Registry("family")
"""All families by short name and alias."""


def choose_family(vfam: str | None, params: Mapping[str, Any] | None) -> type:
    """Return the family of a name, or the one that has parameters of these names."""
    known = ", ".join(sorted(FAMILIES))
    if vfam is not None:
        if not isinstance(vfam, str):
            raise TypeError(f"Group: vfam must be the name of a family, got {shown(vfam)}")
        if vfam.lower() in FAMILIES:
            return FAMILIES[vfam]
        for family in FAMILIES.values():
            if family.accepts(vfam):
                return family
        raise UnknownNameError(
            f"vfam {vfam!r} is unknown; known are {known}, and formulas of flows"
        )
    if params is None:
        raise ValueError(f"Group: give vfam (one of {known}) or params")
    if not isinstance(params, Mapping):
        raise TypeError(f"Group: params must be a dict of parameters by name, got {shown(params)}")
    for family in FAMILIES.values():
        if family.param_names == set(params):
            return family
    raise ParametrizationError(
        f"params: no family has the parameters {sorted(map(str, params))}; known families are "
        f"{known}"
    )
