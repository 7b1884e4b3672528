import arviz
import numpy as np
import pytest
from scipy import stats

from vibayes.importance import effective_size, resampled, smoothed, tempered


def log_ratios(rng, df=4, n=2000):
    """Of a Student t distribution by a normal one."""
    x = rng.normal(size=n)
    return stats.t(df).logpdf(x) - stats.norm.logpdf(x)


def normalized(log_weights):
    return log_weights - np.logaddexp.reduce(log_weights)


@pytest.mark.parametrize("df", [2, 4, 30])
@pytest.mark.parametrize("n", [200, 2500])  # releases of ArviZ round the tail's length differently
def test_weights_and_k_are_those_of_arviz(rng, df, n):
    ratios = log_ratios(rng, df, n)
    if hasattr(arviz, "psislw"):
        expected, khat = arviz.psislw(ratios.copy())
    else:
        import xarray as xr

        # ArviZ smooths weights of leave-one-out, whose log ratios are minus log likelihoods
        found = xr.DataArray(-ratios, dims="sample").azstats.psislw(dim="sample")
        expected, khat = (np.asarray(part) for part in found)
    log_weights, k = smoothed(ratios)
    np.testing.assert_allclose(log_weights, normalized(np.asarray(expected)), atol=1e-10)
    assert k == pytest.approx(float(khat), abs=1e-10)


def test_weights_sum_to_one_whatever_the_unit(rng):
    ratios = log_ratios(rng)
    log_weights, khat = smoothed(ratios)
    assert np.exp(log_weights).sum() == pytest.approx(1)
    shifted, again = smoothed(ratios - 1e5)
    np.testing.assert_allclose(shifted, log_weights, atol=1e-8)
    assert again == pytest.approx(khat, abs=1e-6)


def test_k_of_known_tails():
    """Ratios of exponential densities have a Pareto tail of a shape that is known."""
    rng = np.random.default_rng(1)
    for k in (0.3, 0.9):
        x = rng.exponential(size=50_000)
        assert smoothed(k * x)[1] == pytest.approx(k, abs=0.1)  # exp(k x) is Pareto of shape k


def test_the_proposal_is_the_target():
    log_weights, khat = smoothed(np.full(100, 3.0) + 1e-11 * np.arange(100))
    np.testing.assert_allclose(np.exp(log_weights), 0.01)
    assert khat == -np.inf


def test_the_proposal_is_the_target_where_that_has_density():
    ratios = np.full(1000, 2.0)
    ratios[:300] = -np.inf
    log_weights, khat = smoothed(ratios)
    assert khat == -np.inf
    np.testing.assert_allclose(np.exp(log_weights), np.repeat([0, 1 / 700], [300, 700]))


def test_no_draw_has_density():
    log_weights, khat = smoothed(np.full(50, -np.inf))
    assert khat == np.inf
    np.testing.assert_allclose(np.exp(log_weights), 1 / 50)


def test_draws_without_density_weigh_nothing(rng):
    ratios = log_ratios(rng, n=500)
    ratios[:5] = -np.inf
    log_weights, khat = smoothed(ratios)
    assert np.isfinite(khat)
    assert (np.exp(log_weights[:5]) < 1e-100).all()


def test_smoothing_is_right_on_average():
    """The mean of x squared under a t distribution, by draws of a normal one."""
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.normal(0, 1.5, 2000)
        ratios = stats.t(10).logpdf(x) - stats.norm(0, 1.5).logpdf(x)
        found.append(np.exp(smoothed(ratios)[0]) @ x**2)
    error = np.std(found) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(stats.t(10).var(), abs=4 * error + 0.01)


def test_effective_size():
    assert effective_size(np.log(np.full(50, 0.02))) == pytest.approx(50)
    w = np.array([0.5, 0.3, 0.2])
    assert effective_size(np.log(w)) == pytest.approx(1 / (w**2).sum())


def test_resampling_is_systematic_and_unbiased():
    w = np.array([0.05, 0.5, 0.123, 0.327])
    totals = np.zeros(4)
    for seed in range(400):
        rows = resampled(np.log(w), 10, np.random.default_rng(seed))
        counts = np.bincount(rows, minlength=4)
        assert (np.abs(counts - 10 * w) < 1).all()  # as near as whole numbers come
        totals += counts
    np.testing.assert_allclose(totals / totals.sum(), w, atol=0.01)


def test_resampled_rows_come_in_random_order(rng):
    rows = resampled(np.log(np.full(1000, 1e-3)), 1000, rng)
    assert sorted(rows) == list(range(1000))
    assert abs(stats.spearmanr(rows, np.arange(1000))[0]) < 0.15


def test_tempered(rng):
    log_weights = normalized(3 * rng.normal(size=1000))
    flat = tempered(log_weights, 400.0)
    assert effective_size(flat) == pytest.approx(400, rel=1e-3)
    assert np.exp(flat).sum() == pytest.approx(1)
    slope = np.polyfit(log_weights, flat, 1)[0]
    np.testing.assert_allclose(flat, slope * log_weights + (flat - slope * log_weights).mean())
    np.testing.assert_allclose(tempered(log_weights, 2.0), log_weights)  # good enough as it is
