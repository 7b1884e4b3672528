import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import vibayes as vb

MEAN, COV = np.array([0.5, -1.0]), np.array([[1.0, 0.6], [0.6, 0.8]])


@pytest.fixture(scope="module")
def gaussian():
    with vb.Model() as model:
        vb.MvNormal("x", MEAN, cov=COV)
    return model


@pytest.mark.parametrize("seed", range(2))
def test_asvgd_finds_mean_and_covariance(gaussian, seed):
    approx = vb.fit(
        600,
        method="asvgd",
        model=gaussian,
        random_seed=seed,
        obj_n_mc=60,
        obj_optimizer=vb.adam(learning_rate=0.02),
        backend="py",
        progressbar=False,
    )
    assert isinstance(approx, vb.FullRank)
    assert approx.hist.size == 0
    np.testing.assert_allclose(approx.mean.eval(), MEAN, atol=0.15)
    np.testing.assert_allclose(approx.cov.eval(), COV, atol=0.3)


def test_asvgd_draws_500_by_default(gaussian):
    inference = vb.ASVGD(model=gaussian, random_seed=1)
    inference.fit(1, backend="py", progressbar=False)
    explicit = vb.ASVGD(model=gaussian, random_seed=1)
    explicit.fit(1, obj_n_mc=500, backend="py", progressbar=False)
    assert explicit.last_run.loop.steps is inference.last_run.loop.steps


def test_asvgd_of_a_given_approximation(gaussian):
    approx = vb.MeanField(model=gaussian)
    assert vb.ASVGD(approx).approx is approx
    with pytest.raises(TypeError, match="random_seed has no effect on an approximation"):
        vb.ASVGD(approx, random_seed=1)


class SamplerGroup(vb.Group):
    """Noise through a small network: it can be drawn from, its density is unknown."""

    has_logq = False

    def initial_params(self, start, sigma):
        rng = np.random.default_rng(0)
        return {"W": np.eye(2) + 0.1 * rng.normal(size=(2, 2)), "V": np.zeros((2, 2)), "b": start}

    def param_shapes(self):
        return {"W": (2, 2), "V": (2, 2), "b": (2,)}

    def transform(self, noise):
        p = self.params_dict
        return pt.dot(noise, p["W"]) + pt.dot(pt.tanh(noise), p["V"]) + p["b"]


def test_implicit_gradient_needs_no_density(gaussian):
    approx = vb.Approximation([SamplerGroup(model=gaussian)], model=gaussian, random_seed=1)
    assert not approx.has_logq
    vb.ImplicitGradient(approx, kernel="imq").fit(
        600,
        obj_n_mc=60,
        obj_optimizer=vb.adam(learning_rate=0.02),
        backend="py",
        progressbar=False,
    )
    draws = approx.sample(4000, random_seed=1).posterior["x"].values[0]
    np.testing.assert_allclose(draws.mean(axis=0), MEAN, atol=0.2)
    np.testing.assert_allclose(np.cov(draws.T), COV, atol=0.35)


def test_run_profiling(gaussian):
    """The profile counts operations, and leaves the approximation alone."""
    inference = vb.ADVI(model=gaussian, random_seed=1)
    before = [p.get_value() for p in inference.approx.params]
    profile = inference.run_profiling(7, obj_n_mc=3, obj_optimizer=vb.adam(learning_rate=0.1))
    assert profile.fct_callcount == 7
    assert set(profile.apply_callcount.values()) == {7}
    assert sum(profile.apply_time.values()) > 0
    for p, old in zip(inference.approx.params, before, strict=True):
        np.testing.assert_array_equal(p.get_value(), old)
    assert inference.hist.size == 0


def test_losses_format_as_the_latest(gaussian):
    seen = []

    def look(approx, loss, i):
        seen.append((f"{loss:.3f}", float(loss[-1])))

    vb.fit(3, model=gaussian, callbacks=[look], backend="py", progressbar=False)
    assert [text for text, _ in seen] == [f"{value:.3f}" for _, value in seen]
    assert len({text for text, _ in seen}) == 3


def test_a_formula_as_family(gaussian):
    group = vb.Group(None, vfam="scale-planar*2", model=gaussian)
    approx = vb.Approximation([group], model=gaussian)
    assert group.formula == "scale-planar*2-loc"
    assert approx.sample(5, random_seed=1).posterior["x"].shape == (1, 5, 2)
    with pytest.raises(ValueError, match="formulas of flows"):
        vb.Group(None, vfam="scale-plane*2", model=gaussian)
    assert pytensor.config.floatX == approx.params[0].dtype
