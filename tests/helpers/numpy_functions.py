"""Graphs as functions of NumPy, beside PyTensor's own Python linker."""

import numpy as np
import pytensor
from pytensor.compile.mode import Mode

from vibayes.backend.numpy_linker import numpy_mode

PLAIN = Mode(linker="py", optimizer="fast_compile")
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.3, -2.5, 40.0, -40.0, 800.0, -800.0, 1e-300, np.inf])
SPECIAL = np.append(SPECIAL, [-np.inf, np.nan])


def numpy_function(inputs, outputs, **kwargs):
    return pytensor.function(inputs, outputs, mode=numpy_mode(), **kwargs)


def operations(f):
    return [node.op for node in f.maker.fgraph.toposort()]


def check(inputs, outputs, *values, rtol=1e-12):
    """Check values, dtypes and shapes against PyTensor's own Python linker."""
    outputs = outputs if isinstance(outputs, list) else [outputs]
    before = [np.array(v) for v in values]
    results = numpy_function(inputs, outputs, on_unused_input="ignore")(*values)
    expected = pytensor.function(inputs, outputs, mode=PLAIN, on_unused_input="ignore")(*values)
    for result, other in zip(results, expected, strict=True):
        assert isinstance(result, np.ndarray)
        assert result.dtype == other.dtype
        assert result.shape == other.shape
        if result.dtype == "float32":
            np.testing.assert_allclose(result, other, rtol=1e-5, atol=1e-30)
        else:
            np.testing.assert_allclose(result, other, rtol=rtol, atol=1e-300)
    for value, old in zip(values, before, strict=True):
        np.testing.assert_array_equal(value, old)
