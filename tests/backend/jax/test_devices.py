import numpy as np
import pytest

from vibayes.backend.jax import JaxDevices, double_precision, jax_devices

jax = pytest.importorskip("jax")


def test_devices_by_name():
    (first, *_) = jax.devices("cpu")
    assert jax_devices() == JaxDevices()
    assert jax_devices("cpu") == jax_devices(first) == JaxDevices((first,))
    assert jax_devices(devices="cpu") == JaxDevices(tuple(jax.devices("cpu")))
    assert jax_devices(devices=[first]) == JaxDevices((first,))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "abacus"}, "device='abacus': JAX has no such devices here, it has .*cpu"),
        ({"devices": "abacus"}, "devices='abacus': JAX has no such devices"),
        ({"device": 3}, "device must be a kind such as .*, got 3"),
        ({"device": ""}, "device='': JAX has no such devices"),
        ({"devices": 5}, "devices must be a kind .*, got 5"),
        ({"devices": []}, r"devices must be a kind .*, got \[\]"),
        ({"devices": ["cpu", "cpu"]}, "devices must be a kind"),
        ({"device": "cpu", "devices": "cpu"}, "either device or devices"),
    ],
)
def test_wrong_devices_are_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        jax_devices(**arguments)


def test_a_device_cannot_be_given_twice():
    with pytest.raises(ValueError, match="one is given twice"):
        jax_devices(devices=jax.devices("cpu")[:1] * 2)


def test_double_precision_is_for_the_block_alone():
    before = jax.config.jax_enable_x64
    with double_precision():
        assert jax.numpy.ones(2).dtype == "float64"
    assert jax.config.jax_enable_x64 is before


def test_an_array_lies_where_it_is_to_lie():
    (device, *_) = jax.devices("cpu")
    with double_precision():
        placed = jax_devices(device).place(np.arange(3.0), rows={3})
        assert placed.devices() == {device}
        np.testing.assert_array_equal(placed, [0, 1, 2])
