"""Draws of a joint distribution as results, with what belongs to them."""

from __future__ import annotations

from typing import Any

from vibayes.arguments import check_whole
from vibayes.families.joint import Joint
from vibayes.posterior.arviz import dataset, inference_data
from vibayes.posterior.draws import draw_values, importance_draws, values_at
from vibayes.posterior.multitrace import MultiTrace
from vibayes.predictive.densities import small_log_likelihood
from vibayes.predictive.whole import groups_of_data

__all__ = ["samples_of"]

LEAST_WEIGHTED = 7  # as few draws tell nothing of the tail of weights


def samples_of(
    approx: Joint,
    draws: int,
    random_seed: Any,
    include_transformed: bool = False,
    importance: bool = False,
    return_inferencedata: bool = True,
) -> Any:
    """Return draws in the form of ArviZ; see :meth:`vibayes.Approximation.sample`."""
    attributes: dict[str, Any] = {"sampling_method": repr(approx)}
    if importance:
        draws = check_whole(draws, "draws (with importance=True)", least=LEAST_WEIGHTED)
        flat, attributes["pareto_k"] = importance_draws(approx, draws, random_seed)
        values = values_at(approx.model, flat, include_transformed)
    else:
        values = draw_values(approx, draws, random_seed, include_transformed)
    chain = {name: value[None] for name, value in values.items()}
    posterior = dataset(approx.model, chain, ("chain", "draw"), attributes)
    if not return_inferencedata:
        return MultiTrace(posterior)
    likelihood = small_log_likelihood(approx.model, posterior)
    data = groups_of_data(approx.model, "sample")
    return inference_data({"posterior": posterior, **likelihood, **data})
