"""What a user writes, for the type checker alone: it has to find no error here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

import numpy as np
from pytensor.tensor.variable import TensorVariable

import vibayes as vb
from vibayes.arguments import behind_new
from vibayes.callbacks import Callback, CheckParametersConvergence, Tracker

rng = np.random.default_rng(1)
X, y = rng.normal(size=(1000, 3)), rng.normal(size=1000)


def regression(rows: int | None = None) -> vb.Model:
    """Build a model, of minibatches if ``rows`` is given."""
    with vb.Model(coords={"column": ["a", "b", "c"]}) as model:
        if rows is None:
            inputs, outputs = vb.Data("X", X), vb.Data("y", y)
        else:
            inputs, outputs = vb.Minibatch(X, y, batch_size=rows)
        slopes = vb.Normal("slopes", 0, sd=1, dims="column")
        noise = vb.HalfNormal("noise", 1.0, initval=0.5)
        chol, _, _ = vb.LKJCholeskyCov("chol", 2.0, 3, vb.Exponential.dist(1.0, shape=3))
        vb.Deterministic("scaled", slopes / noise)
        vb.Potential("penalty", -(chol**2).sum())
        vb.Normal("y", inputs @ slopes, noise, observed=outputs, total_size=len(y))
    assert_type(model, vb.Model)
    assert_type(model.initial_point(), dict[str, np.ndarray])
    assert_type(model.point_logps(), dict[str, float])
    return model


class Isotropic(vb.Group):
    """A family of a user's own."""

    short_name = "isotropic"
    param_names = frozenset({"mu", "rho"})

    def initial_params(self, start: np.ndarray, sigma: np.ndarray | None) -> dict[str, np.ndarray]:
        return {"mu": start, "rho": np.zeros(())}

    def param_shapes(self) -> dict[str, tuple[int | None, ...]]:
        return {"mu": (self.ddim,), "rho": ()}

    def transform(self, noise: TensorVariable) -> TensorVariable:
        return self.params_dict["mu"] + self.params_dict["rho"] * noise

    def log_density(self, noise: TensorVariable, z: TensorVariable) -> TensorVariable:
        return -0.5 * (noise**2).sum(axis=-1)


class Shifted(vb.Continuous):
    """A distribution of a user's own."""

    @behind_new
    def __init__(self, shift: Any) -> None:
        self.set_params(shift=shift)

    def logp(self, value: TensorVariable) -> TensorVariable:
        return -0.5 * (value - self.params["shift"]) ** 2


class Printer(Callback):
    """A callback of a user's own."""

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        print(sorted(state))

    def __call__(self, approx: vb.Approximation, losses: np.ndarray, i: int) -> None:
        print(i, float(losses[-1]), approx.ending.reason)


class Evidence(vb.Operator):
    """An objective of a user's own."""

    is_bound = True

    def loss(self, draws: Any) -> TensorVariable:
        return -draws.logp.mean()


def by_function() -> None:
    """Fit by the function."""
    with regression():
        approx = vb.fit(method="fullrank_advi", random_seed=1, start={"noise": 1.0})
    assert_type(approx, vb.Approximation)
    assert_type(approx.hist, np.ndarray)
    assert_type(approx.diagnosis, vb.Diagnosis | None)
    diagnosis = approx.diagnose()
    assert_type(diagnosis, vb.Diagnosis)
    assert_type(diagnosis.khat, float)
    assert_type(diagnosis.fits, bool)
    approx.save("approx.nc")
    assert_type(vb.load("approx.nc", model=approx.model), vb.Approximation)
    posterior = approx.sample(1000, random_seed=1)
    vb.sample_posterior_predictive(posterior, model=approx.model, random_seed=1)


def by_classes() -> None:
    """Fit by methods, families and optimizers."""
    adam = vb.adam(learning_rate=0.01)
    assert_type(adam, vb.updates.Optimizer)
    tracker = Tracker(loss=lambda losses: losses[-1], every=10)
    with regression(rows=100) as model:
        Shifted("shifted", 1.0, shape=2)
        advi = vb.ADVI(random_seed=1)
        approx = advi.fit(
            1000,
            obj_optimizer=adam,
            callbacks=[CheckParametersConvergence(every=100), tracker, Printer()],
            progressbar=False,
        )
        assert_type(approx, vb.Approximation)
        assert_type(advi.refine(100), vb.Approximation)
        assert_type(advi.compile_seconds, float)
        assert_type(vb.FullRankADVI.for_model(model), vb.FullRankADVI)
        isotropic = vb.SingleGroupApproximation.of(Isotropic)
        assert_type(isotropic, type[vb.SingleGroupApproximation])
        vb.Inference(Evidence(isotropic(model=model))).fit(10)
        vb.KLqp(vb.Approximation([vb.Group(None, vfam="mean_field")], model=model)).fit(10)
        vb.SVGD(n_particles=100, kernel=lambda particles: (particles, particles)).fit(10)
        assert_type(vb.AutoVI(random_seed=1).fit(max_seconds=60.0), vb.Approximation)
    vb.set_data({"X": X[:10], "y": y[:10]}, model=model)


def by_draws() -> None:
    """Draw from a model, and by NUTS."""
    model = regression()
    assert_type(vb.draw(vb.Gamma.dist(2.0, 1.0), draws=10), np.ndarray | list[np.ndarray])
    vb.sample_prior_predictive(10, model=model, random_seed=1)
    vb.sample(draws=100, model=model, random_seed=1)
