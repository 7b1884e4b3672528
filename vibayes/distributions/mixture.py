"""Mixtures of distributions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new
from vibayes.distributions.base import (
    Continuous,
    Distribution,
    as_vector,
    draw_from,
    unnamed,
)
from vibayes.distributions.constraints import Constraints, constant_value, finite, positive, simplex
from vibayes.distributions.continuous import sigma_from
from vibayes.distributions.dist_math import (
    LOG_SQRT_2PI,
    log_ndtr,
    log_sum_exp,
    log_sum_exp_last,
    log_weighted,
)
from vibayes.distributions.transforms import Interval, Transform
from vibayes.exceptions import ShapeError

__all__ = ["Mixture", "NormalMixture"]

MOST_UNROLLED = 16


class Mixture(Distribution):
    r"""Mixture: a draw comes from one of several components, chosen by their weights.

    .. math:: f(x \mid w, \theta) = \sum_{k=1}^K w_k \, f_k(x \mid \theta_k)

    Parameters
    ----------
    w : array_like
        Weights of the components along the last axis: zero or more, of sum one. Axes before that
        are batch axes.
    comp_dists : sequence of TensorVariable, or TensorVariable
        The components, made by ``dist``: one variable for each, or a single variable whose last
        batch axis (the last axis that is not part of an event) runs over the components. They are
        all discrete or all continuous, and have events of the same number of axes.

    Raises
    ------
    ValueError
        If the components cannot be mixed, or are variables of a model.
    ShapeError
        If there are not as many components as weights.

    Notes
    -----
    A free mixture has the components' transform to the unconstrained space if that is the same for
    all of them, else none.

    A weight of exactly zero switches its component off: the derivative with respect to that weight
    is zero, too.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     components = [vb.Normal.dist(0, 1), vb.StudentT.dist(nu=4, mu=5)]
    ...     x = vb.Mixture("x", w=[0.3, 0.7], comp_dists=components)
    """

    constraints: ClassVar[Constraints] = {"w": simplex}
    param_ndims: Mapping[str, int] = {"w": 1}
    w: TensorVariable

    @behind_new
    def __init__(self, w: Any, comp_dists: TensorVariable | Sequence[TensorVariable]) -> None:
        variables = list(comp_dists) if isinstance(comp_dists, Sequence) else [comp_dists]
        if not variables:
            raise ValueError("comp_dists is empty; give at least one component")
        self.set_params(w=w)
        self.parts = [unnamed(variable, "comp_dists") for variable in variables]
        self.batched = len(self.parts) == 1
        self.discrete = common(self.parts, "discrete")
        self.ndim_supp = common(self.parts, "ndim_supp")
        self.n_components = self._count()

    def _count(self) -> Any:
        """Return the number of components: an int where it is known, else symbolic."""
        n_weights = weight_count(self.w)
        if self.batched:
            batch = self.parts[0].rv_batch_shape
            if not batch:
                raise ShapeError(
                    "a single component needs a batch axis, the last, that runs over the mixture"
                )
            n = batch[-1]
        else:
            n = len(self.parts)
        if isinstance(n, int) and isinstance(n_weights, int) and n != n_weights:
            raise ShapeError(f"{n_weights} weights for {n} components")
        return n if isinstance(n, int) else n_weights

    @property
    def batch_shapes(self) -> list[tuple[Any, ...]]:
        shapes = super().batch_shapes
        return [*shapes[:-1], shapes[-1][:-1]] if self.batched else shapes

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        batch = tuple(self.size_or_batch(size))
        rng, chosen = choose(rng, self.w, self.n_components, batch)
        if self.batched:
            rng, draws = self.parts[0].random(rng, (*batch, self.n_components))
        else:
            each = []
            for part in self.parts:
                rng, draw = part.random(rng, batch)
                each.append(draw)
            draws = pt.stack(each, axis=len(batch))
        return rng, of_chosen(chosen, draws, self.ndim_supp)

    def logp(self, value: TensorVariable) -> TensorVariable:
        if self.discrete or self.ndim_supp:
            return self._mixed("logp", value)
        finite, safe = finite_or_zero(value)
        return pt.switch(finite, self._mixed("logp", safe), -np.inf)

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        return pt.minimum(self._mixed("logcdf", value), 0.0)

    def logccdf(self, value: TensorVariable) -> TensorVariable:
        return pt.minimum(self._mixed("logccdf", value), 0.0)

    def _mixed(self, quantity: str, value: TensorVariable) -> TensorVariable:
        """Return the log of the weighted sum of what the components give as logarithms."""
        if self.batched:
            value = pt.expand_dims(value, value.type.ndim - self.ndim_supp)
            terms = getattr(self.parts[0], quantity)(value)
            return log_sum_exp_last(log_weighted(self.w, terms))
        return log_sum_exp(
            [
                log_weighted(self.w[..., k], getattr(part, quantity)(value))
                for k, part in enumerate(self.parts)
            ]
        )

    def support_point(self) -> TensorVariable:
        """Return the weighted mean of the components' points, where the density is positive there.

        Otherwise (components of separate supports) it is the point of the component of most
        weight.
        """
        mean = self._weighted_point(self.w)
        heaviest = pt.argmax(self.w, axis=-1, keepdims=True)
        fallback = self._weighted_point(pt.eq(heaviest, pt.arange(self.n_components)))
        if self.discrete:
            mean, fallback = pt.round(mean).astype("int64"), fallback.astype("int64")
        possible = self.logp(mean) > -np.inf
        return pt.switch(with_event_axes(possible, self.ndim_supp), mean, fallback)

    def _weighted_point(self, weights: TensorVariable) -> TensorVariable:
        n = self.ndim_supp
        if self.batched:
            point = self.parts[0].support_point()
            return (with_event_axes(weights, n) * point).sum(axis=-1 - n)
        return pt.add(
            *(
                with_event_axes(weights[..., k], n) * part.support_point()
                for k, part in enumerate(self.parts)
            )
        )

    @property
    def default_transform(self) -> Transform | None:
        """The transform of the components, if they agree."""
        if self.batched:
            return shared_by_components(self.parts[0].default_transform)
        first, *others = [part.default_transform for part in self.parts]
        return first if all(same_transform(first, other) for other in others) else None


class NormalMixture(Continuous):
    r"""Mixture of normal distributions.

    .. math:: f(x \mid w, \mu, \sigma) = \sum_{k=1}^K w_k \, N(x \mid \mu_k, \sigma_k)

    Parameters
    ----------
    w : array_like
        Weights of the components along the last axis: zero or more, of sum one.
    mu : array_like
        Means of the components, along the last axis.
    sigma : array_like, optional
        Standard deviations, positive; 1 by default. ``sd`` is another name of it.
    tau : array_like, optional
        Precisions, ``1 / sigma**2``, instead of ``sigma``.
    dtype : str, optional
        The dtype of the variable. It has to be ``floatX``, which it is anyhow: older code gives it.

    Raises
    ------
    ShapeError
        If there are not as many components as weights.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.NormalMixture("x", w=[0.2, 0.8], mu=[-0.3, 0.5], sigma=[0.1, 0.1])
    """

    constraints: ClassVar[Constraints] = {
        "w": simplex,
        "mu": finite,
        "sigma": positive,
        "tau": positive,
    }
    param_ndims: Mapping[str, int] = {"w": 1, "mu": 1, "sigma": 1}
    w: TensorVariable
    mu: TensorVariable
    sigma: TensorVariable

    @behind_new
    def __init__(
        self, w: Any, mu: Any, sigma: Any = None, tau: Any = None, dtype: str | None = None
    ) -> None:
        if dtype not in (None, "floatX", pytensor.config.floatX):
            raise ValueError(f"dtype must be floatX, {pytensor.config.floatX}, got {dtype!r}")
        self.set_params(w=w, mu=as_vector(mu), sigma=as_vector(sigma_from(sigma, tau=tau)))
        self.n_components = weight_count(self.w)
        for name, value in (("mu", self.mu), ("sigma", self.sigma)):
            n = value.type.shape[-1]
            if isinstance(self.n_components, int) and n not in (None, 1, self.n_components):
                raise ShapeError(f"{self.n_components} weights for {n} components in {name}")

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        batch = tuple(self.size_or_batch(size))
        rng, chosen = choose(rng, self.w, self.n_components, batch)
        mu, sigma = of_chosen(chosen, self.mu), of_chosen(chosen, self.sigma)
        return draw_from(pt.random.normal, mu, sigma, rng=rng, size=batch)

    def logp(self, value: TensorVariable) -> TensorVariable:
        finite, safe = finite_or_zero(value)
        constants = self._constants()
        if constants is None:
            terms = normal_logp(safe[..., None], self.mu, self.sigma)
            log_density = log_sum_exp_last(log_weighted(self.w, terms))
        else:  # one elementwise loop over the values is all there is to compile
            log_density = log_sum_exp(
                [normal_logp(safe, mu, sigma, float(np.log(w))) for w, mu, sigma in constants if w]
            )
        return pt.switch(finite, log_density, -np.inf)

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        return self._log_probability((value[..., None] - self.mu) / self.sigma)

    def logccdf(self, value: TensorVariable) -> TensorVariable:
        return self._log_probability((self.mu - value[..., None]) / self.sigma)

    def _log_probability(self, z: TensorVariable) -> TensorVariable:
        return pt.minimum(log_sum_exp_last(log_weighted(self.w, log_ndtr(z))), 0.0)

    def support_point(self) -> TensorVariable:
        return (self.w * self.mu).sum(axis=-1)

    def _constants(self) -> list[tuple[float, float, float]] | None:
        """Return weight, mean and deviation of each component, None if they are no constants.

        None also for parameters with batch axes, and for many components.
        """
        values = [constant_value(value) for value in (self.w, self.mu, self.sigma)]
        known = [v for v in values if v is not None and v.ndim <= 1]
        if len(known) < len(values) or self.n_components > MOST_UNROLLED:
            return None
        rows = np.stack(np.broadcast_arrays(*known), axis=-1)
        return [(float(w), float(mu), float(sigma)) for w, mu, sigma in rows]


def normal_logp(
    value: TensorVariable, mu: Any, sigma: Any, log_weight: float = 0.0
) -> TensorVariable:
    """Return the log density of a normal distribution, plus a constant."""
    log_scale = float(np.log(sigma)) if isinstance(sigma, float) else pt.log(sigma)
    return -0.5 * ((value - mu) / sigma) ** 2 + (log_weight - LOG_SQRT_2PI - log_scale)


def finite_or_zero(value: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
    """Tell where a value is finite, and return it with zero elsewhere.

    At an infinite value a component's derivative can be infinite, and its share in the mixture
    zero, of which the product would be NaN.
    """
    finite = pt.invert(pt.isinf(value))
    return finite, pt.switch(finite, value, 0.0)


def weight_count(w: TensorVariable) -> Any:
    """Return the number of weights: an int where it is known, else symbolic."""
    if w.type.ndim == 0:
        raise ShapeError("w must be a vector of weights, or several along the last axis")
    static = w.type.shape[-1]
    return w.shape[-1] if static is None else static


def choose(rng: Any, w: TensorVariable, n: Any, batch: Sequence[Any]) -> tuple[Any, TensorVariable]:
    """Return the next generator, and which component is drawn: a mask over a new last axis."""
    rng, u = draw_from(pt.random.uniform, 0.0, 1.0, rng=rng, size=batch)
    edges = pt.cumsum(w, axis=-1)[..., :-1]
    index = pt.le(edges, u[..., None]).sum(axis=-1, keepdims=True)
    return rng, pt.eq(index, pt.arange(n))


def of_chosen(chosen: TensorVariable, values: TensorVariable, ndim_supp: int = 0) -> TensorVariable:
    """Return the chosen ones of values whose last batch axis runs over the components."""
    masked = pt.switch(with_event_axes(chosen, ndim_supp), values, 0)
    return masked.sum(axis=-1 - ndim_supp).astype(values.dtype)


def with_event_axes(batch: TensorVariable, ndim_supp: int) -> TensorVariable:
    """Append axes, so that something of a batch shape broadcasts against events."""
    return batch[(..., *(None,) * ndim_supp)] if ndim_supp else batch


def common(parts: Sequence[Distribution], attribute: str) -> Any:
    """Return an attribute that all components must share."""
    values = {getattr(part, attribute) for part in parts}
    if len(values) > 1:
        kinds = ", ".join(f"{type(p).__name__} ({getattr(p, attribute)})" for p in parts)
        raise ValueError(f"the components must agree in {attribute}: {kinds}")
    return values.pop()


def same_transform(a: Any, b: Any) -> bool:
    """Tell whether two transforms, or things that they consist of, are known to be the same."""
    if a is b:
        return True
    if isinstance(a, Transform) and type(a) is type(b):
        return vars(a).keys() == vars(b).keys() and all(
            same_transform(x, vars(b)[name]) for name, x in vars(a).items()
        )
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same_transform, a, b))
    x, y = constant_value(a), constant_value(b)
    return x is not None and y is not None and np.array_equal(x, y)


def shared_by_components(transform: Transform | None) -> Transform | None:
    """Return the transform of a batched component without the axis of components."""
    if not isinstance(transform, Interval):
        return transform
    bounds = [(bound, without_last_axis(bound)) for bound in (transform.lower, transform.upper)]
    if any(bound is not None and reduced is None for bound, reduced in bounds):
        return None
    return Interval(*(reduced for _, reduced in bounds))


def without_last_axis(bound: TensorVariable | None) -> Any:
    """Return a bound that is the same for all components, None if it is not known to be."""
    if bound is None or bound.type.ndim == 0:
        return bound
    if bound.type.shape[-1] == 1:
        return bound[..., 0]
    values = constant_value(bound)
    if values is None or (values != values[..., :1]).any():
        return None
    return values[..., 0]
