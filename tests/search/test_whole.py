import numpy as np
import pytest
from helpers.posteriors import ample

import vibayes as vb
from vibayes.model import data_size
from vibayes.model.target import Target
from vibayes.search import whole
from vibayes.search.budget import Budget
from vibayes.search.located import locate
from vibayes.search.normals import FittedNormal
from vibayes.search.whole import NormalTarget, begins_on_sample, moved_to_mode

N = 4000
GENERATOR = np.random.default_rng(8)
X = GENERATOR.normal(size=(N, 3)) + GENERATOR.normal(size=(N, 1))
Y = GENERATOR.random(N) < 1 / (1 + np.exp(-(X @ [0.5, -0.3, 0.2] - 0.4)))


def regression(x, y):
    with vb.Model() as model:
        slope = vb.Normal("slope", 0, 2, shape=3)
        intercept = vb.Normal("intercept", 0, 2)
        vb.Bernoulli("y", logit_p=intercept + x @ slope, observed=y)
    return model


@pytest.fixture
def _by_rows(monkeypatch):
    """Make few data go by rows, and samples of them small."""
    monkeypatch.setattr(data_size, "MANY_NUMBERS", 1000)
    monkeypatch.setattr(whole, "FEWEST_NUMBERS", 400)


@pytest.fixture(scope="module")
def in_memory():
    return vb.fit(method="fullrank_advi", model=regression(X, Y), random_seed=1)


def assert_same(approx, reference):
    mean, sd = reference.mean.eval(), reference.std.eval()
    assert np.abs((approx.mean.eval() - mean) / sd).max() < 0.05
    np.testing.assert_allclose(approx.std.eval() / sd, 1.0, atol=0.05)


@pytest.mark.usefixtures("_by_rows")
@pytest.mark.parametrize("method", ["auto", "laplace", "fullrank_advi"])
def test_few_passes_find_what_the_whole_data_tell(method, in_memory):
    approx = vb.fit(method=method, model=regression(X, Y), random_seed=2)
    assert_same(approx, in_memory)
    assert approx.diagnosis.good
    assert approx.ending.converged
    if method == "auto":
        assert 0 < int(approx.ending.reason.split("in ")[1].split()[0]) <= 12


@pytest.mark.usefixtures("_by_rows")
@pytest.mark.parametrize("method", ["mixture", "pathfinder"])
def test_draws_of_searches_are_right(method, in_memory):
    approx = vb.fit(method=method, model=regression(X, Y), random_seed=2)
    draws = approx.sample(4000, random_seed=1).posterior["slope"].values[0]
    mean, sd = in_memory.mean.eval()[:3], in_memory.std.eval()[:3]
    assert np.abs((draws.mean(axis=0) - mean) / sd).max() < 0.12
    np.testing.assert_allclose(draws.std(axis=0) / sd, 1.0, atol=0.1)


@pytest.mark.usefixtures("_by_rows")
def test_data_on_disk_give_the_same_numbers_as_in_memory(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y.astype("int64"))
    x, y = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "xy")
    with vb.Model() as model:
        slope = vb.Normal("slope", 0, 2, shape=3)
        intercept = vb.Normal("intercept", 0, 2)
        x_disk = vb.Data("x", x, dims=("row", None), in_memory=False)
        y_disk = vb.Data("labels", y, dims="row", in_memory=False)
        vb.Bernoulli("y", logit_p=intercept + x_disk @ slope, observed=y_disk, dims="row")
        approx = vb.fit(method="auto", random_seed=2)
    reference = vb.fit(method="auto", model=regression(X, Y), random_seed=2)
    assert approx.diagnosis.good
    Z = reference.flat_draws(50, random_seed=1).values
    logp = Target(model).logp(Z)
    np.testing.assert_allclose(logp, Target(regression(X, Y)).logp(Z), rtol=1e-12)
    assert_same(approx, reference)


@pytest.fixture
def _many(monkeypatch):
    """Make few data many enough for searches on a sample, of 400 rows."""
    monkeypatch.setattr(whole, "FEWEST_NUMBERS", 400)


@pytest.mark.usefixtures("_many")
def test_searches_of_data_in_memory_begin_on_a_sample_if_that_is_much_less(in_memory, monkeypatch):
    assert begins_on_sample(Target(in_memory.model))
    assert not begins_on_sample(Target(regression(X[:1500], Y[:1500])))
    on_sample = Target(in_memory.model).on_sample(400, np.random.default_rng(1))
    assert not begins_on_sample(on_sample)
    monkeypatch.setattr(whole, "ROWS_EACH", 500)  # for four dimensions
    assert not begins_on_sample(Target(in_memory.model))


@pytest.mark.usefixtures("_many")
def test_rows_that_depend_on_each_other_have_no_sample():
    with vb.Model() as model:
        drift, sigma = vb.Normal("drift"), vb.HalfNormal("sigma")
        start = vb.Normal.dist()
        vb.GaussianRandomWalk("y", drift, sigma, init_dist=start, observed=np.zeros(2000))
    assert not begins_on_sample(Target(model))


@pytest.mark.usefixtures("_many")
def test_what_was_found_on_a_sample_is_moved_to_all_rows(in_memory, monkeypatch):
    evaluated = []
    call = Target.__call__

    def counted(self, Z):
        evaluated.append(0 if self._is_sample else len(Z))
        return call(self, Z)

    monkeypatch.setattr(Target, "__call__", counted)
    approx = vb.fit(method="fullrank_advi", model=regression(X, Y), random_seed=2)
    assert_same(approx, in_memory)
    assert approx.diagnosis.good
    assert 0 < sum(evaluated) < 350


def test_the_work_of_a_sample_is_that_of_its_rows(in_memory, rng):
    target = Target(in_memory.model)
    few, many = (target.on_sample(count, rng).work.numbers for count in (N // 10, N // 2))
    assert few == pytest.approx(many / 5, rel=0.05)


def test_a_normal_far_away_is_moved_to_the_mode():
    truth = FittedNormal(np.array([3.0, -1.0]), np.array([[2.0, 0.0], [0.5, 0.1]]), elbo=0.0)
    begin = FittedNormal(truth.mean + 40, 1.3 * truth.root)
    moved = moved_to_mode(NormalTarget(truth), begin, Budget(60, 1000), most_curvatures=10)
    assert np.abs(truth.whitened(moved.mean[None])).max() < 0.2


def test_a_useless_covariance_is_replaced():
    truth = FittedNormal(np.array([3.0, -1.0]), np.array([[2.0, 0.0], [0.5, 0.1]]), elbo=0.0)
    begin = FittedNormal(truth.mean + 40, np.diag([1e-2, 5.0]))
    moved = moved_to_mode(NormalTarget(truth), begin, Budget(60, 1000), most_curvatures=10)
    assert np.abs(truth.whitened(moved.mean[None])).max() < 0.2


def test_steps_that_are_too_long_are_shortened():
    truth = FittedNormal(np.array([3.0, -1.0]), np.array([[2.0, 0.0], [0.5, 0.1]]), elbo=0.0)
    begin = FittedNormal(truth.mean + 4, 5 * truth.root)
    moved = moved_to_mode(NormalTarget(truth), begin, Budget(60, 1000), most_curvatures=0)
    assert np.abs(truth.whitened(moved.mean[None])).max() < 0.5


def test_a_normal_stands_in_for_a_target(rng):
    q = FittedNormal(np.array([1.0, 2.0]), np.array([[2.0, 0.0], [1.0, 0.5]]), elbo=-7.0)
    Z = rng.normal(size=(3, 2))
    logp, gradient = NormalTarget(q)(Z)
    np.testing.assert_allclose(logp, q.logq(Z) - 7.0)
    cov = q.root @ q.root.T
    np.testing.assert_allclose(gradient, np.linalg.solve(cov, (q.mean - Z).T).T)


def test_many_effects_have_the_curvature_of_all_rows(monkeypatch):
    """That of a sample is off by a tenth for a group of which it has fifty rows."""
    monkeypatch.setattr(data_size, "MANY_NUMBERS", 1000)
    monkeypatch.setattr(whole, "FEWEST_NUMBERS", 400)
    monkeypatch.setattr(whole, "ROWS_EACH", 5)
    rng = np.random.default_rng(4)
    group = rng.integers(0, 110, 12_000)
    with vb.Model() as model:
        effect = vb.Normal("effect", 0, 1, shape=110)
        vb.Normal("y", effect[group], 0.5, observed=rng.normal(size=12_000))
    target = Target(model)
    assert target.by_rows
    q = locate(target, np.random.default_rng(1), ample()).best
    exact = 1 / np.sqrt(1 + np.bincount(group, minlength=110) / 0.25)
    np.testing.assert_allclose(q.sd, exact, rtol=1e-3)
    assert target.passes < 20
