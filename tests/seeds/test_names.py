"""Names and arguments of PyMC's variational modules, by the paths that they have there."""

import numpy as np
import pytest
from helpers.lanes import LANE

import vibayes as vb
from vibayes.variational import approximations, callbacks, inference, operators, opvi, updates

QUICK = {"mode": "FAST_COMPILE"}


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        x = vb.Normal("x")
        vb.Normal("y", x, 1, observed=[1.0, 2.0])
    return model


@pytest.mark.parametrize("module", [approximations, inference, opvi, callbacks, operators, updates])
def test_modules_hold_the_same_objects(module):
    own = vars(vb.callbacks if module is callbacks else vb) | vars(vb.exceptions)
    assert all(getattr(module, name) is own[name] for name in module.__all__)


def test_a_step_function_takes_steps(model):
    advi = vb.ADVI(model=model, random_seed=1)
    options = {"obj_optimizer": "adam", "fn_kwargs": QUICK}
    step = advi.objective.step_function(score=True, **options)
    before = advi.approx.mean.eval(**QUICK)
    losses = [float(step()) for _ in range(3)]
    assert len(set(losses)) == 3
    assert advi.approx.mean.eval(**QUICK) != before
    silent = advi.objective.step_function(score=False, **options)
    before = advi.approx.mean.eval(**QUICK)
    assert silent() is None
    assert advi.approx.mean.eval(**QUICK) != before


def test_steins_method_has_particles_of_its_own(model):
    with model:
        stein = vb.Stein()
    assert stein.approx.histogram.eval(**QUICK).shape == (100, 1)
    assert stein.approx.histogram in stein.updates()
    assert stein.approx.histogram in stein.updates(vb.ObjectiveFunction(stein), score=False)
    approx = vb.Inference(stein).fit(2, backend=LANE, progressbar=False)
    assert approx is stein.approx


@pytest.mark.parametrize("name", ["adam", "sgd", "adagrad_window"])
def test_optimizers_by_name(model, name):
    def fitted(optimizer):
        options = {"obj_optimizer": optimizer, "backend": LANE, "progressbar": False}
        return vb.fit(5, model=model, random_seed=1, diagnose=False, fn_kwargs={}, **options).hist

    np.testing.assert_array_equal(fitted(name), fitted(getattr(vb, name)()))


def test_unknown_optimizers_are_told(model):
    with pytest.raises(ValueError, match="obj_optimizer 'adan' is unknown; known are 'adadelta'"):
        vb.fit(5, model=model, obj_optimizer="adan")
    with pytest.raises(ValueError, match="test_optimizer 'norm_constraint' is unknown"):
        vb.fit(5, model=model, test_optimizer="norm_constraint")


def test_local_variables_by_fit():
    with vb.Model() as model:
        x = vb.Normal("x")
        z = vb.Normal("z", x, shape=3)
        vb.Normal("y", z, 1, observed=[1.0, 2.0, 3.0])
    local = {z: (np.zeros(3), np.ones(3))}
    options = {"model": model, "backend": LANE, "progressbar": False, "diagnose": False}
    approx = vb.fit(2, local_rv=local, **options)
    assert [group.local for group in approx.groups].count(True) == 1
    with pytest.raises(TypeError, match="local_rv has no effect"):
        vb.fit(2, vb.ADVI(model=model), local_rv=local)


def test_the_cholesky_factor_has_a_positive_diagonal():
    with vb.Model():
        vb.Normal("x", shape=3)
        approx = vb.FullRank()
    packed = np.array([-1.0, 0.5, 2.0, 0.3, -0.2, -3.0])
    approx.params[1].set_value(packed)
    expected = np.linalg.cholesky(approx.cov.eval(**QUICK))
    np.testing.assert_allclose(approx.L_chol.eval(**QUICK), expected)
    np.testing.assert_allclose(approx.groups[0].L_chol.eval(**QUICK), expected)


@pytest.mark.parametrize("vfam", ["mf", "planar*2", "loc", "mixed"])
def test_any_family_at_several_draws(vfam):
    with vb.Model() as model:
        x = vb.Normal("x", shape=2)
        vb.HalfNormal("y")
        if vfam == "mixed":
            approx = vb.Approximation([vb.Group([x], vfam="planar*2"), vb.Group(None, vfam="mf")])
        else:
            approx = vb.MeanField() if vfam == "mf" else vb.NormalizingFlow(vfam)
    nodes = [approx.logq, approx.logp, approx.symbolic_random, approx.rslice("y")]
    drawn = approx.set_size_and_deterministic(nodes, 5, False)
    values = vb.draw(drawn, random_seed=1)
    assert [v.shape for v in values] == [(5,), (5,), (5, 3), (5,)]
    assert (np.ptp(values[2], axis=0) > 0).all()
    flat = values[2]
    logp = model.compile_logp(backend="py")
    inner = dict(zip([v.name for v in model.value_vars], [flat[0, :2], flat[0, 2]], strict=True))
    assert logp(inner) == pytest.approx(values[1][0])
