"""Gradients of a model's log density, and what to say where there is none."""

from __future__ import annotations

from typing import Any

import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from vibayes.model.density import logp_terms
from vibayes.model.variables import ModelVariables

__all__ = ["gradient_of", "hessian_of"]


def gradient_of(cost: Variable, wrt: Any, model: ModelVariables) -> Any:
    """Return the gradient of an expression of a model's log density.

    Parameters
    ----------
    cost
        A scalar.
    wrt
        What to differentiate by: a variable, or a list; zeros for those that it does not depend on.
    model
        The model, whose variables messages are to name.

    Raises
    ------
    NotImplementedError
        If an operation has no gradient. It names the variables whose log density has it.
    """
    try:
        return pytensor.grad(cost, wrt, disconnected_inputs="ignore")
    except (NotImplementedError, TypeError) as error:
        names = without_gradient(model)
        if not names:
            raise
        raise NotImplementedError(
            f"The log density of {', '.join(map(repr, names))} has no gradient, which every fit "
            f"needs: {error}. Write what it is made of with operations of PyTensor (vb.math), or "
            f"give the operation a gradient of its own."
        ) from error


def hessian_of(
    cost: TensorVariable, vector: TensorVariable, model: ModelVariables
) -> TensorVariable:
    """Return the matrix of second derivatives of an expression of a model's log density.

    Parameters
    ----------
    cost
        A scalar.
    vector
        A flat vector of static length, to differentiate by.
    model
        The model, whose variables messages are to name.
    """
    slope = gradient_of(cost, vector, model)

    def row(i: Variable, slope: TensorVariable, vector: TensorVariable) -> Variable:
        return pytensor.grad(slope[i], vector, disconnected_inputs="ignore")

    (length,) = vector.type.shape
    rows = pytensor.scan(
        row, sequences=[pt.arange(length)], non_sequences=[slope, vector], return_updates=False
    )
    return rows


def without_gradient(model: ModelVariables) -> list[str]:
    """Return the names of the variables and potentials whose log density has no gradient."""
    variables = model.basic_RVs + model.potentials
    terms = logp_terms(model, variables, jacobian=True)
    names = []
    for variable, term in zip(variables, terms, strict=True):
        try:
            pytensor.grad(term.sum(), model.continuous_value_vars, disconnected_inputs="ignore")
        except (NotImplementedError, TypeError):
            names.append(variable.name)
    return names
