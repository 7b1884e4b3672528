"""``vb.fit()`` as users call it: right, or it warns."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers.posteriors import (
    conjugate,
    covariance,
    funnel,
    line,
    line_moments,
    normal,
    seeds,
    two_modes,
)
from scipy import optimize, special, stats

import vibayes as vb
from vibayes.backend.modes import evaluate
from vibayes.inference.normal_fit import Recorder
from vibayes.search.normals import FittedNormal

PARAMETRIC = ["advi", "fullrank_advi", "lowrank_advi"]


def fit(model, method="advi", seed=1, **kwargs):
    return vb.fit(method=method, model=model, random_seed=seed, progressbar=False, **kwargs)


def moments(approx):
    group = approx.groups[0]
    return evaluate([group.mean, group.std])


def silently(model, method="advi", seed=1, **kwargs):
    """Fit, and take any warning for an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return fit(model, method, seed, **kwargs)


def best_for_count(count):
    """Mean and sd of the normal closest to x ~ N(0, 2), count ~ Poisson(exp(x)), in closed form."""

    def loss(parameters):
        m, log_s = parameters
        s2 = np.exp(2 * log_s)
        return np.exp(m + s2 / 2) - count * m + (m**2 + s2) / 8 - log_s

    m, log_s = optimize.minimize(loss, [np.log(count + 0.5), -1.0]).x
    return m, np.exp(log_s)


class TestRight:
    @pytest.mark.parametrize("method", PARAMETRIC)
    @pytest.mark.parametrize("scale", [1e-4, 1.0, 1e5])
    def test_scale(self, method, scale):
        model, mean, sd = conjugate(scale)
        found_mean, found_sd = moments(silently(model, method))
        assert found_mean[0] == pytest.approx(mean, abs=0.02 * sd)
        assert found_sd[0] == pytest.approx(sd, rel=0.02)

    @pytest.mark.parametrize("start", [-1e6, -30.0, 1e3, 1e9])
    def test_far_starts(self, start):
        model, mean, sd = conjugate(start=start)
        found_mean, found_sd = moments(silently(model))
        assert found_mean[0] == pytest.approx(mean, abs=0.02 * sd)
        assert found_sd[0] == pytest.approx(sd, rel=0.02)

    def test_variables_of_all_scales(self):
        scales = np.array([1e-4, 1.0, 1e5])
        model = normal(3 * scales, np.diag(scales**2))
        mean, sd = moments(silently(model))
        np.testing.assert_allclose(mean / scales, 3, atol=0.02)
        np.testing.assert_allclose(sd / scales, 1, rtol=0.02)

    @pytest.mark.parametrize("seed", seeds(3))
    def test_the_line(self, seed):
        """Of seven points: means are right, and that independent normals are too narrow is said."""
        with pytest.warns(vb.ApproximationWarning, match="too narrow"):
            approx = fit(line(), seed=seed)
        mean, sd = line_moments()
        assert mean[1] == pytest.approx(-8.9, abs=0.1)
        assert sd[1] == pytest.approx(1.8, abs=0.05)
        slope = approx.sample(4000, random_seed=1).posterior["slope"].values
        assert slope.mean() == pytest.approx(mean[1], abs=0.2 * sd[1])

    @pytest.mark.parametrize(
        "start", [{"sigma": 1e5}, {"slope": -1e6, "intercept": 1e6}, {"sigma": 1e-6}]
    )
    def test_the_line_from_absurd_starts(self, start):
        approx = fit(line(), "fullrank_advi", start=start, diagnose=False)
        mean, sd = line_moments()
        found, _ = moments(approx)
        np.testing.assert_allclose((found[:2] - mean) / sd, 0, atol=0.2)
        assert approx.ending.converged

    @pytest.mark.parametrize("seed", seeds(2))
    def test_gamma(self, seed):
        """The example of both shapes of a gamma distribution, against a grid."""
        y = np.random.default_rng(seed).gamma(2, 0.5, 200)
        with vb.Model() as model:
            alpha = vb.Exponential("alpha", 0.1)
            beta = vb.Exponential("beta", 0.1)
            vb.Gamma("y", alpha, beta, observed=y)
        a, b = np.meshgrid(np.linspace(1.0, 4.0, 400), np.linspace(1.5, 8.5, 400), indexing="ij")
        logp = -0.1 * (a + b) + len(y) * (a * np.log(b) - special.gammaln(a))
        logp += (a - 1) * np.log(y).sum() - b * y.sum()
        w = np.exp(logp - logp.max())
        w /= w.sum()
        for name, method in (("advi", "advi"), ("auto", "auto")):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", vb.ApproximationWarning)
                posterior = fit(model, method, seed).sample(4000, random_seed=1).posterior
            for values, grid in (("alpha", a), ("beta", b)):
                mean = (w * grid).sum()
                sd = np.sqrt((w * (grid - mean) ** 2).sum())
                assert posterior[values].mean() == pytest.approx(mean, abs=0.2 * sd), name
                if method == "auto":
                    assert posterior[values].std() == pytest.approx(sd, rel=0.2)

    def test_minibatches(self):
        """In memory, the whole data are fitted."""
        rng = np.random.default_rng(0)
        X = rng.normal(size=(600, 2))
        y = X @ [1.0, -0.5] + 0.5 * rng.normal(size=600)
        X_batch, y_batch = vb.Minibatch(X, y, batch_size=30)
        with vb.Model() as model:
            beta = vb.Normal("beta", 0, 5, shape=2)
            vb.Normal("y", X_batch @ beta, 0.5, observed=y_batch, total_size=600)
        P = X.T @ X / 0.25 + np.eye(2) / 25
        mean, sd = moments(silently(model))
        np.testing.assert_allclose(mean, np.linalg.solve(P, X.T @ y / 0.25), atol=0.02 * sd.max())
        np.testing.assert_allclose(sd, P.diagonal() ** -0.5, rtol=0.02)

    def test_many_dimensions(self):
        d = 130
        cov = covariance(d, correlation=0.3, scales=np.exp(np.linspace(-5, 5, d)))
        model = normal(np.arange(d) * 1.0, cov)
        approx = fit(model, "fullrank_advi", diagnose=False)
        mean, sd = moments(approx)
        true_sd = np.sqrt(cov.diagonal())
        assert np.abs((mean - np.arange(d)) / true_sd).max() < 0.15
        np.testing.assert_allclose(sd / true_sd, 1, atol=0.1)
        assert approx.ending.converged


class TestHonest:
    @pytest.mark.parametrize("k", [10, 150, 3000, pytest.param(20_000, marks=pytest.mark.slow)])
    def test_independent_normals_are_found_in_any_number(self, k):
        with vb.Model():
            x = vb.Normal("x", shape=k)
            vb.Normal("y", x, 1, observed=np.ones(k))
            approx = vb.fit(random_seed=1, progressbar=False)
        np.testing.assert_allclose(approx.mean.eval(), 0.5, atol=0.01)
        np.testing.assert_allclose(approx.std.eval(), np.sqrt(0.5), rtol=0.02)
        assert approx.ending.converged
        assert approx.diagnosis.good

    def test_skewed_variables_of_all_scales_in_many_dimensions(self):
        counts, scales = np.tile([1, 5, 50], 800), np.tile([1e-3, 1.0, 1e3], 800)
        with vb.Model():
            x = vb.Normal("x", 0, 2, shape=2400)
            vb.Poisson("n", vb.math.exp(x), observed=counts)
            z = vb.Normal("z", 0, scales, shape=2400)
            vb.Normal("y", z, scales, observed=scales)
            approx = vb.fit(random_seed=1, progressbar=False, diagnose=False)
        best = [best_for_count(count) for count in counts[:3]]
        mean, sd = approx.mean.eval(), approx.std.eval()
        for i, (m, s) in enumerate(best):
            np.testing.assert_allclose((mean[i:2400:3] - m) / s, 0, atol=0.05)
            np.testing.assert_allclose(sd[i:2400:3], s, rtol=0.03)
        np.testing.assert_allclose(sd[2400:], scales / np.sqrt(2), rtol=0.02)

    def test_a_funnel(self):
        """Its ELBO is nearly flat along the neck: either the steps or the family fall short."""
        with pytest.warns((vb.ApproximationWarning, vb.ConvergenceWarning)):
            fit(funnel(5))

    def test_correlated_variables(self):
        """Independent normals are too narrow; with correlations nothing is wrong."""
        model = normal(np.zeros(3), covariance(3, correlation=0.95, scales=[1.0, 1.0, 1.0]))
        with pytest.warns(vb.ApproximationWarning, match=r"x\[\d\].*too narrow"):
            fit(model)
        for method in ("fullrank_advi", "auto"):
            silently(model, method)

    @pytest.mark.parametrize("method", ["advi", "fullrank_advi"])
    def test_two_modes(self, method):
        with pytest.warns(vb.ApproximationWarning):
            approx = fit(two_modes(), method)
        assert approx.diagnose(random_seed=1).modes == 2

    def test_the_line_of_the_user_is_named(self):
        model = line()
        with pytest.warns(vb.ApproximationWarning) as caught:
            vb.fit(model=model, random_seed=1)
        with pytest.warns(vb.ApproximationWarning) as of_class:
            vb.ADVI(model=model, random_seed=1).fit(diagnose=True)
        with pytest.warns(vb.ApproximationWarning) as of_object:
            vb.fit(method=vb.ADVI(model=model, random_seed=1))
        with pytest.warns(vb.ConvergenceWarning) as of_search:
            vb.AutoVI(model, random_seed=1).fit(diagnose=True, max_steps=1)
        lines = Path(__file__).read_text().splitlines()
        for warned in (caught, of_class, of_object, of_search):
            (one,) = [w for w in warned if issubclass(w.category, UserWarning)]
            assert one.filename == __file__
            assert ".fit(" in lines[one.lineno - 1]

    def test_it_need_not_be_judged(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            fit(line(), diagnose=False)

    def test_what_cannot_be_judged_is_returned(self, monkeypatch):
        def broken(*args, **kwargs):
            raise ZeroDivisionError("no way")

        monkeypatch.setattr("vibayes.verdict.judge.diagnose", broken)
        monkeypatch.setattr(vb.MeanField, "diagnose", broken)
        with pytest.warns(
            vb.ApproximationWarning, match="could not be judged: ZeroDivisionError: no way"
        ):
            approx = fit(conjugate()[0])
        assert isinstance(approx, vb.MeanField)


class TestBudget:
    @pytest.mark.parametrize("method", PARAMETRIC)
    @pytest.mark.parametrize("budget", [dict(max_steps=1), dict(max_seconds=1e-9)])
    def test_used_up(self, method, budget):
        with pytest.warns(vb.ConvergenceWarning, match="budget of .* was used up"):
            approx = fit(funnel(5), method, **budget)
        assert approx.ending.converged is False
        assert all(np.isfinite(p.get_value()).all() for p in approx.params)
        assert np.isfinite(approx.sample(20, random_seed=1).posterior["v"].values).all()

    @pytest.mark.parametrize(
        ("name", "what"),
        [("max_steps", "a whole number of at least 1"), ("max_seconds", "a positive number")],
    )
    def test_values_that_are_none(self, name, what):
        with pytest.raises(ValueError, match=f"{name} must be {what}, got 0"):
            fit(conjugate()[0], **{name: 0})

    @pytest.mark.parametrize("name", ["max_steps", "max_seconds"])
    def test_it_is_for_fits_that_end_by_themselves(self, name):
        with pytest.raises(TypeError, match=f"{name} is for a fit that ends by itself"):
            fit(conjugate()[0], n=10, **{name: 100})


class TestExplicit:
    def test_number_of_steps(self):
        approx = fit(conjugate()[0], n=37, backend="py", diagnose=False)
        assert len(approx.hist) == 37
        assert approx.ending.converged is None

    def test_optimizer(self):
        """Without a number 10,000 steps: a callback counts on."""
        model, _, _ = conjugate()
        seen = []

        def stop(approx, losses, i):
            seen.append(i)
            if i == 55:
                raise StopIteration

        approx = fit(
            model,
            obj_optimizer=vb.sgd(learning_rate=1e-4),
            callbacks=[stop],
            backend="py",
            diagnose=False,
        )
        assert seen[-1] == 55
        assert len(approx.hist) == 55

    def test_too_few_steps_are_told(self):
        model, _, _ = conjugate(start=1e3)
        with pytest.warns(UserWarning):  # noqa: PT030
            fit(model, n=150, backend="py", obj_optimizer=vb.sgd(learning_rate=1e-6))


class TestLookingOn:
    def test_callbacks_see_the_loss_fall(self):
        seen = []

        def look(approx, losses, i):
            assert len(losses) == i
            seen.append((losses[-1], moments(approx)[0]))

        approx = fit(line(), "fullrank_advi", callbacks=[look], diagnose=False)
        losses = [loss for loss, _ in seen]
        assert len(losses) > 1
        assert (np.diff(losses) <= 0).all()
        np.testing.assert_array_equal(approx.hist, losses)
        np.testing.assert_allclose(seen[-1][1], moments(approx)[0])

    def test_a_tracker(self):
        model = line()
        inference = vb.FullRankADVI(model=model, random_seed=1)
        tracker = vb.callbacks.Tracker(
            mu=lambda: inference.approx.shared_params["mu"].get_value(), every=2
        )
        approx = inference.fit(callbacks=[tracker], progressbar=False)
        assert len(tracker["mu"]) == len(approx.hist) // 2

    @pytest.mark.parametrize("error", [StopIteration("enough"), StopIteration, KeyboardInterrupt])
    def test_who_stops_it_keeps_the_best_state(self, error):
        kept = {}

        def stop(approx, losses, i):
            kept["mu"], kept["i"] = approx.shared_params["mu"].get_value(), i
            if i == 2:
                raise error

        with pytest.warns(vb.ConvergenceWarning, match="it was interrupted"):
            approx = fit(line(), "fullrank_advi", callbacks=[stop])
        assert kept["i"] == len(approx.hist) == 2
        np.testing.assert_array_equal(approx.shared_params["mu"].get_value(), kept["mu"])
        assert approx.ending.converged is False

    def test_other_errors_of_callbacks_are_raised(self):
        def broken(approx, losses, i):
            raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            fit(line(), callbacks=[broken])


class TestHistory:
    """What a fit that ends by itself leaves to be plotted: the ELBO at each of its steps."""

    @pytest.mark.parametrize("method", [*PARAMETRIC, "auto", "laplace", "pathfinder"])
    def test_it_falls_to_the_loss_of_the_result(self, method):
        approx = fit(line(), method, diagnose=False)
        losses = approx.hist
        assert len(losses) > 2
        assert losses[0] > losses[-1] + 10
        assert (np.diff(losses) <= 1e-2 * np.abs(losses[-1])).all()
        if method in PARAMETRIC:
            elbo = approx.diagnose(random_seed=1).elbo
            assert losses[-1] == pytest.approx(-elbo, abs=0.5)

    def test_the_last_normal_is_the_result_whatever_was_estimated_on_the_way(self):
        with vb.Model():
            vb.Normal("x")
            approx = vb.FullRank()
        record = Recorder(approx, ())
        lucky, better, worse = (
            FittedNormal(np.full(1, at), np.eye(1), elbo=elbo)
            for at, elbo in ((1.0, 0.1), (2.0, 0.0), (3.0, -np.inf))
        )
        for q in (lucky, better, worse):
            record(q)
        np.testing.assert_array_equal(moments(approx)[0], [1])
        record(better, is_last=True)
        np.testing.assert_array_equal(moments(approx)[0], [2])
        np.testing.assert_array_equal(approx.hist, [-0.1, 0])


class TestRepeated:
    @pytest.mark.parametrize("method", PARAMETRIC)
    def test_same_seed_same_numbers(self, method):
        first, again = (fit(line(), method, diagnose=False) for _ in range(2))
        for one, two in zip(first.params, again.params, strict=True):
            np.testing.assert_array_equal(one.get_value(), two.get_value())

    def test_same_verdict(self):
        first, again = (fit(line(), "fullrank_advi", diagnose=False) for _ in range(2))
        assert (
            str(first.diagnose(random_seed=1)).splitlines()[0]
            == str(again.diagnose(random_seed=1)).splitlines()[0]
        )
        assert first.diagnose(random_seed=1).elbo == again.diagnose(random_seed=1).elbo

    def test_fitting_again_goes_on(self):
        model, mean, sd = conjugate()
        inference = vb.ADVI(model=model, random_seed=1)
        inference.fit(progressbar=False)
        before = len(inference.hist)
        inference.fit(progressbar=False)
        assert len(inference.hist) > before
        assert moments(inference.approx)[0][0] == pytest.approx(mean, abs=0.02 * sd)

    def test_two_models_do_not_meet(self):
        (one, mean, sd), (two, other_mean, _) = conjugate(seed=1), conjugate(scale=10.0, seed=2)
        first, second = fit(one), fit(two)
        assert moments(first)[0][0] == pytest.approx(mean, abs=0.02 * sd)
        assert moments(second)[0][0] == pytest.approx(other_mean, abs=0.2 * sd)

    def test_new_data(self):
        with vb.Model() as model:
            data = vb.Data("data", np.zeros(10))
            mu = vb.Normal("mu", 0, 10)
            vb.Normal("y", mu, 1, observed=data)
        fit(model)
        with model:
            vb.set_data({"data": np.full(10, 7.0)})
        assert moments(fit(model))[0][0] == pytest.approx(7, abs=0.02)


FLOAT32 = """
import warnings
warnings.simplefilter("error", UserWarning)
import numpy as np, pytensor, vibayes as vb
from vibayes.backend.modes import evaluate
assert pytensor.config.floatX == "float32"
y = np.random.default_rng(0).normal(3e3, 20, 40).astype("float32")
with vb.Model() as model:
    mu = vb.Normal("mu", 0, 1e4)
    sigma = vb.HalfNormal("sigma", 100)
    vb.Normal("y", mu, sigma, observed=y)
for method in ("advi", "fullrank_advi", "auto"):
    approx = vb.fit(method=method, model=model, random_seed=1, progressbar=False)
    posterior = approx.sample(4000, random_seed=1).posterior
    assert posterior["mu"].dtype == "float32"
    assert abs(posterior["mu"].mean() - y.mean()) < 0.2 * y.std() / 40**0.5, method
    assert abs(posterior["mu"].std() / (y.std() / 40**0.5) - 1) < 0.15, method
    assert abs(posterior["sigma"].mean() / y.std(ddof=1) - 1) < 0.08, method
print("right")
"""


@pytest.mark.ci
def test_float32():
    environment = os.environ | {"PYTENSOR_FLAGS": "floatX=float32"}
    done = subprocess.run(
        [sys.executable, "-c", FLOAT32],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "right", done.stderr


def ranks(simulate, names, simulations, draws=99):
    """Return the rank of each true value among draws of its posterior, (simulations, names)."""
    found = []
    for seed in range(simulations):
        model, truth = simulate(np.random.default_rng(seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            approx = fit(model, "auto", seed)
        posterior = approx.sample(draws, random_seed=seed).posterior
        found.append([(posterior[name].values[0] < truth[name]).sum() for name in names])
    return np.array(found)


def normal_of_unknown_width(rng):
    mu, sigma = rng.normal(0, 2), abs(rng.normal(0, 1.5))
    with vb.Model() as model:
        m = vb.Normal("mu", 0, 2)
        s = vb.HalfNormal("sigma", 1.5)
        vb.Normal("y", m, s, observed=rng.normal(mu, sigma, 6))
    return model, {"mu": mu, "sigma": sigma}


def logistic_regression(rng):
    X = rng.normal(size=(15, 2))
    intercept, slope = rng.normal(0, 1.5), rng.normal(0, 1, 2)
    p = special.expit(intercept + X @ slope)
    with vb.Model() as model:
        a = vb.Normal("intercept", 0, 1.5)
        b = [vb.Normal(f"slope{i}", 0, 1) for i in range(2)]
        logit = a + b[0] * X[:, 0] + b[1] * X[:, 1]
        vb.Bernoulli("y", logit_p=logit, observed=(rng.random(15) < p).astype(int))
    return model, {"intercept": intercept, "slope0": slope[0], "slope1": slope[1]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("simulate", "names"),
    [
        (normal_of_unknown_width, ["mu", "sigma"]),
        (logistic_regression, ["intercept", "slope0", "slope1"]),
    ],
)
def test_simulation_based_calibration(simulate, names):
    """Ranks of true values among posterior draws are uniform (Talts et al. 2018)."""
    found = ranks(simulate, names, simulations=100)
    for name, column in zip(names, found.T, strict=True):
        counts = np.histogram(column, bins=10, range=(0, 100))[0]
        assert stats.chisquare(counts).pvalue > 1e-3, (name, counts)
        assert abs(column.mean() - 49.5) < 4 * 28.9 / 10, name


@pytest.mark.parametrize("vfam", ["full_rank", "mean_field"])
def test_a_group_in_another_order_than_the_model(vfam):
    """Each variable gets its own mean and width, and a wrong order is noticed."""
    with vb.Model() as model:
        x = vb.Normal("x", 5, 0.1)
        y = vb.Normal("y", -30, 3, shape=2)
        approx = vb.Approximation([vb.Group([y, x], vfam=vfam)], random_seed=1)
        vb.Inference(vb.KL(approx)).fit(progressbar=False)
    (group,) = approx.groups
    np.testing.assert_allclose(group.mean.eval(), [-30, -30, 5], rtol=0.01)
    np.testing.assert_allclose(group.std.eval(), [3, 3, 0.1], rtol=0.02)
    assert approx.diagnose(random_seed=1).good
    group.set_values(group.params_near(np.array([5.0, -30, -30]), np.array([0.1, 3, 3])))
    assert not approx.diagnose(random_seed=1).good
    assert model.free_RVs == [x, y]
