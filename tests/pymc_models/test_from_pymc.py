"""PyMC models are what they were: log densities, starts, names, data; and they can be fitted."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytensor
import pytest
from pytensor.compile.mode import Mode
from pytensor.graph.replace import graph_replace

import vibayes as vb
from vibayes.backend.modes import evaluate

pm = pytest.importorskip("pymc")

from helpers import zoo  # noqa: E402

MODE = Mode("py", "fast_compile")  # of PyMC's own functions: nothing is compiled
CHEAP = dict(backend="py", progressbar=False, diagnose=False)


@pytest.fixture(scope="module")
def converted():
    """Return each PyMC model and its conversion, by name; made once."""
    made = {}

    def get(name):
        if name not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of PyMC: imputation, deprecations
                original = zoo.MODELS[name]()
                made[name] = original, vb.from_pymc(original)
        return made[name]

    return get


def logps_at(model, points):
    function = model.compile_fn(model.logp(), backend="py")
    return [function(point) for point in points]


def points_around(model, count):
    rng = np.random.default_rng(count)
    start = model.initial_point(0)
    return [
        {name: x + 0.5 * rng.normal(size=x.shape) for name, x in start.items()}
        for _ in range(count)
    ]


# -- what was taken over --------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in zoo.MODELS if name != "minibatch"])
def test_log_density(converted, name):
    original, model = converted(name)
    points = points_around(model, 4)
    expected = original.compile_logp(mode=MODE)
    expected = [float(expected(point)) for point in points]
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(logps_at(model, points), expected, rtol=1e-8)


@pytest.mark.parametrize("name", ["mixture", "truncated_censored", "missing"])
def test_log_density_without_jacobian_and_by_variable(converted, name):
    original, model = converted(name)
    (point,) = points_around(model, 1)
    expected = original.compile_logp(jacobian=False, mode=MODE)(point)
    found = model.compile_logp(jacobian=False, backend="py")(point)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    terms = original.compile_fn(original.logp(sum=False), mode=MODE)(point)
    terms = {v.name: t.sum() for v, t in zip(original.basic_RVs, terms, strict=True)}
    for variable, value in model.point_logps(point, round_vals=None).items():
        assert value == pytest.approx(terms[variable], rel=1e-8)


@pytest.mark.parametrize("name", list(zoo.MODELS))
def test_starts_and_names(converted, name):
    original, model = converted(name)
    expected = original.initial_point(0)
    found = model.initial_point(0)
    assert list(found) == list(expected)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-6, atol=1e-8)
    assert set(model.named_vars) == {v.name for v in original.named_vars.values()}
    assert {k: tuple(v) for k, v in original.named_vars_to_dims.items() if any(v)} == (
        model.named_vars_to_dims
    )
    assert model.coords == dict(original.coords)


@pytest.mark.parametrize("name", ["regression", "missing", "covariance"])
def test_prior_draws(converted, name):
    """Draws of the variables of the conversion are those of the distributions in PyMC."""
    original, model = converted(name)
    for old, new in zip(original.free_RVs[:2], model.free_RVs[:2], strict=True):
        ours = np.asarray(vb.draw(new, 300, random_seed=1)).reshape(300, -1)
        theirs = np.asarray(pm.draw(old, 300, random_seed=2, mode=MODE)).reshape(300, -1)
        assert len(np.unique(ours[:, 0])) == 300
        error = (ours.std(axis=0) + theirs.std(axis=0)) / 300**0.5 + 1e-9
        np.testing.assert_array_less(np.abs(ours.mean(axis=0) - theirs.mean(axis=0)), 5 * error)


def test_invalid_parameters_have_density_zero():
    """Where PyMC raises, a search has to be able to step back."""
    with pm.Model() as original:
        s = pm.Normal("s")
        pm.Normal("y", 0, s, observed=[1.0])
    model = vb.from_pymc(original)
    assert logps_at(model, [{"s": -1.0}]) == [-np.inf]


def test_display(converted):
    _, model = converted("regression")
    assert "sigma ~ HalfNormal(0, 2)" in repr(model)
    assert "feature" in repr(model)
    _, model = converted("minibatch")
    assert "Unknown" not in repr(model)


def test_the_original_is_not_changed():
    original = zoo.regression()
    names = [v.name for v in original.named_vars.values()]
    graph = pytensor.dprint(original.logp(), file="str")
    draws = pm.draw(original.free_RVs, random_seed=1, mode=MODE)
    model = vb.from_pymc(original)
    vb.fit(10, model=model, **CHEAP)
    vb.set_data({"x": zoo.X + 1}, model)
    assert names == [v.name for v in original.named_vars.values()]
    assert graph == pytensor.dprint(original.logp(), file="str")
    assert not any(hasattr(rv.tag, "distribution") for rv in original.basic_RVs)
    np.testing.assert_array_equal(original["x"].get_value(), zoo.X)
    for before, after in zip(
        draws, pm.draw(original.free_RVs, random_seed=1, mode=MODE), strict=True
    ):
        np.testing.assert_array_equal(before, after)


def test_later_changes_of_the_original_have_no_effect():
    original = zoo.regression()
    model = vb.from_pymc(original)
    points = points_around(model, 2)
    before = logps_at(model, points)
    with original:
        pm.set_data({"x": zoo.X * 5})
        pm.Normal("more")
    assert logps_at(model, points) == before
    assert "more" not in model


# -- data -----------------------------------------------------------------------------------------


def test_set_data_of_another_length():
    with pm.Model(coords={"row": range(5)}) as original:
        x = pm.Data("x", np.arange(5.0), dims="row")
        y = pm.Data("y_data", np.arange(5.0) * 2, dims="row")
        b = pm.Normal("b")
        pm.Normal("y", b * x, 1, observed=y, dims="row")
    model = vb.from_pymc(original)
    rows = {"x": np.arange(8.0), "y_data": np.ones(8)}
    vb.set_data(rows, model, coords={"row": range(8)})
    with original:
        pm.set_data(rows, coords={"row": range(8)})
    (point,) = points_around(model, 1)
    expected = original.compile_logp(mode=MODE)(point)
    np.testing.assert_allclose(logps_at(model, [point])[0], expected)
    assert model.dim_length("row") == 8


def full_data_model():
    with pm.Model() as model:
        beta, sigma = pm.Normal("beta", 0, 5, shape=3), pm.HalfNormal("sigma", 1)
        pm.Normal("y", zoo.X @ beta, sigma, observed=zoo.Y)
    return model


def test_minibatches(converted):
    _, model = converted("minibatch")
    assert len(model.minibatches) == 2
    (point,) = points_around(model, 1)
    expected = float(full_data_model().compile_logp(mode=MODE)(point))
    givens = {v: point[v.name] for v in model.value_vars}
    whole = graph_replace([model.logp()], model.whole_data_replacements())
    np.testing.assert_allclose(evaluate(whole, givens)[0], expected)
    function = model.compile_fn(model.logp(), backend="py")
    batches = [float(function(point)) for _ in range(400)]
    assert len(set(batches)) > 100
    error = np.std(batches) / len(batches) ** 0.5
    assert np.mean(batches) == pytest.approx(expected, abs=5 * error)


def test_minibatches_of_pymc_data():
    with pm.Model() as original:
        data = pm.Data("data", np.arange(50.0))
        mu = pm.Normal("mu", 0, 10)
        y = pm.Minibatch(data, batch_size=10)
        pm.Normal("y", mu, 1, observed=y, total_size=50)
    model = vb.from_pymc(original)
    assert model.minibatches[0].shared is model["data"]
    optimizer = vb.adam(learning_rate=0.1)
    approx = vb.fit(2000, model=model, random_seed=1, obj_optimizer=optimizer, **CHEAP)
    assert approx.sample(500, random_seed=1)["mu"].mean() == pytest.approx(24.5, abs=2)


# -- fits -----------------------------------------------------------------------------------------


def conjugate():
    """Return a regression of known noise, and the means and sds of its posterior."""
    with pm.Model(coords={"feature": list("abc")}) as model:
        beta = pm.Normal("beta", 0, 5, dims="feature")
        pm.Deterministic("total", beta.sum())
        pm.Normal("y", zoo.X @ beta, 0.5, observed=zoo.Y)
    cov = np.linalg.inv(zoo.X.T @ zoo.X / 0.5**2 + np.eye(3) / 25)
    return model, cov @ zoo.X.T @ zoo.Y / 0.5**2, np.sqrt(np.diag(cov))


@pytest.mark.parametrize(
    "method", ["advi", "fullrank_advi", "lowrank_advi", "laplace", "pathfinder", "mixture", "auto"]
)
def test_default_fits_are_right(method):
    original, mean, sd = conjugate()
    options = {"backend": "py"} if method.endswith("advi") else {}
    approx = vb.fit(method=method, model=original, random_seed=1, progressbar=False, **options)
    draws = approx.sample(2000, random_seed=1)
    assert list(draws.posterior["beta"].coords["feature"].values) == list("abc")
    assert "total" in draws.posterior
    assert (np.abs(draws["beta"].mean(axis=0) - mean) / sd).max() < 0.2
    assert np.abs(np.log(draws["beta"].std(axis=0) / sd)).max() < 0.25
    assert approx.diagnose(random_seed=1).khat < 0.7


@pytest.mark.parametrize("method", ["svgd", "asvgd", "nfvi"])
def test_other_methods_run(method):
    approx = vb.fit(20, method=method, model=conjugate()[0], **CHEAP)
    assert approx.sample(10).posterior["beta"].shape == (1, 10, 3)


@pytest.mark.parametrize(
    "name", ["mixture", "covariance", "gaussian_process", "missing", "random_walk", "custom"]
)
def test_models_of_all_kinds_are_fitted(converted, name):
    _, model = converted(name)
    approx = vb.fit(20, model=model, **CHEAP)
    posterior = approx.sample(5, include_transformed=True).posterior
    names = {v.name for v in [*model.free_RVs, *model.deterministics, *model.value_vars]}
    assert names == set(posterior.data_vars)


def test_nuts():
    pytest.importorskip("nutpie")
    original, mean, sd = conjugate()
    trace = vb.sample(400, tune=400, model=original, random_seed=1, backend="py", progressbar=False)
    assert (np.abs(trace["beta"].mean(axis=0) - mean) / sd).max() < 0.3


def test_predictions(converted):
    model = vb.from_pymc(conjugate()[0])
    approx = vb.fit(200, model=model, **CHEAP)
    with model:
        draws = vb.sample_posterior_predictive(approx.sample(50, random_seed=1), random_seed=1)
        prior = vb.sample_prior_predictive(50, random_seed=1)
        likelihood = vb.compute_log_likelihood(approx.sample(50, random_seed=1))
    assert draws.posterior_predictive["y"].shape == (1, 50, 60)
    assert prior.prior["beta"].shape == (1, 50, 3)
    assert likelihood.log_likelihood["y"].shape == (1, 50, 60)
    _, model = converted("minibatch")
    with model:
        approx = vb.fit(50, **CHEAP)
        draws = vb.sample_posterior_predictive(approx.sample(20, random_seed=1), random_seed=1)
    assert draws.posterior_predictive["y"].shape == (1, 20, 60)


def test_float32():
    with pytensor.config.change_flags(floatX="float32"):
        original, mean, sd = conjugate()
        approx = vb.fit(model=original, random_seed=1, backend="py", progressbar=False)
        draws = approx.sample(1000, random_seed=1)["beta"]
    assert draws.dtype == "float32"
    assert (np.abs(draws.mean(axis=0) - mean) / sd).max() < 0.25


# -- Bambi ----------------------------------------------------------------------------------------


def test_bambi():
    bambi = pytest.importorskip("bambi")
    pandas = pytest.importorskip("pandas")
    data = pandas.DataFrame({"y": zoo.Y, "x": zoo.X[:, 0], "g": zoo.GROUP.astype(str)})
    model = bambi.Model("y ~ x + (1|g)", data)
    converted = vb.from_pymc(model)  # which builds it
    names = {"Intercept", "x", "sigma", "1|g"}
    points = points_around(converted, 3)
    expected = model.backend.model.compile_logp(mode=MODE)
    np.testing.assert_allclose(
        logps_at(converted, points), [float(expected(p)) for p in points], rtol=1e-8
    )
    posterior = vb.fit(20, model=model.backend.model, **CHEAP).sample(5).posterior
    assert names <= set(posterior.data_vars)
    assert posterior["1|g"].dims[-1] == "g__factor_dim"


# -- errors ---------------------------------------------------------------------------------------


def test_discrete_variables():
    with pm.Model() as original:
        pm.Poisson("k", 3)
    with pytest.raises(ValueError, match="'k' is discrete"):
        vb.fit(model=original)


def test_another_precision(float32):
    with pytensor.config.change_flags(floatX="float64"):
        original = conjugate()[0]
    with pytest.raises(ValueError, match=r"'beta' has dtype float64, but .* float32"):
        vb.from_pymc(original)


def test_other_versions(monkeypatch):
    monkeypatch.setattr("vibayes.pymc_models.convert.version", lambda name: "5.28.5")
    with pytest.raises(ImportError, match=r"needs PyMC 6.*PyMC 5\.28\.5 is installed"):
        vb.from_pymc(conjugate()[0])


def test_a_block_of_another_model_is_left_alone():
    with vb.Model() as around:
        vb.Normal("beta")
        model = vb.from_pymc(conjugate()[0])
    assert model.parent is None
    assert [rv.name for rv in around.free_RVs] == ["beta"]


def test_importing_vibayes_does_not_import_pymc():
    code = "import sys, vibayes; assert 'pymc' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_page_on_pymc_runs():
    page = (Path(__file__).parents[2] / "docs/pymc.md").read_text()
    namespace = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        exec(compile(block, "docs/pymc.md", "exec"), namespace)


def test_classes_take_pymc_models_too():
    with pm.Model() as original:
        mu = pm.Normal("mu", 0, 10)
        pm.Normal("y", mu, 1, observed=[1.2, 0.8, 1.9])
    advi = vb.ADVI(model=original, random_seed=1)
    advi.fit(10, obj_optimizer=vb.adam(), backend="py", progressbar=False)
    assert [rv.name for rv in advi.approx.model.free_RVs] == ["mu"]
    prior = vb.sample_prior_predictive(20, model=original, random_seed=1)
    assert prior["prior_predictive"]["y"].shape == (1, 20, 3)
