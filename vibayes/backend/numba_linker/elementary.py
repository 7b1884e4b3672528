"""Elementary functions without branches, which a compiler vectorizes in loops.

They are formulas of :class:`~vibayes.backend.numba_linker.llvm_numbers.Number`: both sides of each
case are computed, and one is chosen. Where the result is normal, errors are at most 1 unit in the
last place for cos, exp, log, log1p and sin, 1.6 for erf, expm1, softplus and tanh, 2 for digamma,
gammaln, log1mexp and sigmoid; infinities, NaN, subnormal numbers and the signs of zeros are those
of IEEE 754. In polynomials, product and sum are fused where the processor does that; the errors
keep within their bounds where it does not.

Of cos and sin this holds up to :data:`LARGEST_ANGLE`, of digamma and gammaln from
:data:`LEAST_ARGUMENT` on. What tells whether a loop has met other arguments is in
:data:`SIMD_LIMITS`; then it is run again with functions that hold for all.

Polynomials are minimax fits, of ``mpmath.chebyfit`` where nothing else is said, rounded to float64:
``chebyfit(f, interval, n)`` with the ``f``, the interval and the number of coefficients that their
comments name. The steps are classical ones (Muller 2016, *Elementary Functions*): additive range
reduction in two parts after Cody and Waite (chapter 11), multiplication by powers of two through
the bits of the exponent, log by the series of atanh.

A change to a formula needs another ``linker.VERSION``: compiled code on the disk has the old one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from vibayes.backend.numba_linker.llvm_numbers import (
    Number,
    flag_function,
    multiply_add,
    reordered_sum,
    scalar_function,
    where,
)

__all__ = [
    "SIMD_FUNCTIONS",
    "SIMD_LIMITS",
    "simd_cos",
    "simd_digamma",
    "simd_erf",
    "simd_exp",
    "simd_expm1",
    "simd_functions",
    "simd_gammaln",
    "simd_log",
    "simd_log1mexp",
    "simd_log1p",
    "simd_or_large",
    "simd_or_least",
    "simd_sigmoid",
    "simd_sin",
    "simd_softplus",
    "simd_tanh",
]

# log(2) in two parts, the first with 21 zeros at its end: k times it is exact
LOG2_HIGH = float.fromhex("0x1.62e42feep-1")
LOG2_LOW = 1.9082149292705877e-10
SHIFT = 1.5 * 2.0**52  # adding it rounds to a whole number, which is then in the last bits
BITS_OF_1 = 1023 << 52
BITS_OF_HALF_ROOT = int.from_bytes(bytes.fromhex("3fe6a09e667f3bcd"), "big")
MANTISSA = (1 << 52) - 1
BITS_OF_2_52 = (1023 + 52) << 52

# (exp(r) - 1 - r) / r**2 on [-log(2) / 2, log(2) / 2], 11
EXP = (
    2.0914679376583935e-09,
    2.510520637395701e-08,
    2.7557273661348637e-07,
    2.7557255425746435e-06,
    2.4801587325533363e-05,
    0.00019841269874800493,
    0.0013888888888883752,
    0.008333333333326141,
    0.04166666666666667,
    0.1666666666666667,
    0.5,
)
# 2 (atanh(sqrt(z)) / sqrt(z) - 1) / z on [0, (3 - sqrt(8))**2], 7
LOG = (
    0.14616449685043406,
    0.15331721600556042,
    0.18182889125261723,
    0.2222221113479508,
    0.28571428625975487,
    0.39999999999899505,
    0.666666666666667,
)
# (tanh(sqrt(z)) / sqrt(z) - 1) / z on [0, 0.36], 11
TANH = (
    -1.833596211003942e-05,
    8.154737806525365e-05,
    -0.0002322510406793851,
    0.0005880541548418729,
    -0.001455464802800745,
    0.0035920831663434575,
    -0.008863232113541474,
    0.02186948838378093,
    -0.05396825396475762,
    0.13333333333330197,
    -0.33333333333333326,
)
# erf(sqrt(z)) / sqrt(z) - 1 on [0, 1], 12
ERF = (
    -7.795898827002142e-10,
    1.3720064546777686e-08,
    -1.6208483801871705e-07,
    1.6447424703317362e-06,
    -1.492473690741966e-05,
    0.00012055294904839707,
    -0.0008548325975389692,
    0.0052239776071164225,
    -0.02686617064323777,
    0.11283791670945006,
    -0.37612638903183543,
    0.12837916709551256,
)
# log(erfc(1 + t)) on [0, 5], 18; by exchange, the largest error times erfc(1 + t) being smallest
LOG_ERFC = (
    -4.864934450802716e-12,
    1.1932431059290572e-10,
    -1.3190907820547822e-09,
    8.518721477724253e-09,
    -3.3391141863477264e-08,
    5.801148333095305e-08,
    2.048118057381217e-07,
    -2.1319393195374135e-06,
    9.67137637685252e-06,
    -2.7198972497148233e-05,
    2.6296327206809723e-05,
    0.0002373164344266681,
    -0.001977901215635714,
    0.010033825179080488,
    -0.04156109802507489,
    -0.843107256359413,
    -2.6389675142347757,
    -1.8496055099332482,
)

# pi / 2 in four parts: k times one of the first three is exact for a k up to 2**22
HALF_PI = (
    float.fromhex("0x1.921fb544p+0"),
    float.fromhex("0x1.0b4611a0p-34"),
    float.fromhex("0x1.898cc510p-64"),
    float.fromhex("0x1.c06e0e6894812p-94"),
)
LARGEST_ANGLE = 2.0**22
# (sin(sqrt(z)) / sqrt(z) - 1) / z on [0, (pi / 4)**2], 7
SIN = (
    -7.586697117706918e-13,
    1.6058531618986147e-10,
    -2.5052106232447578e-08,
    2.7557319219339167e-06,
    -0.00019841269841265065,
    0.008333333333333331,
    -0.16666666666666666,
)
# (cos(sqrt(z)) - 1 + z / 2) / z**2 on [0, (pi / 4)**2], 6
COS = (
    -1.1382632425521717e-11,
    2.08761462684032e-09,
    -2.7557317271729793e-07,
    2.480158729876569e-05,
    -0.0013888888888887398,
    0.041666666666666664,
)
LEAST_ARGUMENT = 2.0**-1000
# where digamma is 0, in two parts
ROOT_HIGH, ROOT_LOW = 1.4616321449683622, 9.549995429965697e-17
EULER = 0.5772156649015329
GAMMALN_END = 0.41893853320467274  # (log(2 pi) - 1) / 2
# (loggamma(2 + t) / t - (1 - euler)) / t on [-0.5, 0.875], 21
GAMMALN_AT_2 = (
    2.934468160107034e-09,
    -1.7714363867965208e-08,
    5.160039032364278e-08,
    -1.0837409262518383e-07,
    2.1437944567204887e-07,
    -4.460984407930391e-07,
    9.530026207578024e-07,
    -2.0396413918131726e-06,
    4.375531574604548e-06,
    -9.43951907468715e-06,
    2.050710538012664e-05,
    -4.492622055644733e-05,
    9.945752253504256e-05,
    -0.00022315476040020763,
    0.0005096695242517628,
    -0.001192753911599765,
    0.00289051033075409,
    -0.007385551028676281,
    0.020580808427784418,
    -0.06735230105319807,
    0.3224670334241132,
)
# (loggamma(root + u) - loggamma(root)) / u**2 on [1.15 - root, 1.75 - root], 16
GAMMALN_AT_ROOT = (
    -0.00012228363893928196,
    0.00016689135724408556,
    -0.0002179164304314171,
    0.00034856924502115356,
    -0.0005549242516129454,
    0.0008784856635068411,
    -0.001402209092102954,
    0.0022597542073128996,
    -0.0036845709519006927,
    0.0061005362633090605,
    -0.010314223014624615,
    0.017970675112469723,
    -0.032788541088639975,
    0.06462494023892461,
    -0.14758772299453038,
    0.4838361227238106,
)
GAMMALN_HIGH, GAMMALN_LOW = -0.12148629053584961, 3.364991468473138e-18  # loggamma(root)
SLOPE = -9.2413e-17  # digamma(ROOT_HIGH)
# x (loggamma(x) - (x - 1/2) log(x) + x - log(2 pi) / 2), x = 1 / d, on [0, 1 / 2.875], 15
GAMMALN_FAR = (
    -0.0003821515071432739,
    0.0032011845617787617,
    -0.007463615629406713,
    0.008409330917871364,
    -0.004822381675228665,
    0.0006727619685107343,
    0.0007320357076732055,
    1.2743276871127892e-05,
    -0.0005962823313675838,
    5.8758571735225514e-08,
    0.0007936486296301552,
    4.8160374006416086e-11,
    -0.0027777777783411675,
    2.6113473100703035e-15,
    0.08333333333333333,
)
# digamma(1.5 + u) / (1.5 + u - root) - 1 on [-0.5, 0.5], 22
DIGAMMA_NEAR = (
    -0.00017312261802727394,
    0.00025968482126430747,
    -0.00015148586836773365,
    0.0002272331660987376,
    -0.0004821990530566789,
    0.0007233266279287554,
    -0.0010376374098418604,
    0.0015566317474486838,
    -0.002345267632540769,
    0.003519006401502276,
    -0.005279964873257405,
    0.007926944646403797,
    -0.011908218001568644,
    0.0179072524394512,
    -0.02697579675613825,
    0.04076083381242074,
    -0.061922133273064534,
    0.09498872445494122,
    -0.14840492305390884,
    0.2405424842407742,
    -0.4236274212814605,
    -0.04894412396816711,
)
# x (log(x) - digamma(x)), x = 1 / d, on [0, 0.5], 17
DIGAMMA_FAR = (
    0.018516488468722787,
    -0.08641185778791217,
    0.1829409687636497,
    -0.22866234142437097,
    0.18101453736603368,
    -0.08637584948675128,
    0.01656446662241638,
    0.004490758243103709,
    0.0004269786153145922,
    -0.004210408051208012,
    3.2621992765852657e-06,
    0.003968082067521024,
    6.1000501595899154e-09,
    -0.008333333468178638,
    1.6203152213308865e-12,
    0.08333333333332534,
    0.5,
)


def polynomial(coefficients: Sequence[float], x: Number) -> Number:
    """Return a polynomial, the highest power first."""
    result = multiply_add(x, x.same(coefficients[0]), coefficients[1])
    for coefficient in coefficients[2:]:
        result = multiply_add(result, x, coefficient)
    return result


def absolute(x: Number) -> Number:
    return (x.bits() & ((1 << 63) - 1)).from_bits()


def with_sign(x: Number, other: Number) -> Number:
    """Return a number that is not negative with the sign of another one."""
    return (x.bits() | (other.bits() & -(1 << 63))).from_bits()


def reduced(x: Number) -> tuple[Number, Number, Number]:
    """Return n, r and c: x is k log(2) + r + c, and abs(r) at most log(2) / 2.

    The whole number k is in the last bits of n.
    """
    shifted = x * (1 / math.log(2)) + SHIFT
    k = shifted - SHIFT
    high, low = x - k * LOG2_HIGH, k * LOG2_LOW
    r = high - low
    return shifted.bits(), r, (high - r) - low


def scales(n: Number) -> tuple[Number, Number]:
    """Return two powers of two whose product is 2**k, for a k of -2000 to 2000 in the bits of n.

    Only the last 12 bits matter of what becomes an exponent, and those of half of n are those of
    half of k.
    """
    half = n >> 1
    return power_of_two(half), power_of_two(n - half)


def power_of_two(n: Number) -> Number:
    """Return 2**k for a k of -1022 to 1023 in the last 12 bits of n."""
    return ((n + 1023) << 52).from_bits()


def inside(x: Number, low: float, high: float) -> Number:
    """Return x, or the bound that it is beyond; NaN stays."""
    x = where(x > high, high, x)
    return where(x < low, low, x)


def simd_exp(x: Number) -> Number:
    """Return exp(x).

    With x = k log(2) + r, it is 2**k exp(r). In exp(r) = 1 + r + r**2 P(r), what is lost of r in
    1 + r is added to the rest. The power is multiplied in two parts: what is subnormal is rounded
    once more, and what is too large becomes infinite.
    """
    return exp_of(*reduced(inside(x, -746.0, 710.0)))


def exp_of(n: Number, r: Number, c: Number) -> Number:
    """Return exp(k log(2) + r + c), with k in the bits of n."""
    first, second = scales(n)
    rounded = 1.0 + r
    left = r - (rounded - 1.0)
    return (rounded + (left + (r * (r * polynomial(EXP, r)) + c))) * first * second


def simd_expm1(x: Number) -> Number:
    """Return exp(x) - 1.

    With x = k log(2) + r, it is 2**k ((exp(r) - 1) + (1 - 2**-k)). Below -40 it is -1.
    """
    result = expm1_of(*reduced(inside(x, -40.0, 710.0)))
    return where(absolute(x) < 2.0**-54, x, result)


def expm1_of(n: Number, r: Number, c: Number) -> Number:
    """Return exp(k log(2) + r + c) - 1, with k in the bits of n, unless 2**-k is infinite."""
    (first, second), (back, further) = scales(n), scales(0 - n)
    from_zero = r + (r * (r * polynomial(EXP, r)) + c)
    return (from_zero + (1.0 - back * further)) * first * second


def exponent_and_fraction(x: Number) -> tuple[Number, Number]:
    """Return k and m of a normal x above 0: x is m 2**k, and m from sqrt(1/2) to sqrt(2)."""
    shifted = x.bits() + (BITS_OF_1 - BITS_OF_HALF_ROOT)
    k = ((shifted >> 52) | BITS_OF_2_52).from_bits() - (2.0**52 + 1023)
    return k, ((shifted & MANTISSA) + BITS_OF_HALF_ROOT).from_bits()


def log_of(k: Number, f: Number, c: Number | float = 0.0) -> Number:
    """Return k log(2) + log(1 + f) + c, with 1 + f from sqrt(1/2) to sqrt(2)."""
    return k * LOG2_HIGH - (log_rest(k, f, c) - f)


def log_rest(k: Number, f: Number, c: Number | float = 0.0) -> Number:
    """Return what k log(2) + log(1 + f) + c is less than k ``LOG2_HIGH`` + f, which is exact.

    With s = f / (2 + f), log(1 + f) = 2 atanh(s) = 2 s + s R(s**2); as 2 s = f - s f, it is
    f - (f**2 / 2 - s (f**2 / 2 + R)), whose largest part is exact.
    """
    s = f / (2.0 + f)
    z = s * s
    half = 0.5 * f * f
    return half - (s * (half + z * polynomial(LOG, z)) + (k * LOG2_LOW + c))


def log_or_limit(x: Number, result: Number) -> Number:
    """Return a logarithm of x, or what it is where x is 0, below, infinite or NaN."""
    limit = where(x.equals(0.0), -math.inf, math.nan)
    return where(x > 0.0, where(x < math.inf, result, x), limit)


def simd_log(x: Number) -> Number:
    """Return log(x), with x = m 2**k; a subnormal x is multiplied by 2**54 before."""
    is_small = x < 2.0**-1022
    k, m = exponent_and_fraction(where(is_small, x * 2.0**54, x))
    k = k - where(is_small, 54.0, 0.0)
    return log_or_limit(x, log_of(k, m - 1.0))


def simd_log1p(x: Number) -> Number:
    """Return log(1 + x).

    With u = 1 + x as it is rounded, it is log(u) + (1 + x - u) / u, to first order in what rounding
    has left; and where u is from sqrt(1/2) to sqrt(2), x itself is the f of its logarithm.
    """
    u = 1.0 + x
    k, m = exponent_and_fraction(u)
    is_near = k.equals(0.0)
    left = where(x > 1.0, 1.0 - (u - x), x - (u - 1.0))
    result = log_of(k, where(is_near, x, m - 1.0), where(is_near, 0.0, left / u))
    return where(absolute(x) < 2.0**-54, x, log_or_limit(u, result))


def simd_softplus(x: Number) -> Number:
    """Return log(1 + exp(x)), as max(x, 0) + log(1 + e) with e = exp(-abs(x)).

    1 + e is at most 2. Above sqrt(2) it is halved, and what its rounding has left is divided by it:
    by a line that is within 3 % of 1 / u on [sqrt(2), 2].
    """
    e = simd_exp(-absolute(x))
    u = 1.0 + e
    is_near = e < math.sqrt(2) - 1
    left = (e - (u - 1.0)) * (1.2071 - 0.35355 * u)
    k = where(is_near, 0.0, 1.0)
    f = where(is_near, e, 0.5 * u - 1.0)
    return where(x > 0.0, x, 0.0) + log_of(k, f, where(is_near, 0.0, left))


def simd_sigmoid(x: Number) -> Number:
    """Return 1 / (1 + exp(-x)).

    With e = exp(-abs(x)), it is 1 / (1 + e) if x is above 0, else e / (1 + e); that is
    e - e (e / (1 + e)) where e is below 1/4, as the errors of the quotient count less.
    """
    e = simd_exp(-absolute(x))
    is_below = x < 0.0
    quotient = where(is_below, e, 1.0) / (1.0 + e)
    return where(is_below, where(e < 0.25, e - e * quotient, quotient), quotient)


def simd_log1mexp(x: Number) -> Number:
    """Return log(1 - exp(x)) of an x below 0, NaN above.

    Below -log(2) it is log1p(-exp(x)), else log(-expm1(x)), as Maechler (2012, *Accurately
    computing log(1 - exp(-abs(a)))*) has it: both are a logarithm of a u and what its rounding has
    left.
    """
    is_far = x < -math.log(2)
    parts = reduced(inside(x, -746.0, 710.0))
    e = exp_of(*parts)
    rounded = 1.0 - e
    u = where(is_far, rounded, -expm1_of(*parts))
    is_small = u < 2.0**-1022
    k, m = exponent_and_fraction(where(is_small, u * 2.0**54, u))
    is_near = where(is_far, k, 1.0).equals(0.0)
    left = where(is_far, ((1.0 - rounded) - e) / rounded, 0.0)
    f = where(is_near, -e, m - 1.0)
    k = k - where(is_small, 54.0, 0.0)
    result = log_or_limit(u, log_of(k, f, where(is_near, 0.0, left)))
    return where(e < 2.0**-54, -e, result)


def simd_tanh(x: Number) -> Number:
    """Return tanh(x): an odd polynomial up to 0.6, and 1 - 2 / (exp(2 abs(x)) + 1) above."""
    size = absolute(x)
    z = x * x
    near = size + size * (z * polynomial(TANH, z))
    far = 1.0 - 2.0 / (simd_exp(size + size) + 1.0)
    return with_sign(where(size < 0.6, near, far), x)


def simd_erf(x: Number) -> Number:
    """Return erf(x): an odd polynomial up to 1, and 1 - exp(log(erfc(abs(x)))) above.

    There log(erfc) is a polynomial, up to 6, from where on the result is 1.
    """
    size = absolute(x)
    z = x * x
    near = size + size * polynomial(ERF, z)
    far = 1.0 - simd_exp(polynomial(LOG_ERFC, where(size > 6.0, 6.0, size) - 1.0))
    return with_sign(where(size < 1.0, near, far), x)


def quarter_turns(x: Number) -> tuple[Number, Number, Number]:
    """Return n, r and c: x is k pi / 2 + r + c, and abs(r) at most pi / 4 and a little.

    The whole number k is in the last bits of n. Up to :data:`LARGEST_ANGLE`, each part of pi / 2 is
    taken off exactly, or what rounding has left is kept: no x is so close to a multiple of pi / 2
    that too few digits of it remain (by Kahan's search for the closest one, Muller 2016, 11.3.2).
    """
    shifted = x * (2 / math.pi) + SHIFT
    k = shifted - SHIFT
    first, second, third, last = (k * part for part in HALF_PI)
    from_first = x - first
    from_second = from_first - second
    from_third = from_second - third
    left = ((from_first - from_second) - second) + ((from_second - from_third) - third) - last
    r = from_third + left
    return shifted.bits(), r, (from_third - r) + left


def sine_of(n: Number, r: Number, c: Number) -> Number:
    """Return sin(k pi / 2 + r + c), with k in the bits of n."""
    z = r * r
    half = 0.5 * z
    rounded = 1.0 - half
    sin = r + (r * z * polynomial(SIN, z) + c * rounded)
    cos = rounded + (((1.0 - rounded) - half) + (z * z * polynomial(COS, z) - r * c))
    result = where(n.has_any(1), cos, sin)
    return where(n.has_any(2), -result, result)


def simd_sin(x: Number) -> Number:
    """Return sin(x) of an x up to :data:`LARGEST_ANGLE`, by sin and cos up to pi / 4."""
    return where(absolute(x) < 2.0**-27, x, sine_of(*quarter_turns(x)))


def simd_cos(x: Number) -> Number:
    """Return cos(x) of an x up to :data:`LARGEST_ANGLE`, as the sine a quarter turn on."""
    n, r, c = quarter_turns(x)
    return sine_of(n + 1, r, c)


def simd_gammaln(x: Number) -> Number:
    """Return log(gamma(x)) of an x from :data:`LEAST_ARGUMENT` on.

    Up to 2.875 it is that of 2 + t less log(q): with t = x - 2 and q = 1 from 1.5 on, t = x - 1 and
    q = x from 1/2 on, t = x and q = x (1 + x) below. That of 2 + t is t (1 - euler) + t**2 Q(t).
    About x = 1, log(q) is nearly t, so that the two are subtracted before they are rounded. From
    1.15 to 1.75 it is a polynomial about the root of digamma, where it is least.

    Above it is Stirling's, (x - 1/2) (log(x) - 1) + (log(2 pi) - 1) / 2 + S(1 / x) / x.
    """
    is_near, is_low, is_least = x < 2.875, x < 1.5, x < 0.5
    is_middle = where(x > 1.15, x, 2.0) < 1.75
    square = x * x
    product = x + square
    q = where(is_near, where(is_least, product, where(is_low, x, 1.0)), x)
    left = where(is_least, (x - product) + square, 1.0)
    d = left / where(is_least, product, x)  # 1 / x; or what rounding has left, over the product
    k, m = exponent_and_fraction(q)
    f = m - 1.0
    rest = log_rest(k, f, where(is_least, d, 0.0))
    shift = where(is_least, 0.0, where(is_low, 1.0, 2.0))
    t, is_next = x - shift, shift.equals(1.0)
    exact = k * LOG2_HIGH + (f - where(is_next, t, 0.0))
    slope = where(is_next, -EULER, 1.0 - EULER)
    further = t * t * polynomial(GAMMALN_AT_2, t)
    near = where(is_low, -exact, exact) + multiply_add(
        slope, t, further + where(is_low, rest, -rest)
    )
    u = x - ROOT_HIGH
    middle = GAMMALN_HIGH + (u * u * polynomial(GAMMALN_AT_ROOT, u) + (u * SLOPE + GAMMALN_LOW))
    log_less_1 = (k * LOG2_HIGH - 1.0) + (f - rest)
    end = multiply_add(d, polynomial(GAMMALN_FAR, d), GAMMALN_END)
    far = where(x < math.inf, multiply_add(x - 0.5, log_less_1, end), x)
    return where(is_near, where(is_middle, middle, near), far)


def simd_digamma(x: Number) -> Number:
    """Return digamma(x) of an x from :data:`LEAST_ARGUMENT` on.

    With g = w - root, it is g + g R(w) on [1, 2], the digits of the root that g does not have taken
    off again. Below 1 it is that of x + 1 less 1 / x; from 1/2 on, 1 / x is 1 + (1 - x) / x. Above
    2 it is log(x) - H(1 / x) / x.
    """
    is_near, is_low, is_least = x < 2.0, x < 1.0, x < 0.5
    w = where(is_low, x + 1.0, x)
    more = where(is_low, x - (w - 1.0), 0.0)  # what rounding has left
    g = w - ROOT_HIGH
    r = polynomial(DIGAMMA_NEAR, w - 1.5)
    of_w = g + (g * r + (more - ROOT_LOW) * (1.0 + r))
    over = where(is_least, 1.0, where(is_low, 1.0 - x, 0.0))
    d = where(is_near, over, 1.0) / x
    near = where(is_least, 0.0, where(is_low, -1.0, 0.0)) + (of_w - d)
    k, m = exponent_and_fraction(x)
    f = m - 1.0
    far = k * LOG2_HIGH + (f - (log_rest(k, f) + d * polynomial(DIGAMMA_FAR, d)))
    return where(is_near, near, where(x < math.inf, far, x))


def simd_or_large(x: Number) -> Number:
    """Tell whether x is beyond what cos and sin hold for."""
    return absolute(x) > LARGEST_ANGLE


def simd_or_least(x: Number) -> Number:
    """Tell whether x is below what digamma and gammaln hold for."""
    return x < LEAST_ARGUMENT


SIMD_FUNCTIONS = (
    simd_cos,
    simd_digamma,
    simd_erf,
    simd_exp,
    simd_expm1,
    simd_gammaln,
    simd_log,
    simd_log1mexp,
    simd_log1p,
    simd_sigmoid,
    simd_sin,
    simd_softplus,
    simd_tanh,
)
# of a flag and an argument: the flag, or 1 if the function does not hold for the argument
SIMD_LIMITS = {
    "simd_cos": "simd_or_large",
    "simd_digamma": "simd_or_least",
    "simd_gammaln": "simd_or_least",
    "simd_sin": "simd_or_large",
}


@cache
def simd_functions() -> dict[str, Any]:
    """Return what compiled functions may call, by name.

    These are the functions, the flags of ``SIMD_LIMITS``, and ``simd_add``.
    """
    functions = {formula.__name__: scalar_function(formula) for formula in SIMD_FUNCTIONS}
    flags = {limit.__name__: flag_function(limit) for limit in (simd_or_large, simd_or_least)}
    return {**functions, **flags, "simd_add": reordered_sum()}
