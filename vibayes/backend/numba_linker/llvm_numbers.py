"""Numbers of LLVM with Python's operators: formulas written with them are instructions at once.

Numba works out the types of each operation of a function in Python, a tenth of a second for a page
of arithmetic. What is written here for numbers of LLVM is part of the function that calls it within
a millisecond, and always inline: a loop around it is vectorized.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = [
    "Number",
    "flag_function",
    "multiply_add",
    "reordered_sum",
    "scalar_function",
    "where",
]


class Number:
    """A float64, int64 or truth value of LLVM.

    Arithmetic is that of IEEE 754, each operation rounded by itself. Comparisons with NaN are
    false.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
        Adds the instructions.
    value : llvmlite.ir.Value
        The number.
    """

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def constant(self, number: float | Number) -> Any:
        """Return a Python number as one of LLVM, of this one's type."""
        return number.value if isinstance(number, Number) else self.value.type(number)

    def _made(self, name: str, *others: Any) -> Number:
        make = getattr(self.builder, name)
        return Number(self.builder, make(self.value, *map(self.constant, others)))

    def _arithmetic(self, name: str, other: Any) -> Number:
        from llvmlite import ir

        return self._made(name if isinstance(self.value.type, ir.IntType) else f"f{name}", other)

    def same(self, other: Any) -> Number:
        """Return a Python number as one of this one's type."""
        return Number(self.builder, self.constant(other))

    def __add__(self, other: Any) -> Number:
        return self._arithmetic("add", other)

    def __sub__(self, other: Any) -> Number:
        return self._arithmetic("sub", other)

    def __mul__(self, other: Any) -> Number:
        return self._arithmetic("mul", other)

    def __truediv__(self, other: Any) -> Number:
        return self._made("fdiv", other)

    def __radd__(self, other: Any) -> Number:
        return self.same(other) + self

    def __rsub__(self, other: Any) -> Number:
        return self.same(other) - self

    def __rmul__(self, other: Any) -> Number:
        return self.same(other) * self

    def __rtruediv__(self, other: Any) -> Number:
        return self.same(other) / self

    def __neg__(self) -> Number:
        return Number(self.builder, self.builder.fneg(self.value))

    def __and__(self, other: Any) -> Number:
        return self._made("and_", other)

    def __or__(self, other: Any) -> Number:
        return self._made("or_", other)

    def __lshift__(self, count: int) -> Number:
        return self._made("shl", count)

    def __rshift__(self, count: int) -> Number:
        """Shift to the right; what comes in from the left is zero."""
        return self._made("lshr", count)

    def _compared(self, sign: str, other: Any) -> Number:
        return Number(
            self.builder, self.builder.fcmp_ordered(sign, self.value, self.constant(other))
        )

    def __lt__(self, other: Any) -> Number:
        return self._compared("<", other)

    def __gt__(self, other: Any) -> Number:
        return self._compared(">", other)

    def equals(self, other: Any) -> Number:
        """Tell whether two floats are the same number."""
        return self._compared("==", other)

    def has_any(self, bits: int) -> Number:
        """Tell whether a whole number has any of some bits."""
        own = (self & bits).value
        return Number(self.builder, self.builder.icmp_unsigned("!=", own, own.type(0)))

    def bits(self) -> Number:
        """Return the bits of a float as a whole number."""
        from llvmlite import ir

        return Number(self.builder, self.builder.bitcast(self.value, ir.IntType(64)))

    def from_bits(self) -> Number:
        """Return the float of given bits."""
        from llvmlite import ir

        return Number(self.builder, self.builder.bitcast(self.value, ir.DoubleType()))


def multiply_add(x: Number, y: Number, z: float | Number) -> Number:
    """Return x y + z, rounded once where the processor has an instruction for it, else twice."""
    from llvmlite import ir

    float64 = ir.DoubleType()
    kind = ir.FunctionType(float64, [float64] * 3)
    function = x.builder.module.declare_intrinsic("llvm.fmuladd", [float64], kind)
    return Number(x.builder, x.builder.call(function, [x.value, y.value, x.constant(z)]))


def where(condition: Number, yes: Any, no: Any) -> Number:
    """Return one of two floats, both of which are computed."""
    from llvmlite import ir

    values = (v.value if isinstance(v, Number) else ir.DoubleType()(v) for v in (yes, no))
    return Number(condition.builder, condition.builder.select(condition.value, *values))


def scalar_function(formula: Callable[[Number], Number]) -> Any:
    """Return a formula as a function that Numba's functions may call, of a float.

    float32 is computed in float64, and rounded once.
    """
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    def function(typing_context: Any, x: Any) -> Any:
        result = types.float32 if x == types.float32 else types.float64

        def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            (value,) = arguments
            given = context.cast(builder, value, signature.args[0], types.float64)
            found = formula(Number(builder, given)).value
            is_single = signature.return_type == types.float32
            return builder.fptrunc(found, ir.FloatType()) if is_single else found

        return result(x), write

    function.__name__ = formula.__name__
    return intrinsic(function)


def flag_function(condition: Callable[[Number], Number]) -> Any:
    """Return a function that Numba's functions may call, of a flag and a float.

    It returns 1 if the condition holds for the float, else the flag, which is 0 or 1. A loop that
    keeps a flag is vectorized.
    """
    from numba.core import types
    from numba.extending import intrinsic

    def function(typing_context: Any, flag: Any, x: Any) -> Any:
        def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            before, value = arguments
            given = context.cast(builder, value, signature.args[1], types.float64)
            found = condition(Number(builder, given)).value
            return builder.or_(before, builder.zext(found, before.type))

        return types.int64(types.int64, x), write

    function.__name__ = condition.__name__
    return intrinsic(function)


def reordered_sum() -> Any:
    """Return a function that adds a float to a sum, in whichever order is quick.

    A compiler keeps the order of additions, so that a loop that sums does one element after the
    other. ``reassoc`` is the one liberty that is given: there may be several partial sums, which
    are added at the end. NaN and infinities stay. The order is that of the compiled instructions;
    it depends on the length of a loop, and on nothing else.
    """
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def simd_add(typing_context: Any, total: Any, x: Any) -> Any:
        def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            given = [
                context.cast(builder, value, own, signature.return_type)
                for value, own in zip(arguments, signature.args, strict=True)
            ]
            return builder.fadd(*given, flags=("reassoc",))

        both_single = total == types.float32 and x == types.float32
        return (types.float32 if both_single else types.float64)(total, x), write

    return simd_add
