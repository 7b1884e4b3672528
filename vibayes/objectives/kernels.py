r"""Kernels: how near two particles are, and how they push each other apart.

A kernel maps n particles :math:`x_1, \dots, x_n`, the rows of a matrix, to the matrix of
:math:`k(x_j, x_i)` and to the repulsion :math:`\sum_j \nabla_{x_j} k(x_j, x_i)`, one row a
particle.

The kernels here are functions of the squared distance; :mod:`vibayes.ops.pairs` computes with all
pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from vibayes.objectives.test_function import TestFunction
from vibayes.ops.pairs import PROFILES, RadialSums, median_distance, pair_distances
from vibayes.settings import ComparedBySettings

__all__ = ["IMQ", "RBF", "CallableKernel", "Kernel", "RadialKernel", "as_kernel", "imq", "rbf"]


class Kernel(ComparedBySettings, TestFunction):
    """Base of the kernels.

    Called with particles a kernel returns its matrices. Called with settings it returns a kernel
    of its kind that has them: ``rbf(h=0.5)``.
    """

    def __call__(self, *args: Any, **settings: Any) -> Any:
        if args and isinstance(args[0], Variable):
            return self.matrices(*args, **settings)
        return type(self)(*args, **settings)

    def matrices(self, X: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
        """Return the kernel matrix (n, n) and the repulsion (n, d) of particles (n, d)."""
        raise NotImplementedError

    def direction(self, X: TensorVariable, score: TensorVariable) -> TensorVariable:
        r"""Return :math:`\sum_j k(x_j, x_i) s_j + \nabla_{x_j} k(x_j, x_i)`, one row a particle.

        Parameters
        ----------
        X
            Particles (n, d).
        score
            A vector :math:`s_j` for each (n, d): the gradient of the log density.
        """
        K, repulsion = self.matrices(X)
        return pt.dot(K, score) + repulsion


@dataclass(frozen=True, eq=False)
class CallableKernel(Kernel):
    """A kernel that a user wrote.

    Parameters
    ----------
    function : callable
        Maps particles to the kernel matrix and the repulsion.
    """

    function: Callable[[TensorVariable], tuple[TensorVariable, TensorVariable]]

    def matrices(self, X: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
        result = self.function(X)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise TypeError(
                f"the kernel {self.function!r} must return the kernel matrix (n, n) and the sum of "
                f"its gradients (n, d), got {result!r}"
            )
        K, repulsion = result
        return pt.as_tensor_variable(K), pt.as_tensor_variable(repulsion)


class RadialKernel(Kernel):
    r"""A kernel :math:`k(x, y) = f(|x - y|^2)`.

    Since :math:`\nabla_{x_j} f(|x_i - x_j|^2) = -2 f'(|x_i - x_j|^2) (x_i - x_j)`, the repulsion
    is a sum over pairs too, and nothing has to be differentiated by PyTensor.
    """

    profile: ClassVar[str]
    """Name of f in ``PROFILES``."""

    power: float
    """Parameter of f."""

    def scale(self, distances: TensorVariable, n: Any) -> TensorVariable:
        """Return the squared length that distances are compared with.

        Parameters
        ----------
        distances
            Squared distances of all pairs.
        n
            Number of particles.
        """
        raise NotImplementedError

    def matrices(self, X: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
        scale = self.scale(pair_distances(X), X.shape[0])
        distances = ((X[:, None] - X) ** 2).sum(axis=-1)
        K, weight = PROFILES[self.profile](pt.exp)(distances, scale, self.power)
        X = X - X.mean(axis=0)  # only differences matter, and these have more digits
        return K, X * weight.sum(axis=1, keepdims=True) - pt.dot(weight, X)

    def direction(self, X: TensorVariable, score: TensorVariable) -> TensorVariable:
        distances = pair_distances(X)
        scale = self.scale(distances, X.shape[0])
        return RadialSums(self.profile, float(self.power))(distances, scale, X, score)


def check_number(kernel: str, name: str, value: Any, lower: float, upper: float) -> None:
    if not isinstance(value, Real) or not lower < float(value) < upper:
        side = "positive" if lower == 0 else "negative"
        raise ValueError(f"{kernel}: {name} must be a finite {side} number, got {value!r}")


@dataclass(frozen=True, eq=False)
class RBF(RadialKernel):
    r"""The Gaussian kernel, or radial basis function.

    .. math:: k(x, y) = \exp\left(-\frac{|x - y|^2}{2 h^2}\right)

    Parameters
    ----------
    h : float, optional
        The bandwidth. By default, at each step, that of the median heuristic: with m the median
        of the squared distances of all n² ordered pairs, :math:`h^2 = m / (2 \log(n + 1))`.

    Raises
    ------
    ValueError
        If h is not positive.

    References
    ----------
    Liu, Wang (2016), Stein Variational Gradient Descent, arXiv:1608.04471. Section 5 has the
    heuristic.
    """

    h: float | None = None

    profile: ClassVar[str] = "gaussian"
    power: ClassVar[float] = -0.5  # type: ignore[misc]

    def __post_init__(self) -> None:
        if self.h is not None:
            check_number("rbf", "h", self.h, 0, np.inf)

    def scale(self, distances: TensorVariable, n: Any) -> TensorVariable:
        if self.h is not None:
            return pt.constant(self.h**2, dtype=distances.dtype)
        median = median_distance(distances)
        h2 = (0.5 * median / pt.log(n + 1.0)).astype(distances.dtype)
        # Where half of the distances are zero, any bandwidth that is not will do.
        return pt.switch(pt.eq(h2, 0), pt.ones_like(h2), h2)


@dataclass(frozen=True, eq=False)
class IMQ(RadialKernel):
    r"""The inverse multiquadric kernel, whose heavy tails keep far particles in touch.

    .. math:: k(x, y) = (c^2 + |x - y|^2)^\beta

    Parameters
    ----------
    beta : float, default -0.5
        The power, negative.
    c : float, default 1
        The length beyond which the kernel falls.

    Raises
    ------
    ValueError
        If beta is not negative, or c is not positive.

    References
    ----------
    Gorham, Mackey (2017), Measuring Sample Quality with Kernels, arXiv:1703.01717. They show that
    the Stein discrepancy of this kernel tells convergence for beta between -1 and 0, in any
    number of dimensions; that of the Gaussian kernel does not.
    """

    beta: float = -0.5
    c: float = 1.0

    profile: ClassVar[str] = "multiquadric"

    def __post_init__(self) -> None:
        check_number("imq", "beta", self.beta, -np.inf, 0)
        check_number("imq", "c", self.c, 0, np.inf)

    def scale(self, distances: TensorVariable, n: Any) -> TensorVariable:
        return pt.constant(self.c**2, dtype=distances.dtype)

    @property
    def power(self) -> float:  # type: ignore[override]
        return self.beta


rbf = RBF()
imq = IMQ()
KERNELS: dict[str, Kernel] = {"rbf": rbf, "imq": imq}


def as_kernel(kernel: str | Kernel | Callable[..., Any]) -> Kernel:
    """Return a kernel of its name, of a kernel, or of a function.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is none of the three.
    """
    if isinstance(kernel, str):
        if kernel not in KERNELS:
            known = ", ".join(map(repr, KERNELS))
            raise ValueError(f"the kernel {kernel!r} is unknown; known are {known}")
        return KERNELS[kernel]
    if isinstance(kernel, Kernel):
        return kernel
    if not callable(kernel):
        raise TypeError(f"the kernel must be a name or a callable, got {kernel!r}")
    return CallableKernel(kernel)
