import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.lanes import LANE

import vibayes as vb

ADAM = vb.adam(learning_rate=0.02)


@pytest.fixture(scope="module")
def normal():
    with vb.Model() as model:
        vb.Normal("x", 1.5, 0.5)
    return model


class ChiSquare(vb.Operator):
    def loss(self, draws):
        return pt.logsumexp(2 * (draws.logp - draws.logq)) / 2


class Linear(vb.TestFunction):
    """f(z) = a z + b with |a|, |b| < 1, and its derivative."""

    def setup(self, approx):
        self.raw = pytensor.shared(np.full(2, 0.1, pytensor.config.floatX), name="raw")

    @property
    def params(self):
        return [self.raw]

    def __call__(self, z):
        a, b = pt.tanh(self.raw[0]), pt.tanh(self.raw[1])
        return a * z + b, a


class LangevinStein(vb.Operator):
    """Operator variational inference (Ranganath et al. 2016), in one dimension.

    E_q[score f + f'] is zero for every f if q is the posterior, and for all linear f if and only
    if q has its mean and its variance.
    """

    def loss(self, draws):
        f, derivative = self.test_function(draws.flat)
        return (draws.score * f + derivative).sum(axis=-1).mean() ** 2


def fit(operator, n, **kwargs):
    inference = vb.Inference(operator)
    return inference.fit(n, backend=LANE, progressbar=False, **kwargs)


@pytest.mark.parametrize("seed", range(3))
def test_an_operator_of_the_user(normal, seed):
    approx = vb.MeanField(model=normal, random_seed=seed, start={"x": 0.5})
    fit(ChiSquare(approx), 800, obj_n_mc=30, obj_optimizer=ADAM)
    np.testing.assert_allclose(approx.mean.eval(), 1.5, atol=0.15)
    np.testing.assert_allclose(approx.std.eval(), 0.5, atol=0.1)


@pytest.mark.parametrize("seed", range(2))
def test_an_operator_with_a_trained_test_function(normal, seed):
    approx = vb.MeanField(model=normal, random_seed=seed, start={"x": 1.0})
    operator = LangevinStein(approx, Linear())
    before = operator.test_function.raw.get_value()
    fit(
        operator,
        2000,
        obj_n_mc=100,
        tf_n_mc=100,
        obj_optimizer=vb.adam(learning_rate=0.005),
        test_optimizer=vb.adam(learning_rate=0.05),
    )
    assert not np.allclose(operator.test_function.raw.get_value(), before)
    np.testing.assert_allclose(approx.mean.eval(), 1.5, atol=0.15)
    np.testing.assert_allclose(approx.std.eval(), 0.5, atol=0.15)


def single_steps(normal, times, **kwargs):
    """How far steps of gradient descent, each from the start, move q and the test function."""
    approx = vb.MeanField(model=normal, random_seed=1)
    operator = LangevinStein(approx, Linear())
    inference = vb.Inference(operator)
    params = [*approx.params, operator.test_function.raw]
    before = [p.get_value() for p in params]
    sgd = vb.sgd(learning_rate=1.0)
    kwargs = {"test_optimizer": sgd, "obj_optimizer": sgd, "obj_n_mc": 2} | kwargs
    moves = []
    for _ in range(times):
        inference.fit(1, backend=LANE, progressbar=False, **kwargs)
        moves.append([p.get_value() - old for p, old in zip(params, before, strict=True)])
        for p, old in zip(params, before, strict=True):
            p.set_value(old)
    return moves


def test_tf_n_mc_and_test_optimizer_act_on_the_test_function_alone(normal):
    few, many = (
        np.array([moves[-1] for moves in single_steps(normal, 60, tf_n_mc=n)]) for n in (1, 100)
    )
    assert (many.std(axis=0) < 0.35 * few.std(axis=0)).all()
    fast, slow = (
        single_steps(normal, 1, tf_n_mc=5, test_optimizer=vb.sgd(learning_rate=rate))[0]
        for rate in (1.0, 0.25)
    )
    np.testing.assert_allclose(slow[-1], 0.25 * fast[-1])
    for a, b in zip(fast[:-1], slow[:-1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_loss_is_made_large_over_the_test_function(normal):
    """The gradient ascends: a step along it makes the loss at the same draws larger."""
    approx = vb.MeanField(model=normal, random_seed=1)
    operator = LangevinStein(approx, Linear())
    loss = vb.ObjectiveFunction(operator)(5000)
    before = loss.eval(mode="FAST_COMPILE")
    fit(
        operator,
        300,
        obj_optimizer=vb.sgd(learning_rate=0.0),
        tf_n_mc=50,
        test_optimizer=vb.adam(learning_rate=0.02),
    )
    assert loss.eval(mode="FAST_COMPILE") > 2 * before


def test_more_tf_params_ascend_and_more_obj_params_descend(normal):
    up, down = (pytensor.shared(np.array(0.3), name=n, shape=()) for n in ("up", "down"))

    class Both(vb.Operator):
        def loss(self, draws):
            return 2 * up + 2 * down + 0 * draws.logp

    sgd = vb.sgd(learning_rate=0.1)
    fit(
        Both(vb.MeanField(model=normal)),
        1,
        obj_optimizer=sgd,
        test_optimizer=sgd,
        more_obj_params=[down],
        more_tf_params=[up],
    )
    np.testing.assert_allclose([up.get_value(), down.get_value()], [0.5, 0.1])


def test_functions_serve_as_test_functions(normal):
    operator = LangevinStein(vb.MeanField(model=normal), lambda z: (z, 1.0))
    assert isinstance(operator.test_function, vb.TestFunction)
    assert operator.test_params == []
    with pytest.raises(TypeError, match="callable"):
        LangevinStein(vb.MeanField(model=normal), "rbf")


def test_the_value_of_an_objective(normal):
    """The ELBO of a normal for a normal, in closed form."""
    approx = vb.MeanField(model=normal, random_seed=1, start={"x": 1.0}, start_sigma={"x": 0.8})
    objective = vb.ObjectiveFunction(vb.KL(approx))
    kl = np.log(0.5 / 0.8) + (0.8**2 + 0.5**2) / (2 * 0.5**2) - 0.5
    loss = objective(20_000)
    values = [loss.eval(mode="FAST_COMPILE") for _ in range(2)]
    np.testing.assert_allclose(values, kl, atol=0.08)
    assert values[0] != values[1]
    assert set(objective.updates(obj_optimizer=ADAM)) >= set(approx.params)


def test_an_operator_without_a_loss(normal):
    with pytest.raises(NotImplementedError, match=r"Operator must implement loss\(draws\)"):
        fit(vb.Operator(vb.MeanField(model=normal)), 1)


# -- arguments of the approximation ---------------------------------------------------------------


@pytest.fixture(scope="module")
def scaled():
    with vb.Model() as model:
        x = vb.Normal("x", 0, 1)
        vb.Normal("y", x, 1, observed=np.array([0.5, 1.0]), total_size=100)
        vb.Normal("w", x, 1, observed=np.array([0.5]), total_size=20)
    return model


def first_step(model, seed, **kwargs):
    inference = vb.ADVI(model=model, random_seed=seed, **kwargs)
    before = np.concatenate([p.get_value() for p in inference.approx.params])
    inference.fit(1, obj_optimizer=vb.sgd(learning_rate=1.0), backend=LANE, progressbar=False)
    after = np.concatenate([p.get_value() for p in inference.approx.params])
    return before - after, inference.hist[0]


def test_scale_cost_to_minibatch(scaled):
    """Gradient and loss are divided by the largest scale, here 100 / 2."""
    plain, loss = first_step(scaled, 1, scale_cost_to_minibatch=False)
    small, small_loss = first_step(scaled, 1)
    np.testing.assert_allclose(small, plain / 50, rtol=1e-8)
    np.testing.assert_allclose(small_loss, loss / 50, rtol=1e-8)


def test_scale_cost_to_minibatch_of_particles(scaled):
    """Steps are divided as a whole, so that particles follow the same posterior."""
    steps = []
    for scale in (True, False):
        approx = vb.Empirical(size=5, model=scaled, random_seed=1)
        approx.scale_cost_to_minibatch = scale
        before = approx.histogram.get_value()
        fit(vb.KSD(approx), 1, obj_optimizer=vb.sgd(learning_rate=1.0))
        steps.append(approx.histogram.get_value() - before)
    np.testing.assert_allclose(50 * steps[0], steps[1], rtol=1e-8)


def test_plain_gradient_descent_on_many_rows():
    y = np.random.default_rng(1).normal(3, 1, size=100_000)
    with vb.Model():
        b = vb.Normal("b")
        batch = vb.Minibatch(y, batch_size=100, random_seed=1)
        vb.Normal("o", b, 1, observed=batch, total_size=len(y))
        approx = vb.fit(
            400,
            obj_optimizer=vb.sgd(learning_rate=1e-3),
            random_seed=1,
            backend=LANE,
            progressbar=False,
            diagnose=False,
        )
    assert approx.mean.eval(mode="FAST_COMPILE")[0] == pytest.approx(3, abs=0.1)


def test_cost_part_grad_scale(normal):
    """Gradients are linear in it, from the path derivative at 0 to the plain one at 1."""
    start = {"start": {"x": 1.0}, "start_sigma": {"x": 0.3}}
    plain, loss = first_step(normal, 1, **start)
    path, path_loss = first_step(normal, 1, path_derivative=True, **start)
    assert np.abs(plain - path).max() > 1e-2
    for scale in (0.0, 0.25, 1.0):
        grad, same_loss = first_step(normal, 1, cost_part_grad_scale=scale, **start)
        np.testing.assert_allclose(grad, path + scale * (plain - path), rtol=1e-8)
        np.testing.assert_allclose(same_loss, loss, rtol=1e-8)
    np.testing.assert_allclose(path_loss, loss, rtol=1e-8)


def test_cost_part_grad_scale_as_a_shared_variable(normal):
    """It acts at once, without a new graph."""
    start = {"start": {"x": 1.0}, "start_sigma": {"x": 0.3}}
    scale = pytensor.shared(np.array(1.0, pytensor.config.floatX))
    plain, _ = first_step(normal, 1, cost_part_grad_scale=scale, **start)
    steps = len(normal.functions)
    scale.set_value(np.array(0.0, pytensor.config.floatX))
    path, _ = first_step(normal, 1, cost_part_grad_scale=scale, **start)
    assert len(normal.functions) == steps
    np.testing.assert_allclose(plain, first_step(normal, 1, **start)[0], rtol=1e-8)
    np.testing.assert_allclose(
        path, first_step(normal, 1, path_derivative=True, **start)[0], rtol=1e-8
    )


@pytest.mark.parametrize("scale", [-1.0, np.nan])
def test_bad_cost_part_grad_scale(normal, scale):
    with pytest.raises(ValueError, match="cost_part_grad_scale must be a number"):
        vb.ADVI(model=normal, cost_part_grad_scale=scale)


class Heavier(vb.KL):
    """Another loss, of which nothing is said."""

    def loss(self, draws):
        return 2 * super().loss(draws)


class HeavierBound(Heavier):
    is_bound = True

    def loss(self, draws):
        return super().loss(draws)


class Renamed(vb.KL):
    """The same loss under another name."""


def test_facts_hold_for_the_class_that_says_so(normal):
    approx = vb.MeanField(model=normal)
    facts = [(op.is_bound, op.is_elbo) for op in (vb.KL(approx), Renamed(approx))]
    assert facts == [(True, True), (True, True)]
    assert (vb.KL(approx, beta=2.0).is_bound, vb.KL(approx, beta=2.0).is_elbo) == (True, False)
    assert (Heavier(approx).is_bound, Heavier(approx).is_elbo) == (False, False)
    assert (HeavierBound(approx).is_bound, HeavierBound(approx).is_elbo) == (True, False)
    assert vb.IWELBO(approx).is_bound
    assert not vb.KSD(approx).is_bound
    ends = [vb.Inference(op).can_end_by_itself for op in (Renamed(approx), Heavier(approx))]
    assert ends == [True, False]


def test_an_operator_has_a_key_only_if_its_settings_are_declared(normal):
    approx = vb.MeanField(model=normal)
    plain = vb.KL(approx)
    assert plain.key == vb.KL(vb.MeanField(model=normal)).key
    assert plain.key != Renamed(approx).key
    plain.width = 2.0
    assert plain.key is None
    assert vb.Operator(approx).key is None
    kernel = vb.KSD(approx, kernel=lambda X: X)
    assert kernel.key == kernel.key != vb.KSD(approx, kernel=lambda X: X).key
