"""How operations are written: by a function of their own, or as a call of PyTensor's."""

from __future__ import annotations

from functools import singledispatch

from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.tensor.type import TensorType

from vibayes.backend.numba_linker.writer import Value, Writer

__all__ = ["is_call", "write", "write_call"]


@singledispatch
def write(op: Op, w: Writer, node: Apply) -> None:
    """Write the lines of an operation: by default a call of PyTensor's Numba function."""
    write_call(op, w, node)


def is_call(node: Apply) -> bool:
    """Tell whether an operation is written as a call."""
    return write.dispatch(type(node.op)) is write.dispatch(object)


def write_call(op: Op, w: Writer, node: Apply) -> None:
    """Write an operation as a call of the function that PyTensor has for Numba."""
    function = w.function(op, node)
    arguments = ", ".join(
        w.array(v) if isinstance(v.type, TensorType) else w.value(v).name for v in node.inputs
    )
    names = [w.name("r") for _ in node.outputs]
    assigned = f"{', '.join(names)} = " if names else ""
    w.line(f"{assigned}{function}({arguments})")
    for v, name in zip(node.outputs, names, strict=True):
        if isinstance(v.type, TensorType) and v.type.ndim == 0:
            w.values[v] = Value(w.assigned("t", f"np.asarray({name}).item()"))
        else:
            w.values[v] = w.new_value(v, name)
