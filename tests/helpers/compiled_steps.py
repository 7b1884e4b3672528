"""Steps in machine code beside the same steps in NumPy."""

import numpy as np
import pytensor

import vibayes as vb


def check_compiled_steps(make_approximation):
    """Fit twenty steps with both; ``make_approximation`` takes ``model`` and ``random_seed``."""
    with vb.Model() as model:
        x = vb.Normal("x", 0, 1, shape=3)
        vb.Normal("y", x.sum(), 1, observed=[1.0, 2.0])
    adam = vb.adam(learning_rate=pytensor.shared(np.array(0.05), shape=()))
    fits = []
    for backend in ("py", "numba"):
        inference = vb.KLqp(make_approximation(model=model, random_seed=1))
        fits.append(inference.fit(20, obj_optimizer=adam, backend=backend, progressbar=False))
    np.testing.assert_allclose(fits[1].hist, fits[0].hist, rtol=1e-9)
    for got, want in zip(fits[1].params, fits[0].params, strict=True):
        np.testing.assert_allclose(got.get_value(), want.get_value(), rtol=1e-9, atol=1e-12)
