"""Special functions of SciPy's on single numbers, called where they are in memory.

PyTensor's function for one has a second one that asks Python for the address at its first call. The
two take longer to compile than the rest of many a step.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pytensor.scalar.basic import ScalarOp

__all__ = ["special_function"]

MODULE = "scipy.special.cython_special"
MOST_ARGUMENTS = 3
OF_DOUBLES = re.compile(r"double \((double(?:, double)*)(, int __pyx_skip_dispatch)?\)")


def special_function(op: ScalarOp, node: Any) -> tuple[Any, str] | None:
    """Return a function that Numba's functions may call, and a name for it; None if there is none.

    Of float64 alone: it is what PyTensor calls for these, to the last bit.
    """
    module, _, name = getattr(op, "nfunc_spec", ("",))[0].rpartition(".")
    dtypes = {v.type.dtype for v in (*node.inputs, *node.outputs)}
    if module != "scipy.special" or dtypes != {"float64"} or len(node.inputs) > MOST_ARGUMENTS:
        return None
    found = function_of_doubles(name, len(node.inputs))
    return None if found is None else (found, f"{MODULE}.{name}")


@cache
def function_of_doubles(name: str, count: int) -> Any:
    """Return the function of so many doubles, None if SciPy has none of this name."""
    from numba.extending import get_cython_function_address
    from scipy import LowLevelCallable
    from scipy.special import cython_special

    own_name = re.compile(rf"(__pyx_fuse_[0-9_]+)?{re.escape(name)}(\[.*\])?")
    for entry, capsule in cython_special.__pyx_capi__.items():
        if own_name.fullmatch(entry):
            kind = OF_DOUBLES.fullmatch(LowLevelCallable(capsule).signature)
            if kind and kind[1].count("double") == count:
                address = get_cython_function_address(MODULE, entry)
                return function_at(address, f"{MODULE}.{name}", count, bool(kind[2]))
    return None


def function_at(address: int, symbol: str, count: int, has_flag: bool) -> Any:
    """Return the function at an address, which LLVM is told under a name.

    Code that is kept from process to process has the name alone. ``has_flag`` tells whether there
    is a last argument that Cython's functions have, which is 1 for a call from C.
    """
    import llvmlite.binding
    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.extending import intrinsic

    llvmlite.binding.add_symbol(symbol, address)
    float64, flag = ir.DoubleType(), ir.IntType(32)
    kind = ir.FunctionType(float64, [float64] * count + [flag] * has_flag)

    def typed() -> Any:
        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            function = cgutils.get_or_insert_function(builder.module, kind, symbol)
            return builder.call(function, [*values, *[flag(1)] * has_flag])

        return types.float64(*[types.float64] * count), code

    def of_one(typing: Any, x: Any) -> Any:
        return typed()

    def of_two(typing: Any, x: Any, y: Any) -> Any:
        return typed()

    def of_three(typing: Any, x: Any, y: Any, z: Any) -> Any:
        return typed()

    return intrinsic((of_one, of_two, of_three)[count - 1])
