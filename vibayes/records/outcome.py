"""What a fit leaves behind, beside the parameters."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vibayes.records.diagnosis import Diagnosis
from vibayes.records.ending import Ending
from vibayes.records.fit_state import FitState

__all__ = ["Outcome"]


@dataclass
class Outcome:
    """Losses, why the fit ended, its judgement, and where its steps stand.

    Attributes
    ----------
    hist : numpy.ndarray
        Loss at each iteration.
    ending : Ending
        Why the last fit ended.
    diagnosis : Diagnosis, optional
        The last judgement since then.
    fit_state : FitState, optional
        From where the steps of the last fit can go on, if it took some.
    seconds : float, optional
        How long the last fit has taken, its judgement aside; no file holds it.
    """

    hist: np.ndarray = field(default_factory=lambda: np.zeros(0))
    ending: Ending = field(default_factory=lambda: Ending(None, "not fitted yet"))
    diagnosis: Diagnosis | None = None
    fit_state: FitState | None = None
    seconds: float | None = None
