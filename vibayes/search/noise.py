"""Standard normal draws that tell more than as many random ones: moments match, or strata do."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import ndtri

from vibayes.distributions.dist_math import LOG_SQRT_2PI

__all__ = ["matched_normals", "mirrored_normals", "stratified_normals"]

MOST_SOBOL = 64  # dimensions up to which a Sobol sequence is better than random numbers


def matched_normals(count: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Return at least ``count`` standard normal draws whose mean is 0 and covariance I exactly."""
    half = max((count + 1) // 2, d + 1)
    if d <= MOST_SOBOL:
        from scipy.stats import qmc  # takes as long to import as all else

        seed = {"rng": rng} if "rng" in qmc.Sobol.__init__.__code__.co_varnames else {"seed": rng}
        uniform = qmc.Sobol(d, scramble=True, **seed).random_base2(int(np.ceil(np.log2(half))))
        noise = ndtri(np.clip(uniform[:half], 1e-12, 1 - 1e-12))
    else:
        noise = rng.standard_normal((half, d))
    noise = np.concatenate([noise, -noise])
    root = np.linalg.cholesky(noise.T @ noise / len(noise))
    return solve_triangular(root, noise.T, lower=True).T


def mirrored_normals(count: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``count`` standard normal draws, the second half the negative of the first."""
    half = rng.standard_normal((count // 2, d))
    return np.concatenate([half, -half])


def stratified_normals(count: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``count`` mirrored draws that are the same numbers in each dimension, in some order.

    A Latin hypercube (McKay et al. 1979): the means of the normal in strata of equal probability,
    with variance 1 exactly. What a dimension contributes by itself is as good as quadrature then.
    With random draws, few enough for many dimensions, the best standard deviations would be off by
    as much as those of the draws: by half and more in thousands of dimensions.
    """
    half = count // 2
    bounds = ndtri(np.linspace(0.5, 1.0, half + 1))
    heights = np.exp(-0.5 * bounds**2 - LOG_SQRT_2PI)
    means = 2 * half * (heights[:-1] - heights[1:])
    means /= np.sqrt((means**2).mean())
    columns = np.repeat(means[:, None], d, axis=1)
    first = rng.permuted(columns, axis=0) * rng.choice([-1.0, 1.0], (half, d))
    return np.concatenate([first, -first])
