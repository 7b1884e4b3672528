"""The cases for vibayes, one a process: ``python worker_vibayes.py CASE``."""

from __future__ import annotations

from typing import Any

import numpy as np
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

import vibayes as vb


def versions() -> dict[str, str]:
    return {"vibayes": vb.__version__, "pytensor": pytensor.__version__, "numpy": np.__version__}


def gamma() -> vb.Model:
    with vb.Model() as model:
        alpha = vb.Exponential("alpha", 0.1)
        beta = vb.Exponential("beta", 0.1)
        vb.Gamma("y", alpha, beta, observed=gamma_data())
    return model


def mixture() -> vb.Model:
    with vb.Model() as model:
        vb.NormalMixture("x", w=[0.2, 0.8], mu=[-0.3, 0.5], sigma=[0.1, 0.1])
    return model


def logistic() -> vb.Model:
    X, y = logistic_data()
    with vb.Model() as model:
        intercept = vb.Normal("intercept", 0, 2.5)
        slope = vb.Normal("slope", 0, 2.5, shape=X.shape[1])
        vb.Bernoulli("y", logit_p=intercept + X @ slope, observed=y)
    return model


def time_steps(model: vb.Model, **options: Any) -> dict[str, float]:
    inference = vb.ADVI(model=model, random_seed=1)
    values = []
    for _ in range(1 + REPEATS):  # the first fit compiles and warms up
        inference.fit(N, progressbar=False, **options)
        values.append(inference.run_seconds / N)
    return result(values[1:], inference.hist[-N:])


def gamma_step() -> dict[str, float]:
    return time_steps(gamma())


def mixture_step() -> dict[str, float]:
    return time_steps(mixture())


def logistic_step() -> dict[str, float]:
    return time_steps(logistic())


def gamma_step_10mc() -> dict[str, float]:
    return time_steps(gamma(), obj_n_mc=10)


def svgd_step() -> dict[str, float]:
    n = SVGD_STEPS
    inference = vb.SVGD(n_particles=1_000, model=mixture(), random_seed=1)
    values = []
    for _ in range(1 + REPEATS):
        inference.fit(n, obj_optimizer=vb.sgd(learning_rate=0.01), progressbar=False)
        values.append(inference.run_seconds / n)
    return result(values[1:], inference.approx.histogram.eval().mean())


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
    options = dict(model=gamma(), random_seed=1, progressbar=False)
    approx = vb.fit(N, **options)
    return result([seconds_of(vb.fit, N, **options) for _ in range(REPEATS)], approx.hist)


def convergence_check() -> dict[str, float]:
    n = 100_000
    model = gamma()

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
    with gamma():
        approx = vb.fit(N, random_seed=1, progressbar=False)
    approx.sample(DRAWS, random_seed=1)
    return mean_loss(approx.hist)


if __name__ == "__main__":
    main(globals())
