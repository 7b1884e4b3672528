import numpy as np
import pytensor
import pytest

from vibayes.distributions.parameters import check_order, chosen, exactly_one, only_one
from vibayes.exceptions import ParameterError


def test_alternatives():
    only_one(a=None, b=None)
    only_one(a=0, b=None)
    with pytest.raises(ValueError, match="give either a or b, not both"):
        only_one(a=0, b=1)
    assert exactly_one(a=None, b=1) == "b"
    for given in ({"a": 1, "b": 2}, {"a": None, "b": None}):
        with pytest.raises(ValueError, match="give either a or b, and not both"):
            exactly_one(**given)


def test_groups_of_parameters():
    options = ("mu", "sigma"), ("alpha", "beta")
    assert chosen(*options, mu=1, sigma=2, alpha=None, beta=None) == ("mu", "sigma")
    with pytest.raises(ValueError, match="give mu and sigma, or alpha and beta; got mu and alpha"):
        chosen(*options, mu=1, sigma=None, alpha=1, beta=None)


def test_order_of_constants():
    check_order(0, [1, 2], strict=True)
    check_order([1, 1], 1, strict=False)
    check_order(pytensor.shared(3.0), 1, strict=True)  # known only at run time
    with pytest.raises(ParameterError, match="lower must be below upper, got 1 and 1"):
        check_order(1, 1, strict=True)
    with pytest.raises(ParameterError, match="k must be at most N, got 3 and 2"):
        check_order(3, 2, "k", "N", strict=False)
    with pytest.raises(ParameterError, match="lower must be below"):
        check_order(np.array([0.0, 5.0]), 1, strict=True)
