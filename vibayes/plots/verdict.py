"""Pictures of a verdict: how far an approximation is to be trusted, and what was tried."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

from vibayes.approximations.base import Approximation
from vibayes.arguments import check_arguments
from vibayes.backend.seeds import derived_seed
from vibayes.importance import GOOD_KHAT
from vibayes.plots.axes import COLORS, import_pyplot
from vibayes.records.diagnosis import LARGEST_SHIFT, WIDTHS, Diagnosis, VariableCheck

__all__ = ["plot_families", "plot_verdict"]

MOST_BARS = 12
LETTERS = 96  # in a line of the title
TICKS = 0.125, 0.25, 0.5, 1.0, 2.0, 4.0


@check_arguments
def plot_verdict(approx: Approximation, diagnosis: Diagnosis | None = None) -> Any:
    """Draw what the verdict on an approximation is made of.

    To the left the importance weights of its own draws, the largest first: the share of all weight
    that each number of them holds. Even weights make the straight line. In the middle by how much
    means are off, and to the right how wide each scalar is beside what it should be, the worst
    ones first; what passes is shaded.

    Parameters
    ----------
    approx : Approximation
        What was judged.
    diagnosis : Diagnosis, optional
        Its judgement; by default the last one, or a new one if there is none.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        (3,): the weights, the means and the widths.

    Raises
    ------
    ImportError
        If Matplotlib is missing: ``pip install matplotlib``.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     y = vb.Normal("y", x, 0.5)
    ...     approx = vb.fit(random_seed=1, diagnose=False, progressbar=False)
    >>> weights, means, widths = vb.plot_verdict(approx)
    >>> widths.get_xlabel()
    'width, of what it is'
    """
    pyplot = import_pyplot("plot_verdict")
    judged = diagnosis or approx.diagnosis or approx.diagnose()
    checks = sorted(judged.variables, key=lambda c: (c.good, -badness(c)))[:MOST_BARS][::-1]
    height = 2.4 + 0.22 * max(len(checks), 5)
    figure, axes = pyplot.subplots(
        1, 3, figsize=(10, height), layout="constrained", width_ratios=[1.1, 1, 1]
    )
    weights, means, widths = axes
    color = COLORS["good" if judged.good else "bad"]
    title = "\n".join(textwrap.wrap(judged.verdict, LETTERS))
    figure.suptitle(title, color=color, fontsize="medium", ha="left", x=0.01)
    draw_weights(weights, approx, judged)
    if checks:
        draw_checks(means, widths, checks, len(judged.variables))
    else:
        for ax in (means, widths):
            ax.set_axis_off()
        what = judged.checked_by or "nothing"
        text = "\n".join(textwrap.wrap(f"It was compared with {what}.", LETTERS // 2))
        means.text(0.05, 0.5, text, va="center", transform=means.transAxes)
    return axes


def badness(check: VariableCheck) -> float:
    """Return how far off a scalar is."""
    return float(max(abs(check.shift), abs(np.log(max(check.ratio, 1e-9)))))


def draw_weights(ax: Any, approx: Approximation, judged: Diagnosis) -> None:
    """Draw the share of all weight that the largest weights hold."""
    ax.plot([0, 1], [0, 1], "--", color=COLORS["against"], linewidth=1, label="even weights")
    try:
        draws = approx.flat_draws(max(judged.draws, 100), derived_seed(approx.noise_seeds))
    except NotImplementedError:
        ax.text(0.55, 0.3, "draws, all of\nequal weight", transform=ax.transAxes)
    else:
        ratios = np.asarray(draws.logp - draws.logq, dtype="float64")
        ratios = np.where(np.isfinite(ratios), ratios, -np.inf)
        shares = np.sort(np.exp(ratios - ratios.max(initial=-1e300)))[::-1].cumsum()
        numbers = np.arange(len(shares) + 1) / len(shares)
        shares = np.concatenate([[0.0], shares / shares[-1]])
        ax.fill_between(numbers, shares, numbers, color=COLORS["approximation"], alpha=0.25)
        ax.plot(numbers, shares, color=COLORS["approximation"], label="weights")
        ax.legend(loc="lower right", frameon=False)
    known = [f"Pareto k {judged.khat:.2f}"] if np.isfinite(judged.khat) else []
    known += [f"{judged.ess:.0f} of {judged.draws} draws count"] if judged.ess > 0 else []
    ax.set_title(", ".join(known), fontsize="small")
    ax.set(xlabel="share of the draws", ylabel="share of all weight", xlim=(0, 1), ylim=(0, 1.02))


def draw_checks(means: Any, widths: Any, checks: list[VariableCheck], count: int) -> None:
    """Draw how far off the means and the widths of scalars are."""
    places = np.arange(len(checks))
    colors = [COLORS["good" if check.good else "bad"] for check in checks]
    means.axvspan(-LARGEST_SHIFT, LARGEST_SHIFT, color=COLORS["against"], alpha=0.25, linewidth=0)
    means.hlines(places, 0, [c.shift for c in checks], colors)
    means.scatter([c.shift for c in checks], places, c=colors, zorder=3)
    reach = max(0.5, *(1.15 * abs(c.shift) for c in checks))
    means.set(xlim=(-reach, reach), xlabel="mean off by, in sd", yticks=places)
    means.set_yticklabels([check.name for check in checks])
    widths.axvspan(*WIDTHS, color=COLORS["against"], alpha=0.25, linewidth=0)
    ratios = [min(max(c.ratio, TICKS[0]), TICKS[-1]) for c in checks]
    widths.hlines(places, 1, ratios, colors)
    widths.scatter(ratios, places, c=colors, zorder=3)
    widths.set_xscale("log", base=2)
    low, high = min(0.45, *(0.85 * r for r in ratios)), max(2.2, *(1.15 * r for r in ratios))
    ticks = [tick for tick in TICKS if low < tick < high]
    widths.set(xlim=(low, high), xlabel="width, of what it is", yticks=[])
    widths.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
    for ax in (means, widths):
        ax.set_ylim(-0.6, len(checks) - 0.4)
    if count > len(checks):
        means.set_title(f"the worst {len(checks)} of {count:,} scalars", fontsize="small")


@check_arguments
def plot_families(approx: Approximation) -> Any:
    """Draw what ``method="auto"`` has tried: the bound, the weights and the time of each family.

    Parameters
    ----------
    approx : Approximation
        The result of ``vb.fit(method="auto")``.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        (3,): the ELBO, the share of effective draws, and Pareto k.

    Raises
    ------
    ImportError
        If Matplotlib is missing: ``pip install matplotlib``.
    ValueError
        If the fit has tried no families.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     y = vb.Normal("y", x, 0.1)
    ...     approx = vb.fit(method="auto", random_seed=1, progressbar=False)
    >>> elbo, share, k = vb.plot_families(approx)
    >>> [label.get_text().split(",")[0] for label in elbo.get_yticklabels()]
    ['mean field', 'full rank']
    """
    pyplot = import_pyplot("plot_families")
    findings = approx.ending.findings
    attempts = () if findings is None else findings.attempts
    if not attempts:
        raise ValueError(
            "plot_families: approx is the result of a fit that tried no families: only "
            'method="auto" does'
        )
    count = len(attempts)
    size = (10, 1.6 + 0.45 * count)
    figure, axes = pyplot.subplots(1, 3, figsize=size, layout="constrained")
    figure.suptitle(f'method="auto" has chosen {approx!r}', fontsize="medium", ha="left", x=0.01)
    elbo, share, khat = axes
    places = np.arange(count)
    elbos = np.array([a.elbo for a in attempts])
    elbo.plot(elbos, places, "o", color=COLORS["approximation"])
    known = elbos[np.isfinite(elbos)]
    if len(known):
        reach = max(np.ptp(known), 1.0)
        elbo.set_xlim(known.min() - 0.15 * reach, known.max() + 0.15 * reach)
    elbo.set_yticks(places, [f"{a.name}, {a.seconds:.1f} s" for a in attempts])
    elbo.set_xlabel("ELBO")
    elbo.locator_params(axis="x", nbins=4)
    share.barh(places, [a.ess / a.draws for a in attempts], color=COLORS["approximation"])
    share.set(xlim=(0, 1), xlabel="share of draws that count", yticks=[])
    ks = np.array([a.khat for a in attempts])
    shown = np.clip(np.where(np.isneginf(ks), 0.0, ks), 0.0, 1.5)
    colors = [COLORS["good" if k < GOOD_KHAT else "bad"] for k in ks]
    khat.axvline(GOOD_KHAT, color=COLORS["against"], linestyle="--", linewidth=1)
    khat.scatter(shown, places, c=colors)
    khat.set(xlim=(-0.05, 1.55), xlabel=f"Pareto k, good below {GOOD_KHAT}", yticks=[])
    for ax in axes:
        ax.set_ylim(count - 0.5, -0.5)  # the first one at the top
    return axes
