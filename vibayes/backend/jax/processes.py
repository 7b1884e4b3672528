"""Several processes that take the same steps, each with rows of its own."""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from vibayes.exceptions import ProcessError

__all__ = ["from_first", "in_all", "least_of_all", "number_of_processes", "while_all_are_there"]

T = TypeVar("T")

LOST = re.compile(
    r"gloo|nccl|unavailable|deadline_exceeded|aborted|coordination|connection|cancelled", re.I
)


def number_of_processes() -> int:
    """Return how many processes ``jax.distributed.initialize`` has joined: one without it."""
    jax = sys.modules.get("jax")
    if jax is None or not jax.distributed.is_initialized():
        return 1
    return int(jax.process_count())


@contextmanager
def while_all_are_there() -> Iterator[None]:
    """Say of an error of JAX in the block, if it is one, that another process has gone.

    Raises
    ------
    ProcessError
        In its place.
    """
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if isinstance(error, ProcessError) or not LOST.search(str(error)):
            raise
        raise ProcessError(
            f"Another process of the fit has ended, or cannot be reached any more "
            f"({str(error).splitlines()[0][:200]}). The approximation holds the state before; if "
            f"the fit has a checkpoint, start all processes anew: the same call goes on from it."
        ) from error


def in_all(value: T) -> list[T]:
    """Return what all processes, in their order, have given; each has to call it.

    Parameters
    ----------
    value
        Anything that can be pickled.
    """
    from jax.experimental.multihost_utils import process_allgather

    packed = np.frombuffer(pickle.dumps(value), dtype=np.uint8)
    with while_all_are_there():
        lengths = np.ravel(process_allgather(np.int32(len(packed))))
        filled = np.zeros(1 << int(max(lengths)).bit_length(), dtype=np.uint8)
        filled[: len(packed)] = packed
        rows = process_allgather(filled)
    return [pickle.loads(row[:n].tobytes()) for row, n in zip(rows, lengths, strict=True)]


def least_of_all(number: int) -> int:
    """Return the least of the numbers that all processes have given."""
    from jax.experimental.multihost_utils import process_allgather

    with while_all_are_there():
        return int(np.min(process_allgather(np.int32(number))))


def from_first(make: Callable[[], T]) -> T:
    """Return, in all processes, what the first one has made; or raise what it has raised."""
    import jax

    made: Any = None
    error: Exception | None = None
    if jax.process_index() == 0:
        try:
            made = make()
        except Exception as raised:
            error = raised
    made, error = in_all((made, error))[0]
    if error is not None:
        raise error
    return made
