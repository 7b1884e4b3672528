"""Tables and columns of other libraries inside PyTensor's expressions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor import _as_tensor_variable
from pytensor.tensor.variable import TensorVariable, _tensor_py_operators

from vibayes.numeric import numeric_array

__all__ = ["accept_tables"]

LIBRARIES = frozenset({"pandas", "polars", "pyarrow", "xarray"})
PRIORITY = 5000  # pandas lets what has a higher one than its tables, 4000, do the operation


def accept_tables() -> None:
    """Let expressions have tables: ``a * df.x``, ``df.x * a``, ``b[df.group]``.

    PyTensor asks one function what to make of an object that it does not know. Here that looks at
    the object's class first: so no library has to be imported for it.
    """
    unknown = _as_tensor_variable.dispatch(object)
    if unknown is not of_table:
        of_table.unknown = unknown  # type: ignore[attr-defined]
        _as_tensor_variable.register(object, of_table)
        _tensor_py_operators.__pandas_priority__ = PRIORITY


def of_table(x: Any, name: str | None, ndim: int | None, **kwargs: Any) -> TensorVariable:
    """Return a table or a column as a constant; leave anything else to PyTensor."""
    if type(x).__module__.partition(".")[0] not in LIBRARIES:
        return of_table.unknown(x, name, ndim, **kwargs)  # type: ignore[attr-defined]
    array = np.asarray(x.to_numpy() if hasattr(x, "to_numpy") else x)
    if array.dtype != bool:  # which chooses elements, as an index
        array = numeric_array(x, f"the {type(x).__name__} in an expression")
    return pt.as_tensor_variable(array, name=name, ndim=ndim, **kwargs)
