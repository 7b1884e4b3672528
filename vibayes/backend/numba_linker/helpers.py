"""What functions of a graph call beside NumPy: new arrays, and checks of lengths and indices.

They are instructions of LLVM. Numba compiles each function that is called, ``np.empty`` and
``reshape`` among them, and each for any types of arguments: a twentieth of a second at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["helpers"]

DIFFERENT = (
    "Lengths differ. Runtime broadcasting not allowed: if a length of 1 is to be broadcast, use "
    "specify_broadcastable on it"
)
NO_PART = "An array does not fit into a part of another"
NO_LENGTH = "array is too big, or has a negative length"


@cache
def helpers() -> dict[str, Any]:
    """Return the functions by name."""
    made = {make.__name__: make() for make in (checked_index, new_array, with_shape)}
    checks = {
        "check_equal": check_of(differ, DIFFERENT),
        "check_spread": check_of(do_not_spread, NO_PART),
    }
    return made | checks


def check_of(are_wrong: Callable[[Any, Any, Any], Any], message: str) -> Any:
    """Return a function of two lengths that raises if they are wrong.

    ``are_wrong`` writes what tells, given the builder and both.
    """
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic(prefer_literal=False)
    def check(typing: Any, length: Any, wanted: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            lengths = as_indices(context, builder, signature.args, values)
            stop_if(context, builder, are_wrong(builder, *lengths), message)
            return context.get_dummy_value()

        return types.none(length, wanted), code

    return check


def differ(builder: Any, length: Any, wanted: Any) -> Any:
    """Tell whether two lengths differ."""
    return builder.icmp_signed("!=", length, wanted)


def do_not_spread(builder: Any, length: Any, wanted: Any) -> Any:
    """Tell whether the first of two lengths is neither 1 nor the second."""
    spreads = builder.icmp_signed("==", length, length.type(1))
    return builder.and_(differ(builder, length, wanted), builder.not_(spreads))


def checked_index() -> Any:
    """Return a function of an index and a length: the place, counted from the beginning."""
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic(prefer_literal=False)
    def checked_index(typing: Any, index: Any, length: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            at, n = as_indices(context, builder, signature.args, values)
            is_negative = builder.icmp_signed("<", at, at.type(0))
            at = builder.select(is_negative, builder.add(at, n), at)
            outside = builder.icmp_unsigned(">=", at, n)  # one below zero is a large one
            stop_if(context, builder, outside, "index out of bounds", IndexError)
            return at

        return types.intp(index, length), code

    return checked_index


def new_array() -> Any:
    """Return a function of lengths and a dtype: an array whose elements are anything."""
    from numba.core import types
    from numba.core.typing.npydecl import parse_dtype
    from numba.extending import intrinsic

    @intrinsic(prefer_literal=False)
    def new_array(typing: Any, lengths: Any, dtype: Any) -> Any:
        made = types.Array(parse_dtype(dtype), len(lengths), "C")

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            shape = entries(context, builder, signature.args[0], values[0])
            return allocated(context, builder, made, shape)._getvalue()

        return made(lengths, dtype), code

    return new_array


def with_shape() -> Any:
    """Return a function of a contiguous array and a shape of as many elements: a view of it."""
    from numba.core import types
    from numba.core.imputils import impl_ret_borrowed
    from numba.extending import intrinsic
    from numba.np.arrayobj import make_array

    @intrinsic(prefer_literal=False)
    def with_shape(typing: Any, array: Any, shape: Any) -> Any:
        made = types.Array(array.dtype, len(shape), "C", readonly=not array.mutable)

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            old = make_array(array)(context, builder, values[0])
            lengths = entries(context, builder, signature.args[1], values[1])
            itemsize = context.get_abi_sizeof(context.get_data_type(made.dtype))
            view = filled(context, builder, made, lengths, itemsize, old.data, old.meminfo)
            return impl_ret_borrowed(context, builder, made, view._getvalue())

        return made(array, shape), code

    return with_shape


def as_indices(context: Any, builder: Any, kinds: Any, values: Any) -> list[Any]:
    """Return numbers of any integer type as places in an array."""
    from numba.core import types

    return [context.cast(builder, v, k, types.intp) for v, k in zip(values, kinds, strict=True)]


def entries(context: Any, builder: Any, kind: Any, value: Any) -> list[Any]:
    """Return the entries of a tuple of whole numbers."""
    from numba.core import cgutils

    values = cgutils.unpack_tuple(builder, value, len(kind))
    return as_indices(context, builder, kind.types, values)


def stop_if(
    context: Any, builder: Any, wrong: Any, message: str, error: type[Exception] = ValueError
) -> None:
    """Raise an error where something is wrong."""
    with builder.if_then(wrong, likely=False):
        context.call_conv.return_user_exc(builder, error, (message,))


def allocated(context: Any, builder: Any, kind: Any, shape: Any) -> Any:
    """Return an array in new memory."""
    from numba.core import types

    itemsize = context.get_abi_sizeof(context.get_data_type(kind.dtype))
    size, wrong = context.get_constant(types.intp, itemsize), context.get_constant(types.boolean, 0)
    for n in shape:
        product = builder.smul_with_overflow(size, n)
        size, is_too_much = (builder.extract_value(product, i) for i in range(2))
        wrong = builder.or_(wrong, is_too_much)
        wrong = builder.or_(wrong, builder.icmp_signed("<", n, n.type(0)))
    stop_if(context, builder, wrong, NO_LENGTH)
    align = context.get_constant(types.uint32, context.get_preferred_array_alignment(kind.dtype))
    memory = context.nrt.meminfo_alloc_aligned(builder, size, align)
    data = context.nrt.meminfo_data(builder, memory)
    return filled(context, builder, kind, shape, itemsize, data, memory)


def filled(
    context: Any, builder: Any, kind: Any, shape: Any, itemsize: int, data: Any, memory: Any
) -> Any:
    """Return an array in the order of C, in given memory."""
    from numba.core import cgutils, types
    from numba.np.arrayobj import make_array, populate_array

    place = context.get_value_type(types.intp)
    strides, stride = [], place(itemsize)
    for n in reversed(shape):
        strides.append(stride)
        stride = builder.mul(stride, n)
    array = make_array(kind)(context, builder)
    populate_array(
        array,
        data=builder.bitcast(data, context.get_data_type(kind.dtype).as_pointer()),
        shape=cgutils.pack_array(builder, shape, ty=place),
        strides=cgutils.pack_array(builder, strides[::-1], ty=place),
        itemsize=itemsize,
        meminfo=memory,
    )
    return array
