"""Many short chains of Hamiltonian Monte Carlo, side by side.

All chains take a step at once, so that a step costs one evaluation of a stack of vectors. They are
tuned together and then left alone: from there on their draws are exact once they have forgotten
where they began (Hoffman, Radul & Sountsov 2021, ChEES-HMC). Whether they have is measured: see
:mod:`vibayes.search.mixing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np
from scipy.linalg import solve_triangular

from vibayes import progress
from vibayes.search.budget import Budget
from vibayes.search.effort import FURTHER_ROUNDS, Effort
from vibayes.search.mixing import Mixing, mixing_of, width_errors

__all__ = ["CHAINS_EACH", "POINTS", "ChainRun", "Density", "run_chains"]

POINTS = 32
"""Number of points at which chains begin, at the least."""
CHAINS_EACH = 4
"""Number of chains that begin at one point."""
WANTED_MEAN, WANTED_ACCEPTANCE = 0.75, 0.65  # arithmetic and harmonic mean of the acceptance
LEAST_ACCEPTANCE = 0.05  # as what one counts that fails altogether
SHORTEST = 0.3  # length of the shortest step, in units of the longest: all chains differ
MOST_LEAPS, MOST_CAREFUL_LEAPS = 128, 64  # the latter of steps that are shortened for few chains
TUNING = 24  # moves by which steps and trajectories are chosen
BLOCKS, BLOCK = 3, 20  # moves of the first round; each round is twice as long
PLENTY, MOST_SNAPSHOTS = 1000.0, 480  # effective draws, and states of all chains for these
LARGEST_WIDTH_ERROR = 0.12  # standard error of the logarithm of a width
ROUNDS_BEFORE = 2  # whose draws count, too, if chains have mixed in all of them together
JUMP = 2.38  # times the square root of half the number of dimensions: the best for a normal
WHOLE_JUMPS = 0.1  # share of jumps by a whole difference: from one mode to another
LENGTH_RATE = 0.1  # by which a move changes the logarithm of the length of trajectories


class Density(Protocol):
    """What chains move on, such as a :class:`vibayes.model.target.Target`."""

    def __call__(self, Z: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]:
        """Return the log density (n,) and its gradient (n, d) at the rows of a matrix."""
        ...


@dataclass(frozen=True)
class ChainRun:
    """Draws of chains with settings that did not change meanwhile.

    Attributes
    ----------
    values : numpy.ndarray
        States of all chains at a number of times, (times, chains, d).
    logp : numpy.ndarray
        Log density of the target there, (times, chains).
    mixing : Mixing
        How well they have mixed.
    within : Mixing
        How well they have mixed within places.
    burnt_in : bool
        Whether what they remember of where they began does no harm.
    """

    values: np.ndarray
    logp: np.ndarray
    mixing: Mixing
    within: Mixing
    burnt_in: bool = True

    @property
    def has_mixed(self) -> bool:
        """Whether they have mixed at least within places."""
        return self.burnt_in if self.mixing.good else self.within.good

    @property
    def is_good(self) -> bool:
        """Whether they have, and are enough."""
        return self.has_mixed and self.is_precise

    @cached_property
    def is_precise(self) -> bool:
        """Whether widths are known, if chains have mixed among all places.

        Where a shoulder of a posterior holds about a twentieth, that takes far more draws than to
        know a mean.
        """
        if not self.mixing.good:
            return True  # how much each place holds is not told by chains
        values = self.values.reshape(-1, self.values.shape[-1])
        return bool(width_errors(values, self.mixing.size).max() < LARGEST_WIDTH_ERROR)

    @property
    def is_plenty(self) -> bool:
        """Whether there is no need of more draws."""
        return self.size >= PLENTY and self.is_precise

    @property
    def is_steady(self) -> bool:
        """Whether they have come to rest at least within places."""
        return self.mixing.is_steady or self.within.is_steady

    @property
    def is_promising(self) -> bool:
        """Whether more moves are likely to be all that is missing."""
        return self.mixing.is_promising or self.within.is_promising

    @property
    def size(self) -> float:
        """How many independent draws they are worth."""
        return self.mixing.size if self.mixing.good else self.within.size


Starts = tuple[np.ndarray, np.ndarray, np.ndarray]  # points, their log density, and their places


class Ensemble:
    """Chains that move together.

    Parameters
    ----------
    target : Density
        What to sample.
    Z : numpy.ndarray
        Where they stand, (n, d).
    root : numpy.ndarray
        Cholesky factor of about the covariance: the inverse of its square is the mass matrix.
    rng : numpy.random.Generator
        Where randomness comes from.
    labels : numpy.ndarray
        The place of each chain, (n,): spread is measured within places.
    jumps : int
        How often chains jump after each trajectory.

    Attributes
    ----------
    step : float
        Length of the longest leapfrog step, in posterior standard deviations.
    length : float
        Length of the longest trajectory.
    leaps : int
        Number of leapfrog steps taken so far.
    most_leaps : float
        The number of them after which no move begins.
    meets_walls : bool
        Whether trajectories fail at steps as short as they may be for that, or chains jump: steps
        are no shorter than suits most of them.
    """

    def __init__(
        self,
        target: Density,
        Z: np.ndarray,
        root: np.ndarray,
        rng: np.random.Generator,
        labels: np.ndarray,
        jumps: int = 0,
    ) -> None:
        self.target, self.Z, self.root, self.rng = target, Z, root, rng
        self.labels, self.jumps = labels, jumps
        self.logp, self.gradient = target(Z)
        self.step = Z.shape[1] ** -0.25
        self.length = 0.5 * np.pi / np.sqrt(SHORTEST)
        self.leaps, self.most_leaps = 0, np.inf
        self.meets_walls = jumps > 0  # which are for these, and come to narrow parts, too

    def move(self, budget: Budget) -> Move | None:
        """Take a trajectory from each state, and its end if that is accepted.

        None if the time is up before.
        """
        n, d = self.Z.shape
        factor = np.exp(self.rng.uniform(np.log(SHORTEST), 0.0, (n, 1)))
        step = self.step * factor
        momentum = self.rng.standard_normal((n, d))
        energy = self.logp - 0.5 * (momentum**2).sum(axis=1)
        x, logp, gradient = self.Z, self.logp, self.gradient
        leaps = int(np.clip(np.ceil(self.length / self.step), 1, MOST_LEAPS))
        with np.errstate(all="ignore"):
            force = gradient @ self.root
            for _ in range(leaps):
                if budget.time_is_up:
                    return None
                momentum = momentum + 0.5 * step * force
                x = x + step * (momentum @ self.root.T)
                logp, gradient = self.target(x)
                force = gradient @ self.root
                momentum = momentum + 0.5 * step * force
            gain = logp - 0.5 * (momentum**2).sum(axis=1) - energy
            acceptance = np.exp(np.minimum(np.where(np.isfinite(gain), gain, -np.inf), 0.0))
        self.leaps += leaps
        done = Move(self.Z, x, momentum, leaps * step[:, 0], acceptance)
        taken = self.rng.random(n) < acceptance
        self.Z = np.where(taken[:, None], x, self.Z)
        self.gradient = np.where(taken[:, None], gradient, self.gradient)
        self.logp = np.where(taken, logp, self.logp)
        for _ in range(self.jumps):
            self.jump()
        return done

    def jump(self) -> None:
        """Move each chain by a multiple of the difference of two others, if that is accepted.

        No gradient is needed, so that steps and walls of the density do no harm. Half of the chains
        move at a time, by differences of the other half, so that each move is reversible
        (ter Braak 2006; Foreman-Mackey et al. 2013).
        """
        n, d = self.Z.shape
        order = self.rng.permutation(n)
        halves = order[: n // 2], order[n // 2 :]
        for own, other in (halves, halves[::-1]):
            first = self.rng.integers(len(other), size=len(own))
            second = (first + self.rng.integers(1, len(other), size=len(own))) % len(other)
            factor = JUMP / np.sqrt(2 * d) * self.rng.uniform(SHORTEST, 1.0, len(own))
            factor = np.where(self.rng.random(len(own)) < WHOLE_JUMPS, 1.0, factor)
            difference = self.Z[other[first]] - self.Z[other[second]]
            x = self.Z[own] + factor[:, None] * difference
            logp, gradient = self.target(x)
            taken = np.log(self.rng.random(len(own))) < logp - self.logp[own]
            self.Z = replaced(self.Z, own[taken], x[taken])
            self.gradient = replaced(self.gradient, own[taken], gradient[taken])
            self.logp = replaced(self.logp, own[taken], logp[taken])
        self.leaps += 1

    def tune(self, moves: int, budget: Budget) -> bool:
        """Choose the mass matrix, then steps and trajectories; tell whether that was done.

        Steps are long at first, so that chains get about, and then so short that few of them fail.
        The first mass matrix is of few moves: trajectories are as long as they have to be by that.
        """
        for count in (moves // 3, moves - moves // 3):
            seen = self._adapt(count, budget, careful=False)
            if seen is None:
                return False
            self._set_root(seen[count // 2 :])
        return self._adapt(moves // 2, budget) is not None

    def retune(self, seen: Sequence[Snapshot], budget: Budget) -> bool:
        """Choose all that once more, after what has been seen, by few moves."""
        self._set_root([snapshot.values for snapshot in seen])
        return self._adapt(TUNING, budget) is not None

    def _adapt(self, moves: int, budget: Budget, careful: bool = True) -> list[np.ndarray] | None:
        """Move, while steps come to the wanted acceptance, and trajectories to their best length.

        Returns where all chains stood after each move; None if there were not to be so many.
        """
        seen: list[np.ndarray] = []
        steps: list[float] = []
        slope, wanted_length = LengthSlope(), self.length
        careful = careful and not self.meets_walls
        for i in range(moves):
            if self.leaps >= self.most_leaps or not budget.step():
                return None
            if (done := self.move(budget)) is None:
                return None
            self.step *= np.exp(excess_of(done.acceptance, careful) / np.sqrt(1 + i / 3))
            if careful and MOST_CAREFUL_LEAPS * self.step < wanted_length:
                careful, self.meets_walls, steps = False, True, []
            change = LENGTH_RATE * np.clip(slope.after(done, self.root, self.labels), -1.0, 1.0)
            longest = MOST_LEAPS * self.step
            self.length = float(np.clip(self.length * np.exp(change), self.step, longest))
            seen.append(self.Z)
            steps.append(np.log(self.step))
        self.step = float(np.exp(np.mean(steps[len(steps) // 2 :])))
        return seen

    def snapshot(self, moves: int, budget: Budget) -> Snapshot | None:
        """Move a number of times, and return where all stand; None if they may not."""
        acceptance = np.zeros(len(self.Z))
        for _ in range(moves):
            if self.leaps >= self.most_leaps or not budget.step():
                return None
            if (done := self.move(budget)) is None:
                return None
            acceptance = acceptance + done.acceptance / moves
        return Snapshot(self.Z, self.logp, acceptance, moves)

    def _set_root(self, seen: list[np.ndarray]) -> None:
        """Take the covariance of draws, as far as so many chains determine it.

        It is the unit of lengths: trajectories that crossed the widest direction still do.
        """
        n, d = self.Z.shape
        centred = np.concatenate([Z - centers(Z, self.labels) for Z in seen])
        X = solve_triangular(self.root, centred.T, lower=True, check_finite=False)
        cov = (n * (X @ X.T) / X.shape[1] + d * np.eye(d)) / (n + d)
        self.root = self.root @ np.linalg.cholesky(cov)
        self.length /= np.sqrt(np.linalg.eigvalsh(cov)[-1])


def replaced(values: np.ndarray, rows: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return an array with other rows in the places of some."""
    values = values.copy()
    values[rows] = new
    return values


@dataclass(frozen=True)
class Move:
    """A trajectory of each chain.

    Attributes
    ----------
    begin, end : numpy.ndarray
        Where it began and ended, (n, d).
    momentum : numpy.ndarray
        At its end, (n, d).
    length : numpy.ndarray
        Its length, (n,).
    acceptance : numpy.ndarray
        Probability that its end was accepted, (n,).
    """

    begin: np.ndarray
    end: np.ndarray
    momentum: np.ndarray
    length: np.ndarray
    acceptance: np.ndarray


class Snapshot(NamedTuple):
    """States of all chains (n, d), their log density, and how often they have moved lately.

    That is of a number of moves since the snapshot before.
    """

    values: np.ndarray
    logp: np.ndarray
    acceptance: np.ndarray
    moves: int


class LengthSlope:
    """Slope of the logarithm of what a trajectory achieves for its length, in log length.

    That is the expected squared change of the squared distance from the mean, by which neither
    coordinates nor squares remember much (ChEES, Hoffman, Radul & Sountsov 2021, eq. 11), per unit
    of length (Sountsov & Hoffman 2022). Both parts are averaged over the last few moves.
    """

    def __init__(self) -> None:
        self.gain, self.square = 0.0, 0.0

    def after(self, done: Move, root: np.ndarray, labels: np.ndarray) -> float:
        """Return the slope after one more move."""
        moved = done.acceptance > 0
        weights = done.acceptance[moved]
        center = centers(done.begin, labels)
        before, after = (
            solve_triangular(root, (Z - center)[moved].T, lower=True, check_finite=False)
            for Z in (done.begin, done.end)
        )
        change = (after**2).sum(axis=0) - (before**2).sum(axis=0)
        along = (after.T * done.momentum[moved]).sum(axis=1)
        self.gain = 0.8 * self.gain + float(weights @ (done.length[moved] * change * along))
        self.square = 0.8 * self.square + float(weights @ (0.25 * change**2))
        return self.gain / max(self.square, 1e-300) - 1


def harmonic_mean(acceptance: np.ndarray) -> float:
    """Return the harmonic mean of how likely trajectories are accepted.

    Few that fail weigh more than many that do well: steps that suit most of a posterior may be too
    long for its narrow parts, which no chain enters then, and nothing tells (Hoffman, Radul &
    Sountsov 2021).
    """
    return float(1 / np.mean(1 / np.maximum(acceptance, LEAST_ACCEPTANCE)))


def excess_of(acceptance: np.ndarray, careful: bool) -> float:
    """Return by how much trajectories are accepted more often than is wanted."""
    if careful:
        return harmonic_mean(acceptance) - WANTED_ACCEPTANCE
    return float(acceptance.mean()) - WANTED_MEAN


def centers(Z: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return for each row the mean of all rows of its place."""
    kinds, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    shares = (labels == kinds[:, None]) / counts[:, None]
    return (shares @ Z)[inverse]


def run_chains(
    target: Density,
    starts: np.ndarray,
    root: np.ndarray,
    rng: np.random.Generator,
    budget: Budget,
    effort: Effort,
    labels: np.ndarray | None = None,
    spread: bool = False,
) -> ChainRun | None:
    """Move chains until they have mixed, or as long as they may.

    Each round tunes, by what the one before has seen, and then moves with settings that stay the
    same; it is twice as long as the one before. Where its draws alone are too few, those of the
    last rounds together may do; chains that have forgotten where they began may then go on.

    Parameters
    ----------
    target
        What to sample.
    starts
        Where they begin, (points, d): several chains at each point.
    root
        Cholesky factor of about the covariance, (d, d).
    rng
        Where randomness comes from.
    budget
        Time and steps: each move is a step.
    effort
        How long they may take.
    labels
        The place to which each starting point belongs, (points,): it is enough if chains mix
        within places. All are one place by default.
    spread
        Whether as many points are at each of several places, whatever these hold. Where chains mix
        among these, what they remember of it does harm: their first round does not count, then.

    Returns
    -------
    ChainRun or None
        The draws of the last round that has any, with those of rounds before if chains have mixed
        in these together; None if there is none.
    """
    labels = np.zeros(len(starts), dtype="int64") if labels is None else labels
    Z, places = np.repeat(starts, CHAINS_EACH, axis=0), np.repeat(labels, CHAINS_EACH)
    ensemble = Ensemble(target, Z, root, rng, places, effort.jumps)
    begun = starts, ensemble.logp[::CHAINS_EACH], labels
    rounds = Rounds(ensemble, begun, effort, budget, spread)
    while rounds.number < rounds.count and not rounds.have_ended():
        rounds.number += 1
    return rounds.run


class Rounds:
    """What chains have shown, round by round; the parameters are those of :func:`run_chains`.

    Attributes
    ----------
    number : int
        Number of rounds that are over.
    count : int
        How many there may be.
    run : ChainRun, optional
        The draws that are the result so far.
    """

    def __init__(
        self, ensemble: Ensemble, begun: Starts, effort: Effort, budget: Budget, spread: bool
    ) -> None:
        self.ensemble, self.begun, self.effort = ensemble, begun, effort
        self.budget, self.spread = budget, spread
        self.number, self.count = 0, effort.rounds
        self.run: ChainRun | None = None
        self._before: list[list[Snapshot]] = []
        self._own: list[Snapshot] = []
        self._reached = 0
        ensemble.most_leaps = effort.allowances[0]

    def have_ended(self) -> bool:
        """Tune and move once more; tell whether chains are good, or may go on no longer."""
        progress.say(f"tuning moves of {len(self.ensemble.Z)} chains, round {self.number + 1}")
        if not self._tune():
            return True
        self._own = []
        for block in range(BLOCKS):
            if not self._move(block):
                return True
            latest = self._looked_at()
            if latest.is_good:
                return True
            self._grant(latest)
        # in the first one chains have forgotten least
        if self.number and self.run is not None and self.run.is_steady:
            self._before = [*self._before, self._own][-ROUNDS_BEFORE:]
        return False

    def _tune(self) -> bool:
        """Tune, by what the round before has seen if there was one."""
        if self._own:
            return self.ensemble.retune(self._own, self.budget)
        return self.ensemble.tune(TUNING, self.budget)

    def _move(self, block: int) -> bool:
        """Move, and tell whether there was time for that."""
        for i in range(BLOCK):
            place = f"{block * BLOCK + i + 1} of {BLOCKS * BLOCK}"
            progress.say(f"moving draws, round {self.number + 1}: {place}")
            snapshot = self.ensemble.snapshot(2**self.number, self.budget)
            if snapshot is None:
                return False
            self._own.append(snapshot)
        return True

    def _looked_at(self) -> ChainRun:
        """Return the run that has mixed, of the round alone or with those before, or the last.

        Where longer ones have been made to confirm it, it is of these.
        """
        burnt_in = self.number > 0 or not self.spread
        for run, part in windows(self._before, self._own, self.begun, burnt_in):
            if run.has_mixed:
                facts = run, part, self.ensemble, 2**self.number, self.begun
                run, more = confirmed(*facts, self.effort.leaps_for_plenty, self.budget)
                self.run, self._own = run, [*self._own, *more]
                return run
            if part is self._own:
                self.run = run
        return run

    def _grant(self, latest: ChainRun) -> None:
        """Let chains take longer that are close."""
        allowances = self.effort.allowances
        level = min(latest.is_promising + latest.has_mixed, len(allowances) - 1)
        if level > self._reached:
            self.count += FURTHER_ROUNDS * (level - self._reached)
            self._reached, self.ensemble.most_leaps = level, allowances[level]


def windows(
    before: Sequence[list[Snapshot]], own: list[Snapshot], begun: Starts, burnt_in: bool
) -> Iterator[tuple[ChainRun, list[Snapshot]]]:
    """Yield the run of a round, and those of more and more rounds before it together.

    It ends with one that is not steady: still longer ones are so all the less.
    """
    for count in range(len(before) + 1):
        part = [*chain(*before[len(before) - count :]), *own] if count else own
        run = replace(run_of(part, *begun), burnt_in=burnt_in)
        yield run, part
        if not run.is_steady:
            return


def confirmed(
    run: ChainRun,
    snapshots: Sequence[Snapshot],
    ensemble: Ensemble,
    every: int,
    begun: Starts,
    leaps_for_plenty: int,
    budget: Budget,
) -> tuple[ChainRun, list[Snapshot]]:
    """Return a run that is twice as long as one that has mixed, and what was seen of it.

    Where chains come to a part of the posterior only now, that tells, as all have come to look
    alike without it. As long as they are cheap they go on, as the ends of heavy tails take several
    times as many draws as a mean. The run stays as it is if there is no time for another.
    """
    seen: list[Snapshot] = []
    while not seen or (run.has_mixed and not run.is_plenty and ensemble.leaps < leaps_for_plenty):
        moved = [*snapshots, *seen]
        count = -(-sum(s.moves for s in moved) // every)
        if len(moved) + count > MOST_SNAPSHOTS:
            break
        progress.say(f"moving draws on: {run.size:.0f} effective ones")
        more = [ensemble.snapshot(every, budget) for _ in range(count)]
        if None in more:
            break
        seen = [*seen, *(s for s in more if s is not None)]
        run = replace(run_of([*snapshots, *seen], *begun), burnt_in=run.burnt_in)
    return run, seen


def run_of(
    snapshots: Sequence[Snapshot], starts: np.ndarray, starts_logp: np.ndarray, labels: np.ndarray
) -> ChainRun:
    """Return a run of what was seen of chains, and how well these have mixed."""
    values, logp, acceptance, _ = (np.array(part) for part in zip(*snapshots, strict=True))
    facts = values, logp, acceptance.mean(axis=0), starts, starts_logp
    mixing = mixing_of(*facts)
    within = mixing if len(np.unique(labels)) == 1 else mixing_of(*facts, labels)
    return ChainRun(values, logp, mixing, within)
