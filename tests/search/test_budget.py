import time

import pytest

from vibayes.search.budget import Budget


def test_steps():
    budget = Budget(100.0, 3)
    assert [budget.step() for _ in range(5)] == [True, True, True, False, False]
    assert budget.taken == 3
    assert budget.exhausted == "the budget of 3 steps was used up"


def test_several_steps_at_once():
    budget = Budget(100.0, 1000)
    assert budget.step(999)
    assert not budget.exhausted
    assert budget.step(10)
    assert budget.exhausted == "the budget of 1,000 steps was used up"


def test_seconds():
    budget = Budget(0.01, 1000)
    time.sleep(0.02)
    assert not budget.step()
    assert budget.exhausted == "the budget of 0.01 seconds was used up"
    assert budget.elapsed > 0.01


@pytest.mark.parametrize("value", [0, -1, float("nan"), True])
def test_values_that_are_none(value):
    with pytest.raises(
        (TypeError, ValueError), match=f"max_seconds must be a (positive )?number, got {value}"
    ):
        Budget(value, 10)
    with pytest.raises(ValueError, match=f"max_steps must be a whole number .*, got {value}"):
        Budget(10.0, value)
