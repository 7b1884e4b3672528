"""What went wrong in a fit: which variables are to blame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable

from vibayes.approximations.base import Approximation
from vibayes.inference.steps import CompiledSteps, State
from vibayes.model.initial import check_point, describe_value
from vibayes.objectives.options import StepOptions

__all__ = ["check_first_loss", "explain_draw"]


def check_first_loss(approx: Approximation, steps: CompiledSteps, state: State) -> None:
    """Raise if the loss is not finite at the start, naming the variables that are to blame."""
    if not steps.has_loss:
        return
    loss = steps.run(state, 1)[1][0]
    if np.isfinite(loss):
        return
    check_point(approx.model, approx.model.initial_point())
    # otherwise a draw went astray, not the start: the loop reports that


def explain_draw(
    approx: Approximation,
    steps: CompiledSteps,
    made_from: Sequence[SharedVariable],
    options: StepOptions,
    state: State,
) -> str:
    """Name the variables whose log density is not finite at the draw of the next step.

    The generators' state is part of the fit's state, so that the very draw can be had again.
    """
    if options.more_replacements or not steps.own_generators:
        return ""  # the step does not see the model's own data, or draws nothing (particles)
    n_mc = options.obj_n_mc
    draws, updates = approx.draw(n_mc)
    pairs = zip(approx.params, made_from, strict=True)
    values = {shared: steps.value(state, key) for shared, key in pairs}
    z = steps.evaluate(list(draws.z.values()), values, list(updates), state)
    for i in range(n_mc):
        point = {v.name: value[i] for v, value in zip(draws.z, z, strict=True)}
        logps = approx.model.point_logps(point, round_vals=None)
        bad = [f"{name} is {value}" for name, value in logps.items() if not np.isfinite(value)]
        if bad:
            at = ", ".join(f"{name} = {describe_value(value)}" for name, value in point.items())
            return f"the log density of {', of '.join(bad)} at the draw {at}"
    return ""
