import numpy as np
import pytest

import vibayes as vb
from vibayes.html import binned, limits, loss_svg


@pytest.fixture(scope="module")
def approx():
    with vb.Model():
        vb.Normal("x", 3)
        return vb.fit(600, backend="py", random_seed=1, progressbar=False, diagnose=False)


@pytest.fixture
def axes(pyplot):
    return pyplot.subplots()[1]


def test_each_loss_and_their_means(approx, axes):
    assert vb.plot_loss(approx, ax=axes) is axes
    each, means = axes.lines
    assert np.array_equal(each.get_ydata(), approx.hist)
    assert np.array_equal(each.get_xdata(), np.arange(1, 601))
    assert np.allclose(means.get_ydata(), approx.hist.reshape(200, 3).mean(axis=1))
    assert means.get_xdata()[-1] == 600


def test_the_point_where_it_ended(approx, axes):
    vb.plot_loss(approx, ax=axes)
    (point,) = axes.collections[-1].get_offsets()
    assert point.tolist() == pytest.approx([600, approx.hist[-3:].mean()])
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts[:2] == ["each iteration", "mean of 3 iterations"]
    assert texts[2] == f"the end: {approx.hist[-3:].mean():,.5g} at 600"


def test_no_half_is_empty(axes):
    """Losses that scatter to one side only: the other side gets no room."""
    hist = 50 + np.random.default_rng(1).exponential(5, size=2000)
    vb.plot_loss(hist, ax=axes)
    low, high = axes.get_ylim()
    assert 48.5 < low < 50.5
    assert np.quantile(hist, 0.95) < high < hist.max()


def test_few_losses_are_all_shown(axes):
    hist = np.array([1e4, 50.0, 40.0, 39.0])
    vb.plot_loss(hist, ax=axes)
    low, high = axes.get_ylim()
    assert low < 39
    assert high > 1e4


def test_a_history_and_a_start(approx, axes):
    vb.plot_loss(approx.hist, ax=axes, start=500)
    assert axes.lines[0].get_xdata()[0] == 501


def test_a_figure_of_its_own(approx):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    axes = vb.plot_loss(approx)
    assert axes.get_ylabel() == "loss (negative ELBO)"
    pyplot.close(axes.figure)


def test_many_losses_make_few_points(axes):
    vb.plot_loss(np.random.default_rng(1).normal(size=1_000_000), ax=axes)
    assert all(len(line.get_xdata()) <= 5000 for line in axes.lines)


def test_the_first_fall_does_not_hide_the_rest(axes):
    hist = np.r_[np.full(20, 1e9), np.random.default_rng(1).normal(100, 1, size=980)]
    vb.plot_loss(hist, ax=axes)
    low, high = axes.get_ylim()
    assert 90 < low < 99
    assert 101 < high < 110


@pytest.mark.parametrize("hist", [[], np.ones((3, 3))])
def test_nothing_to_draw(hist):
    with pytest.raises(ValueError, match="no losses to draw"):
        vb.plot_loss(hist)


def test_not_fitted_yet():
    with vb.Model():
        vb.Normal("x")
        approx = vb.MeanField()
    with pytest.raises(ValueError, match="no losses to draw from iteration 0"):
        vb.plot_loss(approx)


def test_bins_hold_every_loss():
    losses = np.arange(1003.0)
    ends, means = binned(losses, 10)
    assert ends[-1] == 1003
    assert np.sum(means * np.diff(np.r_[0, ends])) == losses.sum()
    assert binned(losses[:4], 10)[1].tolist() == [0, 1, 2, 3]


def test_limits_of_what_is_not_finite():
    assert limits(np.array([np.nan, np.inf])) == (0.0, 1.0)
    low, high = limits(np.array([2.0, 2.0, np.nan]))
    assert low < 2 < high


def test_svg():
    from xml.etree import ElementTree

    drawing = ElementTree.fromstring(loss_svg(np.r_[np.nan, np.linspace(50, 10, 999), np.inf]))
    points = drawing.find("polyline").get("points").split()
    y = np.array([float(point.split(",")[1]) for point in points])
    assert len(points) == 200
    assert (np.diff(y[20:-2]) > 0).all()  # downwards, as the loss goes
    assert loss_svg(np.ones(1)) == ""
