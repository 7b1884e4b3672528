"""Which values of a parametrized test are run by default, and which by ``.ci/run`` alone."""

import os

import pytest

LANE = os.environ.get("VIBAYES_BACKEND", "py")
"""What takes the steps of examples that have few: NumPy, but JAX in the lane of that."""


def by_default(values, chosen):
    """Return values to parametrize by; those that are not chosen are for the lane.

    Parameters
    ----------
    values : iterable
        Values, or tuples of these for several arguments.
    chosen : int or collection
        How many, from the first on, or which of them.
    """
    values = list(values)
    if isinstance(chosen, int):
        chosen = values[:chosen]
    return [v if v in chosen else for_the_lane(v) for v in values]


def for_the_lane(value):
    """Return a value that is for the lane."""
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, marks=pytest.mark.ci)
