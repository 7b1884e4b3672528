"""A prior for the coefficients of a regression by how much of the data they explain together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments, shown
from vibayes.context import modelcontext
from vibayes.distributions.constraints import (
    Constraint,
    constant_value,
    open_unit,
    probability,
)
from vibayes.distributions.continuous import Beta, Normal
from vibayes.distributions.multivariate import Dirichlet
from vibayes.exceptions import ModelError, ParameterError, ShapeError
from vibayes.model.core import Model
from vibayes.model.expressions import Deterministic
from vibayes.numeric import as_tensor

__all__ = ["R2D2M2CP"]

positive = Constraint("positive and finite", lambda x: (x > 0) & np.isfinite(x))
nonnegative = Constraint("finite and not negative", lambda x: (x >= 0) & np.isfinite(x))
PARTS = {
    "variables_importance": positive,
    "variance_explained": nonnegative,
    "importance_concentration": positive,
}
"""What the arguments that say which predictor explains how much may be."""


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
        Concentrations of a Dirichlet distribution of ``phi``, one a predictor or one for all.
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
    ParameterError
        If a standard deviation or a concentration is not positive, a share or a probability not
        between 0 and 1, or a beta distribution cannot have a standard deviation.
    ShapeError
        If something does not broadcast to the coefficients.
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
    given = (variables_importance, variance_explained, importance_concentration)
    if shape[-1] == 1 and any(part is not None for part in given):
        raise ModelError(f"{label}: a single predictor explains all that is explained")
    batch, length = shape[:-1], shape[-1:]
    sigma = quantity(output_sigma, f"{label}: output_sigma", positive, batch)
    scales = quantity(input_sigma, f"{label}: input_sigma", positive, shape)
    share = quantity(r2, f"{label}: r2", probability if r2_std is None else open_unit, batch)
    if r2_std is not None:
        r2_std = sd_of_beta(r2_std, f"{label}: r2_std", share, batch)
    parts = [
        part if part is None else quantity(part, f"{label}: {argument}", constraint, length)
        for part, (argument, constraint) in zip(given, PARTS.items(), strict=True)
    ]
    sign = sign_of(positive_probs, positive_probs_std, centered, shape, label)
    with model, Model(name):
        if r2_std is not None:
            share = Beta("r2", mu=share, sigma=r2_std, dims=dims[:-1])
        phi = parts_of(dims, length, *parts)
        explained = phi * (share * sigma**2)[..., None]
        mean, sd = signed(dims, explained, sign)
        if centered:
            beta = Normal("beta", mean / scales, sd / scales, dims=dims)
        else:
            with Model("beta"):
                raw = Normal("raw", dims=dims)
            beta = Deterministic("beta", (mean + sd * raw) / scales, dims=dims)
    return R2D2M2CPOut(pt.sqrt(1 - share) * sigma, beta)


def quantity(
    value: Any, subject: str, constraint: Constraint, shape: Sequence[int | None]
) -> TensorVariable:
    """Return what was given as a tensor that may be something, and broadcasts to a shape.

    Raises
    ------
    ParameterError, ShapeError
        If it is known not to be.
    """
    tensor = as_tensor(value, subject)
    owner, name = subject.rsplit(": ", 1)
    constraint.check(owner, name, tensor)
    lengths = tensor.type.shape
    known = zip(lengths[::-1], shape[::-1], strict=False)
    if len(lengths) > len(shape) or any(n not in (None, 1, m) for n, m in known):
        raise ShapeError(f"{subject} of shape {lengths} does not broadcast to {tuple(shape)}")
    return tensor


def sd_of_beta(
    value: Any, subject: str, mean: TensorVariable, shape: Sequence[int | None]
) -> TensorVariable:
    """Return the standard deviation of a beta distribution, of which it is known to have one."""
    sd = quantity(value, subject, positive, shape)
    known_mean, known_sd = constant_value(mean), constant_value(sd)
    if known_mean is not None and known_sd is not None:
        if not (known_sd**2 < known_mean * (1 - known_mean)).all():
            raise ParameterError(
                f"{subject} must be below sqrt(mean * (1 - mean)), got {shown(value)} for a mean "
                f"of {known_mean}"
            )
    return sd


def parts_of(
    dims: tuple[str, ...],
    length: Sequence[int | None],
    importance: TensorVariable | None,
    explained: TensorVariable | None,
    concentration: TensorVariable | None,
) -> TensorVariable:
    """Return the parts of what is explained, one a predictor: numbers, or a variable."""
    count = length[0] or 1
    if importance is not None:
        a = importance
    else:
        a = pt.constant(1 / count) if explained is None else explained
        if concentration is None:
            return a + pt.zeros(count)
    if concentration is not None:
        a = a * concentration
    return Dirichlet("phi", a + pt.zeros(count), dims=dims)


class Sign(NamedTuple):
    """How often coefficients are positive.

    Attributes
    ----------
    probability : TensorVariable
        Of a positive one, where that is open.
    sd : TensorVariable, optional
        Standard deviation of that probability, if it is a variable.
    certain : numpy.ndarray
        1 or -1 where the sign is fixed, else 0.
    """

    probability: TensorVariable
    sd: TensorVariable | None
    certain: np.ndarray


def sign_of(
    probs: Any, probs_std: Any, centered: bool, shape: Sequence[int | None], label: str
) -> Sign:
    """Return how often coefficients are positive, checked."""
    subject = f"{label}: positive_probs"
    if probs_std is not None:
        psi = quantity(probs, subject, open_unit, shape)
        sd = sd_of_beta(probs_std, f"{subject}_std", psi, shape)
        return Sign(psi, sd, np.zeros(()))
    psi = quantity(probs, subject, probability, shape)
    value = constant_value(psi)
    if value is None:
        raise TypeError(f"{subject} must be numbers unless positive_probs_std is given")
    certain = np.where(value == 0, -1.0, np.where(value == 1, 1.0, 0.0))
    if centered and certain.any():
        raise ModelError(f"{label}: centered=True needs positive_probs between 0 and 1")
    return Sign(pt.as_tensor_variable(np.where(certain == 0, value, 0.5)), None, certain)


def signed(
    dims: tuple[str, ...], explained: TensorVariable, sign: Sign
) -> tuple[TensorVariable, TensorVariable]:
    """Return mean and standard deviation of effects of some size, positive as often as wanted."""
    size = pt.sqrt(explained)
    psi = sign.probability
    if sign.sd is not None:
        psi = Beta("psi", mu=psi, sigma=sign.sd, dims=dims)
    ratio = np.sqrt(2) * pt.erfinv(2 * psi - 1)  # of mean to standard deviation
    sd = size / pt.sqrt(1 + ratio**2)
    mean = sd * ratio
    if not sign.certain.any():
        return mean, sd
    free = sign.certain == 0
    return pt.switch(free, mean, sign.certain * size), pt.switch(free, sd, 0.0)
