"""Why a fit ended."""

from __future__ import annotations

from dataclasses import dataclass

from vibayes.records.findings import Findings

__all__ = ["INTERRUPTED", "Ending"]

INTERRUPTED = "it was interrupted"
"""Reason of the ending of a fit that the user or a callback has ended."""


@dataclass(frozen=True)
class Ending:
    """Why a fit ended.

    Attributes
    ----------
    converged : bool or None
        Whether it came to an end by its own test; None if it was told when to stop.
    reason : str
        In words.
    findings : Findings, optional
        What the fit found out about the posterior beside the approximation.
    unsettled : bool, default False
        Whether the loss was still moving when a fit ended that was told when to stop.
    """

    converged: bool | None
    reason: str
    findings: Findings | None = None
    unsettled: bool = False

    @property
    def is_interrupted(self) -> bool:
        """Whether Ctrl-C has ended it, or a callback, if it was to end by itself."""
        return self.reason.startswith(INTERRUPTED)
