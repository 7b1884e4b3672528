"""What a call of :meth:`vibayes.Inference.fit` comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vibayes.backend.jax import JaxDevices
from vibayes.backend.modes import EVALUATE_MODE
from vibayes.inference.checkpoints import describe_fit
from vibayes.inference.few_steps import are_too_few
from vibayes.inference.normal_fit import is_normal_fit
from vibayes.inference.runs import approximation_of
from vibayes.model.data_size import data_size
from vibayes.objectives.base import ObjectiveFunction
from vibayes.objectives.options import StepOptions
from vibayes.search.budget import Budget
from vibayes.storage.checkpoint import Checkpoint

__all__ = ["FitCall"]

DRAWS_BY_SCHEDULE = 10
FEW_NUMBERS = 1000  # of which NumPy evaluates a thousand draws long before JAX has compiled


@dataclass(frozen=True)
class FitCall:
    """What a fit is told to do, checked, and what follows from that.

    Attributes
    ----------
    objective : ObjectiveFunction
        What is to be made small.
    options : StepOptions
        Options of the steps, as the user has given them.
    budget : Budget, optional
        Of a fit that ends by itself.
    n : int
        Number of steps of one that does not.
    mode : Mode, str or JaxDevices
        What runs the steps.
    is_mode_given : bool
        Whether the user has said so.
    checkpoint : Checkpoint, optional
        File in which to keep the state of the fit.
    """

    objective: ObjectiveFunction
    options: StepOptions
    budget: Budget | None
    n: int
    mode: Any
    is_mode_given: bool
    checkpoint: Checkpoint | None

    @property
    def wanted(self) -> int | None:
        """The number of steps after which the fit is done, None if it ends by itself."""
        return self.n if self.budget is None else None

    @property
    def seconds(self) -> float | None:
        """The time that the fit may take, None if it is told a number of steps."""
        return None if self.budget is None else self.budget.seconds

    @property
    def is_normal_fit(self) -> bool:
        """Whether it ends by itself, and needs no steps of an optimizer."""
        return self.budget is not None and is_normal_fit(self.objective, self.options)

    @property
    def schedule_options(self) -> StepOptions:
        """Options of stochastic steps of a fit that ends by itself: more draws of whole data."""
        if "obj_n_mc" in self.options.given or self.objective.approx.model.minibatches:
            return self.options
        return self.options.but(obj_n_mc=DRAWS_BY_SCHEDULE)

    @property
    def takes_few_steps(self) -> bool:
        """Whether NumPy is to take the steps, by a rule of the call alone."""
        if self.is_mode_given or self.budget is not None:
            return False
        return are_too_few(self.objective, self.options, self.n)

    @property
    def judging_mode(self) -> Any:
        """What evaluates the log density for the verdict: what the fit ran on, or NumPy.

        Where a fit has taken steps, nothing is compiled for the verdict on few numbers alone.
        """
        among_several = isinstance(self.mode, JaxDevices) and self.mode.span_processes
        if self.is_normal_fit or among_several:
            return self.mode
        approx = approximation_of(self.objective)
        few = data_size(approx.model) + approx.ddim <= FEW_NUMBERS
        return EVALUATE_MODE if few else self.mode

    def described(self, method: str) -> dict[str, Any]:
        """Return what a method is told to do, before it begins, as what JSON can hold."""
        call = describe_fit(method, self.objective.op, self.options, self.budget)
        if isinstance(self.mode, JaxDevices):  # whose random numbers are others
            call["backend"] = "jax"
        return call
