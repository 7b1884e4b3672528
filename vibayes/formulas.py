"""Regression models by formula, such as ``y ~ x + (1|group)``: the command line has them.

The formula is read by formulae, which Bambi uses too; Bambi itself would bring PyMC along, and its
models can be had by :func:`vibayes.from_pymc`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vibayes import math
from vibayes.context import modelcontext
from vibayes.distributions.continuous import Exponential, HalfNormal, Normal
from vibayes.distributions.discrete import Bernoulli, NegativeBinomial, Poisson
from vibayes.installing import missing
from vibayes.model.core import Model
from vibayes.model.expressions import Deterministic

__all__ = ["FAMILIES", "model_of_formula", "read_table"]

FAMILIES = "normal", "bernoulli", "poisson", "negative_binomial"
WIDE = 2.5  # standard deviations of the response, by one of a predictor


def read_table(path: Path) -> Any:
    """Return a CSV file as a pandas DataFrame.

    Raises
    ------
    ImportError
        If pandas is missing.
    ValueError
        If it is no table.
    """
    try:
        import pandas
    except ImportError:
        raise missing("--formula", "pandas formulae", "formulas") from None
    try:
        return pandas.read_csv(path)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no table in CSV: {error}") from error


def model_of_formula(formula: str, table: Any, family: str = "normal") -> Model:
    """Return a generalized linear model with weakly informative priors.

    Coefficients are normal about zero, with a standard deviation by which one standard deviation of
    a predictor changes the response by 2.5 of its own (on the scale of the linear predictor, of
    logarithms and log odds, by 2.5). Group effects are normal about zero with a scale of their own.
    Predictors are centred; ``Intercept`` is that of the predictors as they are.

    Parameters
    ----------
    formula
        Such as ``"y ~ x + (1|group)"``.
    table
        Columns by name, a pandas DataFrame.
    family
        One of :data:`FAMILIES`.

    Raises
    ------
    ImportError
        If formulae is missing.
    ValueError
        If the formula cannot be read, names an unknown column, or the response does not suit the
        family.
    """
    matrices = design(formula, table)
    response, name = response_of(matrices.response, family)
    slope = WIDE * (response.std() if family == "normal" else 1.0)
    with Model() as model:
        eta = common_part(matrices.common, response, family, slope)
        if matrices.group is not None:
            eta = eta + group_part(matrices.group, slope)
        likelihood(name, eta, response, family)
    return model


def design(formula: str, table: Any) -> Any:
    """Return the matrices of a formula."""
    try:
        from formulae import design_matrices
    except ImportError:
        raise missing("--formula", "formulae", "formulas") from None
    try:
        matrices = design_matrices(formula, table)
    except KeyError as error:
        columns = ", ".join(map(str, table.columns))
        raise ValueError(
            f"formula {formula!r}: there is no column {error.args[0]!r}; there are {columns}"
        ) from error
    except Exception as error:  # formulae raises many kinds
        raise ValueError(f"formula {formula!r} cannot be read: {error}") from error
    if matrices.response is None:
        raise ValueError(f"formula {formula!r} has no response: write it as 'y ~ x'")
    return matrices


def response_of(response: Any, family: str) -> tuple[np.ndarray, str]:
    """Return the response as numbers that suit a family, and its name."""
    values, name = np.asarray(response), str(response.name)
    if values.ndim == 2 and family == "bernoulli" and values.shape[1] == 2:
        values = values[:, 1]  # whether it is the second of two categories
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise ValueError(f"{name!r} must be a column of numbers, for family {family!r}")
    if not len(values):
        raise ValueError(f"{name!r} has no rows without missing values")
    if family == "normal":
        return values.astype("float64"), name
    whole = (values >= 0).all() and (values == np.round(values)).all()
    if not whole or (family == "bernoulli" and values.max() > 1):
        wanted = "0 or 1" if family == "bernoulli" else "whole numbers from 0 on"
        raise ValueError(f"{name!r} must be {wanted}, for family {family!r}, got {values[:5]}")
    return values.astype("int64"), name


def common_part(common: Any, response: np.ndarray, family: str, slope: float) -> Any:
    """Return the linear predictor of all that is not of groups."""
    if common is None:
        return 0.0
    X, at_zero, eta = np.asarray(common).astype("float64"), 0.0, 0.0
    center = X.mean(axis=0) if "Intercept" in common.terms else np.zeros(X.shape[1])
    for name, term in common.terms.items():
        if name == "Intercept":
            continue
        columns = common.slices[name]
        spread = X[:, columns].std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        labels = list(term.labels)
        beta = coefficients(name, labels, slope / spread)
        eta = eta + (X[:, columns] - center[columns]) @ beta
        at_zero = at_zero + center[columns] @ beta
    if "Intercept" in common.terms:
        middle = response.mean() if family == "normal" else 0.0
        at_mean = Normal("Intercept_at_means", middle, slope)
        Deterministic("Intercept", at_mean - at_zero)
        eta = eta + at_mean
    return eta


def coefficients(name: str, labels: list[str], sd: np.ndarray) -> Any:
    """Return a coefficient for each column of a term, a vector."""
    if len(labels) == 1:
        return Normal(name, 0.0, float(sd[0])).reshape((1,))
    dim = f"{name}_columns"
    modelcontext().add_coord(dim, [label.partition("[")[2].rstrip("]") for label in labels])
    return Normal(name, 0.0, sd, dims=dim)


def group_part(group: Any, slope: float) -> Any:
    """Return what groups add to the linear predictor."""
    Z, eta = np.asarray(group).astype("float64"), 0.0
    for name, term in group.terms.items():
        columns, labels = Z[:, group.slices[name]], list(term.labels)
        spread = columns[columns != 0].std() or 1.0
        sigma = HalfNormal(f"{name}_sigma", slope / spread)
        dim = f"{name}_levels"
        modelcontext().add_coord(dim, [level_of(label) for label in labels])
        eta = eta + columns @ Normal(name, 0.0, sigma, dims=dim)
    return eta


def level_of(label: str) -> str:
    """Return the level that a column of a group stands for, such as a of ``x|g[a]``."""
    of, _, level = label.rpartition("[")
    effect = of.partition("|")[0]
    own = f"{effect.partition('[')[2].rstrip(']')}, " if "[" in effect else ""
    return own + level.rstrip("]")


def likelihood(name: str, eta: Any, response: np.ndarray, family: str) -> None:
    """Add the response to the model."""
    if family == "normal":
        Normal(name, eta, HalfNormal("sigma", 2 * response.std()), observed=response)
    elif family == "bernoulli":
        Bernoulli(name, logit_p=eta, observed=response)
    elif family == "poisson":
        Poisson(name, math.exp(eta), observed=response)
    else:
        alpha = Exponential("alpha", 1.0)
        NegativeBinomial(name, math.exp(eta), alpha, observed=response)
