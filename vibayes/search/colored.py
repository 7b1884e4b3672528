"""The curvature of all rows in few vectors, where that of a sample of them is mostly zero.

Two effects that no row has both of do not meet in the log density. Where they share no neighbour
either, differences of the gradient tell the curvature of both at once: columns of one color
(Curtis, Powell & Reid 1974). Parameters that meet nearly all others get a vector each, and are left
out of who is whose neighbour, as the matrix is symmetric (Powell & Toint 1979).
"""

from __future__ import annotations

import numpy as np
import pytensor

from vibayes.model.target import Target
from vibayes.search.modes import curvature_at
from vibayes.search.normals import FittedNormal, from_curvature

__all__ = ["colors_of", "curvature_of_all", "with_curvature_of_all"]

ZERO = 1e-7  # relative to the diagonal: what differences show of nothing
DENSE = 0.25  # share of others that a parameter meets which gets a vector of its own
MOST_SHARE = 0.25  # of a vector for each dimension, to be worth it
RIGHT = 0.02  # relative error at a random direction, by which a sample shows less than all rows do


def with_curvature_of_all(target: Target, sample: Target, q: FittedNormal) -> FittedNormal:
    """Return a normal of all rows' curvature at its mean, or as it is where that would be dear.

    Parameters
    ----------
    target
        The posterior of all rows.
    sample
        That of a sample of them, which tells who meets whom.
    q
        A normal about the mode.
    """
    near = curvature_at(sample, q.mean, q.sd)
    curvature = curvature_of_all(target, near, q.mean, q.sd)
    return q if curvature is None else from_curvature(q.mean, curvature)


def colors_of(meets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which dimensions meet nearly all others, and a color for each of the others.

    Parameters
    ----------
    meets
        Whether two dimensions meet, (d, d), symmetric.

    Returns
    -------
    dense : numpy.ndarray
        (d,) of bool.
    colors : numpy.ndarray
        (d,), numbered from 0; -1 for those that are dense.
    """
    dense = meets.sum(axis=0) > max(DENSE * len(meets), 2)
    rest = np.flatnonzero(~dense)
    among = meets[np.ix_(rest, rest)].astype("float32")
    clash = among @ among > 0
    colors = np.full(len(meets), -1)
    for k, i in enumerate(rest):
        taken = set(colors[rest[:k]][clash[k, :k]].tolist())
        colors[i] = next(c for c in range(k + 1) if c not in taken)
    return dense, colors


def curvature_of_all(
    target: Target, near: np.ndarray, z: np.ndarray, scale: np.ndarray
) -> np.ndarray | None:
    """Return the negative Hessian (d, d) at a point, None if it takes too many vectors.

    Also if rows are left out of whose dimensions none of the sample's rows tells.

    Parameters
    ----------
    target
        The log density.
    near
        The negative Hessian of something that has zeros in the same places.
    z
        The point.
    scale
        Of each dimension: differences are over a fraction of it.
    """
    own = np.sqrt(np.abs(near.diagonal()))
    meets = np.abs(near) > ZERO * np.outer(own, own)
    np.fill_diagonal(meets, True)
    dense, colors = colors_of(meets)
    singles, count = np.flatnonzero(dense), int(colors.max(initial=-1)) + 1
    if len(singles) + count > MOST_SHARE * len(z):
        return None
    relative = 1e-4 if pytensor.config.floatX == "float64" else 2e-2
    groups = [np.arange(len(z)) == i for i in singles] + [colors == c for c in range(count)]
    probe = np.where(np.arange(len(z)) % 2, 1.0, -1.0) * relative * scale
    moves = np.array([*(relative * scale * group for group in groups), probe])
    gradients = target(np.concatenate([z[None], z + moves]))[1]
    *changes, found = gradients[0] - gradients[1:]
    H = np.zeros((len(z), len(z)))
    for group, change in zip(groups[len(singles) :], changes[len(singles) :], strict=True):
        rows, columns = np.nonzero(meets & group)
        H[rows, columns] = change[rows] / (relative * scale[columns])
    H = 0.5 * (H + H.T)
    for i, change in zip(singles, changes, strict=False):
        H[:, i] = H[i, :] = change / (relative * scale[i])
    expected = H @ probe
    error = np.abs(found - expected) * scale
    is_right = np.isfinite(H).all() and error.max() < RIGHT * np.abs(expected * scale).max()
    return H if is_right else None
