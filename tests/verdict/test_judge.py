import warnings

import numpy as np
import pytest
from helpers.posteriors import covariance, funnel, normal, seeds, two_modes
from scipy.special import digamma, ndtri, polygamma

import vibayes as vb
from vibayes.approximations.base import judge
from vibayes.backend.seeds import derived_seed
from vibayes.records.ending import Ending
from vibayes.records.findings import PROBABILITIES, Findings
from vibayes.search.findings import summary_of
from vibayes.search.mixtures import WeightedDraws
from vibayes.verdict.judge import agrees, compared, largest_of, own_summary

MEAN = np.array([1.0, -20.0])
COV = np.array([[1.0, 3.0], [3.0, 25.0]])
DONE = Ending(True, "it was done")
TOLD = Ending(None, "100 iterations were done")


@pytest.fixture(scope="module")
def model():
    return normal(MEAN, COV)


def full_rank(model, mean=MEAN, cov=COV, ending=DONE):
    approx = vb.FullRank(model=model)
    approx.ending = ending
    for name, value in approx.groups[0].params_near(mean, np.linalg.cholesky(cov)).items():
        approx.shared_params[name].set_value(value)
    return approx


def bent():
    with vb.Model() as model:
        x = vb.Normal("x")
        vb.Normal("y", x**2, 0.5)
    return model


def findings(**changes):
    facts = dict(mean=MEAN, sd=np.sqrt(COV.diagonal()), khat=0.2, ess=3000.0, draws=4000)
    return Findings(**facts | dict(trusted=True, modes=1, places=1, dropped=()) | changes)


class TestOwnDraws:
    def test_the_posterior_itself(self, model):
        found = full_rank(model).diagnose(random_seed=1)
        evidence = 0.5 * np.linalg.slogdet(2 * np.pi * COV)[1]
        assert found.good
        assert found.elbo == pytest.approx(evidence, abs=1e-6)
        assert found.elbo_mcse == pytest.approx(0, abs=1e-6)
        assert found.ess == pytest.approx(1000)
        assert found.verdict.startswith("Good")
        assert found.at_fault == []

    @pytest.mark.parametrize("seed", range(3))
    def test_elbo_and_its_error(self, model, seed):
        """Its distance from the evidence is a divergence with a closed form."""
        cov = 1.3 * COV
        found = full_rank(model, MEAN + np.array([0.2, 0]), cov).diagnose(random_seed=seed)
        P = np.linalg.inv(COV)
        divergence = 0.5 * (2.6 - 2 - 2 * np.log(1.3) + 0.04 * P[0, 0])
        expected = 0.5 * np.linalg.slogdet(2 * np.pi * COV)[1] - divergence
        assert abs(found.elbo - expected) < 4 * found.elbo_mcse
        assert found.elbo_mcse < 0.05

    def test_a_wrong_mean(self, model):
        found = full_rank(model, MEAN + np.array([0.0, 2.0])).diagnose(random_seed=1)
        assert not found.good
        (worst, *_) = found.at_fault
        assert worst.name == "x[1]"
        assert worst.shift == pytest.approx(0.4, abs=0.1)
        assert worst.is_shifted
        assert "the mean of x[1] is off" in found.verdict
        assert "sample(importance=True)" in found.verdict

    def test_too_wide(self, model):
        found = full_rank(model, cov=1.6 * COV).diagnose(random_seed=1)
        assert [check.is_wide for check in found.variables] == [True, True]
        assert "too wide (means agree)" in found.verdict

    def test_far_too_narrow(self, model):
        """No weights can tell what the draws do not reach, but they tell that they cannot."""
        found = full_rank(model, cov=0.1 * COV).diagnose(random_seed=1)
        assert not found.good
        assert not found.reliable
        assert "does not hold the posterior" in found.verdict

    def test_draws(self, model):
        approx = full_rank(model, cov=1.2 * COV)
        assert approx.diagnose(draws=150, random_seed=1).draws == 150
        assert approx.diagnose(random_seed=1) == approx.diagnose(random_seed=1)
        for draws in (99, 150.5, True):
            with pytest.raises(ValueError, match="draws must be a whole number of at least 100"):
                approx.diagnose(draws=draws)

    def test_all_data_of_minibatches(self):
        y = np.random.default_rng(1).normal(2, 1, 400)
        with vb.Model():
            mu = vb.Normal("mu", 0, 10)
            vb.Normal("y", mu, 1, observed=vb.Minibatch(y, batch_size=20), total_size=400)
            approx = vb.MeanField()
        precision = 400 + 0.01
        right = approx.groups[0].params_near(
            np.array([y.sum() / precision]), np.array([precision**-0.5])
        )
        for name, value in right.items():
            approx.shared_params[name].set_value(value)
        assert approx.diagnose(random_seed=1).good


class TestBetterDraws:
    def test_too_narrow(self, model):
        """Of two correlated variables, the best independent normals are too narrow."""
        approx = vb.MeanField(model=model)
        sd = np.linalg.inv(COV).diagonal() ** -0.5
        for name, value in approx.groups[0].params_near(MEAN, sd).items():
            approx.shared_params[name].set_value(value)
        approx.ending = Ending(True, "it was done", findings())
        found = approx.diagnose(random_seed=1)
        assert [check.is_narrow for check in found.variables] == [True, True]
        np.testing.assert_allclose([c.ratio for c in found.variables], sd / [1, 5], rtol=1e-6)
        assert "too narrow (means agree)" in found.verdict
        assert "4000 weighted draws, Pareto k 0.20" in str(found)

    def test_wrong_mean(self, model):
        approx = full_rank(model, MEAN + np.array([0.5, 0.0]), 1.1 * COV)
        approx.ending = Ending(True, "it was done", findings())
        (worst, *_) = approx.diagnose(random_seed=1).at_fault
        assert worst.name == "x[0]"
        assert worst.shift == pytest.approx(0.5, abs=1e-6)

    def test_not_trusted(self, model):
        approx = full_rank(model, cov=0.05 * COV)
        approx.ending = Ending(True, "it was done", findings(trusted=False, mean=MEAN + 100))
        found = approx.diagnose(random_seed=1)
        assert not found.good
        assert "better" not in found.checked_by

    def test_own_weights_do_not_outweigh_findings_that_are_not_trusted(self, model):
        """Chains that did not mix may have seen what the own draws do not reach."""
        approx = full_rank(model, MEAN + np.array([0.4, 0.0]), 1.2 * COV)
        approx.ending = Ending(True, "it was done", findings(trusted=False))
        found = approx.diagnose(random_seed=1)
        assert found.reliable
        assert not found.good
        assert "did not mix" in found.verdict

    def test_several_modes(self, model):
        approx = full_rank(model)
        approx.ending = Ending(
            True, "it was done", findings(modes=2, places=2, dropped=(9.5, 20.0))
        )
        found = approx.diagnose(random_seed=1)
        assert not found.good
        assert "2 modes that hold mass, and this family has one" in found.verdict
        assert "modes left out" in str(found)
        assert "2, their ELBO lower by 9.5, 20.0" in str(found)

    def test_several_places(self, model):
        """A normal that did not come to an end is at no mode, but there is mass."""
        approx = full_rank(model)
        approx.ending = Ending(True, "it was done", findings(places=3))
        found = approx.diagnose(random_seed=1)
        assert not found.good
        assert "Mass was found in 3 places that lie far apart" in found.verdict

    def test_a_mixture_may_have_several(self):
        approx = vb.GaussianMixture(2, model=two_modes(), random_seed=1)
        values = {"log_weights": np.log([0.3, 0.7]), "mu": [[-3.0], [3.0]], "L": [[[0.5]], [[0.8]]]}
        for name, value in values.items():
            approx.shared_params[name].set_value(np.array(value))
        weighted = findings(modes=2, places=2, mean=np.array([1.2]), sd=np.array([2.84]))
        approx.ending = Ending(True, "it was done", weighted)
        found = approx.diagnose(random_seed=1)
        assert found.good
        assert found.khat < 0.7

    def test_not_converged(self, model):
        approx = full_rank(model)
        approx.ending = Ending(False, "the budget of 3 steps was used up", findings())
        found = approx.diagnose(random_seed=1)
        assert not found.good
        assert found.verdict.startswith("Not converged: the budget of 3 steps was used up")

    def test_a_loss_that_moves_does_no_harm_to_a_right_result(self, model):
        approx = full_rank(model)
        approx.ending = Ending(None, "100 iterations were done", unsettled=True)
        assert approx.diagnose(random_seed=1).good
        wrong = full_rank(model, MEAN + 3)
        wrong.ending = approx.ending
        assert wrong.diagnose(random_seed=1).converged is False


class TestOwnScale:
    """A rate of which nothing was counted: the logarithm of the odds is skewed."""

    trials = 60

    def judged(self, q, seed=1):
        """Judge a normal by exact draws of Beta(1, 61)."""
        rng = np.random.default_rng(1)
        with vb.Model() as model:
            p = vb.Beta("p", 1, 1)
            vb.Binomial("y", n=self.trials, p=p, observed=0)
            approx = vb.FullRank()
        for name, value in approx.groups[0].params_near(*q).items():
            approx.shared_params[name].set_value(value)
        p = rng.beta(1, 1 + self.trials, size=20_000)
        flat = np.log(p / (1 - p))[:, None]
        summary = summary_of(model, WeightedDraws(flat, np.full(20_000, -np.log(20_000)), np.nan))
        facts = vars(findings()) | vars(summary) | {"khat": np.nan, "ess": 20_000.0}
        approx.ending = Ending(True, "it was done", Findings(**facts))
        return approx.diagnose(random_seed=seed), flat

    def test_right_on_one_scale_and_wrong_on_the_other(self):
        """The moments of the log odds are exact: the rate is too wide all the same."""
        exact = (
            np.array([digamma(1) - digamma(61)]),
            np.array([[np.sqrt(polygamma(1, 1) + polygamma(1, 61))]]),
        )
        found, _ = self.judged(exact)
        assert [check.name for check in found.variables] == ["p_logodds__", "p"]
        log_odds, rate = found.variables
        assert not log_odds.is_shifted
        assert not log_odds.is_wide
        assert log_odds.above < 0.02  # 95 % point of the rate at 0.08 in place of 0.048
        assert rate.ratio > 1.25
        assert rate.is_wide
        assert not found.good
        assert "p" in found.verdict

    def test_the_noise_of_a_heavy_tail(self):
        """A few draws decide the width of a log-normal: that is no fault."""
        with vb.Model() as model:
            vb.LogNormal("s", 0, 2)
            approx = vb.FullRank()
        for name, value in approx.groups[0].params_near(np.zeros(1), 2 * np.eye(1)).items():
            approx.shared_params[name].set_value(value)
        for seed in range(5):
            flat = 2 * np.random.default_rng(seed).normal(size=(1000, 1))
            even = WeightedDraws(flat, np.full(1000, -np.log(1000)), np.nan)
            facts = vars(findings()) | vars(summary_of(model, even)) | {"ess": 1000.0}
            better = Findings(**facts)
            assert agrees(approx, better)
            assert better.own_error[0] > 0.1

    @pytest.mark.parametrize("fault", ["narrow", "shifted"])
    def test_tails_of_a_variable_without_a_transform(self, model, fault):
        approx = full_rank(
            model,
            *{"narrow": (MEAN, 0.7 * COV), "shifted": (MEAN + np.array([0.3, 0]), COV)}[fault],
        )
        points = MEAN + ndtri(PROBABILITIES)[:, None] * np.sqrt(COV.diagonal())
        assert not agrees(approx, findings(points=points))
        assert agrees(full_rank(model), findings(points=points))


def test_a_search_and_the_verdict_judge_by_the_same_draws():
    """Else what was found to hold the posterior would now and then be said not to."""
    with vb.Model() as model:
        vb.LogNormal("s", 0, 1)
        approx = vb.FullRank()
    for name, value in approx.groups[0].params_near(np.zeros(1), np.eye(1)).items():
        approx.shared_params[name].set_value(value)
    flat = np.random.default_rng(1).normal(size=(1000, 1))
    even = WeightedDraws(flat, np.full(1000, -np.log(1000)), np.nan)
    better = Findings(**vars(findings(normals=2)) | vars(summary_of(model, even)) | {"ess": 1e3})
    seed = derived_seed(approx.noise_seeds)
    own = own_summary(approx, seed)
    approx.flat_draws(10, seed)  # which a verdict needs, too
    again = own_summary(approx, seed)
    np.testing.assert_array_equal(again.own_sd, own.own_sd)
    approx.ending = Ending(True, "it was done", better)
    told = compared(approx, own, better, better.ess)
    assert approx.diagnose().variables == told


class TestOneVerdict:
    """Without a seed, the approximation's own."""

    def test_of_one_approximation(self, model):
        approx = vb.FullRank(model=model, random_seed=3)
        first = approx.diagnose()
        assert all(approx.diagnose() == first for _ in range(5))
        approx.sample(10)
        assert approx.diagnose() == first

    def test_of_fits_with_the_same_seed(self):
        found = []
        for _ in range(2):
            with vb.Model():
                s = vb.Exponential("sigma", 1.0)
                vb.Potential("rating", vb.logcdf(vb.Normal.dist(s, 1.0), 0.0))
                options = dict(random_seed=1, progressbar=False, diagnose=False)
                approx = vb.fit(method="fullrank_advi", **options)
            found += [approx.diagnose(), approx.diagnose()]
        facts = {(d.khat, d.ess, d.verdict, d.variables) for d in found}
        assert len(facts) == 1


class TestTooNarrow:
    """A bent posterior, y ~ N(x², 0.5), of which a normal sees one part only."""

    @pytest.mark.parametrize("method", ["pathfinder", "laplace", "fullrank_advi"])
    def test_searches(self, method):
        options = dict(random_seed=1, progressbar=False, diagnose=False)
        approx = vb.fit(method=method, model=bent(), **options)
        assert not approx.diagnose(random_seed=1).good

    @pytest.mark.parametrize("seed", range(4))
    def test_tails(self, seed):
        """At seed 0 its own draws have nearly even weights, and tell nothing."""
        with vb.Model():
            vb.StudentT("x", 4)
            approx = vb.MeanField()
        approx.shared_params["rho"].set_value(np.log(np.expm1([1.1])))
        approx.ending = DONE
        assert not approx.diagnose(random_seed=seed).good


class TestOptimizerOnItsWay:
    """A fit that was told when to stop, in a family that holds the posterior."""

    @pytest.mark.parametrize("seed", range(3))
    def test_a_mean(self, model, seed):
        approx = full_rank(model, MEAN + np.array([0.0, 2.0]), ending=TOLD)
        found = approx.diagnose(random_seed=seed)
        assert "x[1]" in found.moving
        assert found.converged is False
        assert "Not converged: x[" in found.verdict

    @pytest.mark.parametrize("scale", [0.5, 2.2])
    def test_a_width(self, model, scale):
        found = full_rank(model, cov=scale * COV, ending=TOLD).diagnose(random_seed=1)
        assert set(found.moving) == {"x[0]", "x[1]"}

    def test_far_away(self, model):
        """Where weights tell nothing."""
        found = full_rank(model, MEAN + 30, ending=TOLD).diagnose(random_seed=1)
        assert not found.checked_by
        assert "Not converged" in found.verdict

    @pytest.mark.parametrize("seed", range(5))
    def test_the_best_of_a_family_that_is_too_small(self, model, seed):
        """Independent normals at their optimum: variances are one over the precisions."""
        approx = vb.MeanField(model=model)
        best = np.diag(1 / np.sqrt(np.linalg.inv(COV).diagonal()))
        for name, value in approx.groups[0].params_near(MEAN, best).items():
            approx.shared_params[name].set_value(value)
        approx.ending = TOLD
        assert approx.diagnose(random_seed=seed).moving == ()

    def test_one_that_came_to_its_own_end(self, model):
        found = full_rank(model, MEAN + np.array([0.0, 2.0])).diagnose(random_seed=1)
        assert found.moving == ()

    def test_the_default_optimizer_with_few_steps(self):
        with vb.Model():
            mu = vb.Normal("mu", 0, 10)
            vb.Normal("y", mu, 1, observed=[1.2, 0.8, 1.9])
            with pytest.warns(vb.ConvergenceWarning, match="Not converged: mu still on the way"):
                vb.fit(1000, random_seed=1, progressbar=False, backend="py")


class TestWithoutDensity:
    def test_particles(self, model):
        approx = vb.Empirical(size=100, model=model)
        found = approx.diagnose()
        assert not found.good
        assert not found.judged
        assert np.isnan(found.elbo)
        assert found.verdict.startswith("Cannot be judged")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found.warn()

    def test_particles_of_good_draws(self, model):
        approx = vb.Empirical(size=100, model=model)
        approx.ending = Ending(True, "it was done", findings())
        assert approx.diagnose().good
        approx.ending = Ending(True, "it was done", findings(trusted=False, khat=0.9))
        found = approx.diagnose()
        assert not found.good
        assert "Pareto k is 0.90" in found.verdict

    def test_moved_draws(self, model):
        approx = vb.Empirical(size=100, model=model)
        approx.ending = Ending(True, "it was done", findings(khat=np.nan))
        found = approx.diagnose()
        assert found.good
        assert "draws of chains, worth 3000, which had mixed" in found.checked_by


class TestImportanceSampling:
    @pytest.mark.parametrize("seed", range(3))
    def test_draws_are_corrected(self, model, seed):
        approx = full_rank(model, MEAN + np.array([0.3, 1.0]), 1.5 * COV)
        posterior = approx.sample(4000, random_seed=seed, importance=True).posterior
        x = posterior["x"].values[0]
        np.testing.assert_allclose((x.mean(axis=0) - MEAN) / [1, 5], 0, atol=0.06)
        np.testing.assert_allclose(np.cov(x.T) / COV, 1, atol=0.12)
        assert posterior.attrs["pareto_k"] < 0.7

    def test_it_tells_where_it_cannot(self, model):
        posterior = full_rank(model, cov=0.1 * COV).sample(500, random_seed=1, importance=True)
        assert posterior.posterior.attrs["pareto_k"] > 0.7

    def test_transformed_variables(self):
        with vb.Model():
            s = vb.Exponential("s", 2.0)
            vb.Deterministic("square", s**2)
            approx = vb.MeanField(start={"s": 0.4}, start_sigma={"s": 1.2})
        posterior = approx.sample(
            4000, random_seed=1, importance=True, include_transformed=True
        ).posterior
        assert posterior["s"].mean() == pytest.approx(0.5, abs=0.04)
        np.testing.assert_allclose(posterior["square"], posterior["s"] ** 2)
        np.testing.assert_allclose(np.exp(posterior["s_log__"]), posterior["s"])

    def test_same_seed_same_draws(self, model):
        approx = full_rank(model, MEAN, 1.5 * COV)
        first, again, other = (
            approx.sample(50, random_seed=s, importance=True).posterior["x"].values
            for s in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()


def test_a_funnel_is_not_held_by_independent_normals():
    with pytest.warns((vb.ApproximationWarning, vb.ConvergenceWarning)):
        vb.fit(model=funnel(10), random_seed=1, progressbar=False)


def test_several_groups_are_judged_by_their_draws():
    cov = covariance(3, correlation=0.0)
    with vb.Model() as model:
        x = vb.Normal("x", 0, np.sqrt(cov.diagonal()), shape=3)
        y = vb.Normal("y", 1, 2)
        groups = [vb.Group([x], vfam="mf"), vb.Group([y], vfam="fr")]
        approx = vb.Approximation(groups, model=model)
    found = approx.diagnose(random_seed=1)
    assert len(found.variables) in (0, 4)
    assert np.isfinite(found.elbo)


def test_noise_is_that_of_the_largest():
    """Of the means of many normal draws, the largest."""
    rng = np.random.default_rng(1)
    largest = np.abs(rng.normal(size=(300, 50, 100)).mean(axis=2)).max(axis=1)
    assert np.median(largest) < largest_of(50, 100) < 1.3 * np.quantile(largest, 0.9)


def test_what_cannot_be_judged_costs_nobody_the_fit(model):
    class Broken:
        def diagnose(self):
            raise RuntimeError("the roof is on fire")

    with pytest.warns(vb.ApproximationWarning, match="RuntimeError: the roof is on fire") as caught:
        judge(Broken(), stacklevel=1)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("trusted", [True, False])
def test_even_weights_at_one_of_several_normals_are_no_proof(model, trusted):
    """The weights of a normal in a narrow mode know nothing of the wide one around it."""
    beside = findings(mean=MEAN + 2 * np.sqrt(COV.diagonal()), trusted=trusted, normals=2)
    found = full_rank(model, ending=Ending(True, "it was done", beside)).diagnose(random_seed=1)
    assert found.ess > 950
    assert not found.good
    alone = Ending(True, "it was done", findings(trusted=trusted))
    assert full_rank(model, ending=alone).diagnose(random_seed=1).good


@pytest.mark.parametrize("seed", seeds(3))
def test_a_narrow_mode_inside_of_a_wide_one(seed):
    approx = vb.fit(model=nested_modes(), random_seed=seed, diagnose=False)
    assert not approx.diagnose().good


def nested_modes():
    with vb.Model() as model:
        x = vb.Flat("x", shape=2)
        parts = [
            -0.5 * ((x - mean) ** 2).sum() / sd**2 - 2 * np.log(sd)
            for mean, sd in [(0.0, 1.0), (1.8, 0.03)]
        ]
        vb.Potential("mixture", vb.math.logsumexp(vb.math.stack(parts)))
    return model
