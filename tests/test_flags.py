import numpy as np
import pytest

import vibayes as vb
from vibayes.backend.evaluation import devices_of_densities
from vibayes.backend.modes import is_chosen_by_hand, resolve_steps_mode
from vibayes.backend.numba_linker import numba_mode
from vibayes.inference.jax_steps import JaxSteps
from vibayes.inference.steps import CompiledSteps


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    monkeypatch.delenv("VIBAYES_BACKEND", raising=False)
    yield
    vb.config.backend = None


def test_what_was_assigned_comes_before_the_environment(monkeypatch):
    assert vb.config.backend is None
    monkeypatch.setenv("VIBAYES_BACKEND", "c")
    assert vb.config.backend == "c"
    vb.config.backend = "py"
    assert vb.config.backend == "py"
    assert repr(vb.config) == "<Config: backend='py'>"
    vb.config.backend = None
    assert vb.config.backend == "c"


def test_a_block_ends_with_what_held_before_it():
    vb.config.backend = "numba"
    with vb.config.change_flags(backend="py"):
        assert vb.config.backend == "py"
    assert vb.config.backend == "numba"
    with pytest.raises(KeyError), vb.config.change_flags(backend="py"):
        raise KeyError
    assert vb.config.backend == "numba"
    with vb.config.change_flags():
        assert vb.config.backend == "numba"


@pytest.mark.parametrize("value", ["fortran", 1, ["jax"]])
def test_what_is_no_backend_is_refused_where_it_is_said(value):
    with pytest.raises(ValueError, match=r"vb\.config\.backend must be one of 'jax', 'numba'"):
        vb.config.backend = value
    with pytest.raises(ValueError, match="must be one of"), vb.config.change_flags(backend=value):
        pass
    assert vb.config.backend is None


def test_what_is_misspelt_is_no_setting():
    with pytest.raises(AttributeError):
        vb.config.backends = "jax"


def test_a_fit_follows_it():
    assert not is_chosen_by_hand(None, None)
    assert devices_of_densities() is None
    with vb.config.change_flags(backend="py"):
        assert is_chosen_by_hand(None, None)
        with vb.Model():
            mu = vb.Normal("mu", 0, 1)
            vb.Normal("y", mu, 1, observed=np.ones(5))
            inference = vb.ADVI(random_seed=1)
            inference.fit(5, progressbar=False)
    assert inference.step_source is None  # NumPy's steps are no compiled function


@pytest.mark.ci
def test_jax_runs_what_was_asked_of_it_by_whatever_way_and_nothing_else(monkeypatch):
    pytest.importorskip("jax")
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 1)
        vb.Normal("y", mu, 1, observed=np.ones(5))

    def runs_on(**options):
        inference = vb.ADVI(model=model, random_seed=1)
        inference.fit(3, progressbar=False, diagnose=False, **options)
        return type(inference.last_run.loop.steps)

    assert resolve_steps_mode() is numba_mode()  # though JAX is installed
    assert runs_on(backend="jax") is runs_on(compile_kwargs={"mode": "JAX"}) is JaxSteps
    monkeypatch.setenv("VIBAYES_BACKEND", "jax")
    assert runs_on() is JaxSteps
    assert runs_on(backend="py") is CompiledSteps
    vb.config.backend = "py"
    assert runs_on() is CompiledSteps
    assert runs_on(backend="jax") is JaxSteps
    with vb.config.change_flags(backend="jax"):
        assert runs_on() is JaxSteps
