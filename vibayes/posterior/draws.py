"""Draws of an approximate posterior, on the scale of the model's variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace, vectorize_graph

from vibayes.arguments import check_whole
from vibayes.backend.modes import EVALUATE_MODE
from vibayes.backend.seeds import as_seed_sequence, new_generator
from vibayes.model.core import Model
from vibayes.model.flat import FlatLayout
from vibayes.posterior.arviz import data_groups, dataset, inference_data

if TYPE_CHECKING:
    from vibayes.families.base import Approximation

__all__ = ["PosteriorDraws"]


class PosteriorDraws:
    """What every approximation can do with its draws."""

    def sample(
        self: Approximation,
        draws: int = 1000,
        random_seed: Any = None,
        include_transformed: bool = False,
        importance: bool = False,
    ) -> Any:
        """Draw from the approximate posterior.

        Parameters
        ----------
        draws
            Number of draws.
        random_seed
            Seed of the draws.
        include_transformed
            Whether to add the unconstrained values, under names such as ``sigma_log__``.
        importance
            Whether to correct the draws towards the posterior: they are resampled from four times
            as many by Pareto-smoothed importance weights. The attribute ``pareto_k`` of the
            posterior tells how far that can be relied on: up to about 0.7.

        Returns
        -------
        arviz.InferenceData or xarray.DataTree
            As the installed ArviZ has it: groups ``posterior`` (dims ``chain``, ``draw`` and
            those of the variables; Deterministics included), ``observed_data`` and
            ``constant_data``. Up to a million numbers, also ``log_likelihood``: for more, and
            for models with minibatches, there is :func:`vibayes.compute_log_likelihood`.
        """
        from vibayes.predictive.log_density import small_log_likelihood

        draws = check_whole(draws, "draws", least=1)
        attributes = {"sampling_method": repr(self)}
        if importance:
            flat, attributes["pareto_k"] = importance_draws(self, draws, random_seed)
            values = values_at(self.model, flat, include_transformed)
        else:
            values = draw_values(self, draws, random_seed, include_transformed)
        chain = {name: value[None] for name, value in values.items()}
        posterior = dataset(self.model, chain, ("chain", "draw"), attributes)
        likelihood = small_log_likelihood(self.model, posterior)
        return inference_data({"posterior": posterior, **likelihood, **data_groups(self.model)})

    def diagnose(self: Approximation, draws: int | None = None, random_seed: Any = None) -> Any:
        """Judge the approximation by importance weights of its own draws.

        Minibatches stand for the whole data.

        Parameters
        ----------
        draws
            Number of draws; by default 1,000, and fewer, down to 200, if there are more than
            400,000 observations.
        random_seed
            Seed of the draws.

        Returns
        -------
        Diagnosis
            Evidence lower bound, Pareto k-hat, effective size, the variables at fault, and a
            verdict in words. ``print`` it, or let a notebook show it.
        """
        from vibayes.inference.normal_fit import draws_to_judge
        from vibayes.verdict.judge import diagnose

        draws = draws_to_judge(self.model) if draws is None else draws
        self.diagnosis = diagnose(self, check_whole(draws, "draws", least=100), random_seed)
        return self.diagnosis

    def flat_draws(self: Approximation, draws: int, random_seed: Any = None) -> FlatDraws:
        """Return draws of the flat unconstrained vector, and their log densities.

        Parameters
        ----------
        draws
            Number of draws.
        random_seed
            Seed of the draws.

        Returns
        -------
        FlatDraws
            ``values`` (draws, d), in the order of ``model.value_vars``; ``logp`` and ``logq``
            (draws,), of the whole data where the model has minibatches.

        Raises
        ------
        NotImplementedError
            If the approximation has no density, or the model's cannot be had for the whole data.
        """
        from vibayes.model.target import is_deterministic

        if not all(group.has_logq for group in self.groups):
            raise NotImplementedError(f"{self!r} has no log density")
        if any(group.local for group in self.groups):
            raise NotImplementedError("it has variables of which only a minibatch exists at a time")
        if not is_deterministic(self.model):
            raise NotImplementedError("the model's log density is another at each evaluation")
        key = ("flat draws", self.key, pytensor.config.floatX)
        if key not in self.model._cache:
            self.model._cache[key] = compile_flat_draws(self)
        values, logq = call_with_draws(self, self.model._cache[key], draws, random_seed)
        return FlatDraws(values, target_logp(self.model, values, random_seed), logq)


class FlatDraws(NamedTuple):
    """Draws of the flat unconstrained vector, and their log densities."""

    values: np.ndarray
    logp: np.ndarray
    logq: np.ndarray


def target_logp(model: Model, values: np.ndarray, random_seed: Any) -> np.ndarray:
    """Return the log density of the whole data, or an estimate where they are not in memory.

    The log density of a sample has its peak elsewhere. If the draws are centred where that of
    the whole data has its own, the slope there is what the sample has too much.
    """
    from vibayes.model.target import Target, sample_size

    if not model.has_streams:
        return Target(model).logp(values)
    sample = model.sampled_data_replacements(sample_size(model), random_seed)
    target = Target(model, sample)
    center = values.mean(axis=0)
    _, slope = target(center[None])
    return target.logp(values) - (values - center) @ slope[0]


def importance_draws(
    approx: Approximation, draws: int, random_seed: Any
) -> tuple[np.ndarray, float]:
    """Return draws of the flat vector resampled by importance weights, and Pareto k-hat."""
    from vibayes.importance import resampled, smoothed

    first, second = as_seed_sequence(random_seed).spawn(2)
    proposed = approx.flat_draws(4 * draws, first)
    log_weights, khat = smoothed(proposed.logp - proposed.logq)
    rows = resampled(log_weights, draws, np.random.default_rng(second))
    return proposed.values[rows], khat


def draw_values(
    approx: Approximation, draws: int, random_seed: Any, include_transformed: bool
) -> dict[str, np.ndarray]:
    """Return draws of all variables, stacked along the first axis, by name."""
    model = approx.model
    names, graphs = posterior_graphs(model, include_transformed)
    key = ("draws", approx.key, tuple(names), pytensor.config.floatX)
    if key not in model._cache:
        model._cache[key] = compile_draws(approx, graphs)
    values = call_with_draws(approx, model._cache[key], draws, random_seed)
    return by_name(names, graphs, values, draws)


def values_at(model: Model, flat: np.ndarray, include_transformed: bool) -> dict[str, np.ndarray]:
    """Return all variables at given flat unconstrained vectors (n, d), by name."""
    names, graphs = posterior_graphs(model, include_transformed)
    key = ("values at", tuple(names), pytensor.config.floatX)
    if key not in model._cache:
        layout = FlatLayout(model.value_vars)
        vector = pt.vector("flat", dtype=pytensor.config.floatX, shape=(layout.size,))
        stack = pt.matrix("stack", dtype=vector.dtype, shape=(None, layout.size))
        outputs = graph_replace(graphs, layout.split(vector), strict=False)
        outputs = vectorize_graph(outputs, {vector: stack})
        model._cache[key] = pytensor.function(
            [stack], outputs, mode=EVALUATE_MODE, on_unused_input="ignore"
        )
    return by_name(names, graphs, model._cache[key](flat), len(flat))


def posterior_graphs(model: Model, include_transformed: bool) -> tuple[list[str], list[Variable]]:
    """Return what a posterior holds: names, and graphs of value variables."""
    variables = [*model.free_RVs, *model.deterministics]
    names = [v.name for v in variables]
    graphs = model.replace_rvs_by_values(variables)
    if include_transformed:
        extra = [v for v in model.value_vars if v.name not in names]
        names += [v.name for v in extra]
        graphs += extra
    return names, graphs


def by_name(
    names: Sequence[str], graphs: Sequence[Variable], values: Sequence[np.ndarray], draws: int
) -> dict[str, np.ndarray]:
    """Return values by name, with an axis of draws also where all draws are the same."""
    return {
        name: value
        if value.ndim > graph.type.ndim
        else np.broadcast_to(value, (draws, *value.shape))
        for name, graph, value in zip(names, graphs, values, strict=True)
    }


def call_with_draws(
    approx: Approximation, function: Any, draws: int, random_seed: Any
) -> list[np.ndarray]:
    """Call a function of the number of draws, the generators and the parameters."""
    seeds = as_seed_sequence(random_seed).spawn(len(approx.groups))
    generators = [new_generator(seed) for seed in seeds]
    params = [p.get_value(borrow=True) for p in approx.params]
    return function(draws, *generators, *params)


def compile_flat_draws(approx: Approximation) -> Any:
    """Compile a function of size, generators and parameters: flat draws and log q."""
    size = pt.lscalar("size")
    drawn, updates = approx.draw(size)
    parts = [drawn.z[value].reshape((size, -1)) for value in approx.model.value_vars]
    outputs = [pt.concatenate(parts, axis=1), drawn.logq]
    inputs = {v: v.type(v.name) for v in [*updates, *approx.params]}
    outputs = graph_replace(outputs, inputs, strict=False)
    return pytensor.function(
        [size, *inputs.values()], outputs, mode=EVALUATE_MODE, on_unused_input="ignore"
    )


def compile_draws(approx: Approximation, graphs: Sequence[Variable]) -> Any:
    """Compile graphs of value variables into a function of size, generators and parameters."""
    size = pt.lscalar("size")
    drawn, updates = approx.draw(size)
    outputs = drawn.of(graphs)
    inputs = {v: v.type(v.name) for v in [*updates, *approx.params]}
    outputs = graph_replace(outputs, inputs, strict=False)
    return pytensor.function(
        [size, *inputs.values()], outputs, mode=EVALUATE_MODE, on_unused_input="ignore"
    )
