"""Whether the steps of a fit are too few to be worth compiling."""

from __future__ import annotations

from pytensor.graph.traversal import ancestors

from vibayes.approximations.base import Approximation
from vibayes.backend.graphs import is_loop
from vibayes.inference.runs import approximation_of
from vibayes.model.data_size import data_size
from vibayes.objectives.base import ObjectiveFunction
from vibayes.objectives.options import StepOptions

__all__ = ["FEW_STEPS", "are_too_few"]

FEW_STEPS = 2000
"""Steps that NumPy always does in less time than their compilation takes.

Each operation costs NumPy about a microsecond a step, and a compiler some hundredths of a second:
how many operations there are does not matter.
"""
MOST_NUMBERS = 10**9  # of one pass over all of them at each step, a second or two in all


def are_too_few(objective: ObjectiveFunction, options: StepOptions, n: int) -> bool:
    """Tell whether steps are done before they would be compiled.

    It depends on the call alone, never on time or on earlier fits: the same call gives the same
    numbers. Particles, whose pairs take much memory in NumPy, and models with a loop, whose body
    costs as much as a step at each of its iterations, are compiled always.

    Parameters
    ----------
    objective, options
        What the fit makes small, and how.
    n
        Number of steps.
    """
    approx = approximation_of(objective)
    if n > FEW_STEPS or not approx.has_logq or has_loop(approx):
        return False
    numbers = sum(v.get_value(borrow=True).size for v in approx.params)
    numbers += options.obj_n_mc * (data_size(approx.model) + approx.ddim)
    return n * numbers <= MOST_NUMBERS


def has_loop(approx: Approximation) -> bool:
    """Tell whether a scan is part of the log density."""

    def look() -> bool:
        return any(v.owner and is_loop(v.owner) for v in ancestors([approx.model.logp()]))

    return bool(approx.model.compiled("has a loop", look))
