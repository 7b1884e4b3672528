import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import vibayes as vb
from vibayes.exceptions import ModelError

DATA = np.array([-3.1, 2.9, -2.5, -3.3, 3.2, 2.2])


def logp_at(model, shift=0.3):
    point = {name: value + shift for name, value in model.initial_point().items()}
    return point, float(model.compile_logp(backend="py")(point))


def test_indicators_of_each_observation_are_a_mixture():
    with vb.Model() as model:
        w = vb.Beta("w", 1, 1)
        mu = vb.Normal("mu", [-1, 1], 3)
        kind = vb.Bernoulli("kind", w, shape=6)
        vb.Normal("y", mu[kind], 1, observed=DATA)
    with vb.Model() as reference:
        w = vb.Beta("w", 1, 1)
        mu = vb.Normal("mu", [-1, 1], 3)
        vb.Mixture("y", [1 - w, w], vb.Normal.dist(mu, 1), observed=DATA)
    made = vb.marginalize(model, kind)
    point, value = logp_at(made)
    np.testing.assert_allclose(value, reference.compile_logp(backend="py")(point))
    terms = [m.compile_logp(m["y"], sum=False, backend="py")(point)[0] for m in (made, reference)]
    np.testing.assert_allclose(*terms)
    slopes = [m.compile_dlogp(backend="py")(point) for m in (made, reference)]
    np.testing.assert_allclose(*slopes)
    assert [rv.name for rv in model.free_RVs] == ["w", "mu", "kind"]


def test_kinds_of_groups_and_several_dependents():
    group = np.array([0, 2, 1, 0, 2, 2])
    with vb.Model() as model:
        mu = vb.Normal("mu", [-1, 1, 4], 3)
        kind = vb.Categorical("kind", [0.2, 0.3, 0.5], shape=3)
        vb.Normal("y", mu[kind[group]], 1, observed=DATA)
        vb.Exponential("q", kind + 1.0, observed=np.ones(3))
    point, value = logp_at(vb.marginalize(model, "kind"))
    mu = point["mu"]
    expected = stats.norm([-1, 1, 4], 3).logpdf(mu).sum()
    for g in range(3):
        expected += logsumexp(
            [
                np.log([0.2, 0.3, 0.5][k])
                + stats.norm(mu[k], 1).logpdf(DATA[group == g]).sum()
                + stats.expon(scale=1 / (k + 1)).logpdf(1)
                for k in range(3)
            ]
        )
    np.testing.assert_allclose(value, expected)


@pytest.mark.ci
def test_free_variables_and_scalars_that_depend_on_each_other():
    with vb.Model() as model:
        s = vb.DiscreteUniform("s", 1, 3)
        r = vb.HalfNormal("r", s)
        c = vb.Binomial("c", 2, 0.2 * s)
        vb.Normal("t", s * r + c, 1, observed=2.0)
        vb.Normal("u", 0, 1, observed=[1.0, 2.0])
    made = vb.marginalize(model, [s, c])
    point, value = logp_at(made)
    r = np.exp(point["r_log__"])
    parts = [
        np.log(1 / 3)
        + stats.halfnorm(scale=s).logpdf(r)
        + stats.binom(2, 0.2 * s).logpmf(c)
        + stats.norm(s * r + c, 1).logpdf(2)
        for s in (1, 2, 3)
        for c in (0, 1, 2)
    ]
    expected = logsumexp(parts) + np.log(r) + stats.norm.logpdf([1, 2]).sum()
    np.testing.assert_allclose(value, expected)
    again = made.copy()
    assert logp_at(again)[1] == value


def test_observations_that_depend_on_no_element_count_once():
    with vb.Model() as model:
        kind = vb.Bernoulli("kind", 0.3, shape=2)
        mu = vb.math.concatenate([1.0 * kind, [5.0]])
        vb.Normal("y", mu, 1, observed=[1.0, 0.0, 4.0])
    value = logp_at(vb.marginalize(model, "kind"))[1]
    expected = stats.norm(5, 1).logpdf(4)
    for y in (1.0, 0.0):
        expected += logsumexp(
            [np.log(0.7) + stats.norm(0, 1).logpdf(y), np.log(0.3) + stats.norm(1, 1).logpdf(y)]
        )
    np.testing.assert_allclose(value, expected)


def test_a_fit_and_predictions():
    with vb.Model() as model:
        centre = vb.Normal("centre", [-2, 2], 1)
        kind = vb.Bernoulli("kind", 0.5, shape=6)
        vb.Normal("y", centre[kind], 1, observed=DATA)
    made = vb.marginalize(model, "kind")
    approx = vb.fit(model=made, method="fullrank_advi", random_seed=1, progressbar=False)
    draws = approx.sample(500, random_seed=1)
    low, high = draws.posterior["centre"].mean(("chain", "draw")).values
    assert -3.2 < low < -2.2
    assert 2.0 < high < 3.2
    drawn = vb.sample_posterior_predictive(draws, model=made, random_seed=1)
    above = (drawn.posterior_predictive["y"] > 0).mean().item()
    assert 0.4 < above < 0.6
    assert draws.log_likelihood["y"].shape == (1, 500, 6)


def test_deterministics_of_what_is_summed_out_are_left_out():
    with vb.Model() as model:
        kind = vb.Bernoulli("kind", 0.5)
        vb.Deterministic("double", 2 * kind)
        vb.Normal("y", kind, 1, observed=1.0)
    with pytest.warns(UserWarning, match="the deterministics 'double' depend on 'kind'"):
        made = vb.marginalize(model, "kind")
    assert list(made.named_vars) == ["y"]


def chain():
    z = vb.Bernoulli("z", 0.5, shape=4)
    vb.Normal("y", z.sum(), 1, observed=1.0)


def unlimited():
    vb.Normal("y", vb.Poisson("z", 3.0), 1, observed=1.0)


def in_a_potential():
    z = vb.Bernoulli("z", 0.5)
    vb.Normal("y", z, 1, observed=1.0)
    vb.Potential("p", 1.0 * z)


def alone():
    vb.Bernoulli("z", 0.5)


def continuous():
    vb.Normal("z")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (chain, "an element of 'y' depends on several elements of 'z' together"),
        (unlimited, "'z' cannot be summed out: Poisson is none of"),
        (in_a_potential, "the potential 'p' depends on 'z'"),
        (alone, "no random variable depends on 'z'"),
        (continuous, "'z' is not a discrete free variable"),
    ],
)
def test_what_cannot_be_summed_out_is_told(write, message):
    with vb.Model() as model:
        write()
    with pytest.raises(ModelError, match=message):
        vb.marginalize(model, "z")


def test_starts_that_depend_on_discrete_variables():
    with vb.Model() as model:
        s = vb.DiscreteUniform("s", 1, 4)
        vb.Normal("r", s, 1)
    assert model.initial_point()["r"] == model.initial_point()["s"] == 2
