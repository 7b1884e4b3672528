import numpy as np
import pytest
from scipy import stats

from vibayes.search.noise import matched_normals, mirrored_normals, stratified_normals


class TestDraws:
    @pytest.mark.parametrize(("count", "d"), [(4, 1), (128, 5), (129, 64), (10, 70), (300, 120)])
    def test_moments_are_exact(self, rng, count, d):
        noise = matched_normals(count, d, rng)
        assert len(noise) >= count
        np.testing.assert_allclose(noise.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(noise.T @ noise / len(noise), np.eye(d), atol=1e-10)

    def test_they_are_normal(self, rng):
        noise = matched_normals(1024, 3, rng)
        for column in noise.T:
            assert stats.kstest(column, "norm").pvalue > 0.1

    def test_mirrored(self, rng):
        noise = mirrored_normals(200, 4, rng)
        assert noise.shape == (200, 4)
        np.testing.assert_array_equal(noise[:100], -noise[100:])

    @pytest.mark.parametrize("seed", [1, 2])
    def test_stratified(self, seed):
        noise = stratified_normals(32, 3000, np.random.default_rng(seed))
        np.testing.assert_array_equal(noise[:16], -noise[16:])
        np.testing.assert_allclose((noise**2).mean(axis=0), 1.0)
        assert np.ptp(np.sort(noise, axis=0), axis=1).max() < 1e-12
        assert np.exp(noise).mean(axis=0) == pytest.approx(np.exp(0.5), rel=0.02)
        products = noise.T[:200] @ noise[:, :200] / 32  # pairs of dimensions are independent
        assert np.abs(products - np.eye(200)).mean() < 0.25
