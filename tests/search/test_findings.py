import numpy as np
import pytensor.tensor as pt
import pytest
from helpers.posteriors import ample, two_modes
from scipy import stats

import vibayes as vb
from vibayes.model.coordinates import Coordinates, bent_variables
from vibayes.model.target import Target
from vibayes.records.findings import PROBABILITIES
from vibayes.search.explore import explore
from vibayes.search.findings import attempt_of, findings_of, summary_of
from vibayes.search.mixtures import WeightedDraws
from vibayes.search.normals import FittedNormal


def test_a_mode_without_mass_is_dropped(rng):
    target = Target(two_modes(weights=(3e-4, 1 - 3e-4)), start={"x": -3.0})
    found = explore(target, rng, ample())
    assert len(found.normals) == len(found.dropped) == 1
    assert findings_of(found).normals == 1
    lower = findings_of(found).dropped[0]
    assert lower == pytest.approx(-np.log(3e-4), abs=0.1)


def test_how_modes_were_looked_for(rng):
    target = Target(two_modes())  # a density that is no distribution: there is no prior
    found = findings_of(explore(target, rng, ample()))
    assert found.search.modes == found.modes == 2
    assert found.search.prior == 0
    assert found.search.points == 400
    assert found.search.scanned > 1000
    assert found.search.starts >= 9
    with vb.Model() as model:
        vb.Normal("x", shape=120)
    many = findings_of(explore(Target(model), rng, ample())).search
    assert 1 < many.starts < 13
    assert many.prior == 20
    assert many.scanned == 0
    begin = FittedNormal(np.zeros(120), np.ones(120))
    assert findings_of(explore(Target(model), rng, ample(), begin=begin)).search is None


@pytest.mark.parametrize(
    ("datum", "names"), [(4.0, ()), (-4.0, ()), (40.0, ("x[1]",)), (-40.0, ("x[1]",))]
)
def test_what_is_far_beyond_the_prior(datum, names, rng):
    """A wide prior, a heavy-tailed one and data near it are no reason."""
    with vb.Model() as model:
        x = vb.Normal("x", 0, [100.0, 1.0], shape=2)
        c = vb.Cauchy("c", 0, 1)
        vb.Normal("y", pt.concatenate([x, c[None]]), 0.1, observed=[90.0, datum, 20.0])
    found = findings_of(explore(Target(model), rng, ample()))
    assert found.search.beyond_prior == names


def test_nothing_is_beyond_a_prior_that_cannot_be_drawn_from(rng):
    found = findings_of(explore(Target(two_modes()), rng, ample()))
    assert found.search.beyond_prior == ()


def test_draws_are_of_the_models_own_coordinates(rng):
    """Explored non-centred, told centred."""
    with vb.Model() as model:
        tau = vb.HalfNormal("tau", 1)
        vb.Normal("theta", 5, tau, shape=2)
    target = Target(model, coordinates=Coordinates.non_centred(model, bent_variables(model)))
    found = explore(target, rng, ample())
    values = found.resampled(2000, rng)
    findings = findings_of(found)
    assert found.draws.mean[1:] == pytest.approx([0, 0], abs=0.2)
    np.testing.assert_allclose(values.mean(axis=0)[1:], 5, atol=0.15)
    np.testing.assert_allclose(findings.mean[1:], 5, atol=0.15)
    np.testing.assert_allclose(findings.sd[1:], 1, atol=0.15)  # E[tau squared] = 1


def test_both_scales(rng):
    """Of exact draws: what is transformed is known on its own scale, too."""
    with vb.Model() as model:
        vb.Normal("x", shape=2)
        vb.Gamma("rate", 3, 2)
        vb.Beta("p", 2, 5, shape=(1, 2))
    n = 40_000
    rate, p = rng.gamma(3, 0.5, size=(n, 1)), rng.beta(2, 5, size=(n, 2))
    flat = np.column_stack([rng.normal(size=(n, 2)), np.log(rate), np.log(p / (1 - p))])
    found = summary_of(model, WeightedDraws(flat, np.full(n, -np.log(n)), np.nan))
    assert found.own_names == ("rate", "p[0, 0]", "p[0, 1]")
    np.testing.assert_allclose(found.own_mean, [1.5, 2 / 7, 2 / 7], rtol=0.02)
    np.testing.assert_allclose(
        found.own_sd, [np.sqrt(3) / 2, *[stats.beta(2, 5).std()] * 2], rtol=0.03
    )
    # kurtosis of a gamma variable: 3 + 6 / shape
    np.testing.assert_allclose(found.own_error[0], np.sqrt(4 / (4 * n)), rtol=0.15)
    assert found.points.shape == (len(PROBABILITIES), 5)
    row = PROBABILITIES.index(0.95)
    np.testing.assert_allclose(
        found.points[row, 2], np.log(stats.gamma(3).ppf(0.95) / 2), atol=0.02
    )


def test_weights_count(rng):
    with vb.Model() as model:
        vb.Exponential("x", 1.0)
    x = rng.gamma(2, 1, size=20_000)  # weighted to rate 1 and shape 1
    log_weights = -np.log(x)
    draws = WeightedDraws(np.log(x)[:, None], log_weights - np.logaddexp.reduce(log_weights), 0.0)
    found = summary_of(model, draws)
    assert found.own_mean[0] == pytest.approx(1, abs=0.05)
    assert found.own_sd[0] == pytest.approx(1, abs=0.05)


def test_an_attempt_tells_how_good_its_draws_are():
    draws = WeightedDraws(np.zeros((4, 1)), np.log([0.5, 0.5, 1e-300, 1e-300]), 0.3)
    found = attempt_of("mixture", -3.0, draws, 1.5)
    assert (found.name, found.elbo, found.khat, found.draws) == ("mixture", -3.0, 0.3, 4)
    assert found.ess == pytest.approx(2)
    assert found.seconds == 1.5
