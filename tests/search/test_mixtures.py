from functools import cache

import numpy as np
import pytest
from helpers.posteriors import ample, normal, seeds, two_modes
from scipy import stats

import vibayes as vb
from vibayes.model.target import Target
from vibayes.search.budget import Budget
from vibayes.search.mixtures import (
    KEPT_PROPOSALS,
    FittedMixture,
    ImportanceSampler,
    WeightedDraws,
    adapt,
    fitted_mixture,
)
from vibayes.search.normals import FittedNormal

MEANS = np.array([[0.0, 1.0], [4.0, -2.0], [-3.0, 0.5]])
ROOTS = np.array([[[1.0, 0], [0.5, 0.3]], [[0.2, 0], [0, 2.0]], [[1.5, 0], [-1.0, 0.7]]])
WEIGHTS = np.array([0.5, 0.2, 0.3])


@pytest.fixture
def q():
    return FittedMixture.make(np.log(5 * WEIGHTS), MEANS, ROOTS)


def moments(means=MEANS, roots=ROOTS, weights=WEIGHTS):
    mean = weights @ means
    covs = roots @ roots.transpose(0, 2, 1)
    centred = means - mean
    return mean, np.tensordot(weights, covs, 1) + (centred.T * weights) @ centred


class TestMixture:
    def test_density(self, q, rng):
        Z = 3 * rng.normal(size=(20, 2))
        expected = sum(
            w * stats.multivariate_normal(m, r @ r.T).pdf(Z)
            for w, m, r in zip(WEIGHTS, MEANS, ROOTS, strict=True)
        )
        np.testing.assert_allclose(np.exp(q.logq(Z)), expected)
        assert len(q) == 3

    def test_density_with_wide_components(self, q, rng):
        Z = 3 * rng.normal(size=(20, 2))
        expected = 0.75 * np.exp(q.logq(Z)) + 0.25 * sum(
            w * stats.multivariate_t(m, 1.44 * r @ r.T, 4).pdf(Z)
            for w, m, r in zip(WEIGHTS, MEANS, ROOTS, strict=True)
        )
        np.testing.assert_allclose(np.exp(q.widened().logq(Z)), expected)

    def test_draws(self, q, rng):
        values = q.draw(40_000, rng)
        mean, cov = moments()
        assert values.shape == (40_000, 2)
        np.testing.assert_allclose(values.mean(axis=0), mean, atol=0.03)
        np.testing.assert_allclose(np.cov(values.T), cov, atol=0.15)

    def test_draws_of_wide_components_have_their_tails(self, rng):
        wide = FittedMixture.make([0.0], [np.zeros(1)], [np.eye(1)]).widened()
        values = wide.draw(20_000, rng)[:, 0]

        def cdf(x):
            return 0.75 * stats.norm.cdf(x) + 0.25 * stats.t(4, scale=1.2).cdf(x)

        assert stats.kstest(values, cdf).pvalue > 0.01

    @pytest.mark.parametrize("count", [1, 2, 7, 1001])
    def test_draws_are_shared_out_by_weight(self, q, rng, count):
        far = FittedMixture(
            q.log_weights, 1e6 * np.array([[0, 0], [1, 0], [0, 1.0]]), q.roots, q.df
        )
        values = far.draw(count, rng)
        assert len(values) == count
        nearest = np.argmin(((values[:, None] - far.means) ** 2).sum(axis=2), axis=1)
        shares = np.bincount(nearest, minlength=3) - count * WEIGHTS
        assert np.abs(shares).max() < 3

    def test_weights_by_elbo(self):
        normals = [
            FittedNormal(m, r, elbo=e) for m, r, e in zip(MEANS, ROOTS, [-3, -4, -3.5], strict=True)
        ]
        expected = np.exp([-3, -4, -3.5]) / np.exp([-3, -4, -3.5]).sum()
        np.testing.assert_allclose(np.exp(FittedMixture.of_normals(normals).log_weights), expected)

    def test_weights_of_normals_of_which_none_has_an_elbo(self, rng):
        """As where each of them reaches over a wall of the density."""
        means, roots = np.zeros((2, 1)), [np.eye(1)] * 2
        q = FittedMixture.make([-np.inf, -np.inf], means, roots)
        np.testing.assert_allclose(q.log_weights, np.log(0.5))
        assert len(q.draw(7, rng)) == 7

    def test_expectation_maximization(self, q, rng):
        """On many draws of a mixture, steps from nearby lead back to it."""
        Z = q.draw(20_000, rng)
        even = np.full(len(Z), -np.log(len(Z)))
        found = FittedMixture.make(np.zeros(3), MEANS + 0.5, 1.3 * ROOTS)
        likelihoods = []
        for _ in range(30):
            found = found.maximized(Z, even, np.ones(2))
            likelihoods.append(found.logq(Z).mean())
        np.testing.assert_allclose(np.exp(found.log_weights), WEIGHTS, atol=0.02)
        np.testing.assert_allclose(found.means, MEANS, atol=0.1)
        np.testing.assert_allclose(found.roots, ROOTS, atol=0.1)
        assert likelihoods[-1] == pytest.approx(q.logq(Z).mean(), abs=2e-3)

    def test_maximization_sees_the_weights(self, rng):
        """Draws of N(0, 2) weighted towards N(1, 1)."""
        Z = 2 * rng.normal(size=(20_000, 1))
        log_weights = stats.norm(1, 1).logpdf(Z[:, 0]) - stats.norm(0, 2).logpdf(Z[:, 0])
        log_weights -= np.logaddexp.reduce(log_weights)
        one = FittedMixture.make([0.0], [np.zeros(1)], [np.eye(1)])
        found = one.maximized(Z, log_weights, np.ones(1))
        assert found.means[0, 0] == pytest.approx(1, abs=0.05)
        assert found.roots[0, 0, 0] == pytest.approx(1, abs=0.05)

    def test_components_without_mass_go(self, rng):
        Z = rng.normal(size=(500, 2))
        two = FittedMixture.make([0.0, 0.0], [np.zeros(2), np.full(2, 100.0)], [np.eye(2)] * 2)
        even = np.full(500, -np.log(500))
        assert len(two.maximized(Z, even, np.ones(2))) == 1

    def test_a_further_component(self, q, rng):
        more = q.with_component(0.1, np.array([9.0, 9.0]), np.eye(2))
        Z = rng.normal(size=(5, 2)) + 5
        added = stats.multivariate_normal([9, 9]).pdf(Z)
        np.testing.assert_allclose(np.exp(more.logq(Z)), 0.9 * np.exp(q.logq(Z)) + 0.1 * added)


class TestWeightedDraws:
    def test_moments(self, rng):
        Z, w = rng.normal(size=(200, 3)), rng.random(200)
        draws = WeightedDraws(Z, np.log(w / w.sum()), 0.1)
        mean = np.average(Z, axis=0, weights=w)
        cov = np.cov(Z.T, aweights=w, bias=True)
        np.testing.assert_allclose(draws.mean, mean)
        np.testing.assert_allclose(draws.sd, np.sqrt(cov.diagonal()))
        np.testing.assert_allclose(draws.root @ draws.root.T, cov, rtol=1e-6, atol=1e-9)
        assert draws.size == pytest.approx(w.sum() ** 2 / (w**2).sum())

    def test_width(self, rng):
        Z = rng.normal(size=(2000, 2))
        draws = WeightedDraws(Z, np.full(2000, -np.log(2000)), 0.1)
        expected = np.diff(np.quantile(Z, (0.05, 0.95), axis=0), axis=0)[0]
        np.testing.assert_allclose(draws.width((0.05, 0.95)), expected, rtol=0.01)

    def test_width_of_weighted_draws(self, rng):
        """Each weight counts as that many copies."""
        Z, copies = rng.normal(size=(300, 1)), rng.integers(1, 10, 300)
        draws = WeightedDraws(Z, np.log(copies / copies.sum()), 0.1)
        repeated = np.repeat(Z[:, 0], copies)
        low, high = np.quantile(repeated, (0.05, 0.95), method="inverted_cdf")
        assert draws.width((0.05, 0.95))[0] == pytest.approx(high - low)


@pytest.mark.parametrize(
    ("khat", "size", "count", "reliable"),
    [
        (0.3, 600.0, 1000, True),
        (0.3, 400.0, 1000, False),
        (0.3, 2400.0, 5000, False),
        (0.6, 600.0, 1000, False),
        (0.6, 960.0, 1000, True),  # so even that no tail matters
    ],
)
def test_weights_are_reliable_if_half_of_the_draws_count(khat, size, count, reliable):
    values = np.zeros((count, 1))
    draws = WeightedDraws(values, np.full(count, -np.log(count)), khat, size)
    assert draws.is_reliable == reliable
    assert draws.has_variance == (khat < 0.5 or size > 950)


class TestImportanceSampler:
    @pytest.mark.parametrize("seed", seeds(3))
    def test_weights_of_two_modes(self, seed):
        rng = np.random.default_rng(seed)
        sampler = ImportanceSampler.empty(Target(two_modes()), 2000)
        sampler = sampler.with_draws(
            FittedMixture.make([0.0, 0.0], [[-3.2], [2.8]], [[[0.7]], [[0.9]]]), rng
        )
        draws = sampler.draws
        weights = np.exp(draws.log_weights)
        assert weights[draws.values[:, 0] > 0].sum() == pytest.approx(0.7, abs=0.03)
        assert draws.khat < 0.7

    def test_several_proposals_are_one_mixture(self, rng):
        target = Target(normal(np.zeros(1), np.eye(1)))
        sampler = ImportanceSampler.empty(target, 3000)
        first = FittedMixture.make([0.0], [[-1.0]], [[[1.0]]])
        second = FittedMixture.make([0.0], [[1.5]], [[[1.5]]])
        sampler = sampler.with_draws(first, rng)
        sampler = sampler.with_draws(second, rng, 1000)
        draws = sampler.draws
        logq = np.log(
            0.75 * np.exp(first.logq(draws.values)) + 0.25 * np.exp(second.logq(draws.values))
        )
        ratios = target.logp(draws.values) - logq
        order = np.argsort(ratios)[: len(ratios) // 2]  # of these none is smoothed
        np.testing.assert_allclose(np.ptp(draws.log_weights[order] - ratios[order]), 0, atol=1e-8)
        assert draws.mean[0] == pytest.approx(0, abs=0.08)
        assert draws.sd[0] == pytest.approx(1, abs=0.06)

    def test_draws_are_added_to_a_new_sampler(self, rng):
        proposal = FittedMixture.make([0.0], [[0.0]], [[[1.0]]])
        empty = ImportanceSampler.empty(Target(normal(np.zeros(1), np.eye(1))), 50)
        first = empty.with_draws(proposal, rng)
        second = first.with_draws(proposal, rng, 20)
        assert [len(s.values) for s in (empty, first, second)] == [0, 50, 70]
        assert [s.counts for s in (empty, first, second)] == [(), (50,), (50, 20)]
        np.testing.assert_array_equal(second.values[:50], first.values)

    def test_old_proposals_are_forgotten(self, rng):
        target = Target(normal(np.zeros(1), np.eye(1)))
        sampler = ImportanceSampler.empty(target, 100)
        for mean in range(12):
            sampler = sampler.with_draws(FittedMixture.make([0.0], [[mean / 5]], [[[1.0]]]), rng)
        assert len(sampler.values) == 100 * (KEPT_PROPOSALS + 1)
        assert sampler.logq.shape == (len(sampler.values), len(sampler.proposals))
        for column, proposal in zip(sampler.logq.T, sampler.proposals, strict=True):
            np.testing.assert_allclose(column, proposal.logq(sampler.values))


@cache
def banana():
    """A bent normal: x ~ N(0, 1), y ~ N(x squared, 0.5)."""
    with vb.Model() as model:
        z = vb.Flat("z", shape=2)
        vb.Potential("bent", -0.5 * z[0] ** 2 - 0.5 * ((z[1] - z[0] ** 2) / 0.5) ** 2)
    return model


class TestAdapt:
    @pytest.mark.parametrize("seed", seeds(3))
    def test_a_bent_posterior(self, seed):
        rng = np.random.default_rng(seed)
        sampler = ImportanceSampler.empty(Target(banana()), 1000)
        begin = FittedMixture.make([0.0], [np.zeros(2)], [0.5 * np.eye(2)])
        sampler = sampler.with_draws(begin, rng)
        sampler, q, fine = adapt(sampler, begin, rng, ample(), rounds=20)
        draws = sampler.draws
        assert fine
        assert len(q) > 1
        np.testing.assert_allclose(draws.mean, [0, 1], atol=0.3)
        np.testing.assert_allclose(draws.sd, [1, 1.5], rtol=0.25)  # weights miss the ends

    def test_budget(self, rng):
        sampler = ImportanceSampler.empty(Target(banana()), 1000)
        begin = FittedMixture.make([0.0], [np.zeros(2)], [0.5 * np.eye(2)])
        sampler = sampler.with_draws(begin, rng)
        sampler, _, fine = adapt(sampler, begin, rng, Budget(600.0, 1))
        assert not fine
        assert len(sampler.proposals) == 2

    def test_it_ends_where_too_few_draws_tell_a_covariance(self, rng):
        """A third of the width in each of 30 dimensions: hardly any draw counts."""
        d = 30
        sampler = ImportanceSampler.empty(Target(normal(np.zeros(d), np.eye(d))), 500)
        begin = FittedMixture.make([0.0], [np.full(d, 2.0)], [np.eye(d) / 3])
        budget = ample()
        _, _, fine = adapt(sampler, begin, rng, budget)
        assert not fine
        assert budget.taken == 3


class TestFittedMixture:
    def test_clusters(self, rng):
        centres = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0]])
        Z = np.concatenate(
            [c + rng.normal(size=(n, 2)) for c, n in zip(centres, (300, 600, 900), strict=True)]
        )
        q = fitted_mixture(Z, rng, most=3)
        order = np.argsort(q.log_weights)
        np.testing.assert_allclose(np.exp(q.log_weights[order]), [1 / 6, 1 / 3, 1 / 2], atol=0.01)
        np.testing.assert_allclose(q.means[order], centres, atol=0.3)

    def test_few_draws_get_few_components(self, rng):
        assert len(fitted_mixture(rng.normal(size=(30, 2)), rng)) == 1

    def test_one_component_is_the_normal_of_the_draws(self, rng):
        Z = rng.normal(size=(5000, 2)) @ ROOTS[0].T + MEANS[1]
        q = fitted_mixture(Z, rng, most=1)
        np.testing.assert_allclose(q.means[0], Z.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(q.roots[0] @ q.roots[0].T, np.cov(Z.T), atol=0.01)


def test_draws_that_depend_on_each_other_are_worth_fewer(rng):
    Z = rng.normal(size=(1000, 2))
    even = np.full(1000, -np.log(1000))
    assert WeightedDraws(Z, even, np.nan).size == pytest.approx(1000)
    assert WeightedDraws(Z, even, np.nan, independent=250.0).size == pytest.approx(250)
    assert WeightedDraws(Z, even, np.nan, 250.0).tempered(10.0).independent == 250.0


def test_even_draws_and_some_of_them(rng):
    Z = rng.normal(size=(1000, 2))
    even = WeightedDraws.even(Z, 250.0)
    assert np.exp(even.log_weights).sum() == pytest.approx(1)
    assert np.ptp(even.log_weights) == 0
    assert np.isnan(even.khat)
    assert even.size == pytest.approx(250)
    rows = np.arange(1000) < 100
    some = even.of(rows)
    np.testing.assert_array_equal(some.values, Z[:100])
    assert np.exp(some.log_weights).sum() == pytest.approx(1)
    assert some.size == pytest.approx(25)
    weighted = WeightedDraws(Z, np.where(rows, -1.0, -2.0) - np.log(1000), 0.3).of(~rows)
    assert weighted.khat == 0.3
    assert weighted.independent is None
    assert weighted.size == pytest.approx(900)
