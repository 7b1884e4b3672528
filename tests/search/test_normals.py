import numpy as np
import pytest
from helpers.posteriors import covariance
from scipy import stats

from vibayes.search.normals import FittedNormal, apart, from_curvature, from_root

MEAN = np.array([3e4, -2.0, 1e-4])
COV = covariance(3, scales=[1e3, 1.0, 1e-4])


def cov_of(q):
    return q.full_root @ q.full_root.T


class TestFittedNormal:
    q = FittedNormal(np.array([1.0, -2.0]), np.array([[2.0, 0.0], [-0.5, 0.7]]))

    def test_density(self, rng):
        own = stats.multivariate_normal(self.q.mean, cov_of(self.q))
        Z = rng.normal(size=(5, 2))
        np.testing.assert_allclose(self.q.logq(Z), own.logpdf(Z))
        assert self.q.entropy == pytest.approx(own.entropy())
        np.testing.assert_allclose(self.q.sd, np.sqrt(own.cov.diagonal()))

    def test_diagonal(self, rng):
        q = FittedNormal(self.q.mean, np.array([0.5, 3.0]))
        Z = rng.normal(size=(5, 2))
        np.testing.assert_allclose(q.logq(Z), stats.norm(q.mean, q.root).logpdf(Z).sum(axis=1))
        assert q.entropy == pytest.approx(stats.norm(0, q.root).entropy().sum())
        np.testing.assert_allclose(q.whitened(q.at(Z)), Z)
        np.testing.assert_allclose(q.full_root, np.diag(q.root))

    def test_whitening_undoes(self, rng):
        Z = rng.normal(size=(5, 2))
        np.testing.assert_allclose(self.q.whitened(self.q.at(Z)), Z)


class TestFromCurvature:
    def test_precision(self):
        q = from_curvature(MEAN, np.linalg.inv(COV))
        np.testing.assert_allclose(cov_of(q), COV, rtol=1e-8)
        np.testing.assert_array_equal(q.root, np.tril(q.root))

    @pytest.mark.parametrize(
        "curvature", [np.diag([1.0, -2.0]), np.diag([1.0, 0.0]), np.ones((2, 2)), np.zeros((2, 2))]
    )
    def test_what_is_no_precision(self, curvature):
        q = from_curvature(np.zeros(2), curvature)
        if curvature.any():
            assert np.isfinite(q.root).all()
            assert (q.sd > 0).all()

    def test_negative_eigenvalues_change_sign(self):
        q = from_curvature(np.zeros(2), np.diag([4.0, -0.25]))
        np.testing.assert_allclose(cov_of(q), np.diag([0.25, 4.0]), rtol=1e-6)


def test_any_root_of_the_covariance_makes_the_same_normal():
    vectors, (sd0, sd1, sd2) = np.linalg.qr(np.arange(9.0).reshape(3, 3) ** 2)[0], (0.1, 1, 20)
    root = vectors * [sd0, sd1, sd2]
    q = from_root(MEAN, root)
    np.testing.assert_array_equal(q.mean, MEAN)
    np.testing.assert_array_equal(q.root, np.tril(q.root))
    np.testing.assert_allclose(cov_of(q), root @ root.T, rtol=1e-8)


def at(mean, sd=1.0):
    return FittedNormal(np.array([mean]), np.array([sd]))


def test_places_lie_apart_as_seen_from_either_of_two():
    assert len(apart([at(0), at(2.5), at(10)])) == 2
    assert len(apart([at(0, 0.1), at(2.5)])) == 1  # far in units of the first alone
    assert len(apart([at(0), at(2.5, 0.1)])) == 1
    assert len(apart([at(0, 0.1), at(2.5, 0.1)])) == 2
