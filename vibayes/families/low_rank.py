"""Low rank: a normal distribution whose covariance is diagonal plus low rank.

Ong, Nott and Smith (2018), Gaussian Variational Approximation With a Factor Covariance Structure,
Journal of Computational and Graphical Statistics 27(3).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.variable import TensorVariable
from scipy import linalg

from vibayes.arguments import check_whole
from vibayes.distributions.dist_math import LOG_SQRT_2PI
from vibayes.eigenvalues import eigh
from vibayes.families.base import Group
from vibayes.families.mean_field import DEFAULT_SIGMA
from vibayes.ops.small_matrix import inverse_and_log_det

__all__ = ["LowRankGroup"]

DEFAULT_RANK = 5
START_SHARE = 0.1  # of each standard deviation, that B makes up at the start
LEAST_SHARE = 1e-3  # of the standard deviation given the others, that is not of B


class LowRankGroup(Group):
    r"""One normal distribution of all variables, of diagonal plus low-rank covariance.

    .. math:: z = \mu + D \epsilon + B \eta, \qquad D = \log(1 + e^{\rho}), \qquad
        \epsilon \sim N(0, I_d), \quad \eta \sim N(0, I_r),

    so that :math:`z \sim N(\mu, \mathrm{diag}(D^2) + B B^T)`. Time and memory of a draw, and of
    its density, grow as d r: no d x d matrix is made.

    Parameters
    ----------
    options : dict, optional
        ``rank``: the number r of columns of B, 1 to d. By default the smaller of 5 and d: the
        strongest few directions hold most of what independent normals miss, and a number that
        does not grow with d keeps the cost linear in d.
    group : sequence of TensorVariable, optional
        Free random variables; by default those of the model that no other group of the
        approximation has.
    vfam : str, optional
        Name of the family; a class of its own needs none.
    params : dict, optional
        Parameters by name, as numbers or as expressions, in the place of the group's own.
    random_seed : int, optional
        Seed of everything random in the fit.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    start : dict, optional
        Where to start, by variable name.
    start_sigma : dict, optional
        Standard deviations to start from, by variable name, in the unconstrained space.

    Notes
    -----
    B = 0 is a saddle point of the evidence lower bound, where the gradient by B vanishes. So B
    starts at small random numbers, always the same ones: 0.1 of each standard deviation. The
    standard deviations as a whole are those that are asked for.
    """

    short_name: ClassVar[str] = "low_rank"
    aliases: ClassVar[tuple[str, ...]] = ("lr",)
    param_names: ClassVar[frozenset[str]] = frozenset({"mu", "rho", "B"})
    option_names: ClassVar[frozenset[str]] = frozenset({"rank"})
    is_normal: ClassVar[bool] = True
    center_name: ClassVar[str] = "mu"

    def wanted_rank(self) -> int:
        """Return the rank asked for, or the default one."""
        rank = self.options.get("rank", min(DEFAULT_RANK, self.ddim))
        return check_whole(rank, "rank", 1, self.ddim)

    def param_shapes(self) -> dict[str, tuple[int | None, ...]]:
        rank = self.wanted_rank() if "rank" in self.options else None
        return {"mu": (self.ddim,), "rho": (self.ddim,), "B": (self.ddim, rank)}

    def initial_params(self, start: np.ndarray, sigma: np.ndarray | None) -> dict[str, np.ndarray]:
        if sigma is None:
            sigma = np.full(self.ddim, DEFAULT_SIGMA)
        sigma = np.where(np.isnan(sigma), DEFAULT_SIGMA, sigma)
        directions = np.random.default_rng(0).normal(size=(self.ddim, self.wanted_rank()))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        own = sigma * np.sqrt(1 - START_SHARE**2)
        rho = own + np.log(-np.expm1(-own))  # the inverse of softplus
        return {"mu": start, "rho": rho, "B": START_SHARE * sigma[:, None] * directions}

    def params_near(self, mean: np.ndarray, root: np.ndarray) -> dict[str, np.ndarray]:
        if root.ndim == 1:
            return self.initial_params(mean, root)
        own, B = nearest_low_rank(root, self.wanted_rank())
        return {"mu": mean, "rho": own + np.log(-np.expm1(-own)), "B": B}

    def param_scales(self, sd: np.ndarray) -> dict[str, np.ndarray]:
        return {"mu": sd, "B": np.repeat(sd[:, None], self.wanted_rank(), axis=1)}

    @property
    def noise_size(self) -> Any:
        B = self.params_dict["B"]
        return self.ddim + (B.shape[1] if B.type.shape[1] is None else B.type.shape[1])

    def transform(self, noise: TensorVariable) -> TensorVariable:
        own, common = noise[..., : self.ddim], noise[..., self.ddim :]
        return self.mean + self.D * own + common @ self.params_dict["B"].T

    def log_density(self, noise: TensorVariable, z: TensorVariable) -> TensorVariable:
        return self.whitened_log_density(noise[..., : self.ddim], noise[..., self.ddim :])

    def log_density_at(self, z: TensorVariable) -> TensorVariable:
        return self.whitened_log_density((z - self.mean) / self.D, 0.0)

    def whitened_log_density(self, own: TensorVariable, common: Any) -> TensorVariable:
        r"""Return log q of ``mu + D * own + B @ common`` by Woodbury's identity.

        With :math:`W = D^{-1} B` the determinant of the covariance is :math:`|D|^2 |I + W^T W|`,
        and the squared distance from :math:`\mu` is a least-squares problem,

        .. math:: \min_k \|\epsilon + W k\|^2 + \|\eta - k\|^2,

        which takes no difference of large numbers, however large W is.
        """
        W = self.params_dict["B"] / self.D[:, None]
        inverse, log_det = inverse_and_log_det(pt.eye(W.shape[1], dtype=W.dtype) + W.T @ W)
        # the derivative of the two squares by k is zero at this k, so that none goes through it
        k = disconnected_grad((common - own @ W) @ inverse)
        squares = ((own + k @ W.T) ** 2).sum(axis=-1) + ((common - k) ** 2).sum(axis=-1)
        constant = pt.log(self.D).sum() + 0.5 * log_det + self.ddim * LOG_SQRT_2PI
        return -0.5 * squares - constant

    @property
    def D(self) -> TensorVariable:
        """Standard deviations of the diagonal part."""
        return pt.softplus(self.params_dict["rho"])

    @property
    def mean(self) -> TensorVariable:
        return self.params_dict["mu"]

    @property
    def std(self) -> TensorVariable:
        return pt.sqrt(self.D**2 + (self.params_dict["B"] ** 2).sum(axis=1))

    @property
    def cov(self) -> TensorVariable:
        B = self.params_dict["B"]
        return pt.diag(self.D**2) + B @ B.T


def nearest_low_rank(root: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Return D and B of the normal that comes closest to one of any covariance.

    What is made small is the divergence from the low-rank normal to the other one, of precision P:

    .. math:: 2 KL = tr(P S) - \log |S| + const, \qquad S = \mathrm{diag}(D^2) + B B^T.

    It often is smallest where some of D are nothing, where S cannot be inverted in floating point,
    and all but as small close by: D stays above a share of the standard deviations given the other
    variables.

    Parameters
    ----------
    root
        Cholesky factor of the covariance, (d, d).
    rank
        Number of columns of B.
    """
    from scipy import optimize  # takes long to import

    sd = np.sqrt((root**2).sum(axis=1))
    d, scaled = len(sd), linalg.solve_triangular(root / sd[:, None], np.eye(len(sd)), lower=True)
    P = scaled.T @ scaled  # precision, in units of the standard deviations
    eigenvalues, vectors = eigh((root / sd[:, None]) @ (root / sd[:, None]).T)
    B = vectors[:, -rank:] * np.sqrt(0.9 * eigenvalues[-rank:])
    own = np.sqrt(np.maximum(1 - (B**2).sum(axis=1), 0.01))

    def divergence(x: np.ndarray) -> tuple[float, np.ndarray]:
        D, B = np.exp(x[:d]), x[d:].reshape(d, rank)
        W = B / D[:, None]
        small = np.eye(rank) + W.T @ W
        V = W / D[:, None]
        inverse_of_S = np.diag(D**-2) - V @ np.linalg.solve(small, V.T)
        value = (P.diagonal() @ D**2) + (B * (P @ B)).sum()
        value -= 2 * x[:d].sum() + np.linalg.slogdet(small)[1]
        difference = P - inverse_of_S
        by_D = 2 * difference.diagonal() * D**2
        return value, np.concatenate([by_D, 2 * (difference @ B).ravel()])

    begin = np.concatenate([np.log(own), B.ravel()])
    least = np.log(LEAST_SHARE) - 0.5 * np.log(P.diagonal())
    bounds = optimize.Bounds(np.concatenate([least, np.full(B.size, -np.inf)]))
    x = optimize.minimize(divergence, begin, jac=True, method="L-BFGS-B", bounds=bounds).x
    return sd * np.exp(x[:d]), sd[:, None] * x[d:].reshape(d, rank)
