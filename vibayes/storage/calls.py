"""What a fit was told to do, in words and numbers that two calls can be compared by."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import singledispatch
from types import FunctionType
from typing import Any

import numpy as np
import pytensor
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable

from vibayes.backend.fingerprints import (
    UnknowableError,
    fingerprint,
    graph_fingerprint,
    is_foreign,
)
from vibayes.backend.modes import evaluate
from vibayes.exceptions import StorageError
from vibayes.families.joint import Joint
from vibayes.flows import Flow
from vibayes.model.core import Model
from vibayes.storage.records import seeds_record
from vibayes.version import __version__

__all__ = [
    "call_differences",
    "check_described",
    "describe_approximation",
    "describe_argument",
    "describe_density",
    "describe_graph",
    "describe_graphs",
    "describe_seeds",
    "describe_start",
    "marked",
]

TOLERANCE = 1e-6  # of numbers that another processor rounds differently
UNKNOWN = "cannot be told from another"
SHORT = 8  # numbers that a message can hold


@singledispatch
def describe_argument(value: Any) -> Any:
    """Return an argument as what JSON can hold, the same for equal arguments.

    Modules that define what arguments are made of register how it is described. What cannot be
    told from others is described as such; see :func:`check_described`.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Constant) and isinstance(value.data, np.ndarray):
        return describe_argument(value.data)
    if isinstance(value, np.ndarray) and value.size <= SHORT:
        return value.tolist()
    if isinstance(value, SharedVariable) and np.ndim(value.get_value(borrow=True)) == 0:
        return f"{value.name or 'a shared number'} of value {value.get_value()}"
    if isinstance(value, type):
        return name_of_class(value)
    if isinstance(value, Flow):
        return [name_of_class(type(value)), describe_argument(vars(value))]
    if isinstance(value, Mapping):
        return {str(name): describe_argument(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [describe_argument(v) for v in value]
    if dataclasses.is_dataclass(value):
        settings = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return [name_of_class(type(value)), describe_argument(settings)]
    if isinstance(value, FunctionType) and not is_foreign(value):
        return value.__qualname__
    return marked(name_of(value), lambda: fingerprint(value))


def marked(name: str, make: Callable[[], str]) -> str:
    """Return a name with a fingerprint, or with why there is none."""
    try:
        return f"{name} #{make()}"
    except (UnknowableError, RecursionError) as error:
        return f"{name} #{UNKNOWN}: {error}"


def name_of(value: Any) -> str:
    if isinstance(value, Variable):
        return value.name or str(value.type)
    return getattr(value, "__qualname__", type(value).__qualname__)


def name_of_class(cls: type) -> str:
    """Return the name of a class; one of the user's own has a fingerprint of its code too."""
    if not is_foreign(cls):
        return cls.__qualname__
    try:
        return f"{cls.__qualname__} #{fingerprint(cls)}"
    except (UnknowableError, RecursionError):
        return cls.__qualname__


def check_described(call: Any, where: str = "") -> None:
    """Raise if something in a description cannot be told from other things.

    Raises
    ------
    StorageError
        Names it, and says what to do.
    """
    if isinstance(call, dict):
        for name, value in call.items():
            check_described(value, f"{where}.{name}" if where else name)
    elif isinstance(call, list):
        for value in call:
            check_described(value, where)
    elif isinstance(call, str) and f"#{UNKNOWN}" in call:
        name, _, why = call.partition(f" #{UNKNOWN}: ")
        raise StorageError(
            f"checkpoint: {where} is {name}, which {UNKNOWN}, so that the file of one fit could be "
            f"taken for that of another: it holds {why}. Use a function of numbers, arrays and "
            f"other functions, or an optimizer of vb.updates."
        )


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
    """Return sums over the parameters at the start, which tell their order too."""
    values = [p.get_value(borrow=True).astype("float64").ravel() for p in params]
    flat = np.concatenate([np.zeros(0), *values])
    place = np.arange(1.0, len(flat) + 1)
    weights = [np.ones(len(flat)), np.cos(place), np.sin(place * place)]
    return [float(np.abs(flat).sum()), *(float(w @ flat) for w in weights)]


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


def describe_graphs(model: Model, changing: Collection[Variable]) -> dict[str, Any]:
    """Return fingerprints of the log density of each variable and of all data, and versions.

    Parameters
    ----------
    model
        The model.
    changing
        Shared variables that the fit changes: their values are no data.
    """
    variables = model.basic_RVs + model.potentials
    graphs, data = {}, {}
    for variable, term in zip(variables, model.logp(variables, sum=False), strict=True):
        graphs[variable.name], found = describe_graph(term, model.value_vars, changing)
        if found:
            data[variable.name] = found
    for minibatch in model.minibatches:
        if not minibatch.in_memory:
            data[minibatch.name] = minibatch.stream.description()
    return {
        "graphs": graphs,
        "data": data,
        "versions": {
            "vibayes": __version__,
            "pytensor": pytensor.__version__,
            "numpy": np.__version__,
            "python": ".".join(platform.python_version_tuple()[:2]),
        },
    }


def describe_graph(
    graph: Variable, inputs: Sequence[Variable] = (), changing: Collection[Variable] = ()
) -> tuple[str, list[list[str]]]:
    """Return fingerprints of a graph, and of each array in it."""
    try:
        found = graph_fingerprint([graph], inputs, changing)
    except (UnknowableError, RecursionError) as error:
        return f"a graph #{UNKNOWN}: {error}", []
    return found.structure, [list(entry) for entry in found.data]


def call_differences(saved: Any, present: Any, where: str = "") -> list[str]:
    """Return in words what differs between two descriptions."""
    if where in ("graphs", "data"):
        return list(print_differences(saved or {}, present or {}, where))
    if isinstance(saved, dict) and isinstance(present, dict):
        found = []
        for name in {**saved, **present}:
            inner = f"{where}.{name}" if where else name
            found += call_differences(saved.get(name), present.get(name), inner)
        return found
    if same_entry(saved, present):
        return []
    return [f"{where} was {saved!r} and is {present!r}"]


def print_differences(
    saved: Mapping[str, Any], present: Mapping[str, Any], what: str
) -> Iterator[str]:
    """Return in words which fingerprints differ."""
    for name in {**saved, **present}:
        a, b = saved.get(name), present.get(name)
        if a == b:
            continue
        if what == "graphs":
            yield f"the graph of {name!r}, or a number in it, is another"
            continue
        a, b = a or [], b or []
        labels = [y[0] for x, y in zip(a, b, strict=False) if x != y]
        more = f" ({', '.join(labels)})" if len(a) == len(b) else ""
        yield f"the data of {name!r} are others{more}"


def same_entry(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_entry, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return bool(np.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True))
    return a == b
