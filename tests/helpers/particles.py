"""What kernels do to particles."""

import numpy as np
import pytensor.tensor as pt

from vibayes.backend.modes import evaluate


def median_bandwidth(X):
    full = ((X[:, None] - X) ** 2).sum(axis=-1)
    return 0.5 * np.median(full) / np.log(len(X) + 1)


def direction(kernel, X, score):
    x, s = pt.matrix("x"), pt.matrix("s")
    return evaluate([kernel.direction(x, s)], {x: X, s: score})[0]
