"""Which devices of JAX compute, and where arrays lie on them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from vibayes.backend.jax.versions import register_jax_versions
from vibayes.installing import how_to_install

__all__ = ["JaxDevices", "double_precision", "jax_devices"]


def import_jax() -> Any:
    """Return the module ``jax``.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import jax
    except ImportError as error:
        raise ImportError(
            f"backend='jax' needs the package jax, which is not installed: "
            f"{how_to_install('jax', 'jax')}; for an NVIDIA GPU pip install 'jax[cuda13]'"
        ) from error
    return jax


def double_precision() -> AbstractContextManager[Any]:
    """Return a block in which JAX knows double precision.

    Graphs say of each number which precision it has; single precision stays what it is.
    """
    return import_jax().enable_x64(True)


@dataclass(frozen=True)
class JaxDevices:
    """The devices that a fit runs on.

    Attributes
    ----------
    devices : tuple of jax.Device
        One, or several that share the rows of the data. None: JAX's default.
    """

    devices: tuple[Any, ...] = ()

    def place(self, value: np.ndarray, rows: Collection[int] = ()) -> Any:
        """Return an array on the devices.

        Parameters
        ----------
        value
            Numbers.
        rows
            Arrays of these lengths are cut into as many parts as there are devices; zeros make
            the last part as long as the others, and :meth:`whole` leaves them out. Others are on
            each device.
        """
        jax = import_jax()
        if len(self.devices) < 2:
            return jax.device_put(value, self.devices[0] if self.devices else None)
        if not self.divides(value.shape, rows):
            return jax.device_put(value, self._sharding())
        missing = -len(value) % len(self.devices)
        padding = [(0, missing), *[(0, 0)] * (value.ndim - 1)]
        return jax.device_put(np.pad(value, padding), self._sharding("rows"))

    def whole(self, value: Any, shape: Sequence[int], rows: Collection[int]) -> Any:
        """Return, in a function that JAX compiles, a placed array without the padding."""
        if len(self.devices) < 2 or not self.divides(shape, rows):
            return value
        own = value[: shape[0]]
        return import_jax().lax.with_sharding_constraint(own, self._sharding("rows"))

    def divides(self, shape: Sequence[int], rows: Collection[int]) -> bool:
        """Tell whether the devices share the rows of an array of this shape."""
        return len(shape) > 0 and shape[0] in rows and shape[0] >= len(self.devices)

    def _sharding(self, *axes: str) -> Any:
        from jax.sharding import Mesh, NamedSharding, PartitionSpec

        mesh = Mesh(np.array(self.devices), ("rows",))
        return NamedSharding(mesh, PartitionSpec(*axes))


def jax_devices(device: Any = None, devices: Any = None) -> JaxDevices:
    """Return the devices of a fit.

    Parameters
    ----------
    device : str or jax.Device, optional
        A kind of device, such as "cpu" or "gpu", or one of ``jax.devices()``.
    devices : str or sequence of jax.Device, optional
        Several: all of a kind, or a list.

    Raises
    ------
    ImportError
        If JAX is not installed.
    ValueError
        If there is no such device, or both are given.
    """
    jax = import_jax()
    register_jax_versions()
    if device is not None and devices is not None:
        raise ValueError(f"give either device or devices, not both ({device!r}, {devices!r})")
    if devices is not None:
        return JaxDevices(several_devices(devices))
    if device is None:
        return JaxDevices()
    if isinstance(device, str):
        return JaxDevices((of_kind(device, "device")[0],))
    if isinstance(device, jax.Device):
        return JaxDevices((device,))
    raise ValueError(
        f"device must be a kind such as 'cpu' or 'gpu', or one of jax.devices(), got {device!r}"
    )


def several_devices(devices: Any) -> tuple[Any, ...]:
    """Return the devices of a kind, or of a list."""
    jax = import_jax()
    if isinstance(devices, str):
        return tuple(of_kind(devices, "devices"))
    found = list(devices) if np.iterable(devices) else []
    if not found or not all(isinstance(d, jax.Device) for d in found):
        raise ValueError(
            f"devices must be a kind such as 'gpu', or a list of jax.devices(), got {devices!r}"
        )
    if len(set(found)) < len(found):
        raise ValueError(f"devices: one is given twice in {found}")
    if others := [d for d in found if d.process_index != jax.process_index()]:
        raise ValueError(f"devices: {others[0]} belongs to another process")
    return tuple(found)


def of_kind(kind: str, argument: str) -> list[Any]:
    """Return all devices of a kind that belong to this process."""
    try:
        return list(import_jax().local_devices(backend=kind.strip() or "nothing"))
    except RuntimeError as error:
        there = sorted({d.platform for d in import_jax().devices()} | {"cpu"})
        raise ValueError(
            f"{argument}={kind!r}: JAX has no such devices here, it has {', '.join(there)}"
        ) from error
