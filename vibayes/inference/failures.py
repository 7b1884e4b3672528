"""What went wrong in a fit: which variables are to blame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.replace import graph_replace

from vibayes.approximations.base import Approximation
from vibayes.backend.modes import evaluate
from vibayes.backend.seeds import new_generator
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
    givens = dict(zip(updates, generators_of(steps, state), strict=True))
    for shared, key in zip(approx.params, made_from, strict=True):
        givens[shared] = steps.value(state, key)
    inputs = {shared: shared.type() for shared in givens}
    z = evaluate(
        graph_replace(list(draws.z.values()), inputs, strict=False),
        {inputs[shared]: value for shared, value in givens.items()},
    )
    for i in range(n_mc):
        point = {v.name: value[i] for v, value in zip(draws.z, z, strict=True)}
        logps = approx.model.point_logps(point, round_vals=None)
        bad = [f"{name} is {value}" for name, value in logps.items() if not np.isfinite(value)]
        if bad:
            at = ", ".join(f"{name} = {describe_value(value)}" for name, value in point.items())
            return f"the log density of {', of '.join(bad)} at the draw {at}"
    return ""


def generators_of(steps: CompiledSteps, state: State) -> list[np.random.Generator]:
    """Return generators of the noise, as they stand in a state."""
    generators = []
    for key, at in zip(steps.generators, state.generators, strict=True):
        if key in steps.own_generators:
            generator = new_generator(0)
            generator.bit_generator.state = at
            generators.append(generator)
    return generators
