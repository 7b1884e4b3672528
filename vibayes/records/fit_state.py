"""Where a fit stands, as plain data from which it can go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vibayes.exceptions import StorageError
from vibayes.records.kept_values import kept_value, value_of

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
    def of(cls, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> FitState:
        """Return the state of a record."""
        callbacks = tuple(
            (name, {key: value_of(v, arrays.get(v.get("array"))) for key, v in entries})
            for name, entries in record["callbacks"]
        )
        return cls(
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
        )


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
