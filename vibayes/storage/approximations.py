"""An approximation as plain records and arrays, and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from pytensor.graph.basic import Variable

from vibayes.backend.modes import evaluate
from vibayes.backend.shared import assign
from vibayes.exceptions import StorageError
from vibayes.families.base import Group
from vibayes.families.joint import Joint
from vibayes.families.known import FAMILIES
from vibayes.flows import Flow
from vibayes.model.core import Model
from vibayes.records.outcome import Outcome
from vibayes.storage.records import (
    diagnosis_from,
    diagnosis_record,
    ending_from,
    ending_record,
    seeds_from,
    seeds_record,
)

__all__ = [
    "approximation_arrays",
    "approximation_record",
    "check_record",
    "groups_from",
    "restore",
    "why_not_saved",
]


# -- to records -----------------------------------------------------------------------------------


def why_not_saved(approx: Joint) -> str:
    """Return why an approximation cannot be had from a file alone; empty if it can."""
    for group in approx.groups:
        names = ", ".join(repr(rv.name) for rv in group.variables)
        if group.given_params:
            return (
                f"the parameters of {names} are expressions, which only the code that wrote them "
                f"can make again. Save the values of the shared variables in them, and make the "
                f"approximation anew; a fit with checkpoint= goes on by running that code"
            )
        if not FAMILIES.name_of(type(group)):
            return (
                f"the family {type(group).__name__} of {names} has no short_name of its own, by "
                f"which it could be found again"
            )
        for option, value in group.options.items():
            try:
                option_record(value)
            except TypeError as error:
                return f"the option {option!r} of {names} cannot be written to a file: {error}"
    return ""


def approximation_record(
    approx: Joint, outcome: Outcome, with_groups: bool = True
) -> dict[str, Any]:
    """Return everything but arrays of an approximation, as JSON can hold it.

    Parameters
    ----------
    approx
        The approximation.
    outcome
        What its fit has left behind.
    with_groups
        Whether the families are to be had from the record alone.
    """
    return {
        "class": type(approx).__name__,
        "module": type(approx).__module__,
        "groups": [group_record(group) for group in approx.groups] if with_groups else [],
        "cost_part_grad_scale": current_scale(approx),
        "scale_cost_to_minibatch": approx.scale_cost_to_minibatch,
        "seeds": seeds_record(approx.noise_seeds),
        "node_seeds": seeds_record(approx.node_seeds),
        "ending": ending_record(outcome.ending),
        "diagnosis": diagnosis_record(outcome.diagnosis),
    }


def current_scale(approx: Joint) -> float:
    scale = approx.cost_part_grad_scale
    return float(evaluate([scale])[0]) if isinstance(scale, Variable) else scale


def group_record(group: Group) -> dict[str, Any]:
    """Return the family of a group and its variables."""
    return {
        "family": group.short_name,
        "variables": [rv.name for rv in group.variables],
        "options": {name: option_record(value) for name, value in group.options.items()},
    }


def option_record(value: Any) -> Any:
    """Return an option of a family: a number, a text, or a chain of flows."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, list | tuple) and all(isinstance(v, Flow) for v in value):
        return {"flows": [flow_record(flow) for flow in value]}
    raise TypeError(f"it is of type {type(value).__name__}")


def flow_record(flow: Flow) -> dict[str, Any]:
    if not Flow.known.name_of(type(flow)):
        raise TypeError(f"{type(flow).__name__} has no short_name of its own")
    settings = {name: option_record(value) for name, value in vars(flow).items()}
    if settings and not dataclasses.is_dataclass(flow):
        raise TypeError(f"{type(flow).__name__} is not a dataclass")
    return {"flow": flow.short_name, "settings": settings}


def approximation_arrays(approx: Joint, outcome: Outcome) -> dict[str, np.ndarray]:
    """Return the arrays of an approximation by name."""
    arrays = {
        parameter_name(i, name): shared.get_value(borrow=True)
        for i, group in enumerate(approx.groups)
        for name, shared in group.shared_params.items()
    }
    return arrays | {"hist": np.asarray(outcome.hist)}


def parameter_name(group: int, name: str) -> str:
    return f"parameter_{group}_{name}"


# -- and back -------------------------------------------------------------------------------------


def check_record(
    record: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], model: Model, path: Any
) -> None:
    """Raise unless a record is of the model, and no larger than the arrays beside it.

    Parameters
    ----------
    record
        See :func:`approximation_record`.
    shapes
        Shapes of the arrays.
    model
        The model.
    path
        The file, for messages.
    """

    def refuse(what: str) -> StorageError:
        return StorageError(f"{str(path)!r}: {what}")

    names = [name for group in record["groups"] for name in group["variables"]]
    if sorted(names) != sorted(rv.name for rv in model.free_RVs):
        raise refuse(f"its groups have the variables {names}, which are not those of the model")
    for i, group in enumerate(record["groups"]):
        own = [shape for name, shape in shapes.items() if name.startswith(parameter_name(i, ""))]
        numbers, flows = [], 0
        for value in group["options"].values():
            chain = value["flows"] if isinstance(value, dict) else [{"settings": {"": value}}]
            flows += len(chain) * isinstance(value, dict)
            numbers += [n for flow in chain for n in flow["settings"].values()]
        if flows > max(len(own), FEWEST_FLOWS):
            raise refuse(f"a group of {flows:,} flows has {len(own)} parameters")
        whole = [n for n in numbers if isinstance(n, int) and not isinstance(n, bool)]
        dims = sum(int(np.prod(v.type.shape)) for v in model.value_vars)
        size = sum(math.prod(shape) for shape in own)
        if any(n < 0 for n in whole) or sum(whole) * dims > 4 * size + SMALL:
            raise refuse(f"a group has options {whole[:5]!s} beyond its {size:,} parameters")
        if any(not isinstance(n, int | float | str | None) for n in numbers):
            raise refuse(f"a group has options that are neither numbers nor texts: {numbers[:5]}")
    if len(shapes.get("hist", ())) != 1:
        raise refuse("its losses are no vector")
    if not isinstance(record["scale_cost_to_minibatch"], bool):
        raise refuse("scale_cost_to_minibatch is neither true nor false")
    scale = record["cost_part_grad_scale"]
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not math.isfinite(scale):
        raise refuse(f"cost_part_grad_scale is {scale!r}")


FEWEST_FLOWS = 16
SMALL = 1_000_000  # numbers


def groups_from(
    record: Mapping[str, Any], arrays: Mapping[str, np.ndarray], model: Model, path: Any
) -> list[Group]:
    """Return the groups of a record."""
    return [group_from(entry, i, arrays, model, path) for i, entry in enumerate(record["groups"])]


def group_from(
    record: Mapping[str, Any],
    number: int,
    arrays: Mapping[str, np.ndarray],
    model: Model,
    path: Any,
) -> Group:
    """Return a group of the right family and variables; its parameters are those of a start."""
    family = FAMILIES.get(record["family"])
    if family is None:
        raise StorageError(
            f"{str(path)!r}: the family {record['family']!r} is unknown; import the module that "
            f"defines it before loading"
        )
    variables = {rv.name: rv for rv in model.free_RVs}
    options = {name: option_from(value, path) for name, value in record["options"].items()}
    prefix = parameter_name(number, "")
    shapes = {k.removeprefix(prefix): v.shape for k, v in arrays.items() if k.startswith(prefix)}
    options = family.saved_options(options, shapes)
    group = [variables[name] for name in record["variables"]]
    return family(group, model=model, options=options)


def option_from(value: Any, path: Any) -> Any:
    if not isinstance(value, dict):
        return value
    flows = []
    for entry in value["flows"]:
        flow = Flow.known.get(entry["flow"])
        if flow is None:
            raise StorageError(
                f"{str(path)!r}: the flow {entry['flow']!r} is unknown; import the module that "
                f"defines it before loading"
            )
        flows.append(flow(**entry["settings"]))
    return tuple(flows)


def restore(
    approx: Joint,
    outcome: Outcome,
    record: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    path: Any,
) -> None:
    """Give an approximation the parameters, losses, seeds and findings of a record."""
    set_parameters(approx.groups, arrays, path)
    if arrays["hist"].dtype.kind != "f":
        raise StorageError(f"{str(path)!r}: its losses have dtype {arrays['hist'].dtype}")
    outcome.hist = np.array(arrays["hist"])
    outcome.ending = ending_from(record["ending"])
    outcome.diagnosis = diagnosis_from(record["diagnosis"])
    approx.noise_seeds = seeds_from(record["seeds"])
    approx.node_seeds = seeds_from(record["node_seeds"])


def set_parameters(groups: Sequence[Group], arrays: Mapping[str, np.ndarray], path: Any) -> None:
    for i, group in enumerate(groups):
        for name, shared in group.shared_params.items():
            value = arrays.get(parameter_name(i, name))
            shape = shared.get_value(borrow=True).shape
            if value is None or value.shape != shape:
                found = "missing" if value is None else f"of shape {value.shape}"
                raise StorageError(
                    f"{str(path)!r}: parameter {name!r} of {type(group).__name__} is {found}; it "
                    f"must have shape {shape}"
                )
            if value.dtype.kind != "f" or not np.isfinite(value).all():
                raise StorageError(
                    f"{str(path)!r}: parameter {name!r} of {type(group).__name__} has values that "
                    f"are no finite numbers"
                )
            assign(shared, value)
