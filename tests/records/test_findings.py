from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from vibayes.records.findings import PROBABILITIES, Search, Summary


def test_shares_below_points():
    """Exact for a normal, of which normal scores are linear."""
    points = np.column_stack([stats.norm(2, 3).ppf(PROBABILITIES), stats.expon.ppf(PROBABILITIES)])
    found = Summary(mean=np.array([2.0, 1.0]), sd=np.array([3.0, 1.0]), points=points)
    for p in (0.01, 0.04, 0.05, 0.3, 0.94, 0.98):
        below = found.below(np.array([stats.norm(2, 3).ppf(p), stats.expon.ppf(p)]))
        assert below[0] == pytest.approx(p, rel=1e-6)
        assert below[1] == pytest.approx(p, rel=0.08)
    assert found.below(np.array([-100.0, 100.0])) == pytest.approx([0.002, 0.998])


def test_five_and_ninety_five_percent_are_among_the_probabilities():
    assert 0.05 in PROBABILITIES
    assert 0.95 in PROBABILITIES
    assert list(PROBABILITIES) == sorted(PROBABILITIES)


def test_how_modes_were_looked_for():
    first, second = Search(13, 500, 100, 300_000), Search(9, 400, 0, modes=2, temperatures=7)
    assert (
        str(first) == "13 starts of 500 points, 100 from the prior; 300,000 points scanned: 1 mode"
    )
    cooled = "a population cooled in 7 temperatures"
    assert str(second) == f"9 starts of 400 points, none from the prior; {cooled}: 2 modes"
    assert first + second == Search(22, 900, 100, 300_000, 2, 7)
    far = replace(first, beyond_prior=("a", "b[0]", "b[1]", "c"))
    assert str(far).endswith("modes there: a, b[0], b[1] and 1 more")
    assert (second + far).beyond_prior == far.beyond_prior
