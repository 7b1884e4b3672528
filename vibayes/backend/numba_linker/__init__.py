"""PyTensor graphs as one function for Numba to compile.

PyTensor's own linker makes a function of each operation, some two hundred for a step of a small
model, and a compiler takes 0.1 s for each. Here the usual operations are lines of one function;
others are calls of PyTensor's functions, so that any graph can be compiled. Numbers are numbers
rather than arrays without axes, transposed and extended arrays are read where they are, sums are
part of the loop that computes what they sum, and what a step needs of memory, or computes of the
data alone, is there before the first one.

- An input is an argument of its own: of ``*args`` Numba works out the types in Python, some 15 µs
  an array, at each look of a callback.
- Functions release the interpreter's lock while they run, so that a thread that reads data ahead,
  or another fit, can run beside them.
- Loops over many elements are written so that a compiler vectorizes them: elementary functions are
  arithmetic without branches (``elementary``), sums have several partial sums. Short loops and
  single numbers call the functions of the C library, which cost less to compile.
- Other arithmetic is exact, each operation rounded by itself. With PyTensor's fast math (all sums
  in another order, fused products) the last bits depend on which functions the compiler joins, and
  these are others when some of them come from Numba's cache on disk: the same seed had other
  numbers in the second process. It cost no speed that could be measured.
- Matrix products are Numba's ``np.dot``, which compiles in half a second where that of some
  PyTensor releases takes ten, and calls the same BLAS.
"""

from vibayes.backend.numba_linker import arrays, elementwise, linear_algebra, random
from vibayes.backend.numba_linker.linker import OneFunctionLinker, Repeated, numba_mode
from vibayes.backend.numba_linker.stack import StackCode

__all__ = [
    "OneFunctionLinker",
    "Repeated",
    "StackCode",
    "arrays",
    "elementwise",
    "linear_algebra",
    "numba_mode",
    "random",
]
