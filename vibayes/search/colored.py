"""The curvature of all rows in few vectors, where that of a sample of them is mostly zero.

Two effects that no row has both of do not meet in the log density. Where they share no neighbour
either, differences of the gradient tell the curvature of both at once: columns of one color
(Curtis, Powell & Reid 1974). Parameters that meet nearly all others get a vector each, and are left
out of who is whose neighbour, as the matrix is symmetric (Powell & Toint 1979).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytensor

from vibayes.model.target import Target
from vibayes.search.modes import curvature_at
from vibayes.search.normals import FittedNormal, from_curvature

__all__ = ["Coloring", "colors_of", "curvature_of_all", "with_curvature_of_all"]

ZERO = 1e-7  # relative to the diagonal: what differences show of nothing
DENSE = 0.25  # share of others that a parameter meets which gets a vector of its own
MOST_SHARE = 0.25  # of a vector for each dimension, to be worth it
RIGHT = 0.02  # relative error at a random direction, by which a sample shows less than all rows do


@dataclass(frozen=True)
class Coloring:
    """Which dimensions move at once in differences that tell a curvature.

    Attributes
    ----------
    meets : numpy.ndarray
        Whether two dimensions meet, (d, d).
    singles : numpy.ndarray
        Numbers of the dimensions that move alone, as they meet nearly all others.
    groups : tuple of numpy.ndarray
        Those of each color, (d,) of bool.
    """

    meets: np.ndarray
    singles: np.ndarray
    groups: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, near: np.ndarray) -> Coloring | None:
        """Return one for a negative Hessian with zeros in the same places; None if it is dear."""
        own = np.sqrt(np.abs(near.diagonal()))
        meets = np.abs(near) > ZERO * np.outer(own, own)
        np.fill_diagonal(meets, True)
        dense, colors = colors_of(meets)
        count = int(colors.max(initial=-1)) + 1
        if dense.sum() + count > MOST_SHARE * len(near):
            return None
        return cls(meets, np.flatnonzero(dense), tuple(colors == c for c in range(count)))


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
    coloring = Coloring.of(curvature_at(sample, q.mean, q.sd))
    if coloring is None:
        return q
    curvature = curvature_of_all(target, coloring, q.mean, q.sd)
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
    target: Target, coloring: Coloring, z: np.ndarray, scale: np.ndarray
) -> np.ndarray | None:
    """Return the negative Hessian (d, d) at a point, in a few vectors.

    None if it is not finite, or is wrong along a direction in which all dimensions move: then some
    meet that do not by the coloring.

    Parameters
    ----------
    target
        The log density.
    coloring
        Which dimensions move at once.
    z
        The point.
    scale
        Of each dimension: differences are over a fraction of it.
    """
    relative = 1e-4 if pytensor.config.floatX == "float64" else 2e-2
    width, singles = relative * scale, coloring.singles
    alone = np.arange(len(z)) == singles[:, None]
    probe = np.where(np.arange(len(z)) % 2, 1.0, -1.0) * width
    moves = np.array([*(width * group for group in (*alone, *coloring.groups)), probe])
    gradients = target(np.concatenate([z[None], z + moves]))[1]
    *changes, found = gradients[0] - gradients[1:]
    H = np.zeros((len(z), len(z)))
    for group, change in zip(coloring.groups, changes[len(singles) :], strict=True):
        rows, columns = np.nonzero(coloring.meets & group)
        H[rows, columns] = change[rows] / width[columns]
    H = 0.5 * (H + H.T)
    for i, change in zip(singles, changes, strict=False):
        H[:, i] = H[i, :] = change / width[i]
    expected = H @ probe
    error = np.abs(found - expected) * scale
    is_right = np.isfinite(H).all() and error.max() < RIGHT * np.abs(expected * scale).max()
    return H if is_right else None
