"""What the losses of a fit say of its convergence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["FEWEST_LOSSES", "LossTrend", "loss_trend"]

FEWEST_LOSSES = 100
"""Number of losses that tell a trend."""
BATCHES = 10
STANDARD_ERRORS = 3.0


@dataclass(frozen=True)
class LossTrend:
    """How the loss moved over the last part of a fit.

    Attributes
    ----------
    change : float
        Mean loss of the last fifth of the iterations, less that of the fifth before.
    error : float
        Monte Carlo standard error of ``change``, by batch means.
    iterations : int
        Number of iterations in a fifth.
    """

    change: float
    error: float
    iterations: int

    @property
    def settled(self) -> bool:
        """Whether the change is no larger than its noise, or than a hundredth of a nat."""
        return abs(self.change) <= max(STANDARD_ERRORS * self.error, 0.01)

    def __str__(self) -> str:
        change = (
            f"{self.change:+.3g} ± {self.error:.2g} over the last {self.iterations:,} iterations"
        )
        if self.settled:
            return f"the loss has settled ({change})"
        direction = "falling" if self.change < 0 else "rising"
        return f"the loss is still {direction} ({change})"


def loss_trend(hist: np.ndarray) -> LossTrend:
    """Compare the last fifth of the losses with the fifth before.

    A loss that has settled is necessary for convergence, not sufficient: parameters that hardly
    matter for the loss may still be on their way.

    Parameters
    ----------
    hist
        Loss at each iteration.

    Raises
    ------
    ValueError
        If there are fewer than 100 losses.
    """
    if len(hist) < FEWEST_LOSSES:
        raise ValueError(
            f"at least {FEWEST_LOSSES} losses are needed to tell a trend, there are {len(hist)}"
        )
    fifth = len(hist) // 5
    last, before = hist[-fifth:], hist[-2 * fifth : -fifth]
    error = np.hypot(batch_means_error(last), batch_means_error(before))
    return LossTrend(float(last.mean() - before.mean()), float(error), fifth)


def batch_means_error(losses: np.ndarray) -> float:
    """Return the standard error of the mean of a correlated series."""
    means = [batch.mean() for batch in np.array_split(losses, BATCHES)]
    return float(np.std(means, ddof=1) / np.sqrt(BATCHES))
