"""``fit``: from a model to an approximate posterior in one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vibayes.approximations.base import Approximation, judge
from vibayes.inference.inference import (
    ADVI,
    NFVI,
    FullRankADVI,
    Inference,
    LowRankADVI,
)
from vibayes.inference.searches import AutoVI, LaplaceVI, MixtureVI, PathfinderVI, SearchMethod
from vibayes.inference.svgd import ASVGD, SVGD
from vibayes.model.core import Model

__all__ = ["fit"]

METHODS: dict[str, type[Inference] | type[SearchMethod]] = {
    "advi": ADVI,
    "fullrank_advi": FullRankADVI,
    "lowrank_advi": LowRankADVI,
    "nfvi": NFVI,
    "svgd": SVGD,
    "asvgd": ASVGD,
    "auto": AutoVI,
    "laplace": LaplaceVI,
    "pathfinder": PathfinderVI,
    "mixture": MixtureVI,
}


def fit(
    n: int | None = None,
    method: str | Inference | type[Inference] = "advi",
    model: Model | None = None,
    random_seed: Any = None,
    start: Mapping[str, Any] | None = None,
    start_sigma: Mapping[str, Any] | None = None,
    inf_kwargs: Mapping[str, Any] | None = None,
    diagnose: bool = True,
    **kwargs: Any,
) -> Approximation:
    """Fit an approximate posterior, and judge it.

    Parameters
    ----------
    n
        Number of iterations. By default the fit ends by itself: see
        :meth:`vibayes.Inference.fit`.
    method
        ``"advi"``, ``"fullrank_advi"``, ``"lowrank_advi"``, ``"nfvi"`` or ``"nfvi=FORMULA"``
        (such as ``"nfvi=planar*8"``): a family, fitted by KL. ``"svgd"``, ``"asvgd"``:
        particles. ``"auto"``: the first family that holds the posterior. ``"laplace"``,
        ``"pathfinder"``, ``"mixture"``: searches. An inference class, or an inference object,
        which is fitted as it is.
    model
        The model; by default the one of the ``with`` block. A PyMC or Bambi model is converted at
        each call: see :func:`vibayes.from_pymc`.
    random_seed
        Seed: the same seed gives the same numbers.
    start
        Where to start, by variable name: on the variable's own scale, or unconstrained under the
        name of its value variable.
    start_sigma
        Standard deviations to start from, by variable name, in the unconstrained space.
    inf_kwargs
        Further arguments of the inference class.
    diagnose
        Whether to judge the result by :meth:`Approximation.diagnose`, and to warn if it is not
        good.
    **kwargs
        Arguments of :meth:`vibayes.Inference.fit`.

    Warns
    -----
    ConvergenceWarning
        If the fit has not converged.
    ApproximationWarning
        If it has, but the family does not hold the posterior.

    Returns
    -------
    Approximation
        To sample from, and to be handed to ArviZ.

    Raises
    ------
    ValueError
        If the method is unknown.
    ModelError
        If the model has no free variables, or discrete ones.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     mu = vb.Normal("mu", 0, 10)
    ...     y = vb.Normal("y", mu, 1, observed=[1.2, 0.8, 1.9])
    ...     approx = vb.fit(random_seed=1, progressbar=False)
    >>> approx.sample(100, random_seed=1).posterior["mu"].shape
    (1, 100)
    """
    options = dict(inf_kwargs or {})
    if isinstance(method, Inference):
        given = {"start": start, "start_sigma": start_sigma, "random_seed": random_seed}
        if extra := [name for name, v in given.items() if v is not None] + list(options):
            raise TypeError(
                f"{extra[0]} has no effect on an inference object that is made already; "
                f"pass it to {type(method).__name__}(...)"
            )
        return judged(method.fit(n, **kwargs), diagnose)
    if isinstance(method, str):
        method, of_name = named_method(method)
        options = of_name | options
    for name, value in {"start": start, "start_sigma": start_sigma}.items():
        if value is not None:
            options.setdefault(name, value)
    inference = method(model=model, random_seed=random_seed, **options)
    return judged(inference.fit(n, **kwargs), diagnose)


def judged(approx: Approximation, diagnose: bool) -> Approximation:
    """Return an approximation, and warn if it is not good."""
    if diagnose:
        judge(approx, stacklevel=3)
    return approx


def named_method(name: str) -> tuple[type[Inference] | type[SearchMethod], dict[str, Any]]:
    """Return the inference class of a name, and the arguments that the name holds."""
    key, _, formula = name.partition("=")
    inference = METHODS.get(key.lower())
    if inference is None or (formula and inference is not NFVI):
        known = ", ".join(map(repr, METHODS))
        raise ValueError(f"method {name!r} is unknown; known are {known} and 'nfvi=FORMULA'")
    return inference, {"flow": formula} if formula else {}
