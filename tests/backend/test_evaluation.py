import pytest

from vibayes.backend.evaluation import devices_of_densities, evaluating_as
from vibayes.backend.jax import JaxDevices, jax_devices
from vibayes.backend.modes import EVALUATE_MODE


def test_numpy_evaluates_unless_jax_was_asked_for(monkeypatch):
    monkeypatch.delenv("VIBAYES_BACKEND", raising=False)
    assert devices_of_densities() is None


def test_a_fit_on_jax_evaluates_on_its_devices_until_it_ends():
    pytest.importorskip("jax")
    devices = jax_devices("cpu")
    with evaluating_as(devices):
        assert devices_of_densities() is devices
        with evaluating_as(EVALUATE_MODE):
            assert devices_of_densities() is None
        assert devices_of_densities() is devices


def test_the_environment_decides_where_no_fit_does(monkeypatch):
    pytest.importorskip("jax")
    monkeypatch.setenv("VIBAYES_BACKEND", "jax")
    assert devices_of_densities() == JaxDevices()
    with evaluating_as(EVALUATE_MODE):
        assert devices_of_densities() is None
