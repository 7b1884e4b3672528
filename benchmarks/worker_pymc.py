"""The cases for PyMC, one a process: ``python worker_pymc.py CASE``.

The backend is PyTensor's default mode, which the runner chooses by an environment variable, so
that everything in the process is compiled with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor
from common import (
    DRAWS,
    REPEATS,
    SVGD_STEPS,
    N,
    gamma_data,
    logistic_data,
    main,
    mean_loss,
    result,
    seconds_of,
)


def versions() -> dict[str, str]:
    if pytensor.config.mode == "CVM" and not pytensor.config.cxx:
        raise RuntimeError("PyTensor's C backend finds no C++ compiler")
    return {"pymc": pm.__version__, "pytensor": pytensor.__version__, "numpy": np.__version__}


def gamma() -> pm.Model:
    with pm.Model() as model:
        alpha = pm.Exponential("alpha", 0.1)
        beta = pm.Exponential("beta", 0.1)
        pm.Gamma("y", alpha, beta, observed=gamma_data())
    return model


def mixture() -> pm.Model:
    with pm.Model() as model:
        pm.NormalMixture("x", w=[0.2, 0.8], mu=[-0.3, 0.5], sigma=[0.1, 0.1])
    return model


def logistic() -> pm.Model:
    X, y = logistic_data()
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 2.5)
        slope = pm.Normal("slope", 0, 2.5, shape=X.shape[1])
        pm.Bernoulli("y", logit_p=intercept + X @ slope, observed=y)
    return model


def time_steps(model: pm.Model, **options: Any) -> dict[str, float]:
    with model:
        step = pm.ADVI(random_seed=1).objective.step_function(score=True, **options)
    losses = np.empty(N)

    def loop() -> None:
        for i in range(N):
            losses[i] = step()

    loop()  # warms up
    return result([seconds_of(loop) / N for _ in range(REPEATS)], losses)


def gamma_step() -> dict[str, float]:
    return time_steps(gamma())


def mixture_step() -> dict[str, float]:
    return time_steps(mixture())


def logistic_step() -> dict[str, float]:
    return time_steps(logistic())


def gamma_step_10mc() -> dict[str, float]:
    return time_steps(gamma(), obj_n_mc=10)


def svgd_step() -> dict[str, float]:
    with mixture():
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


def refit() -> dict[str, float]:
    options = dict(random_seed=1, progressbar=False)
    with gamma():
        approx = pm.fit(N, **options)
        return result([seconds_of(pm.fit, N, **options) for _ in range(REPEATS)], approx.hist)


def start() -> dict[str, float]:
    with gamma():
        approx = pm.fit(N, random_seed=1, progressbar=False)
    approx.sample(DRAWS, random_seed=1)
    return mean_loss(approx.hist)


if __name__ == "__main__":
    main(globals())
