"""Parameters of a prior of which one knows between what values its draws are."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from vibayes.arguments import check_arguments, check_real, shown
from vibayes.backend.modes import EVALUATE_MODE
from vibayes.distributions.base import Distribution, distribution_of
from vibayes.distributions.constraints import positive

__all__ = ["find_constrained_prior"]

TOLERANCE = 1e-4
STEP = 1e-4


@check_arguments
def find_constrained_prior(
    distribution: type[Distribution],
    lower: float,
    upper: float,
    init_guess: Mapping[str, float],
    mass: float = 0.95,
    fixed_params: Mapping[str, float] | None = None,
    mass_below_lower: float | None = None,
    **kwargs: Any,
) -> dict[str, float]:
    """Find parameters of a distribution by how much of its mass is between two values.

    Parameters
    ----------
    distribution
        A distribution whose CDF is known, such as ``vb.Gamma``.
    lower, upper
        The two values.
    init_guess
        Where to start: the parameters that are to be found, by name.
    mass
        How much is to be between the two values: between 0 and 1.
    fixed_params
        Parameters that are given.
    mass_below_lower
        How much is to be below the lower value; by default half of the rest. With one parameter to
        be found it comes as close as ``mass`` allows.
    **kwargs
        Further arguments of ``scipy.optimize.least_squares``.

    Returns
    -------
    dict of str to float
        All parameters, for the distribution.

    Raises
    ------
    ValueError
        If no parameters are found that fulfil this.
    NotImplementedError
        If the CDF is not known.

    Examples
    --------
    >>> import vibayes as vb
    >>> found = vb.find_constrained_prior(
    ...     vb.Gamma, lower=0.1, upper=0.4, mass=0.75, init_guess={"alpha": 1, "beta": 10}
    ... )
    >>> {name: round(value, 2) for name, value in found.items()}
    {'alpha': 3.09, 'beta': 12.79}
    """
    if not (isinstance(distribution, type) and issubclass(distribution, Distribution)):
        raise TypeError(
            f"find_constrained_prior: distribution must be a class, such as vb.Gamma, got "
            f"{shown(distribution)}"
        )
    check_parameters(distribution, init_guess, "init_guess")
    check_parameters(distribution, fixed_params or {}, "fixed_params")
    lower, upper = (check_real(v, n, finite=False) for n, v in (("lower", lower), ("upper", upper)))
    mass = check_real(mass, "mass", above=0)
    if not mass < 1:
        raise ValueError(f"mass must be between 0 and 1, got {mass}")
    if not lower < upper:
        raise ValueError(f"lower must be below upper, got {lower} and {upper}")
    if not init_guess:
        raise ValueError("init_guess names no parameter that is to be found")
    below = (1 - mass) / 2
    if mass_below_lower is not None:
        below = check_real(mass_below_lower, "mass_below_lower", least=0)
    if below + mass > 1:
        raise ValueError(
            f"mass_below_lower must be at most 1 - mass = {1 - mass:.4g}, got {mass_below_lower}"
        )
    names = list(init_guess)
    logs = [distribution.constraints.get(name) is positive for name in names]
    start = [np.log(v) if log else v for v, log in zip(init_guess.values(), logs, strict=True)]
    between = masses(distribution, lower, upper, names, dict(fixed_params or {}))

    def values(x: np.ndarray) -> list[float]:
        return [float(np.exp(v)) if log else float(v) for v, log in zip(x, logs, strict=True)]

    weights = np.array([1.0, 1.0 if len(names) > 1 else 1e-4])

    def residuals(x: np.ndarray) -> np.ndarray:
        found = np.nan_to_num(np.array(between(*values(x))), nan=2.0)
        return weights * (found - [mass, below])

    def slopes(x: np.ndarray) -> np.ndarray:
        # coarse ones: some CDFs are flat on smaller scales, by rounding
        steps = STEP * (1 + np.abs(x)) * np.eye(len(x))
        pairs = [(residuals(x + h) - residuals(x - h)) / (2 * h.sum()) for h in steps]
        return np.stack(pairs, axis=1)

    from scipy.optimize import least_squares  # takes long to import

    options = {"jac": slopes, "xtol": 1e-14, "ftol": 1e-14, "gtol": 1e-14, **kwargs}
    solution = least_squares(residuals, np.asarray(start, dtype="float64"), **options)
    found = between(*values(solution.x))
    missed = [abs(found[0] - mass)]
    if len(names) > 1:
        missed.append(abs(found[1] - below))
    if not max(missed) < TOLERANCE:
        raise ValueError(
            f"no parameters {', '.join(names)} of {distribution.__name__} put {mass} of its mass "
            f"between lower={lower} and upper={upper} and {below:.4g} below; the closest ones put "
            f"{found[0]:.4g} and {found[1]:.4g}. Try another init_guess, or fewer fixed_params."
        )
    return {**dict(zip(names, values(solution.x), strict=True)), **dict(fixed_params or {})}


def check_parameters(
    distribution: type[Distribution], given: Mapping[str, float], argument: str
) -> None:
    """Raise if some parameters are none of a distribution, or no numbers."""
    label = f"find_constrained_prior: {argument}"
    known = [name for name in signature(distribution.__init__).parameters if name != "self"]
    for name, value in given.items():
        if name not in known:
            raise TypeError(
                f"{label} must be parameters of {distribution.__name__}, which are "
                f"{', '.join(known)}, got {shown(name)}"
            )
        check_real(value, f"{label}: {name}")


def masses(
    distribution: type[Distribution],
    lower: float,
    upper: float,
    names: list[str],
    fixed: dict[str, float],
) -> Any:
    """Return a function of parameters: the mass between two values, and that below them."""
    symbols = {name: pt.scalar(name) for name in names}
    rv = distribution.dist(**symbols, **fixed)
    dist = distribution_of(rv)
    ends = [np.ceil(lower) - 1 if dist.discrete else lower, upper]
    low, high = (pt.exp(dist.logcdf(pt.constant(float(end)))) for end in ends)
    return pytensor.function([*symbols.values()], [high - low, low], mode=EVALUATE_MODE)
