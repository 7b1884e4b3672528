"""The cases for NumPyro, one a process: ``python worker_numpyro.py CASE``.

The precision is JAX's default, which the runner chooses by an environment variable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from common import (
    DIGITS_BATCH,
    DIGITS_STEPS,
    DRAWS,
    HIDDEN,
    REPEATS,
    N,
    digits_data,
    gamma_data,
    logistic_data,
    main,
    mean_loss,
    poisson_data,
    radon_data,
    result,
    returns_data,
    seconds_of,
)
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal


def versions() -> dict[str, str]:
    return {"numpyro": numpyro.__version__, "jax": jax.__version__, "numpy": np.__version__}


def gamma(y: jax.Array) -> None:
    alpha = numpyro.sample("alpha", dist.Exponential(0.1))
    beta = numpyro.sample("beta", dist.Exponential(0.1))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.Gamma(alpha, beta), obs=y)


def mixture() -> None:
    weights = dist.Categorical(probs=jnp.array([0.2, 0.8]))
    components = dist.Normal(jnp.array([-0.3, 0.5]), jnp.array([0.1, 0.1]))
    numpyro.sample("x", dist.MixtureSameFamily(weights, components))


def logistic(X: jax.Array, y: jax.Array) -> None:
    intercept = numpyro.sample("intercept", dist.Normal(0.0, 2.5))
    with numpyro.plate("predictor", X.shape[1]):
        slope = numpyro.sample("slope", dist.Normal(0.0, 2.5))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.Bernoulli(logits=intercept + X @ slope), obs=y)


def radon(county: jax.Array, floor: jax.Array, uranium: jax.Array, y: jax.Array) -> None:
    with numpyro.plate("part", 2):
        mean = numpyro.sample("mean", dist.Normal(0.0, 1.0))
        sd = numpyro.sample("sd", dist.HalfNormal(1.0))
    by_uranium = numpyro.sample("by_uranium", dist.Normal(0.0, 1.0))
    with numpyro.plate("county", len(uranium)):
        level = numpyro.sample("level", dist.Normal(mean[0] + by_uranium * uranium, sd[0]))
        slope = numpyro.sample("slope", dist.Normal(mean[1], sd[1]))
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    with numpyro.plate("row", len(y)):
        mu = level[county] + slope[county] * floor
        numpyro.sample("y", dist.Normal(mu, noise), obs=y)


def poisson(X: jax.Array, y: jax.Array) -> None:
    intercept = numpyro.sample("intercept", dist.Normal(0.0, 1.0))
    with numpyro.plate("predictor", X.shape[1]):
        slope = numpyro.sample("slope", dist.Normal(0.0, 1.0))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.Poisson(jnp.exp(intercept + X @ slope)), obs=y)


def digits(X: jax.Array, y: jax.Array) -> None:
    first = numpyro.sample("first", dist.Normal(0.0, jnp.ones((X.shape[1], HIDDEN))).to_event(2))
    second = numpyro.sample("second", dist.Normal(0.0, jnp.ones((HIDDEN, 10))).to_event(2))
    with numpyro.plate("row", len(y), subsample_size=DIGITS_BATCH) as rows:
        logits = jnp.tanh(X[rows] @ first) @ second
        numpyro.sample("y", dist.Categorical(logits=logits), obs=y[rows])


def returns(y: jax.Array) -> None:
    with numpyro.plate("dimension", y.shape[1]):
        sd = numpyro.sample("sd", dist.HalfNormal(3.0))
    chol = sd[:, None] * numpyro.sample("corr", dist.LKJCholesky(y.shape[1], 2.0))
    with numpyro.plate("row", len(y)):
        numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(y.shape[1]), scale_tril=chol), obs=y)


def inference(model: Callable[..., None], **options: Any) -> SVI:
    return SVI(model, AutoNormal(model), numpyro.optim.Adam(1e-3), Trace_ELBO(**options))


def time_steps(
    model: Callable[..., None], *data: np.ndarray, n: int = N, **options: Any
) -> dict[str, float]:
    svi = inference(model, **options)

    @jax.jit
    def loop(state: Any, *data: jax.Array) -> tuple[Any, jax.Array]:
        return jax.lax.scan(lambda state, _: svi.update(state, *data), state, length=n)

    data = tuple(map(jnp.asarray, data))
    state = svi.init(jax.random.key(1), *data)
    losses = None

    def run() -> None:
        nonlocal state, losses
        state, losses = jax.block_until_ready(loop(state, *data))

    run()  # compiles and warms up
    return result([seconds_of(run) / n for _ in range(REPEATS)], losses)


def gamma_step() -> dict[str, float]:
    return time_steps(gamma, gamma_data())


def mixture_step() -> dict[str, float]:
    return time_steps(mixture)


def logistic_step() -> dict[str, float]:
    return time_steps(logistic, *logistic_data())


def radon_step() -> dict[str, float]:
    return time_steps(radon, *radon_data())


def poisson_step() -> dict[str, float]:
    return time_steps(poisson, *poisson_data())


def digits_step() -> dict[str, float]:
    return time_steps(digits, *digits_data(), n=DIGITS_STEPS)


def lkj_step() -> dict[str, float]:
    return time_steps(returns, returns_data())


def gamma_step_10mc() -> dict[str, float]:
    return time_steps(gamma, gamma_data(), num_particles=10)


def fit(svi: SVI) -> Any:
    key, y = jax.random.key(1), jnp.asarray(gamma_data())
    return jax.block_until_ready(svi.run(key, N, y, progress_bar=False))


def refit() -> dict[str, float]:
    svi = inference(gamma)
    losses = fit(svi).losses
    return result([seconds_of(fit, svi) for _ in range(REPEATS)], losses)


def start() -> dict[str, float]:
    svi = inference(gamma)
    fitted = fit(svi)
    draws = svi.guide.sample_posterior(jax.random.key(2), fitted.params, sample_shape=(DRAWS,))
    jax.block_until_ready(draws)
    return mean_loss(fitted.losses)


if __name__ == "__main__":
    main(globals())
