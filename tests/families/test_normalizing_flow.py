import pickle

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.lanes import LANE
from helpers.posteriors import seeds
from pytensor.graph.traversal import ancestors
from scipy import stats

import vibayes as vb
from vibayes.approximations.base import Approximation
from vibayes.approximations.normalizing_flow import NormalizingFlow
from vibayes.backend.modes import EVALUATE_MODE
from vibayes.exceptions import ShapeError
from vibayes.families.base import Group
from vibayes.families.normalizing_flow import NormalizingFlowGroup
from vibayes.flows import AffineCouplingFlow, ScaleFlow
from vibayes.inference.methods import KLqp

RATE = pytensor.shared(np.array(0.0), name="rate", shape=())
ADAM = vb.adam(learning_rate=RATE)
EVERY_FLOW = (
    "scale-full_affine-planar-radial-hh-affine_coupling-iaf-spline_coupling-loc"  # in one chain
)


def converged(approx, n, backend=LANE):
    """Fit with a learning rate that goes down."""
    inference = KLqp(approx)
    for rate in (0.03, 0.01, 0.002):
        RATE.set_value(rate)
        inference.fit(n, obj_n_mc=10, obj_optimizer=ADAM, backend=backend, progressbar=False)
    return approx


def drawing(approx, n, seed=0):
    """Return a function of nothing: z, logq and logp of n draws, always the same."""
    draws, updates = approx.draw(n)
    (noise,) = updates
    givens = {noise: pytensor.shared(np.random.Generator(np.random.PCG64(seed)))}
    z = pt.concatenate([v.reshape((n, -1)) for v in draws.z.values()], axis=1)
    return pytensor.function([], [z, draws.logq, draws.logp], givens=givens, mode=EVALUATE_MODE)


def elbo(approx, n=20_000):
    _, logq, logp = drawing(approx, n)()
    return (logp - logq).mean()


def correlated():
    with vb.Model() as model:
        x = vb.Normal("x", 0, 1)
        vb.Normal("y", 0.95 * x, 0.3)
    return model


def banana():
    with vb.Model() as model:
        x = vb.Normal("x", 0, 1)
        vb.Normal("y", x**2, 0.3)
    return model


def funnel():
    with vb.Model() as model:
        v = vb.Normal("v", 0, 1.5)
        vb.Normal("x", 0, pt.exp(v))
    return model


def two_modes():
    with vb.Model() as model:
        vb.NormalMixture("x", [0.5, 0.5], mu=[-2.0, 2.0], sigma=[0.6, 0.6])
    return model


@pytest.fixture
def vector_model():
    with vb.Model() as model:
        vb.Normal("x", 3, 1)
        vb.HalfNormal("s", 1, shape=2, initval=[1.0, np.e])
    return model


# -- construction -------------------------------------------------------------------------------


def test_default_is_the_mean_field(vector_model):
    approx = NormalizingFlow(model=vector_model, start_sigma={"x": 0.1, "s": [0.2, 0.3]})
    assert set(approx.shared_params) == {"0_scale_log_scale", "1_loc_loc"}
    z, logq, _ = drawing(approx, 50)()
    expected = stats.norm([3, 0, 1], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(logq, expected.logpdf(z).sum(axis=1))
    assert approx.ndim == approx.ddim == 3
    for name in ("mean", "std", "cov"):
        with pytest.raises(NotImplementedError, match="closed form"):
            getattr(approx, name)


@pytest.mark.parametrize("formula", ["planar*3", EVERY_FLOW, "loc-scale"])
def test_starts_at_the_start_point(vector_model, formula):
    approx = NormalizingFlow(formula, model=vector_model, start={"x": 50.0}, random_seed=3)
    assert approx.formula == formula if formula.endswith("-loc") else f"{formula}-loc"
    z, _, _ = drawing(approx, 400)()
    np.testing.assert_allclose(z.mean(axis=0), [50, 0, 1], atol=0.4)
    np.testing.assert_allclose(z.std(axis=0), 1, atol=0.3)


def test_start_sigma_needs_a_scale(vector_model):
    with pytest.raises(ValueError, match=r"start_sigma has no effect .*scale-planar"):
        NormalizingFlow("planar*2", model=vector_model, start_sigma={"x": 0.1})


def test_parameters_are_named_by_place_and_drawn_from_the_seed(vector_model):
    one, same, other = (
        NormalizingFlow("scale-planar*2", model=vector_model, random_seed=seed).shared_params
        for seed in (1, 1, 2)
    )
    assert list(one) == [
        *("0_scale_log_scale", "1_planar_u", "1_planar_w", "1_planar_b"),
        *("2_planar_u", "2_planar_w", "2_planar_b", "3_loc_loc"),
    ]
    for name in one:
        np.testing.assert_array_equal(one[name].get_value(), same[name].get_value())
    assert (one["1_planar_w"].get_value() != other["1_planar_w"].get_value()).all()
    assert (one["1_planar_w"].get_value() != one["2_planar_w"].get_value()).all()


def test_more_than_ten_flows_keep_their_parameters_apart(vector_model):
    approx = NormalizingFlow("scale*12-loc", model=vector_model, start={"x": 0.0, "s": [1.0, 1.0]})
    values = np.random.default_rng(0).normal(size=(12, 3))
    for i, value in enumerate(values):
        approx.shared_params[f"{i}_scale_log_scale"].set_value(value)
    z, logq, _ = drawing(approx, 20)()
    expected = stats.norm(0, np.exp(values.sum(axis=0)))
    np.testing.assert_allclose(logq, expected.logpdf(z).sum(axis=1))


def test_by_objects_and_by_group(vector_model):
    approx = NormalizingFlow([ScaleFlow(), AffineCouplingFlow(hidden=3)], model=vector_model)
    assert approx.shared_params["1_affine_coupling_upper_W1"].get_value().shape == (1, 3)
    x, s = vector_model.free_RVs
    group = Group([x], vfam="nf", model=vector_model, options={"flow": "planar*2"})
    assert isinstance(group, NormalizingFlowGroup)
    rest = Group(None, vfam="mean_field", model=vector_model)
    draws, _ = Approximation([group, rest], model=vector_model).draw(5)
    assert len(draws.z) == 2
    with pytest.raises(TypeError, match="no option 'flw'"):
        Group([s], vfam="nf", model=vector_model, options={"flw": "planar"})
    with pytest.raises(ValueError, match="'plnr' is unknown"):
        NormalizingFlow("plnr", model=vector_model)


def given_group(model, params):
    return Group(model.free_RVs, vfam="flow", params=params, model=model)


def test_given_parameters(vector_model):
    given = {"0_scale_log_scale": np.log([0.5, 1.0, 2.0]), "1_loc_loc": pt.arange(3.0)}
    approx = Approximation([given_group(vector_model, given)], model=vector_model)
    assert approx.params == []
    z, logq, _ = drawing(approx, 20)()
    expected = stats.norm([0, 1, 2], [0.5, 1, 2]).logpdf(z).sum(axis=1)
    np.testing.assert_allclose(logq, expected)
    with pytest.raises(ValueError, match="1_loc_loc"):
        given_group(vector_model, {"loc": 1.0})
    with pytest.raises(ShapeError, match="1_loc_loc"):
        given_group(vector_model, given | {"1_loc_loc": np.zeros(2)})


# -- density ------------------------------------------------------------------------------------


def test_logq_is_the_density_of_the_draws():
    """Against the inverse: a chain of flows that have one, away from the identity."""
    with vb.Model() as model:
        vb.Normal("x", shape=3)
    approx = NormalizingFlow("scale-affine_coupling-hh-iaf-spline-loc", model=model, random_seed=1)
    rng = np.random.default_rng(1)
    for param in approx.params:
        param.set_value(param.get_value() + 0.2 * rng.normal(size=param.get_value().shape))
    (group,) = approx.groups
    z = pt.matrix("z", shape=(30, 3))
    back = z
    for i, flow in reversed(list(enumerate(group.flows))):
        prefix = f"{i}_{flow.short_name}_"
        own = {k.removeprefix(prefix): v for k, v in approx.shared_params.items()}
        back = flow.inverse(back, own)
    z_value, logq, _ = drawing(approx, 30)()
    noise = pytensor.function([z], back, mode=EVALUATE_MODE)(z_value)
    np.testing.assert_allclose(
        noise, np.random.Generator(np.random.PCG64(0)).normal(size=(30, 3)), atol=1e-8
    )
    # the log determinant by finite differences of the inverse, one draw at a time
    invert = pytensor.function([z], back, mode=EVALUATE_MODE)
    for k in range(3):
        points = np.repeat(z_value[k : k + 1], 30, axis=0)
        h = 1e-6
        points[:3] += h * np.eye(3)
        points[3:6] -= h * np.eye(3)
        inverted = invert(points)
        J = (inverted[:3] - inverted[3:6]) / (2 * h)
        expected = stats.norm.logpdf(noise[k]).sum() + np.linalg.slogdet(J)[1]
        assert logq[k] == pytest.approx(expected, abs=1e-6)


def test_one_pass_makes_draws_and_density(vector_model):
    approx = NormalizingFlow("planar*5", model=vector_model)
    draws, _ = approx.draw(10)
    loss = (draws.logq - draws.logp).mean()
    nodes = [v.owner for v in ancestors([loss]) if v.owner is not None]
    tanh = [n for n in nodes if getattr(n.op, "scalar_op", None) == pytensor.scalar.tanh]
    assert len(tanh) == 5


def test_draws_do_not_get_into_each_others_way(vector_model):
    """Whichever is made first, each has the density of its own noise."""
    approx = NormalizingFlow(EVERY_FLOW, model=vector_model, random_seed=1)
    (group,) = approx.groups
    _, first, z = group.draw(pytensor.shared(np.random.default_rng(1)), 4)
    _, second, z_second = group.draw(pytensor.shared(np.random.default_rng(2)), 4)
    by_draw = [group.log_density(first, z), group.log_density(second, z_second)]
    by_noise = [
        group.log_density(first.noise, group.transform(first.noise)),
        group.log_density(second.noise, group.transform(second.noise)),
    ]
    values = pytensor.function([], [*by_draw, *by_noise], mode=EVALUATE_MODE)()
    np.testing.assert_allclose(values[:2], values[2:])
    assert not np.allclose(values[0], values[1])


def test_single_draw_and_deterministic(vector_model):
    approx = NormalizingFlow(EVERY_FLOW, model=vector_model, random_seed=1)
    single, _ = approx.draw()
    assert single.logq.ndim == 0
    for size in (None, 4):
        draws, _ = approx.draw(size, deterministic=True)
        x, s = pytensor.function([], list(draws.z.values()), mode=EVALUATE_MODE)()
        np.testing.assert_allclose(x, np.full(x.shape, 3), atol=0.4)
        np.testing.assert_allclose(s, np.broadcast_to([0, 1], s.shape), atol=0.4)


def test_pickle_keeps_values():
    model = banana()
    approx = NormalizingFlow("scale-planar*2", model=model, random_seed=1)
    before = drawing(approx, 5)()
    again = pickle.loads(pickle.dumps(approx))
    for one, other in zip(before, drawing(again, 5)(), strict=True):
        np.testing.assert_array_equal(one, other)


# -- fits ---------------------------------------------------------------------------------------


@pytest.mark.ci
def test_two_modes_are_found():
    """Whereas no mean field gets beyond an ELBO of log(1/2), at one of the modes."""
    approx = converged(NormalizingFlow("scale-radial*4", model=two_modes(), random_seed=1), 500)
    assert elbo(approx) > -0.1  # the log evidence is 0
    x = drawing(approx, 20_000)()[0][:, 0]
    assert (x > 0).mean() == pytest.approx(0.5, abs=0.2)


@pytest.fixture(scope="module")
def correlated_model():
    return correlated()


@pytest.mark.parametrize("seed", seeds(3))
def test_recovers_a_correlated_normal(correlated_model, seed):
    approx = NormalizingFlow("full_affine", model=correlated_model, random_seed=seed)
    converged(approx, 1500)
    z, logq, logp = drawing(approx, 20_000)()
    assert (logp - logq).mean() == pytest.approx(0, abs=0.01)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(np.cov(z.T), [[1, 0.95], [0.95, 0.95**2 + 0.09]], atol=0.06)


def test_second_fit_compiles_nothing():
    model = banana()
    for seed in (1, 2):
        approx = NormalizingFlow("scale-affine_coupling", model=model, random_seed=seed)
        converged(approx, 5)
        assert (approx.shared_params["0_scale_log_scale"].get_value() != 0).all()
    steps = [key for key, *_ in model.functions if key[0] == "steps"]
    assert len(steps) == 1


def test_float32(float32):
    approx = NormalizingFlow("scale-planar-iaf", model=banana(), random_seed=1)
    inference = KLqp(approx)
    inference.fit(30, obj_optimizer=vb.adam(learning_rate=0.01), backend=LANE, progressbar=False)
    assert all(p.get_value().dtype == "float32" for p in approx.params)
    assert np.isfinite(approx.hist).all()
    assert approx.sample(10, random_seed=1).posterior["x"].dtype == "float32"


TARGETS = {f.__name__: f for f in (correlated, banana, funnel, two_modes)}


@pytest.fixture(scope="module")
def mean_field_elbo():
    return {
        name: elbo(converged(NormalizingFlow(model=make(), random_seed=0), 1000))
        for name, make in TARGETS.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("target", "formula", "margin"),
    [
        ("correlated", "full_affine", 1.1),
        ("correlated", "scale-hh", 1.1),
        ("banana", "affine_coupling", 0.3),
        ("banana", "iaf", 0.3),
        ("banana", "scale-planar*8", 0.45),
        ("funnel", "affine_coupling", 0.4),
        ("funnel", "iaf", 0.4),
        ("two_modes", "scale-spline_coupling", 0.6),
        ("two_modes", "scale-planar*4", 0.8),
        ("two_modes", "scale-radial*4", 0.8),
    ],
)
def test_beats_the_mean_field(target, formula, margin, seed, mean_field_elbo):
    # from a narrow start a flow may settle in one of two modes
    wide = {"x": 2.0} if target == "two_modes" else None
    approx = NormalizingFlow(formula, model=TARGETS[target](), random_seed=seed, start_sigma=wide)
    assert elbo(converged(approx, 1500)) > mean_field_elbo[target] + margin


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_recovers_a_target_that_a_flow_made(seed):
    """The ELBO reaches the log evidence, which is 0."""
    flow = AffineCouplingFlow(hidden=2)
    rng = np.random.default_rng(7)
    params = {
        k: pt.constant(v + 0.5 * rng.normal(size=v.shape))
        for k, v in flow.initial_params(2, rng).items()
    }
    with vb.Model() as model:
        x = vb.Flat("x", shape=2)
        z = flow.inverse(x, params)
        base = (-0.5 * z**2 - 0.5 * np.log(2 * np.pi)).sum()
        vb.Potential("target", base - flow.forward(z, params)[1])
    approx = converged(NormalizingFlow("affine_coupling", model=model, random_seed=seed), 2000)
    assert elbo(approx) > -0.03


@pytest.mark.slow
@pytest.mark.parametrize("n_mc", [1, 10])
def test_numba_and_numpy_take_the_same_steps(n_mc):
    hists = []
    for backend in ("py", "numba"):
        approx = NormalizingFlow(EVERY_FLOW, model=banana(), random_seed=1)
        inference = KLqp(approx)
        inference.fit(
            50,
            obj_n_mc=n_mc,
            obj_optimizer=vb.adam(learning_rate=0.01),
            backend=backend,
            progressbar=False,
        )
        hists.append(approx.hist)
    np.testing.assert_allclose(hists[0], hists[1], rtol=1e-6)
