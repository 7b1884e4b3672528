"""From a sampler's flat draws to an ArviZ object, and what is to be said of them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytensor

from vibayes.exceptions import ConvergenceWarning
from vibayes.model.core import Model
from vibayes.model.flat import FlatLayout
from vibayes.nuts.extras import Extras
from vibayes.posterior.arviz import dataset, inference_data
from vibayes.posterior.draws import values_at
from vibayes.predictive.whole import groups_of_data

__all__ = ["as_results", "complete_chains", "warn_of_problems"]

# nutpie's names of statistics, and those that PyMC and ArviZ have for them
STATISTICS = {
    "diverging": "diverging",
    "energy": "energy",
    "energy_error": "energy_error",
    "max_energy_error": "max_energy_error",
    "logp": "lp",
    "depth": "tree_depth",
    "maxdepth_reached": "reached_max_treedepth",
    "n_steps": "n_steps",
    "mean_tree_accept": "acceptance_rate",
    "step_size": "step_size",
    "step_size_bar": "step_size_bar",
    "index_in_trajectory": "index_in_trajectory",
}
RHAT_LIMIT = 1.01


def as_results(
    model: Model,
    groups: Mapping[str, tuple[np.ndarray, Mapping[str, np.ndarray]]],
    extras: Extras,
    attributes: Mapping[str, Any],
) -> Any:
    """Return draws as an ArviZ object.

    Parameters
    ----------
    model
        The model.
    groups
        Flat unconstrained vectors (chains, draws, d) and statistics (chains, draws), by what
        comes before the name of their groups: ``""`` or ``"warmup_"``.
    extras
        What else there is to be.
    attributes
        Attributes of the groups.
    """
    datasets = {}
    for prefix, (flat, statistics) in groups.items():
        rows = flat.reshape(-1, flat.shape[2]).astype(pytensor.config.floatX)
        stacked = values_at(model, rows, extras.transformed)
        values = {name: v.reshape(*flat.shape[:2], *v.shape[1:]) for name, v in stacked.items()}
        datasets[f"{prefix}posterior"] = dataset(model, values, ("chain", "draw"), attributes)
        datasets[f"{prefix}sample_stats"] = dataset(
            model, statistics, ("chain", "draw"), attributes
        )
    densities = extras.densities(model, datasets["posterior"])
    for name in ("posterior", "warmup_posterior"):
        if name in datasets:
            datasets[name] = extras.shown(datasets[name])
    return inference_data({**datasets, **densities, **groups_of_data(model, "sample")})


def complete_chains(
    trace: Any, prefix: str, center: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the flat vectors (chains, draws, d) of a group of nutpie's trace, and statistics.

    Chains that were interrupted have different lengths: of the ways to cut them to one, the one
    that keeps most draws is taken.
    """
    u = np.asarray(trace[f"{prefix}posterior"]["u"].values)
    statistics = trace[f"{prefix}sample_stats"]
    lengths = np.isfinite(u).all(axis=2).sum(axis=1)
    order = np.argsort(-lengths, kind="stable")
    count = int(np.argmax(lengths[order] * np.arange(1, len(order) + 1))) + 1
    chains, draws = np.sort(order[:count]), int(lengths[order[count - 1]])
    return center + scale * u[chains, :draws], {
        name: np.asarray(statistics[own].values)[chains, :draws]
        for own, name in STATISTICS.items()
        if own in statistics
    }


def warn_of_problems(
    model: Model, flat: np.ndarray, statistics: Mapping[str, np.ndarray], stacklevel: int
) -> None:
    """Warn of divergences, of chains that disagree, and of trees that were cut off.

    Parameters
    ----------
    model
        Knows the names of variables.
    flat
        Draws (chains, draws, d) after tuning.
    statistics
        Of these draws (chains, draws).
    stacklevel
        As in :func:`warnings.warn`.
    """
    said = [divergences(statistics), disagreement(model, flat), cut_off(statistics)]
    if said := [sentence for sentence in said if sentence]:
        warnings.warn(" ".join(said), ConvergenceWarning, stacklevel=stacklevel + 1)


def divergences(statistics: Mapping[str, np.ndarray]) -> str:
    diverging = statistics["diverging"]
    if not diverging.any():
        return ""
    return (
        f"{int(diverging.sum())} of {diverging.size} draws diverged: there are parts of the "
        f"posterior that the sampler cannot enter, so that the draws are biased. A larger "
        f"target_accept (0.95, 0.99) makes its steps smaller; where a variable's scale is a "
        f"variable too, write it as loc + scale * standard normal."
    )


def disagreement(model: Model, flat: np.ndarray) -> str:
    if len(flat) < 2 or flat.shape[1] < 4:
        return ""
    import arviz as az
    import xarray

    draws = xarray.Dataset({"flat": (("chain", "draw", "element"), flat)})
    found = az.rhat(draws)["flat"].values
    bad = np.flatnonzero(found > RHAT_LIMIT)
    if not len(bad):
        return ""
    ess = az.ess(draws.isel(element=bad))["flat"].values
    layout = FlatLayout(model.value_vars)
    worst = bad[np.argsort(-found[bad])]
    names = ", ".join(f"{layout.element(i)} ({found[i]:.3g})" for i in worst[:5])
    more = f" and {len(worst) - 5} more" if len(worst) > 5 else ""
    return (
        f"The chains disagree: R-hat is above {RHAT_LIMIT} for {names}{more}; the least effective "
        f"number of draws is {np.nanmin(ess):.0f}. Draw more (draws=, tune=); if it stays so, the "
        f"posterior has several modes or the model is not identified."
    )


def cut_off(statistics: Mapping[str, np.ndarray]) -> str:
    reached = statistics.get("reached_max_treedepth")
    if reached is None or reached.mean() <= 0.05:
        return ""
    return (
        f"{int(reached.sum())} of {reached.size} draws reached the maximum tree depth, which makes "
        f"them slow and dependent. The scales of variables differ a lot, or they are correlated: "
        f"init= an approximation helps, as does a larger max_treedepth."
    )
