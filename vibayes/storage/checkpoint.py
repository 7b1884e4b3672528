"""Checkpoints: the state of a fit in a file, from time to time, and how the fit goes on from it."""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vibayes.arguments import check_whole
from vibayes.exceptions import StorageError
from vibayes.families.joint import Joint
from vibayes.model.core import Model
from vibayes.records.ending import Ending
from vibayes.records.fit_state import FitState
from vibayes.records.outcome import Outcome
from vibayes.storage.approximations import (
    approximation_arrays,
    approximation_record,
    why_not_saved,
)
from vibayes.storage.calls import call_differences
from vibayes.storage.files import check_path, read_file, understood, write_file
from vibayes.storage.models import check_saved_model, describe_model
from vibayes.storage.records import stamp

__all__ = ["Checkpoint", "Found"]

LARGEST_SHARE = 0.02
"""Share of the time that writing may take."""
SECONDS_BETWEEN = 5.0


class Found(NamedTuple):
    """What a checkpoint holds of an earlier run of the same call."""

    path: Path
    record: dict[str, Any]
    arrays: dict[str, np.ndarray]
    state: FitState

    def is_done(self, n: int | None) -> bool:
        """Tell whether nothing is left to do.

        Raises
        ------
        StorageError
            If there are more iterations than are asked for.
        """
        if self.state.ended:
            return True
        if n is not None and self.state.iteration > n:
            raise StorageError(
                f"{str(self.path)!r} holds {self.state.iteration:,} iterations, more than n={n:,}. "
                f"Ask for at least as many, or give this fit another path."
            )
        return self.state.iteration == n


class Checkpoint:
    """The file of a fit.

    Parameters
    ----------
    path
        Where it is, a name that ends with ``.nc``.
    every
        Least number of iterations between two that are written; by default as time goes.

    Raises
    ------
    ValueError
        If the name ends otherwise, or ``every`` is no whole number of at least 1.
    FileNotFoundError
        If the folder does not exist.
    """

    def __init__(self, path: Any, every: int | None) -> None:
        self.path = check_path(path, "checkpoint")
        if self.path.suffix != ".nc":
            raise ValueError(
                f"checkpoint {str(path)!r} must be one file, which can be exchanged at once: its "
                f"name must end with .nc"
            )
        self.every = None if every is None else check_whole(every, "checkpoint_every", least=1)
        self.id = uuid.uuid4().hex
        self._iteration = 0  # at the last time it was written
        self._written = time.perf_counter()
        self._cost = 0.0  # seconds that this took, without what is imported at the first time
        self._is_first = True
        self._failed = False  # at the last time

    @classmethod
    def wanted(cls, path: Any, every: int | None) -> Checkpoint | None:
        """Return a checkpoint, None if no path is given.

        Raises
        ------
        TypeError
            If ``every`` is given without a path.
        """
        if path is not None:
            return cls(path, every)
        if every is not None:
            raise TypeError("checkpoint_every has no effect without checkpoint, the path")
        return None

    # -- what an earlier run has left -----------------------------------------------------------

    def find(self, call: dict[str, Any], model: Model, own: str = "") -> Found | None:
        """Return what the file holds, None if there is none.

        Parameters
        ----------
        call
            What the fit is told to do.
        model
            The model that is fitted.
        own
            Identity of the file that the same inference has written, if it has: it then has begun
            where that file's fit began, wherever its parameters are now.

        Raises
        ------
        StorageError
            If it is no checkpoint, or that of another fit.
        """
        if not self.path.exists():
            return None
        header, arrays = read_file(self.path)
        with understood(self.path):
            return self._checked(header, arrays, call, model, own)

    def _checked(
        self,
        header: dict[str, Any],
        arrays: dict[str, np.ndarray],
        call: dict[str, Any],
        model: Model,
        own: str,
    ) -> Found:
        """Return what a file holds, if it is of this model and this call."""
        check_saved_model(header["model"], model, self.path)
        if "fit" not in header:
            raise StorageError(
                f"{str(self.path)!r} holds an approximation, but no fit that could go on. Give the "
                f"checkpoint another path."
            )
        state = FitState.of(header["fit"], arrays, str(self.path))
        ignored = {"start", "random_seed"} if own and own == header.get("id") else set()
        # without a seed it is the file's that counts, and with it the start
        if call["random_seed"] == state.call["random_seed"] == {"given": False, "seeds": None}:
            ignored |= {"start"}
        for name in ("density", "graphs", "data", "versions"):
            if name not in state.call:
                ignored |= {name}  # it was saved by approx.save
        kept = {key: value for key, value in call.items() if key not in ignored}
        saved = {key: value for key, value in state.call.items() if key not in ignored}
        if differences := call_differences(saved, kept):
            raise StorageError(
                f"{str(self.path)!r} is the checkpoint of another fit: {'; '.join(differences)}. "
                f"Make the same call to go on with that fit; for a new one remove the file, or "
                f"give another path."
            )
        self.id = header.get("id", self.id)
        self._iteration = state.iteration
        return Found(self.path, header["approximation"], arrays, state)

    # -- writing --------------------------------------------------------------------------------

    def is_due(self, iteration: int) -> bool:
        """Tell whether to write now: after so many iterations, and not too often for the cost."""
        waited = time.perf_counter() - self._written
        if waited * LARGEST_SHARE < self._cost:
            return False
        if self.every is None or self._failed:
            return waited >= SECONDS_BETWEEN
        return iteration // self.every > self._iteration // self.every

    def write(
        self, approx: Joint, outcome: Outcome, state: FitState, ending: Ending | None = None
    ) -> None:
        """Write the state of a fit.

        Parameters
        ----------
        approx
            The approximation, which holds the state's parameters.
        outcome
            Its losses, ending and judgement.
        state
            Where the fit stands.
        ending
            What to say of the ending of a fit that has not ended.

        Raises
        ------
        OSError
            If it cannot be written, as on a full disk.
        """
        began = self._written = time.perf_counter()
        self._failed = True
        why = why_not_saved(approx)
        record = approximation_record(approx, outcome, with_groups=not why)
        if ending is not None:
            record["ending"] = {"converged": ending.converged, "reason": ending.reason}
        fit, arrays = state.record()
        header = stamp() | {
            "kind": "checkpoint",
            "id": self.id,
            "model": describe_model(approx.model),
            "approximation": record,
            "not_loadable": why,
            "fit": fit,
        }
        write_file(self.path, header, approximation_arrays(approx, outcome) | arrays)
        self._written = time.perf_counter()
        self._cost = 0.0 if self._is_first else self._written - began
        self._is_first = self._failed = False
        self._iteration = state.iteration
