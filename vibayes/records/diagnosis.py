"""The judgement of an approximation: numbers, and a verdict in words."""

from __future__ import annotations

import html
import re
import warnings
from dataclasses import dataclass

import numpy as np

from vibayes.exceptions import ApproximationWarning, ConvergenceWarning
from vibayes.html import html_table
from vibayes.importance import GOOD_KHAT, NEARLY_EVEN, has_good_tail
from vibayes.records.findings import Attempt, Search, first_names

__all__ = ["LARGEST_SHIFT", "TAIL", "Diagnosis", "VariableCheck", "is_reliable"]

LARGEST_SHIFT = 0.15
"""Largest difference of means, in posterior standard deviations, that passes unmentioned."""
WIDTHS = 0.88, 1.14
"""Ratios of standard deviations that pass unmentioned."""
TAIL = 0.05
"""Share of draws beyond a 5 % or 95 % point."""
TAILS = 0.022, 0.09
"""Shares beyond a 5 % or 95 % point that pass unmentioned."""
FEWEST = 100
"""Smallest effective size by which importance weights can correct anything."""
SHOWN = 8


@dataclass(frozen=True)
class VariableCheck:
    """What better draws say about one scalar, of the unconstrained space or on its own scale.

    Attributes
    ----------
    name : str
        Such as ``beta[2]``, ``sigma_log__`` for the logarithm of a transformed variable, or
        ``sigma`` for the variable itself.
    shift : float
        Mean of the approximation minus that of the better draws, in their standard deviations.
    ratio : float
        Standard deviation of the approximation over theirs.
    noise : float
        About the largest shift that the number of the better draws explains.
    ratio_noise : float, optional
        About the largest logarithm of ``ratio`` that it explains; that of normal draws by default.
    below, above : float
        Shares of the better draws below the 5 % point of the approximation, and above its 95 %
        point: 0.05 if it is right.
    tail_noise : float
        About the largest difference from 0.05 that the number of draws explains.
    """

    name: str
    shift: float
    ratio: float
    noise: float = 0.0
    ratio_noise: float | None = None
    below: float = TAIL
    above: float = TAIL
    tail_noise: float = 0.0

    @property
    def good(self) -> bool:
        """Whether mean, width and tails agree."""
        return not (self.is_shifted or self.is_narrow or self.is_wide or self.is_off_in_a_tail)

    @property
    def is_shifted(self) -> bool:
        """Whether the mean is off."""
        return not abs(self.shift) <= max(LARGEST_SHIFT, self.noise)

    @property
    def is_narrow(self) -> bool:
        """Whether it is too narrow."""
        return self.ratio < min(WIDTHS[0], np.exp(-self._ratio_noise))

    @property
    def is_wide(self) -> bool:
        """Whether it is too wide."""
        return self.ratio > max(WIDTHS[1], np.exp(self._ratio_noise))

    @property
    def is_off_in_a_tail(self) -> bool:
        """Whether its 5 % or its 95 % point is off."""
        fewest, most = TAILS
        return bool(
            max(self.below, self.above) > max(most, TAIL + self.tail_noise)
            or min(self.below, self.above) < min(fewest, TAIL - self.tail_noise)
        )

    @property
    def _ratio_noise(self) -> float:
        return self.noise / np.sqrt(2) if self.ratio_noise is None else self.ratio_noise

    def __str__(self) -> str:
        text = f"{self.name}: mean {self.shift:+.2f} sd off, width {self.ratio:.2f} of what it is"
        if self.is_off_in_a_tail:
            text += f", {self.below:.1%} and {self.above:.1%} beyond its 5 % and 95 % points"
        return text


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """Judgement of an approximation.

    Attributes
    ----------
    family : str
        What was judged.
    elbo : float
        Evidence lower bound; NaN if the approximation has no density.
    elbo_mcse : float
        Monte Carlo standard error of this estimate.
    khat : float
        Pareto k of the importance weights: below 0.7 they can be relied on.
    ess : float
        Effective size of the weighted draws.
    draws : int
        Number of draws.
    converged : bool or None
        Whether the fit came to an end by its own test; None if it was told when to stop.
    stopped : str
        Why it stopped.
    checked_by : str
        What the single variables were compared with; empty if with nothing.
    variables : tuple of VariableCheck
        Each scalar of the unconstrained space, then those of transformed variables on their own
        scale; empty if there was nothing to compare with.
    modes : int
        Number of modes that hold mass, as far as the fit found them.
    places : int
        Number of places far apart that hold mass: the modes, and others, as in a funnel.
    dropped : tuple of float
        For each mode of negligible mass that was found: by how much its ELBO is lower.
    attempts : tuple of Attempt
        What ``method="auto"`` tried.
    why_not : str
        Why there is no judgement, if there is none.
    moving : tuple of str
        Scalars whose mean or width is not yet where the ELBO is largest.
    search : Search or None
        How hard the fit has looked for modes; None if it has not, or begun at a known place.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     y = vb.Normal("y", x, 0.1)
    ...     approx = vb.fit(random_seed=1, diagnose=False)
    >>> diagnosis = approx.diagnose(random_seed=1)
    >>> diagnosis.good
    False
    >>> diagnosis.verdict
    'This family does not hold the posterior: ... too narrow (means agree)...'
    """

    family: str
    elbo: float
    elbo_mcse: float
    khat: float
    ess: float
    draws: int
    converged: bool | None
    stopped: str
    checked_by: str = ""
    variables: tuple[VariableCheck, ...] = ()
    modes: int = 1
    places: int = 1
    dropped: tuple[float, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    why_not: str = ""
    moving: tuple[str, ...] = ()
    search: Search | None = None

    @property
    def judged(self) -> bool:
        """Whether there is something to judge by."""
        return not self.why_not

    @property
    def reliable(self) -> bool:
        """Whether the importance weights can be relied on."""
        return is_reliable(self.khat, self.ess, self.draws)

    @property
    def at_fault(self) -> list[VariableCheck]:
        """Variables whose mean or width is off, the worst first."""
        bad = [check for check in self.variables if not check.good]
        return sorted(bad, key=lambda c: -max(abs(c.shift), abs(np.log(c.ratio))))

    @property
    def fits(self) -> bool:
        """Whether the family holds the posterior, as far as can be told."""
        return bool(self.checked_by) and not self.at_fault and self.places == 1

    @property
    def good(self) -> bool:
        """Whether there is nothing to warn of."""
        return self.judged and self.fits and self.converged is not False

    @property
    def verdict(self) -> str:
        """The judgement in words, with what to try next."""
        if self.moving:
            return (
                f"Not converged: {first_names(list(self.moving))} still on the way. Try more "
                "iterations, another learning rate, or neither n nor an optimizer: such a fit "
                "ends by itself."
            )
        if self.converged is False:
            return (
                f"Not converged: {self.stopped}. Means and widths are not to be trusted. Give it "
                "more time, reparameterize the model, or look for parameters of which the data "
                "say nothing."
            )
        if not self.judged:
            return (
                f"Cannot be judged: {self.why_not}. Look at predictions, and compare with another "
                "method or a sampler where it matters."
            )
        if self.places > 1:
            where = f"The posterior has {self.modes} modes that hold mass"
            if self.modes < self.places:
                where = f"Mass was found in {self.places} places that lie far apart"
            return f'{where}, and this family has one. Try method="auto" or "mixture".'
        if not self.checked_by:
            return (
                f"This family does not hold the posterior: {self._weakness()}. Means may be "
                'wrong, and widths and correlations probably are. Try method="auto".'
            )
        if self.at_fault:
            return f"This family does not hold the posterior: {self._faults()}. {self._advice()}"
        return "Good: nothing speaks against this approximation."

    @property
    def headline(self) -> str:
        """The first words of the judgement."""
        return re.split("[:.,]", self.verdict, maxsplit=1)[0]

    def _weakness(self) -> str:
        if self.reliable:
            return "chains that began near it did not mix, so that it cannot be compared"
        if self.khat < GOOD_KHAT:
            return f"only {self.ess:.0f} of {self.draws} weighted draws count"
        return f"Pareto k is {self.khat:.2f}, and more than {GOOD_KHAT} is too much"

    def _faults(self) -> str:
        shifted, narrow, wide = (
            [check.name for check in self.at_fault if getattr(check, kind)]
            for kind in ("is_shifted", "is_narrow", "is_wide")
        )
        named = {*shifted, *narrow, *wide}
        tails = [check.name for check in self.at_fault if check.name not in named]
        faults = [f"the mean of {first_names(shifted)} is off"] if shifted else []
        faults += [f"{first_names(narrow)}: too narrow"] if narrow else []
        faults += [f"{first_names(wide)}: too wide"] if wide else []
        faults += [f"{first_names(tails)}: 5 % or 95 % point off"] if tails else []
        agree = "" if shifted else " (means agree)"
        return "; ".join(faults) + agree

    def _advice(self) -> str:
        if self.reliable:
            return 'Correct it by sample(importance=True), or try method="auto".'
        return 'Try method="auto", or "fullrank_advi" if parameters are correlated.'

    def warn(self, stacklevel: int = 1) -> None:
        """Warn if there is something to warn of.

        Parameters
        ----------
        stacklevel
            Whose line the warning names: 1 is the line of the call.
        """
        if self.good or (not self.judged and self.converged is not False):
            return
        category = ConvergenceWarning if self.converged is False else ApproximationWarning
        warnings.warn(self.verdict, category, stacklevel=stacklevel + 1)

    # -- what is shown ------------------------------------------------------------------------

    def _facts(self) -> list[tuple[str, str]]:
        facts = [("approximation", self.family)]
        if np.isfinite(self.elbo):
            facts.append(("ELBO", f"{self.elbo:.2f} ± {self.elbo_mcse:.2f}"))
        if not np.isnan(self.khat):
            even = self.ess > NEARLY_EVEN * self.draws
            note = "of no account, as the weights are nearly even" if even else ""
            facts.append(("Pareto k", f"{self.khat:.2f} ({note or f'good below {GOOD_KHAT}'})"))
        if not np.isnan(self.ess):
            facts.append(("effective draws", f"{self.ess:.0f} of {self.draws}"))
        facts.append(("why it ended", self.stopped))
        if self.checked_by:
            facts.append(("compared with", self.checked_by))
        if self.search is not None:
            facts.append(("modes looked for", str(self.search)))
        if self.dropped:
            lower = ", ".join(f"{difference:.1f}" for difference in sorted(self.dropped)[:3])
            facts.append(("modes left out", f"{len(self.dropped)}, their ELBO lower by {lower}"))
        return facts

    def _table(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = (
            [("tried", "ELBO", "Pareto k", "effective draws", "seconds")] if self.attempts else []
        )
        rows += [
            (
                a.name,
                in_decimals(a.elbo, 1),
                in_decimals(a.khat, 2),
                f"{in_decimals(a.ess, 0)} of {a.draws}",
                in_decimals(a.seconds, 1),
            )
            for a in self.attempts
        ]
        return rows

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self._facts())
        lines = [self.verdict, ""]
        lines += [f"  {name:{width}}  {value}" for name, value in self._facts()]
        if self.at_fault:
            lines += ["", "  off by more than a little:"]
            lines += [f"    {check}" for check in self.at_fault[:SHOWN]]
            if len(self.at_fault) > SHOWN:
                lines.append(f"    … and {len(self.at_fault) - SHOWN} more")
        if table := self._table():
            first, *others = [max(map(len, column)) for column in zip(*table, strict=True)]
            lines += [""]
            lines += [
                f"  {name:{first}}"
                + "".join(f"  {c:>{w}}" for c, w in zip(cells, others, strict=True))
                for name, *cells in table
            ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        colour = "seagreen" if self.good else "firebrick" if self.judged else "gray"
        parts = [
            f"<p style='border-left:4px solid {colour};padding-left:0.6em'>"
            f"{html.escape(self.verdict)}</p>",
            html_table(self._facts()),
        ]
        if self.at_fault:
            rows = [(c.name, f"{c.shift:+.2f}", f"{c.ratio:.2f}") for c in self.at_fault[:SHOWN]]
            parts.append(html_table(rows, ("variable", "mean off by (sd)", "width, of what it is")))
        if table := self._table():
            parts.append(html_table(table[1:], table[0]))
        return f"<div>{''.join(parts)}</div>"


def in_decimals(value: float, decimals: int) -> str:
    """Return a number, a dash for none."""
    return "-" if not np.isfinite(value) else f"{value:.{decimals}f}"


def is_reliable(khat: float, size: float, count: int) -> bool:
    """Tell whether weights of ``count`` draws, worth ``size``, can be relied on."""
    return has_good_tail(khat, size, count) and size >= FEWEST
