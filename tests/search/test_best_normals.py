import numpy as np
import pytest
from helpers.posteriors import ample, covariance, log_gamma, normal
from scipy import optimize

from vibayes.model.target import Target
from vibayes.search.best_normals import fit_diagonal, fit_full_rank, fit_large, fit_mean_field
from vibayes.search.budget import Budget
from vibayes.search.noise import matched_normals, mirrored_normals
from vibayes.search.normals import FittedNormal

MEAN = np.array([3e4, -2.0, 1e-4])
COV = covariance(3, scales=[1e3, 1.0, 1e-4])


@pytest.fixture(scope="module")
def correlated():
    return Target(normal(MEAN, COV))


def cov_of(q):
    return q.full_root @ q.full_root.T


def log_constant(cov):
    """Log evidence of the density exp(-x'Px/2)."""
    return 0.5 * np.linalg.slogdet(2 * np.pi * cov)[1]


class TestFullRank:
    @pytest.mark.parametrize("factor", [1e-3, 1.0, 30.0])
    def test_a_normal_is_found_exactly(self, correlated, rng, factor):
        begin = FittedNormal(MEAN + np.array([3e3, 3.0, -4e-4]), factor * np.diag([1e3, 1, 1e-4]))
        q = fit_full_rank(correlated, begin, matched_normals(128, 3, rng), ample())
        assert q.converged
        np.testing.assert_allclose((q.mean - MEAN) / np.sqrt(COV.diagonal()), 0, atol=1e-3)
        np.testing.assert_allclose(cov_of(q) / COV, 1, rtol=0.05)
        assert q.elbo == pytest.approx(log_constant(COV), abs=1e-3)

    def test_a_step_at_the_optimum_is_nothing(self, correlated, rng):
        begin = FittedNormal(MEAN, np.linalg.cholesky(COV))
        q = fit_full_rank(correlated, begin, matched_normals(64, 3, rng), ample())
        assert q.iterations == 0
        assert q.elbo == pytest.approx(log_constant(COV))

    @pytest.mark.parametrize("shape", [0.7, 5.0])
    def test_the_optimum_of_a_skewed_density(self, rng, shape):
        """E[exp x] is known, so that the best normal has variance 1 / shape."""
        target = Target(log_gamma(shape, 2.0))
        noise = matched_normals(1024, 1, rng)
        q = fit_full_rank(target, FittedNormal(np.zeros(1), np.eye(1)), noise, ample())
        assert q.converged
        assert q.sd[0] == pytest.approx(shape**-0.5, rel=0.07)
        assert q.mean[0] == pytest.approx(np.log(shape / 2) - 0.5 / shape, abs=0.1 * q.sd[0])

    def test_elbo_never_falls(self, rng):
        seen = []
        target = Target(log_gamma(0.7, 2.0))
        begin = FittedNormal(np.array([-3.0]), 0.01 * np.eye(1))
        fit_full_rank(target, begin, matched_normals(64, 1, rng), ample(), observe=seen.append)
        elbos = np.array([q.elbo for q in seen])
        assert len(elbos) > 3
        assert (np.diff(elbos) > -1e-8 * np.abs(elbos[1:])).all()

    def test_budget(self, correlated, rng):
        begin = FittedNormal(MEAN + np.array([1e4, 0, 0]), 20 * np.diag([1e3, 1, 1e-4]))
        noise = matched_normals(64, 3, rng)
        q = fit_full_rank(correlated, begin, noise, Budget(600.0, 1))
        assert not q.converged
        assert np.isfinite(q.elbo)

    def test_a_beginning_with_draws_that_have_no_density(self, rng):
        target = Target(log_gamma(1.0, 1.0))
        q = fit_full_rank(
            target, FittedNormal(np.zeros(1), 500 * np.eye(1)), matched_normals(64, 1, rng), ample()
        )
        assert q.mean[0] == pytest.approx(-0.5, abs=0.1)


class TestMeanField:
    def test_precisions_of_a_normal(self, correlated, rng):
        """The best independent normals have the diagonal of the precision."""
        full = FittedNormal(MEAN, np.linalg.cholesky(COV))
        q = fit_mean_field(correlated, full, matched_normals(64, 3, rng), ample())
        assert q.converged
        np.testing.assert_allclose(q.root, np.linalg.inv(COV).diagonal() ** -0.5, rtol=1e-3)
        np.testing.assert_allclose((q.mean - MEAN) / q.root, 0, atol=1e-3)

    def test_it_is_what_an_optimizer_finds(self, rng):
        """A skewed, correlated density: the same ELBO cannot be beaten by BFGS."""
        target = Target(log_gamma(0.7, 2.0))
        noise = matched_normals(128, 1, rng)
        full = fit_full_rank(target, FittedNormal(np.zeros(1), np.eye(1)), noise, ample())
        q = fit_mean_field(target, full, noise, ample())

        def loss(x):
            return -FittedNormal(x[:1], np.exp(x[1:])).scored(target, noise)[0].elbo

        best = optimize.minimize(loss, np.zeros(2), method="Nelder-Mead", tol=1e-9)
        assert -q.elbo == pytest.approx(best.fun, abs=1e-3)


class TestManyDimensions:
    def test_diagonal(self, rng):
        scales = np.array([1e-3, 1.0, 1e4, 1e2])
        mean = np.array([0.5, -2.0, 5e4, 1e3])
        target = Target(normal(mean, np.diag(scales**2)))
        q = fit_diagonal(target, mirrored_normals(16, 4, rng), ample())
        assert q.converged
        np.testing.assert_allclose((q.mean - mean) / scales, 0, atol=0.2)

    def test_diagonal_precisions(self, rng):
        cov = covariance(4)
        target = Target(normal(np.arange(4.0), cov))
        q = fit_diagonal(target, matched_normals(64, 4, rng), ample(), tolerance=1e-4)
        np.testing.assert_allclose(q.root, np.linalg.inv(cov).diagonal() ** -0.5, rtol=0.02)
        np.testing.assert_allclose((q.mean - np.arange(4.0)) / q.root, 0, atol=0.02)

    def test_large(self, rng):
        d = 150
        mean, cov = rng.normal(size=d), covariance(d)
        target = Target(normal(mean, cov))
        root = np.linalg.cholesky(cov)
        begin = FittedNormal(mean + root @ (0.3 * rng.normal(size=d)), 0.7 * root)
        q = fit_large(target, begin, mirrored_normals(256, d, rng), ample())
        assert q.converged
        np.testing.assert_allclose(q.sd / np.sqrt(cov.diagonal()), 1, atol=0.05)
        assert np.abs((q.mean - mean) / q.sd).max() < 0.1
        assert q.elbo == pytest.approx(log_constant(cov), abs=3)  # on the draws it was fitted to

    def test_large_leaves_a_normal_as_it_is(self, rng):
        d = 150
        cov = covariance(d)
        q = FittedNormal(np.zeros(d), np.linalg.cholesky(cov))
        found = fit_large(
            Target(normal(np.zeros(d), cov)), q, mirrored_normals(32, d, rng), ample()
        )
        assert found.iterations == 0
        np.testing.assert_array_equal(found.root, q.root)
