import numpy as np
import pytensor
import pytest

import vibayes as vb
from vibayes.backend.modes import EVALUATE_MODE, resolve_mode
from vibayes.inference.few_steps import FEW_STEPS, are_too_few
from vibayes.objectives.options import StepOptions


def small_model():
    with vb.Model() as model:
        x = vb.Normal("x", shape=2)
        vb.Normal("y", x, 1.0, observed=[1.0, 2.0])
    return model


def too_few(approx, n=FEW_STEPS, operator=vb.KL, **options):
    return are_too_few(vb.ObjectiveFunction(operator(approx)), StepOptions.of(**options), n)


def mode_of(inference):
    return inference.last_run.loop.steps.mode


def test_few_steps_are_not_compiled():
    inference = vb.ADVI(model=small_model(), random_seed=1)
    inference.fit(5, progressbar=False)
    assert mode_of(inference) is EVALUATE_MODE
    inference.fit(FEW_STEPS + 1, progressbar=False, backend="py")
    assert mode_of(inference) is EVALUATE_MODE


def test_the_rule_is_one_of_the_call():
    model = small_model()
    assert too_few(vb.MeanField(model=model))
    assert not too_few(vb.MeanField(model=model), FEW_STEPS + 1)
    assert too_few(vb.NormalizingFlow("planar*8", model=model))
    assert not too_few(vb.MeanField(model=model), obj_n_mc=10**6)
    assert not too_few(vb.Empirical(size=100, model=model), operator=vb.KSD)


def test_a_model_with_a_loop_is_compiled():
    with vb.Model() as model:
        a = vb.Normal("a")
        states = pytensor.scan(
            lambda state: a * state, outputs_info=[np.float64(1)], n_steps=3, return_updates=False
        )
        vb.Normal("y", states, 1.0, observed=[1.0, 2.0, 3.0])
    assert not too_few(vb.MeanField(model=model))


def test_large_data_are_compiled():
    with vb.Model() as model:
        x = vb.Normal("x")
        vb.Normal("y", x, 1.0, observed=np.zeros(1_000_000))
    assert not too_few(vb.MeanField(model=model))
    assert too_few(vb.MeanField(model=model), 100)


@pytest.mark.parametrize("options", [{"backend": "numba"}, {"compile_kwargs": {"mode": "NUMBA"}}])
def test_who_names_a_backend_gets_it(options, monkeypatch):
    """Nothing is compiled here: what the steps would be made with is looked at."""
    asked = []

    def stop(self, graph, mode):
        asked.append(mode)
        raise RuntimeError("enough")

    monkeypatch.setattr("vibayes.inference.steps.CompiledSteps.__init__", stop)
    with pytest.raises(RuntimeError, match="enough"):
        vb.ADVI(model=small_model()).fit(5, progressbar=False, **options)
    assert asked == [resolve_mode() if "backend" in options else "NUMBA"]


@pytest.mark.parametrize("name", ["compile_kwargs", "fn_kwargs"])
def test_arguments_of_compilation_that_nothing_takes_are_refused(name):
    with pytest.raises(TypeError, match="takes 'mode' alone, got 'modes'"):
        vb.ADVI(model=small_model()).fit(5, progressbar=False, **{name: {"modes": "NUMBA"}})


def test_many_further_steps_are_compiled_and_go_on():
    model, many = small_model(), FEW_STEPS + 1
    numpy = vb.ADVI(model=model, random_seed=1)
    numpy.fit(10, progressbar=False, backend="py")
    compiled = vb.ADVI(model=model, random_seed=1)
    compiled.fit(10, progressbar=False)
    moved = np.array([4.0, -4.0])
    for inference in (numpy, compiled):
        inference.approx.params[0].set_value(moved)  # taken over, as ever
        inference.refine(many, progressbar=False)
    assert mode_of(compiled) is not EVALUATE_MODE
    assert numpy.step_source is None
    assert "for step in range(n):" in compiled.step_source
    assert "  # mu" in compiled.step_source  # of the parameters
    compiled.refine(1, progressbar=False)  # once compiled, compiled
    assert mode_of(compiled) is not EVALUATE_MODE
    assert len(compiled.hist) == 10 + many + 1
    np.testing.assert_allclose(compiled.hist[:-1], numpy.hist, rtol=1e-8)


def test_few_further_steps_go_on_as_they_began():
    once, twice = (vb.ADVI(model=small_model(), random_seed=1) for _ in range(2))
    once.fit(15, progressbar=False)
    twice.fit(10, progressbar=False)
    twice.refine(5, progressbar=False)
    assert mode_of(twice) is EVALUATE_MODE
    np.testing.assert_array_equal(twice.hist, once.hist)
