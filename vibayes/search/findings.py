"""What an exploration has found, as plain numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vibayes.model.core import Model
from vibayes.model.flat import FlatLayout, Slot
from vibayes.posterior.draws import transformed_values
from vibayes.records.diagnosis import TAIL
from vibayes.records.findings import PROBABILITIES, Attempt, Findings, Summary
from vibayes.search.explore import Exploration
from vibayes.search.mixtures import WeightedDraws
from vibayes.search.normals import apart
from vibayes.search.prior import prior_draws

__all__ = ["attempt_of", "findings_of", "summary_of"]

PRIOR_DRAWS = 100
FAR = 2.0


def findings_of(exploration: Exploration, attempts: tuple[Attempt, ...] = ()) -> Findings:
    """Return what an exploration has found."""
    target, draws, best = exploration.target, exploration.draws, exploration.best.elbo
    values = target.unstandardized(draws.values)
    modes = max(1, len(apart([q for q in exploration.normals if q.converged])))
    found = max(1, sum(q.converged for q in exploration.normals))  # one may lie within another
    summary = summary_of(target.model, replace(draws, values=values))
    search = exploration.search
    if search is not None:
        beyond = beyond_prior(target.model, summary) if search.prior else ()
        search = replace(search, modes=found, beyond_prior=beyond)
    return Findings(
        **vars(summary),
        khat=draws.khat,
        ess=draws.size,
        draws=len(values),
        trusted=exploration.trusted,
        modes=modes,
        places=len(apart(exploration.normals)),
        dropped=tuple(best - q.elbo for q in exploration.dropped),
        attempts=attempts,
        normals=len(exploration.normals),
        search=search,
    )


def beyond_prior(model: Model, summary: Summary) -> tuple[str, ...]:
    """Return the scalars that lie far beyond all draws of the prior, in the unconstrained space.

    Their whole interval from 5 % to 95 % is further from the median of the prior's draws than
    twice the furthest of these. Of a prior that cannot be drawn from there are none.
    """
    prior = prior_draws(model, PRIOR_DRAWS, np.random.default_rng(0))  # of no other randomness
    if not len(prior):
        return ()
    least, middle, most = np.quantile(prior, [0, 0.5, 1], axis=0)
    low, high = (summary.points[PROBABILITIES.index(p)] for p in (TAIL, 1 - TAIL))
    far = (low > middle + FAR * (most - middle)) | (high < middle - FAR * (middle - least))
    layout = FlatLayout(model.value_vars)
    return tuple(layout.element(int(i)) for i in np.flatnonzero(far))


def summary_of(model: Model, draws: WeightedDraws) -> Summary:
    """Return what draws of the flat vector say about each scalar, on both scales."""
    names, own = own_scalars(model, draws.values)
    weights = np.exp(draws.log_weights)
    mean = weights @ own
    squares = (own - mean) ** 2
    variance = np.maximum(weights @ squares, np.finfo("float64").tiny)
    kurtosis = weights @ (squares / variance) ** 2
    return Summary(
        mean=draws.mean,
        sd=draws.sd,
        points=draws.quantiles(PROBABILITIES),
        own_names=names,
        own_mean=mean,
        own_sd=np.sqrt(variance),
        own_error=np.sqrt(np.maximum(kurtosis - 1, 0.0) / (4 * draws.size)),
    )


def own_scalars(model: Model, flat: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the scalars of all transformed variables: their names, and their values (n, D)."""
    names, columns = [], [np.empty((len(flat), 0))]
    for name, values in transformed_values(model, flat).items():
        column = values.reshape(len(flat), -1)
        slot = Slot(name, 0, column.shape[1], values.shape[1:])
        names += [slot.element(i) for i in range(slot.stop)]
        columns.append(column)
    return tuple(names), np.concatenate(columns, axis=1)


def attempt_of(name: str, elbo: float, draws: WeightedDraws, seconds: float) -> Attempt:
    """Return how good weighted draws of a family are, and when they were made."""
    return Attempt(name, elbo, draws.khat, draws.size, len(draws.values), seconds)
