"""The cases for vibayes, one a process: ``python worker_vibayes.py CASE``."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from common import (
    BATCH_SIZE,
    DIGITS_BATCH,
    DIGITS_STEPS,
    DRAWS,
    HIDDEN,
    IRIS_STEPS,
    REPEATS,
    SVGD_STEPS,
    N,
    digits_data,
    gamma_data,
    iris_data,
    logistic_data,
    main,
    mean_loss,
    minibatch_data,
    poisson_data,
    radon_data,
    result,
    returns_data,
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


def minibatch() -> vb.Model:
    data = minibatch_data()
    X = vb.Minibatch(data, batch_size=BATCH_SIZE)
    with vb.Model() as model:
        mu = vb.Flat("mu", shape=100)
        sd = vb.HalfNormal("sd", sigma=100, shape=100)
        vb.Normal("likelihood", mu, sigma=sd, observed=X, total_size=data.shape)
    return model


def radon() -> vb.Model:
    county, floor, uranium, value = radon_data()
    with vb.Model() as model:
        mean = vb.Normal("mean", 0, 1, shape=2)
        by_uranium = vb.Normal("by_uranium", 0, 1)
        sd = vb.HalfNormal("sd", 1, shape=2)
        level = vb.Normal("level", mean[0] + by_uranium * uranium, sd[0])
        slope = vb.Normal("slope", mean[1], sd[1], shape=len(uranium))
        noise = vb.HalfNormal("noise", 1)
        vb.Normal("y", level[county] + slope[county] * floor, noise, observed=value)
    return model


def poisson() -> vb.Model:
    X, y = poisson_data()
    with vb.Model() as model:
        intercept = vb.Normal("intercept", 0, 1)
        slope = vb.Normal("slope", 0, 1, shape=X.shape[1])
        vb.Poisson("y", pt.exp(intercept + X @ slope), observed=y)
    return model


def digits() -> vb.Model:
    images, labels = digits_data()
    X, y = vb.Minibatch(images, labels, batch_size=DIGITS_BATCH)
    with vb.Model() as model:
        first = vb.Normal("first", 0, 1, shape=(images.shape[1], HIDDEN))
        second = vb.Normal("second", 0, 1, shape=(HIDDEN, 10))
        logits = pt.tanh(X @ first) @ second
        vb.Categorical("y", logit_p=logits, observed=y, total_size=len(images))
    return model


def returns() -> vb.Model:
    y = returns_data()
    with vb.Model() as model:
        sd = vb.HalfNormal.dist(3)
        chol, *_ = vb.LKJCholeskyCov("chol", n=y.shape[1], eta=2, sd_dist=sd)
        vb.MvNormal("y", np.zeros(y.shape[1]), chol=chol, observed=y)
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
    return time_steps(gamma())


def mixture_step() -> dict[str, float]:
    return time_steps(mixture())


def logistic_step() -> dict[str, float]:
    return time_steps(logistic())


def radon_step() -> dict[str, float]:
    return time_steps(radon())


def poisson_step() -> dict[str, float]:
    return time_steps(poisson())


def digits_step() -> dict[str, float]:
    return time_steps(digits(), n=DIGITS_STEPS)


def lkj_step() -> dict[str, float]:
    return time_steps(returns())


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
    options = dict(model=gamma(), random_seed=1, progressbar=False, diagnose=False)
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
