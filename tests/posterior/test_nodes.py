import os
import pickle
import subprocess
import sys
from pathlib import Path

import cloudpickle
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.lanes import by_default
from scipy import stats

import vibayes as vb
from vibayes.approximations.base import sample_approx
from vibayes.backend.modes import evaluate
from vibayes.backend.seeds import random_generators
from vibayes.exceptions import ModelError

MODE = "FAST_COMPILE"  # NumPy, nothing is compiled
X_TRAIN = np.random.default_rng(1).normal(size=(5, 2))
X_TEST = np.random.default_rng(2).normal(size=(7, 2))
X = pytensor.shared(X_TRAIN, name="X")


def make(random_seed=1):
    with vb.Model() as model:
        a = vb.Normal("a", 0, 1)
        s = vb.HalfNormal("s", 1)
        b = vb.Normal("b", 0, 1, shape=(2, 3))
        offset = vb.Data("offset", np.zeros(5), dims="row")
        mu = vb.Deterministic("mu", X @ b[:, 0] * s + a + offset)
        vb.Deterministic("a2", a**2)
        vb.Normal("y", mu, s, observed=np.arange(5.0))
    start = {"a": 1.5, "s": 2.0, "b": np.arange(6.0).reshape(2, 3)}
    sigma = {"a": 0.5, "s": 0.3}
    return vb.MeanField(model=model, start=start, start_sigma=sigma, random_seed=random_seed)


@pytest.fixture(scope="module")
def approx():
    return make()


def evaluated(*nodes):
    """Evaluate nodes together, so that they share their draws."""
    return pytensor.function([], list(nodes), mode=MODE)()


def test_every_evaluation_draws_anew_and_a_seed_gives_the_same_sequence():
    def sequence(seed):
        approx = make(seed)
        node = approx.sample_node(approx.model["a"] ** 2)
        return [float(node.eval(mode=MODE)) for _ in range(3)]

    first = sequence(1)
    assert len(set(first)) == 3
    assert sequence(1) == first
    assert not set(sequence(2)) & set(first)


def test_moments(approx):
    """A normal's square and a lognormal, in closed form."""
    n = 20_000
    a2, s, a = approx.sample_node([approx.model[v] for v in ("a2", "s", "a")], size=n)
    m, sd, tau = 1.5, 0.5, 0.3
    a2, mean, s, a = evaluated(a2, a2.mean(0), s, a)
    assert a2.shape == (n,)
    assert mean == pytest.approx(a2.mean())
    variance = 4 * m**2 * sd**2 + 2 * sd**4
    assert abs(a2.mean() - (m**2 + sd**2)) < 4 * (variance / n) ** 0.5
    assert a2.var() == pytest.approx(variance, rel=0.05)
    assert abs(s.mean() - 2 * np.exp(tau**2 / 2)) < 4 * s.std() / n**0.5
    assert stats.kstest(a, stats.norm(m, sd).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(a, s)[0, 1]) < 4 / n**0.5


def test_nodes_of_one_call_share_their_draws_and_calls_do_not(approx):
    model = approx.model
    names = ["a", "s", "b", "mu", "a2"]
    nodes = tuple(model[v] for v in names)
    drawn = approx.sample_node(nodes, size=4)
    assert isinstance(drawn, list)
    other = approx.sample_node(model["a"], size=4)
    a, s, b, mu, a2, middle, other = evaluated(*drawn, drawn[2].mean(0), other)
    expected = np.einsum("ij,dj->di", X_TRAIN, b[:, :, 0]) * s[:, None] + a[:, None]
    np.testing.assert_allclose(mu, expected)
    np.testing.assert_allclose(a2, a**2)
    np.testing.assert_allclose(middle, b.mean(axis=0))
    assert len(np.unique([*a, *other])) == 8


def test_size(approx):
    model, n = approx.model, pt.iscalar("n")
    assert approx.sample_node(model["b"]).eval(mode=MODE).shape == (2, 3)
    assert approx.sample_node(model["b"], size=1).eval(mode=MODE).shape == (1, 2, 3)
    mu = approx.sample_node(model["mu"], size=n)
    assert mu.eval({n: 3}, mode=MODE).shape == (3, 5)
    assert mu.eval({n: 1000}, mode=MODE).shape == (1000, 5)


@pytest.mark.parametrize("size", [pt.lvector("size"), pt.dscalar("size")], ids=repr)
def test_symbolic_size_of_a_wrong_kind(approx, size):
    with pytest.raises(TypeError, match="size must be"):
        approx.sample_node(approx.model["a"], size=size)


@pytest.mark.parametrize("size", [0, -1, True, 2.5, (2,), "2", [3]], ids=repr)
def test_size_that_is_no_number_of_draws(approx, size):
    with pytest.raises(ValueError, match="size must be a whole number of at least 1, got"):
        approx.sample_node(approx.model["a"], size=size)


def test_deterministic(approx):
    s, mu = approx.model["s"], approx.model["mu"]
    center = X_TRAIN @ [0.0, 3.0] * 2 + 1.5
    np.testing.assert_allclose(approx.sample_node(s, deterministic=True).eval(mode=MODE), 2)
    many = approx.sample_node(mu, size=3, deterministic=True).eval(mode=MODE)
    np.testing.assert_allclose(many, np.tile(center, (3, 1)))
    one = approx.apply_replacements(mu, deterministic=True).eval(mode=MODE)
    np.testing.assert_allclose(one, center)
    flag = pt.bscalar("flag")
    node = approx.sample_node(s, size=3, deterministic=flag)
    np.testing.assert_allclose(node.eval({flag: 1}, mode=MODE), 2)
    assert node.eval({flag: 0}, mode=MODE).std() > 0


def test_more_replacements(approx):
    model = approx.model
    mu, a, s, b = (model[v] for v in ("mu", "a", "s", "b"))
    more = {X: X_TEST, model["offset"]: np.arange(7)}
    drawn = approx.sample_node([mu, a, s, b], size=4, more_replacements=more)
    mu_, a_, s_, b_ = evaluated(*drawn)
    expected = np.einsum("ij,dj->di", X_TEST, b_[:, :, 0]) * s_[:, None] + a_[:, None]
    np.testing.assert_allclose(mu_, expected + np.arange(7))
    # by a variable, and by an expression of the model's variables
    rows = pt.matrix("rows")
    one = approx.apply_replacements([mu, b], more_replacements={X: rows, s: 1.0, a: b[0, 0]})
    mu_, b_ = pytensor.function([rows], one, mode=MODE)(X_TRAIN[::-1])
    np.testing.assert_allclose(mu_, X_TRAIN[::-1] @ b_[:, 0] + b_[0, 0])
    assert approx.sample_node(mu, size=2).eval(mode=MODE).shape == (2, 5)


def test_what_does_not_depend_on_the_variables(approx):
    n = pt.lscalar("n")
    node, y = approx.sample_node([X, approx.model["y"]], size=n)
    np.testing.assert_array_equal(node.eval({n: 2}, mode=MODE), [X_TRAIN, X_TRAIN])
    np.testing.assert_array_equal(y.eval({n: 2}, mode=MODE), [np.arange(5.0)] * 2)
    assert approx.sample_node(X) is X


def test_follows_the_parameters():
    approx = make()
    node = approx.sample_node(approx.model["a"], size=50)
    assert abs(node.eval(mode=MODE).mean() - 1.5) < 1
    mu = approx.shared_params["mu"]
    mu.set_value(mu.get_value() + 100)
    assert abs(node.eval(mode=MODE).mean() - 101.5) < 1


def test_the_model_stays_as_it_was(approx):
    model = approx.model
    graphs = [model["mu"], model["a2"], model.logp()]

    def state():
        shown = pytensor.dprint(graphs, file="str")
        generators = [rng.get_value().bit_generator.state for rng in random_generators(graphs)]
        return shown, generators, [rng.default_update for rng in random_generators(graphs)]

    before = state()
    drawn = approx.sample_node(graphs[:2], size=3, more_replacements={X: X_TEST[:5]})
    evaluated(*drawn)
    evaluated(approx.logp, approx.set_size_and_deterministic(approx.logp, 3, False))
    assert state() == before


def test_random_variables_of_an_expression_are_drawn():
    approx = make()
    predicted = vb.Normal.dist(approx.model["a"], 2.0)
    node = approx.sample_node(predicted, size=5000)
    first, second = node.eval(mode=MODE), node.eval(mode=MODE)
    for draws in (first, second):
        assert stats.kstest(draws, stats.norm(1.5, (0.5**2 + 2.0**2) ** 0.5).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.06
    # no number comes twice, neither within an evaluation nor in the next
    at_center = approx.sample_node(predicted, size=50, deterministic=True)
    noise = np.concatenate([at_center.eval(mode=MODE) for _ in range(3)])
    assert len(np.unique(noise)) == 150


def test_wrong_nodes(approx):
    with vb.Model():
        stranger = vb.Normal("stranger")
    with pytest.raises(ModelError, match="'stranger'"):
        approx.sample_node(stranger + approx.model["a"])
    with vb.Model():
        with vb.Model("inner") as inner:
            x = vb.Normal("x")
        child = vb.Normal("child", x, 1)
    with pytest.raises(ModelError, match="'child'"):
        vb.MeanField(model=inner).sample_node(child)
    with pytest.raises(TypeError, match="expression"):
        approx.sample_node("a")
    with pytest.raises(TypeError, match="more_replacements"):
        approx.sample_node(X, more_replacements={"X": X_TEST})


def test_other_names_of_sample(approx):
    expected = approx.sample(20, random_seed=3, include_transformed=True).posterior
    for result in (
        sample_approx(approx, draws=20, random_seed=3),
        approx.sample_vp(20, hide_transformed=False, random_seed=3),
    ):
        assert set(result.posterior.data_vars) == set(expected.data_vars)
        np.testing.assert_array_equal(result.posterior["s_log__"], expected["s_log__"])
    assert sample_approx(approx).posterior.sizes["draw"] == 1000
    assert "s_log__" not in sample_approx(approx, 5, include_transformed=False).posterior
    assert "s_log__" not in approx.sample_vp(5).posterior


# -- symbolic properties --------------------------------------------------------------------------


def check_densities(approx, z, logq, logp, varlogp, datalogp):
    """Compare log densities at a flat vector with SciPy's and the model's own."""
    mean, std = approx.mean.eval(mode=MODE), approx.std.eval(mode=MODE)
    assert logq == pytest.approx(stats.norm(mean, std).logpdf(z).sum())
    logps = approx.model.point_logps(approx.layout.point(z), round_vals=None)
    prior = sum(logps[v] for v in ("a", "s", "b"))
    assert varlogp == pytest.approx(prior)
    assert datalogp == pytest.approx(logps["y"])
    assert logp == pytest.approx(prior + logps["y"])


def test_symbolic_properties_are_of_one_draw(approx):
    properties = [approx.symbolic_random, approx.logq, approx.logp, approx.varlogp, approx.datalogp]
    names = [approx.rslice("s"), approx.rslice("s_log__"), approx.rslice("b")]
    *values, s, log_s, b = evaluated(*properties, *names)
    check_densities(approx, *values)
    z = values[0]
    assert z.shape == (8,)
    assert log_s == z[1]
    assert s == pytest.approx(np.exp(z[1]))
    np.testing.assert_array_equal(b.ravel(), z[2:])
    assert (approx.symbolic_random.eval(mode=MODE) != z).all()
    with pytest.raises(KeyError, match="mu"):
        approx.rslice("mu")


def test_set_size_and_deterministic(approx):
    n = pt.iscalar("n")
    properties = [approx.symbolic_random, approx.logq, approx.logp, approx.varlogp, approx.datalogp]
    sized = approx.set_size_and_deterministic([*properties, approx.rslice("s")], n, False)
    *values, s = pytensor.function([n], sized, mode=MODE)(3)
    for row in zip(*values, strict=True):
        check_densities(approx, *row)
    np.testing.assert_allclose(s, np.exp(values[0][:, 1]))
    assert len(np.unique(s)) == 3
    logq = approx.set_size_and_deterministic(approx.logq, None, True).eval(mode=MODE)
    mode = stats.norm(0, approx.std.eval(mode=MODE)).logpdf(0).sum()
    assert logq == pytest.approx(mode)
    swapped = approx.set_size_and_deterministic(
        approx.rslice("a") * X, 2, True, more_replacements={X: X_TEST}
    )
    np.testing.assert_allclose(swapped.eval(mode=MODE), [1.5 * X_TEST] * 2)


def test_to_flat_input(approx):
    model = approx.model
    mu, logp = approx.to_flat_input([model["mu"], model.logp()])
    short = approx.to_flat_input(model["mu"], more_replacements={X: X_TEST[:5]})
    z = np.linspace(-1, 1, 8)
    values = evaluate([mu, logp, short], {approx.inputs[0]: z})
    for rows, value in ((X_TRAIN, values[0]), (X_TEST[:5], values[2])):
        np.testing.assert_allclose(value, rows @ z[[2, 5]] * np.exp(z[1]) + z[0])
    logps = model.point_logps(approx.layout.point(z), round_vals=None)
    assert values[1] == pytest.approx(sum(logps.values()))


def test_several_groups():
    with vb.Model() as model:
        x = vb.Normal("x", initval=3.0)
        y = vb.Normal("y", shape=2)
    groups = [vb.Group([y], vfam="mf", model=model), vb.Group(None, vfam="mf", model=model)]
    approx = vb.Approximation(groups, model=model, random_seed=1)
    first, second = approx.symbolic_randoms
    total = approx.to_flat_input(x + y.sum())
    both, *parts, x_, y_ = evaluated(
        approx.symbolic_random, first, second, approx.rslice("x"), approx.rslice("y")
    )
    np.testing.assert_array_equal(both, np.concatenate(parts))
    np.testing.assert_array_equal(both, [*y_, x_])
    inputs = dict(zip(approx.inputs, [np.array([1.0, 2.0]), np.array([5.0])], strict=True))
    assert evaluate([total], inputs)[0] == 8
    centers = [v.eval(mode=MODE) for v in approx.sample_node([x, y], deterministic=True)]
    np.testing.assert_allclose(np.hstack(centers), [3, 0, 0])


def test_normalizing_constant(approx):
    assert approx.symbolic_normalizing_constant.eval(mode=MODE) == 1
    with vb.Model() as model:
        x = vb.Normal("x")
        vb.Normal("y", x, 1, observed=np.arange(5.0), total_size=50)
        vb.Normal("w", x, 1, observed=np.arange(4.0), total_size=8)
    approx = vb.MeanField(model=model)
    logq, logq_norm, logp, logp_norm = evaluated(
        approx.logq, approx.logq_norm, approx.logp, approx.logp_norm
    )
    assert logq_norm == pytest.approx(logq / 10)
    assert logp_norm == pytest.approx(logp / 10)


def test_float32(float32):
    with vb.Model() as model:
        x = vb.HalfNormal("x", shape=2)
        vb.Normal("y", x, 1, observed=[1.0, 2.0], total_size=[4])
    approx = vb.MeanField(model=model, random_seed=1)
    nodes = [*approx.sample_node([x, x**2], size=3), approx.symbolic_random, approx.logq_norm]
    assert {str(v.dtype) for v in evaluated(*nodes)} == {"float32"}


# -- pickling -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    with vb.Model(coords={"row": list("pqrst")}):
        data = vb.Data("data", np.arange(5.0), dims="row")
        slope = vb.Uniform("slope", -5, 5)
        s = vb.HalfNormal("s", 1)
        vb.Dirichlet("w", np.ones(3))
        vb.NormalMixture("m", w=[0.2, 0.8], mu=[0.0, 1.0], sigma=[1.0, 1.0])
        vb.GaussianRandomWalk("g", mu=0, sigma=1, init_dist=vb.Normal.dist(0, 1), steps=3)
        vb.Deterministic("mu", slope * data, dims="row")
        vb.Potential("pull", -(slope**2))
        vb.Normal("y", slope * data, s, observed=2 * np.arange(5.0), dims="row")
        return vb.fit(20, random_seed=1, backend="py", progressbar=False)


def check_copy(approx, copy):
    np.testing.assert_array_equal(copy.hist, approx.hist)
    for name, shared in approx.shared_params.items():
        np.testing.assert_array_equal(copy.shared_params[name].get_value(), shared.get_value())
    a, b = (each.sample(7, random_seed=5).posterior for each in (approx, copy))
    assert set(a.data_vars) == set(b.data_vars)
    for name in a.data_vars:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-12)
    assert list(b["row"].values) == list("pqrst")


@pytest.mark.parametrize("pickler", by_default([pickle, cloudpickle], 1))
def test_pickle(fitted, pickler):
    approx = fitted
    approx.sample(2)
    node = approx.sample_node(approx.model["mu"], size=2)
    copy, copied_node = pickler.loads(pickler.dumps((approx, node)))
    assert list(approx.model.functions)
    assert not list(copy.model.functions)
    check_copy(approx, copy)
    np.testing.assert_array_equal(copied_node.eval(mode=MODE), node.eval(mode=MODE))
    # the seed goes on from where it stood, the model is a whole one, and the two are apart
    nodes = [each.sample_node(each.model["s"], size=3) for each in (approx, copy)]
    np.testing.assert_array_equal(nodes[0].eval(mode=MODE), nodes[1].eval(mode=MODE))
    kept = copy.params[0].get_value()
    approx.params[0].set_value(kept + 1)
    np.testing.assert_array_equal(copy.params[0].get_value(), kept)
    again = vb.KLqp(copy).fit(5, backend="py", progressbar=False)
    assert len(again.hist) == 25


@pytest.mark.ci
def test_pickle_to_another_process(fitted, tmp_path):
    approx = fitted
    path = tmp_path / "approx.pkl"
    path.write_bytes(pickle.dumps(approx))
    script = (
        "import pickle, sys\n"
        "approx = pickle.load(open(sys.argv[1], 'rb'))\n"
        "posterior = approx.sample(7, random_seed=5).posterior\n"
        "values = {str(n): v.values for n, v in posterior.data_vars.items()}\n"
        "values |= {'hist': approx.hist, 'params': [p.get_value() for p in approx.params]}\n"
        "pickle.dump(values, open(sys.argv[2], 'wb'))\n"
    )
    env = os.environ | {"PYTHONPATH": str(Path(vb.__file__).parents[1])}
    answer = tmp_path / "answer.pkl"
    subprocess.run([sys.executable, "-c", script, str(path), str(answer)], check=True, env=env)
    values = pickle.loads(answer.read_bytes())
    expected = approx.sample(7, random_seed=5).posterior
    for name in expected.data_vars:
        np.testing.assert_allclose(values[name], expected[name].values, rtol=1e-12)
    np.testing.assert_array_equal(values["hist"], approx.hist)
    np.testing.assert_array_equal(values["params"], [p.get_value() for p in approx.params])


def test_cloudpickle_of_a_model_with_functions_of_the_user():
    with vb.Model() as model:
        vb.CustomDist("x", 3.0, logp=lambda value, mu: -((value - mu) ** 2), initval=1.0)
    approx = vb.MeanField(model=model, random_seed=1)
    copy = cloudpickle.loads(cloudpickle.dumps(approx))
    z = approx.rslice("x"), approx.logp
    copied = copy.rslice("x"), copy.logp
    (x, logp), (x_, logp_) = evaluated(*z), evaluated(*copied)
    assert x == x_
    assert logp == logp_ == pytest.approx(-((x - 3) ** 2))


def test_what_is_to_be_replaced_has_to_be_somewhere():
    data, foreign = pytensor.shared(np.zeros(2), name="data"), pytensor.shared(1.0, name="foreign")
    with vb.Model() as model:
        x = vb.Normal("x")
        vb.Normal("y", x + data, 1, observed=[1.0, 2.0])
        approx = vb.MeanField()
    for call in (
        lambda: approx.sample_node(x, more_replacements={foreign: 2.0}),
        lambda: approx.to_flat_input(x, more_replacements={foreign: 2.0}),
        lambda: vb.fit(5, model=model, more_replacements={foreign: 2.0}),
        lambda: vb.ObjectiveFunction(vb.KL(approx)).step(more_replacements={foreign: 2.0}),
    ):
        with pytest.raises(ValueError, match="more_replacements: foreign is no part of the model"):
            call()
    with pytest.raises(TypeError, match="takes the place of data must be numbers, got 'a'"):
        approx.sample_node(x, more_replacements={data: "a"})
    approx.sample_node(x, more_replacements={data: np.ones(2)})  # of the model, though not of x
    approx.sample_node(x * foreign, more_replacements={foreign: 2.0})
