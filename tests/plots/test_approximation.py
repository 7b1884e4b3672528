import numpy as np
import pytest
import xarray as xr

import vibayes as vb
from vibayes.plots import axes as shared

pytestmark = pytest.mark.usefixtures("pyplot")


@pytest.fixture(scope="module")
def model():
    with vb.Model(coords={"place": ["a", "b"]}) as model:
        x = vb.Normal("x", shape=2, dims="place")
        vb.Normal("total", x.sum(), 0.3, observed=2.0)
        vb.Deterministic("twice", 2 * x, dims="place")
    return model


@pytest.fixture(scope="module")
def mean_field(model):
    return vb.fit(model=model, random_seed=1, diagnose=False, progressbar=False)


@pytest.fixture(scope="module")
def full_rank(model):
    return vb.fit(method="auto", model=model, random_seed=1, progressbar=False)


def contour_widths(ax):
    """How wide and high the outer region is that is drawn."""
    paths = [path for c in ax.collections if hasattr(c, "levels") for path in c.get_paths()]
    return np.ptp(paths[0].vertices, axis=0)


def test_marginals_and_pairs_of_free_variables(mean_field, full_rank):
    axes = vb.plot_approximation(mean_field, against=full_rank, random_seed=1)
    assert axes.shape == (2, 2)
    assert [ax.get_xlabel() for ax in axes[1]] == ["x[a]", "x[b]"]
    assert axes[1, 0].get_ylabel() == "x[b]"
    assert not axes[0, 1].axison
    (legend,) = axes[0, 0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["FullRank", "MeanField"]


def test_what_is_compared_with_is_wider_than_a_mean_field(mean_field, full_rank):
    axes = vb.plot_approximation(mean_field, against=full_rank, random_seed=1)
    dots = axes[1, 0].lines[0]
    x, y = dots.get_xdata(), dots.get_ydata()
    assert np.corrcoef(x, y)[0, 1] < -0.8
    own = contour_widths(axes[1, 0])
    assert (own < 0.6 * np.array([np.ptp(x), np.ptp(y)])).all()


def test_the_regions_hold_their_shares():
    x = np.random.default_rng(1).normal(size=(2, 4000))
    grid = np.linspace(-4, 4, 60)
    from vibayes.plots.approximation import regions

    heights, (outer, inner) = regions(x, grid, grid)
    cell = (grid[1] - grid[0]) ** 2
    assert heights[heights >= outer].sum() * cell == pytest.approx(0.9, abs=0.02)
    assert heights[heights >= inner].sum() * cell == pytest.approx(0.5, abs=0.03)


def test_by_default_beside_importance_weighted_draws(mean_field):
    axes = vb.plot_approximation(mean_field, var_names="x[b]", random_seed=1)
    assert axes.shape == (1, 1)
    texts = [text.get_text() for text in axes[0, 0].get_legend().get_texts()]
    assert texts == ["importance weighted", "MeanField"]


def test_draws_of_arviz_and_deterministics(mean_field):
    trace = mean_field.sample(200, random_seed=1)
    axes = vb.plot_approximation(mean_field, trace, var_names=["twice"], draws=200)
    assert [ax.get_xlabel() for ax in axes[1]] == ["twice[a]", "twice[b]"]


def test_the_same_seed_makes_the_same_picture(mean_field):
    curves = [
        vb.plot_approximation(mean_field, var_names="x[a]", random_seed=5)[0, 0].lines[0]
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*(curve.get_ydata() for curve in curves))


def test_names_and_draws_that_are_not_there(mean_field):
    with pytest.raises(KeyError, match=r"var_names has 'y'.*variables are x, twice"):
        vb.plot_approximation(mean_field, var_names=["y"])
    drawn = mean_field.sample(100, random_seed=1).posterior
    trace = xr.Dataset(drawn.data_vars).drop_vars("x")
    with pytest.raises(KeyError, match=r"against has no draws of 'x\[a\]'"):
        vb.plot_approximation(mean_field, against=trace, draws=100)
    with pytest.raises(TypeError, match="against"):
        vb.plot_approximation(mean_field, against=3)


def test_more_scalars_than_can_be_told_apart():
    with vb.Model():
        vb.Normal("x", shape=20)
        approx = vb.MeanField(random_seed=1)
    assert vb.plot_approximation(approx, draws=100).shape == (6, 6)
    with pytest.raises(ValueError, match=r"var_names has 20 scalars, and 12 .* such as 'x\[0\]'"):
        vb.plot_approximation(approx, var_names="x", draws=100)


def test_without_matplotlib(mean_field, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for plot in (vb.plot_approximation, vb.plot_verdict):
        with pytest.raises(ImportError, match=r"needs matplotlib: pip install matplotlib"):
            plot(mean_field)


def test_a_density_of_what_does_not_vary():
    x, heights = shared.density(np.ones(5), 0.0, 2.0)
    assert len(x) == len(heights)
    assert not heights.any()
