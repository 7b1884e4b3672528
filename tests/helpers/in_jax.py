"""Expressions evaluated by JAX; only for tests that have it."""

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.traversal import ancestors

from vibayes.backend.jax import double_precision, jax_function


def in_jax(outputs, values):
    """Return the values of expressions, given those of their inputs."""
    import jax

    function = jax_function(list(values), outputs, [np.shape(v) for v in values.values()])
    with double_precision():
        return [np.asarray(v) for v in jax.jit(function)(*values.values())]


def of_shared(outputs):
    """Return the values of expressions of shared variables."""
    shared = [v for v in ancestors(list(outputs)) if isinstance(v, SharedVariable)]
    return in_jax(outputs, {v: v.get_value() for v in shared})
