import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

import vibayes as vb
import vibayes.model.target
import vibayes.model.target_functions
from vibayes.exceptions import SamplingError
from vibayes.model.target import Target

Y = np.array([0.3, 1.2, -0.7, 2.1])


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        x = vb.Normal("x", 1, 3, shape=2)
        s = vb.HalfNormal("s", 2)
        vb.Normal("y", x.sum(), s, observed=Y)
    return model


def by_scipy(z):
    s = np.exp(z[2])
    logp = stats.norm(1, 3).logpdf(z[:2]).sum()
    logp += stats.halfnorm(scale=2).logpdf(s) + z[2]
    return logp + stats.norm(z[:2].sum(), s).logpdf(Y).sum()


def differences(f, z, width=1e-5):
    shifts = width * np.eye(len(z))
    return np.array([(f(z + s) - f(z - s)) / (2 * width) for s in shifts])


def test_log_density_and_gradient(model, rng):
    target = Target(model)
    Z = rng.normal(size=(7, 3))
    logp, gradient = target(Z)
    np.testing.assert_allclose(logp, [by_scipy(z) for z in Z], rtol=1e-10)
    np.testing.assert_allclose(gradient, [differences(by_scipy, z) for z in Z], rtol=1e-5)
    np.testing.assert_allclose(target.logp(Z), logp, rtol=1e-12)
    assert target.evaluations == 14


def test_start(model):
    target = Target(model, start={"x": [4.0, 5.0], "s": 3.0})
    np.testing.assert_allclose(target.start, [4, 5, np.log(3)])
    assert target.ddim == 3


def test_many_vectors_are_evaluated_in_parts(model, rng):
    target, Z = Target(model), rng.normal(size=(10, 3))
    whole = target(Z)
    target._rows = 3
    for part, all_at_once in zip(target(Z), whole, strict=True):
        np.testing.assert_allclose(part, all_at_once, rtol=1e-12)


def test_astray(model):
    target = Target(model)
    logp, gradient = target(np.array([[0.0, 0.0, 800.0], [0.0, 0.0, 0.0]]))
    assert logp[0] == -np.inf
    assert not gradient[0].any()
    assert np.isfinite(logp[1])
    assert target.logp(np.array([[0.0, 0.0, 800.0]]))[0] == -np.inf


def test_a_start_without_density_is_named():
    with vb.Model() as model:
        x = vb.Normal("x", 0, 1, initval=2.0)
        vb.Potential("impossible", pt.switch(x > 1, -np.inf, 0.0))
    with pytest.raises(SamplingError, match="impossible"):
        Target(model).check_start()
    Target(model, start={"x": 0.0}).check_start()


def minibatched(n, batch=10, seed=0):
    y = np.random.default_rng(seed).normal(1, 1, n)
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 1, observed=vb.Minibatch(y, batch_size=batch), total_size=n)
    return model, y


def test_minibatches_stand_for_the_whole_data():
    model, y = minibatched(500)
    expected = [stats.norm(0, 10).logpdf(m) + stats.norm(m, 1).logpdf(y).sum() for m in (0.0, 1.0)]
    np.testing.assert_allclose(Target(model).logp(np.array([[0.0], [1.0]])), expected, rtol=1e-10)


def test_work_is_that_of_all_data_as_long_as_they_are():
    with vb.Model() as of_batches:
        x = vb.Normal("x")
        batch = vb.Minibatch(np.zeros(30_000), batch_size=10)
        vb.Normal("y", x, 1, observed=batch, total_size=30_000)
    with vb.Model() as of_data:
        x = vb.Normal("x")
        data = vb.Data("data", np.zeros(10))
        vb.Normal("y", x, 1, observed=data)
    assert Target(of_batches).work.numbers > 30_000
    assert Target(of_data).work.numbers < 300
    vb.set_data({"data": np.zeros(30_000)}, of_data)
    assert Target(of_data).work.numbers > 30_000


def test_a_sample_is_scaled_to_the_whole():
    model, y = minibatched(20_000)
    sample = model.sampled_data_replacements(5_000, 1)
    estimate = Target(model, sample).logp(np.array([[1.0]]))[0]
    whole = stats.norm(0, 10).logpdf(1.0) + stats.norm(1.0, 1).logpdf(y).sum()
    noise = len(y) * np.std(stats.norm(1.0, 1).logpdf(y)) / np.sqrt(5_000)
    assert abs(estimate - whole) < 4 * noise


def test_functions_of_the_whole_data_are_compiled_once(model):
    assert Target(model)._functions is Target(model)._functions
    with vb.Model() as other:
        vb.Normal("x", 5, 1)
    assert Target(other).logp(np.array([[5.0]]))[0] == pytest.approx(stats.norm.logpdf(0))


@pytest.mark.usefixtures("float32")
def test_float32(model, rng):
    with vb.Model() as small:
        x = vb.Normal("x", 1, 3, shape=2)
        vb.Normal("y", x.sum(), 1, observed=Y)
    Z = rng.normal(size=(3, 2))
    logp, gradient = Target(small)(Z)
    assert pytensor.config.floatX == "float32"
    assert logp.dtype == gradient.dtype == np.float64
    expected = [
        stats.norm(1, 3).logpdf(z).sum() + stats.norm(z.sum(), 1).logpdf(Y).sum() for z in Z
    ]
    np.testing.assert_allclose(logp, expected, rtol=1e-5)


@pytest.fixture
def eager(monkeypatch):
    """Let densities be compiled after some 100 vectors."""
    monkeypatch.setattr(vibayes.model.target, "COMPILATION", 0.002)
    monkeypatch.setattr(vibayes.model.target, "COMPILATION_PER_OPERATION", 0.0)
    monkeypatch.setattr(vibayes.model.target, "LITTLE", 0)
    monkeypatch.setattr(vibayes.model.target, "LEAST", 0)
    monkeypatch.setattr(vibayes.model.target, "LEAST_EACH", 0)


def test_what_is_evaluated_often_is_compiled(model, eager, rng):
    target, other = Target(model), Target(model)
    Z = rng.normal(size=(7, 3))
    first = target(Z)
    seen = [target._function_for("logp and gradient", [Z]) for _ in range(100)]
    assert seen[0] is target._functions["logp and gradient"]
    assert seen[-1] is not seen[0]
    for found, known in zip(target(Z), first, strict=True):
        np.testing.assert_allclose(found, known, rtol=1e-12)
    assert target._function_for("logp", [Z]) is target._functions["logp"]  # it was not asked for
    # another fit of the model goes the same way from the beginning
    assert other._function_for("logp and gradient", [Z]) is seen[0]
    for found, known in zip(other(Z), first, strict=True):
        np.testing.assert_array_equal(found, known)


def test_what_any_search_takes_long_for_is_compiled_at_once(model, eager, rng, monkeypatch):
    monkeypatch.setattr(vibayes.model.target, "LEAST_OF_SEARCH", 10**7)
    monkeypatch.setattr(vibayes.model.target, "LEAST_EACH", 10**7)
    target, Z = Target(model), rng.normal(size=(7, 3))
    first = target._function_for("logp and gradient", [Z])
    assert first is not target._functions["logp and gradient"]
    assert target._function_for("logp", [Z]) is target._functions["logp"]


def test_what_is_expected_to_take_long_is_compiled_before(model, rng, monkeypatch):
    monkeypatch.setattr(vibayes.model.target, "LITTLE", 0)
    target, Z = Target(model), rng.normal(size=(7, 3))
    assert target._function_for("logp and gradient", [Z]) is target._functions["logp and gradient"]
    count = int(target._compilation / target._in_numpy(1 / vibayes.model.target.STACK, 1))
    target.expect(count // 2)
    assert target._function_for("logp and gradient", [Z]) is target._functions["logp and gradient"]
    target.expect(2 * count)
    target.expect(count // 2)  # of which it expects more already
    code = target._function_for("logp and gradient", [Z])
    assert code is not target._functions["logp and gradient"]
    np.testing.assert_allclose(code(Z)[0], target(Z)[0], rtol=1e-12)
    assert target._function_for("logp", [Z]) is target._functions["logp"]


def test_special_functions_take_longer(monkeypatch):
    """So that a density of them is compiled earlier."""
    with vb.Model() as model:
        mu, alpha = vb.Gamma("mu", 2, 1), vb.Exponential("alpha", 1)
        vb.NegativeBinomial("y", mu=mu, alpha=alpha, observed=np.arange(50) % 7)
    target = Target(model)
    seconds = target._in_numpy(0, 1)
    monkeypatch.setattr(vibayes.model.target, "PER_SPECIAL", 0.0)
    assert seconds > 1.5 * target._in_numpy(0, 1)


def test_operations_on_stacks_of_matrices_take_long_to_compile(model, eager, rng, monkeypatch):
    """And are hardly quicker then."""
    target, Z = Target(model), rng.normal(size=(7, 3))
    work = target.work._replace(on_matrices=1)
    monkeypatch.setattr(Target, "work", property(lambda self: work))
    seen = [target._function_for("logp and gradient", [Z]) for _ in range(100)]
    assert set(seen) == {target._functions["logp and gradient"]}


def test_what_is_not_evaluated_often_is_not_compiled(model, rng, monkeypatch):
    def fail(*args):
        raise AssertionError("compiled")

    monkeypatch.setattr(vibayes.model.target_functions.Functions, "in_machine_code", fail)
    target = Target(model)
    for _ in range(50):
        target(rng.normal(size=(20, 3)))


@pytest.mark.parametrize("fails", ["in compilation", "later"])
def test_numpy_evaluates_what_machine_code_cannot(eager, rng, monkeypatch, fails):
    class Code:
        def __init__(self, *args):
            if fails == "in compilation":
                raise NotImplementedError("no such operation")

        def __call__(self, stack, *others):
            if len(stack) > 1:
                raise np.linalg.LinAlgError("no such matrix")

    monkeypatch.setattr(vibayes.model.target_functions, "StackInMachineCode", Code)
    with vb.Model() as model:
        vb.Normal("x", 1, 3, shape=2)
    target, Z = Target(model), rng.normal(size=(7, 2))
    logps = [target.logp(Z) for _ in range(100)]
    np.testing.assert_array_equal(logps[-1], logps[0])
    np.testing.assert_allclose(logps[0], stats.norm(1, 3).logpdf(Z).sum(axis=1))


def test_a_density_alone_takes_no_gradient(monkeypatch):
    def fail(*args):
        raise AssertionError("a gradient was made")

    monkeypatch.setattr(vibayes.model.target_functions, "gradient_of", fail)
    with vb.Model() as model:
        vb.Normal("x", 1, 3)
    found = Target(model).logp(np.array([[2.0]]))
    np.testing.assert_allclose(found, stats.norm(1, 3).logpdf([2.0]))
