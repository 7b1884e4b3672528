"""Special functions that PyTensor lacks, or has with less precision or without derivatives.

Each is a function of SciPy, applied to each element.
"""

from __future__ import annotations

import math

from pytensor.scalar import exp, switch
from pytensor.scalar.basic import BinaryScalarOp, UnaryScalarOp, upgrade_to_float_no_complex
from pytensor.scalar.math import erfcx, psi
from pytensor.tensor.elemwise import Elemwise
from scipy import special

__all__ = ["LOG_SQRT_2PI", "SQRT_HALF", "betaln", "i0e", "i1e", "log_ndtr", "ndtri_exp"]

SQRT_HALF = math.sqrt(0.5)
LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


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
