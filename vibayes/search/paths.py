"""Paths to the modes of a posterior, and the best normal along one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vibayes import progress
from vibayes.model.target import Target
from vibayes.search.best_normals import LARGE
from vibayes.search.budget import Budget
from vibayes.search.modes import SearchPath, approach, find_modes, screened_starts
from vibayes.search.noise import mirrored_normals
from vibayes.search.normals import FittedNormal, from_curvature, from_root
from vibayes.search.whole import moved_to_mode, sampled

__all__ = ["best_along", "distinct_paths", "searched"]


def searched(target: Target, rng: np.random.Generator, budget: Budget) -> list[SearchPath]:
    """Return the ends of searches for modes: of many, or in many dimensions of one."""
    if target.by_rows:
        return searched_by_rows(target, rng, budget)
    target.check_start()
    progress.say("searching for modes")
    if target.ddim <= LARGE:
        return find_modes(target, screened_starts(target, rng).starts, budget)
    search = approach(target, target.start[None], budget)[0]
    return find_modes(target, search.z[None], budget, iterations=4, tolerance=1e-2)


def searched_by_rows(target: Target, rng: np.random.Generator, budget: Budget) -> list[SearchPath]:
    """Return the ends of searches that began at the modes of a sample of rows."""
    paths = distinct_paths(searched(sampled(target, rng), rng, budget))
    normals = [from_curvature(path.z, path.curvature) for path in paths if path.converged]
    if not normals:
        return paths
    starts = [moved_to_mode(target, q, budget, LARGE).mean for q in normals]
    return find_modes(target, np.array(starts), budget, tolerance=1e-3)


def distinct_paths(
    paths: Sequence[SearchPath], known: Sequence[SearchPath] = ()
) -> list[SearchPath]:
    """Return paths that end at different modes, best first; those astray only if they are high.

    Those that end at the modes of ``known`` paths are left out.
    """
    best = max((path.logp for path in [*paths, *known]), default=-np.inf)
    chosen: list[SearchPath] = []
    for path in sorted(paths, key=lambda p: -p.logp):
        if not path.trail or (not path.converged and path.logp < best - 50 - 5 * len(path.z)):
            continue
        same = (
            np.abs(np.linalg.solve(other.trail[-1][1], path.z - other.z)).max() < 0.1
            for other in [*known, *chosen]
            if other.converged
        )
        if not any(same):
            chosen.append(path)
    return chosen


def best_along(
    target: Target, path: SearchPath, rng: np.random.Generator, draws: int = 48
) -> FittedNormal:
    """Return the normal of highest ELBO along a path: a mode itself may hold no mass.

    As Pathfinder does (Zhang et al. 2022), with the curvature of each point.
    """
    noise = mirrored_normals(draws, target.ddim, rng)
    points = np.concatenate([z + noise @ root.T for z, root in path.trail])
    elbos = target.logp(points).reshape(len(path.trail), draws).mean(axis=1)
    elbos = elbos + [np.linalg.slogdet(root)[1] for _, root in path.trail]
    return from_root(*path.trail[int(np.argmax(elbos))])
