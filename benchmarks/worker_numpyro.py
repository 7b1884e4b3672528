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
from common import DRAWS, REPEATS, N, gamma_data, logistic_data, main, mean_loss, result, seconds_of
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


def inference(model: Callable[..., None], **options: Any) -> SVI:
    return SVI(model, AutoNormal(model), numpyro.optim.Adam(1e-3), Trace_ELBO(**options))


def time_steps(model: Callable[..., None], *data: np.ndarray, **options: Any) -> dict[str, float]:
    svi = inference(model, **options)

    @jax.jit
    def loop(state: Any, *data: jax.Array) -> tuple[Any, jax.Array]:
        return jax.lax.scan(lambda state, _: svi.update(state, *data), state, length=N)

    data = tuple(map(jnp.asarray, data))
    state = svi.init(jax.random.key(1), *data)
    losses = None

    def run() -> None:
        nonlocal state, losses
        state, losses = jax.block_until_ready(loop(state, *data))

    run()  # compiles and warms up
    return result([seconds_of(run) / N for _ in range(REPEATS)], losses)


def gamma_step() -> dict[str, float]:
    return time_steps(gamma, gamma_data())


def mixture_step() -> dict[str, float]:
    return time_steps(mixture)


def logistic_step() -> dict[str, float]:
    return time_steps(logistic, *logistic_data())


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
