"""How long chains may take to mix."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["CHECK", "FINAL", "FURTHER_ROUNDS", "JUMPING", "MOST_JUMPING", "STRETCHED", "Effort"]

FURTHER_ROUNDS, FURTHER = 2, 4  # rounds more, and times as many leapfrog steps, of what is close
LAST_RESORT = 24_000  # leapfrog steps


@dataclass(frozen=True)
class Effort:
    """How long chains may take to mix.

    Attributes
    ----------
    rounds : int
        Number of rounds, each twice as long as the one before.
    leaps : int
        Number of leapfrog steps after which no move begins.
    jumps : int, default 0
        How often chains jump after each trajectory, for which they need no gradient.
    may_go_on : bool, default False
        Whether it may take longer if all that is missing are more draws.
    leaps_of_mixed : int, optional
        As ``leaps``, of chains that have mixed, and only do not know a width yet.
    leaps_for_plenty : int, default 0
        Up to so many leapfrog steps chains that are enough go on, to have plenty of draws.
    """

    rounds: int
    leaps: int
    jumps: int = 0
    may_go_on: bool = False
    leaps_of_mixed: int = LAST_RESORT
    leaps_for_plenty: int = 0

    def within(self, affordable: int, leaps_for_plenty: int = 0) -> Effort:
        """Return an effort of no more leapfrog steps than are affordable."""
        return replace(
            self,
            leaps=min(self.leaps, affordable),
            leaps_of_mixed=min(self.leaps_of_mixed, affordable),
            leaps_for_plenty=leaps_for_plenty,
        )

    @property
    def allowances(self) -> tuple[int, ...]:
        """Leapfrog steps of chains that show nothing yet, that are promising, that have mixed.

        To begin again elsewhere would cost more than to finish.
        """
        if not self.may_go_on:
            return (self.leaps,)
        return self.leaps, FURTHER * self.leaps, FURTHER * max(self.leaps, self.leaps_of_mixed)


CHECK = Effort(3, 2000, may_go_on=True)
"""Of chains that begin where weights look good."""
FINAL = Effort(7, LAST_RESORT, may_go_on=True)
"""Of chains as the last resort."""
STRETCHED = Effort(6, 6000)
"""Of chains in coordinates in which tails are short: if these help, they help soon."""
JUMPING = Effort(6, 12_000, jumps=8, may_go_on=True)
"""Of chains whose trajectories alone have not mixed."""
MOST_JUMPING = 10
"""Dimensions up to which jumps are often accepted."""
