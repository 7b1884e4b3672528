"""PyTensor graphs as one function for Numba to compile.

PyTensor's own linker makes a function of each operation. Here the usual operations are lines of
one function; others are calls of PyTensor's functions, so that any graph can be compiled.
"""

from vibayes.backend.numba_linker import arrays, elementwise, linear_algebra, random
from vibayes.backend.numba_linker.linker import OneFunctionLinker, Repeated, numba_mode

__all__ = [
    "OneFunctionLinker",
    "Repeated",
    "arrays",
    "elementwise",
    "linear_algebra",
    "numba_mode",
    "random",
]
