"""Families take over a normal: exactly if they hold it, else as nearly as they can."""

import numpy as np
import pytest
from helpers.posteriors import covariance

import vibayes as vb
from vibayes.backend.modes import evaluate

MEAN = np.array([3.0, -1e3, 0.0, 2e-4, 1.0])
SCALES = np.array([1.0, 1e2, 1e-3, 1e-4, 5.0])


def model():
    with vb.Model() as model:
        vb.Normal("x", 0, 1, shape=5)
    return model


def taken_over(approx, root):
    group = approx.groups[0]
    for name, value in group.params_near(MEAN, root).items():
        group.shared_params[name].set_value(np.asarray(value))
    return evaluate([group.mean, group.cov])


def correlations(cov):
    return cov / np.outer(SCALES, SCALES)


def low_rank(rank, seed=0):
    """A covariance that is diagonal plus low rank."""
    rng = np.random.default_rng(seed)
    B = rng.normal(size=(5, rank))
    return (np.diag(rng.uniform(0.2, 1.0, 5)) + B @ B.T) * np.outer(SCALES, SCALES)


def test_full_rank():
    cov = covariance(5, scales=SCALES)
    mean, found = taken_over(vb.FullRank(model=model()), np.linalg.cholesky(cov))
    np.testing.assert_allclose(mean, MEAN)
    np.testing.assert_allclose(correlations(found), correlations(cov), atol=1e-10)


def test_full_rank_of_standard_deviations():
    mean, found = taken_over(vb.FullRank(model=model()), SCALES)
    np.testing.assert_allclose(mean, MEAN)
    np.testing.assert_allclose(correlations(found), np.eye(5), atol=1e-10)


@pytest.mark.parametrize("as_matrix", [False, True])
def test_mean_field_has_the_standard_deviations(as_matrix):
    cov = covariance(5, scales=SCALES)
    root = np.linalg.cholesky(cov) if as_matrix else SCALES
    mean, found = taken_over(vb.MeanField(model=model()), root)
    np.testing.assert_allclose(mean, MEAN)
    np.testing.assert_allclose(np.sqrt(found.diagonal()), SCALES, rtol=1e-6)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_low_rank_is_exact_where_it_can_be(rank, seed):
    cov = low_rank(rank, seed)
    mean, found = taken_over(vb.LowRank(rank=rank, model=model()), np.linalg.cholesky(cov))
    np.testing.assert_allclose(mean, MEAN)
    np.testing.assert_allclose(correlations(found), correlations(cov), atol=2e-3)


def test_low_rank_of_a_richer_covariance_is_closer_than_independent():
    cov = covariance(5, correlation=0.9, scales=SCALES)
    _, found = taken_over(vb.LowRank(rank=1, model=model()), np.linalg.cholesky(cov))

    def divergence(S):
        P = np.linalg.inv(cov)
        return 0.5 * (np.trace(P @ S) - 5 - np.linalg.slogdet(P @ S)[1])

    independent = np.diag(1 / np.linalg.inv(cov).diagonal())
    assert divergence(found) < 0.8 * divergence(independent)


def test_low_rank_of_standard_deviations():
    approx = vb.LowRank(rank=1, model=model(), random_seed=1)
    mean, found = taken_over(approx, SCALES)
    np.testing.assert_allclose(mean, MEAN)
    np.testing.assert_allclose(np.sqrt(found.diagonal()), SCALES, rtol=0.3)


def test_flow_begins_where_the_normal_is():
    group = vb.NormalizingFlow("scale-loc", model=model()).groups[0]
    values = group.params_near(MEAN, SCALES)
    np.testing.assert_array_equal(values[group.center_name], MEAN)
    (log_scale,) = [value for name, value in values.items() if name.endswith("_log_scale")]
    np.testing.assert_allclose(np.exp(log_scale), SCALES)


@pytest.mark.parametrize(
    "family",
    [
        vb.MeanField,
        vb.FullRank,
        lambda **k: vb.LowRank(rank=2, **k),
        lambda **k: vb.GaussianMixture(3, **k),
        lambda **k: vb.NormalizingFlow("scale-loc", **k),
    ],
)
def test_units_have_the_shape_of_the_parameters(family):
    group = family(model=model()).groups[0]
    for name, unit in group.param_scales(SCALES).items():
        assert unit.shape == group.shared_params[name].get_value().shape
        assert (unit.reshape(len(unit), -1)[..., 0] > 0).all()
    if group.center_name:
        np.testing.assert_array_equal(group.param_scales(SCALES)[group.center_name], SCALES)
