"""Which losses of a fit are sensible: those before it began to run away."""

from __future__ import annotations

import numpy as np

__all__ = ["Level", "last_sensible"]

STRETCH = 100  # losses that tell a level and its noise
SHARES = (0.1, 0.5, 0.9)
BETWEEN = 0.01  # share of the losses after which the next ones are looked at
FAR = 10.0  # as many times its noise may a loss be above a level
LEAST_NOISE = 1e-3  # share of the level
LEAST_NOISE_OF_FEW = 0.1  # the same where few losses tell the noise, and in nats


def highest_of(stretch: np.ndarray) -> tuple[float, float]:
    """Return the level of a stretch of losses, and the highest loss that is sensible beside it."""
    in_order = np.sort(stretch).tolist()
    low, level, high = (quantile(in_order, share) for share in SHARES)
    least = LEAST_NOISE * abs(level)
    if len(stretch) < STRETCH:
        least = LEAST_NOISE_OF_FEW * (abs(level) + 1)
    return level, level + FAR * max(high - low, least)


def quantile(in_order: list[float], share: float) -> float:
    """Return a quantile as NumPy has it, whose own function takes long."""
    place = share * (len(in_order) - 1)
    k = int(place)
    low, high = in_order[k], in_order[min(k + 1, len(in_order) - 1)]
    return low + (high - low) * (place - k)


def last_sensible(losses: np.ndarray) -> int:
    """Return the index of the last loss that is no farther than noise above the best level.

    The best level is the lowest median of successive stretches of losses. A fit that runs away
    leaves it, and does not come back.

    Parameters
    ----------
    losses
        Finite losses, at least one.
    """
    length = min(STRETCH, max(1, len(losses) // 10))
    count = len(losses) // length
    stretches = losses[: count * length].reshape(count, length)
    best = stretches[np.argmin(np.median(stretches, axis=1))]
    return int(np.flatnonzero(losses <= highest_of(best)[1])[-1])


class Level:
    """The best level of the losses so far, kept up to date from chunk to chunk of a fit."""

    def __init__(self) -> None:
        self._level = self._highest = np.inf
        self._next = STRETCH  # how many losses there have to be for the next look

    def is_sensible(self, losses: np.ndarray) -> bool:
        """Tell whether the latest of all losses is sensible; False between two looks at them."""
        if len(losses) < self._next:
            return False
        self._next = len(losses) + max(STRETCH, int(BETWEEN * len(losses)))
        stretch = np.asarray(losses[-STRETCH:])
        level, highest = highest_of(stretch)
        if level < self._level:
            self._level, self._highest = level, highest
        return bool(losses[-1] <= self._highest)
