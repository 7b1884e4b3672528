"""Transforms by themselves, and in a model: change of variables by numeric Jacobians."""

import pickle
from itertools import pairwise

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.replace import graph_replace, vectorize_graph
from scipy import stats

from vibayes.backend.modes import EVALUATE_MODE, evaluate
from vibayes.distributions import transforms as tr
from vibayes.distributions.continuous import Normal, Uniform
from vibayes.distributions.multivariate import Dirichlet
from vibayes.model.core import Model

# Transform, number of unconstrained elements, condition on values of the support.
CASES = {
    "log": (tr.log, 3, lambda x: x > 0),
    "log_exp_m1": (tr.log_exp_m1, 3, lambda x: x > 0),
    "logodds": (tr.logodds, 3, lambda x: (x > 0) & (x < 1)),
    "interval": (tr.Interval(-1.5, np.array([0.0, 2.0, 30.0])), 3, lambda x: x > -1.5),
    "lower bound": (tr.Interval(2.0, None), 3, lambda x: x > 2),
    "upper bound": (tr.Interval(-np.inf, 2), 3, lambda x: x < 2),
    "ordered": (tr.ordered, 4, lambda x: np.diff(x) > 0),
    "ordered, positive": (tr.Ordered(positive=True), 4, lambda x: np.diff(x, prepend=0) > 0),
    "ordered, descending": (tr.Ordered(ascending=False), 4, lambda x: np.diff(x) < 0),
    "simplex": (tr.simplex, 4, lambda x: (x > 0) & np.isclose(x.sum(-1, keepdims=True), 1)),
    "sum_to_1": (tr.sum_to_1, 4, lambda x: np.isclose(x.sum(-1), 1)),
    "zero sum": (tr.ZeroSumTransform([-1]), 4, lambda x: np.isclose(x.sum(-1), 0)),
    "packed Cholesky": (tr.CholeskyCovPacked(3), 6, lambda x: x[..., [0, 2, 5]] > 0),
    "covariance": (tr.CholeskyCov(3), 6, lambda x: np.linalg.eigvalsh(x) > 0),
    "Cholesky factor of correlations": (
        tr.CholeskyCorr(3),
        3,
        lambda x: np.isclose((x**2).sum(-1), 1) & (np.diagonal(x, axis1=-2, axis2=-1) > 0),
    ),
    "upper factor of correlations": (
        tr.CholeskyCorr(3, upper=True),
        3,
        lambda x: np.isclose((x**2).sum(-2), 1) & (np.tril(x, -1).any((-2, -1)) == 0)[:, None],
    ),
    "chain": (tr.Chain([tr.ordered, tr.log_exp_m1]), 4, lambda x: np.diff(x, prepend=0) > 0),
    "circular": (tr.circular, 3, lambda x: abs(x) <= np.pi),
}
each_case = pytest.mark.parametrize(
    ("transform", "length", "holds"), list(CASES.values()), ids=list(CASES)
)


def numeric_jacobian(function, point, step=1e-6):
    """Return d function / d point by central differences, of shape (outputs, inputs)."""
    columns = [
        (function(point + step * unit) - function(point - step * unit)) / (2 * step)
        for unit in np.eye(len(point))
    ]
    return np.stack(columns, axis=-1)


def log_volume(jacobian):
    """Return the log of the volume to which a matrix maps the unit cube, in its range."""
    return 0.5 * np.linalg.slogdet(jacobian.T @ jacobian)[1]


@each_case
def test_backward_reaches_the_support_and_forward_returns(transform, length, holds):
    z = pt.dmatrix(shape=(20, length))
    x = transform.backward(z)
    points = np.random.default_rng(1).normal(scale=1.5, size=(20, length))
    value, back = evaluate([x, transform.forward(x)], {z: points})
    assert holds(value).all()
    if transform.name == "circular":  # the same angle, but for whole turns
        back, points = np.exp(1j * back), np.exp(1j * points)
    np.testing.assert_allclose(back, points, rtol=1e-8, atol=1e-8)
    assert tuple(transform.forward_shape(value.shape)) == points.shape


@each_case
def test_log_jacobian_is_that_of_backward(transform, length, holds):
    z = pt.dvector(shape=(length,))
    backward = pytensor.function([z], transform.backward(z), mode=EVALUATE_MODE)
    log_jac_det = pytensor.function([z], transform.log_jac_det(z), mode=EVALUATE_MODE)
    for point in np.random.default_rng(2).normal(size=(3, length)):
        jacobian = numeric_jacobian(backward, point)
        if transform.name in ("simplex", "sumto1"):  # with respect to all elements but the last
            jacobian = jacobian[:-1]
        elif jacobian.ndim == 3:  # with respect to the elements that tell the matrix
            below = np.tril_indices(3, 0 if transform.name == "cholesky-cov" else -1)
            upper = getattr(transform, "upper", False)
            jacobian = jacobian[below[::-1] if upper else below]
        actual = log_jac_det(point)
        assert actual.shape == (point.shape if transform.ndim_supp == 0 else ())
        np.testing.assert_allclose(actual.sum(), log_volume(jacobian), rtol=1e-6, atol=1e-7)


@each_case
def test_batches(transform, length, holds):
    """Leading axes, written down or made by vectorize_graph, give the same as a loop."""
    z, batch = pt.dvector(shape=(length,)), pt.dtensor3(shape=(2, 3, length))
    graphs = [transform.backward(z), transform.log_jac_det(z)]
    direct = [transform.backward(batch), transform.log_jac_det(batch)]
    points = np.random.default_rng(3).normal(size=(2, 3, length))
    results = evaluate(direct + vectorize_graph(graphs, {z: batch}), {batch: points})
    one = pytensor.function([z], graphs, mode=EVALUATE_MODE)
    loop = [one(p) for p in points.reshape(-1, length)]
    for i, result in enumerate(results):
        expected = np.stack([values[i % 2] for values in loop])
        np.testing.assert_allclose(result.reshape(expected.shape), expected, rtol=1e-12)


@each_case
@pytest.mark.parametrize("floatX", ["float64", "float32"])
def test_extreme_values(transform, length, holds, floatX):
    """Finite wherever exp is, and without NaN everywhere."""
    rng = np.random.default_rng(4)
    patterns = [np.ones(length), (-1.0) ** np.arange(length), np.eye(length)[0]]
    with pytensor.config.change_flags(floatX=floatX):
        if transform.name == "interval":  # its bounds have the dtype of when it was made
            transform = tr.Interval(-1.5, np.array([0.0, 2.0, 30.0]))
        z = pt.vector(shape=(length,))
        x, log_jacobian = transform.backward(z), transform.log_jac_det(z)
        weights = rng.normal(size=x.type.shape[0]).astype(floatX)
        gradient = pytensor.grad((x * weights).sum() + log_jacobian.sum(), z)
        outputs = [x, log_jacobian, gradient]
        assert [o.dtype for o in outputs] == [floatX] * 3
        function = pytensor.function([z], outputs, mode=EVALUATE_MODE)
        largest = 700 if floatX == "float64" else 80
        for size in (largest, -largest, 1e6, -1e6):
            for pattern in patterns:
                with np.errstate(over="ignore"):
                    results = function((size * pattern).astype(floatX))
                assert not any(np.isnan(r).any() for r in results)
                if abs(size) == largest:
                    assert all(np.isfinite(r).all() for r in results)


@each_case
def test_pickling(transform, length, holds):
    """The instances that the module names stay the same objects, the others keep their state."""
    again = pickle.loads(pickle.dumps(transform))
    named = [getattr(tr, name) for name in tr.__all__]
    assert again is transform or transform not in named
    z = np.random.default_rng(7).normal(size=length)
    np.testing.assert_array_equal(
        *evaluate([t.backward(pt.as_tensor(z)) for t in (transform, again)])
    )


def test_log_exp_m1_keeps_precision():
    x = np.array([1e-300, 1e-12, 1.0, 40.0, 1e300])
    expected = [np.log(1e-300), np.log(np.expm1(1e-12)), np.log(np.expm1(1.0)), 40.0, 1e300]
    (actual,) = evaluate([tr.log_exp_m1.forward(pt.as_tensor(x))])
    np.testing.assert_allclose(actual, expected, rtol=1e-14)


def test_simplex_is_isometric_in_log_ratios():
    """Distances in v are Aitchison distances: those of the centred log shares."""
    shares = np.random.default_rng(5).dirichlet([2.0, 1.0, 4.0, 3.0], size=6)
    (v,) = evaluate([tr.simplex.forward(pt.as_tensor(shares))])
    centred = np.log(shares) - np.log(shares).mean(axis=1, keepdims=True)
    for (i, a), (j, b) in pairwise(enumerate(v)):
        distance = np.linalg.norm(centred[i] - centred[j])
        np.testing.assert_allclose(np.linalg.norm(a - b), distance, rtol=1e-12)


def test_zero_sum_over_two_axes():
    transform = tr.ZeroSumTransform([-2, -1])
    z = pt.dtensor3(shape=(5, 2, 3))
    x = transform.backward(z)
    points = np.random.default_rng(6).normal(size=(5, 2, 3))
    value, back, log_jacobian = evaluate(
        [x, transform.forward(x), transform.log_jac_det(z)], {z: points}
    )
    np.testing.assert_allclose(value.sum(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose(value.sum(axis=2), 0, atol=1e-14)
    np.testing.assert_allclose(back, points)
    np.testing.assert_allclose((value**2).sum(axis=(1, 2)), (points**2).sum(axis=(1, 2)))
    np.testing.assert_array_equal(log_jacobian, np.zeros(5))


@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        (None, None, "finite bound"),
        (-np.inf, np.inf, "finite bound"),
        (None, np.array(np.inf), "finite bound"),
        (1.0, 1.0, "below"),
        (2.0, [3.0, 1.0], "below"),
        ([-np.inf, 0.0], 1.0, "everywhere"),
        (np.inf, None, "everywhere"),
        (np.nan, None, "everywhere"),
    ],
)
def test_impossible_intervals(lower, upper, message):
    with pytest.raises(ValueError, match=message):
        tr.Interval(lower, upper)


def test_empty_chain():
    with pytest.raises(ValueError, match="at least one"):
        tr.Chain([])


def check_joint_density(model, log_density, coordinates, seed=0):
    """Compare a model's log density with a density of its variables and a numeric Jacobian.

    Parameters
    ----------
    model
        A model without observed variables.
    log_density
        Function of the values of the free variables, in their order.
    coordinates
        Function of the same values that returns, as one vector, the coordinates in which that
        density is one.
    """
    sizes = [int(np.prod(v.type.shape)) for v in model.value_vars]
    flat, ends = pt.dvector(), np.cumsum(sizes)
    parts = {
        v: flat[int(end) - size : int(end)].reshape(v.type.shape)
        for v, size, end in zip(model.value_vars, sizes, ends, strict=True)
    }
    graphs = [model.logp(), *model.replace_rvs_by_values(model.free_RVs)]
    function = pytensor.function([flat], graph_replace(graphs, parts), mode=EVALUATE_MODE)
    for point in np.random.default_rng(seed).normal(size=(3, sum(sizes))):
        total, *values = function(point)
        jacobian = numeric_jacobian(lambda p: coordinates(*function(p)[1:]), point)
        assert jacobian.shape[0] == jacobian.shape[1]
        expected = log_density(*values) + np.linalg.slogdet(jacobian)[1]
        np.testing.assert_allclose(total, expected, rtol=1e-6)


def join(*values):
    return np.concatenate([np.ravel(v) for v in values])


def test_model_with_ordered_normals():
    start = np.array([[-1.0, 2.0], [0.0, 5.0]])
    with Model() as model:
        Normal("x", 1.0, 2.0, shape=(2, 2), transform=tr.ordered, initval=start)
    assert model.value_vars[0].name == "x_ordered__"
    np.testing.assert_allclose(
        model.initial_point()["x_ordered__"], [[-1.0, np.log(3)], [0.0, np.log(5)]]
    )
    check_joint_density(model, lambda x: stats.norm(1, 2).logpdf(x).sum(), join)


@pytest.mark.parametrize(
    "transform",
    [tr.Interval(-3.0, 4.0), tr.log_exp_m1, tr.circular, tr.Chain([tr.log, tr.ordered])],
)
def test_model_with_elementwise_and_chained_transforms(transform):
    with Model() as model:
        Normal("x", 1.0, 2.0, shape=3, transform=transform)
    check_joint_density(model, lambda x: stats.norm(1, 2).logpdf(x).sum(), join)


def test_model_with_bounds_that_depend_on_other_variables():
    with Model() as model:
        low = Normal("low", 0.0, 1.0)
        width = Normal("width", 1.0, 1.0, shape=2, transform=tr.log)
        Uniform("x", low, low + width)
        Normal("y", 0.0, 3.0, transform=tr.Interval(upper=low), initval=-1.0)

    def log_density(low, width, x, y):
        return (
            stats.norm.logpdf(low)
            + stats.norm(1, 1).logpdf(width).sum()
            + stats.uniform(low, width).logpdf(x).sum()
            + stats.norm(0, 3).logpdf(y)
        )

    check_joint_density(model, log_density, join)
    np.testing.assert_allclose(
        model.initial_point()["y_interval__"], 0.0, atol=1e-12
    )  # log(low - y), with low at its mean of 0


def test_model_with_a_batch_of_simplexes():
    a = np.array([[0.5, 1.0, 2.0, 3.0], [4.0, 0.7, 1.0, 1.0]])
    with Model() as model:
        Dirichlet("p", a, shape=(2, 4))
    assert model.value_vars[0].type.shape == (2, 3)
    check_joint_density(
        model,
        lambda p: sum(stats.dirichlet(ai).logpdf(pi) for ai, pi in zip(a, p, strict=True)),
        lambda p: p[:, :-1].ravel(),
    )
    mean = a / a.sum(axis=1, keepdims=True)
    start = model.initial_point()["p_simplex__"]
    (back,) = evaluate([tr.simplex.backward(pt.as_tensor(start))])
    np.testing.assert_allclose(back, mean)
