"""What a saved file says of the model, and how another model differs from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vibayes.exceptions import StorageError
from vibayes.model.core import Model

__all__ = ["check_saved_model", "describe_model"]


def describe_model(model: Model) -> list[dict[str, Any]]:
    """Return the free variables of a model, in their order, as JSON can hold them."""
    return [
        {
            "name": rv.name,
            "shape": list(rv.type.shape),
            "value": model.rvs_to_values[rv].name,
            "unconstrained_shape": list(model.rvs_to_values[rv].type.shape),
            "transform": transform_name(model.rvs_to_transforms[rv]),
            "dims": list(model.named_vars_to_dims.get(rv.name, ())),
        }
        for rv in model.free_RVs
    ]


def transform_name(transform: Any) -> str | None:
    if transform is None:
        return None
    return getattr(transform, "name", "") or type(transform).__name__


def check_saved_model(saved: Sequence[Mapping[str, Any]], model: Model, path: Any) -> None:
    """Raise if the free variables of a model are not those of a file, naming all differences."""
    if differences := model_differences(saved, describe_model(model)):
        raise StorageError(
            f"{str(path)!r} was saved with another model: {'; '.join(differences)}. Load it into "
            f"the model that it was fitted to."
        )


def model_differences(
    saved: Sequence[Mapping[str, Any]], present: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return in words how the variables of a model differ from saved ones."""
    old = {variable["name"]: variable for variable in saved}
    new = {variable["name"]: variable for variable in present}
    found = [f"the model has no variable {name!r}" for name in old if name not in new]
    found += [f"the file has no variable {name!r}" for name in new if name not in old]
    for name in (name for name in old if name in new):
        for key, what in {"shape": "shape", "transform": "transform"}.items():
            a, b = old[name][key], new[name][key]
            if a != b:
                found.append(
                    f"{name!r} has {what} {in_words(a)} in the file, {in_words(b)} in the model"
                )
        sizes = [int(np.prod(v[name]["unconstrained_shape"])) for v in (old, new)]
        if sizes[0] != sizes[1] and old[name]["shape"] == new[name]["shape"]:
            found.append(
                f"{name!r} has {sizes[0]} unconstrained numbers in the file, {sizes[1]} in the "
                f"model"
            )
    if not found and list(old) != list(new):
        found = [f"the order of the variables is {', '.join(old)} in the file, {', '.join(new)}"]
        found[0] += " in the model"
    return found


def in_words(value: Any) -> str:
    if value is None:
        return "none"
    return str(tuple(value)) if isinstance(value, list) else repr(value)
