import numpy as np
import pytest
from helpers.posteriors import ample, covariance, normal

import vibayes as vb
from vibayes.search.begin import (
    begin_near,
    current_center,
    find_normal,
    marginal,
    set_normal,
    unit_scales,
)
from vibayes.search.normals import FittedNormal

MEAN = np.array([1.0, -2.0, 300.0])
COV = covariance(3, correlation=0.5, scales=[0.1, 1.0, 50.0])
Q = FittedNormal(MEAN, np.linalg.cholesky(COV))


@pytest.fixture
def model():
    with vb.Model() as model:
        vb.Normal("x")
        vb.Normal("y", shape=2)
    return model


def in_another_order(model, vfam):
    group = vb.Group([model["y"], model["x"]], model=model, vfam=vfam)
    return vb.Approximation([group], model=model)


def test_marginal_of_a_full_normal():
    mean, root = marginal(Q, np.array([2, 0]))
    np.testing.assert_array_equal(mean, MEAN[[2, 0]])
    np.testing.assert_allclose(root @ root.T, COV[np.ix_([2, 0], [2, 0])], rtol=1e-9)
    np.testing.assert_array_equal(root, np.tril(root))


def test_marginal_of_independent_normals():
    _, sd = marginal(FittedNormal(MEAN, np.array([1.0, 2.0, 3.0])), np.array([2, 0]))
    np.testing.assert_array_equal(sd, [3, 1])


@pytest.mark.parametrize("put", [set_normal, begin_near])
@pytest.mark.parametrize("vfam", ["full_rank", "mean_field"])
def test_a_group_in_another_order_than_the_model(model, put, vfam):
    """Each variable gets its own moments."""
    approx = in_another_order(model, vfam)
    put(approx, Q)
    x = approx.flat_draws(4000, random_seed=1).values
    sd = np.sqrt(COV.diagonal())
    np.testing.assert_allclose((x.mean(axis=0) - MEAN) / sd, 0, atol=0.08)
    np.testing.assert_allclose(x.std(axis=0) / sd, 1, atol=0.05)
    correlated = np.corrcoef(x.T)[0, 1]
    assert correlated == pytest.approx(0.5 if vfam == "full_rank" else 0.0, abs=0.05)


def test_the_root_of_a_whole_normal_is_taken_as_it_is(model):
    approx = vb.FullRank(model=model)
    set_normal(approx, Q)
    np.testing.assert_allclose(approx.cov.eval(), COV, rtol=1e-12)


def test_several_groups(model):
    groups = [vb.Group([model["y"]], model=model, vfam="full_rank")]
    groups.append(vb.Group([model["x"]], model=model, vfam="mean_field"))
    approx = vb.Approximation(groups, model=model)
    begin_near(approx, Q)
    y, x = approx.groups
    np.testing.assert_allclose(y.mean.eval(), MEAN[1:])
    np.testing.assert_allclose(y.cov.eval(), COV[1:, 1:], rtol=1e-6)
    np.testing.assert_allclose(x.std.eval(), np.sqrt(COV[0, 0]), rtol=1e-6)


def test_units_are_those_of_each_groups_own_dimensions(model):
    approx = in_another_order(model, "mean_field")
    units = dict(
        zip(approx.shared_params, unit_scales(approx, np.array([1.0, 2.0, 3.0])), strict=True)
    )
    np.testing.assert_array_equal(units["mu"], [2, 3, 1])
    assert all((unit == 1).all() for unit in unit_scales(approx))


def test_the_centre_is_told_by_name(model):
    approx = in_another_order(model, "mean_field")
    approx.groups[0].set_values({"mu": [1.0, 2.0, 3.0]})
    center = current_center(approx)
    np.testing.assert_array_equal(center["y"], [1, 2])
    assert center["x"] == 3


@pytest.mark.parametrize("most_dense", [2000, 2])
def test_a_normal_near_the_posterior(monkeypatch, most_dense):
    """Both where a matrix of curvatures is computed, and where only its diagonal is probed."""
    monkeypatch.setattr("vibayes.search.begin.MOST_DENSE", most_dense)
    sd = np.array([0.1, 1.0, 2.0])
    approx = vb.MeanField(model=normal(MEAN, np.diag(sd**2)), random_seed=1)
    q = find_normal(approx, ample())
    assert q.is_diagonal == (most_dense == 2)
    np.testing.assert_allclose((q.mean - MEAN) / sd, 0, atol=0.5)
    np.testing.assert_allclose(q.sd / sd, 1, rtol=0.2)
