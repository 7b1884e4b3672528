"""What ``fit`` runs: methods, which go from a model to an approximation."""

from __future__ import annotations

import inspect
import time
import warnings
from typing import Any, ClassVar, Self

import numpy as np

from vibayes import interrupts, progress
from vibayes.approximations.base import Approximation, judge
from vibayes.exceptions import ApproximationWarning
from vibayes.registry import Registry
from vibayes.search.budget import Budget

__all__ = ["METHODS", "Method", "budget_if", "frames_of_library", "make_budget"]

MOST_SECONDS = 600.0
MOST_STEPS = 100_000


class Method:
    """Base of what :func:`vibayes.fit` runs: steps of an optimizer, or a search.

    A method is known by its ``short_name`` and its ``aliases`` from the moment its class is
    defined. A subclass implements :meth:`fit`, which ends with :meth:`result`.

    Attributes
    ----------
    approx : Approximation
        What is fitted; of a search, the result of the last one.
    """

    short_name: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()
    formula_option: ClassVar[str] = ""
    """The argument that a formula after the name is for, as in ``"nfvi=planar*8"``, if any."""
    takes_steps: ClassVar[bool] = True
    """Whether it takes steps of an optimizer, as many as are asked for."""

    approx: Approximation | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        METHODS.add(cls)

    @classmethod
    def for_model(cls, model: Any = None, random_seed: Any = None, **options: Any) -> Self:
        """Return a method of this class for a model.

        Parameters
        ----------
        model
            The model; by default the one of the ``with`` block.
        random_seed
            Seed of everything random in the fit.
        **options
            Further arguments of the class.
        """
        return cls(model=model, random_seed=random_seed, **options)  # type: ignore[call-arg]

    @property
    def hist(self) -> np.ndarray:
        """Loss at each iteration."""
        return np.zeros(0) if self.approx is None else self.approx.hist

    def fit(
        self,
        n: int | None = None,
        *,
        diagnose: bool = False,
        max_seconds: float | None = None,
        max_steps: int | None = None,
        checkpoint: Any = None,
        **options: Any,
    ) -> Approximation:
        """Fit, and return the approximation.

        Parameters
        ----------
        n
            Number of iterations; by default, where that is possible, the fit ends by itself.
        diagnose
            Whether to judge the result and warn if it is not good.
        max_seconds, max_steps
            Budget of a fit that ends by itself: 600 seconds and 100,000 steps by default.
        checkpoint
            Path of a ``.nc`` file in which to keep the fit.
        **options
            Further options of the method.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement fit")

    def result(
        self, approx: Approximation, diagnose: bool, began: float | None = None
    ) -> Approximation:
        """Return what a fit has made, judged if that is wanted.

        It takes note of the time since the fit ``began``, by :func:`time.perf_counter`.

        Warnings name the line of the user's code that has called the fit. Ctrl-C ends the
        judgement, and leaves the fit as it is.
        """
        approx.outcome.seconds = None if began is None else time.perf_counter() - began
        if not diagnose:
            progress.conclude()
            return approx
        frames = frames_of_library()
        try:
            interrupts.check()
            with interrupts.interruptible():
                judge(approx, stacklevel=1 + frames)
            interrupts.check()
        except KeyboardInterrupt:
            approx.diagnosis = None
            warnings.warn(
                "The judgement of the fit was interrupted: the fit is whole, approx.diagnose() "
                "judges it.",
                ApproximationWarning,
                stacklevel=1 + frames,
            )
        return approx


METHODS: Registry[Method] = Registry("method")


def make_budget(max_seconds: float | None, max_steps: int | None) -> Budget:
    """Return the budget of a fit that ends by itself."""
    return Budget(
        MOST_SECONDS if max_seconds is None else max_seconds,
        MOST_STEPS if max_steps is None else max_steps,
    )


def budget_if(automatic: bool, max_seconds: float | None, max_steps: int | None) -> Budget | None:
    """Return the budget of a fit that ends by itself, None for one that is told when to stop."""
    if automatic:
        return make_budget(max_seconds, max_steps)
    for name, value in {"max_seconds": max_seconds, "max_steps": max_steps}.items():
        if value is not None:
            raise TypeError(
                f"{name} is for a fit that ends by itself: give neither n nor obj_optimizer"
            )
    return None


def frames_of_library() -> int:
    """Return how many frames lie between the caller of this function and the user's code."""
    frame, count = inspect.currentframe(), -1
    package = __name__.partition(".")[0]
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, count = frame.f_back, count + 1
    return count
