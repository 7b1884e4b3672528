"""Which devices of JAX compute, and where arrays lie on them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from vibayes.backend.jax.processes import in_all, least_of_all
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
        One, or several that share the rows of the data. None: JAX's default. Those of other
        processes are among them if all of these take part.
    """

    devices: tuple[Any, ...] = ()

    @cached_property
    def span_processes(self) -> bool:
        """Whether several processes take part, each of which calls all that is called here."""
        return len({d.process_index for d in self.devices}) > 1

    @property
    def count(self) -> int:
        """Number of devices that share rows."""
        return len(self.devices)

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that reports."""
        return not self.span_processes or import_jax().process_index() == 0

    def agreed(self, number: int) -> int:
        """Return the least of a number over all processes that take part."""
        return least_of_all(number) if self.span_processes else number

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
            return self._put(value, self.sharding())
        missing = -len(value) % len(self.devices)
        return self._put(with_zeros(value, missing), self.sharding("rows"))

    def place_parts(self, own: np.ndarray) -> tuple[Any, tuple[int, ...]]:
        """Return the rows of all processes, one after the other, and the shape of these.

        Each gives as many as it has. They are evened out once, and lie as :meth:`place` does.

        Parameters
        ----------
        own
            The rows of this process.

        Raises
        ------
        ValueError
            If rows of one process differ from those of another in shape or dtype.
        """
        jax = import_jax()
        kinds = in_all((own.shape, str(own.dtype)))
        if len({(shape[1:], dtype) for shape, dtype in kinds}) > 1:
            raise ValueError(f"local data differ between processes in shape or dtype: {kinds}")
        counts = [shape[0] for shape, _ in kinds]
        devices = [[d for d in self.devices if d.process_index == i] for i in range(len(counts))]
        part = max(-(-n // len(there)) for n, there in zip(counts, devices, strict=True))
        lengths = [part * len(there) for there in devices]
        mine = lengths[jax.process_index()]
        given = jax.make_array_from_process_local_data(
            self.sharding("rows"),
            with_zeros(own, mine - len(own)),
            (sum(lengths), *own.shape[1:]),
        )
        total = sum(counts)
        begins = np.cumsum([0, *lengths])

        def evened(value: Any) -> Any:
            parts = [value[at : at + n] for at, n in zip(begins, counts, strict=False)]
            missing = -total % len(self.devices)
            return with_zeros(jax.numpy.concatenate(parts), missing, jax.numpy)

        placed = jax.jit(evened, out_shardings=self.sharding("rows"))(given)
        return placed, (total, *own.shape[1:])

    def whole(self, value: Any, shape: Sequence[int], rows: Collection[int]) -> Any:
        """Return, in a function that JAX compiles, a placed array without the padding."""
        if len(self.devices) < 2 or not self.divides(shape, rows):
            return value
        own = value[: shape[0]]
        return import_jax().lax.with_sharding_constraint(own, self.sharding("rows"))

    def compiled(self, function: Callable[..., Any]) -> Any:
        """Return a function compiled by JAX, whose results all processes can read."""
        jax = import_jax()
        if self.span_processes:
            return jax.jit(function, out_shardings=self.sharding())
        return jax.jit(function)

    def _put(self, value: np.ndarray, sharding: Any) -> Any:
        jax = import_jax()
        if self.span_processes:
            return jax.make_array_from_callback(np.shape(value), sharding, lambda i: value[i])
        return jax.device_put(value, sharding)

    def divides(self, shape: Sequence[int], rows: Collection[int]) -> bool:
        """Tell whether the devices share the rows of an array of this shape."""
        return len(shape) > 0 and shape[0] in rows and shape[0] >= len(self.devices)

    def sharding(self, *axes: str) -> Any:
        """Return where an array lies: rows shared by the devices, or on each as a whole."""
        from jax.sharding import Mesh, NamedSharding, PartitionSpec

        mesh = Mesh(np.array(self.devices), ("rows",))
        return NamedSharding(mesh, PartitionSpec(*axes))


def with_zeros(value: Any, missing: int, numpy: Any = np) -> Any:
    """Return an array with so many rows of zeros after its own."""
    return numpy.pad(value, [(0, missing), *[(0, 0)] * (value.ndim - 1)])


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
    there = {d.process_index for d in found}
    if len(there) == 1 and there != {jax.process_index()}:
        raise ValueError(f"devices: {found[0]} belongs to another process")
    if 1 < len(there) < jax.process_count():
        raise ValueError(
            f"devices are those of the processes {sorted(there)} of {jax.process_count()}: give "
            f"those of this one, or of all, such as devices=jax.devices()"
        )
    return tuple(sorted(found, key=lambda d: (d.process_index, d.id)) if len(there) > 1 else found)


def of_kind(kind: str, argument: str) -> list[Any]:
    """Return all devices of a kind that belong to this process."""
    try:
        return list(import_jax().local_devices(backend=kind.strip() or "nothing"))
    except RuntimeError as error:
        there = sorted({d.platform for d in import_jax().devices()} | {"cpu"})
        raise ValueError(
            f"{argument}={kind!r}: JAX has no such devices here, it has {', '.join(there)}"
        ) from error
