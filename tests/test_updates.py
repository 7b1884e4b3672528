import inspect
import pickle

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.traversal import ancestors

from vibayes import updates as up
from vibayes.backend.modes import EVALUATE_MODE
from vibayes.distributions.base import draw_from

# -- the formulas of the papers, in NumPy -----------------------------------------------------
#
# Each is a generator: it is sent gradients and yields the steps to be added to the parameter.


def sgd(learning_rate=1e-3):
    step = 0.0
    while True:
        g = yield step
        step = -learning_rate * g


def momentum(learning_rate=1e-3, momentum=0.9):
    velocity = 0.0
    while True:
        g = yield velocity
        velocity = momentum * velocity - learning_rate * g


def nesterov_momentum(learning_rate=1e-3, momentum=0.9):
    # Nesterov: theta' = theta + v', v' = mu v - eta grad(theta + mu v). What the optimizer moves
    # is y = theta + mu v, at which the gradient is taken.
    theta, y, velocity = 0.0, 0.0, 0.0
    g = yield 0.0
    while True:
        velocity = momentum * velocity - learning_rate * g
        theta = theta + velocity
        last, y = y, theta + momentum * velocity
        g = yield y - last


def adagrad(learning_rate=1.0, epsilon=1e-6):
    history, step = [], 0.0
    while True:
        g = yield step
        history.append(g)
        step = -learning_rate * g / np.sqrt(np.sum(np.square(history), axis=0) + epsilon)


def adagrad_window(learning_rate=1e-3, epsilon=0.1, n_win=10):
    history, step = [], 0.0
    while True:
        g = yield step
        history.append(g)
        total = np.sum(np.square(history[-n_win:]), axis=0)
        step = -learning_rate * g / np.sqrt(total + epsilon)


def rmsprop(learning_rate=1.0, rho=0.9, epsilon=1e-6):
    history, step = [], 0.0
    while True:
        g = yield step
        history.append(g)
        weights = (1 - rho) * rho ** np.arange(len(history))[::-1]
        average = np.tensordot(weights, np.square(history), axes=1)
        step = -learning_rate * g / np.sqrt(average + epsilon)


def adadelta(learning_rate=1.0, rho=0.95, epsilon=1e-6):
    squares, steps, step = 0.0, 0.0, 0.0
    while True:
        g = yield learning_rate * step
        squares = rho * squares + (1 - rho) * g**2
        step = -np.sqrt(steps + epsilon) / np.sqrt(squares + epsilon) * g
        steps = rho * steps + (1 - rho) * step**2


def adam(learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8):
    # Algorithm 1, with the epsilon-hat of the end of section 2
    m, v, t, step = 0.0, 0.0, 0, 0.0
    while True:
        g = yield step
        t += 1
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        step = -learning_rate * m_hat / (np.sqrt(v_hat) + epsilon / np.sqrt(1 - beta2**t))


def adamax(learning_rate=2e-3, beta1=0.9, beta2=0.999, epsilon=1e-8):
    gradients, step = [], 0.0
    while True:
        g = yield step
        gradients.append(g)
        t = len(gradients)
        ages = np.arange(t)[::-1]
        m = (1 - beta1) * np.tensordot(beta1**ages, gradients, axes=1)
        weights = (beta2**ages).reshape(-1, *[1] * np.ndim(g))
        u = np.max(weights * np.abs(gradients), axis=0)
        step = -learning_rate / (1 - beta1**t) * m / (u + epsilon)


REFERENCES = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov_momentum": nesterov_momentum,
    "adagrad": adagrad,
    "adagrad_window": adagrad_window,
    "rmsprop": rmsprop,
    "adadelta": adadelta,
    "adam": adam,
    "adamax": adamax,
}
NAMES = list(REFERENCES)
OTHER_HYPER = {
    "sgd": {"learning_rate": 0.2},
    "momentum": {"learning_rate": 0.05, "momentum": 0.5},
    "nesterov_momentum": {"learning_rate": 0.05, "momentum": 0.5},
    "adagrad": {"learning_rate": 0.3, "epsilon": 0.01},
    "adagrad_window": {"learning_rate": 0.1, "epsilon": 0.01, "n_win": 3},
    "rmsprop": {"learning_rate": 0.05, "rho": 0.7, "epsilon": 0.01},
    "adadelta": {"learning_rate": 2.0, "rho": 0.8, "epsilon": 1e-3},
    "adam": {"learning_rate": 0.1, "beta1": 0.7, "beta2": 0.9, "epsilon": 1e-3},
    "adamax": {"learning_rate": 0.1, "beta1": 0.7, "beta2": 0.9, "epsilon": 1e-3},
}

WEIGHTS = np.array([0.5, 2.0, 10.0])
CENTER = np.array([1.0, -2.0, 0.3])
VECTOR = np.array([0.2, 0.1, -1.5])
MATRIX = np.array([[0.3, 2.0, -1.0], [0.0, 1e-3, 4.0]])


def problem():
    """Return a loss of a vector and a matrix; its gradients are those of numpy_grads."""
    dtype = pytensor.config.floatX
    x = pytensor.shared(VECTOR.astype(dtype), name="x", shape=(3,))
    y = pytensor.shared(MATRIX.astype(dtype), name="y", shape=(2, 3))
    weights, center = WEIGHTS.astype(dtype), CENTER.astype(dtype)
    loss = (weights * (x - center) ** 2).sum() / 2 - pt.cos(y).sum()
    return loss, [x, y]


def numpy_grads(x, y):
    return WEIGHTS * (x - CENTER), np.sin(y)


def numpy_path(name, hyper, n_steps):
    values = [VECTOR, MATRIX]
    steppers = [REFERENCES[name](**hyper) for _ in values]
    for stepper in steppers:
        next(stepper)
    path = []
    for _ in range(n_steps):
        grads = numpy_grads(*values)
        values = [v + s.send(g) for v, s, g in zip(values, steppers, grads, strict=True)]
        path.append(values)
    return path


def step_function(updates):
    return pytensor.function([], [], updates=updates, mode=EVALUATE_MODE)


# -- the numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("hyper", ["default", "other"])
@pytest.mark.parametrize("name", NAMES)
def test_follows_the_formula_of_the_paper(name, hyper):
    hyper = {} if hyper == "default" else OTHER_HYPER[name]
    loss, params = problem()
    step = step_function(getattr(up, name)(loss, params, **hyper))
    for expected in numpy_path(name, hyper, 30):
        step()
        for param, value in zip(params, expected, strict=True):
            np.testing.assert_allclose(param.get_value(), value, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_float32_stays_float32(name):
    with pytensor.config.change_flags(floatX="float32"):
        loss, params = problem()
        hyper = {k: v if k == "n_win" else np.float64(v) for k, v in OTHER_HYPER[name].items()}
        updates = getattr(up, name)(loss, params, **hyper)
        for variable, new in updates.items():
            assert new.type == variable.type
        assert not [v for v in ancestors(list(updates.values())) if v.type.dtype == "float64"]
        step = step_function(updates)
        for _ in range(20):
            step()
        expected = numpy_path(name, OTHER_HYPER[name], 20)[-1]
        for param, value in zip(params, expected, strict=True):
            assert param.get_value().dtype == np.float32
            np.testing.assert_allclose(param.get_value(), value, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_finds_the_minimum_of_a_quadratic(name):
    hyper = {
        "sgd": {"learning_rate": 0.15},
        "momentum": {"learning_rate": 0.02},
        "nesterov_momentum": {"learning_rate": 0.02},
        "adagrad": {},
        "adagrad_window": {"learning_rate": 0.05},
        "rmsprop": {"learning_rate": 0.005},
        "adadelta": {"epsilon": 1e-3},
        "adam": {"learning_rate": 0.05},
        "adamax": {"learning_rate": 0.05},
    }[name]
    x = pytensor.shared(VECTOR, name="x", shape=(3,))
    step = step_function(getattr(up, name)((WEIGHTS * (x - CENTER) ** 2).sum() / 2, [x], **hyper))
    for _ in range(1000):
        step()
    np.testing.assert_allclose(x.get_value(), CENTER, atol=0.01)


def test_symbolic_learning_rate_can_be_changed_later():
    rate = pytensor.shared(np.asarray(0.1), name="rate")
    x = pytensor.shared(np.ones(2), name="x", shape=(2,))
    step = step_function(up.sgd(x.sum(), [x], learning_rate=rate))
    step()
    rate.set_value(0.5)
    step()
    np.testing.assert_allclose(x.get_value(), 0.4)
    with pytensor.config.change_flags(floatX="float32"):
        y = pytensor.shared(np.ones(2, "float32"), name="y", shape=(2,))
        updates = up.sgd(y.sum(), [y], learning_rate=rate)
        assert updates[y].type == y.type


def test_scalar_parameter_and_given_gradients():
    x = pytensor.shared(np.asarray(3.0), name="x", shape=())
    step = step_function(up.adam([2.0 * x], [x], 0.1))
    step()
    np.testing.assert_allclose(x.get_value(), 2.9, rtol=1e-7)  # the first step of Adam is eta


# -- the dictionary ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_updates_have_the_type_of_their_variable_and_depend_on_nothing_else(name):
    loss, params = problem()
    updates = getattr(up, name)(loss, params)
    assert isinstance(updates, dict)
    assert set(params) <= set(updates)
    for variable, new in updates.items():
        assert isinstance(variable, SharedVariable)
        assert variable.name
        assert new.type == variable.type
        if variable not in params:
            assert not variable.get_value().any()  # all state begins with zeros
    shared = {v for v in ancestors(list(updates.values())) if isinstance(v, SharedVariable)}
    assert shared <= set(updates)


@pytest.mark.parametrize("name", NAMES)
def test_two_calls_share_no_state(name):
    loss, params = problem()
    first, second = (getattr(up, name)(loss, params) for _ in range(2))
    assert set(first) & set(second) == set(params)


def test_state_is_named_after_the_parameter():
    loss, params = problem()
    names = {variable.name for variable in up.adam(loss, params)}
    assert names == {"x", "y", "x_adam_m", "x_adam_v", "y_adam_m", "y_adam_v", "adam_t"}


def test_unknown_static_shape_is_kept():
    x = pytensor.shared(np.ones((2, 3)), name="x", shape=(None, 3))
    for name in NAMES:
        for variable, new in getattr(up, name)((x**2).sum(), [x]).items():
            assert new.type == variable.type


# -- calling forms ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_partial_form_makes_the_same_updates(name):
    optimizer = getattr(up, name)(**OTHER_HYPER[name])
    assert isinstance(optimizer, up.Optimizer)
    loss, params = problem()
    step = step_function(optimizer(loss, params))
    step()
    step()
    for param, value in zip(params, numpy_path(name, OTHER_HYPER[name], 2)[-1], strict=True):
        np.testing.assert_allclose(param.get_value(), value, rtol=1e-9)


def test_hyper_parameters_by_position_and_in_turn():
    assert up.adam(None, None, 0.01) == up.adam(learning_rate=0.01)
    chained = up.adam(learning_rate=0.01)(beta1=0.5)
    assert chained == up.adam(beta1=0.5, learning_rate=0.01)
    x = pytensor.shared(np.asarray(1.0), name="x")
    step_function(up.sgd(learning_rate=0.1)(x, [x], learning_rate=0.5))()
    assert x.get_value() == 0.5


def test_one_of_loss_and_params_is_an_error():
    loss, params = problem()
    with pytest.raises(TypeError, match="adam: params is missing"):
        up.adam(loss)
    with pytest.raises(TypeError, match="adam: loss_or_grads is missing"):
        up.adam(params=params)
    with pytest.raises(TypeError, match=r"adam: .*'beta3'"):
        up.adam(beta3=0.1)


def test_defaults_are_those_of_pymc():
    def defaults(name):
        parameters = inspect.signature(getattr(up, name)).parameters
        assert list(parameters)[:2] == ["loss_or_grads", "params"]
        return {k: p.default for k, p in list(parameters.items())[2:]}

    assert {name: defaults(name) for name in NAMES} == {
        "sgd": {"learning_rate": 1e-3},
        "momentum": {"learning_rate": 1e-3, "momentum": 0.9},
        "nesterov_momentum": {"learning_rate": 1e-3, "momentum": 0.9},
        "adagrad": {"learning_rate": 1.0, "epsilon": 1e-6},
        "adagrad_window": {"learning_rate": 1e-3, "epsilon": 0.1, "n_win": 10},
        "rmsprop": {"learning_rate": 1.0, "rho": 0.9, "epsilon": 1e-6},
        "adadelta": {"learning_rate": 1.0, "rho": 0.95, "epsilon": 1e-6},
        "adam": {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
        "adamax": {"learning_rate": 2e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
    }


def test_an_optimizer_looks_like_its_function():
    assert up.adam.__name__ == "adam"
    assert "beta_1" in up.adam.__doc__
    assert repr(up.adam(learning_rate=np.float64(0.01))) == "adam(learning_rate=0.01)"
    assert repr(up.adam) == "adam()"
    with pytest.raises(AttributeError):
        up.adam.hyper = {}


def test_key_compares_numbers_by_value_and_symbols_by_identity():
    assert up.adam(learning_rate=0.01).key == up.adam(learning_rate=np.float64(0.01)).key
    assert up.adam(learning_rate=0.01).key == up.adam(learning_rate=np.array(0.01)).key
    assert up.adam(learning_rate=0.001).key == up.adam.key  # that is the default
    assert up.adam(learning_rate=0.01).key != up.adam.key
    assert up.adam(learning_rate=0.01).key != up.adamax(learning_rate=0.01).key
    one, other = (pytensor.shared(np.asarray(0.01)) for _ in range(2))
    assert up.adam(learning_rate=one).key == up.adam(learning_rate=one).key
    assert up.adam(learning_rate=one).key != up.adam(learning_rate=other).key
    assert len({up.adam.key, up.adam().key, up.sgd.key}) == 2
    assert len({up.adam, up.adam(), up.sgd}) == 2


@pytest.mark.parametrize("name", NAMES)
def test_pickle(name):
    for optimizer in (getattr(up, name), getattr(up, name)(**OTHER_HYPER[name])):
        again = pickle.loads(pickle.dumps(optimizer))
        assert again == optimizer
        assert repr(again) == repr(optimizer)


@up.optimizer
def sign_descent(loss_or_grads, params, learning_rate=0.01, power=2):
    """Go one length downhill."""
    grads = up.get_or_compute_grads(loss_or_grads, params)
    return {p: p - learning_rate * pt.sign(g) for p, g in zip(params, grads, strict=True)}


def test_own_optimizer():
    assert sign_descent.__doc__ == "Go one length downhill."
    assert list(inspect.signature(sign_descent).parameters)[2:] == ["learning_rate", "power"]
    assert pickle.loads(pickle.dumps(sign_descent(power=3))) == sign_descent(power=3)
    x = pytensor.shared(np.array([3.0, -3.0]), name="x", shape=(2,))
    step_function(sign_descent(learning_rate=0.5)((x**2).sum(), [x]))()
    np.testing.assert_array_equal(x.get_value(), [2.5, -2.5])
    with pytest.raises(ValueError, match="sign_descent: learning_rate"):
        sign_descent(learning_rate=-1)


def test_own_optimizer_may_advance_a_random_generator():
    rng = pytensor.shared(np.random.default_rng(0), name="rng")

    @up.optimizer
    def langevin(loss_or_grads, params, learning_rate=0.01):
        params = list(params)
        updates = up.sgd(loss_or_grads, params, learning_rate)
        for param in params:
            next_rng, noise = draw_from(pt.random.normal, rng=rng, size=param.shape)
            updates[param] += np.sqrt(2 * learning_rate) * noise
        return {**updates, rng: next_rng}

    x = pytensor.shared(np.asarray(1.0), name="x", shape=())
    step_function(langevin(x**2 / 2, [x], learning_rate=0.1))()
    expected = 0.9 + np.sqrt(0.2) * np.random.default_rng(0).normal()
    np.testing.assert_allclose(x.get_value(), expected)


# -- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hyper"),
    [
        ("adam", {"learning_rate": -0.1}),
        ("adam", {"learning_rate": np.nan}),
        ("sgd", {"learning_rate": np.inf}),
        ("adamax", {"beta1": 1.0}),
        ("adam", {"beta2": -0.5}),
        ("adam", {"epsilon": -1e-8}),
        ("momentum", {"momentum": 1.5}),
        ("rmsprop", {"rho": 1.0}),
        ("adadelta", {"rho": np.nan}),
        ("adagrad_window", {"n_win": 0}),
        ("adagrad_window", {"n_win": 2.5}),
        ("adagrad_window", {"n_win": np.inf}),
    ],
)
def test_impossible_hyper_parameters_raise(name, hyper):
    with pytest.raises(ValueError, match=f"{name}: {next(iter(hyper))} must be"):
        getattr(up, name)(**hyper)
    loss, params = problem()
    with pytest.raises(ValueError, match=f"{name}: {next(iter(hyper))} must be"):
        getattr(up, name)(loss, params, **hyper)


def test_hyper_parameters_that_are_no_numbers_raise():
    with pytest.raises(TypeError, match="learning_rate must be a number"):
        up.adam(learning_rate="fast")
    loss, params = problem()
    with pytest.raises(TypeError, match="n_win"):
        up.adagrad_window(loss, params, n_win=pytensor.shared(3))


def test_wrong_loss_gradients_or_params_raise():
    loss, (x, y) = problem()
    with pytest.raises(TypeError, match="shared variables"):
        up.get_or_compute_grads(loss, [x + 1])
    with pytest.raises(TypeError, match="scalar"):
        up.get_or_compute_grads(x, [x])
    with pytest.raises(ValueError, match="1 gradients for 2 parameters"):
        up.get_or_compute_grads([x], [x, y])
    with pytest.raises(ValueError, match="gradient of 'x' has 2 axes"):
        up.get_or_compute_grads([y], [x])


def test_get_or_compute_grads():
    loss, params = problem()
    function = pytensor.function([], up.get_or_compute_grads(loss, params), mode=EVALUATE_MODE)
    for grad, expected in zip(function(), numpy_grads(VECTOR, MATRIX), strict=True):
        np.testing.assert_allclose(grad, expected)
    given = [2 * param for param in params]
    assert up.get_or_compute_grads(given, params) == given


# -- helpers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["momentum", "nesterov_momentum"])
def test_momentum_can_be_added_to_any_updates(which):
    loss, params = problem()
    plain = up.sgd(loss, params, learning_rate=0.05)
    updates = getattr(up, f"apply_{which}")(plain, momentum=0.5)
    assert len(plain) == 2  # the given updates are left as they are
    step = step_function(updates)
    for _ in range(5):
        step()
    for param, value in zip(params, numpy_path(which, OTHER_HYPER[which], 5)[-1], strict=True):
        np.testing.assert_allclose(param.get_value(), value, rtol=1e-9)


@pytest.mark.parametrize("apply", [up.apply_momentum, up.apply_nesterov_momentum])
def test_momentum_leaves_other_variables_and_the_state_of_optimizers_alone(apply):
    loss, (x, y) = problem()
    plain = up.adam(loss, [x, y])
    updates = apply(plain)
    assert [v.name for v in updates if v not in plain] == ["x_velocity", "y_velocity"]
    assert all(updates[v] is plain[v] for v in plain if v not in (x, y))
    updates = apply(plain, [x])
    assert updates[y] is plain[y]
    assert [v.name for v in updates if v not in plain] == ["x_velocity"]
    with pytest.raises(ValueError, match=f"{apply.__name__}: momentum"):
        apply(plain, momentum=2)


@pytest.mark.parametrize("apply", [up.apply_momentum, up.apply_nesterov_momentum])
def test_momentum_keeps_float32(apply):
    with pytensor.config.change_flags(floatX="float32"):
        updates = apply(up.sgd(*problem()), momentum=np.float64(0.3))
        assert all(new.type == variable.type for variable, new in updates.items())


def test_norm_constraint():
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=shape) * 3 for shape in [(4, 3), (2, 3, 2), (5,), (2, 2)]]
    all_axes = [None, None, (0,), (0, 1)]
    summed = [(0,), (1, 2), (0,), (0, 1)]
    tensors = [
        up.norm_constraint(pt.as_tensor(a), 2.5, norm_axes=axes)
        for a, axes in zip(arrays, all_axes, strict=True)
    ]
    values = pytensor.function([], tensors, mode=EVALUATE_MODE)()
    for value, array, axes in zip(values, arrays, summed, strict=True):
        norm = np.sqrt(np.square(array).sum(axis=axes, keepdims=True))
        assert (norm > 2.5).any()
        expected = np.where(norm > 2.5, array * 2.5 / norm, array)
        np.testing.assert_allclose(value, expected, rtol=1e-6)
        assert np.sqrt(np.square(value).sum(axis=axes)).max() <= 2.5


def test_norm_constraint_errors():
    with pytest.raises(ValueError, match="1 axes has no default norm_axes"):
        up.norm_constraint(pt.zeros(3), 1.0)
    with pytest.raises(ValueError, match="norm_constraint: max_norm"):
        up.norm_constraint(pt.zeros((3, 2)), -1.0)


def test_total_norm_constraint():
    x, y = pt.dvector("x"), pt.dmatrix("y")
    scaled, norm = up.total_norm_constraint([x, y], 2.0, return_norm=True)
    function = pytensor.function([x, y], [*scaled, norm], mode=EVALUATE_MODE)
    a, b = np.array([3.0, 0.0]), np.array([[0.0, 4.0]])
    new_a, new_b, total = function(a, b)
    assert total == 5
    np.testing.assert_allclose(new_a, a * 2 / 5, rtol=1e-6)
    np.testing.assert_allclose(new_b, b * 2 / 5, rtol=1e-6)
    short = function(a / 5, b / 5)
    np.testing.assert_allclose(short[0], a / 5, rtol=1e-6)  # not lengthened
    zero = function(0 * a, 0 * b)
    assert not zero[0].any()
    assert not zero[1].any()
    assert isinstance(up.total_norm_constraint([x], 1.0), list)
    with pytest.raises(ValueError, match="max_norm"):
        up.total_norm_constraint([x], np.nan)
    with pytest.raises(ValueError, match="at least one"):
        up.total_norm_constraint([], 1.0)


def test_constraints_keep_float32():
    with pytensor.config.change_flags(floatX="float32"):
        x = pytensor.shared(np.ones((2, 3), "float32"), shape=(2, 3))
        scaled = up.total_norm_constraint([x], np.float64(0.3))
        assert scaled[0].type == x.type
        assert up.norm_constraint(x, np.float64(0.3)).type == x.type


class Marked(up.Optimizer):
    """An optimizer with an attribute that tells it from others in no declared way."""

    def __init__(self, mark):
        super().__init__(up.sgd.function)
        self.__dict__["mark"] = mark


def test_an_optimizer_with_attributes_of_its_own_is_equal_to_itself_alone():
    first, second = Marked(1), Marked(1)
    assert first.key == first.key
    assert first == first
    assert first != second
    assert len({first, second, up.sgd}) == 3
    assert up.Optimizer(up.sgd.function).key == up.sgd.key
