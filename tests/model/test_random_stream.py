import numpy as np
import pytensor
import pytest
from scipy import stats

from vibayes.model.random_stream import at_rng, tt_rng


@pytest.mark.filterwarnings("error::FutureWarning")
def test_draws_are_new_at_each_evaluation():
    function = pytensor.function([], at_rng(1).normal(size=(1000,)), mode="FAST_COMPILE")
    first, second = function(), function()
    assert stats.kstest(first, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15


def test_a_seed_gives_the_same_numbers_again():
    draws = [at_rng(seed).uniform(size=(3,)).eval(mode="FAST_COMPILE") for seed in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).all()
    assert tt_rng is at_rng
