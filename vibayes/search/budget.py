"""How long an automatic fit may take."""

from __future__ import annotations

import time

from vibayes.arguments import check_real, check_whole

__all__ = ["Budget"]

LATE = 0.8  # share of the time


class Budget:
    """Time and steps that are left.

    Parameters
    ----------
    seconds : float
        Time from now.
    steps : int
        Number of steps, of whatever kind.
    """

    def __init__(self, seconds: float, steps: int) -> None:
        self.seconds = check_real(seconds, "max_seconds", above=0, finite=False)
        self.steps = check_whole(steps, "max_steps", least=1)
        self.begun = time.perf_counter()
        self.taken = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self.begun

    @property
    def time_is_up(self) -> bool:
        """Whether no time is left, for what is in the middle of a step."""
        return self.elapsed >= self.seconds

    @property
    def exhausted(self) -> str:
        """What is used up, in words; empty as long as nothing is."""
        if self.taken >= self.steps:
            return f"the budget of {self.steps:,} steps was used up"
        if self.time_is_up:
            return f"the budget of {self.seconds:g} seconds was used up"
        return ""

    @property
    def is_late(self) -> bool:
        """Whether so little time is left that nothing long should begin."""
        return self.elapsed >= LATE * self.seconds or bool(self.exhausted)

    def step(self, count: int = 1) -> bool:
        """Count steps, and tell whether they may be taken."""
        if self.exhausted:
            return False
        self.taken += count
        return True
