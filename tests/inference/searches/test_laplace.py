import numpy as np
import pytest
from helpers.posteriors import line, two_modes
from helpers.searches import fit
from scipy import optimize

import vibayes as vb
from vibayes.model.target import Target


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


def test_the_better_of_two_modes():
    approx = fit(two_modes(), "laplace", diagnose=False)
    assert approx.groups[0].mean.eval()[0] == pytest.approx(3, abs=0.05)
