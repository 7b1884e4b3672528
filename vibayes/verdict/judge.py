"""How an approximation is judged: by importance weights of its draws, and by better draws."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import ndtri

from vibayes.backend.evaluation import devices_of_densities
from vibayes.backend.modes import evaluate
from vibayes.backend.seeds import as_seed_sequence, derived_seed, new_generator
from vibayes.eigenvalues import eigh
from vibayes.families.joint import Joint
from vibayes.importance import smoothed
from vibayes.model.data_size import data_size
from vibayes.model.target import Target, goes_by_rows
from vibayes.posterior.draws import flat_draws, flat_values
from vibayes.records.diagnosis import LARGEST_SHIFT, TAIL, Diagnosis, VariableCheck, is_reliable
from vibayes.records.ending import Ending
from vibayes.records.findings import PROBABILITIES, Findings, Summary
from vibayes.search.best_normals import LARGE
from vibayes.search.findings import summary_of
from vibayes.search.mixtures import FittedMixture, ImportanceSampler, WeightedDraws

__all__ = ["agrees", "diagnose", "draws_to_judge"]

ARRIVED = 0.8, 1.25
"""Widths, of the best ones of a family, around which the noise of an optimizer may leave them."""
NEARLY_EXACT = 0.9
"""Share of effective draws at which weights of the own draws tell more than any others."""
OWN_DRAWS = "its own draws, importance weighted"
UNKNOWN = 0.15  # standard error of a log width that a few draws in a tail decide
FEWEST_DRAWS = 100
MOST_DRAWS, MOST_NUMBERS = 10_000, 2_000_000  # of an approximation, for its moments
MOST_OBSERVATIONS = 50_000_000  # whose log density is evaluated for a judgement
MOST_BY_ROWS, FEWEST_BY_ROWS = 100_000_000, 120  # of data that are gone through by rows


def draws_to_judge(model: Any) -> int:
    """Return how many draws to judge by: fewer for models that take long to evaluate."""
    if goes_by_rows(model):
        return int(np.clip(MOST_BY_ROWS // max(data_size(model), 1), FEWEST_BY_ROWS, 1000))
    draws = int(np.clip(MOST_OBSERVATIONS // max(data_size(model), 1), 2 * FEWEST_DRAWS, 1000))
    devices = devices_of_densities()
    return draws if devices is None else devices.agreed(draws)


def diagnose(approx: Joint, ending: Ending, draws: int, random_seed: Any) -> Diagnosis:
    """Judge an approximation by importance weights; see :meth:`vibayes.Approximation.diagnose`.

    Parameters
    ----------
    approx
        What is judged.
    ending
        Why its fit ended, and what that has found.
    draws
        Number of draws.
    random_seed
        Seed of the draws.
    """
    findings = ending.findings
    common = common_facts(approx, ending)
    try:
        flat, logp, logq = flat_draws(approx, draws, random_seed)
    except NotImplementedError as error:
        return without_density(common, findings, str(error))
    log_ratios = logp - logq
    finite = np.isfinite(log_ratios)
    own = WeightedDraws(flat, *smoothed(np.where(finite, log_ratios, -np.inf)))
    checked_by, checks, weighted = checked(approx, findings, own, random_seed)
    khat, ess = (own.khat, own.size) if weighted is None else (weighted.khat, weighted.size)
    if not finite.all() and not checks:
        khat = np.inf
    result = Diagnosis(
        **common,
        elbo=float(log_ratios.mean()) if finite.all() else -np.inf,
        elbo_mcse=float(log_ratios.std(ddof=1) / np.sqrt(draws)) if finite.all() else np.nan,
        khat=khat,
        ess=ess,
        draws=draws,
        checked_by=checked_by,
        variables=checks,
        **places_of(findings, approx),
    )
    if result.fits:  # a loss that still moves does no harm where nothing else speaks against it
        return result
    if ending.converged is None and findings is None:
        result = replace(result, moving=unfinished(approx, flat))
    return replace(result, converged=False) if ending.unsettled or result.moving else result


def checked(
    approx: Joint, findings: Findings | None, own: WeightedDraws, random_seed: Any
) -> tuple[str, tuple[VariableCheck, ...], WeightedDraws | None]:
    """Compare each scalar with better draws, if there are any.

    Those that the fit has found, if they are trusted; the own draws with their weights, if these
    are good, and the fit has not found that they are not to be trusted; and where nothing else is
    known of a normal, draws with heavier tails. Weights of the own draws know nothing of mass
    elsewhere: they may be even at one of several normals.

    Returns
    -------
    str
        What was compared with; empty if with nothing.
    tuple of VariableCheck
        What that has shown.
    WeightedDraws or None
        Draws whose weights are no good, though those of the own draws are.
    """
    draws = len(own.values)
    reliable = is_reliable(own.khat, own.size, draws)
    nearly_exact = reliable and own.size > NEARLY_EXACT * draws
    alone = findings is None or findings.normals == 1 or approx.several_modes
    if findings is not None and not (nearly_exact and alone):
        if not findings.trusted:
            return "", (), None
        summary = own_summary(approx, random_seed)
        return origin_of(findings), compared(approx, summary, findings, findings.ess), None
    if not reliable:
        return "", (), None
    if findings is None and (wide := heavy_tailed(approx, draws, random_seed)) is not None:
        if not is_reliable(wide.khat, wide.size, draws):
            return "", (), wide
        better = summary_of(approx.model, wide)
        checks = compared(approx, own_summary(approx, random_seed), better, wide.size)
        return "draws with heavier tails, importance weighted", checks, None
    even = replace(own, log_weights=np.full(draws, -np.log(draws)))
    summary, better = summary_of(approx.model, even), summary_of(approx.model, own)
    same = 1 - own.size / (draws + 1)  # of the noise, as the draws are the same
    return OWN_DRAWS, compared(approx, summary, better, own.size / same, own.size), None


def agrees(approx: Joint, findings: Findings) -> bool:
    """Tell whether better draws agree with an approximation, on both scales."""
    summary = own_summary(approx, derived_seed(approx.noise_seeds))
    return all(check.good for check in compared(approx, summary, findings, findings.ess))


def own_summary(approx: Joint, random_seed: Any) -> Summary:
    """Return what an approximation says about each scalar, exactly where it knows that."""
    count = int(np.clip(MOST_NUMBERS // max(approx.ddim, 1), FEWEST_DRAWS, MOST_DRAWS))
    flat, _ = flat_values(approx, count, random_seed)
    even = np.full(count, -np.log(count))
    summary = summary_of(approx.model, WeightedDraws(flat, even, np.nan))
    moments = exact_moments(approx)
    if moments is None:
        return summary
    mean, sd = moments
    if not approx.is_normal:
        return replace(summary, mean=mean, sd=sd)
    points = mean + ndtri(PROBABILITIES)[:, None] * sd
    return replace(summary, mean=mean, sd=sd, points=points)


def heavy_tailed(approx: Joint, draws: int, random_seed: Any) -> WeightedDraws | None:
    """Return weighted draws of a normal approximation with heavier tails than its own.

    Draws of a normal that is too narrow hardly ever come to where it should be wider. None for
    other families, and in many dimensions, where hardly any of these draws would count.
    """
    if not approx.is_normal or approx.ddim > LARGE or approx.model.has_streams:
        return None
    mean, cov = evaluate([approx.groups[0].mean, approx.groups[0].cov])
    mean = approx.in_model_order(mean.astype("float64"))
    cov = approx.in_model_order(approx.in_model_order(cov.astype("float64")).T).T
    proposal = FittedMixture.make([0.0], [mean], [np.linalg.cholesky(cov)]).widened()
    _, seed = as_seed_sequence(random_seed).spawn(2)  # the own draws are of the first
    rng = new_generator(seed)
    target = Target(approx.model)
    target.turn_to(mean[None])
    return ImportanceSampler.empty(target, draws).with_draws(proposal, rng).draws


def unfinished(approx: Joint, flat: np.ndarray) -> tuple[str, ...]:
    """Return the scalars whose mean or width is not yet where the ELBO is largest.

    At the optimum of a normal family, with mean mu, the expected gradient g of the log density is
    zero, and that of (z - mu) g is minus one in each scalar (Stein's lemma). Before, a Newton step
    is how far the mean has to go; and minus (z - mu) g is the square of the width over what it is
    to be.
    """
    if not approx.is_normal or approx.model.has_streams:
        return ()
    target = Target(approx.model)
    target.turn_to(flat)
    logp, slopes = target(flat)
    if not np.isfinite(logp).all():
        return ()
    scores = (flat - flat.mean(axis=0)) * slopes
    noise = largest_of(2 * flat.shape[1], len(flat))
    steps = newton_steps(flat, slopes)
    mean_left = excess(steps.mean(axis=0), steps.std(axis=0) * noise, -LARGEST_SHIFT, LARGEST_SHIFT)
    narrow, wide = np.square(ARRIVED)
    width_left = excess(-scores.mean(axis=0), scores.std(axis=0) * noise, narrow, wide)
    left = np.maximum(mean_left, width_left)
    names = approx.element_names()
    return tuple(names[i] for i in np.argsort(-left) if left[i] > 0)


def newton_steps(flat: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Return, for each draw, a step towards the best mean, in units of the posterior's widths.

    The curvature is the slope of the gradients' regression on the draws. Where there are too few
    draws for it, or it is not that of a peak, each scalar has its own step: the natural gradient
    of independent normals.
    """
    count, d = flat.shape
    scale = flat.std(axis=0)
    steps = slopes * scale
    if count < 5 * d:
        return steps
    slope = np.linalg.lstsq((flat - flat.mean(axis=0)) / scale, steps)[0]
    eigenvalues, vectors = eigh(-0.5 * (slope + slope.T))
    if eigenvalues[0] < 1e-6 * eigenvalues[-1]:
        return steps
    covariance = (vectors / eigenvalues) @ vectors.T
    return steps @ covariance / np.sqrt(covariance.diagonal())


def excess(values: np.ndarray, noise: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return how far values are outside of limits, beyond their noise."""
    return np.maximum(low - values, values - high) - noise


def common_facts(approx: Joint, ending: Ending) -> dict[str, Any]:
    """Return what is known without evaluating anything."""
    findings = ending.findings
    return dict(
        family=repr(approx),
        converged=ending.converged,
        stopped=ending.reason,
        dropped=() if findings is None else findings.dropped,
        attempts=() if findings is None else findings.attempts,
        search=None if findings is None else findings.search,
    )


def without_density(common: dict[str, Any], findings: Findings | None, why: str) -> Diagnosis:
    """Return the judgement of draws, by how they were made."""
    nothing: dict[str, Any] = dict(elbo=np.nan, elbo_mcse=np.nan)
    if findings is None:
        return Diagnosis(**common, **nothing, khat=np.nan, ess=np.nan, draws=0, why_not=why)
    return Diagnosis(
        **common,
        **nothing,
        khat=findings.khat,
        ess=findings.ess,
        draws=findings.draws,
        checked_by=origin_of(findings) if findings.trusted else "",
    )


def origin_of(findings: Findings) -> str:
    """Return what draws of an exploration are."""
    if np.isnan(findings.khat):
        return f"{findings.draws} draws of chains, worth {findings.ess:.0f}, which had mixed"
    return f"{findings.draws} weighted draws, Pareto k {findings.khat:.2f}"


def places_of(findings: Findings | None, approx: Joint) -> dict[str, Any]:
    """Return how many modes and places there are, if the family can be in one only."""
    if findings is None or approx.several_modes:
        return {}
    return {"modes": findings.modes, "places": findings.places}


def compared(
    approx: Joint, own: Summary, better: Summary, size: float, tail_size: float | None = None
) -> tuple[VariableCheck, ...]:
    """Compare mean, width and tails of each scalar with better ones, on both scales.

    Parameters
    ----------
    approx
        What is judged.
    own, better
        What it says, and what better draws say.
    size
        How many independent draws the better ones are worth.
    tail_size
        The same, for shares in the tails, if it is another number.
    """
    names = approx.element_names()
    count = len(names) + len(better.own_names)
    noise, spread = largest_of(count, size), largest_of(count, 1.0)
    tails = np.full((2, len(names)), TAIL)
    if better.points.size:
        low, high = (own.points[PROBABILITIES.index(p)] for p in (TAIL, 1 - TAIL))
        tails = np.stack([better.below(low), 1 - better.below(high)])
    tail_noise = largest_of(2 * count, tail_size or size) * np.sqrt(TAIL * (1 - TAIL))
    sd = np.maximum(better.sd, np.finfo("float64").tiny)
    rows = zip(names, (own.mean - better.mean) / sd, own.sd / sd, *tails, strict=True)
    checks = [
        VariableCheck(
            name,
            float(shift),
            float(ratio),
            noise,
            below=float(below),
            above=float(above),
            tail_noise=tail_noise,
        )
        for name, shift, ratio, below, above in rows
    ]
    if not better.own_names:
        return tuple(checks)
    errors = np.hypot(own.own_error, better.own_error)
    errors = np.where(errors > UNKNOWN, np.inf, spread * errors)
    shifts = (own.own_mean - better.own_mean) / better.own_sd
    own_rows = zip(better.own_names, shifts, own.own_sd / better.own_sd, errors, strict=True)
    checks += [
        VariableCheck(name, float(shift), float(ratio), noise, float(error))
        for name, shift, ratio, error in own_rows
    ]
    return tuple(checks)


def exact_moments(approx: Joint) -> tuple[np.ndarray, np.ndarray] | None:
    """Return mean and standard deviations in model order, where the family knows them."""
    if len(approx.groups) != 1:
        return None
    try:
        moments = evaluate([approx.groups[0].moment(name) for name in ("mean", "std")])
    except NotImplementedError:
        return None
    mean, sd = (approx.in_model_order(moment.astype("float64")) for moment in moments)
    return mean, sd


def largest_of(count: int, draws: float) -> float:
    """Return about the largest of a number of averages of standard normal draws."""
    return float(np.sqrt(2 * np.log(2 * count) / max(draws, 1.0)))
