"""One analysis from end to end, as a user would write it: test scores of children (kidiq)."""

import subprocess
import sys
import warnings

import arviz as az
import numpy as np
import pytest

import vibayes as vb

pytest.importorskip("nutpie")


def regression(predictors):
    """Test scores by standardized predictors."""
    data = vb.datasets.load("kidiq")
    X = np.column_stack([data[name] for name in predictors])
    coords = {"predictor": list(predictors), "child": range(len(X))}
    with vb.Model(coords=coords) as model:
        x = vb.Data("x", (X - X.mean(axis=0)) / X.std(axis=0), dims=("child", "predictor"))
        intercept = vb.Normal("intercept", 85, 30)
        slope = vb.Normal("slope", 0, 15, dims="predictor")
        sigma = vb.HalfNormal("sigma", 30)
        mu = vb.Deterministic("mu", intercept + x @ slope, dims="child")
        vb.Normal("score", mu, sigma, observed=data["kid_score"], dims="child")
    return model


@pytest.fixture(scope="module")
def models():
    return {"iq": regression(["mom_iq"]), "both": regression(["mom_iq", "mom_hs"])}


@pytest.fixture(scope="module")
def fits(models):
    """No fit may warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", vb.ConvergenceWarning)
        warnings.simplefilter("error", vb.ApproximationWarning)
        return {
            name: vb.fit(method="auto", model=model, random_seed=1, progressbar=False)
            for name, model in models.items()
        }


@pytest.fixture(scope="module")
def results(models, fits):
    """Posterior, posterior predictive and log likelihood of both models."""
    found = {}
    for name, model in models.items():
        with model:
            found[name] = vb.sample_posterior_predictive(fits[name], random_seed=2)
            vb.compute_log_likelihood(found[name])
    return found


def scores(results, group):
    values = results[group]["score"].values
    return values.reshape(-1, values.shape[-1])


def test_prior_check(models):
    """The prior holds the data, and little that cannot be."""
    prior = vb.sample_prior_predictive(500, model=models["both"], random_seed=1)
    drawn = scores(prior, "prior_predictive")
    observed = prior["observed_data"]["score"].values
    low, high = np.quantile(drawn, [0.01, 0.99])
    assert low < observed.min()
    assert observed.max() < high
    assert np.mean(np.abs(drawn) > 400) < 0.01


def test_verdict(fits):
    verdicts = [str(approx.diagnose(random_seed=1)) for approx in fits.values()]
    assert all(text.startswith("Good") for text in verdicts)


@pytest.mark.parametrize("statistic", [np.mean, np.std, np.median])
def test_posterior_predictive_check(results, statistic):
    drawn = statistic(scores(results["both"], "posterior_predictive"), axis=-1)
    observed = statistic(results["both"]["observed_data"]["score"].values)
    assert 0.01 < np.mean(drawn > observed) < 0.99


def test_comparison(results):
    """Schooling predicts beyond the intelligence of the mother; weights say so."""
    table = az.compare(results)
    assert list(table.index) == ["both", "iq"]
    for result in results.values():
        assert az.loo(result, pointwise=True).pareto_k.max() < 0.7
    differences = scores(results["both"], "log_likelihood") - scores(
        results["iq"], "log_likelihood"
    )
    assert differences.mean() > 0


def test_predictions_of_new_children(models, results):
    """Two new rows, with coords of their own, against the formula."""
    with models["both"]:
        before = vb.draw(models["both"]["x"])
        try:
            vb.set_data({"x": [[0.0, 0.0], [1.0, -1.0]]}, coords={"child": ["average", "other"]})
            new = vb.sample_posterior_predictive(results["both"], predictions=True, random_seed=3)
        finally:
            vb.set_data({"x": before}, coords={"child": range(len(before))})
    drawn = new["predictions"]["score"]
    assert list(drawn["child"].values) == ["average", "other"]
    posterior = results["both"].posterior
    slope = posterior["slope"].mean(("chain", "draw")).values
    expected = posterior["intercept"].mean().item() + np.array([0, slope[0] - slope[1]])
    error = posterior["sigma"].mean().item() / np.sqrt(1000)
    assert np.abs(drawn.mean(("chain", "draw")).values - expected).max() < 4 * error


@pytest.mark.ci
def test_agreement_with_nuts(models, results):
    trace = vb.sample(
        1000, tune=500, chains=2, model=models["both"], random_seed=1, progressbar=False
    )
    for name in ("intercept", "slope", "sigma"):
        mine, theirs = (r.posterior[name] for r in (results["both"], trace))
        dims = ("chain", "draw")
        shift = (mine.mean(dims) - theirs.mean(dims)) / theirs.std(dims)
        assert np.abs(shift.values).max() < 0.15
        assert np.allclose(mine.std(dims) / theirs.std(dims), 1, atol=0.12)


@pytest.mark.ci
def test_load_in_another_process(fits, tmp_path):
    path = tmp_path / "scores.nc"
    fits["both"].save(path)
    script = (
        "import sys, numpy as np, vibayes as vb\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "from analysis import regression\n"
        f"approx = vb.load({str(path)!r}, model=regression(['mom_iq', 'mom_hs']))\n"
        "print(approx.sample(10, random_seed=5)['slope'].tolist())\n"
    )
    source = (__import__("inspect")).getsource(regression)
    (tmp_path / "analysis.py").write_text(f"import numpy as np\nimport vibayes as vb\n\n\n{source}")
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    here = fits["both"].sample(10, random_seed=5)["slope"].tolist()
    assert done.stdout.strip().splitlines()[-1] == str(here)


def test_resume(models, tmp_path):
    """A fit that was stopped, and called again, has the numbers of one that was not."""

    def stop(approx, losses, i):
        if i == 700:
            raise KeyboardInterrupt

    options = dict(obj_optimizer=vb.adam(learning_rate=0.05), backend="py", progressbar=False)
    options |= dict(model=models["iq"], random_seed=4, diagnose=False)
    whole = vb.fit(1500, **options)
    path = tmp_path / "fit.nc"
    part = vb.fit(1500, checkpoint=path, callbacks=[stop], **options)
    assert len(part.hist) == 700
    resumed = vb.fit(1500, checkpoint=path, **options)
    assert np.array_equal(resumed.hist, whole.hist)
    for name, shared in whole.shared_params.items():
        assert np.array_equal(resumed.shared_params[name].get_value(), shared.get_value())
