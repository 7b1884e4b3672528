"""What a fit was told to do, in words and numbers that two calls can be compared by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import pytensor
from pytensor.graph.basic import Constant, Variable

from vibayes.backend.modes import evaluate
from vibayes.families.joint import Joint
from vibayes.flows import Flow
from vibayes.model.core import Model
from vibayes.storage.records import seeds_record

__all__ = [
    "call_differences",
    "describe_approximation",
    "describe_argument",
    "describe_density",
    "describe_seeds",
    "describe_start",
]

TOLERANCE = 1e-6  # of numbers that another processor rounds differently


@singledispatch
def describe_argument(value: Any) -> Any:
    """Return an argument as what JSON can hold, the same for equal arguments.

    Modules that define what arguments are made of register how it is described.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Constant):
        return np.asarray(value.data).tolist()
    if isinstance(value, Variable):
        return value.name or str(value.type)
    if isinstance(value, type):
        return value.__qualname__
    if isinstance(value, Flow):
        return [type(value).__qualname__, describe_argument(vars(value))]
    if isinstance(value, Mapping):
        return {str(name): describe_argument(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [describe_argument(v) for v in value]
    if dataclasses.is_dataclass(value):
        settings = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return [type(value).__qualname__, describe_argument(settings)]
    return getattr(value, "__qualname__", type(value).__qualname__)


def describe_approximation(approx: Joint) -> dict[str, Any]:
    """Return the families of an approximation."""
    return {
        "groups": [
            {
                "family": type(group).__qualname__,
                "variables": [rv.name for rv in group.variables],
                "options": describe_argument(group.options),
                "local": group.local,
                "parameters": [[name, list(p.type.shape)] for name, p in group.params_dict.items()],
            }
            for group in approx.groups
        ],
        "cost_part_grad_scale": describe_argument(approx.cost_part_grad_scale),
        "scale_cost_to_minibatch": approx.scale_cost_to_minibatch,
    }


def describe_seeds(seeds: np.random.SeedSequence, given: bool) -> dict[str, Any]:
    """Return a seed, and whether the user has given it."""
    return {"given": given, "seeds": seeds_record(seeds) if given else None}


def describe_start(params: Sequence[Any]) -> list[float]:
    """Return two sums over the parameters at the start."""
    values = [p.get_value(borrow=True).astype("float64") for p in params]
    return [float(sum(v.sum() for v in values)), float(sum(np.abs(v).sum() for v in values))]


def describe_density(model: Model) -> dict[str, Any]:
    """Return the log density of each variable at one point, and sums of data in minibatches.

    They tell other data and other priors from those that a fit has begun with.
    """
    variables = model.free_RVs if model.minibatches else model.basic_RVs + model.potentials
    point = model.initial_point(0)
    terms = [term.sum() for term in model.logp(variables, sum=False)]
    values = evaluate(terms, {v: point[v.name] for v in model.value_vars})
    data = {}
    for minibatch in model.minibatches:
        whole = minibatch.shared.get_value(borrow=True) if minibatch.in_memory else 0
        data[minibatch.name] = [
            [int(length) for length in (*minibatch.whole_shape, *minibatch.batch_shape)],
            float(np.sum(whole, dtype="float64")),
        ]
    return {
        "log density": {v.name: float(x) for v, x in zip(variables, values, strict=True)},
        "minibatch": data,
        "floatX": pytensor.config.floatX,
    }


def call_differences(saved: Any, present: Any, where: str = "") -> list[str]:
    """Return in words what differs between two descriptions."""
    if isinstance(saved, dict) and isinstance(present, dict):
        found = []
        for name in {**saved, **present}:
            inner = f"{where}.{name}" if where else name
            found += call_differences(saved.get(name), present.get(name), inner)
        return found
    if same_entry(saved, present):
        return []
    return [f"{where} was {saved!r} and is {present!r}"]


def same_entry(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_entry, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return bool(np.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True))
    return a == b
