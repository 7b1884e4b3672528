import numpy as np
import pytest
from helpers.posteriors import ample, line, two_modes
from helpers.searches import fit
from scipy import optimize

import vibayes as vb
from vibayes.inference.searches.run import SearchRun
from vibayes.model.target import Target
from vibayes.search.budget import Budget
from vibayes.search.paths import searched


def test_mode_and_curvature():
    model = line()
    target = Target(model)
    best = optimize.minimize(
        lambda z: -target.logp(z[None])[0],
        [90.0, -9.0, 1.8],
        method="Nelder-Mead",
        options=dict(xatol=1e-8, fatol=1e-12, maxiter=10_000),
    )
    approx = fit(model, "laplace", diagnose=False)
    assert isinstance(approx, vb.FullRank)
    cov, mean = approx.groups[0].cov.eval(), approx.groups[0].mean.eval()
    np.testing.assert_allclose((mean - best.x) / np.sqrt(cov.diagonal()), 0, atol=0.02)

    def gradient(z):
        return target(z[None])[1][0]

    widths = 1e-3 * np.sqrt(cov.diagonal())
    hessian = np.array(
        [-(gradient(best.x + w) - gradient(best.x - w)) / (2 * w.max()) for w in np.diag(widths)]
    )
    np.testing.assert_allclose(hessian @ cov, np.eye(3), atol=0.02)
    assert approx.ending.reason == "the search came to a mode"


def test_a_loss_curve_takes_no_time_that_is_not_there():
    run = SearchRun(line(), {}, np.random.SeedSequence(1), ample())
    target = run.target()
    paths = searched(target, run.rng, run.budget)[:1]
    run.show(target, paths)
    assert len(run.losses) > 1
    late = SearchRun(line(), {}, np.random.SeedSequence(1), Budget(1e-9, 100))
    late.show(target, paths)
    assert late.losses == run.losses[:1]


def test_the_better_of_two_modes():
    approx = fit(two_modes(), "laplace", diagnose=False)
    assert approx.groups[0].mean.eval()[0] == pytest.approx(3, abs=0.05)
