from decimal import Decimal

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from helpers.toys import Spherical
from scipy import stats

import vibayes as vb
from vibayes import Model, Normal
from vibayes.backend.modes import evaluate
from vibayes.distributions.discrete import Poisson
from vibayes.exceptions import ImputationError, ModelError, ShapeError
from vibayes.model.observed import as_observed, known_value

NUMBERS = [0.5, -1.0, 2.0]


@pytest.mark.parametrize(
    "data",
    [
        NUMBERS,
        tuple(NUMBERS),
        np.array(NUMBERS),
        np.array(NUMBERS, dtype="float32"),
        np.array(NUMBERS)[::-1][::-1],
        np.ma.masked_array(NUMBERS, mask=[False] * 3),
        pd.Series(NUMBERS, index=["x", "y", "z"]),
        pd.Series([Decimal("0.5"), Decimal(-1), Decimal(2)]),
        xr.DataArray(NUMBERS, dims="time"),
        pt.constant(np.array(NUMBERS)),
        pytensor.shared(np.array(NUMBERS)),
        pt.cast(pytensor.shared(np.array(NUMBERS, dtype="float32")), "float64"),
    ],
    ids=lambda data: type(data).__name__,
)
def test_whatever_holds_numbers_can_be_observed(data):
    with Model() as model:
        Normal("y", 0.3, 2.0, observed=data)
    (value,) = evaluate([model.logp()])
    np.testing.assert_allclose(value, stats.norm(0.3, 2).logpdf(NUMBERS).sum(), rtol=1e-12)


@pytest.mark.parametrize(
    "data",
    [
        [1, 0, 4],
        np.array([1, 0, 4], dtype="uint8"),
        np.array([1.0, 0.0, 4.0]),
        pd.Series([1, 0, 4], dtype="Int64"),
        pytensor.shared(np.array([1, 0, 4])),
        pytensor.shared(np.array([1.0, 0.0, 4.0])),
        pt.constant(np.array([1, 0, 4], dtype="int32")),
    ],
    ids=lambda data: type(data).__name__,
)
@pytest.mark.parametrize("discrete", [True, False])
def test_whole_numbers_suit_both_kinds_of_distributions(data, discrete):
    with Model() as model:
        y = Poisson("y", 1.7, observed=data) if discrete else Normal("y", 0, 3, observed=data)
    (value,) = evaluate([model.logp()])
    expected = stats.poisson(1.7).logpmf if discrete else stats.norm(0, 3).logpdf
    np.testing.assert_allclose(value, expected([1, 0, 4]).sum(), rtol=1e-12)
    assert model.observed_RVs == [y]


def test_booleans_and_scalars_and_frames():
    with Model() as model:
        Normal("a", observed=[True, False])
        Normal("b", observed=2.5)
        Normal("c", observed=pd.DataFrame({"u": [1.0, 2.0], "v": [3, 4]}))
    terms = evaluate(model.logp(sum=False))
    assert [term.shape for term in terms] == [(2,), (), (2, 2)]
    logpdf = stats.norm().logpdf
    for term, data in zip(terms, ([1, 0], 2.5, [[1, 3], [2, 4]]), strict=True):
        np.testing.assert_allclose(term, logpdf(data))


def test_data_are_copied():
    data = np.array(NUMBERS)
    with Model() as model:
        y = Normal("y", observed=data)
    data[:] = 100
    np.testing.assert_array_equal(model.rvs_to_values[y].get_value(), NUMBERS)


def test_shared_variable_can_change_value_and_length():
    data = pytensor.shared(np.array(NUMBERS), name="data")
    with Model() as model:
        Normal("y", 0, 1, observed=data)
    logp = model.compile_logp(backend="py")
    for numbers in (NUMBERS, [4.0], np.linspace(0, 1, 7)):
        data.set_value(np.array(numbers))
        np.testing.assert_allclose(logp({}), stats.norm.logpdf(numbers).sum())


# -- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        [1.0, np.nan, np.nan, 2.0],
        np.array([1, np.nan, np.nan, 2], dtype="float32"),
        pd.Series([1.0, None, None, 2.0]),
        pd.Series([1, None, None, 2], dtype="object"),
        pytensor.shared(np.array([1.0, np.nan, np.nan, 2.0])),
        pt.constant(np.array([1.0, np.nan, np.nan, 2.0])),
    ],
    ids=lambda data: type(data).__name__,
)
def test_missing_values_raise_naming_variable_and_count(data):
    message = r"Poisson\('y'\): 2 of 4 observed values are NaN, the first at index \(1,\)"
    with Model() as model, pytest.raises(ImputationError, match=message):
        Poisson("y", 1, observed=data)
    assert model.named_vars == {}


@pytest.mark.parametrize("kind", [pytensor.shared, pt.constant])
def test_missing_values_of_tensors_raise(kind):
    message = r"Normal\('y'\): 1 of 2 observed values are NaN, the first at index \(1,\)"
    with Model() as model, pytest.raises(ImputationError, match=message):
        Normal("y", 0, 1, observed=kind(np.array([1.0, np.nan])))
    assert model.named_vars == {}


def test_masked_values_raise():
    data = np.ma.masked_array([[1.0, 2.0], [3.0, 4.0]], mask=[[False, False], [True, False]])
    with Model(), pytest.raises(ImputationError, match=r"1 of 4 .* masked, the first .* \(1, 0\)"):
        Poisson("y", 1, observed=data)


@pytest.mark.parametrize("data", [[1.0, 0.5, 2.5], pytensor.shared(np.array([1.0, 0.5, 2.5]))])
def test_discrete_distributions_need_whole_numbers(data):
    message = r"Poisson\('y'\): .* whole numbers, but 2 of 3 observed values .* first of them 0.5"
    with Model(), pytest.raises(ValueError, match=message):
        Poisson("y", 1.0, observed=data)


@pytest.mark.parametrize("data", [["a", "b"], [1j], [[1.0, 2.0], [3.0]], {"a": 1}, [object()]])
def test_what_is_no_number_raises(data):
    with Model(), pytest.raises(TypeError, match=r"Normal\('y'\): observed data must be"):
        Normal("y", observed=data)


@pytest.mark.parametrize(
    ("mu_shape", "data_shape"), [((3,), (2,)), ((3,), ()), ((2, 3), (3,)), ((3,), (3, 1)), (3, 1)]
)
def test_parameters_must_broadcast_to_the_data(mu_shape, data_shape):
    with Model() as model:
        mu = Normal("mu", shape=mu_shape)
        with pytest.raises(ShapeError, match=r"Normal\('y'\): the observed data have shape"):
            Normal("y", mu, 1, observed=np.zeros(data_shape))
    assert "y" not in model


def test_shape_of_data_and_variable_must_agree():
    with Model(coords={"side": ["l", "r"]}):
        with pytest.raises(ShapeError, match=r"shape \(3,\), the variable has \(2,\)"):
            Normal("y", observed=np.zeros(3), shape=2)
        with pytest.raises(ShapeError, match="length 3 along dimension 'side'"):
            Normal("y", observed=np.zeros(3), dims="side")
        with pytest.raises(ShapeError):
            Normal("y", observed=np.zeros((2, 2)), dims="side")
        with pytest.raises(ShapeError, match="one event has 1 axes, the observed data have 0"):
            Spherical("y", [0.0, 1.0], observed=0.0)


def test_known_value():
    data = pytensor.shared(np.array(NUMBERS))
    np.testing.assert_array_equal(known_value(data.astype("float32")), NUMBERS)
    np.testing.assert_array_equal(known_value(pt.constant(3)), 3)
    assert known_value(data * 2) is None


def test_floatx():
    with pytensor.config.change_flags(floatX="float32"):
        assert as_observed(NUMBERS, "y", discrete=False).dtype == "float32"
        assert as_observed([1.0, 2.0], "y", discrete=True).dtype == "int64"


# -- expressions ----------------------------------------------------------------------------------


def drawn(sampler, *args):
    return sampler(*args, size=3, rng=pytensor.shared(np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda m: m["x"] + 1, "the random variable 'x'"),
        (lambda m: m["d"][m["k"]] * np.ones(3), "the random variable 'k'"),
        (lambda m: m.rvs_to_values[m["x"]], "'x', a variable that has no value"),
        (lambda m: m["y"], "the random variable 'y'"),
        (lambda m: vb.Normal.dist(0, 1, shape=3), r"a draw of Normal\(mu=0, sigma=1\)"),
        (lambda m: drawn(pt.random.normal), "random draws, normal"),
        (lambda m: drawn(pt.random.poisson, 3.0), "random draws, poisson"),
    ],
)
def test_what_is_no_data_is_refused_by_name(make, what):
    with Model() as model:
        x = Normal("x", shape=3)
        vb.Bernoulli("k", 0.5)
        vb.Data("d", np.arange(3.0))
        Normal("y", x, observed=np.zeros(3))
        with pytest.raises(ModelError, match=rf"Normal\('z'\): .* depend on {what}"):
            Normal("z", x, observed=make(model))
    assert "z" not in model


@pytest.mark.parametrize(
    "make",
    [
        lambda d: d + 1,
        lambda d: pt.sqrt(d) * pytensor.shared(2.0),
        lambda d: d[[0, 1, 1]],
        lambda d: d[drawn(pt.random.integers, 0, 3)],
        lambda d: d[(3 * drawn(pt.random.uniform)).astype("int64")],
    ],
)
def test_expressions_of_data_are_data(make):
    with Model() as model:
        d = vb.Data("d", np.arange(3.0))
        Normal("y", Normal("x"), observed=make(d))
    assert [rv.name for rv in model.observed_RVs] == ["y"]
