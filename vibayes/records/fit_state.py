"""Where a fit stands, as plain data from which it can go on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vibayes.backend.seeds import is_generator_state
from vibayes.exceptions import StorageError
from vibayes.records.kept_values import NUMBERS, kept_value, value_of

__all__ = ["FitState", "check_callback_state"]


@dataclass(frozen=True)
class FitState:
    """Everything that the further steps of a fit depend on, beside the code that makes them.

    Attributes
    ----------
    call : dict
        What the fit was told to do; see :func:`vibayes.inference.checkpoints.describe_fit`.
    iteration : int
        Number of iterations done.
    ended : bool
        Whether the fit has ended by itself, so that there are no further steps.
    earlier : int
        Number of losses in ``hist`` from before the fit.
    layout : list
        Name, dtype and shape of each tensor that a step changes.
    vectors : tuple of numpy.ndarray
        Their values, one vector a dtype.
    generators : tuple of dict
        The states of the random generators.
    given : tuple of numpy.ndarray
        Values of the shared variables of the user's own that the fit changes.
    feed_seed : int
        Seed of the order of rows that are streamed.
    feed_places : tuple of tuple
        For each stream, where to begin to read.
    callbacks : tuple
        Class name and state of each callback that has one.
    source : str
        The file that it is from, for messages; empty if it is from none.
    """

    call: dict[str, Any]
    iteration: int = 0
    ended: bool = False
    earlier: int = 0
    layout: tuple[Any, ...] = ()
    vectors: tuple[np.ndarray, ...] = ()
    generators: tuple[Mapping[str, Any], ...] = ()
    given: tuple[np.ndarray, ...] = ()
    feed_seed: int = 0
    feed_places: tuple[tuple[int, int, int], ...] = ()
    callbacks: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    source: str = ""

    def unfit(self, what: str) -> StorageError:
        """Return an error that says what is wrong with a state, and with which file."""
        return StorageError(f"{self.source!r}: {what}" if self.source else what)

    def record(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the state as what JSON can hold, and arrays by name.

        Raises
        ------
        StorageError
            If a callback remembers what neither can hold.
        """
        arrays = {f"state_{i}": v for i, v in enumerate(self.vectors)}
        arrays |= {f"given_{i}": v for i, v in enumerate(self.given)}
        callbacks = []
        for i, (name, state) in enumerate(self.callbacks):
            check_callback_state(name, state)
            entries = []
            for j, (key, value) in enumerate(state.items()):
                entry, array = kept_value(value)
                if array is not None:
                    entry = {"array": f"callback_{i}_{j}"}
                    arrays[f"callback_{i}_{j}"] = array
                entries.append([key, entry])
            callbacks.append([name, entries])
        record = {
            "call": self.call,
            "iteration": self.iteration,
            "ended": self.ended,
            "earlier": self.earlier,
            "layout": self.layout,
            "vectors": len(self.vectors),
            "generators": self.generators,
            "given": len(self.given),
            "feed_seed": self.feed_seed,
            "feed_places": self.feed_places,
            "callbacks": callbacks,
        }
        return record, arrays

    @classmethod
    def of(
        cls, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray], source: str = ""
    ) -> FitState:
        """Return the state of a record.

        Raises
        ------
        StorageError
            If no fit has such numbers. Where entries are missing, or have other types, anything
            may be raised.
        """
        callbacks = tuple(
            (name, {key: value_of(v, arrays.get(v.get("array"))) for key, v in entries})
            for name, entries in record["callbacks"]
        )
        state = cls(
            call=record["call"],
            iteration=record["iteration"],
            ended=record["ended"],
            earlier=record["earlier"],
            layout=tuple((name, dtype, tuple(shape)) for name, dtype, shape in record["layout"]),
            vectors=tuple(arrays[f"state_{i}"] for i in range(record["vectors"])),
            generators=tuple(record["generators"]),
            given=tuple(arrays[f"given_{i}"] for i in range(record["given"])),
            feed_seed=record["feed_seed"],
            feed_places=tuple(tuple(place) for place in record["feed_places"]),
            callbacks=callbacks,
            source=source,
        )
        if what := what_no_fit_has(state):
            raise state.unfit(f"no fit has {what}")
        return state


def what_no_fit_has(state: FitState) -> str:
    """Return in words what is wrong with a state, whatever the fit; empty if nothing is."""
    for name in ("iteration", "earlier", "feed_seed"):
        if not is_count(getattr(state, name)):
            return f"{name} {getattr(state, name)!s:.60}"
    if type(state.ended) is not bool or not isinstance(state.call, dict):
        return f"ended {state.ended!s:.60} and the call {state.call!s:.60}"
    lengths: dict[str, int] = {}
    for name, dtype, shape in state.layout:
        if not isinstance(name, str) or dtype not in NUMBERS or not all(map(is_count, shape)):
            return f"a tensor {name!s:.60} of dtype {dtype!s:.60} and shape {shape!s:.60}"
        lengths[dtype] = lengths.get(dtype, 0) + math.prod(shape)
    if [(v.dtype.name, v.shape) for v in state.vectors] != [(d, (n,)) for d, n in lengths.items()]:
        found = ", ".join(f"{v.dtype.name} {v.shape}" for v in state.vectors[:5])
        return f"vectors {found} for tensors of {lengths!s:.200} numbers"
    if state.iteration and not all(np.isfinite(v).all() for v in state.vectors):
        return "numbers that are not finite"
    for generator in state.generators:
        if not is_generator_state(generator):
            return f"a random generator in the state {generator!s:.200}"
    for place in state.feed_places:
        if len(place) != 3 or not all(map(is_count, place)):
            return f"a place {place!s:.60} in a stream"
    for name, _ in state.callbacks:
        if not isinstance(name, str):
            return f"a callback {name!s:.60}"
    return ""


def is_count(value: Any) -> bool:
    """Tell whether a value is a whole number of at least 0 that fits into 64 bits."""
    return type(value) is int and 0 <= value < 2**63


def check_callback_state(name: str, state: Any) -> None:
    """Raise unless a file can hold what a callback remembers.

    Raises
    ------
    StorageError
        Names the callback, and the entry.
    """
    if not isinstance(state, Mapping):
        raise StorageError(
            f"the callback {name}: state() must return a dict, got {type(state).__name__}"
        )
    for key, value in state.items():
        if not isinstance(key, str):
            raise StorageError(f"the callback {name}: the key {key!r} of its state is no text")
        try:
            kept_value(value)
        except (TypeError, RecursionError) as error:
            raise StorageError(
                f"the callback {name}: {key!r} of its state cannot be kept in a file: it {error}"
            ) from error
