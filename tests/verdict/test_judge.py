import warnings
from dataclasses import replace

import numpy as np
import pytest
from helpers.posteriors import covariance, funnel, normal, two_modes

import vibayes as vb
from vibayes.approximations.base import judge
from vibayes.records.diagnosis import Diagnosis, VariableCheck
from vibayes.records.ending import Ending
from vibayes.records.findings import Attempt, Findings
from vibayes.verdict.judge import largest_of

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


def example(**changes):
    facts = dict(family="a family", elbo=-3.0, elbo_mcse=0.1, khat=0.2, ess=900.0, draws=1000)
    facts |= dict(converged=True, stopped="it was done", checked_by="better draws")
    return Diagnosis(**facts | changes)


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
        assert "Hamiltonian moves" in found.checked_by


def test_why_weights_are_weak():
    weak = example(checked_by="", khat=0.9)
    assert "Pareto k is 0.90, and more than 0.7 is too much" in weak.verdict
    few = example(checked_by="", khat=0.6, ess=30.0)
    assert "only 30 of 1000 weighted draws count" in few.verdict


class TestShown:
    wrong = example(
        khat=0.9,
        variables=tuple(VariableCheck(f"b[{i}]", 0.1 * i, 1.5, 0.01) for i in range(12)),
        attempts=(
            Attempt("full rank & more", -3.5, 0.95, 12.0, 1000, 1.5),
            Attempt("moves", np.nan, np.nan, 500.0, 2000, 9.0),
        ),
    )

    def test_text(self):
        text = str(self.wrong)
        assert "does not hold the posterior" in text
        assert "-3.00 ± 0.10" in text
        assert "b[11]: mean +1.10 sd off, width 1.50 of what it is" in text
        assert "… and 4 more" in text
        assert "full rank & more" in text
        lines = text.splitlines()
        (moves,) = [line for line in lines if line.lstrip().startswith("moves")]
        assert moves.split()[1:] == ["-", "-", "500", "of", "2000", "9.0"]

    def test_html(self):
        from html.parser import HTMLParser

        opened = []

        class Parser(HTMLParser):
            def handle_starttag(self, tag, attrs):
                opened.append(tag)

            def handle_endtag(self, tag):
                assert opened.pop() == tag

        found = self.wrong._repr_html_()
        Parser().feed(found)
        assert opened == []
        assert "full rank &amp; more" in found
        assert "firebrick" in found
        assert "seagreen" in example()._repr_html_()
        assert "gray" in example(why_not="nothing to go by")._repr_html_()

    def test_names_are_escaped(self):
        assert "<script>" not in example(family="<script>")._repr_html_()

    def test_what_is_not_there_is_not_shown(self):
        bare = example(elbo=np.nan, khat=np.nan, ess=np.nan, checked_by="")
        for name in ("ELBO", "Pareto k  ", "effective draws", "compared with", "modes left out"):
            assert name not in str(bare)

    def test_attributes_for_programs(self):
        assert self.wrong.at_fault[0].name == "b[11]"
        assert self.wrong.judged
        assert not self.wrong.fits


class TestChecks:
    def test_little_differences_pass(self):
        assert VariableCheck("x", 0.1, 0.95).good
        assert VariableCheck("x", -0.1, 1.1).good

    @pytest.mark.parametrize(("shift", "ratio"), [(0.3, 1.0), (-0.3, 1.0), (0, 0.7), (0, 1.5)])
    def test_larger_ones_do_not(self, shift, ratio):
        assert not VariableCheck("x", shift, ratio).good

    def test_noise_explains_some(self):
        assert VariableCheck("x", 0.3, 0.8, noise=0.4).good

    def test_noise_is_that_of_the_largest(self):
        """Of the means of many normal draws, the largest."""
        rng = np.random.default_rng(1)
        largest = np.abs(rng.normal(size=(300, 50, 100)).mean(axis=2)).max(axis=1)
        assert np.median(largest) < largest_of(50, 100) < 1.3 * np.quantile(largest, 0.9)


class TestWarnings:
    def test_categories(self):
        with pytest.warns(vb.ConvergenceWarning, match="Not converged"):
            example(converged=False).warn()
        shifted = (VariableCheck("x", 0.9, 1.0),)
        with pytest.warns(vb.ApproximationWarning, match="the mean of x is off"):
            example(variables=shifted).warn()
        with pytest.warns(vb.ConvergenceWarning):
            example(variables=shifted, converged=False).warn()

    def test_good_and_unknown_are_silent(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            example().warn()
            example(converged=None).warn()
            example(why_not="there is nothing to judge by").warn()

    def test_they_name_the_line(self):
        with pytest.warns(vb.ConvergenceWarning) as caught:
            example(converged=False).warn()
        assert caught[0].filename == __file__

    def test_they_are_users_warnings(self):
        assert issubclass(vb.ConvergenceWarning, UserWarning)
        assert issubclass(vb.ApproximationWarning, UserWarning)
        assert not issubclass(vb.ConvergenceWarning, vb.ApproximationWarning)

    def test_what_cannot_be_judged_costs_nobody_the_fit(self, model):
        class Broken:
            def diagnose(self):
                raise RuntimeError("the roof is on fire")

        with pytest.warns(
            vb.ApproximationWarning, match="RuntimeError: the roof is on fire"
        ) as caught:
            judge(Broken(), stacklevel=1)
        assert caught[0].filename == __file__

    def test_weak_weights_are_not_advised(self):
        shifted = example(variables=(VariableCheck("x", 0.9, 1.0),))
        assert "importance=True" in shifted.verdict
        assert "importance=True" not in replace(shifted, khat=0.8).verdict
        assert "importance=True" not in replace(shifted, ess=20.0).verdict


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
