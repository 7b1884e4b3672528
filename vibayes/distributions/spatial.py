"""Distributions of areas of which each depends on its neighbours: conditional autoregressions.

Banerjee, Carlin and Gelfand (2015), Hierarchical Modeling and Analysis for Spatial Data, 2nd
edition, chapter 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.variable import TensorVariable
from scipy import sparse

from vibayes.arguments import behind_new
from vibayes.distributions.base import Continuous, draw_from, to_float
from vibayes.distributions.constraints import (
    Constraint,
    Constraints,
    constant_value,
    finite,
    positive,
)
from vibayes.distributions.dist_math import LOG_SQRT_2PI
from vibayes.distributions.multivariate import VectorValued, multiply_rows
from vibayes.exceptions import ParameterError, ShapeError
from vibayes.numeric import numeric_value
from vibayes.ops.random import NumPyRandom

__all__ = ["CAR", "ICAR"]

between_minus_one_and_one = Constraint("between -1 and 1", lambda x: abs(x) < 1)


class CAR(VectorValued, Continuous):
    r"""Conditional autoregression: each value is normal around the mean of its neighbours.

    .. math:: f(x \mid \mu, W, \alpha, \tau) =
        \frac{|\tau (D - \alpha W)|^{1/2}}{(2\pi)^{d/2}}
        \exp\left(-\tfrac\tau2 (x - \mu)^\top (D - \alpha W) (x - \mu)\right), \qquad
        D = \operatorname{diag}\left(\sum_j W_{ij}\right)

    Parameters
    ----------
    mu : array_like
        Mean, of shape ``(..., d)``.
    W : array_like or scipy.sparse matrix
        Symmetric matrix of shape ``(d, d)``, at least 0: 1 for two neighbours, or the weight that
        they have for each other. Every area needs a neighbour.
    alpha : array_like
        Strength of the dependence, between -1 and 1.
    tau : array_like
        Precision, positive.

    Raises
    ------
    ParameterError
        If a constant W is not symmetric, has numbers below 0, or has an area without neighbours.
    ShapeError
        If W is not square, or does not fit to ``mu``.

    Notes
    -----
    The determinant comes from the eigenvalues of :math:`D^{-1/2} W D^{-1/2}`, found once for a
    constant W (Jin, Carlin and Banerjee 2005), and the square from pairs of neighbours: no matrix
    is factorized when the density is evaluated. W is data: the density has no derivative by it.
    """

    param_ndims: Mapping[str, int] = {"mu": 1}
    constraints: ClassVar[Constraints] = {
        "mu": finite,
        "alpha": between_minus_one_and_one,
        "tau": positive,
    }
    mu: TensorVariable
    alpha: TensorVariable
    tau: TensorVariable

    @behind_new
    def __init__(self, mu: Any, W: Any, alpha: Any, tau: Any) -> None:
        self.neighbours = Neighbours(W)
        mu = pt.atleast_1d(to_float(mu))
        self.length = self.neighbours.length
        if mu.type.shape[-1] not in (None, 1, self.length) and self.length is not None:
            raise ShapeError(f"mu has length {mu.type.shape[-1]}, but W has {self.length} rows")
        self.set_params(mu=mu, alpha=alpha, tau=tau)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        w = self.neighbours
        shape = (*self.size_or_batch(size), w.counts.shape[-1])
        rng, z = draw_from(pt.random.normal, 0.0, 1.0, rng=rng, size=shape)
        scale = pt.sqrt(self.tau[..., None] * (1 - self.alpha[..., None] * w.eigenvalues))
        return rng, self.mu + multiply_rows(z / scale, w.eigenvectors.T) / pt.sqrt(w.counts)

    def logp(self, value: TensorVariable) -> TensorVariable:
        w = self.neighbours
        valid = pt.abs(self.alpha) < 1
        alpha = pt.switch(valid, self.alpha, 0.0)
        deviation = value - self.mu
        square = (w.counts * deviation**2).sum(axis=-1) - alpha * w.sum_of_products(deviation)
        log_det = pt.log1p(-alpha[..., None] * w.eigenvalues).sum(axis=-1)
        each = pt.log(w.counts) + (pt.log(self.tau) - 2 * LOG_SQRT_2PI)[..., None]
        density = 0.5 * (each.sum(axis=-1) + log_det - self.tau * square)
        return pt.switch(valid, density, -np.inf)

    def support_point(self) -> TensorVariable:
        return self.mu


class ICAR(VectorValued, Continuous):
    r"""Intrinsic conditional autoregression: neighbours differ by normal numbers.

    .. math:: f(x \mid W, \sigma, s) =
        \sqrt{d} \, \left(\frac{|L|_+}{(2\pi\sigma^2)^{d-c}}\right)^{1/2}
        \exp\left(-\frac{1}{2\sigma^2} \sum_{i \sim j} (x_i - x_j)^2\right)
        \; N\left(\sum_i x_i \mid 0, s d\right)

    :math:`i \sim j` are the pairs of neighbours, c is the number of connected parts of their graph,
    and :math:`|L|_+` the product of the positive eigenvalues of :math:`L = D - W`, where D holds
    the numbers of neighbours. The differences leave the level open; the last factor holds it near
    zero.

    Parameters
    ----------
    W : array_like or scipy.sparse matrix
        Symmetric matrix of shape ``(d, d)``: 1 for two neighbours, else 0. Not symbolic.
    sigma : array_like, default 1
        Standard deviation of the difference of two neighbours, positive.
    zero_sum_stdev : array_like, default 0.001
        Standard deviation s of the mean of the values, positive.

    Raises
    ------
    ParameterError
        If W is not symmetric, or has other numbers than 0 and 1.
    ShapeError
        If W is not square.
    NotImplementedError
        If draws are asked for and the graph is not connected: then the distribution is improper.

    Notes
    -----
    If the graph is connected, this is a density. PyMC leaves out all factors in front of the
    exponential function, :math:`\sigma^{-(d-c)}` among them, without which a posterior of sigma is
    biased towards large values.

    References
    ----------
    Morris et al. (2019), Bayesian hierarchical spatial models: implementing the Besag York Mollié
    model in Stan. Spatial and Spatio-temporal Epidemiology 31, 100301.

    Examples
    --------
    >>> import numpy as np
    >>> import vibayes as vb
    >>> W = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    >>> with vb.Model():
    ...     sigma = vb.HalfNormal("sigma", 1)
    ...     phi = vb.ICAR("phi", W)
    ...     effect = vb.Deterministic("effect", sigma * phi)
    """

    constraints: ClassVar[Constraints] = {"sigma": positive, "zero_sum_stdev": positive}
    sigma: TensorVariable
    zero_sum_stdev: TensorVariable

    @behind_new
    def __init__(self, W: Any, sigma: Any = 1.0, zero_sum_stdev: Any = 0.001) -> None:
        weights = checked_weights(W)
        if weights is None:
            raise TypeError("W must be an array: its graph has to be known")
        if not np.isin(weights, (0, 1)).all():
            bad = weights[~np.isin(weights, (0, 1))][0]
            raise ParameterError(f"W must have no other numbers than 0 and 1, got {bad}")
        np.fill_diagonal(weights, 0)
        self.length = self.n_areas = len(weights)
        self.pairs = np.nonzero(np.tril(weights))
        values, vectors = np.linalg.eigh(np.diag(weights.sum(axis=0)) - weights)
        self.parts_count = int(sparse.csgraph.connected_components(sparse.csr_array(weights))[0])
        self.eigenvalues = values[self.parts_count :]
        self.eigenvectors = vectors[:, self.parts_count :]
        self.set_params(sigma=sigma, zero_sum_stdev=zero_sum_stdev)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        if self.parts_count > 1:
            op = NumPyRandom(
                name="ICAR", signature="(e)->(d)", dtype=self.sigma.dtype, function=no_draws
            )
            return draw_from(op, [self.length], rng=rng, size=self.size_or_batch(size))
        shape = (*self.size_or_batch(size), self.length)
        rng, z = draw_from(pt.random.normal, 0.0, 1.0, rng=rng, size=shape)
        mean = (self.zero_sum_stdev * z[..., 0])[..., None]
        contrasts = to_float((self.eigenvectors / np.sqrt(self.eigenvalues)).T)
        return rng, mean + self.sigma[..., None] * (z[..., 1:] @ contrasts)

    def logp(self, value: TensorVariable) -> TensorVariable:
        first, second = self.pairs
        d = self.n_areas
        squares = ((value[..., first] - value[..., second]) ** 2).sum(axis=-1)
        rank = d - self.parts_count
        constant = 0.5 * (np.log(self.eigenvalues).sum() - np.log(d)) - rank * LOG_SQRT_2PI
        differences = -0.5 * squares / self.sigma**2 - rank * pt.log(self.sigma)
        mean = -0.5 * (value.mean(axis=-1) / self.zero_sum_stdev) ** 2
        return differences + mean - pt.log(self.zero_sum_stdev) + float(constant - LOG_SQRT_2PI)

    def support_point(self) -> TensorVariable:
        return pt.zeros(self.length)


def no_draws(rng: Any = None, size: Any = None) -> np.ndarray:
    """Raise, as a graph in several parts has an improper distribution."""
    raise NotImplementedError(
        "the graph of W has parts without a connection, so that ICAR is improper: there are no "
        "draws from it. Give each part a variable of its own, or the variable an initval"
    )


class Neighbours:
    """Who is whose neighbour: weights, and what CAR needs of them.

    Attributes
    ----------
    length : int or None
        Number of areas, None where only run time tells.
    counts : TensorVariable
        Number of neighbours of each area, or the sum of their weights.
    eigenvalues, eigenvectors : TensorVariable
        Those of the weights, divided by the roots of both areas' counts.
    """

    def __init__(self, W: Any) -> None:
        weights = checked_weights(W)
        self.pairs: tuple[np.ndarray, ...] | None = None
        if weights is None:
            self.weights = disconnected_grad(to_float(W))
            self.length = self.weights.type.shape[-1]
            self.counts = self.weights.sum(axis=0)
            root = pt.sqrt(self.counts)
            scaled = self.weights / root / root[:, None]
            eigen = pt.linalg.eigh(scaled)
        else:
            counts = weights.sum(axis=0)
            if not counts.all():
                alone = int(np.flatnonzero(counts == 0)[0])
                raise ParameterError(f"W must give every area a neighbour, area {alone} has none")
            self.length = len(weights)
            first, second = self.pairs = np.nonzero(np.tril(weights))
            self.pair_weights = to_float(weights[first, second] * (1 + (first != second)))
            self.counts = to_float(counts)
            root = np.sqrt(counts)
            eigen = np.linalg.eigh(weights / root / root[:, None])
        self.eigenvalues, self.eigenvectors = (to_float(part) for part in eigen)

    def sum_of_products(self, x: TensorVariable) -> TensorVariable:
        """Return the sum of ``W[i, j] * x[i] * x[j]`` over all i and j."""
        if self.pairs is None:
            return (x * multiply_rows(x, self.weights)).sum(axis=-1)
        first, second = self.pairs
        return (self.pair_weights * x[..., first] * x[..., second]).sum(axis=-1)


def checked_weights(W: Any) -> np.ndarray | None:
    """Return constant weights as an array of floating-point numbers, None for symbolic ones.

    Raises
    ------
    ParameterError, ShapeError
        If they can never be the weights of neighbours.
    """
    W = numeric_value(W.toarray() if sparse.issparse(W) else W, "W")
    shape: Sequence[int | None] = pt.as_tensor_variable(W).type.shape
    if len(shape) != 2 or (None not in shape and shape[0] != shape[1]):
        raise ShapeError(f"W must be a square matrix, got shape {tuple(shape)}")
    constant = constant_value(W)
    if constant is None:
        return None
    weights = np.array(constant, dtype="float64")
    if not np.isfinite(weights).all() or (weights < 0).any():
        bad = weights[~(weights >= 0) | np.isinf(weights)][0]
        raise ParameterError(f"W must have numbers of at least 0, got {bad}")
    if not np.allclose(weights, weights.T):
        i, j = (int(k) for k in np.argwhere(~np.isclose(weights, weights.T))[0])
        raise ParameterError(
            f"W must be symmetric, got {weights[i, j]} for {i, j} and {weights[j, i]} for {j, i}"
        )
    return weights
