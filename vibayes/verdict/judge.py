"""How an approximation is judged: by importance weights of its draws, and by better draws."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from vibayes.backend.modes import evaluate
from vibayes.backend.seeds import as_seed_sequence
from vibayes.families.joint import Joint
from vibayes.importance import effective_size, smoothed
from vibayes.model.target import Target, data_size
from vibayes.posterior.draws import flat_draws
from vibayes.records.diagnosis import LARGEST_SHIFT, Diagnosis, VariableCheck, is_reliable
from vibayes.records.ending import Ending
from vibayes.records.findings import Findings
from vibayes.search.explore import LARGE
from vibayes.search.mixtures import FittedMixture, ImportanceSampler, WeightedDraws

__all__ = ["diagnose", "draws_to_judge"]

ARRIVED = 0.8, 1.25
"""Widths, of the best ones of a family, around which the noise of an optimizer may leave them."""
NEARLY_EXACT = 0.9
"""Share of effective draws at which weights of the own draws tell more than any others."""
OWN_DRAWS = "its own draws, importance weighted"
FEWEST_DRAWS = 100
MOST_OBSERVATIONS = 400_000_000  # whose log density is evaluated for a judgement


def draws_to_judge(model: Any) -> int:
    """Return how many draws to judge by: fewer for models that take long to evaluate."""
    return int(np.clip(MOST_OBSERVATIONS // max(data_size(model), 1), 2 * FEWEST_DRAWS, 1000))


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
    log_weights, khat = smoothed(np.where(finite, log_ratios, -np.inf))
    ess = effective_size(log_weights)
    checked_by = ""
    checks: tuple[VariableCheck, ...] = ()
    reliable = is_reliable(khat, ess, draws)
    nearly_exact = reliable and ess > NEARLY_EXACT * draws
    if findings is not None and findings.trusted and not nearly_exact:
        checked_by = origin_of(findings)
        moments: tuple[np.ndarray, np.ndarray]
        moments = exact_moments(approx) or (flat.mean(axis=0), flat.std(axis=0))
        noise = largest_of(len(findings.mean), findings.ess)
        checks = compared(approx, moments[0], moments[1], findings.mean, findings.sd, noise)
    elif reliable:
        better, checked_by = WeightedDraws(flat, log_weights, khat), OWN_DRAWS
        noise = largest_of(flat.shape[1], ess) * np.sqrt(1 - ess / (draws + 1))
        if findings is None and (wide := heavy_tailed(approx, draws, random_seed)) is not None:
            better, checked_by = wide, "draws with heavier tails, importance weighted"
            noise = largest_of(flat.shape[1], wide.size)
        if is_reliable(better.khat, better.size, draws):
            moments = flat.mean(axis=0), flat.std(axis=0)
            if checked_by != OWN_DRAWS:
                moments = exact_moments(approx) or moments
            checks = compared(approx, moments[0], moments[1], better.mean, better.sd, noise)
        else:
            checked_by, khat, ess = "", better.khat, better.size
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
    rng = np.random.default_rng(as_seed_sequence(random_seed).spawn(1)[0])
    return ImportanceSampler.empty(Target(approx.model), draws).with_draws(proposal, rng).draws


def unfinished(approx: Joint, flat: np.ndarray) -> tuple[str, ...]:
    """Return the scalars whose mean or width is not yet where the ELBO is largest.

    At the optimum of a normal family, with mean mu, the expected gradient g of the log density is
    zero, and that of (z - mu) g is minus one in each scalar (Stein's lemma). Before, a Newton step
    is how far the mean has to go; and minus (z - mu) g is the square of the width over what it is
    to be.
    """
    if not approx.is_normal or approx.model.has_streams:
        return ()
    logp, slopes = Target(approx.model)(flat)
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
    eigenvalues, vectors = np.linalg.eigh(-0.5 * (slope + slope.T))
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
        return f"{findings.draws} draws by Hamiltonian moves, which had settled"
    return f"{findings.draws} weighted draws, Pareto k {findings.khat:.2f}"


def places_of(findings: Findings | None, approx: Joint) -> dict[str, Any]:
    """Return how many modes and places there are, if the family can be in one only."""
    if findings is None or approx.several_modes:
        return {}
    return {"modes": findings.modes, "places": findings.places}


def compared(
    approx: Joint,
    mean: np.ndarray,
    sd: np.ndarray,
    true_mean: np.ndarray,
    true_sd: np.ndarray,
    noise: float,
) -> tuple[VariableCheck, ...]:
    """Compare the mean and the width of each scalar with better ones."""
    true_sd = np.maximum(true_sd, np.finfo("float64").tiny)
    rows = zip(approx.element_names(), (mean - true_mean) / true_sd, sd / true_sd, strict=True)
    return tuple(VariableCheck(name, float(z), float(ratio), noise) for name, z, ratio in rows)


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
