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


def test_late_is_when_a_fifth_of_the_time_is_left_or_nothing_else():
    budget = Budget(100.0, 2)
    assert not budget.is_late
    budget.begun -= 81
    assert budget.is_late
    assert not budget.time_is_up
    budget = Budget(100.0, 2)
    budget.step(2)
    assert budget.is_late


@pytest.mark.parametrize("value", [0, -1, float("nan"), True])
def test_values_that_are_none(value):
    with pytest.raises(
        (TypeError, ValueError), match=f"max_seconds must be a (positive )?number, got {value}"
    ):
        Budget(value, 10)
    with pytest.raises(ValueError, match=f"max_steps must be a whole number .*, got {value}"):
        Budget(10.0, value)
