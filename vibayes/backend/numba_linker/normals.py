"""Standard normal draws from generators of NumPy, the same ones to the last bit.

Numba has them as four functions, whose compilation takes longer than all the rest of many a step.
This is the ziggurat of Marsaglia and Tsang (2000) as NumPy does it, as instructions of LLVM.
"""

from __future__ import annotations

import math
from typing import Any

__all__ = ["standard_normal"]


def standard_normal() -> Any:
    """Return a function of a generator that draws from it."""
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def standard_normal(typing: Any, generator: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return Ziggurat(context, builder, generator, values[0]).draw()

        return types.float64(generator), code

    return standard_normal


class Ziggurat:
    """Writes the instructions of a draw.

    The area under the density is cut into 256 layers of the same size. A layer is chosen, and a
    point in it; nearly all of these lie under the density for sure. The others are compared with
    it, and beyond the lowest layer is the tail.

    Parameters
    ----------
    context, builder
        Those of Numba.
    kind
        Numba's type of the generator.
    generator
        Its value.
    """

    def __init__(self, context: Any, builder: Any, kind: Any, generator: Any) -> None:
        from llvmlite import ir
        from numba.core import cgutils, types

        self.context, self.builder = context, builder
        self.float64, self.int64, self.truth = ir.DoubleType(), ir.IntType(64), ir.IntType(1)
        self.unary = types.float64(types.float64)
        whole = cgutils.create_struct_proxy(kind)(context, builder, value=generator)
        bits = types.NumPyRandomBitGeneratorType("bit_generator")
        self.bits = cgutils.create_struct_proxy(bits)(context, builder, value=whole.bit_generator)

    def next(self, name: str, kind: Any) -> Any:
        """Return what a function of the bit generator gives."""
        from llvmlite import ir

        state = self.bits.state
        function = ir.FunctionType(kind, [state.type]).as_pointer()
        place = getattr(self.bits, f"fnptr_next_{name}")
        return self.builder.call(self.builder.inttoptr(place, function), [state])

    def uniform(self) -> Any:
        """Return a draw from [0, 1)."""
        return self.next("double", self.float64)

    def of_table(self, name: str, kind: Any, index: Any) -> Any:
        """Return an entry of one of the tables of the layers."""
        from llvmlite import ir
        from numba.core import cgutils
        from numba.np.random import _constants

        entries = [kind(entry.item()) for entry in getattr(_constants, name)]
        table = ir.Constant(ir.ArrayType(kind, len(entries)), entries)
        place = cgutils.global_constant(self.builder, name, table)
        return self.builder.load(self.builder.gep(place, [self.int64(0), index]))

    def function_of(self, function: Any, x: Any) -> Any:
        """Return what a function of Python's ``math`` gives."""
        return self.context.get_function(function, self.unary)(self.builder, [x])

    def draw(self) -> Any:
        """Write the instructions; return the number."""
        builder = self.builder
        names = "chosen", "outside", "beyond", "above", "drawn"
        chosen, outside, beyond, above, drawn = map(builder.append_basic_block, names)
        builder.branch(chosen)

        builder.position_at_end(chosen)
        r = self.next("uint64", self.int64)
        layer = builder.and_(r, r.type(0xFF))
        place = builder.and_(builder.lshr(r, r.type(9)), r.type(0x000FFFFFFFFFFFFF))
        is_left = builder.trunc(builder.lshr(r, r.type(8)), self.truth)
        width = self.of_table("wi_double", self.float64, layer)
        x = builder.fmul(builder.uitofp(place, self.float64), width)
        x = builder.select(is_left, builder.fneg(x), x)
        surely = self.of_table("ki_double", self.int64, layer)
        builder.cbranch(builder.icmp_unsigned("<", place, surely), drawn, outside)

        builder.position_at_end(outside)
        builder.cbranch(builder.icmp_unsigned("==", layer, layer.type(0)), beyond, above)

        tail, last = self.tail(beyond, place, drawn)
        compared = self.compare(above, layer, x, drawn, chosen)

        builder.position_at_end(drawn)
        result = builder.phi(self.float64)
        for value, block in ((x, chosen), (x, compared), (tail, last)):
            result.add_incoming(value, block)
        return result

    def tail(self, begin: Any, place: Any, drawn: Any) -> tuple[Any, Any]:
        """Write a draw beyond the lowest layer; return it, and the block that it is from."""
        from numba.np.random._constants import ziggurat_nor_inv_r, ziggurat_nor_r

        builder = self.builder
        builder.position_at_end(begin)
        logs = [self.function_of(math.log1p, builder.fneg(self.uniform())) for _ in range(2)]
        further = builder.fmul(self.float64(-ziggurat_nor_inv_r), logs[0])
        height = builder.fneg(logs[1])
        twice, square = builder.fadd(height, height), builder.fmul(further, further)
        end = builder.append_basic_block("tail")
        builder.cbranch(builder.fcmp_ordered(">", twice, square), end, begin)
        builder.position_at_end(end)
        x = builder.fadd(self.float64(ziggurat_nor_r), further)
        is_left = builder.trunc(builder.lshr(place, place.type(8)), self.truth)
        x = builder.select(is_left, builder.fneg(x), x)
        builder.branch(drawn)
        return x, end

    def compare(self, begin: Any, layer: Any, x: Any, drawn: Any, again: Any) -> Any:
        """Write the comparison of a point at the end of a layer with the density.

        Return the block at whose end the point is taken, or another one is looked for.
        """
        builder = self.builder
        builder.position_at_end(begin)
        upper = self.of_table("fi_double", self.float64, builder.sub(layer, layer.type(1)))
        lower = self.of_table("fi_double", self.float64, layer)
        height = builder.fmul(builder.fsub(upper, lower), self.uniform())
        height = builder.fadd(height, lower)
        exponent = builder.fmul(builder.fmul(self.float64(-0.5), x), x)
        density = self.function_of(math.exp, exponent)
        builder.cbranch(builder.fcmp_ordered("<", height, density), drawn, again)
        return builder.block
