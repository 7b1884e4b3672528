import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.toys import Spherical
from scipy import stats

from vibayes import Data, Deterministic, Model, Normal, Potential
from vibayes.backend.modes import evaluate
from vibayes.distributions.continuous import Exponential
from vibayes.distributions.discrete import Poisson
from vibayes.distributions.transforms import Interval, LogTransform, log
from vibayes.exceptions import ModelError, ShapeError
from vibayes.model.density import expand_total_size

Y = np.array([0.3, -1.2, 2.0, 0.7])
COUNTS = np.array([0, 2, 5])
POINT = {"mu": np.array(0.4), "sigma_log__": np.array([-0.5, 0.8]), "beta": np.array([1.0, -2.0])}


@pytest.fixture
def model():
    with Model() as model:
        mu = Normal("mu", 1.0, 2.0)
        sigma = Exponential("sigma", 0.7, shape=2)
        beta = Normal("beta", mu, sigma)
        rate = Deterministic("rate", pt.exp(mu + beta[0]))
        Normal("y", beta[[0, 1, 1, 0]], sigma[1], observed=Y)
        Poisson("n", rate, observed=COUNTS)
        Potential("soft", -(beta**2))
    return model


def terms_by_hand(point, jacobian=True):
    """Return the log density of each variable, element by element."""
    mu, z, beta = point["mu"], point["sigma_log__"], point["beta"]
    sigma = np.exp(z)
    return {
        "mu": stats.norm(1, 2).logpdf(mu),
        "sigma": stats.expon(scale=1 / 0.7).logpdf(sigma) + (z if jacobian else 0),
        "beta": stats.norm(mu, sigma).logpdf(beta),
        "y": stats.norm(beta[[0, 1, 1, 0]], sigma[1]).logpdf(Y),
        "n": stats.poisson(np.exp(mu + beta[0])).logpmf(COUNTS),
        "soft": -(beta**2),
    }


def total_by_hand(point, names=("mu", "sigma", "beta", "y", "n", "soft"), jacobian=True):
    terms = terms_by_hand(point, jacobian)
    return sum(np.sum(terms[name]) for name in names)


def at(model, graph, point=POINT):
    return evaluate([graph], {v: point[v.name] for v in model.value_vars})[0]


# -- the joint density ------------------------------------------------------------------------


def test_logp_is_a_scalar_of_the_value_variables(model):
    logp = model.logp()
    assert logp.type == pt.scalar(dtype="float64").type
    inputs = {v for v in pytensor.graph.traversal.graph_inputs([logp]) if v.owner is None}
    assert set(model.value_vars) <= inputs
    assert not [v for v in inputs if isinstance(v.type, pt.random.type.RandomType)]
    np.testing.assert_allclose(at(model, logp), total_by_hand(POINT), rtol=1e-12)


def test_parts_of_logp(model):
    free, observed = ("mu", "sigma", "beta"), ("y", "n")
    parts = {
        "varlogp": (free, True),
        "varlogp_nojac": (free, False),
        "datalogp": ((*observed, "soft"), True),
        "observedlogp": (observed, True),
        "potentiallogp": (("soft",), True),
    }
    for attribute, (names, jacobian) in parts.items():
        value = at(model, getattr(model, attribute))
        np.testing.assert_allclose(value, total_by_hand(POINT, names, jacobian), rtol=1e-12)


def test_logp_of_some_variables(model):
    y, soft, sigma = model["y"], model["soft"], model["sigma"]
    np.testing.assert_allclose(at(model, model.logp(y)), total_by_hand(POINT, ["y"]))
    np.testing.assert_allclose(
        at(model, model.logp([soft, sigma], jacobian=False)),
        total_by_hand(POINT, ["soft", "sigma"], jacobian=False),
    )
    assert at(model, model.logp([])) == 0
    with pytest.raises(ValueError, match="rate is neither a random variable nor a potential"):
        model.logp(model["rate"])


def test_logp_not_summed(model):
    terms = model.logp(sum=False)
    values = evaluate(terms, {v: POINT[v.name] for v in model.value_vars})
    for value, expected in zip(values, terms_by_hand(POINT).values(), strict=True):
        assert value.shape == np.shape(expected)
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_point_logps(model):
    exact = model.point_logps(POINT, round_vals=None)
    terms = terms_by_hand(POINT)
    assert list(exact) == list(terms)
    for name, value in exact.items():
        np.testing.assert_allclose(value, np.sum(terms[name]), rtol=1e-12)
    assert model.point_logps(POINT) == {name: round(v, 2) for name, v in exact.items()}
    start = {"mu": 1.0, "sigma_log__": np.log([1 / 0.7] * 2), "beta": np.ones(2)}
    assert model.point_logps() == {
        name: round(float(np.sum(v)), 2) for name, v in terms_by_hand(start).items()
    }


def test_compiled_logp(model):
    logp = model.compile_logp(backend="py")
    rng = np.random.default_rng(1)
    for _ in range(5):
        point = {name: rng.normal(size=np.shape(value)) for name, value in POINT.items()}
        np.testing.assert_allclose(logp(point), total_by_hand(point), rtol=1e-12)
    with pytest.raises(KeyError, match="beta"):
        logp({"mu": 0.0, "sigma_log__": [0.0, 0.0]})
    with pytest.raises(ValueError, match="backend must be"):
        model.compile_logp(backend="fortran")
    with pytest.raises(ValueError, match="either backend or mode"):
        model.compile_logp(backend="py", mode="NUMBA")


def test_compiled_gradient_is_that_of_finite_differences(model):
    dlogp = model.compile_dlogp(backend="py")
    flat = np.concatenate([np.ravel(v) for v in POINT.values()])

    def point(vector):
        return {"mu": vector[0], "sigma_log__": vector[1:3], "beta": vector[3:]}

    for jacobian, gradient in (
        (True, dlogp(POINT)),
        (False, model.compile_dlogp(jacobian=False, backend="py")(POINT)),
    ):
        step = 1e-6 * np.eye(flat.size)
        numeric = [
            total_by_hand(point(flat + h), jacobian=jacobian)
            - total_by_hand(point(flat - h), jacobian=jacobian)
            for h in step
        ]
        np.testing.assert_allclose(gradient, np.array(numeric) / 2e-6, rtol=1e-6)
    some = model.compile_dlogp([model["beta"], model.value_vars[0]], backend="py")(POINT)
    np.testing.assert_allclose(some, dlogp(POINT)[[3, 4, 0]])
    np.testing.assert_allclose(
        model.compile_dlogp(model["mu"], backend="py")(POINT), dlogp(POINT)[:1]
    )


def test_float32(model):
    with pytensor.config.change_flags(floatX="float32"):
        with Model() as model:
            mu = Normal("mu", np.array([0.0, 1.0]), 2)
            sigma = Exponential("sigma", np.float64(1.0))
            Normal("y", mu, sigma, observed=[0.1, 0.2], total_size=20)
        assert {v.dtype for v in model.value_vars} == {"float32"}
        logp, dlogp = model.logp(), model.dlogp()
        assert logp.dtype == dlogp.dtype == "float32"
        assert "float64" not in {v.type.dtype for v in pytensor.graph.ancestors([logp, dlogp])}


# -- transforms -------------------------------------------------------------------------------


def test_transform_can_be_chosen():
    with Model() as model:
        plain = Exponential("plain", 2.0, transform=None)
        other = Normal("other", 1.0, 2.0, transform=LogTransform())
    assert [v.name for v in model.value_vars] == ["plain", "other_log__"]
    point = {"plain": 0.3, "other_log__": -0.4}
    (a, b) = evaluate(
        model.logp([plain, other], sum=False), {v: point[v.name] for v in model.value_vars}
    )
    np.testing.assert_allclose(a, stats.expon(scale=0.5).logpdf(0.3))
    np.testing.assert_allclose(b, stats.norm(1, 2).logpdf(np.exp(-0.4)) - 0.4)


def test_transform_may_depend_on_other_variables():
    with Model() as model:
        low = Exponential("low")
        Normal("x", 0, 1, transform=Interval(lower=low))
    point = {"low_log__": 0.2, "x_interval__": -0.7}
    expected = (
        stats.expon.logpdf(np.exp(0.2)) + 0.2 + stats.norm.logpdf(np.exp(0.2) + np.exp(-0.7)) - 0.7
    )
    np.testing.assert_allclose(at(model, model.logp(), point), expected)
    (x,) = model.replace_rvs_by_values([model["x"]])
    np.testing.assert_allclose(at(model, x, point), np.exp(0.2) + np.exp(-0.7))


def test_jacobian_of_an_event_is_summed_over_its_elements():
    with Model() as model:
        Spherical("x", np.zeros(3), shape=(2, 3), transform=log)
    z = np.arange(6.0).reshape(2, 3) / 5
    (term,) = evaluate(model.logp(sum=False), {model.value_vars[0]: z})
    np.testing.assert_allclose(term, (stats.norm.logpdf(np.exp(z)) + z).sum(axis=1))


def test_replace_rvs_by_values(model):
    beta, sigma = model["beta"], model["sigma"]
    value, random = model.replace_rvs_by_values([beta.sum() * sigma, model["rate"]])
    np.testing.assert_allclose(at(model, value), -np.exp(POINT["sigma_log__"]))
    np.testing.assert_allclose(at(model, random), np.exp(0.4 + 1.0))


def test_dependent_parameters_of_an_observed_variable():
    """The data of one variable are the parameter of another."""
    with Model() as model:
        x = Normal("x", 0, 1, observed=[0.5, 1.0])
        Normal("y", x, 2, observed=[1.0, 0.0])
    expected = stats.norm.logpdf([0.5, 1]).sum() + stats.norm([0.5, 1], 2).logpdf([1, 0]).sum()
    np.testing.assert_allclose(at(model, model.logp(), {}), expected)


# -- total_size -------------------------------------------------------------------------------

DATA = np.linspace(-1, 2, 12).reshape(4, 3)


@pytest.mark.parametrize(
    ("total_size", "factor"),
    [
        (None, 1),
        (40, 10),
        (np.int64(40), 10),
        (4, 1),
        ([40], 10),
        ((40, None), 10),
        ((None, 9), 3),
        ((40, 9), 30),
        ((40, 9.0), 30),
        (np.array([40, 9]), 30),
        ((..., 9), 3),
        ((40, ...), 10),
        ((40, ..., 9), 30),
        ((...,), 1),
        (..., 1),
        ((None, None), 1),
    ],
)
def test_total_size_scales_the_density(total_size, factor):
    with Model() as model:
        mu = Normal("mu", 0, 5)
        y = Normal("y", mu, 2, observed=DATA, total_size=total_size)
    data = stats.norm(0.3, 2).logpdf(DATA)
    values = evaluate(
        [model.logp(), model.logp(y, sum=False)[0], model.observedlogp],
        {model.value_vars[0]: 0.3},
    )
    np.testing.assert_allclose(values[0], stats.norm(0, 5).logpdf(0.3) + factor * data.sum())
    np.testing.assert_allclose(values[1], factor * data)
    np.testing.assert_allclose(values[2], factor * data.sum())


def test_total_size_follows_the_length_of_the_data():
    with Model() as model:
        y = Data("data", DATA[:, 0], dims="obs")
        Normal("y", 0, 1, observed=y, dims="obs", total_size=100)
    logp = model.compile_logp(backend="py")
    for part in (DATA[:, 0], DATA[:2, 1], np.arange(100.0)):
        y.set_value(part)
        model.set_dim("obs", len(part))
        np.testing.assert_allclose(logp({}), 100 * stats.norm.logpdf(part).mean())


def test_total_size_of_vectors_and_local_variables():
    with Model() as model:
        z = Exponential("z", 1.0, shape=4, total_size=8)
        Spherical("y", np.zeros(3), observed=DATA, total_size=40)
    values = evaluate(model.logp(sum=False), {model.value_vars[0]: np.arange(4.0)})
    np.testing.assert_allclose(values[0], 2 * (np.arange(4) - np.exp(np.arange(4))))
    np.testing.assert_allclose(values[1], 10 * stats.norm.logpdf(DATA).sum(axis=1))
    assert model.rvs_to_total_sizes[z] == (8,)


@pytest.mark.parametrize(
    ("total_size", "error", "message"),
    [
        (3, ValueError, "total_size 3 is less than the 4 observations that axis 0"),
        ((40, 2), ValueError, "total_size 2 is less than the 3 observations that axis 1"),
        (-40, ValueError, "a whole number of at least 1, got -40"),
        (0, ValueError, "a whole number of at least 1, got 0"),
        (40.5, ValueError, "a whole number of at least 1, got 40.5"),
        (np.inf, ValueError, "a whole number of at least 1, got inf"),
        (np.nan, ValueError, "a whole number of at least 1, got nan"),
        ("all", ValueError, "a whole number of at least 1, got 'all'"),
        ((40, 3, 1), ShapeError, "has 3 entries, the observed data have 2 axes"),
        ((40, ..., 3, 1), ShapeError, "has 3 entries, the observed data have 2 axes"),
        ((..., 3, ...), ValueError, "one Ellipsis"),
    ],
)
def test_bad_total_size_raises_naming_the_variable(total_size, error, message):
    with Model() as model, pytest.raises(error, match=message) as caught:
        Normal("y", 0, 1, observed=DATA, total_size=total_size)
    assert str(caught.value).startswith("Normal('y'): ")
    assert model.named_vars == {}


def test_expand_total_size():
    assert expand_total_size((5, ..., 7), 4, "y") == (5, None, None, 7)
    assert expand_total_size((5, ..., 7), 2, "y") == (5, 7)
    assert expand_total_size(5, 2, "y") == (5, None)
    with pytest.raises(ShapeError, match="0 axes"):
        expand_total_size(5, 0, "y")


# -- what has no density ----------------------------------------------------------------------


def test_draws_that_belong_to_no_model_raise():
    with Model() as model:
        stray = Exponential.dist(1.0)
        Normal("y", stray, 1.0, observed=0.3)
    with pytest.raises(ModelError, match=r"'y' depends on a draw of Exponential\(lam=1\)"):
        model.logp()
    with Model() as model:
        Potential("p", Normal.dist() ** 2)
    with pytest.raises(ModelError, match="'p' depends on a draw of Normal"):
        model.logp()


def test_empty_model():
    assert at(Model(), Model().logp(), {}) == 0
    assert Model().point_logps() == {}
