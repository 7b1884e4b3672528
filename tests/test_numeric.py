import array
import decimal
import inspect

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr

import vibayes as vb
from vibayes.exceptions import ImputationError
from vibayes.numeric import as_whole_numbers, numeric_array, numeric_value

PAIR = np.array([0.25, 0.75])


class Table:
    def to_numpy(self):
        return PAIR


@pytest.mark.parametrize(
    "given",
    [
        [0.25, 0.75],
        (np.float32(0.25), 0.75),
        pd.Series(PAIR),
        pd.array(PAIR),
        pd.Series(PAIR, dtype="Float64"),
        xr.DataArray(PAIR),
        Table(),
        np.ma.masked_array(PAIR, False),
        PAIR.astype(">f8"),
        PAIR.astype("longdouble"),
        PAIR.astype(object),
        [decimal.Decimal("0.25"), decimal.Decimal("0.75")],
        array.array("d", PAIR),
    ],
    ids=lambda value: type(value).__name__,
)
def test_numbers_are_taken_out_of_any_container(given):
    found = numeric_array(given, "f: x")
    assert isinstance(found, np.ndarray)
    assert found.dtype in (np.dtype("float64"), np.dtype("float32"))
    np.testing.assert_array_equal(found, PAIR)
    pt.constant(found)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("3", "'3'"),
        (b"3", "b'3'"),
        (["a"], "<U1"),
        ([[1.0], [1.0, 2.0]], "inhomogeneous"),
        (1j, "real part"),
        (np.datetime64("2020-01-01"), "dates into numbers"),
        (pd.date_range("2020", periods=2), "dates into numbers"),
        (np.timedelta64(1, "D"), "divide it by a unit"),
        ({1.0}, "a list"),
        ({"a": 1.0}, "'a'"),
        (iter([1.0]), "a list"),
        (len, "len"),
        (np, "module"),
        (float, "float"),
        (None, "None"),
        (pd.NA, "<NA>"),
        ([1.0, "a"], "<U"),
        (np.array([1.0, "a"], dtype=object), r"element \(1,\) is 'a'"),
        (10**400, "too large"),
        (pd.DataFrame({"a": [1.0], "b": ["x"]}), r"element \(0, 1\) is 'x'"),
        (np.zeros(2, [("a", float)]), "columns"),
    ],
)
def test_what_is_no_number_is_refused_by_name(given, why):
    with pytest.raises(TypeError, match=r"^f: x must be numbers, got ") as caught:
        numeric_array(given, "f: x")
    assert caught.match(why)


def test_missing_numbers():
    with pytest.raises(ImputationError, match=r"^f: 1 of 2 values of x are masked, .* \(1,\)"):
        numeric_array(np.ma.masked_array(PAIR, [False, True]), "f: x")
    for given in ([0.5, None], pd.array([0.5, None], dtype="Float64")):
        np.testing.assert_array_equal(numeric_array(given, "f: x"), [0.5, np.nan])


def test_whole_numbers_are_neither_cut_nor_wrapped():
    assert as_whole_numbers(np.array([1.0, -2.0]), "y: observed data").dtype == "int64"
    for value in (0.5, np.inf, np.nan):
        with pytest.raises(ValueError, match=r"^y: observed data must be whole numbers, but 1"):
            as_whole_numbers(np.array([1.0, value]), "y: observed data")
    for value in (np.array([1e300]), np.array([2**63], dtype="uint64"), np.array([-1e30])):
        with pytest.raises(ValueError, match=r"whole numbers below 2\*\*63"):
            as_whole_numbers(value, "y: observed data")


@pytest.mark.parametrize("given", [1e300, np.inf, [2**63]], ids=str)
def test_discrete_data_that_no_whole_number_can_hold_are_refused(given):
    with (
        vb.Model(),
        pytest.raises(ValueError, match=r"Poisson\('y'\): observed data must be"),
    ):
        vb.Poisson("y", 1, observed=np.asarray(given))


def test_tensors_are_taken_if_they_are_of_real_numbers():
    x = pt.vector("x")
    assert numeric_value(x, "f: x") is x
    stacked = numeric_value([x[0], 1.0], "f: x")
    assert stacked.type.ndim == 1
    for wrong in (pt.zvector(), pytensor.shared(np.random.default_rng(1)), [x, x[0]]):
        with pytest.raises(TypeError, match=r"^f: x must be numbers"):
            numeric_value(wrong, "f: x")


def test_parameters_are_taken_out_of_tables():
    frame = pd.DataFrame({"a": PAIR, "b": PAIR})
    np.testing.assert_array_equal(
        vb.Normal.dist(frame["a"]).tag.distribution.params["mu"].data, PAIR
    )
    assert vb.Normal.dist(frame).type.shape == (2, 2)
    for wrong in ("a", ["a"], None, {1.0}, 1j, np.ma.masked_array(PAIR, [0, 1]), frame.astype(str)):
        with pytest.raises((TypeError, ImputationError), match=r"Normal: .*mu"):
            vb.Normal.dist(wrong)


def test_a_required_parameter_cannot_be_none():
    with pytest.raises(TypeError, match="Poisson: mu must be numbers, got None"):
        vb.Poisson.dist(None)


CHECKED_BY_THEMSELVES = {("CAR", "W"), ("ICAR", "W")}
"""Parameters that are more than numbers of some range."""


def test_every_parameter_of_a_distribution_is_checked():
    """Each is one of numbers, with a constraint, or has a type by which it is checked."""
    for name in vb.distributions.__all__:
        cls = getattr(vb.distributions, name)
        if not (isinstance(cls, type) and issubclass(cls, vb.Distribution)):
            continue
        several = inspect.signature(cls.__init__).parameters.values()
        several = {p.name for p in several if p.kind is p.VAR_POSITIONAL}
        for argument, hint in getattr(cls.__init__, "__annotations__", {}).items():
            if argument in several:  # of which the user's own functions know what they are
                continue
            known = argument in cls.constraints or hint != "Any" or argument == "steps"
            assert known or (name, argument) in CHECKED_BY_THEMSELVES, (name, argument)


# -- functions of tensors -------------------------------------------------------------------------


def test_functions_of_tensors_take_tables():
    frame = pd.DataFrame({"a": PAIR, "b": [1.0, 2.0]})
    dot = vb.math.dot(frame, np.ones(2))
    np.testing.assert_allclose(dot.eval(mode="FAST_COMPILE"), frame.to_numpy().sum(axis=1))
    joined = vb.math.concatenate([frame["a"], pt.zeros(1)])
    np.testing.assert_allclose(joined.eval(mode="FAST_COMPILE"), [0.25, 0.75, 0.0])
    assert vb.math.exp(decimal.Decimal(0)).eval(mode="FAST_COMPILE") == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vb.math.exp("a"), r"math\.exp: .*argument 1 = 'a'"),
        (lambda: vb.math.logit({1}), r"math\.logit: argument 1 must be numbers, got \{1\}"),
        (lambda: vb.math.diff(np.ma.masked_array(PAIR, [0, 1])), "1 of 2 values of argument 1"),
        (lambda: vb.math.switch(True, 1.0, "a"), r"math\.switch.*argument 3 = 'a'"),
        (lambda: vb.math.sum(PAIR, axis="a"), r"math\.sum: .*axis = 'a'"),
    ],
)
def test_functions_of_tensors_name_what_they_cannot_take(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
