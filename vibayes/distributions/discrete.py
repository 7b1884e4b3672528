"""Distributions on whole numbers.

Counts that nothing can produce have log probability minus infinity, with derivatives that are
numbers. Where a probability is a sigmoid, a rate an exponential, or a vector of probabilities a
softmax, the formulas use the argument instead, so that nothing is lost by saturation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.special import log_softmax, softmax
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new
from vibayes.backend.expressions import argument_of_exp, argument_of_sigmoid, argument_of_softmax
from vibayes.distributions.base import Discrete, draw_from, to_float
from vibayes.distributions.constraints import (
    Constraints,
    constant_value,
    count,
    finite,
    nonnegative,
    number,
    positive,
    positive_probability,
    probability,
    whole,
)
from vibayes.distributions.dist_math import (
    LOG_SQRT_2PI,
    log_binomial,
    log_ndtr,
    log_or_minus_inf,
    log_rising_factorial,
    log_share,
    safe_log1mexp,
)
from vibayes.distributions.parameters import check_order, exactly_one
from vibayes.exceptions import ParameterError, ShapeError

__all__ = [
    "Bernoulli",
    "BetaBinomial",
    "Binomial",
    "Categorical",
    "DiscreteUniform",
    "Geometric",
    "HyperGeometric",
    "NegativeBinomial",
    "OrderedLogistic",
    "OrderedProbit",
    "Poisson",
    "ZeroInflatedBinomial",
    "ZeroInflatedNegativeBinomial",
    "ZeroInflatedPoisson",
]


def log_of(x: TensorVariable) -> TensorVariable:
    """Return log(x) of a probability or a rate, which may be 0."""
    if (exponent := argument_of_exp(x)) is not None:
        return exponent
    if (logit := argument_of_sigmoid(x)) is not None:
        return -pt.softplus(-logit)
    return log_or_minus_inf(x)


def log_complement(p: TensorVariable) -> TensorVariable:
    """Return log(1 - p) of a probability, which may be 1."""
    if (logit := argument_of_sigmoid(p)) is not None:
        return -pt.softplus(logit)
    below = p < 1
    return pt.switch(below, pt.log1p(-pt.switch(below, p, 0.0)), -np.inf)


def times(n: TensorVariable, log_p: TensorVariable) -> TensorVariable:
    """Return the log probability of ``n`` events: 0 for none of them, even impossible ones."""
    return pt.switch(pt.eq(n, 0), 0.0, n * log_p)


def as_integer(x: TensorVariable) -> TensorVariable:
    """Return whole numbers of dtype ``floatX`` as what draws and indices need."""
    return x.astype("int64")


def pick(table: TensorVariable, index: TensorVariable) -> TensorVariable:
    """Return ``table[..., index]``: for each index the entry of its own row of the table.

    The rows lie along the last axis. The other axes broadcast against those of ``index``. One
    indexing does it: its gradient adds into just the entries that were picked.
    """
    batch = table.type.ndim - 1
    rows = [
        pt.arange(table.shape[axis] if length is None else length)[
            (slice(None),) + (None,) * (batch - 1 - axis)
        ]
        for axis, length in enumerate(table.type.shape[:-1])
    ]
    return table[(*rows, index)]


class BoundedDiscrete(Discrete):
    """Base of the distributions on the whole numbers from one bound to another.

    A subclass gives the formulas for values inside of its support, free of guards. ``logp``,
    ``logcdf`` and ``logccdf`` extend them to all numbers: what is outside, or is not whole, is
    replaced by the lower bound before a formula sees it, so that no gradient becomes NaN.
    """

    @property
    def bounds(self) -> tuple[Any, Any]:
        """Least and greatest value; None for a greatest one that does not exist."""
        return 0, None

    def interior_logp(self, x: TensorVariable) -> TensorVariable:
        """Return the log mass of whole numbers of dtype ``floatX`` inside of the support."""
        raise NotImplementedError(f"{type(self).__name__} has no log density")

    def interior_logcdf(self, x: TensorVariable) -> TensorVariable:
        """Return the log CDF of whole numbers inside of the support, the greatest one excepted."""
        raise NotImplementedError(f"the log CDF of {type(self).__name__} is not known")

    def interior_logccdf(self, x: TensorVariable) -> TensorVariable:
        """Return the log of 1 - CDF of what ``interior_logcdf`` takes."""
        raise NotImplementedError(f"the log CDF of {type(self).__name__} is not known")

    def logp(self, value: TensorVariable) -> TensorVariable:
        lower, upper = self.bounds
        inside = pt.ge(value, lower)
        if upper is not None:
            inside = inside & pt.le(value, upper)
        if value.dtype.startswith("float"):
            inside = inside & pt.eq(value - pt.floor(value), 0)  # infinity is no whole number
        x = to_float(pt.switch(inside, value, lower))
        return pt.switch(inside, self.interior_logp(x), -np.inf)

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        return self._between(value, self.interior_logcdf, -np.inf, 0.0)

    def logccdf(self, value: TensorVariable) -> TensorVariable:
        return self._between(value, self.interior_logccdf, 0.0, -np.inf)

    def _between(
        self,
        value: TensorVariable,
        formula: Callable[[TensorVariable], TensorVariable],
        below: float,
        above: float,
    ) -> TensorVariable:
        """Return a formula of the value rounded down, and constants beyond the bounds."""
        lower, upper = self.bounds
        inside = pt.ge(value, lower) & pt.lt(value, np.inf if upper is None else upper)
        x = pt.floor(to_float(pt.switch(inside, value, lower)))
        return pt.switch(inside, formula(x), pt.switch(pt.lt(value, lower), below, above))


class Bernoulli(BoundedDiscrete):
    r"""Bernoulli distribution: one trial, 1 for success and 0 for failure.

    .. math:: f(x \mid p) = p^x (1 - p)^{1 - x}, \qquad x \in \{0, 1\}

    Parameters
    ----------
    p : array_like, optional
        Probability of success.
    logit_p : array_like, optional
        Log odds of success, :math:`\log(p / (1 - p))`, instead of ``p``.
    """

    constraints: ClassVar[Constraints] = {"p": probability, "logit_p": number}
    p: TensorVariable
    logit_p: TensorVariable

    @behind_new
    def __init__(self, p: Any = None, logit_p: Any = None) -> None:
        set_chance(self, p, logit_p)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.bernoulli, self.p, rng=rng, size=size)

    bounds: tuple[Any, Any] = (0, 1)

    def logp(self, value: TensorVariable) -> TensorVariable:
        success = pt.eq(value, 1)
        logit = argument_of_sigmoid(self.p)
        if logit is not None:
            log_mass = -pt.softplus(pt.switch(success, -logit, logit))
        else:
            log_mass = pt.switch(success, log_of(self.p), log_complement(self.p))
        return pt.switch(success | pt.eq(value, 0), log_mass, -np.inf)

    def interior_logcdf(self, x: TensorVariable) -> TensorVariable:
        return log_complement(self.p)

    def interior_logccdf(self, x: TensorVariable) -> TensorVariable:
        return log_of(self.p)

    def support_point(self) -> TensorVariable:
        return pt.ge(self.p, 0.5).astype("int64")


class Binomial(BoundedDiscrete):
    r"""Binomial distribution: the number of successes in n trials.

    .. math:: f(x \mid n, p) = \binom{n}{x} p^x (1 - p)^{n - x}, \qquad x \in \{0, \dots, n\}

    Parameters
    ----------
    n : array_like
        Number of trials.
    p : array_like, optional
        Probability of success in each.
    logit_p : array_like, optional
        Log odds of success, :math:`\log(p / (1 - p))`, instead of ``p``.
    """

    constraints: ClassVar[Constraints] = {"n": count, "p": probability, "logit_p": number}
    n: TensorVariable
    p: TensorVariable
    logit_p: TensorVariable

    @behind_new
    def __init__(self, n: Any, p: Any = None, logit_p: Any = None) -> None:
        set_chance(self, p, logit_p, n=n)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.binomial, as_integer(self.n), self.p, rng=rng, size=size)

    @property
    def bounds(self) -> tuple[Any, Any]:
        return 0, self.n

    def interior_logp(self, x: TensorVariable) -> TensorVariable:
        successes = times(x, log_of(self.p))
        return log_binomial(self.n, x) + successes + times(self.n - x, log_complement(self.p))

    def interior_logcdf(self, x: TensorVariable) -> TensorVariable:
        return log_share(*self._tails(x))

    def interior_logccdf(self, x: TensorVariable) -> TensorVariable:
        return log_share(*reversed(self._tails(x)))

    def _tails(self, x: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
        """Return the CDF and its complement."""
        failures = self.n - x
        return pt.betainc(failures, x + 1, 1 - self.p), pt.betainc(x + 1, failures, self.p)

    def support_point(self) -> TensorVariable:
        return pt.round(self.n * self.p)


def set_chance(dist: Bernoulli | Binomial, p: Any, logit_p: Any, **others: Any) -> None:
    """Keep the parameters of trials: ``p`` or ``logit_p``, and others.

    ``dist.p`` is set either way; where it is a sigmoid, :func:`argument_of` finds the log odds.
    """
    if exactly_one(p=p, logit_p=logit_p) == "p":
        dist.set_params(**others, p=p)
    else:
        dist.set_params(**others, logit_p=logit_p)
        dist.p = pt.sigmoid(dist.logit_p)


class BetaBinomial(BoundedDiscrete):
    r"""Beta-binomial distribution: binomial, with a probability of success drawn from a beta.

    .. math:: f(x \mid \alpha, \beta, n) = \binom{n}{x}
        \frac{B(x + \alpha, n - x + \beta)}{B(\alpha, \beta)}, \qquad x \in \{0, \dots, n\}

    Parameters
    ----------
    alpha, beta : array_like
        Parameters of the beta distribution, positive.
    n : array_like
        Number of trials.
    """

    constraints: ClassVar[Constraints] = {"alpha": positive, "beta": positive, "n": count}
    alpha: TensorVariable
    beta: TensorVariable
    n: TensorVariable

    @behind_new
    def __init__(self, alpha: Any, beta: Any, n: Any) -> None:
        self.set_params(alpha=alpha, beta=beta, n=n)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, p = draw_from(pt.random.beta, self.alpha, self.beta, rng=rng, size=size)
        return draw_from(pt.random.binomial, as_integer(self.n), p, rng=rng, size=size)

    @property
    def bounds(self) -> tuple[Any, Any]:
        return 0, self.n

    def interior_logp(self, x: TensorVariable) -> TensorVariable:
        return (
            log_binomial(self.n, x)
            + log_rising_factorial(self.alpha, x)
            + log_rising_factorial(self.beta, self.n - x)
            - log_rising_factorial(self.alpha + self.beta, self.n)
        )

    def support_point(self) -> TensorVariable:
        return pt.round(self.n * (self.alpha / (self.alpha + self.beta)))


class Poisson(BoundedDiscrete):
    r"""Poisson distribution: the number of independent events.

    .. math:: f(x \mid \mu) = \frac{e^{-\mu} \mu^x}{x!}, \qquad x \in \{0, 1, \dots\}

    Parameters
    ----------
    mu : array_like
        Expected number of events, at least 0.
    """

    constraints: ClassVar[Constraints] = {"mu": nonnegative}
    mu: TensorVariable

    @behind_new
    def __init__(self, mu: Any) -> None:
        self.set_params(mu=mu)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.poisson, self.mu, rng=rng, size=size)

    def interior_logp(self, x: TensorVariable) -> TensorVariable:
        return times(x, log_of(self.mu)) - self.mu - pt.gammaln(x + 1)

    def interior_logcdf(self, x: TensorVariable) -> TensorVariable:
        return log_share(pt.gammaincc(x + 1, self.mu), pt.gammainc(x + 1, self.mu))

    def interior_logccdf(self, x: TensorVariable) -> TensorVariable:
        return log_share(pt.gammainc(x + 1, self.mu), pt.gammaincc(x + 1, self.mu))

    def support_point(self) -> TensorVariable:
        return pt.floor(self.mu)


class NegativeBinomial(BoundedDiscrete):
    r"""Negative binomial distribution: Poisson, with a rate drawn from a gamma distribution.

    .. math:: f(x \mid \mu, \alpha) = \binom{x + \alpha - 1}{x}
        \left(\frac{\alpha}{\mu + \alpha}\right)^\alpha
        \left(\frac{\mu}{\mu + \alpha}\right)^x, \qquad x \in \{0, 1, \dots\}

    For whole n it is the number of failures before the n-th success, in trials of which each
    succeeds with probability p: :math:`\alpha = n` and :math:`\mu = n (1 - p) / p`. With
    :math:`\alpha \to \infty` it becomes the Poisson distribution.

    Parameters
    ----------
    mu : array_like, optional
        Mean, at least 0.
    alpha : array_like, optional
        Shape of the gamma distribution, positive. The variance is ``mu + mu**2 / alpha``.
    p : array_like, optional
        Probability of success, instead of ``mu``.
    n : array_like, optional
        Another name of ``alpha``.
    """

    constraints: ClassVar[Constraints] = {
        "mu": nonnegative,
        "alpha": positive,
        "p": positive_probability,
        "n": positive,
    }
    mu: TensorVariable | None
    alpha: TensorVariable
    p: TensorVariable | None

    @behind_new
    def __init__(self, mu: Any = None, alpha: Any = None, p: Any = None, n: Any = None) -> None:
        set_dispersed(self, mu, alpha, p, n)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        p, _ = self._chances()
        return draw_from(pt.random.negative_binomial, self.alpha, p, rng=rng, size=size)

    def interior_logp(self, x: TensorVariable) -> TensorVariable:
        if self.mu is None:
            log_p, log_q = log_of(self.p), log_complement(self.p)
        else:
            log_odds = log_of(self.mu) - pt.log(self.alpha)
            log_p, log_q = -pt.softplus(log_odds), -pt.softplus(-log_odds)
        ways = log_rising_factorial(self.alpha, x) - pt.gammaln(x + 1)
        return ways + self.alpha * log_p + times(x, log_q)

    def interior_logcdf(self, x: TensorVariable) -> TensorVariable:
        return log_share(*self._tails(x))

    def interior_logccdf(self, x: TensorVariable) -> TensorVariable:
        return log_share(*reversed(self._tails(x)))

    def _chances(self) -> tuple[TensorVariable, TensorVariable]:
        """Return the probabilities of success and of failure."""
        if self.p is not None:
            return self.p, 1 - self.p
        total = self.alpha + self.mu
        return self.alpha / total, self.mu / total

    def _tails(self, x: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
        """Return the CDF and its complement."""
        p, q = self._chances()
        return pt.betainc(self.alpha, x + 1, p), pt.betainc(x + 1, self.alpha, q)

    def support_point(self) -> TensorVariable:
        if self.p is not None:
            return pt.floor(self.alpha * (1 - self.p) / self.p)
        return pt.floor(self.mu)


def set_dispersed(
    dist: NegativeBinomial, mu: Any, alpha: Any, p: Any, n: Any, **others: Any
) -> None:
    """Keep the parameters of a negative binomial: alpha, with mu or p (the other one is None)."""
    shape = alpha if exactly_one(alpha=alpha, n=n) == "alpha" else n
    if exactly_one(mu=mu, p=p) == "mu":
        dist.p = None
        dist.set_params(**others, mu=mu, alpha=shape)
    else:
        dist.mu = None
        dist.set_params(**others, p=p, alpha=shape)


class Geometric(BoundedDiscrete):
    r"""Geometric distribution: the number of trials up to the first success, itself included.

    .. math:: f(x \mid p) = p (1 - p)^{x - 1}, \qquad x \in \{1, 2, \dots\}

    Parameters
    ----------
    p : array_like
        Probability of success in each trial, positive.
    """

    constraints: ClassVar[Constraints] = {"p": positive_probability}
    bounds: tuple[Any, Any] = (1, None)
    p: TensorVariable

    @behind_new
    def __init__(self, p: Any) -> None:
        self.set_params(p=p)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.geometric, self.p, rng=rng, size=size)

    def interior_logp(self, x: TensorVariable) -> TensorVariable:
        return log_of(self.p) + times(x - 1, log_complement(self.p))

    def interior_logcdf(self, x: TensorVariable) -> TensorVariable:
        return safe_log1mexp(self.interior_logccdf(x))

    def interior_logccdf(self, x: TensorVariable) -> TensorVariable:
        return x * log_complement(self.p)

    def support_point(self) -> TensorVariable:
        return pt.round(1 / self.p)


class HyperGeometric(BoundedDiscrete):
    r"""Hypergeometric distribution: the number of special ones among n items out of N.

    .. math:: f(x \mid N, k, n) = \frac{\binom{k}{x} \binom{N - k}{n - x}}{\binom{N}{n}},
        \qquad x \in \{\max(0, n - N + k), \dots, \min(k, n)\}

    Parameters
    ----------
    N : array_like
        Number of items.
    k : array_like
        Number of special items, at most N.
    n : array_like
        Number of items drawn, without replacement, at most N.
    """

    constraints: ClassVar[Constraints] = {"N": count, "k": count, "n": count}
    N: TensorVariable
    k: TensorVariable
    n: TensorVariable

    @behind_new
    def __init__(self, N: Any, k: Any, n: Any) -> None:
        check_order(k, N, "k", "N", strict=False)
        check_order(n, N, "n", "N", strict=False)
        self.set_params(N=N, k=k, n=n)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        numbers = (as_integer(number) for number in (self.k, self.N - self.k, self.n))
        return draw_from(pt.random.hypergeometric, *numbers, rng=rng, size=size)

    @property
    def bounds(self) -> tuple[Any, Any]:
        return pt.maximum(0.0, self.n - (self.N - self.k)), pt.minimum(self.k, self.n)

    def interior_logp(self, x: TensorVariable) -> TensorVariable:
        return (
            log_binomial(self.k, x)
            + log_binomial(self.N - self.k, self.n - x)
            - log_binomial(self.N, self.n)
        )

    def support_point(self) -> TensorVariable:
        return pt.floor((self.n + 1) * (self.k + 1) / (self.N + 2))


class DiscreteUniform(BoundedDiscrete):
    r"""Discrete uniform distribution.

    .. math:: f(x \mid l, u) = \frac{1}{u - l + 1}, \qquad x \in \{l, \dots, u\}

    Parameters
    ----------
    lower, upper : array_like
        Least and greatest value.
    """

    constraints: ClassVar[Constraints] = {"lower": whole, "upper": whole}
    lower: TensorVariable
    upper: TensorVariable

    @behind_new
    def __init__(self, lower: Any, upper: Any) -> None:
        check_order(lower, upper, strict=False)
        self.set_params(lower=lower, upper=upper)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        bounds = as_integer(self.lower), as_integer(self.upper) + 1
        return draw_from(pt.random.integers, *bounds, rng=rng, size=size)

    @property
    def bounds(self) -> tuple[Any, Any]:
        return self.lower, self.upper

    def interior_logp(self, x: TensorVariable) -> TensorVariable:
        return -pt.log(self.upper - self.lower + 1)

    def interior_logcdf(self, x: TensorVariable) -> TensorVariable:
        return pt.log((x - self.lower + 1) / (self.upper - self.lower + 1))

    def interior_logccdf(self, x: TensorVariable) -> TensorVariable:
        return pt.log((self.upper - x) / (self.upper - self.lower + 1))

    def support_point(self) -> TensorVariable:
        return pt.floor(0.5 * (self.lower + self.upper))


class Categorical(BoundedDiscrete):
    r"""Categorical distribution: the index of one of K categories.

    .. math:: f(x \mid p) = p_x, \qquad x \in \{0, \dots, K - 1\}

    Parameters
    ----------
    p : array_like, optional
        Probabilities along the last axis. Constants that do not sum to 1 are rescaled, with a
        warning; what is known only at run time has to sum to 1.
    logit_p : array_like, optional
        Instead of ``p``, its logarithm plus any constant: ``p = softmax(logit_p)``.
    """

    constraints: ClassVar[Constraints] = {"p": nonnegative, "logit_p": number}
    param_ndims: Mapping[str, int] = {"p": 1, "logit_p": 1}
    p: TensorVariable
    logit_p: TensorVariable

    @behind_new
    def __init__(self, p: Any = None, logit_p: Any = None) -> None:
        if exactly_one(p=p, logit_p=logit_p) == "p":
            check_vector("p", p)
            self.set_params(p=normalized(p))
        else:
            check_vector("logit_p", logit_p)
            self.set_params(logit_p=logit_p)
            self.p = softmax(self.logit_p, axis=-1)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.categorical, self.p, rng=rng, size=size)

    @property
    def bounds(self) -> tuple[Any, Any]:
        return 0, self.p.shape[-1] - 1

    def interior_logp(self, x: TensorVariable) -> TensorVariable:
        category, logits = as_integer(x), argument_of_softmax(self.p)
        if logits is not None:
            return pick(log_softmax(logits, axis=-1), category)
        return log_or_minus_inf(pick(self.p, category))

    def interior_logcdf(self, x: TensorVariable) -> TensorVariable:
        cumulative = pt.cumsum(self.p, axis=-1)
        return log_or_minus_inf(pt.minimum(pick(cumulative, as_integer(x)), 1.0))

    def interior_logccdf(self, x: TensorVariable) -> TensorVariable:
        from_the_end = pt.cumsum(self.p[..., ::-1], axis=-1)[..., ::-1]
        return log_or_minus_inf(pt.minimum(pick(from_the_end, as_integer(x) + 1), 1.0))

    def support_point(self) -> TensorVariable:
        return pt.argmax(self.p, axis=-1)


def check_vector(name: str, value: Any) -> None:
    """Raise if a parameter has no axis to lie along."""
    ndim = value.type.ndim if isinstance(value, TensorVariable) else np.ndim(value)
    if ndim == 0:
        raise ShapeError(f"{name} must have at least one axis, got a scalar")


def normalized(p: Any) -> Any:
    """Return probabilities, rescaled with a warning if they are constants that do not sum to 1."""
    constant = constant_value(p)
    if constant is None:
        return p
    total = constant.sum(axis=-1, keepdims=True)
    if np.allclose(total, 1.0, rtol=0, atol=1e-5):
        return constant / total
    if np.any(total == 0):
        raise ParameterError("p must have a positive element in each row")
    warnings.warn(
        f"Categorical: p sums to {total.squeeze()} instead of 1, and is rescaled.",
        UserWarning,
        stacklevel=5,
    )
    return constant / total


class OrderedCategories(BoundedDiscrete):
    r"""Base of the ordered categories: a latent number falls between two of K - 1 cutpoints.

    .. math:: P(x \le k) = F\left(\frac{c_{k} - \eta}{\sigma}\right), \qquad
        x \in \{0, \dots, K - 1\}

    A subclass says what F is. ``name_probs`` is recorded with the variable: see ``compute_p``.
    """

    param_ndims: Mapping[str, int] = {"cutpoints": 1}
    eta: TensorVariable
    cutpoints: TensorVariable
    sigma: Any = 1.0
    compute_p: bool

    def derived(self) -> dict[str, TensorVariable]:
        return {"probs": self.probabilities()} if self.compute_p else {}

    def latent(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        """Return the generator's next state and a draw of the latent number."""
        raise NotImplementedError

    def log_cumulative(self, z: TensorVariable) -> TensorVariable:
        """Return log F(z) of the distribution F, which is symmetric."""
        raise NotImplementedError

    def log_between(
        self, lower: TensorVariable, upper: TensorVariable, inner: TensorVariable
    ) -> TensorVariable:
        """Return the log probability between two cutpoints, of any value where not ``inner``."""
        raise NotImplementedError

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        rng, latent = self.latent(rng, self.size_or_batch(size))
        return rng, pt.gt(latent[..., None], self.cutpoints).sum(axis=-1)

    def standardized(self, cutpoint: TensorVariable) -> TensorVariable:
        """Return a cutpoint relative to the latent number's location and scale."""
        return (cutpoint - self.eta) / self.sigma

    @property
    def bounds(self) -> tuple[Any, Any]:
        return 0, self.cutpoints.shape[-1]

    def interior_logp(self, x: TensorVariable) -> TensorVariable:
        category, last = as_integer(x), self.cutpoints.shape[-1]
        # The cutpoints around the category. The first and the last have only one: twice the same.
        above = pick(self.cutpoints, pt.minimum(category, last - 1))
        below = pick(self.cutpoints, pt.maximum(category - 1, 0))
        first, inner = pt.eq(category, 0), pt.gt(category, 0) & pt.lt(category, last)
        z = self.standardized(above)
        outer = self.log_cumulative(pt.switch(first, z, -z))
        return pt.switch(inner, self.log_between(below, above, inner), outer)

    def interior_logcdf(self, x: TensorVariable) -> TensorVariable:
        return self.log_cumulative(self.standardized(pick(self.cutpoints, as_integer(x))))

    def interior_logccdf(self, x: TensorVariable) -> TensorVariable:
        return self.log_cumulative(-self.standardized(pick(self.cutpoints, as_integer(x))))

    def probabilities(self) -> TensorVariable:
        """Return the probabilities of the categories, along a last axis."""
        sigma = pt.as_tensor_variable(self.sigma)
        z = (self.cutpoints - self.eta[..., None]) / sigma[..., None]
        edge = pt.zeros_like(z[..., :1])
        cumulative = pt.exp(self.log_cumulative(z))
        return pt.diff(pt.concatenate([edge, cumulative, edge + 1], axis=-1), axis=-1)

    def support_point(self) -> TensorVariable:
        return pt.gt(self.eta[..., None], self.cutpoints).sum(axis=-1)


def check_cutpoints(cutpoints: Any) -> None:
    """Raise if cutpoints are no vector, or are constants that do not increase."""
    check_vector("cutpoints", cutpoints)
    constant = constant_value(cutpoints)
    if constant is not None and np.any(np.diff(constant, axis=-1) <= 0):
        raise ParameterError(f"cutpoints must increase along the last axis, got {constant}")


class OrderedLogistic(OrderedCategories):
    r"""Ordered categories, cut out of a logistic distribution around a predictor.

    .. math:: P(x \le k) = \frac{1}{1 + e^{-(c_{k} - \eta)}}, \qquad x \in \{0, \dots, K - 1\}

    Parameters
    ----------
    eta : array_like
        The predictor.
    cutpoints : array_like
        K - 1 increasing numbers along the last axis.
    compute_p : bool, default True
        Whether the model also records the probabilities of the categories, under the variable's
        name with ``_probs`` appended.
    """

    constraints: ClassVar[Constraints] = {"eta": finite, "cutpoints": finite}
    eta: TensorVariable
    cutpoints: TensorVariable

    @behind_new
    def __init__(self, eta: Any, cutpoints: Any, *, compute_p: bool = True) -> None:
        check_cutpoints(cutpoints)
        self.compute_p = compute_p
        self.set_params(eta=eta, cutpoints=cutpoints)

    def latent(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.logistic, self.eta, 1.0, rng=rng, size=size)

    def standardized(self, cutpoint: TensorVariable) -> TensorVariable:
        return cutpoint - self.eta

    def log_cumulative(self, z: TensorVariable) -> TensorVariable:
        return -pt.softplus(-z)

    def log_between(
        self, lower: TensorVariable, upper: TensorVariable, inner: TensorVariable
    ) -> TensorVariable:
        # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u))
        share = pt.log1mexp(pt.switch(inner, lower - upper, -1.0))
        return share - pt.softplus(self.eta - upper) - pt.softplus(lower - self.eta)


class OrderedProbit(OrderedCategories):
    r"""Ordered categories, cut out of a normal distribution around a predictor.

    .. math:: P(x \le k) = \Phi\left(\frac{c_{k} - \eta}{\sigma}\right), \qquad
        x \in \{0, \dots, K - 1\}

    Parameters
    ----------
    eta : array_like
        The predictor.
    cutpoints : array_like
        K - 1 increasing numbers along the last axis.
    sigma : array_like, default 1
        Standard deviation of the latent normal distribution.
    compute_p : bool, default True
        Whether the model also records the probabilities of the categories, under the variable's
        name with ``_probs`` appended.
    """

    constraints: ClassVar[Constraints] = {"eta": finite, "cutpoints": finite, "sigma": positive}
    eta: TensorVariable
    cutpoints: TensorVariable
    sigma: TensorVariable

    @behind_new
    def __init__(
        self, eta: Any, cutpoints: Any, sigma: Any = 1.0, *, compute_p: bool = True
    ) -> None:
        check_cutpoints(cutpoints)
        self.compute_p = compute_p
        self.set_params(eta=eta, cutpoints=cutpoints, sigma=sigma)

    def latent(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return draw_from(pt.random.normal, self.eta, self.sigma, rng=rng, size=size)

    def log_cumulative(self, z: TensorVariable) -> TensorVariable:
        return log_ndtr(z)

    def log_between(
        self, lower: TensorVariable, upper: TensorVariable, inner: TensorVariable
    ) -> TensorVariable:
        width = pt.switch(inner, (upper - lower) / self.sigma, 1.0)
        return log_normal_interval(self.standardized(0.5 * (lower + upper)), width)


def log_normal_interval(middle: TensorVariable, width: TensorVariable) -> TensorVariable:
    r"""Return the log probability that a standard normal number falls into an interval.

    Where the interval is narrow, its ends can be the same number, and the density over it is
    integrated as :math:`\varphi(m) \int e^{-m t} dt`, with a relative error of
    ``width**2 / 24``.
    """
    narrow = width < 1e-5
    far = pt.abs(middle)
    slope, thin = pt.maximum(far, 1e-3), pt.switch(narrow, width, 1.0)
    log_integral = pt.log1mexp(-slope * thin) - pt.log(slope) + 0.5 * slope * thin
    half = 0.5 * pt.switch(narrow, 1.0, width)
    log_near, log_beyond = log_ndtr(half - far), log_ndtr(-half - far)
    return pt.switch(
        narrow,
        log_integral - 0.5 * middle**2 - LOG_SQRT_2PI,
        log_near + pt.log1mexp(log_beyond - log_near),
    )


class ZeroInflated(Discrete):
    r"""Base of counts with additional zeros; the counts come from the next class in line.

    .. math:: P(x) = (1 - \psi) [x = 0] + \psi f(x)
    """

    psi: TensorVariable

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, counted = draw_from(pt.random.bernoulli, self.psi, rng=rng, size=size)
        rng, number = super().random(rng, size)
        return rng, counted * number

    def logp(self, value: TensorVariable) -> TensorVariable:
        return self._inflate(super().logp(value), pt.eq(value, 0))

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        return self._inflate(super().logcdf(value), pt.ge(value, 0))

    def logccdf(self, value: TensorVariable) -> TensorVariable:
        more = log_of(self.psi) + super().logccdf(value)
        return pt.switch(pt.lt(value, 0), 0.0, more)

    def _inflate(self, log_count: TensorVariable, inflated: TensorVariable) -> TensorVariable:
        """Return log(psi f), or where ``inflated`` log(1 - psi + psi f)."""
        log_counted = log_of(self.psi) + log_count
        mass = 1 - self.psi + self.psi * pt.exp(log_count)
        possible = inflated & (mass > 0)  # else 1 - psi = 0, and f is too small for a float
        return pt.switch(possible, pt.log(pt.switch(possible, mass, 1.0)), log_counted)

    def support_point(self) -> TensorVariable:
        return pt.switch(self.psi < 0.5, 0.0, super().support_point())


class ZeroInflatedPoisson(ZeroInflated, Poisson):
    r"""Poisson distribution with additional zeros.

    .. math:: f(x \mid \psi, \mu) = (1 - \psi) [x = 0] + \psi \frac{e^{-\mu} \mu^x}{x!},
        \qquad x \in \{0, 1, \dots\}

    Parameters
    ----------
    psi : array_like
        Expected proportion of draws from the Poisson distribution.
    mu : array_like
        Mean of the Poisson distribution, at least 0.
    """

    constraints: ClassVar[Constraints] = {"psi": probability, **Poisson.constraints}
    psi: TensorVariable
    mu: TensorVariable

    @behind_new
    def __init__(self, psi: Any, mu: Any) -> None:
        self.set_params(psi=psi, mu=mu)


class ZeroInflatedBinomial(ZeroInflated, Binomial):
    r"""Binomial distribution with additional zeros.

    .. math:: f(x \mid \psi, n, p) = (1 - \psi) [x = 0] + \psi \binom{n}{x} p^x (1 - p)^{n - x},
        \qquad x \in \{0, \dots, n\}

    Parameters
    ----------
    psi : array_like
        Expected proportion of draws from the binomial distribution.
    n : array_like
        Number of trials.
    p : array_like
        Probability of success in each.
    """

    constraints: ClassVar[Constraints] = {"psi": probability, "n": count, "p": probability}
    psi: TensorVariable
    n: TensorVariable
    p: TensorVariable

    @behind_new
    def __init__(self, psi: Any, n: Any, p: Any) -> None:
        self.set_params(psi=psi, n=n, p=p)


class ZeroInflatedNegativeBinomial(ZeroInflated, NegativeBinomial):
    r"""Negative binomial distribution with additional zeros.

    .. math:: f(x \mid \psi, \mu, \alpha) = (1 - \psi) [x = 0] + \psi \binom{x + \alpha - 1}{x}
        \left(\frac{\alpha}{\mu + \alpha}\right)^\alpha
        \left(\frac{\mu}{\mu + \alpha}\right)^x, \qquad x \in \{0, 1, \dots\}

    Parameters
    ----------
    psi : array_like
        Expected proportion of draws from the negative binomial distribution.
    mu, alpha, p, n : array_like, optional
        Its parameters: ``mu`` or ``p``, and ``alpha`` or ``n``, as in
        :class:`vibayes.NegativeBinomial`.
    """

    constraints: ClassVar[Constraints] = {"psi": probability, **NegativeBinomial.constraints}

    @behind_new
    def __init__(
        self, psi: Any, mu: Any = None, alpha: Any = None, p: Any = None, n: Any = None
    ) -> None:
        set_dispersed(self, mu, alpha, p, n, psi=psi)
