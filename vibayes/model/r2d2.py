"""A prior for the coefficients of a regression by how much of the data they explain together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments
from vibayes.context import modelcontext
from vibayes.distributions.constraints import constant_value
from vibayes.distributions.continuous import Beta, Normal
from vibayes.distributions.multivariate import Dirichlet
from vibayes.exceptions import ModelError
from vibayes.model.core import Model
from vibayes.model.expressions import Deterministic
from vibayes.numeric import as_tensor

__all__ = ["R2D2M2CP"]


class R2D2M2CPOut(NamedTuple):
    """What :func:`vibayes.R2D2M2CP` makes.

    Attributes
    ----------
    residual_sigma : TensorVariable
        Standard deviation of what the coefficients do not explain.
    coefficients : TensorVariable
        The coefficients.
    """

    residual_sigma: TensorVariable
    coefficients: TensorVariable


@check_arguments
def R2D2M2CP(
    name: str,
    output_sigma: Any,
    input_sigma: Any,
    *,
    dims: str | Sequence[str],
    r2: Any,
    variables_importance: Any = None,
    variance_explained: Any = None,
    importance_concentration: Any = None,
    r2_std: Any = None,
    positive_probs: Any = 0.5,
    positive_probs_std: Any = None,
    centered: bool = False,
    model: Model | None = None,
) -> R2D2M2CPOut:
    r"""Give coefficients of a regression a prior by the share of variance that they explain.

    With the standard deviation :math:`\sigma` of the outcome and :math:`s_i` of the predictors, the
    share :math:`R^2`, its parts :math:`\phi` and the probabilities :math:`\psi_i` of positive
    coefficients,

    .. math:: \beta_i \sim N\left(\frac{m_i}{s_i}, \frac{v_i}{s_i}\right), \qquad
        m_i^2 + v_i^2 = \phi_i R^2 \sigma^2, \qquad P(\beta_i > 0) = \psi_i .

    Parameters
    ----------
    name
        Prefix of the names of the variables: ``name::beta``, ``name::r2``, ``name::phi``,
        ``name::psi``.
    output_sigma, input_sigma : array_like or TensorVariable
        Standard deviation of the outcome, and of each predictor.
    dims
        Names of the axes of the coefficients, the last of which is that of the predictors. The
        model has to know them.
    r2 : array_like or TensorVariable
        Share of the variance that all of them explain, or, with ``r2_std``, its mean.
    variables_importance
        Concentrations of a Dirichlet distribution of ``phi``, one a predictor.
    variance_explained
        Parts ``phi`` of the share, one a predictor, instead; equal ones by default.
    importance_concentration
        What the concentrations are multiplied by; with ``variance_explained``, or without either,
        ``phi`` then is a variable with these means.
    r2_std
        Standard deviation of ``r2``, which then is a variable of a beta distribution.
    positive_probs
        Probability that a coefficient is positive, or, with ``positive_probs_std``, its mean. Those
        of 0 and 1 give a coefficient whose absolute value is fixed by its part.
    positive_probs_std
        Standard deviation of that probability, which then is a variable of a beta distribution.
    centered
        Whether ``beta`` itself is the free variable, rather than a standard one of which it is
        made.
    model
        The model; by default the one of the ``with`` block.

    Returns
    -------
    residual_sigma, coefficients : TensorVariable
        Standard deviation of what the coefficients do not explain, and the coefficients.

    Raises
    ------
    TypeError
        If both ``variables_importance`` and ``variance_explained`` are given, or a probability
        without ``positive_probs_std`` is not a number.
    ModelError
        If the model does not know the length of a dimension, or there are parts of one predictor.

    References
    ----------
    Aguilar and Bürkner (2023), Intuitive joint priors for Bayesian linear multilevel models: the
    R2D2M2 prior. Electronic Journal of Statistics 17, 1711-1767, arXiv:2208.07132; the signs
    (correlation probabilities, CP) are those of pymc-extras.

    Examples
    --------
    >>> import numpy as np
    >>> import vibayes as vb
    >>> X = np.random.default_rng(1).normal(size=(20, 3))
    >>> with vb.Model(coords={"predictor": ["a", "b", "c"]}) as model:
    ...     sigma, beta = vb.R2D2M2CP(
    ...         "b", 1.0, X.std(axis=0), dims="predictor", r2=0.7, r2_std=0.1,
    ...         importance_concentration=3.0,
    ...     )
    ...     y = vb.Normal("y", X @ beta, sigma, observed=X[:, 0])
    >>> [rv.name for rv in model.free_RVs]
    ['b::r2', 'b::phi', 'b::beta::raw']
    """
    label = f"R2D2M2CP({name!r})"
    dims = (dims,) if isinstance(dims, str) else tuple(dims)
    model = modelcontext(model)
    model.known_dims(dims, label)
    shape = tuple(model.dim_length(dim) for dim in dims)
    if not dims or None in shape:
        raise ModelError(f"{label}: dims must be of known lengths, {dims} have {shape}")
    if variables_importance is not None and variance_explained is not None:
        raise TypeError(f"{label}: give either variables_importance or variance_explained")
    parts = (variables_importance, variance_explained, importance_concentration)
    if shape[-1] == 1 and any(part is not None for part in parts):
        raise ModelError(f"{label}: a single predictor explains all that is explained")
    sigma = as_tensor(output_sigma, f"{label}: output_sigma")
    scales = as_tensor(input_sigma, f"{label}: input_sigma")
    with model, Model(name):
        share = as_tensor(r2, f"{label}: r2")
        if r2_std is not None:
            share = Beta("r2", mu=share, sigma=r2_std, dims=dims[:-1])
        phi = parts_of(dims, shape, *parts)
        explained = phi * (share * sigma**2)[..., None]
        mean, sd = signed(dims, explained, positive_probs, positive_probs_std, centered, label)
        if centered:
            beta = Normal("beta", mean / scales, sd / scales, dims=dims)
        else:
            with Model("beta"):
                raw = Normal("raw", dims=dims)
            beta = Deterministic("beta", (mean + sd * raw) / scales, dims=dims)
    return R2D2M2CPOut(pt.sqrt(1 - share) * sigma, beta)


def parts_of(
    dims: tuple[str, ...],
    shape: Sequence[int | None],
    importance: Any,
    explained: Any,
    concentration: Any,
) -> TensorVariable:
    """Return the parts of what is explained, one a predictor: numbers, or a variable."""
    if importance is not None:
        a = as_tensor(importance, "variables_importance")
    else:
        parts = 1 / float(shape[-1] or 1) if explained is None else explained
        a = as_tensor(parts, "variance_explained") + pt.zeros(shape[-1])
        if concentration is None:
            return a
    if concentration is not None:
        a = a * as_tensor(concentration, "importance_concentration")
    return Dirichlet("phi", a, dims=dims)


def signed(
    dims: tuple[str, ...],
    explained: TensorVariable,
    probs: Any,
    probs_std: Any,
    centered: bool,
    label: str,
) -> tuple[TensorVariable, TensorVariable]:
    """Return mean and standard deviation of effects of some size, positive as often as wanted."""
    size = pt.sqrt(explained)
    psi = as_tensor(probs, f"{label}: positive_probs")
    if probs_std is not None:
        psi = Beta("psi", mu=psi, sigma=probs_std, dims=dims)
        certain = np.zeros(())
    else:
        value = constant_value(psi)
        if value is None or not ((value >= 0) & (value <= 1)).all():
            raise TypeError(
                f"{label}: positive_probs must be numbers from 0 to 1 unless positive_probs_std is "
                f"given, got {probs}"
            )
        certain = np.where(value == 0, -1.0, np.where(value == 1, 1.0, 0.0))
        if centered and certain.any():
            raise ModelError(f"{label}: centered=True needs positive_probs between 0 and 1")
        psi = pt.as_tensor_variable(np.where(certain == 0, value, 0.5))
    ratio = np.sqrt(2) * pt.erfinv(2 * psi - 1)  # of mean to standard deviation
    sd = size / pt.sqrt(1 + ratio**2)
    mean = sd * ratio
    if not certain.any():
        return mean, sd
    free = certain == 0
    return pt.switch(free, mean, certain * size), pt.switch(free, sd, 0.0)
