"""Random walks whose steps have any distribution, of numbers or of vectors.

Time runs along the axis before those of a step, and a whole walk is one event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new
from vibayes.distributions.base import to_float, unnamed
from vibayes.distributions.constraints import Constraints
from vibayes.distributions.multivariate import MvNormal, MvStudentT, under_one_name
from vibayes.distributions.shapes import broadcast_static
from vibayes.distributions.standard_forms import LocationScale, StandardForm
from vibayes.distributions.timeseries import TimeSeries, walk_form
from vibayes.exceptions import ShapeError

__all__ = ["MvGaussianRandomWalk", "MvStudentTRandomWalk", "RandomWalk"]


class RandomWalk(TimeSeries):
    r"""Random walk: the sums of independent steps of one distribution.

    .. math:: x_0 \sim \text{init_dist}, \qquad
        x_t - x_{t-1} \sim \text{innovation_dist} \quad (t \ge 1)

    Parameters
    ----------
    init_dist : TensorVariable
        Distribution of the first value, made by ``dist``.
    innovation_dist : TensorVariable
        Distribution of a step, made by ``dist``: continuous, and like ``init_dist`` one of numbers
        or one of vectors. Its batch axes are for several walks.
    steps : int or TensorVariable, optional
        Number of steps, one less than the length of the walk. Not needed where shape, dims or data
        tell the length.

    Raises
    ------
    ShapeError
        If ``steps``, the shape and the two distributions disagree.
    TypeError
        If one of them was not made by a distribution.
    ValueError
        If nothing tells the length, or one of them is discrete or a variable of a model.

    Notes
    -----
    An event has the shape ``(length,)``, or ``(length, d)`` for steps of d dimensions.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     level = vb.RandomWalk(
    ...         "level",
    ...         init_dist=vb.Normal.dist(0, 10),
    ...         innovation_dist=vb.Laplace.dist(0, 0.1),
    ...         steps=50,
    ...     )
    """

    @behind_new
    def __init__(
        self, init_dist: TensorVariable, innovation_dist: TensorVariable, steps: Any = None
    ) -> None:
        self.set_params()
        self.set_steps(steps)
        self.init = unnamed(init_dist, "init_dist")
        self.innovation = unnamed(innovation_dist, "innovation_dist")
        self.parts = (self.init, self.innovation)
        for name, part in (("init_dist", self.init), ("innovation_dist", self.innovation)):
            if part.discrete:
                raise ValueError(f"{name} must be continuous, got {part}")
        inner = self.innovation.ndim_supp
        if self.init.ndim_supp != inner:
            raise ShapeError(
                f"a value of init_dist has {self.init.ndim_supp} axes, one of innovation_dist "
                f"{inner}"
            )
        self.ndim_supp = 1 + inner
        self.inner = broadcast_static(*(event_lengths(part.rv, inner) for part in self.parts))

    def set_event_shape(self, event: Sequence[Any], label: str) -> None:
        length, *inner = event
        known = [(n, m) for n, m in zip(inner, self.inner, strict=True) if isinstance(n, int) and m]
        if any(n != m for n, m in known):
            raise ShapeError(
                f"{label}: a step has shape {self.inner}, which does not fit into {tuple(event)}"
            )
        super().set_event_shape((length,), label)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        batch = tuple(self.size_or_batch(size))
        rng, first = self.init.random(rng, batch)
        steps = self.known_steps()
        rng, noise = self.innovation.random(rng, (steps, *batch))
        if isinstance(steps, int):
            noise = pt.specify_shape(noise, (steps, *noise.type.shape[1:]))
        walk = pt.cumsum(pt.concatenate([first[None], noise], axis=0), axis=0)
        return rng, pt.moveaxis(walk, 0, len(batch))

    def known_steps(self) -> Any:
        """Return the number of steps, which something must have told."""
        if self.steps is None:
            raise ValueError(
                f"{type(self).__name__}: the length of the walk is not known; give steps, shape, "
                "dims or observed"
            )
        return self.steps

    def logp(self, value: TensorVariable) -> TensorVariable:
        # Time comes first, so that what is left of the shape broadcasts against parameters.
        path = pt.moveaxis(value, -self.ndim_supp, 0)
        steps = self.innovation.logp(path[1:] - path[:-1])
        return self.init.logp(path[0]) + steps.sum(axis=0)

    def standard_form(self) -> StandardForm | None:
        first, steps = (
            part.standard_form() if part.default_transform is None else None for part in self.parts
        )
        if not isinstance(first, LocationScale) or not isinstance(steps, LocationScale):
            return None
        return walk_form(first, steps.location, steps.scale)

    def support_point(self) -> TensorVariable:
        """Return the walk from the first value's point by steps of their point."""
        inner = self.ndim_supp - 1
        time = pt.arange(self.steps + 1, dtype=pytensor.config.floatX)[(..., *(None,) * inner)]
        first, step = (as_event(part.support_point(), inner) for part in self.parts)
        return with_time(first, inner) + with_time(step, inner) * time


class MvGaussianRandomWalk(RandomWalk):
    r"""Random walk of vectors with multivariate normal steps.

    .. math:: x_0 \sim \text{init_dist}, \qquad x_t \sim N(x_{t-1} + \mu, \Sigma)

    Parameters
    ----------
    mu : array_like
        Drift: the mean of a step, of shape ``(..., d)``.
    cov : array_like, optional
        Covariance matrix of a step, of shape ``(..., d, d)``. Exactly one of ``cov``, ``tau`` and
        ``chol`` has to be given.
    tau : array_like, optional
        Precision matrix, the inverse of ``cov``.
    chol : array_like, optional
        Triangular matrix L with ``cov = L @ L.T``.
    lower : bool, default True
        Whether ``chol`` is lower triangular.
    init_dist : TensorVariable, optional
        Distribution of the first vector, made by ``dist``; normal with means 0 and variances 100
        by default.
    steps : int or TensorVariable, optional
        Number of steps, one less than the length of the walk. Not needed where shape, dims or data
        tell the length.

    Raises
    ------
    ParameterError
        If a constant matrix is not symmetric and positive definite (``chol``: not triangular or
        singular). A matrix known only at run time that is not positive definite has log density
        -inf, with derivatives of zero.
    ShapeError
        If ``steps``, ``init_dist`` and the shape disagree.

    Examples
    --------
    >>> import numpy as np
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.MvGaussianRandomWalk("x", mu=np.zeros(2), chol=0.1 * np.eye(2), shape=(50, 2))
    """

    constraints: ClassVar[Constraints] = MvNormal.constraints

    @behind_new
    def __init__(
        self,
        mu: Any,
        *,
        cov: Any = None,
        tau: Any = None,
        chol: Any = None,
        lower: bool = True,
        init_dist: TensorVariable | None = None,
        steps: Any = None,
    ) -> None:
        innovation = MvNormal.dist(mu, cov, tau=tau, chol=chol, lower=lower)
        super().__init__(start_of(innovation, init_dist), innovation, steps)


class MvStudentTRandomWalk(RandomWalk):
    r"""Random walk of vectors whose steps have a multivariate Student's t distribution.

    .. math:: x_0 \sim \text{init_dist}, \qquad x_t \sim t_\nu(x_{t-1} + \mu, \Sigma)

    Parameters
    ----------
    nu : array_like
        Degrees of freedom, positive.
    mu : array_like
        Drift: the location of a step, of shape ``(..., d)``.
    scale, cov : array_like, optional
        Scale matrix of a step, of shape ``(..., d, d)``, under either name. Exactly one of the
        matrices has to be given.
    tau : array_like, optional
        Inverse of the scale matrix.
    chol : array_like, optional
        Triangular matrix L with ``scale = L @ L.T``.
    lower : bool, default True
        Whether ``chol`` is lower triangular.
    init_dist : TensorVariable, optional
        Distribution of the first vector, made by ``dist``; normal with means 0 and variances 100
        by default.
    steps : int or TensorVariable, optional
        Number of steps, one less than the length of the walk. Not needed where shape, dims or data
        tell the length.

    Raises
    ------
    ParameterError
        If a constant matrix is not symmetric and positive definite (``chol``: not triangular or
        singular). A matrix known only at run time that is not positive definite has log density
        -inf, with derivatives of zero.
    ShapeError
        If ``steps``, ``init_dist`` and the shape disagree.
    """

    constraints: ClassVar[Constraints] = MvStudentT.constraints

    @behind_new
    def __init__(
        self,
        nu: Any,
        mu: Any,
        *,
        scale: Any = None,
        cov: Any = None,
        tau: Any = None,
        chol: Any = None,
        lower: bool = True,
        init_dist: TensorVariable | None = None,
        steps: Any = None,
    ) -> None:
        scale = under_one_name(scale=scale, cov=cov)
        innovation = MvStudentT.dist(nu, mu=mu, scale=scale, tau=tau, chol=chol, lower=lower)
        super().__init__(start_of(innovation, init_dist), innovation, steps)


def start_of(innovation: TensorVariable, init_dist: TensorVariable | None) -> TensorVariable:
    """Return the distribution of the first vector: a wide normal one if none is given."""
    if init_dist is not None:
        return init_dist
    (d,) = event_lengths(innovation, 1)
    length = innovation.shape[-1] if d is None else d
    chol = 10.0 * (pt.eye(length) if d is None else np.eye(d))
    return MvNormal.dist(pt.zeros(length) if d is None else np.zeros(d), chol=to_float(chol))


def event_lengths(rv: TensorVariable, ndim: int) -> tuple[int | None, ...]:
    """Return the lengths of the last axes, None for those that only run time tells."""
    shape = rv.type.shape
    return tuple(shape[len(shape) - ndim :])


def as_event(point: TensorVariable, ndim: int) -> TensorVariable:
    """Return a point with at least as many axes as an event has."""
    return pt.atleast_Nd(point, n=ndim) if ndim else point


def with_time(point: TensorVariable, inner: int) -> TensorVariable:
    """Return a point with a new axis before those of an event."""
    return pt.expand_dims(point, point.type.ndim - inner)
