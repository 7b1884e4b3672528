import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.toys import Spherical

from vibayes import Minibatch, Model, Normal, fit
from vibayes.distributions.continuous import Exponential
from vibayes.distributions.discrete import Poisson
from vibayes.distributions.transforms import Interval
from vibayes.exceptions import SamplingError, ShapeError
from vibayes.inference.steps import CompiledSteps
from vibayes.model.initial import check_support


@pytest.fixture
def model():
    with Model() as model:
        mu = Normal("mu", 1.5, 2)
        sigma = Exponential("sigma", [0.5, 2.0])
        Normal("x", mu, sigma, shape=(3, 2))
        Poisson("n", 2.7)
        Spherical("v", [1.0, 2.0], shape=(2, 2))
        Normal("y", mu, 1, observed=[0.0, 1.0])
    return model


def test_support_point_is_the_default(model):
    point = model.initial_point()
    expected = {
        "mu": 1.5,
        "sigma_log__": np.log([2, 0.5]),
        "x": np.full((3, 2), 1.5),
        "n": 2,
        "v": [[1, 2], [1, 2]],
    }
    assert list(point) == list(expected)
    for variable in model.value_vars:
        value = point[variable.name]
        assert (value.dtype, value.shape) == (variable.dtype, variable.type.shape)
        np.testing.assert_allclose(value, expected[variable.name])
    assert np.isfinite(model.compile_logp(backend="py")(point))


def test_initval():
    with Model() as model:
        Normal("a", 0, 1, shape=(2, 3), initval=[1, 2, 3])
        Exponential("b", initval=2.0)
        Exponential("c", 4.0, initval="support_point")
        Poisson("d", 1.0, shape=2, initval=7)
        Normal("e", 0, 1, shape=2, initval=pt.constant(2.0) ** 2)
        Exponential("f", transform=None, initval=3)
    point = model.initial_point()
    np.testing.assert_array_equal(point["a"], [[1, 2, 3]] * 2)
    np.testing.assert_allclose(point["b_log__"], np.log(2))
    np.testing.assert_allclose(point["c_log__"], np.log(0.25))
    np.testing.assert_array_equal(point["d"], [7, 7])
    np.testing.assert_array_equal(point["e"], [4, 4])
    np.testing.assert_array_equal(point["f"], 3)


def test_later_variables_start_from_the_start_of_earlier_ones():
    with Model() as model:
        a = Normal("a", 0, 1, initval=5.0)
        b = Normal("b", a + 1, 1)
        Normal("c", b * 2, 1)
        y = Normal("y", a, 1, observed=-3.0)
        Normal("d", y, 1)
        low = Exponential("low", initval=10.0)
        Normal("e", 13.0, 1, transform=Interval(lower=low))
    point = model.initial_point()
    assert [float(point[name]) for name in "abcd"] == [5, 6, 12, -3]
    np.testing.assert_allclose(point["e_interval__"], np.log(3))


def test_prior_draws_follow_the_seed():
    with Model() as model:
        a = Normal("a", 0, 100, shape=3, initval="prior")
        Normal("b", a, 1e-9, initval="prior")
        Exponential("c", 1.0, initval="prior")
        Normal("d", 4, 1)
    first, again, other = (model.initial_point(seed) for seed in (1, 1, 2))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    for name in ("a", "b", "c_log__"):
        assert (first[name] != other[name]).all()
    assert len(set(first["a"])) == 3
    np.testing.assert_allclose(first["b"], first["a"], atol=1e-7)  # the draw of a, not another
    assert first["d"] == other["d"] == 4
    assert (model.initial_point()["a"] != model.initial_point()["a"]).all()
    draws = np.array([model.initial_point(seed)["a"] for seed in range(60)])
    assert 80 < draws.std() < 120


def test_start_takes_precedence(model):
    start = {"mu": 3.0, "sigma": [1.0, np.e], "x": 0.5}
    point = model.initial_point(start=start)
    np.testing.assert_allclose(point["mu"], 3)
    np.testing.assert_allclose(point["sigma_log__"], [0, 1])
    np.testing.assert_array_equal(point["x"], np.full((3, 2), 0.5))
    point = model.initial_point(start={"sigma_log__": -1.0, "mu": 2})
    np.testing.assert_allclose(point["sigma_log__"], [-1, -1])
    np.testing.assert_allclose(point["x"], 2)  # starts at its mean
    assert start.keys() == {"mu", "sigma", "x"}


def test_point_of_another_fit_is_a_start(model):
    point = model.initial_point(start={"mu": -7.0, "sigma": [3.0, 4.0]})
    again = model.initial_point(start=point)
    for name, value in point.items():
        np.testing.assert_allclose(again[name], value)


def test_float32():
    with pytensor.config.change_flags(floatX="float32"):
        with Model() as model:
            Exponential("x", 2.0, initval=np.float64(0.1))
        assert model.initial_point()["x_log__"].dtype == "float32"


def test_model_without_free_variables():
    assert Model().initial_point() == {}


@pytest.mark.parametrize(
    ("start", "error", "message"),
    [
        ({"nu": 1.0}, KeyError, r"no free variable 'nu' \(it has: mu, sigma"),
        ({"y": 1.0}, KeyError, "no free variable 'y'"),
        ({"x": [1.0, 2.0, 3.0]}, ShapeError, r"'x' has shape \(3,\), the variable \(3, 2\)"),
        ({"mu": np.nan}, ValueError, "start value of 'mu' holds NaN"),
        ({"mu": "high"}, TypeError, "start value of 'mu' must be numbers, got 'high'"),
        ({"mu": np.inf}, SamplingError, "start value of 'mu' is inf"),
        ({"sigma": -1.0}, SamplingError, r"'sigma' is nan after its transform LogTransform\(\)"),
        ({"sigma": [1.0, 0.0]}, SamplingError, r"'sigma' is -inf .* \(1 of 2 elements\)"),
    ],
)
def test_bad_starts_raise_naming_the_variable(model, start, error, message):
    with pytest.raises(error, match=message):
        model.initial_point(start=start)


def test_bad_initval_raises_naming_the_variable():
    with Model() as model:
        Exponential("sigma", initval=-1.0)
    with pytest.raises(SamplingError, match=r"'sigma'.*initval inside its support"):
        model.initial_point()
    with Model() as model:
        Normal("x", shape=2, initval=[1, 2, 3])
    with pytest.raises(ShapeError, match=r"'x' has shape \(3,\), the variable \(2,\)"):
        model.initial_point()


def test_data_beyond_constant_bounds_are_told_before_anything_is_compiled(monkeypatch):
    def compiled(*args, **kwargs):
        raise AssertionError("it was compiled")

    monkeypatch.setattr(CompiledSteps, "compile", compiled)
    for dist, data in [
        (lambda **k: Exponential("y", 1, **k), [1.0, -1.0]),
        (lambda **k: Poisson("y", 1, **k), [1, -1]),
        (lambda **k: Poisson("y", 1, total_size=10, **k), Minibatch(np.array([1, -1]), 2)),
    ]:
        with Model() as model:
            Normal("x")
            dist(observed=data)
        with pytest.raises(SamplingError, match="y: log density -inf"):
            fit(10, model=model, progressbar=False)


def test_data_are_let_alone_that_some_parameters_allow():
    with Model() as model:
        Poisson("y", 1, observed=[0, 3])
        Exponential("z", Exponential("rate", 1), observed=[0.0, 2.0])
        Normal("free", observed=-5.0)
    check_support(model)
