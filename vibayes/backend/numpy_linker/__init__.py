"""PyTensor graphs as plain NumPy functions: ready at once, and fast on whole arrays.

A compiled graph is fast from its second call on; a graph that is evaluated a few times, or on
stacks of a thousand rows, is sooner done without a compiler. Here it becomes one generated Python
function with one line for each operation. A vectorized scan is one loop over stacked states.
"""

from vibayes.backend.numpy_linker import elementwise, inner, linear_algebra, random, scattering
from vibayes.backend.numpy_linker.linker import NumpyLinker, graph_function
from vibayes.backend.numpy_linker.rewrites import numpy_mode

__all__ = [
    "NumpyLinker",
    "elementwise",
    "graph_function",
    "inner",
    "linear_algebra",
    "numpy_mode",
    "random",
    "scattering",
]
