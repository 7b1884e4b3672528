"""Simulation-based calibration: whether fits of data that a model has made find what made them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtrc

from vibayes.arguments import check_arguments, check_whole
from vibayes.backend.seeds import as_seed_sequence
from vibayes.context import modelcontext
from vibayes.exceptions import ModelError
from vibayes.inference.data_sets import (
    check_start,
    checked,
    own_data_afterwards,
    without_density,
)
from vibayes.inference.many import ManyFits, fit_many
from vibayes.model.core import Model
from vibayes.model.flat import FlatLayout, Slot
from vibayes.posterior.draws import transformed_values
from vibayes.predictive.predictive import sample_prior_predictive

__all__ = ["Calibration", "calibrate"]

BINS = 20
RANKED_DRAWS = 99  # so that there are 100 ranks


@dataclass(frozen=True)
class Calibration:
    """Ranks of what made the data among draws of what the fits say of it.

    If the fits are right, every rank is as frequent as any other. Fits that are too narrow have too
    many ranks at both ends, fits that are too wide too many in the middle; a slope is a bias.

    Attributes
    ----------
    ranks : numpy.ndarray
        How many of the draws are smaller, (number of data sets, number of scalars).
    names : tuple of str
        Names of the scalars, on their own scale.
    draws : int
        Number of posterior draws of each data set: ranks go from 0 to that.
    fits : ManyFits
        The fits.
    """

    ranks: np.ndarray
    names: tuple[str, ...]
    draws: int
    fits: ManyFits

    def counts(self, bins: int = BINS) -> np.ndarray:
        """Return how many ranks are in each of several equal parts, (number of scalars, bins)."""
        bins = check_whole(bins, "bins", least=2, most=self.draws + 1)
        edges = np.linspace(0, self.draws + 1, bins + 1)
        return np.array([np.histogram(column, edges)[0] for column in self.ranks.T])

    @property
    def pvalues(self) -> dict[str, float]:
        """Probability of counts at least as uneven, by a chi-squared test, of each scalar."""
        bins = int(np.clip(len(self.ranks) // 5, 2, BINS))
        edges = np.linspace(0, self.draws + 1, bins + 1)
        whole = np.diff(np.ceil(edges))  # ranks in each part
        expected = whole / whole.sum() * len(self.ranks)
        counts = self.counts(bins)
        squares = (np.square(counts - expected) / expected).sum(axis=1)
        found = chdtrc(bins - 1, squares)
        return dict(zip(self.names, map(float, found), strict=True))

    def __repr__(self) -> str:
        worst = min(self.pvalues, key=lambda name: self.pvalues[name])
        return (
            f"<Calibration: {len(self.ranks)} data sets, {int(self.fits.good.sum())} good fits, "
            f"smallest p-value {self.pvalues[worst]:.2g} ({worst})>"
        )


@check_arguments
def calibrate(
    model: Model | None = None,
    draws: int = 500,
    method: str = "auto",
    random_seed: Any = None,
    *,
    client: Any = None,
    **options: Any,
) -> Calibration:
    """Check fits by simulation: data that the model makes, and whether their parameters are found.

    Parameters
    ----------
    model
        The model; by default the one of the ``with`` block. Its data tell how many are made.
    draws
        Number of draws of the prior, each with its data set.
    method
        Name of a method, one that :func:`vibayes.fit` takes.
    random_seed
        Seed of everything random.
    client : distributed.Client, optional
        A Dask cluster; see :func:`vibayes.fit_many`.
    **options
        Further arguments of :func:`vibayes.fit`.

    Returns
    -------
    Calibration
        Ranks, to be tested and plotted (:func:`vibayes.plot_ranks`). After Ctrl-C, those of as many
        data sets as were done.

    Raises
    ------
    ModelError
        If there are no observed variables, or their data cannot be exchanged.
    SamplingError
        If fewer than two data sets have a log density.

    Warns
    -----
    UserWarning
        If data sets are left out, as they have no log density where fits start.

    References
    ----------
    Talts et al. (2018), Validating Bayesian inference algorithms with simulation-based calibration,
    arXiv:1804.06788.

    Examples
    --------
    >>> import numpy as np
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     mu = vb.Normal("mu", 0, 1)
    ...     y = vb.Normal("y", mu, 1, observed=np.zeros(10))
    ...     calibration = vb.calibrate(draws=100, random_seed=1)
    >>> calibration.ranks.shape
    (100, 1)
    >>> calibration.pvalues["mu"] > 0.001
    True
    """
    model = modelcontext(model)
    count = check_whole(draws, "draws", least=2)
    if not model.observed_RVs:
        raise ModelError("calibrate: the model has no observed variables, whose data it could make")
    if model.potentials:
        raise ModelError(
            f"calibrate: draws of the prior know nothing of the potential "
            f"{model.potentials[0].name!r}: write it as a distribution"
        )
    first, second = as_seed_sequence(random_seed).spawn(2)
    made = sample_prior_predictive(count, model=model, random_seed=first)
    observed = {rv.name: made["prior_predictive"][rv.name].values[0] for rv in model.observed_RVs}
    data = [{name: values[i] for name, values in observed.items()} for i in range(count)]
    kept = with_density(model, data)
    fits = fit_many(model, [data[i] for i in kept], method, second, client=client, **options)
    truth = {rv.name: made["prior"][rv.name].values[0][kept] for rv in model.free_RVs}
    return ranked(model, truth, fits)


def with_density(model: Model, data: Sequence[Mapping[str, np.ndarray]]) -> list[int]:
    """Return the numbers of the data sets that can be fitted; warn of others.

    Where a prior allows for shapes next to zero or scales without bound, what it draws may be
    rounded to the edge of a support, where there is no density.

    Raises
    ------
    SamplingError
        If there are fewer than two.
    """
    arrays = [checked(model, values, i) for i, values in enumerate(data)]
    with own_data_afterwards(model, list(arrays[0])):
        bad = without_density(model, arrays)
        if len(bad) > len(arrays) - 2:
            check_start(model, arrays)
    if bad:
        warnings.warn(
            f"calibrate: {len(bad)} of {len(data)} data sets that the prior has made have a log "
            f"density that is not finite where fits start, such as number {bad[0]}, and are left "
            f"out. Ranks are of the others: a prior without such extremes leaves none out.",
            stacklevel=4,
        )
    return [i for i in range(len(data)) if i not in set(bad)]


def ranked(model: Model, truth: dict[str, np.ndarray], fits: Any) -> Calibration:
    """Return the ranks of true values among draws of the fits."""
    layout = FlatLayout(model.value_vars)
    names: list[str] = []
    for rv in model.free_RVs:
        values = truth[rv.name]
        slot = Slot(rv.name, 0, int(np.prod(values.shape[1:])), values.shape[1:])
        names += [slot.element(k) for k in range(slot.stop)]
    everything = np.stack([fits.draws(i, RANKED_DRAWS) for i in range(len(fits))])
    flat = everything.reshape(-1, layout.size)
    own = layout.point(flat) | transformed_values(model, flat)
    columns = []
    for rv in model.free_RVs:
        found = own[rv.name].reshape(len(fits), RANKED_DRAWS, -1)
        true = truth[rv.name][: len(fits)].reshape(len(fits), 1, -1)  # fewer after Ctrl-C
        columns.append((found < true).sum(axis=1))
    return Calibration(np.concatenate(columns, axis=1), tuple(names), RANKED_DRAWS, fits)
