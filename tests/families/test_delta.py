import numpy as np
import pytest
from helpers.lanes import LANE

import vibayes as vb

OPTIONS = dict(
    obj_optimizer=vb.adam(learning_rate=0.05), backend=LANE, progressbar=False, diagnose=False
)


def test_a_fit_finds_the_mode_of_the_unconstrained_values():
    with vb.Model():
        vb.Gamma("x", 50, 2)
        approx = vb.fit(1_000, method="delta", random_seed=1, **OPTIONS)
        assert isinstance(approx, vb.AutoDelta)
    draws = approx.sample(5).posterior["x"].values.ravel()
    np.testing.assert_allclose(draws, 25, rtol=1e-3)
    np.testing.assert_array_equal(approx.std.eval(), [0])


def test_its_loss_is_the_joint_density():
    with vb.Model() as model:
        vb.Normal("x", 2, 3, shape=2)
        approx = vb.AutoDelta(start={"x": [0.5, 1.0]})
    loss = vb.KL(approx)()(3).eval(mode="FAST_COMPILE")
    assert loss == pytest.approx(-model.compile_logp(backend="py")({"x": np.array([0.5, 1.0])}))


def test_a_point_beside_a_distribution():
    data = np.random.default_rng(1).normal(3, 2, size=200)
    with vb.Model() as model:
        mu, s = vb.Normal("mu", 0, 10), vb.HalfNormal("s", 5)
        vb.Normal("y", mu, s, observed=data)
        groups = [vb.Group([s], vfam="delta"), vb.Group([mu], vfam="mean_field")]
        approx = vb.Approximation(groups, random_seed=1)
        fitted = vb.Inference(vb.KL(approx)).fit(1_500, obj_n_mc=10, **OPTIONS)
    draws = fitted.sample(500, random_seed=1).posterior
    assert draws["s"].std() < 1e-12
    np.testing.assert_allclose(draws["s"].mean(), data.std(), rtol=0.05)
    np.testing.assert_allclose(draws["mu"].std(), data.std() / 200**0.5, rtol=0.2)
    assert model.free_RVs == [mu, s]


def test_files(tmp_path):
    with vb.Model() as model:
        vb.Normal("x", shape=2)
        approx = vb.AutoDelta(start={"x": [0.5, 1.0]})
    approx.save(tmp_path / "point.nc")
    loaded = vb.load(tmp_path / "point.nc", model=model)
    assert isinstance(loaded, vb.AutoDelta)
    np.testing.assert_array_equal(loaded.mean.eval(), [0.5, 1])
