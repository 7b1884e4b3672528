"""Draws of a joint distribution as results, with what belongs to them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from vibayes.arguments import check_whole
from vibayes.backend.seeds import as_seed_sequence, new_generator
from vibayes.families.joint import Joint
from vibayes.model.core import Model
from vibayes.posterior.arviz import dataset, inference_data
from vibayes.posterior.draws import draw_values, importance_draws, values_at
from vibayes.posterior.multitrace import MultiTrace
from vibayes.predictive.choices import named_variables
from vibayes.predictive.densities import small_log_likelihood
from vibayes.predictive.trace import posterior_of
from vibayes.predictive.whole import groups_of_data

__all__ = ["draws_of_fits", "samples_of"]

LEAST_WEIGHTED = 7  # as few draws tell nothing of the tail of weights


def samples_of(
    approx: Joint,
    draws: int,
    random_seed: Any,
    include_transformed: bool = False,
    importance: bool = False,
    chains: int = 1,
    return_inferencedata: bool = True,
    var_names: str | Collection[str] | None = None,
) -> Any:
    """Return draws in the form of ArviZ; see :meth:`vibayes.Approximation.sample`."""
    attributes: dict[str, Any] = {"sampling_method": repr(approx)}
    only = None if var_names is None else names_of(approx.model, var_names)
    if importance:
        draws = check_whole(draws, "draws (with importance=True)", least=LEAST_WEIGHTED)
        flat, attributes["pareto_k"] = importance_draws(approx, chains * draws, random_seed)
        values = values_at(approx.model, flat, include_transformed, only)
    elif len(approx.groups) == 1 and approx.groups[0].is_particles:
        flat = dealt_particles(approx, draws, chains, random_seed)
        values = values_at(approx.model, flat, include_transformed, only)
    else:
        values = draw_values(approx, chains * draws, random_seed, include_transformed, only)
    shaped = {name: v.reshape(chains, draws, *v.shape[1:]) for name, v in values.items()}
    posterior = dataset(approx.model, shaped, ("chain", "draw"), attributes)
    if not return_inferencedata:
        return MultiTrace(posterior)
    likelihood = small_log_likelihood(approx.model, posterior) if only is None else {}
    data = groups_of_data(approx.model, "sample")
    return inference_data({"posterior": posterior, **likelihood, **data})


def names_of(model: Model, var_names: str | Collection[str]) -> list[str]:
    """Return the full names of variables, unconstrained values among them."""
    known = [*model.unobserved_RVs, *model.value_vars]
    return [v.name for v in named_variables(model, var_names, known, "var_names")]


def dealt_particles(approx: Joint, draws: int, chains: int, random_seed: Any) -> np.ndarray:
    """Return draws of particles, those of each chain from a share of them that no other has.

    So the chains differ as much as independent sets of particles do. Within a chain each particle
    is drawn as often as any other, but for one time: independent draws would add noise of their own
    to what the particles know.
    """
    (group,), (places,) = approx.groups, approx.places()
    particles = group.shared_params["histogram"].get_value(borrow=True)
    if len(particles) < chains:
        raise ValueError(
            f"chains must be at most the number of particles, {len(particles)}, got {chains}"
        )
    rng = new_generator(as_seed_sequence(random_seed))
    parts = [particles[chain::chains] for chain in range(chains)]
    flat = np.empty((chains * draws, particles.shape[1]), dtype=particles.dtype)
    flat[:, places] = np.concatenate([p[evenly(len(p), draws, rng)] for p in parts])
    return flat


def evenly(count: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Return numbers below a count in random order, each as often as any other but for once."""
    whole, left = divmod(draws, count)
    rows = np.concatenate([np.tile(np.arange(count), whole), rng.permutation(count)[:left]])
    return rng.permutation(rows)


def draws_of_fits(fits: Sequence[Joint], draws: int, random_seed: Any) -> Any:
    """Return draws of several approximations, a chain each; see :func:`vibayes.sample_fits`."""
    from xarray import concat

    seeds = as_seed_sequence(random_seed).spawn(len(fits))
    parts = [samples_of(fit, draws, seed) for fit, seed in zip(fits, seeds, strict=True)]
    model = fits[0].model
    posteriors = [posterior_of(part).posterior for part in parts]
    posterior = concat(
        [p.assign_coords(chain=[i]) for i, p in enumerate(posteriors)],
        dim="chain",
        combine_attrs="override",
    )
    likelihood = small_log_likelihood(model, posterior)
    data = groups_of_data(model, "sample_fits")
    return inference_data({"posterior": posterior, **likelihood, **data})
