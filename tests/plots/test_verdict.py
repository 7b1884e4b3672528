import numpy as np
import pytest

import vibayes as vb

pytestmark = pytest.mark.usefixtures("pyplot")


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        x = vb.Normal("x", shape=2)
        vb.Normal("total", x.sum(), 0.3, observed=2.0)
    return model


@pytest.fixture(scope="module")
def narrow(model):
    with pytest.warns(vb.ApproximationWarning):
        return vb.fit(model=model, random_seed=1, progressbar=False)


@pytest.fixture(scope="module")
def good(model):
    return vb.fit(method="auto", model=model, random_seed=1, progressbar=False)


def test_a_mean_field_that_is_too_narrow(narrow):
    weights, means, widths = vb.plot_verdict(narrow)
    assert "does not hold the posterior" in weights.figure.get_suptitle()
    shares = weights.lines[-1].get_ydata()
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(1)
    assert (np.diff(shares) >= 0).all()
    assert shares[200] > 0.4  # a fifth of the draws has much of the weight
    ratios = widths.collections[-1].get_offsets()[:, 0]
    named = {t.get_text(): r for t, r in zip(means.get_yticklabels(), ratios, strict=True)}
    assert named == pytest.approx({"x[0]": 0.41, "x[1]": 0.41}, abs=0.05)


def test_even_weights_make_the_straight_line(good):
    weights, _, widths = vb.plot_verdict(good)
    assert "Good" in weights.figure.get_suptitle()
    numbers, shares = weights.lines[-1].get_data()
    np.testing.assert_allclose(shares, numbers, atol=0.05)
    (low, high) = widths.get_xlim()
    assert low < 0.88
    assert high > 1.14


def test_a_judgement_that_is_given(narrow, good):
    weights, *_ = vb.plot_verdict(narrow, good.diagnosis)
    assert "Good" in weights.figure.get_suptitle()


def test_draws_have_no_weights():
    with vb.Model():
        x = vb.Normal("x")
        vb.Normal("y", x**2, 0.1, observed=1.0)
        approx = vb.fit(method="pathfinder", random_seed=1, diagnose=False, progressbar=False)
    weights, means, _ = vb.plot_verdict(approx)
    assert any("equal weight" in text.get_text() for text in weights.texts)
    assert not means.axison
    assert any("compared with" in text.get_text() for text in means.texts)


def test_what_was_tried(good):
    elbo, share, khat = vb.plot_families(good)
    attempts = good.diagnosis.attempts
    names = [label.get_text().rpartition(",")[0] for label in elbo.get_yticklabels()]
    assert names == [a.name for a in attempts]
    np.testing.assert_array_equal(elbo.lines[0].get_xdata(), [a.elbo for a in attempts])
    assert [bar.get_width() for bar in share.patches] == [a.ess / a.draws for a in attempts]
    assert khat.get_ylim()[0] > khat.get_ylim()[1]  # the first one at the top


def test_a_fit_that_has_tried_no_families(narrow):
    with pytest.raises(ValueError, match=r"tried no families: only method=.auto. does"):
        vb.plot_families(narrow)
