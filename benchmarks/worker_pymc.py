"""The cases for PyMC, one a process: ``python worker_pymc.py CASE``.

The backend is PyTensor's default mode, which the runner chooses by an environment variable, so
that everything in the process is compiled with it.
"""

from __future__ import annotations

from typing import Any

import models
import numpy as np
import pymc as pm
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


def versions() -> dict[str, str]:
    if pytensor.config.mode == "CVM" and not pytensor.config.cxx:
        raise RuntimeError("PyTensor's C backend finds no C++ compiler")
    return {"pymc": pm.__version__, "pytensor": pytensor.__version__, "numpy": np.__version__}


def minibatch() -> pm.Model:
    data = minibatch_data()
    X = pm.Minibatch(data, batch_size=BATCH_SIZE)
    with pm.Model() as model:
        mu = pm.Flat("mu", shape=100)
        sd = pm.HalfNormal("sd", sigma=100, shape=100)
        pm.Normal("likelihood", mu, sigma=sd, observed=X, total_size=len(data))
    return model


def iris_parts() -> tuple[pm.SVGD, Any, Any]:
    """Return what is fitted, and its accuracy on the flowers to test and to learn from."""
    X_train, X_test, y_train, y_test = iris_data()
    Xt = pytensor.shared(X_train)
    with pm.Model():
        slope = pm.Normal("slope", 0, sigma=1e2, shape=(4, 3))
        offset = pm.Normal("offset", sigma=1e4, shape=(3,))
        p = pt.special.softmax(Xt.dot(slope) + offset, axis=-1)
        pm.Categorical("obs", p=p, observed=y_train)
        inference = pm.SVGD(n_particles=500, jitter=1, random_seed=1)
    test_probs = inference.approx.sample_node(p, more_replacements={Xt: X_test}, size=100)
    train_probs = inference.approx.sample_node(p)
    test_accuracy = pt.eq(test_probs.argmax(-1), y_test).mean(-1)
    train_accuracy = pt.eq(train_probs.argmax(-1), y_train).mean(-1)
    return inference, test_accuracy.eval, train_accuracy.eval


def time_steps(model: pm.Model, n: int = N, **options: Any) -> dict[str, float]:
    with model:
        step = pm.ADVI(random_seed=1).objective.step_function(score=True, **options)
    losses = np.empty(n)

    def loop() -> None:
        for i in range(n):
            losses[i] = step()

    loop()  # warms up
    return result([seconds_of(loop) / n for _ in range(REPEATS)], losses)


def gamma_step() -> dict[str, float]:
    return time_steps(models.gamma(pm))


def mixture_step() -> dict[str, float]:
    return time_steps(models.mixture(pm))


def logistic_step() -> dict[str, float]:
    return time_steps(models.logistic(pm))


def radon_step() -> dict[str, float]:
    return time_steps(models.radon(pm))


def poisson_step() -> dict[str, float]:
    return time_steps(models.poisson(pm))


def digits_step() -> dict[str, float]:
    return time_steps(models.digits(pm), n=DIGITS_STEPS)


def lkj_step() -> dict[str, float]:
    return time_steps(models.returns(pm))


def gamma_step_10mc() -> dict[str, float]:
    return time_steps(models.gamma(pm), obj_n_mc=10)


def svgd_step() -> dict[str, float]:
    with models.mixture(pm):
        inference = pm.SVGD(n_particles=1_000, random_seed=1)
        step = inference.objective.step_function(
            score=False, obj_optimizer=pm.sgd(learning_rate=0.01)
        )

    def loop() -> None:
        for _ in range(SVGD_STEPS):
            step()

    loop()
    values = [seconds_of(loop) / SVGD_STEPS for _ in range(REPEATS)]
    return result(values, inference.approx.histogram.eval().mean())


def iris() -> dict[str, float]:
    inference, test_accuracy, train_accuracy = iris_parts()
    tracker = pm.variational.callbacks.Tracker(test=test_accuracy, train=train_accuracy)
    optimizers = (pm.adagrad_window, pm.adamax(learning_rate=0.1))
    steps = [
        inference.objective.step_function(score=False, obj_optimizer=optimizer)
        for optimizer in optimizers
    ]
    start = inference.approx.params[0].get_value()
    for step in steps:
        step()
    tracker(inference.approx, None, 0)  # compiles
    inference.approx.params[0].set_value(start)

    def loop() -> None:
        for step, n in zip(steps, IRIS_STEPS, strict=True):
            for i in range(n):
                step()
                tracker(inference.approx, None, i)

    return result([seconds_of(loop)], tracker["test"][-50:])


def minibatch_step() -> dict[str, float]:
    return time_steps(minibatch())


def refit() -> dict[str, float]:
    options = dict(random_seed=1, progressbar=False)
    with models.gamma(pm):
        approx = pm.fit(N, **options)
        return result([seconds_of(pm.fit, N, **options) for _ in range(REPEATS)], approx.hist)


def start() -> dict[str, float]:
    with models.gamma(pm):
        approx = pm.fit(N, random_seed=1, progressbar=False)
    approx.sample(DRAWS, random_seed=1)
    return mean_loss(approx.hist)


if __name__ == "__main__":
    main(globals())
