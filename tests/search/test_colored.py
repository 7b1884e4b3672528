"""Curvatures by differences along several dimensions at once."""

import numpy as np
import pytest

import vibayes as vb
from vibayes.model.target import Target
from vibayes.search.colored import Coloring, colors_of, curvature_of_all, with_curvature_of_all
from vibayes.search.located import CURVATURES, mean_curvature
from vibayes.search.modes import curvature_at
from vibayes.search.noise import mirrored_normals
from vibayes.search.normals import FittedNormal

D = 40


def arrow():
    P = np.diag(np.linspace(1, 3, D))
    P[:3, :] += 0.1
    P[:, :3] += 0.1
    return P


def banded():
    return 2.5 * np.eye(D) - np.eye(D, k=1) - np.eye(D, k=-1)


def crossed():
    rng = np.random.default_rng(1)
    P = np.diag(np.full(D, 4.0))
    i, j = rng.integers(0, D // 2, 30), rng.integers(D // 2, D, 30)
    P[i, j] = P[j, i] = 0.5
    return P


class Normal:
    """A normal log density that counts the vectors at which it was evaluated."""

    def __init__(self, precision):
        self.precision, self.ddim, self.evaluations = precision, len(precision), 0

    def __call__(self, Z):
        self.evaluations += len(Z)
        gradient = -Z @ self.precision
        return 0.5 * (Z * gradient).sum(axis=1), gradient


@pytest.mark.parametrize("made", [arrow, banded, crossed])
def test_no_two_of_a_color_share_a_neighbour(made):
    meets = made() != 0
    dense, colors = colors_of(meets)
    assert (colors[dense] == -1).all()
    for color in range(colors.max() + 1):
        of_it = meets[~dense][:, colors == color]
        assert (of_it.sum(axis=1) <= 1).all()
    assert (np.unique(colors[~dense]) == np.arange(colors.max() + 1)).all()


@pytest.mark.parametrize(("made", "most"), [(arrow, 6), (banded, 6), (crossed, 12)])
def test_curvature_takes_few_vectors(made, most, rng):
    target = Normal(made())
    scale = 1 / np.sqrt(target.precision.diagonal())
    found = curvature_of_all(target, Coloring.of(made()), rng.normal(size=D), scale)
    np.testing.assert_allclose(found, target.precision, atol=1e-9)
    assert target.evaluations <= most


def test_what_a_sample_does_not_show_is_noticed(rng):
    near, P = banded(), banded()
    P[0, 20] = P[20, 0] = 0.6  # which no row of the sample has
    coloring = Coloring.of(near)
    assert curvature_of_all(Normal(P), coloring, np.zeros(D), np.ones(D)) is None


def test_a_dense_curvature_would_take_as_many_vectors_as_it_has_columns():
    target = Normal(np.eye(D) + 0.1)
    assert Coloring.of(target.precision) is None
    q = FittedNormal(np.zeros(D), np.ones(D))
    assert with_curvature_of_all(target, target, q) is q


@pytest.fixture(scope="module")
def hierarchy():
    rng = np.random.default_rng(2)
    group = np.arange(300) % 60
    with vb.Model() as model:
        mu, tau = vb.Normal("mu"), vb.HalfNormal("tau")
        theta = vb.Normal("theta", mu, tau, shape=60)
        vb.Normal("y", theta[group], 0.5, observed=rng.normal(size=300))
    return Target(model)


def test_the_mean_curvature_of_a_hierarchy_takes_few_vectors(hierarchy, rng):
    q = FittedNormal(hierarchy.start, np.full(hierarchy.ddim, 0.3))
    before = hierarchy.evaluations
    found = mean_curvature(hierarchy, q, np.random.default_rng(5))
    assert hierarchy.evaluations - before < 2 * hierarchy.ddim
    points = q.at(mirrored_normals(CURVATURES, hierarchy.ddim, np.random.default_rng(5)))
    expected = np.mean([curvature_at(hierarchy, z, q.sd) for z in points], axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_a_normal_gets_the_curvature_of_all_rows(hierarchy):
    q = FittedNormal(hierarchy.start, np.full(hierarchy.ddim, 0.3))
    found = with_curvature_of_all(hierarchy, hierarchy, q)
    precision = np.linalg.inv(found.root @ found.root.T)
    expected = curvature_at(hierarchy, q.mean, q.sd)
    np.testing.assert_allclose(precision, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(found.mean, q.mean)
