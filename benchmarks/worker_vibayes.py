"""The cases for vibayes, one a process: ``python worker_vibayes.py CASE``."""

from __future__ import annotations

import os
from typing import Any

import models
import numpy as np
import pytensor
import pytensor.tensor as pt
from common import (
    BATCH_SIZE,
    DIGITS_STEPS,
    DRAWS,
    IRIS_STEPS,
    REPEATS,
    SVGD_STEPS,
    N,
    iris_data,
    main,
    mean_loss,
    minibatch_data,
    result,
    seconds_of,
)

import vibayes as vb

# few steps would be taken by NumPy
COMPILED = {} if os.environ.get("VIBAYES_BACKEND") == "jax" else {"backend": "numba"}


def versions() -> dict[str, str]:
    found = {"vibayes": vb.__version__, "pytensor": pytensor.__version__, "numpy": np.__version__}
    if os.environ.get("VIBAYES_BACKEND") == "jax":
        import jax

        found["jax"] = jax.__version__
    return found


def minibatch() -> vb.Model:
    data = minibatch_data()
    X = vb.Minibatch(data, batch_size=BATCH_SIZE)
    with vb.Model() as model:
        mu = vb.Flat("mu", shape=100)
        sd = vb.HalfNormal("sd", sigma=100, shape=100)
        vb.Normal("likelihood", mu, sigma=sd, observed=X, total_size=data.shape)
    return model


def iris_parts() -> tuple[vb.SVGD, Any, Any]:
    """Return what is fitted, and its accuracy on the flowers to test and to learn from."""
    X_train, X_test, y_train, y_test = iris_data()
    Xt = pytensor.shared(X_train)
    with vb.Model():
        slope = vb.Normal("slope", 0, sigma=1e2, shape=(4, 3))
        offset = vb.Normal("offset", sigma=1e4, shape=(3,))
        p = pt.special.softmax(Xt.dot(slope) + offset, axis=-1)
        vb.Categorical("obs", p=p, observed=y_train)
        inference = vb.SVGD(n_particles=500, jitter=1, random_seed=1)
    test_probs = inference.approx.sample_node(p, more_replacements={Xt: X_test}, size=100)
    train_probs = inference.approx.sample_node(p)
    test_accuracy = pt.eq(test_probs.argmax(-1), y_test).mean(-1)
    train_accuracy = pt.eq(train_probs.argmax(-1), y_train).mean(-1)
    return inference, test_accuracy.eval, train_accuracy.eval


def time_steps(model: vb.Model, n: int = N, **options: Any) -> dict[str, float]:
    inference = vb.ADVI(model=model, random_seed=1)
    values = []
    for _ in range(1 + REPEATS):  # the first fit compiles and warms up
        inference.fit(n, progressbar=False, **COMPILED, **options)
        values.append(inference.run_seconds / n)
    return result(values[1:], inference.hist[-n:])


def gamma_step() -> dict[str, float]:
    return time_steps(models.gamma(vb))


def mixture_step() -> dict[str, float]:
    return time_steps(models.mixture(vb))


def logistic_step() -> dict[str, float]:
    return time_steps(models.logistic(vb))


def radon_step() -> dict[str, float]:
    return time_steps(models.radon(vb))


def poisson_step() -> dict[str, float]:
    return time_steps(models.poisson(vb))


def digits_step() -> dict[str, float]:
    return time_steps(models.digits(vb), n=DIGITS_STEPS)


def lkj_step() -> dict[str, float]:
    return time_steps(models.returns(vb))


def gamma_step_10mc() -> dict[str, float]:
    return time_steps(models.gamma(vb), obj_n_mc=10)


def svgd_step() -> dict[str, float]:
    n = SVGD_STEPS
    inference = vb.SVGD(n_particles=1_000, model=models.mixture(vb), random_seed=1)
    values = []
    for _ in range(1 + REPEATS):
        inference.fit(n, obj_optimizer=vb.sgd(learning_rate=0.01), progressbar=False)
        values.append(inference.run_seconds / n)
    return result(values[1:], inference.approx.histogram.eval().mean())


def iris() -> dict[str, float]:
    inference, test_accuracy, train_accuracy = iris_parts()
    start = inference.approx.histogram.get_value()
    optimizers = (None, vb.adamax(learning_rate=0.1))
    values = []
    for _ in range(2):  # the first time compiles
        inference.approx.histogram.set_value(start)
        tracker = vb.callbacks.Tracker(test=test_accuracy, train=train_accuracy)
        seconds = 0.0
        for n, optimizer in zip(IRIS_STEPS, optimizers, strict=True):
            options = dict(obj_optimizer=optimizer, callbacks=[tracker], progressbar=False)
            seconds += seconds_of(inference.fit, n, **options)
        values.append(seconds)
    return result(values[1:], tracker["test"][-50:])


def minibatch_step() -> dict[str, float]:
    return time_steps(minibatch())


def full_rank() -> dict[str, float]:
    with vb.Model() as model:
        vb.Normal("x", 0, np.linspace(0.5, 2, 50), shape=50)
    fits = [cls(model=model, random_seed=1) for cls in (vb.FullRankADVI, vb.ADVI)]
    ratios = []
    for _ in range(1 + REPEATS):
        seconds = []
        for inference in fits:
            inference.fit(N, progressbar=False)
            seconds.append(inference.run_seconds)
        ratios.append(seconds[0] / seconds[1])
    return result(ratios[1:], fits[0].hist[-N:])


def refit() -> dict[str, float]:
    options = dict(model=models.gamma(vb), random_seed=1, progressbar=False, diagnose=False)
    approx = vb.fit(N, **options)
    return result([seconds_of(vb.fit, N, **options) for _ in range(REPEATS)], approx.hist)


def convergence_check() -> dict[str, float]:
    n = 100_000
    model = models.gamma(vb)

    def fit(*callbacks: vb.callbacks.Callback) -> tuple[float, np.ndarray]:
        inference = vb.ADVI(model=model, random_seed=1)
        seconds = seconds_of(inference.fit, n, callbacks=callbacks, progressbar=False)
        if len(inference.hist) != n:
            raise RuntimeError(f"the fit ended after {len(inference.hist)} of {n} steps")
        return seconds, inference.hist

    _, losses = fit()  # compiles
    ratios = []
    for _ in range(REPEATS):
        without, _ = fit()
        check = vb.callbacks.CheckParametersConvergence(every=100, tolerance=1e-30)
        checked, _ = fit(check)
        ratios.append(checked / without)
    return result(ratios, losses)


def start() -> dict[str, float]:
    with models.gamma(vb):
        approx = vb.fit(N, random_seed=1, progressbar=False)
    approx.sample(DRAWS, random_seed=1)
    return mean_loss(approx.hist)


if __name__ == "__main__":
    main(globals())
