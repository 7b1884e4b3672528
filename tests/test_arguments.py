import numpy as np
import pytest

from vibayes.arguments import check_whole


@pytest.mark.parametrize("value", [3, 3.0, np.int8(3), np.float32(3), np.array(3)])
def test_whole_numbers(value):
    found = check_whole(value, "n", 1)
    assert found == 3
    assert type(found) is int


@pytest.mark.parametrize(
    "value", [2.5, True, "3", None, np.nan, np.inf, [3], np.array([3, 3]), 0, -1, 1j]
)
def test_others(value):
    with pytest.raises(ValueError, match=r"n must be a whole number of at least 1, got "):
        check_whole(value, "n", 1)


def test_limits():
    assert check_whole(0, "n", 0) == 0
    assert check_whole(5, "rank", 1, 5) == 5
    for value in (0, 6):
        with pytest.raises(
            ValueError, match=f"rank must be a whole number from 1 to 5, got {value}"
        ):
            check_whole(value, "rank", 1, 5)
