"""Hurdle distributions: zeros from one process, numbers above zero from another.

Mullahy (1986), Specification and testing of some modified count data models. Journal of
Econometrics 33, 341-365.
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new
from vibayes.distributions.base import Distribution, draw_from
from vibayes.distributions.constraints import Constraints, open_unit, positive, probability
from vibayes.distributions.continuous import (
    Gamma,
    LogNormal,
    gamma_params,
    sigma_from,
    standard_gamma,
)
from vibayes.distributions.discrete import (
    NegativeBinomial,
    Poisson,
    as_integer,
    log_complement,
    log_of,
    set_dispersed,
)
from vibayes.distributions.dist_math import log_sum_exp, safe_log1mexp

__all__ = ["HurdleGamma", "HurdleLogNormal", "HurdleNegativeBinomial", "HurdlePoisson"]

LARGEST_COUNT = 2.0**62


class Hurdle(Distribution):
    r"""Base of the hurdle distributions; what is above zero comes from the next class in line.

    .. math:: f(x) = \begin{cases} 1 - \psi & x = 0 \\
        \psi \, g(x) / P_g(x > 0) & x > 0 \end{cases}
    """

    psi: TensorVariable

    def log_above_zero(self) -> TensorVariable | float:
        """Return the log of the probability that the next class in line gives to x > 0."""
        raise NotImplementedError

    def draw_above_zero(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        """Return the next state of the generator, and a draw of what is above zero."""
        raise NotImplementedError

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        size = self.size_or_batch(size)
        rng, above = draw_from(pt.random.bernoulli, self.psi, rng=rng, size=size)
        rng, number = self.draw_above_zero(rng, size)
        return rng, above * number

    def logp(self, value: TensorVariable) -> TensorVariable:
        zero = pt.eq(value, 0)
        number = super().logp(pt.switch(zero, 1, value)) - self.log_above_zero()
        return pt.switch(zero, log_complement(self.psi), log_of(self.psi) + number)

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        above = self._log_number_above(value)
        share = log_of(self.psi) + safe_log1mexp(above)
        rest = log_complement(self.psi)
        inner = log_sum_exp([rest, share])
        outer = pt.switch(pt.lt(value, 0), -np.inf, rest)
        return pt.switch(above < 0, pt.minimum(inner, 0.0), outer)

    def logccdf(self, value: TensorVariable) -> TensorVariable:
        above = log_of(self.psi) + self._log_number_above(value)
        return pt.switch(pt.lt(value, 0), 0.0, above)

    def _log_number_above(self, value: TensorVariable) -> TensorVariable:
        """Return the log of P(x > value | x > 0)."""
        above = super().logccdf(value) - self.log_above_zero()
        return pt.switch(pt.ge(value, 0), pt.minimum(above, 0.0), 0.0)

    def support_point(self) -> TensorVariable:
        return pt.switch(self.psi < 0.5, 0.0, super().support_point())


class HurdleCount(Hurdle):
    """Base of the hurdle distributions of counts."""

    discrete = True

    def support_point(self) -> TensorVariable:
        return pt.switch(self.psi < 0.5, 0.0, pt.maximum(super().support_point(), 1.0))


class HurdlePoisson(HurdleCount, Poisson):
    r"""Zeros, or counts of a Poisson distribution without zero.

    .. math:: f(x \mid \psi, \mu) = \begin{cases} 1 - \psi & x = 0 \\
        \psi \dfrac{e^{-\mu} \mu^x / x!}{1 - e^{-\mu}} & x = 1, 2, \dots \end{cases}

    Unlike in :class:`ZeroInflatedPoisson`, all zeros come from one process.

    Parameters
    ----------
    psi : array_like
        Probability of a count above zero.
    mu : array_like
        Mean of the Poisson distribution before zeros are taken out, positive.
    """

    constraints: ClassVar[Constraints] = {"psi": probability, "mu": positive}
    psi: TensorVariable
    mu: TensorVariable

    @behind_new
    def __init__(self, psi: Any, mu: Any) -> None:
        self.set_params(psi=psi, mu=mu)

    def log_above_zero(self) -> TensorVariable:
        return safe_log1mexp(-self.mu)

    def draw_above_zero(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        """Draw the first event, given that there is one in the time mu, and those after it."""
        rng, first = draw_first_event(rng, self.mu, size)
        rest = pt.maximum(self.mu - first, 0.0)
        rng, later = draw_from(pt.random.poisson, rest, rng=rng, size=size)
        return rng, 1 + later


class HurdleNegativeBinomial(HurdleCount, NegativeBinomial):
    r"""Zeros, or counts of a negative binomial distribution without zero.

    .. math:: f(x \mid \psi, \mu, \alpha) = \begin{cases} 1 - \psi & x = 0 \\
        \psi \dfrac{g(x \mid \mu, \alpha)}{1 - g(0 \mid \mu, \alpha)} & x = 1, 2, \dots
        \end{cases}

    with the mass g of :class:`NegativeBinomial`.

    Parameters
    ----------
    psi : array_like
        Probability of a count above zero.
    mu, alpha, p, n : array_like, optional
        Parameters of the negative binomial distribution: ``mu`` (positive) or ``p`` (below 1), and
        ``alpha`` or ``n``, as in :class:`vibayes.NegativeBinomial`.

    Notes
    -----
    Draws take the count as a Poisson number of clusters whose sizes have a logarithmic distribution
    (Quenouille 1949), and the first cluster as given.
    """

    constraints: ClassVar[Constraints] = {
        "psi": probability,
        "mu": positive,
        "alpha": positive,
        "p": open_unit,
        "n": positive,
    }

    @behind_new
    def __init__(
        self, psi: Any, mu: Any = None, alpha: Any = None, p: Any = None, n: Any = None
    ) -> None:
        set_dispersed(self, mu, alpha, p, n, psi=psi)

    def log_above_zero(self) -> TensorVariable:
        return safe_log1mexp(self.alpha * self._log_success())

    def _log_success(self) -> TensorVariable:
        """Return the log of p."""
        if self.mu is None:
            return log_of(self.p)
        return -pt.log1p(self.mu / self.alpha)

    def draw_above_zero(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        rate = -self._log_success()
        rng, first = draw_first_event(rng, rate * self.alpha, size)
        rng, u = draw_from(pt.random.uniform, 0.0, 1.0, rng=rng, size=size)
        rng, e = draw_from(pt.random.exponential, 1.0, rng=rng, size=size)
        # A logarithmic number is geometric, of success probability p**u (Kemp 1981).
        trials = pt.floor(1 - e / pt.log1mexp(-rate * u))
        cluster = as_integer(pt.clip(trials, 1.0, LARGEST_COUNT))
        rest = pt.maximum(self.alpha - first / rate, 0.0)
        rng, mixing = draw_from(standard_gamma, rest, rng=rng, size=size)
        mean = pt.minimum(mixing * pt.expm1(rate), LARGEST_COUNT)
        rng, later = draw_from(pt.random.poisson, mean, rng=rng, size=size)
        return rng, cluster + later


class HurdleContinuous(Hurdle):
    """Base of the hurdle distributions whose numbers above zero are continuous."""

    def log_above_zero(self) -> float:
        return 0.0

    def draw_above_zero(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        return super(Hurdle, self).random(rng, size)

    @property
    def default_transform(self) -> NoReturn:
        """There is none.

        Raises
        ------
        TypeError
            Always: only a free variable is asked for it, which no approximation can give a
            probability of being exactly zero.
        """
        kind = type(self).__name__
        raise TypeError(
            f"{kind} gives zero a probability of its own, and has no density there, so that it "
            "cannot be a free variable: give it observed data"
        )


class HurdleGamma(HurdleContinuous, Gamma):
    r"""Zeros, or numbers of a gamma distribution.

    .. math:: f(x \mid \psi, \alpha, \beta) = \begin{cases} 1 - \psi & x = 0 \\
        \psi \dfrac{\beta^\alpha}{\Gamma(\alpha)} x^{\alpha - 1} e^{-\beta x} & x > 0 \end{cases}

    Parameters
    ----------
    psi : array_like
        Probability of a number above zero.
    alpha, beta, mu, sigma : array_like, optional
        Parameters of the gamma distribution: ``alpha`` and ``beta``, or ``mu`` and ``sigma``, as
        in :class:`vibayes.Gamma`.

    Raises
    ------
    TypeError
        If it is a free variable of a model.
    """

    constraints: ClassVar[Constraints] = {"psi": probability, **Gamma.constraints}
    psi: TensorVariable

    @behind_new
    def __init__(
        self,
        psi: Any,
        alpha: Any = None,
        beta: Any = None,
        mu: Any = None,
        sigma: Any = None,
    ) -> None:
        alpha, beta = gamma_params(alpha, beta, mu, sigma)
        self.set_params(psi=psi, alpha=alpha, beta=beta)


class HurdleLogNormal(HurdleContinuous, LogNormal):
    r"""Zeros, or exponentials of a normal variable.

    .. math:: f(x \mid \psi, \mu, \sigma) = \begin{cases} 1 - \psi & x = 0 \\
        \psi \dfrac{1}{x \sigma \sqrt{2\pi}}
        \exp\left(-\dfrac{(\log x - \mu)^2}{2\sigma^2}\right) & x > 0 \end{cases}

    Parameters
    ----------
    psi : array_like
        Probability of a number above zero.
    mu : array_like, default 0
        Mean of the normal variable.
    sigma : array_like, optional
        Its standard deviation, positive; 1 by default.
    tau : array_like, optional
        Its precision, ``1 / sigma**2``, instead of ``sigma``.

    Raises
    ------
    TypeError
        If it is a free variable of a model.
    """

    constraints: ClassVar[Constraints] = {"psi": probability, **LogNormal.constraints}
    psi: TensorVariable

    @behind_new
    def __init__(self, psi: Any, mu: Any = 0.0, sigma: Any = None, tau: Any = None) -> None:
        self.set_params(psi=psi, mu=mu, sigma=sigma_from(sigma, tau=tau))


def draw_first_event(rng: Any, time: TensorVariable, size: Any) -> tuple[Any, TensorVariable]:
    """Return when the first event of a process of rate 1 comes, given that ``time`` has one."""
    rng, u = draw_from(pt.random.uniform, 0.0, 1.0, rng=rng, size=size)
    return rng, -pt.log1p(u * pt.expm1(-time))
