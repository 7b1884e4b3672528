"""PyTensor graphs on JAX: compiled in a second, on processors, on GPUs, and on several of them.

JAX is optional, and is imported only when something is to run on it. PyTensor translates most
operations; here are those of our own, random numbers as a function of a key, and the loop around
a step. The user's own configuration of JAX stays as it is: double precision is switched on for
our calls alone.
"""

from vibayes.backend.jax.blocks import RowsOfBlocks
from vibayes.backend.jax.convert import jax_function, lengths_of_parts
from vibayes.backend.jax.devices import JaxDevices, double_precision, jax_devices
from vibayes.backend.jax.keys import KEY_KIND, as_key, key_of, key_state
from vibayes.backend.jax.placed import PlacedData, is_local
from vibayes.backend.jax.processes import from_first, in_all, number_of_processes
from vibayes.backend.jax.stacks import StackFunction
from vibayes.backend.jax.steps import RepeatedStep
from vibayes.backend.jax.versions import jax_version

__all__ = [
    "KEY_KIND",
    "JaxDevices",
    "PlacedData",
    "RepeatedStep",
    "RowsOfBlocks",
    "StackFunction",
    "as_key",
    "double_precision",
    "from_first",
    "in_all",
    "is_local",
    "jax_devices",
    "jax_function",
    "jax_version",
    "key_of",
    "key_state",
    "lengths_of_parts",
    "number_of_processes",
]
