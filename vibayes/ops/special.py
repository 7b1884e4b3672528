"""Special functions that PyTensor lacks, or has with less precision or without derivatives.

Each is a function of SciPy, applied to each element.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from pytensor.graph.basic import Apply
from pytensor.scalar import exp, switch
from pytensor.scalar.basic import BinaryScalarOp, UnaryScalarOp, upgrade_to_float_no_complex
from pytensor.scalar.math import erfcx, psi
from pytensor.tensor.elemwise import Elemwise
from scipy import special

from vibayes.backend.jax import jax_version

__all__ = ["LOG_SQRT_2PI", "SQRT_HALF", "betaln", "i0e", "i1e", "log_ndtr", "ndtri_exp"]

SQRT_HALF = math.sqrt(0.5)
LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
NEWTON_STEPS = 6

# Stirling's series of the log of the gamma function, and from where on it has all digits
STIRLING = 1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156
LEAST_FOR_STIRLING = 10.0


class SpecialFunction:
    """What scalar operations share that call a function of ``scipy.special``.

    PyTensor's numba backend calls the compiled SciPy function that ``nfunc_spec`` names. There is
    no C code: PyTensor's C backend then calls ``impl``.
    """

    nfunc_spec: tuple[str, int, int]

    def impl(self, *args):
        return getattr(special, self.nfunc_spec[0].rpartition(".")[2])(*args)

    def c_code(self, *args, **kwargs):
        raise NotImplementedError


class LogNdtr(SpecialFunction, UnaryScalarOp):
    r"""Log of the standard normal distribution function.

    The derivative :math:`\varphi(x)/\Phi(x) = \sqrt{2/\pi} / \mathrm{erfcx}(-x/\sqrt 2)` is
    precise for every x.
    """

    nfunc_spec = ("scipy.special.log_ndtr", 1, 1)

    def pullback(self, inputs, outputs, grads):
        (x,), (gz,) = inputs, grads
        return [gz * (math.sqrt(2 / math.pi) / erfcx(x * -SQRT_HALF))]


class NdtriExp(SpecialFunction, UnaryScalarOp):
    """Inverse of the log of the standard normal distribution function."""

    nfunc_spec = ("scipy.special.ndtri_exp", 1, 1)

    def pullback(self, inputs, outputs, grads):
        (y,), (x,), (gz,) = inputs, outputs, grads
        return [gz * exp(y + 0.5 * x * x + LOG_SQRT_2PI)]


class I0e(SpecialFunction, UnaryScalarOp):
    """Modified Bessel function of the first kind of order 0, times ``exp(-x)``, for x >= 0.

    PyTensor's ``ive(0, x)`` is NaN above 1e9, and its derivative at 0 is that of an even function.
    """

    nfunc_spec = ("scipy.special.i0e", 1, 1)

    def pullback(self, inputs, outputs, grads):
        (x,), (value,), (gz,) = inputs, outputs, grads
        return [gz * (scalar_i1e(x) - value)]


class I1e(SpecialFunction, UnaryScalarOp):
    """Modified Bessel function of the first kind of order 1, times ``exp(-x)``, for x >= 0."""

    nfunc_spec = ("scipy.special.i1e", 1, 1)

    def pullback(self, inputs, outputs, grads):
        (x,), (value,), (gz,) = inputs, outputs, grads
        ratio = switch(x > 0, value / switch(x > 0, x, 1.0), 0.5)  # I1(x) / x is 1/2 at 0
        return [gz * (scalar_i0e(x) - ratio - value)]


class BetaLn(SpecialFunction, BinaryScalarOp):
    """Log of the beta function, precise also where one argument is far larger than the other."""

    nfunc_spec = ("scipy.special.betaln", 2, 1)

    def pullback(self, inputs, outputs, grads):
        (a, b), (gz,) = inputs, grads
        both = psi(a + b)
        return [gz * (psi(a) - both), gz * (psi(b) - both)]


scalar_i0e = I0e(upgrade_to_float_no_complex, name="i0e")
scalar_i1e = I1e(upgrade_to_float_no_complex, name="i1e")
i0e = Elemwise(scalar_i0e)
i1e = Elemwise(scalar_i1e)
betaln = Elemwise(BetaLn(upgrade_to_float_no_complex, name="betaln"))
log_ndtr = Elemwise(LogNdtr(upgrade_to_float_no_complex, name="log_ndtr"))
ndtri_exp = Elemwise(NdtriExp(upgrade_to_float_no_complex, name="ndtri_exp"))


@jax_version(NdtriExp)
def jax_ndtri_exp(op: NdtriExp, node: Apply) -> Callable[..., Any]:
    """Invert by Newton's method what JAX computes well, from the inverse where it has digits."""
    import jax.numpy as jnp
    from jax.scipy.special import log_ndtr as jax_log_ndtr
    from jax.scipy.special import ndtri

    def inverse(y: Any) -> Any:
        y = jnp.asarray(y, dtype=node.outputs[0].type.dtype)
        far = jnp.minimum(y, -2.0)
        tail = -jnp.sqrt(-2 * far - jnp.log(-2 * far) - 2 * LOG_SQRT_2PI + math.log(2) / far)
        for _ in range(NEWTON_STEPS):
            logcdf, square = jax_log_ndtr(tail), tail**2
            # distribution function over density; far out by its series, where both are tiny
            exact = jnp.exp(logcdf + 0.5 * square + LOG_SQRT_2PI)
            series = (1 - (1 - 3 / square) / square) / -tail
            tail -= (logcdf - far) * jnp.where(tail > -10, exact, series)
        near = jnp.where(y < -1, ndtri(jnp.exp(y)), -ndtri(-jnp.expm1(y)))
        return jnp.where(y < -2, jnp.where(jnp.isneginf(y), -jnp.inf, tail), near)

    return inverse


@jax_version(BetaLn)
def jax_betaln(op: BetaLn, node: Apply) -> Callable[..., Any]:
    """Put in Stirling's series where it has all digits, before what is large cancels."""
    import jax.numpy as jnp
    from jax.scipy.special import gammaln

    def correction(x: Any) -> Any:
        x = jnp.maximum(x, LEAST_FOR_STIRLING)
        total = 0.0
        for coefficient in reversed(STIRLING):
            total = total / (x * x) + coefficient
        return total / x

    def betaln(a: Any, b: Any) -> Any:
        a, b = jnp.minimum(a, b), jnp.maximum(a, b)
        total = a + b
        log_share = jnp.log1p(-a / total)  # of b
        rest = correction(b) - correction(total) + (b - 0.5) * log_share
        one_large = gammaln(a) + rest - a * jnp.log(total) + a
        both_large = (
            LOG_SQRT_2PI
            + correction(a)
            + rest
            + (a - 0.5) * jnp.log(a / total)
            - 0.5 * jnp.log(total)
        )
        small = gammaln(a) + gammaln(b) - gammaln(total)
        large = jnp.where(a < LEAST_FOR_STIRLING, one_large, both_large)
        return jnp.where(b < LEAST_FOR_STIRLING, small, large)

    return betaln
