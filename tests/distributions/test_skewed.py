import numpy as np
import pytest
from helpers.checks import ALL_CHECKS, Case
from scipy import stats

from vibayes.backend.modes import evaluate
from vibayes.distributions.base import logp
from vibayes.distributions.continuous import StudentT
from vibayes.distributions.skewed import SkewStudentT

CASES = [
    Case(
        SkewStudentT,
        {"a": 3.0, "b": 1.5, "mu": 0.5, "sigma": 2.0},
        stats.jf_skew_t(3.0, 1.5, loc=0.5, scale=2.0),
        rtol=1e-8,
    ),
    Case(
        SkewStudentT,
        {"a": 0.6, "b": 8.0, "mu": -1.0, "sigma": 0.3},
        stats.jf_skew_t(0.6, 8.0, loc=-1.0, scale=0.3),
        rtol=1e-6,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("check", ALL_CHECKS)
def test_density(case, check):
    with np.errstate(all="ignore"):
        check(case)


def test_equal_shapes_are_students_t():
    x = np.array([-1e12, -30.0, -1.0, 0.0, 2.0, 1e5, 1e12])
    skewed = SkewStudentT.dist(2.0, 2.0, mu=0.5, lam=0.25)
    a, b = evaluate([logp(skewed, x), logp(StudentT.dist(4.0, 0.5, 2.0), x)])
    np.testing.assert_allclose(a, b, rtol=1e-12)
