"""Named expressions of a model's variables: what is recorded, and what is added to the density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments
from vibayes.context import modelcontext
from vibayes.model.core import Model

__all__ = ["Deterministic", "Potential"]


@check_arguments
def Deterministic(
    name: str,
    var: Any,
    model: Model | None = None,
    dims: str | Sequence[str | None] | None = None,
) -> TensorVariable:
    """Record an expression under a name, so that posterior draws hold it.

    Parameters
    ----------
    name
        Name of the variable.
    var
        Expression of the model's variables.
    model
        The model; by default the one of the ``with`` block.
    dims
        Names of the expression's axes.

    Returns
    -------
    TensorVariable
        The named expression, to be used in further ones.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     square = vb.Deterministic("square", x**2)
    ...     posterior = vb.MeanField().sample(10).posterior
    >>> list(posterior.data_vars)
    ['x', 'square']
    """
    model = modelcontext(model)
    return model.register_expression(name, var, "deterministics", dims, f"Deterministic({name!r})")


@check_arguments
def Potential(
    name: str,
    var: Any,
    model: Model | None = None,
    dims: str | Sequence[str | None] | None = None,
) -> TensorVariable:
    """Add a term to the log density.

    Parameters
    ----------
    name
        Name of the term.
    var
        Expression of the model's variables; it is summed.
    model
        The model; by default the one of the ``with`` block.
    dims
        Names of the expression's axes.

    Examples
    --------
    A soft constraint, that two effects sum to about zero:

    >>> import vibayes as vb
    >>> with vb.Model() as model:
    ...     effect = vb.Normal("effect", shape=2)
    ...     penalty = vb.Potential("sum", -0.5 * (effect.sum() / 0.01) ** 2)
    >>> model.potentials
    [sum]
    """
    model = modelcontext(model)
    return model.register_expression(name, var, "potentials", dims, f"Potential({name!r})")
