"""Draws of an approximate posterior, on the scale of the model's variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace

from vibayes.compile import as_seed_sequence, drawing_mode
from vibayes.posterior.arviz import data_groups, dataset, inference_data

if TYPE_CHECKING:
    from vibayes.approximations.base import Approximation

__all__ = ["PosteriorDraws"]


class PosteriorDraws:
    """What every approximation can do with its draws."""

    def sample(
        self: Approximation,
        draws: int = 1000,
        random_seed: Any = None,
        include_transformed: bool = False,
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

        Returns
        -------
        arviz.InferenceData or xarray.DataTree
            As the installed ArviZ has it: groups ``posterior`` (dims ``chain``, ``draw`` and
            those of the variables; Deterministics included), ``observed_data`` and
            ``constant_data``.
        """
        if isinstance(draws, bool) or int(draws) != draws or draws < 1:
            raise ValueError(f"draws must be a whole number of at least 1, got {draws!r}")
        values = draw_values(self, int(draws), random_seed, include_transformed)
        chain = {name: value[None] for name, value in values.items()}
        posterior = dataset(self.model, chain, ("chain", "draw"), {"sampling_method": repr(self)})
        return inference_data({"posterior": posterior, **data_groups(self.model)})


def draw_values(
    approx: Approximation, draws: int, random_seed: Any, include_transformed: bool
) -> dict[str, np.ndarray]:
    """Return draws of all variables, stacked along the first axis, by name."""
    model = approx.model
    variables = [*model.free_RVs, *model.deterministics]
    names = [v.name for v in variables]
    graphs = model.replace_rvs_by_values(variables)
    if include_transformed:
        extra = [v for v in model.value_vars if v.name not in names]
        names += [v.name for v in extra]
        graphs += extra
    key = ("draws", approx.key, tuple(names), pytensor.config.floatX)
    if key not in model._cache:
        model._cache[key] = compile_draws(approx, graphs)
    function = model._cache[key]
    seeds = as_seed_sequence(random_seed).spawn(len(approx.groups))
    generators = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
    params = [p.get_value(borrow=True) for p in approx.params]
    values = function(draws, *generators, *params)
    return {
        name: value
        if value.ndim > graph.type.ndim
        else np.broadcast_to(value, (draws, *value.shape))
        for name, graph, value in zip(names, graphs, values, strict=True)
    }


def compile_draws(approx: Approximation, graphs: Sequence[Variable]) -> Any:
    """Compile graphs of value variables into a function of size, generators and parameters."""
    size = pt.lscalar("size")
    drawn, updates = approx.draw(size)
    outputs = drawn.of(graphs)
    inputs = {v: v.type(v.name) for v in [*updates, *approx.params]}
    outputs = graph_replace(outputs, inputs, strict=False)
    mode = drawing_mode(outputs, [inputs[rng] for rng in updates])
    return pytensor.function([size, *inputs.values()], outputs, mode=mode, on_unused_input="ignore")
