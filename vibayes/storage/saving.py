"""Approximations into files."""

from __future__ import annotations

import warnings
from typing import Any

from vibayes.exceptions import StorageError, StorageWarning
from vibayes.families.joint import Joint
from vibayes.records.outcome import Outcome
from vibayes.storage.approximations import (
    approximation_arrays,
    approximation_record,
    why_not_saved,
)
from vibayes.storage.calls import describe_graphs
from vibayes.storage.files import check_path, write_file
from vibayes.storage.models import describe_model
from vibayes.storage.records import stamp

__all__ = ["save"]


def save(approx: Joint, outcome: Outcome, path: Any) -> None:
    """Write an approximation to a file; see :meth:`vibayes.Approximation.save`."""
    path = check_path(path)
    if why := why_not_saved(approx):
        raise StorageError(f"{approx!r} cannot be saved: {why}")
    header = stamp() | {
        "kind": "approximation",
        "model": describe_model(approx.model),
        "approximation": approximation_record(approx, outcome),
    }
    arrays = approximation_arrays(approx, outcome)
    if outcome.fit_state is not None:
        try:
            header["fit"], more = outcome.fit_state.record()
        except StorageError as error:
            warnings.warn(
                f"{str(path)!r} will hold the approximation, but no fit that could go on: {error}",
                StorageWarning,
                stacklevel=3,
            )
            write_file(path, header, arrays)
            return
        if not outcome.fit_state.given:  # else it is not known here what the fit has changed
            call = header["fit"]["call"]
            header["fit"]["call"] = call | describe_graphs(approx.model, ())
        arrays |= more
    write_file(path, header, arrays)
