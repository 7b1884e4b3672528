"""Draws of an approximate posterior, on the scale of the model's variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace, vectorize_graph

from vibayes.backend.modes import EVALUATE_MODE
from vibayes.backend.seeds import as_seed_sequence, new_generator
from vibayes.families.joint import Joint
from vibayes.importance import resampled, smoothed
from vibayes.model.core import Model
from vibayes.model.data_size import data_size, sample_size
from vibayes.model.flat import FlatLayout
from vibayes.model.inputs import with_inputs
from vibayes.model.observed import stand_for_all
from vibayes.model.target import Target, is_deterministic, is_sum_over_rows
from vibayes.posterior.nodes import check_own

__all__ = [
    "FlatDraws",
    "draw_some",
    "draw_values",
    "flat_draws",
    "flat_values",
    "importance_draws",
    "node_draws",
    "transformed_values",
    "values_at",
]


MOST_READ = 4_000_000_000
"""Rows times draws up to which the log density of data that are read is evaluated as a whole."""


class FlatDraws(NamedTuple):
    """Draws of the flat unconstrained vector in model order, and their log densities."""

    values: np.ndarray
    logp: np.ndarray
    logq: np.ndarray


def flat_draws(approx: Joint, draws: int, random_seed: Any = None) -> FlatDraws:
    """Return draws of the flat unconstrained vector in model order, and their log densities.

    Parameters
    ----------
    approx
        What to draw from.
    draws
        Number of draws.
    random_seed
        Seed of the draws.

    Raises
    ------
    NotImplementedError
        If the approximation has no density, or the model's cannot be had for the whole data.
    """
    if not approx.has_logq:
        raise NotImplementedError(f"{approx!r} has no log density")
    if any(group.local for group in approx.groups):
        raise NotImplementedError("it has variables of which only a minibatch exists at a time")
    if not is_deterministic(approx.model):
        raise NotImplementedError("the model's log density is another at each evaluation")
    values, logq = flat_values(approx, draws, random_seed)
    return FlatDraws(values, target_logp(approx.model, values, random_seed), logq)


def flat_values(approx: Joint, draws: int, random_seed: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return draws of the flat vector and their log density under the approximation."""
    function = approx.compiled("flat draws", lambda: compile_flat_draws(approx))
    values, logq = call_with_draws(approx, function, draws, random_seed)
    return values, logq


def target_logp(model: Model, values: np.ndarray, random_seed: Any) -> np.ndarray:
    """Return the log density of the whole data, or an estimate where they cannot be afforded.

    Of data that are read, these are more than MOST_READ rows times draws, or rows that are not
    independent. The log density of a sample has its peak elsewhere. If the draws are centred where
    that of the whole data has its own, the slope there is what the sample has too much.
    """
    if is_affordable(model, len(values)) or (rows := sample_size(model)) is None:
        target = Target(model)
        target.turn_to(values)
        return target.logp(values)
    sample = model.sampled_data_replacements(rows, random_seed)
    target = Target(model, sample)
    target.turn_to(values)
    center = values.mean(axis=0)
    _, slope = target(center[None])
    return target.logp(values) - (values - center) @ slope[0]


def is_affordable(model: Model, draws: int) -> bool:
    """Tell whether the log density of the whole data can be had at some draws: a fixed rule."""
    if not model.has_streams:
        return True
    return data_size(model) * draws <= MOST_READ and is_sum_over_rows(model)


def importance_draws(approx: Joint, draws: int, random_seed: Any) -> tuple[np.ndarray, float]:
    """Return draws of the flat vector resampled by importance weights, and Pareto k-hat."""
    first, second = as_seed_sequence(random_seed).spawn(2)
    proposed = flat_draws(approx, 4 * draws, first)
    log_weights, khat = smoothed(proposed.logp - proposed.logq)
    rows = resampled(log_weights, draws, np.random.default_rng(second))
    return proposed.values[rows], khat


def draw_values(
    approx: Joint,
    draws: int,
    random_seed: Any,
    include_transformed: bool,
    only: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """Return draws of all variables, or some, stacked along the first axis, by name."""
    model = approx.model
    names, graphs = posterior_graphs(model, include_transformed, only)
    function = approx.compiled(("draws", *names), lambda: compile_draws(approx, graphs))
    values = call_with_draws(approx, function, draws, random_seed)
    return named_draws(names, graphs, values, draws)


def node_draws(approx: Joint, node: Variable) -> Callable[[int, Any], np.ndarray]:
    """Return a function of a number of draws and a seed: an expression of the variables at draws.

    The draws are of the approximation with the parameters that it has by then.

    Raises
    ------
    ModelError
        If the expression depends on a variable of another model.
    """
    graphs = approx.model.replace_rvs_by_values([node])
    check_own(approx, graphs)
    function = compile_draws(approx, graphs)

    def at_draws(draws: int, random_seed: Any) -> np.ndarray:
        values = call_with_draws(approx, function, draws, random_seed)
        return named_draws(["node"], graphs, values, draws)["node"]

    return at_draws


def draw_some(
    approx: Joint, names: Sequence[str], draws: int, random_seed: Any
) -> dict[str, np.ndarray]:
    """Return draws of some variables, stacked along the first axis, by name."""
    graphs = approx.model.replace_rvs_by_values([approx.model[name] for name in names])
    function = approx.compiled(("some draws", *names), lambda: compile_draws(approx, graphs))
    values = call_with_draws(approx, function, draws, random_seed)
    return named_draws(names, graphs, values, draws)


def values_at(
    model: Model,
    flat: np.ndarray,
    include_transformed: bool,
    only: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """Return all variables, or some, at given flat vectors in model order, (n, d), by name."""
    names, graphs = posterior_graphs(model, include_transformed, only)
    function = model.compiled(("values at", *names), lambda: compile_values_at(model, graphs))
    return named_draws(names, graphs, function(flat), len(flat))


def transformed_values(model: Model, flat: np.ndarray) -> dict[str, np.ndarray]:
    """Return the variables that have a transform, on their own scale, at flat vectors, by name."""
    variables = [rv for rv in model.free_RVs if model.rvs_to_transforms[rv] is not None]
    if not variables:
        return {}
    names = [rv.name for rv in variables]
    graphs = model.replace_rvs_by_values(variables)
    function = model.compiled(("values at", *names), lambda: compile_values_at(model, graphs))
    with np.errstate(all="ignore"):
        values = function(flat.astype(pytensor.config.floatX))
    return {name: value.astype("float64") for name, value in zip(names, values, strict=True)}


def compile_values_at(model: Model, graphs: Sequence[Variable]) -> Any:
    """Compile graphs of value variables into a function of a stack of flat vectors."""
    layout = FlatLayout(model.value_vars)
    vector = pt.vector("flat", dtype=pytensor.config.floatX, shape=(layout.size,))
    stack = pt.matrix("stack", dtype=vector.dtype, shape=(None, layout.size))
    outputs = graph_replace(graphs, layout.split(vector), strict=False)
    outputs = vectorize_graph(outputs, {vector: stack})
    return pytensor.function([stack], outputs, mode=EVALUATE_MODE, on_unused_input="ignore")


def posterior_graphs(
    model: Model, include_transformed: bool, only: Sequence[str] | None = None
) -> tuple[list[str], list[Variable]]:
    """Return what a posterior holds: names, and graphs of value variables.

    Deterministics of data that stay on disk are left out: of these a few rows are at hand.
    """
    on_disk = [v for v in model.deterministics if stand_for_all([v])] if model.has_streams else []
    variables = [v for v in (*model.free_RVs, *model.deterministics) if v not in on_disk]
    if only is not None:
        named = {v.name: v for v in (*model.value_vars, *variables, *on_disk)}
        variables, include_transformed = [named[name] for name in only], False
    names = [v.name for v in variables]
    graphs = with_inputs(model.replace_rvs_by_values(variables), model, "draws")
    if include_transformed:
        extra = [v for v in model.value_vars if v.name not in names]
        names += [v.name for v in extra]
        graphs += extra
    return names, graphs


def named_draws(
    names: Sequence[str], graphs: Sequence[Variable], values: Sequence[np.ndarray], draws: int
) -> dict[str, np.ndarray]:
    """Return values by name, with an axis of draws also where all draws are the same."""
    return {
        name: value
        if value.ndim > graph.type.ndim
        else np.broadcast_to(value, (draws, *value.shape))
        for name, graph, value in zip(names, graphs, values, strict=True)
    }


def call_with_draws(approx: Joint, function: Any, draws: int, random_seed: Any) -> list[np.ndarray]:
    """Call a function of the number of draws, the generators and the parameters."""
    seeds = as_seed_sequence(random_seed).spawn(len(approx.groups))
    generators = [new_generator(seed) for seed in seeds]
    params = [p.get_value(borrow=True) for p in approx.params]
    return function(draws, *generators, *params)


def compile_flat_draws(approx: Joint) -> Any:
    """Compile a function of size, generators and parameters: flat draws and log q."""
    size = pt.lscalar("size")
    drawn, updates = approx.draw(size)
    parts = [drawn.z[value].reshape((size, -1)) for value in approx.model.value_vars]
    return of_draws(approx, size, updates, [pt.concatenate(parts, axis=1), drawn.logq])


def compile_draws(approx: Joint, graphs: Sequence[Variable]) -> Any:
    """Compile graphs of value variables into a function of size, generators and parameters."""
    size = pt.lscalar("size")
    drawn, updates = approx.draw(size)
    return of_draws(approx, size, updates, drawn.of(graphs))


def of_draws(
    approx: Joint, size: Variable, generators: Iterable[Variable], outputs: Sequence[Variable]
) -> Any:
    """Return graphs as a function of size, generators and parameters."""
    inputs = {v: v.type(v.name) for v in [*generators, *approx.params]}
    outputs = graph_replace(list(outputs), inputs, strict=False)
    return pytensor.function(
        [size, *inputs.values()], outputs, mode=EVALUATE_MODE, on_unused_input="ignore"
    )
