"""Where stochastic steps begin, and in what units they are taken."""

from __future__ import annotations

import numpy as np
import pytensor

from vibayes import progress
from vibayes.families.joint import Joint
from vibayes.model.data_size import sample_size
from vibayes.model.target import Target
from vibayes.search.budget import Budget
from vibayes.search.located import locate
from vibayes.search.modes import approach
from vibayes.search.normals import FittedNormal

__all__ = ["MOST_DENSE", "begin_near", "current_center", "find_normal", "set_normal", "unit_scales"]

MOST_DENSE = 2000
"""Dimensions up to which a matrix of all curvatures is computed."""
PROBES = 30


def find_normal(approx: Joint, budget: Budget) -> FittedNormal:
    """Return a normal near the posterior: the best one, or in many dimensions a rough one.

    Of data that are many, or not in memory, a sample has to do.
    """
    rng = approx.spawn_generator()
    rows = sample_size(approx.model)
    sample = None if rows is None else approx.model.sampled_data_replacements(rows, rng)
    progress.say("compiling the log density")
    target = Target(approx.model, sample, start=current_center(approx))
    with progress.aside("where to begin"):
        return normal_of(target, rng, budget)


def normal_of(target: Target, rng: np.random.Generator, budget: Budget) -> FittedNormal:
    """Return the best normal, or in many dimensions one about a mode."""
    if target.ddim <= MOST_DENSE:
        return locate(target, rng, budget).best
    target.check_start()
    progress.say("searching for a mode")
    (search,) = approach(target, target.start[None], budget)
    return FittedNormal(search.z, 1 / np.sqrt(probed_curvature(target, search.z, rng)))


def probed_curvature(target: Target, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Estimate the diagonal of the negative Hessian by random probes (Bekas et al. 2007)."""
    signs = rng.choice([-1.0, 1.0], (PROBES, len(z)))
    width = 1e-4 if pytensor.config.floatX == "float64" else 1e-2
    _, gradients = target(np.concatenate([z + width * signs, z - width * signs]))
    products = (gradients[PROBES:] - gradients[:PROBES]) / (2 * width)
    curvature = (signs * products).mean(axis=0)
    return np.maximum(curvature, 1e-3 * np.abs(curvature).max() + 1e-12)


def current_center(approx: Joint) -> dict[str, np.ndarray]:
    """Return the centre of each group that has one as a parameter, by unconstrained name."""
    point: dict[str, np.ndarray] = {}
    for group in approx.groups:
        center = group.shared_params.get(group.center_name)
        if center is not None:
            point |= group.layout.point(center.get_value())
    return point


def begin_near(approx: Joint, q: FittedNormal) -> None:
    """Set the parameters of all groups to what comes close to the marginals of a normal."""
    for group, places in zip(approx.groups, approx.places(), strict=True):
        group.set_values(group.params_near(*marginal(q, places)))


def set_normal(approx: Joint, q: FittedNormal) -> None:
    """Set the parameters of the only group to what comes closest to a normal."""
    (group,), (places,) = approx.groups, approx.places()
    is_whole = np.array_equal(places, np.arange(len(q.mean)))
    mean, root = (q.mean, q.root) if is_whole else marginal(q, places)
    group.set_values(group.params_near(mean, root))


def marginal(q: FittedNormal, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of some dimensions of a normal, in some order, and their root."""
    root = q.root[places]
    if not q.is_diagonal:
        cov = root @ root.T
        root = np.linalg.cholesky(cov + 1e-12 * np.diag(cov.diagonal()))
    return q.mean[places], root


def unit_scales(approx: Joint, sd: np.ndarray | None = None) -> list[np.ndarray]:
    """Return the unit of each parameter, in the order of ``approx.params``."""
    scales = []
    for group, places in zip(approx.groups, approx.places(), strict=True):
        own = {} if sd is None else group.param_scales(sd[places])
        scales += [
            own.get(name, np.ones(shared.get_value(borrow=True).shape))
            for name, shared in group.shared_params.items()
        ]
    return scales
