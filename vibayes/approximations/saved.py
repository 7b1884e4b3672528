"""Approximations as a file records them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vibayes.approximations.base import Approximation
from vibayes.approximations.single_group import SingleGroupApproximation
from vibayes.exceptions import StorageError
from vibayes.families.base import Group
from vibayes.model.core import Model
from vibayes.storage.approximations import groups_from, restore

__all__ = ["approximation_from"]


def approximation_from(
    record: Mapping[str, Any], arrays: Mapping[str, np.ndarray], model: Model, path: Any
) -> Approximation:
    """Return the approximation of a record.

    Raises
    ------
    StorageError
        If its class, a family or a flow is not known here, or parameters are missing.
    """
    groups = groups_from(record, arrays, model, path)
    cls = class_of(record, groups, path)
    approx = cls.__new__(cls)  # its groups are there already
    Approximation.__init__(
        approx,
        groups,
        model=model,
        cost_part_grad_scale=record["cost_part_grad_scale"],
        scale_cost_to_minibatch=record["scale_cost_to_minibatch"],
    )
    restore(approx, approx.outcome, record, arrays, path)
    return approx


def class_of(record: Mapping[str, Any], groups: list[Group], path: Any) -> type[Approximation]:
    """Return the class of an approximation: of that name and module, or of that name alone.

    A module may have been renamed, or be the script that runs, since the file was written.
    """
    name, module = record["class"], record.get("module", "")
    if name == Approximation.__name__:
        return Approximation
    found = [cls for cls in Approximation.known if cls.__name__ == name]
    found += [of for of in [SingleGroupApproximation.of(type(groups[0]))] if of.__name__ == name]
    if not found:
        raise StorageError(
            f"{str(path)!r}: the approximation {name!r} is unknown; import the module that defines "
            f"it{f', {module},' if module else ''} before loading"
        )
    return max(found, key=lambda cls: cls.__module__ == module)
