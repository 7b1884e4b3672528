import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import vibayes as vb
from vibayes.exceptions import ModelError, SamplingError, ShapeError
from vibayes.inference import runs as module


@pytest.fixture
def model():
    with vb.Model(coords={"row": range(3)}) as model:
        data = vb.Data("data", [1.0, 2.0, 3.0], dims="row")
        x = vb.Normal("x", 0, 1)
        vb.Normal("y", x, 1, observed=data, dims="row")
    return model


FAST = {"backend": "py", "progressbar": False}


@pytest.fixture
def compilations(monkeypatch):
    made = []

    class Counted(module.CompiledSteps):
        def __init__(self, *args):
            made.append(args)
            super().__init__(*args)

    monkeypatch.setattr(module, "CompiledSteps", Counted)
    return made


def test_fitted_again_compiles_nothing(model, compilations):
    first = vb.fit(10, model=model, random_seed=1, **FAST)
    again = vb.fit(10, model=model, random_seed=1, **FAST)
    vb.fit(25, model=model, random_seed=2, **FAST)
    vb.set_data({"data": [-5.0, 0.0, 5.0, 1.0]}, model, coords={"row": range(4)})
    other = vb.fit(10, model=model, random_seed=1, **FAST)
    assert len(compilations) == 1
    np.testing.assert_array_equal(first.hist, again.hist)
    assert not np.array_equal(first.hist, other.hist)


def test_what_differs_compiles_anew(model, compilations):
    vb.fit(5, model=model, **FAST)
    vb.fit(5, model=model, obj_n_mc=3, **FAST)
    vb.fit(5, model=model, obj_optimizer=vb.adam(learning_rate=0.1), **FAST)
    vb.fit(5, model=model, obj_optimizer=vb.adam(learning_rate=0.1), **FAST)
    vb.fit(5, model=model, obj_optimizer=vb.adam(learning_rate=0.2), **FAST)
    vb.fit(5, model=model, inf_kwargs={"beta": 2.0}, **FAST)
    assert len(compilations) == 5
    with model:
        vb.Potential("more", model["x"])
    vb.fit(5, model=model, **FAST)
    assert len(compilations) == 6


def test_new_data_give_the_new_answer(model):
    adam = vb.adam(learning_rate=0.05)
    for data in ([1.0, 2.0, 3.0], [-4.0, -4.0, -4.0]):
        vb.set_data({"data": data}, model)
        approx = vb.fit(1500, model=model, random_seed=1, obj_optimizer=adam, obj_n_mc=4, **FAST)
        assert approx.mean.eval()[0] == pytest.approx(np.sum(data) / 4, abs=0.1)


def test_data_that_do_not_fit_any_more():
    with vb.Model(coords={"row": range(3)}) as model:
        data = vb.Data("data", [1.0, 2.0, 3.0], dims="row")
        x = vb.Normal("x", 0, 1)
        vb.Normal("y", x * data, 1, observed=[1.0, 2.0, 3.0], dims="row")
    vb.set_data({"data": [1.0, 2.0]}, model, coords={"row": ["a", "b"]})
    with pytest.raises(ShapeError, match=r"Normal\('y'\).*shape \(3,\).*\(2,\)"):
        vb.fit(5, model=model, **FAST)


def test_more_replacements(model):
    full = pytensor.shared(np.array([10.0, 10.0, 10.0]))
    with vb.Model() as other:
        x = vb.Normal("x", 0, 100)
        vb.Normal("y", x, 1, observed=full)
    approx = vb.fit(
        1500,
        model=other,
        random_seed=1,
        start={"x": -1.0},
        obj_optimizer=vb.adam(learning_rate=0.02),
        obj_n_mc=10,
        more_replacements={full: np.array([-1.0, -1.0, -1.0])},
        **FAST,
    )
    assert approx.mean.eval()[0] == pytest.approx(-1, abs=0.2)


def test_methods(model):
    assert isinstance(vb.fit(3, "ADVI", model, **FAST), vb.MeanField)
    assert isinstance(vb.fit(3, vb.ADVI, model, **FAST), vb.MeanField)
    inference = vb.ADVI(model=model)
    assert vb.fit(3, inference, **FAST) is inference.approx
    klqp = vb.KLqp(vb.MeanField(model=model), beta=0.5)
    assert vb.fit(3, klqp, **FAST) is klqp.approx
    with pytest.raises(ValueError, match="'nuts' is unknown; known are 'advi'"):
        vb.fit(3, "nuts", model)
    with pytest.raises(TypeError, match="no effect"):
        vb.fit(3, inference, random_seed=1)


def test_start_and_start_sigma(model):
    approx = vb.fit(
        0, model=model, start={"x": 4.0}, start_sigma={"x": 0.25}, random_seed=1, **FAST
    )
    assert approx.mean.eval() == [4.0]
    np.testing.assert_allclose(approx.std.eval(), 0.25, rtol=1e-6)
    with pytest.raises(KeyError, match="'z'"):
        vb.fit(1, model=model, start={"z": 4.0})
    with pytest.raises(KeyError, match="'z'"):
        vb.fit(1, model=model, start_sigma={"z": 4.0})
    with pytest.raises(ValueError, match="positive"):
        vb.fit(1, model=model, start_sigma={"x": -1.0})


@pytest.mark.parametrize(
    ("kwargs", "error", "words"),
    [
        ({"n": -1}, ValueError, "n must be"),
        ({"n": 1.5}, ValueError, "n must be"),
        ({"obj_n_mc": 0}, ValueError, "obj_n_mc"),
        ({"obj_optimizer": 5}, TypeError, "obj_optimizer"),
        ({"more_obj_params": [pt.scalar("a")]}, TypeError, "more_obj_params"),
        ({"more_updates": {pt.scalar("a"): 1}}, TypeError, "more_updates"),
        ({"more_replacements": {"data": 1}}, TypeError, "more_replacements"),
        ({"backend": "fortran"}, ValueError, "backend"),
        ({"random_seed": -1}, ValueError, "random_seed"),
        ({"random_seed": "one"}, ValueError, "random_seed"),
    ],
)
def test_bad_arguments(model, kwargs, error, words):
    with pytest.raises(error, match=words):
        vb.fit(**({"n": 5, "model": model, "progressbar": False} | kwargs))


def test_no_model():
    with pytest.raises(TypeError, match="No model is open"):
        vb.fit(5)


def test_nothing_to_infer():
    with vb.Model() as model:
        vb.Normal("y", 0, 1, observed=[1.0])
    with pytest.raises(ModelError, match="nothing to infer"):
        vb.fit(5, model=model)


def test_discrete_free_variable():
    with vb.Model() as model:
        k = vb.Poisson("k", 3)
        vb.Normal("y", k, 1, observed=[1.0])
    with pytest.raises(ModelError, match=r"'k' is discrete.*vb\.Mixture"):
        vb.fit(5, model=model)


def test_impossible_start_names_the_variables():
    with vb.Model() as model:
        x = vb.Normal("x", 0, 1, initval=2.0)
        vb.Exponential("e", 1.0)
        vb.Gamma("bad", 2, 1, observed=[-1.0, 2.0])
        vb.Potential("worse", pt.log(x - 2))
    with pytest.raises(SamplingError) as error:
        vb.fit(5, model=model, **FAST)
    message = str(error.value)
    assert "bad: log density -inf at [-1.0, 2.0]" in message
    assert "worse: log density -inf" in message
    assert "  e:" not in message


def test_repr(model):
    assert repr(vb.ADVI(model=model)) == "<ADVI of <MeanField: MeanFieldGroup(x), 1 dimensions>>"


def test_shared_rng_of_a_minibatch_like_index_follows_the_seed():
    X = np.random.default_rng(0).normal(3.0, 1.0, size=500)
    data = pytensor.shared(X)
    with vb.Model() as model:
        rng = pytensor.shared(np.random.default_rng(5))
        next_rng, rows = pt.random.integers(0, 500, size=(20,), rng=rng).owner.outputs
        rng.default_update = next_rng
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 1, observed=data[rows], total_size=500)
    adam = vb.adam(learning_rate=0.02)
    a, b, c = (
        vb.fit(600, model=model, random_seed=s, obj_optimizer=adam, **FAST) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(a.hist, b.hist)
    assert not np.array_equal(a.hist, c.hist)
    assert a.mean.eval()[0] == pytest.approx(X.mean(), abs=0.2)
    state = rng.get_value().bit_generator.state
    assert state == np.random.default_rng(5).bit_generator.state
