"""Random generators of NumPy as compiled functions are given them: by addresses.

Numba asks an object for them at each call, attribute by attribute, which takes as long as many
steps, and compiles what asks, error by error.
"""

from __future__ import annotations

from ctypes import c_void_p, cast
from typing import Any

import numpy as np

__all__ = ["addresses_of", "generator_at"]

FIELDS = (
    "state_address",
    "state",
    "fnptr_next_double",
    "fnptr_next_uint64",
    "fnptr_next_uint32",
)


def addresses_of(generator: np.random.Generator) -> np.ndarray:
    """Return where a generator and its bit generator are, and then what :data:`FIELDS` are.

    They hold as long as the generator lives, whatever is drawn from it.
    """
    bits = generator.bit_generator
    found = bits.ctypes
    functions = found.next_double, found.next_uint64, found.next_uint32
    places = [cast(function, c_void_p).value for function in functions]
    own = [id(generator), id(bits), found.state_address, found.state.value]
    return np.array([*own, *places], dtype=np.int64)


def generator_at() -> Any:
    """Return a function of the addresses of a generator that gives it.

    Whoever calls has to hold the generator.
    """
    from numba.core import cgutils, types
    from numba.extending import intrinsic
    from numba.np.arrayobj import make_array

    @intrinsic
    def generator_at(typing: Any, addresses: Any) -> Any:
        made = types.NumPyRandomGeneratorType("generator")
        bits = types.NumPyRandomBitGeneratorType("bit_generator")

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            data = make_array(addresses)(context, builder, values[0]).data
            own, of_bits, *fields = (
                builder.load(cgutils.gep(builder, data, k)) for k in range(2 + len(FIELDS))
            )
            bit_generator = cgutils.create_struct_proxy(bits)(context, builder)
            bit_generator.parent = builder.inttoptr(of_bits, bit_generator.parent.type)
            for name, value in zip(FIELDS, fields, strict=True):
                setattr(bit_generator, name, value)
            generator = cgutils.create_struct_proxy(made)(context, builder)
            generator.bit_generator = bit_generator._getvalue()
            generator.parent = builder.inttoptr(own, generator.parent.type)
            generator.meminfo = generator.meminfo.type(None)  # nothing that Numba has to count
            return generator._getvalue()

        return made(addresses), code

    return generator_at
