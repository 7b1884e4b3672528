"""Which of PyMC's random variables are made of standard ones, and by which of their parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytensor.tensor as pt
from pytensor.tensor.linalg import matrix_inverse
from pytensor.tensor.variable import TensorVariable

from vibayes.distributions.standard_forms import LocationRoot, LocationScale, StandardForm
from vibayes.distributions.timeseries import autoregression_form, walk_form
from vibayes.ops.cholesky import robust_cholesky

__all__ = ["Parameters", "parameters_of"]


LOCATION_SCALE: dict[type, tuple[str, str]] = {
    type(pt.random.normal): ("mu", "sigma"),
    type(pt.random.t): ("mu", "sigma"),
    type(pt.random.laplace): ("mu", "b"),
    type(pt.random.cauchy): ("alpha", "beta"),
    type(pt.random.logistic): ("mu", "s"),
    type(pt.random.multivariate_normal): ("mu", "cov"),
}
"""The last two parameters of distributions that are a location and a scale, or a covariance."""


class Parameters(NamedTuple):
    """What the standard form of a random variable is made of.

    Attributes
    ----------
    values : dict of str to TensorVariable
        The parameters by name; none for a variable without such a form.
    ndims : dict of str to int
        How many of the last axes of each belong to one event.
    form : callable or None
        Returns the form, given the values in their order.
    """

    values: dict[str, TensorVariable]
    ndims: dict[str, int]
    form: Callable[..., StandardForm] | None


NONE = Parameters({}, {}, None)


def parameters_of(rv: TensorVariable) -> Parameters:
    """Return the parameters of a random variable of PyMC that is made of standard ones.

    No values for variables of other kinds, and for those that are an expression of one.
    """
    from pymc.distributions.timeseries import AutoRegressiveRV, RandomWalkRV

    if isinstance(rv.owner.op, RandomWalkRV):
        return of_walk(rv)
    if isinstance(rv.owner.op, AutoRegressiveRV):
        return of_autoregression(rv)
    return of_location_and_scale(rv)


def of_location_and_scale(rv: TensorVariable) -> Parameters:
    op = getattr(rv.owner, "op", None)
    names = LOCATION_SCALE.get(type(op))
    if op is None or names is None:
        return NONE
    ndims = op.ndims_params[-len(names) :]
    values = op.dist_params(rv.owner)[-len(names) :]
    return Parameters(
        dict(zip(names, values, strict=True)),
        dict(zip(names, ndims, strict=True)),
        normal_vectors if op.ndim_supp else LocationScale,
    )


def normal_vectors(mu: TensorVariable, cov: TensorVariable) -> LocationRoot:
    of_precision = cov.owner is not None and cov.owner.op == matrix_inverse
    root = robust_cholesky(cov.owner.inputs[0] if of_precision else cov)
    return LocationRoot(mu, root, of_precision)


def of_walk(rv: TensorVariable) -> Parameters:
    """Return the parameters of a walk of numbers whose steps have a location and a scale, alike."""
    init, step = rv.owner.inputs[:2]
    first, steps = of_location_and_scale(init), of_location_and_scale(step)
    if first.form is not LocationScale or steps.form is not LocationScale:
        return NONE
    names = ("mu", "sigma", "init_location", "init_scale")
    values = [*steps.values.values(), *first.values.values()]
    if any(value.type.ndim != rv.type.ndim or value.type.shape[0] != 1 for value in values):
        return NONE  # steps, which lie along the first axis, are not alike
    return Parameters(
        {name: value[0] for name, value in zip(names, values, strict=True)},
        dict.fromkeys(names, 0),
        walk_of_numbers,
    )


def walk_of_numbers(mu: Any, sigma: Any, location: Any, scale: Any) -> StandardForm:
    return walk_form(LocationScale(location, scale), mu, sigma)


def of_autoregression(rv: TensorVariable) -> Parameters:
    rho, sigma, init = rv.owner.inputs[:3]
    first = of_location_and_scale(init)
    if first.form is not LocationScale:
        return NONE
    location, scale = (pt.atleast_1d(value) for value in first.values.values())
    op = rv.owner.op
    return Parameters(
        {"rho": rho, "sigma": sigma, "init_location": location, "init_scale": scale},
        {"rho": 1, "sigma": 0, "init_location": 1, "init_scale": 1},
        partial(autoregression, op.ar_order, op.constant_term),
    )


def autoregression(
    order: int, constant: bool, rho: Any, sigma: Any, location: Any, scale: Any
) -> StandardForm:
    return autoregression_form(LocationScale(location, scale), rho, sigma, order, constant)
