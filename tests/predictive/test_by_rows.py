import numpy as np
import pytest
import xarray as xr
from scipy import stats

import vibayes as vb
from vibayes.exceptions import ModelError
from vibayes.predictive import by_rows

N = 3000
RNG = np.random.default_rng(5)
X, OFFSET = RNG.normal(size=(N, 2)), RNG.normal(size=N)
Y = X @ [0.5, -0.3] + OFFSET + RNG.normal(size=N)
SLOPE, SIGMA = RNG.normal(size=(2, 10, 2)), RNG.gamma(2, size=(2, 10))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", Y)
    return [np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("X", "y")]


def regression(features, outcome, **options):
    """Return a model of rows, in which an array in memory goes with them, and something else."""
    with vb.Model(coords={"column": list("ab")}) as model:
        features = vb.Data("X", features, dims=("row", None), **options)
        outcome = vb.Data("outcome", outcome, dims="row", **options)
        slope = vb.Normal("slope", 0, 1, dims="column")
        sigma = vb.HalfNormal("sigma", 1)
        mean = vb.Deterministic("mean", features @ slope + OFFSET, dims="row")
        vb.Normal("y", mean, sigma, observed=outcome, dims="row")
        vb.Normal("other", slope, 1, observed=[1.0, 2.0], dims="column")
    return model


@pytest.fixture(scope="module")
def model(files):
    return regression(*files, in_memory=False)


@pytest.fixture(scope="module")
def in_memory():
    return regression(X, Y)


@pytest.fixture(scope="module")
def posterior():
    return xr.Dataset(
        {
            "slope": (("chain", "draw", "column"), SLOPE),
            "sigma": (("chain", "draw"), SIGMA),
        },
        coords={"chain": [3, 5], "draw": range(100, 110)},
    )


@pytest.fixture
def few(monkeypatch):
    """Let results of a thousand numbers be too many for memory."""
    monkeypatch.setattr(by_rows, "MOST_NUMBERS", 1000)
    monkeypatch.setattr(by_rows, "PART_NUMBERS", 20_000)


def test_log_likelihood_of_rows_on_disk(model, posterior):
    group = vb.compute_log_likelihood(posterior, extend_inferencedata=False, model=model)
    assert isinstance(group["y"].data, np.ndarray)
    assert group["y"].dims == ("chain", "draw", "row")
    assert list(group) == ["y", "other"]
    expected = stats.norm(SLOPE @ X.T + OFFSET, SIGMA[..., None]).logpdf(Y)
    np.testing.assert_allclose(group["y"].values, expected, rtol=1e-12)
    expected = stats.norm(SLOPE, 1).logpdf([1.0, 2.0])
    np.testing.assert_allclose(group["other"].values, expected, rtol=1e-12)
    assert list(group["chain"].values) == [3, 5]


def test_draws_of_rows_on_disk(model, posterior):
    drawn = vb.sample_posterior_predictive(
        posterior, model=model, var_names=["mean", "y", "other"], random_seed=1
    ).posterior_predictive
    mean = SLOPE @ X.T + OFFSET
    np.testing.assert_allclose(drawn["mean"].values, mean, rtol=1e-12)
    noise = (drawn["y"].values - mean) / SIGMA[..., None]
    assert stats.kstest(noise.ravel(), "norm").pvalue > 0.001
    assert len(np.unique(noise)) == noise.size  # no part is drawn like another
    assert drawn["other"].shape == (2, 10, 2)


@pytest.mark.usefixtures("few")
def test_what_is_too_large_comes_later_with_the_same_numbers(model, posterior, monkeypatch):
    options = {"model": model, "var_names": ["y"], "random_seed": 1}
    later = vb.sample_posterior_predictive(posterior, **options).posterior_predictive["y"]
    assert later.chunks == ((2,), (10,), (1000, 1000, 1000))
    likelihood = vb.compute_log_likelihood(
        posterior, extend_inferencedata=False, model=model, var_names=["y"]
    )["y"]
    expected = stats.norm(SLOPE @ X.T + OFFSET, SIGMA[..., None]).logpdf(Y)
    np.testing.assert_allclose(likelihood[..., 900:1100], expected[..., 900:1100], rtol=1e-12)
    monkeypatch.setattr(by_rows, "MOST_NUMBERS", 10**9)
    now = vb.sample_posterior_predictive(posterior, **options).posterior_predictive["y"]
    np.testing.assert_array_equal(later.values, now.values)
    noise = (now.values - (SLOPE @ X.T + OFFSET)) / SIGMA[..., None]
    assert len(np.unique(noise.round(9))) == noise.size  # no part is drawn like another


@pytest.mark.usefixtures("few")
def test_what_is_too_large_of_rows_in_memory_comes_later_too(in_memory, posterior):
    group = vb.compute_log_likelihood(posterior, extend_inferencedata=False, model=in_memory)
    assert group["y"].chunks == ((2,), (10,), (1000, 1000, 1000))
    expected = stats.norm(SLOPE @ X.T + OFFSET, SIGMA[..., None]).logpdf(Y)
    np.testing.assert_allclose(group["y"].values, expected, rtol=1e-12)


@pytest.mark.usefixtures("few")
def test_without_dask_rows_in_memory_are_tried_at_once(in_memory, posterior, monkeypatch):
    monkeypatch.setattr(by_rows, "find_spec", lambda name: None)
    group = vb.compute_log_likelihood(posterior, extend_inferencedata=False, model=in_memory)
    assert isinstance(group["y"].data, np.ndarray)


@pytest.mark.usefixtures("few")
def test_a_source_that_is_read_in_its_order(posterior, monkeypatch):
    def rows():
        for start in range(0, N, 700):
            yield X[start : start + 700], Y[start : start + 700]

    streamed = vb.Minibatch(rows, batch_size=50, total_size=N)
    model = regression_of_stream(*streamed)
    with pytest.raises(ModelError, match="in their order alone"):
        vb.compute_log_likelihood(posterior, extend_inferencedata=False, model=model)
    monkeypatch.setattr(by_rows, "MOST_NUMBERS", 10**9)
    group = vb.compute_log_likelihood(posterior, extend_inferencedata=False, model=model)
    expected = stats.norm(SLOPE @ X.T, SIGMA[..., None]).logpdf(Y)
    np.testing.assert_allclose(group["y"].values, expected, rtol=1e-12)


def regression_of_stream(features, outcome):
    with vb.Model() as model:
        slope = vb.Normal("slope", 0, 1, shape=2)
        sigma = vb.HalfNormal("sigma", 1)
        vb.Normal("y", features @ slope, sigma, observed=outcome, total_size=N)
    return model


def test_events_of_several_numbers(files, posterior):
    with vb.Model() as model:
        pairs = vb.Data("X", files[0], in_memory=False)
        slope = vb.Normal("slope", 0 * pairs.shape[0], 1, shape=2)  # whose prior knows their number
        vb.MvNormal("pair", slope, np.eye(2), observed=pairs)
    group = vb.compute_log_likelihood(posterior, extend_inferencedata=False, model=model)
    expected = stats.norm(SLOPE[:, :, None], 1).logpdf(X).sum(axis=-1)
    np.testing.assert_allclose(group["pair"].values, expected, rtol=1e-10)
    drawn = vb.sample_posterior_predictive(posterior, model=model, random_seed=1)
    assert drawn.posterior_predictive["pair"].shape == (2, 10, N, 2)


def test_rows_that_depend_on_each_other_are_refused(files):
    with vb.Model() as model:
        sigma = vb.HalfNormal("sigma", 1)
        price = vb.Data("price", files[1], in_memory=False)
        vb.GaussianRandomWalk("walk", sigma=sigma, init_dist=vb.Normal.dist(), observed=price)
    draws = xr.Dataset({"sigma": (("chain", "draw"), SIGMA)})
    for function in (vb.compute_log_likelihood, vb.sample_posterior_predictive):
        with pytest.raises(ModelError, match=f"{function.__name__}: the rows of 'walk'"):
            function(draws, model=model)


def test_a_variable_that_has_no_draws_cannot_be_drawn_in_parts(model, posterior):
    drawn = pytest.warns(UserWarning, match="sigma")
    with drawn, pytest.raises(ModelError, match="'sigma' would have to be drawn anew"):
        vb.sample_posterior_predictive(posterior[["slope"]], model=model)


def test_draws_of_an_approximation_leave_out_what_is_made_of_rows_on_disk(model):
    drawn = vb.MeanField(model=model).sample(3, random_seed=1).posterior
    assert set(drawn) == {"slope", "sigma"}


@pytest.mark.usefixtures("few")
def test_draws_of_the_prior_of_rows_on_disk(model):
    """All parts have the same parameters, and each has noise of its own."""
    drawn = vb.sample_prior_predictive(40, model=model, random_seed=1)
    slope, sigma = (drawn.prior[name].values[0] for name in ("slope", "sigma"))
    assert len(np.unique(sigma)) == 40
    mean = slope @ X.T + OFFSET
    np.testing.assert_allclose(drawn.prior["mean"].values[0], mean, rtol=1e-12)
    later = drawn.prior_predictive["y"]
    assert later.dims == ("chain", "draw", "row")
    assert len(later.chunks[2]) > 1
    noise = (later.values[0] - mean) / sigma[:, None]
    assert stats.kstest(noise.ravel(), "norm").pvalue > 0.001
    assert len(np.unique(noise.round(9))) > 0.999 * noise.size  # no part is drawn like another
    again = vb.sample_prior_predictive(
        40, model=model, var_names=["y"], random_seed=1, return_inferencedata=False
    )
    assert list(again) == ["y"]
    assert again["y"].shape == (40, N)


def test_deterministics_of_rows_on_disk(model, posterior):
    found = vb.compute_deterministics(posterior, model=model)
    assert found["mean"].dims == ("chain", "draw", "row")
    np.testing.assert_allclose(found["mean"].values, SLOPE @ X.T + OFFSET, rtol=1e-12)
