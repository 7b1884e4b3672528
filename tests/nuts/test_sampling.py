"""NUTS, compared with posteriors whose moments are known."""

import re
import signal
import sys
import threading
import warnings
from pathlib import Path

import arviz as az
import numpy as np
import pytensor.tensor as pt
import pytest
from pytensor.tensor.random.utils import RandomStream
from scipy import stats

import vibayes as vb
from vibayes.exceptions import ModelError
from vibayes.nuts.density import density_by_rows

pytest.importorskip("nutpie")

Y = np.random.default_rng(3).normal(3.0, 2.0, 30)
QUICK = dict(draws=400, tune=400, chains=4, progressbar=False)


def conjugate(y=Y, scale=1.0):
    """Return a normal mean of known sd with a normal prior, and its posterior mean and sd."""
    with vb.Model(coords={"row": range(len(y))}) as model:
        data = vb.Data("data", y, dims="row")
        mu = vb.Normal("mu", 0, 10 * scale)
        vb.Deterministic("twice", 2 * mu)
        vb.Normal("y", mu, 2 * scale, observed=data, dims="row")
    return model, *moments(y, scale)


def moments(y, scale=1.0):
    precision = len(y) / (2 * scale) ** 2 + 1 / (10 * scale) ** 2
    return y.sum() / (2 * scale) ** 2 / precision, precision**-0.5


@pytest.fixture(scope="module")
def known():
    return conjugate()


def assert_moments(draws, mean, sd):
    """Compare (chain, draw) with a mean and an sd, within five of their Monte Carlo errors."""
    ess = float(az.ess(np.asarray(draws)))
    assert np.mean(draws) == pytest.approx(mean, abs=5 * sd / ess**0.5)
    assert np.std(draws) == pytest.approx(sd, rel=6 / (2 * ess) ** 0.5)


@pytest.mark.parametrize("seed", range(3))
def test_moments(known, seed):
    model, mean, sd = known
    trace = vb.sample(**QUICK, model=model, random_seed=seed)
    assert_moments(trace.posterior["mu"].values, mean, sd)


@pytest.mark.ci
def test_transformed_variables_of_several_elements():
    with vb.Model():
        vb.Gamma("rate", 3, 2, shape=2)
        vb.Beta("p", 2, 5)
        vb.Dirichlet("w", np.array([2.0, 3.0, 4.0]))
        trace = vb.sample(**QUICK, random_seed=1, backend="py").posterior
    for i in range(2):
        assert_moments(trace["rate"].values[..., i], 1.5, 3**0.5 / 2)
    assert_moments(trace["p"].values, 2 / 7, stats.beta(2, 5).std())
    for i, a in enumerate([2, 3, 4]):
        assert_moments(trace["w"].values[..., i], a / 9, stats.beta(a, 9 - a).std())


def test_results_have_the_names_that_arviz_knows(known):
    model, *_ = known
    trace = vb.sample(50, tune=50, chains=2, model=model, random_seed=1, progressbar=False)
    assert dict(trace.posterior.sizes) == {"chain": 2, "draw": 50}
    np.testing.assert_allclose(trace.posterior["twice"], 2 * trace.posterior["mu"])
    assert trace["mu"].shape == (100,)
    assert {
        "diverging",
        "energy",
        "lp",
        "tree_depth",
        "n_steps",
        "acceptance_rate",
        "step_size",
        "reached_max_treedepth",
    } <= set(trace.sample_stats.data_vars)
    np.testing.assert_allclose(trace.observed_data["y"], Y)
    np.testing.assert_allclose(trace.constant_data["data"], Y)
    lp = trace.sample_stats["lp"].values[0, 7]
    point = {"mu": trace.posterior["mu"].values[0, 7]}
    assert lp == pytest.approx(model.compile_logp(backend="py")(point))
    assert "warmup_posterior" not in trace


def test_warmup_and_unconstrained_values_on_request():
    with vb.Model():
        vb.HalfNormal("s")
        trace = vb.sample(
            60,
            tune=50,
            chains=2,
            discard_tuned_samples=False,
            include_transformed=True,
            progressbar=False,
        )
    assert trace["warmup_posterior"].sizes["draw"] == 50
    np.testing.assert_allclose(np.exp(trace.posterior["s_log__"]), trace.posterior["s"])


def test_same_seed_same_numbers(known):
    model, *_ = known
    options = dict(draws=50, tune=50, chains=3, model=model, progressbar=False)
    first = vb.sample(**options, random_seed=7, cores=1)["mu"]
    np.testing.assert_array_equal(first, vb.sample(**options, random_seed=7, cores=3)["mu"])
    assert not np.array_equal(first, vb.sample(**options, random_seed=8)["mu"])
    assert len(set(first)) > 100  # chains are different


def test_other_data_need_no_compilation():
    model, *_ = conjugate()
    vb.sample(20, tune=20, model=model, random_seed=1, progressbar=False)
    compiled = list(model.functions)
    vb.set_data({"data": Y + 100}, model)
    trace = vb.sample(**QUICK, model=model, random_seed=1)
    assert_moments(trace.posterior["mu"].values, *moments(Y + 100))
    assert list(model.functions) == compiled


def test_minibatches_stand_for_the_whole_data():
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 2, observed=vb.Minibatch(Y, batch_size=5), total_size=len(Y))
    trace = vb.sample(**QUICK, model=model, random_seed=1)
    assert_moments(trace.posterior["mu"].values, *moments(Y))


def test_float32(float32):
    with vb.Model():
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 2, observed=Y)
        trace = vb.sample(**QUICK, random_seed=1)
    assert trace.posterior["mu"].dtype == "float32"
    assert_moments(trace.posterior["mu"].values, *moments(Y))


def test_without_a_compiler(known):
    model, mean, sd = known
    trace = vb.sample(200, tune=200, model=model, random_seed=1, backend="py", progressbar=False)
    assert_moments(trace.posterior["mu"].values, mean, sd)


# -- starts ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scales():
    """Return a model of very different scales, and its approximation."""
    with vb.Model() as model:
        vb.Normal("x", np.array([1e3, -1e-3]), np.array([1e4, 1e-4]), shape=2)
    return model, vb.fit(model=model, random_seed=1, backend="py", progressbar=False)


def test_an_approximation_gives_points_and_scales(scales):
    model, approx = scales
    trace = vb.sample(
        200,
        tune=50,
        model=model,
        init=approx,
        random_seed=1,
        discard_tuned_samples=False,
        progressbar=False,
        compute_convergence_checks=False,
    )
    for i, (mean, sd) in enumerate([(1e3, 1e4), (-1e-3, 1e-4)]):
        assert_moments(trace.posterior["x"].values[..., i], mean, sd)
        first = trace["warmup_posterior"]["x"].values[:, 0, i]
        assert np.abs(first - mean).max() < 6 * sd
    # the two scales are one from the first step on
    steps = trace["warmup_sample_stats"]["n_steps"].values[:, 5:]
    assert np.median(steps) <= 15


def test_particles_are_an_approximation_too(known):
    model, mean, sd = known
    particles = mean + sd * np.random.default_rng(1).normal(size=(50, 1))
    empirical = vb.Empirical({"mu": particles[:, 0]}, model=model)
    trace = vb.sample(**QUICK, model=model, init=empirical, random_seed=1)
    assert_moments(trace.posterior["mu"].values, mean, sd)


def test_init_advi_fits_first(known):
    model, mean, sd = known
    trace = vb.sample(**QUICK, model=model, init="advi", random_seed=1)
    assert_moments(trace.posterior["mu"].values, mean, sd)


def test_start_values_are_where_chains_start(known):
    model, *_ = known
    options = dict(model=model, random_seed=1, progressbar=False, discard_tuned_samples=False)
    trace = vb.sample(5, tune=1, start={"mu": 3.25}, compute_convergence_checks=False, **options)
    assert np.abs(trace["warmup_posterior"]["mu"].values[:, 0] - 3.25).max() < 3


def test_a_start_where_the_slope_is_zero():
    with vb.Model():
        vb.Normal("x", 0, 1)
        trace = vb.sample(**QUICK, init="adapt_diag", random_seed=1, backend="py")
    assert_moments(trace.posterior["x"].values, 0, 1)


def test_init_of_another_model(known, scales):
    model, *_ = known
    with pytest.raises(ValueError, match="free variable 'mu'"):
        vb.sample(model=model, init=scales[1])


@pytest.mark.parametrize(
    ("init", "error", "what"), [("nuts", ValueError, "an"), (3, TypeError, "a string or an")]
)
def test_unknown_init(known, init, error, what):
    with pytest.raises(error, match=f"init must be {what} approximation"):
        vb.sample(model=known[0], init=init)


def test_an_approximation_has_no_start(scales):
    model, approx = scales
    with pytest.raises(TypeError, match="start has no effect"):
        vb.sample(model=model, init=approx, start={"x": [0.0, 0.0]})


# -- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"draws": 0}, "draws must be a whole number"),
        ({"tune": -1}, "tune must be"),
        ({"tune": 0}, "tune must be a whole number of at least 1"),
        ({"chains": 1.5}, "chains must be"),
        ({"cores": 0}, "cores must be"),
        ({"target_accept": 1.0}, "target_accept must be between 0 and 1"),
    ],
)
def test_bad_arguments(known, arguments, message):
    with pytest.raises(ValueError, match=message):
        vb.sample(model=known[0], **arguments)


def test_discrete_variables():
    with vb.Model() as model:
        vb.Poisson("k", 3)
    with pytest.raises(ValueError, match="'k' is discrete"):
        vb.sample(model=model)


def test_random_log_density():
    with vb.Model() as model:
        x = vb.Normal("x")
        vb.Potential("noise", x * RandomStream(1).normal())
    with pytest.raises(ValueError, match="the same at each evaluation"):
        vb.sample(model=model)


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "y.npy"
    np.save(path, Y)
    return np.load(path, mmap_mode="r")


def test_rows_on_disk_have_the_posterior_of_all_of_them(on_disk):
    with vb.Model():
        mu = vb.Normal("mu", 0, 10)
        data = vb.Data("data", on_disk, dims="row", in_memory=False)
        vb.Normal("y", mu, 2, observed=data, dims="row")
        trace = vb.sample(**QUICK, random_seed=1)
    assert_moments(trace.posterior["mu"].values, *moments(Y))


def test_streamed_minibatches_stand_for_all_rows():
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 2)
        y = vb.Minibatch(lambda: iter([Y]), batch_size=5, total_size=len(Y))
        vb.Normal("y", mu, 1, observed=y, total_size=len(Y))
    center, scale = np.array([0.3]), np.array([2.0])
    logp, gradient = density_by_rows(model, center, scale)(np.array([0.1]))
    assert logp == pytest.approx(stats.norm.logpdf(0.5, 0, 2) + stats.norm.logpdf(Y, 0.5).sum())
    assert gradient == pytest.approx([2 * (-0.5 / 4 + (Y - 0.5).sum())])


def test_rows_on_disk_that_depend_on_each_other_are_refused(on_disk):
    with vb.Model() as model:
        steps = vb.Data("steps", on_disk, in_memory=False)
        vb.GaussianRandomWalk("walk", sigma=vb.HalfNormal("s"), observed=steps)
    with pytest.raises(ModelError, match=r"NUTS on data that are not in memory.*not independent"):
        vb.sample(model=model)


def test_infinite_log_density_names_the_variable():
    with vb.Model() as model:
        vb.Uniform("u", 0, 1, transform=None, initval=2.0)
    with pytest.raises(ValueError, match=r"u: log density -inf at 2\.0"):
        vb.sample(model=model)


@pytest.mark.ci
def test_divergences_are_reported():
    with vb.Model():
        v = vb.Normal("v", 0, 3)
        vb.Normal("x", 0, pt.exp(v / 2), shape=9)
        with pytest.warns(vb.ConvergenceWarning, match="of 1200 draws diverged.*target_accept"):
            vb.sample(300, tune=300, random_seed=1, progressbar=False)


@pytest.mark.ci
def test_chains_that_disagree_are_reported():
    with vb.Model() as model:
        x = vb.Flat("x", shape=2)
        parts = pt.stack([-0.5 * ((x[1] - 30) ** 2), -0.5 * ((x[1] + 30) ** 2)])
        vb.Potential("modes", pt.logsumexp(parts) - x[0] ** 2)
    init = vb.Empirical({"x": np.array([[0.0, 30.0], [0.0, -30.0]] * 5)}, model=model)
    with pytest.warns(vb.ConvergenceWarning, match=r"R-hat is above 1\.01 for x\[1\]"):
        vb.sample(**(QUICK | {"chains": 8}), model=model, random_seed=1, init=init)


def test_nothing_is_said_of_good_chains(known):
    with warnings.catch_warnings():
        warnings.simplefilter("error", vb.ConvergenceWarning)
        vb.sample(1000, model=known[0], random_seed=2, progressbar=False)


def test_missing_nutpie(monkeypatch, known):
    monkeypatch.setitem(sys.modules, "nutpie", None)
    with pytest.raises(ImportError, match=r"vb\.sample needs nutpie: pip install nutpie"):
        vb.sample(model=known[0])


@pytest.mark.ci
@pytest.mark.usefixtures("ctrl_c")
def test_an_interruption_returns_the_draws_so_far(known):
    model, mean, sd = known
    options = dict(model=model, random_seed=1, progressbar=False, tune=100, chains=2, cores=2)
    vb.sample(10, **options, compute_convergence_checks=False)
    timer = threading.Timer(3.0, signal.raise_signal, [signal.SIGINT])
    timer.start()
    trace = vb.sample(1_000_000, **options, compute_convergence_checks=False)
    timer.cancel()
    assert 0 < trace.posterior.sizes["draw"] < 1_000_000
    assert np.isfinite(trace.posterior["mu"]).all()
    assert_moments(trace.posterior["mu"].values, mean, sd)


# -- convergence ----------------------------------------------------------------------------------


@pytest.mark.ci
def test_the_page_on_nuts_runs():
    page = (Path(__file__).parents[2] / "docs/nuts.md").read_text()
    for block in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        exec(compile(block, "docs/nuts.md", "exec"), globals().setdefault("_page", {}))


# -- what PyMC's function takes -------------------------------------------------------------------


def test_only_what_is_asked_for_is_returned(known):
    model, *_ = known
    few = dict(draws=20, tune=20, chains=1, progressbar=False, model=model, random_seed=1)
    whole = vb.sample(**few, backend="py")
    trace = vb.sample(**few, backend="py", var_names="twice")
    assert list(trace.posterior.data_vars) == ["twice"]
    np.testing.assert_array_equal(trace.posterior["twice"], whole.posterior["twice"])
    assert "log_likelihood" in groups_of(trace)
    with pytest.raises(KeyError, match="var_names: no variable 'nonsense'; there are mu, twice"):
        vb.sample(**few, var_names=["nonsense"])


def test_groups_and_labels_on_request():
    with vb.Model() as model:
        vb.HalfNormal("s", shape=2)
        vb.Normal("y", model["s"], 1, observed=[1.0, 2.0])
        asked = {
            "log_likelihood": False,
            "log_prior": True,
            "include_transformed": True,
            "save_warmup": True,
            "dims": {"s": ["kind"]},
            "coords": {"kind": ["a", "b"]},
        }
        trace = vb.sample(
            10, tune=5, chains=1, random_seed=1, backend="py", progressbar=False,
            var_names=["s"], idata_kwargs=asked, initvals={"s": [1.0, 1.0]},
        )  # fmt: skip
        groups = groups_of(trace)
        assert "log_likelihood" not in groups
        assert {"log_prior", "warmup_posterior"} <= groups
        assert list(trace.posterior["kind"].values) == ["a", "b"]
        assert set(trace.posterior.data_vars) == {"s", "s_log__"}
        prior = vb.logp(vb.HalfNormal.dist(), trace.posterior["s"].values).eval(mode="FAST_COMPILE")
        np.testing.assert_allclose(trace.log_prior["s"], prior, rtol=1e-6)
        with pytest.raises(TypeError, match=r"idata_kwargs takes .*, got 'nonsense'"):
            vb.sample(10, idata_kwargs={"nonsense": 1})


def groups_of(trace):
    groups = trace.groups() if callable(trace.groups) else trace.groups  # older ArviZ
    return {name.strip("/") for name in groups} - {""}


def test_options_of_nuts_by_the_names_of_pymc(known):
    model, *_ = known
    few = dict(draws=20, tune=20, chains=1, progressbar=False, model=model, random_seed=1)
    same = [
        dict(target_accept=0.95, max_treedepth=3),
        dict(nuts={"target_accept": 0.95, "max_treedepth": 3}),
        dict(nuts_sampler="nutpie", nuts_sampler_kwargs={"target_accept": 0.95}, max_treedepth=3),
        dict(target_accept=0.95, max_treedepth=3, step=None, mp_ctx="fork", blas_cores=1, n_init=3),
    ]
    runs = [vb.sample(**few, **k, backend="py")["mu"] for k in same]
    for run in runs[1:]:
        np.testing.assert_array_equal(run, runs[0])
    assert (vb.sample(**few, backend="py")["mu"] != runs[0]).any()


def test_initvals_are_a_start(known):
    model, *_ = known
    few = dict(draws=5, tune=1, chains=1, progressbar=False, model=model, random_seed=1)
    near, far = ({"mu": 3.0}, {"mu": 300.0})
    runs = [
        vb.sample(**few, **k)["mu"] for k in (dict(initvals=far), dict(start=far), dict(start=near))
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(nuts_sampler="numpyro"), ValueError, "nuts_sampler must be 'nutpie'.*'numpyro'"),
        (dict(step=object()), TypeError, "no argument step: all free variables"),
        (dict(callback=print), TypeError, "no argument callback: nutpie calls no function"),
        (dict(nuts={"nonsense": 1}), TypeError, "nuts takes target_accept and .*'nonsense'"),
        (dict(nuts=3), TypeError, "nuts must be a dict of arguments, got 3"),
        (
            dict(nuts={"target_accept": 0.9}, nuts_sampler_kwargs={"target_accept": 0.9}),
            TypeError,
            "target_accept is given twice",
        ),
        (dict(start={"mu": 0.0}, initvals={"mu": 0.0}), TypeError, "give only one of them"),
        (dict(nonsense=1), TypeError, "sample has no argument 'nonsense'"),
    ],
)
def test_arguments_without_a_meaning_here(known, arguments, error, message):
    model, *_ = known
    with pytest.raises(error, match=message):
        vb.sample(5, tune=5, chains=1, model=model, progressbar=False, backend="py", **arguments)
