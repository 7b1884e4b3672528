"""Covariances of a fitted mean field by linear response: the widths that it lacks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor

from vibayes.approximations.base import Approximation
from vibayes.approximations.full_rank import FullRank
from vibayes.arguments import check_arguments, check_whole, chosen_names
from vibayes.backend.modes import evaluate
from vibayes.backend.seeds import as_seed_sequence, new_generator
from vibayes.exceptions import ModelError
from vibayes.model.core import Model
from vibayes.model.target import Target, is_deterministic
from vibayes.search.begin import set_normal
from vibayes.search.noise import mirrored_normals
from vibayes.search.normals import FittedNormal

__all__ = ["LinearResponse", "linear_response"]

MOST_AT_ONCE = 64  # directions that are solved for together
TOLERANCE = 1e-6
MOST_STEPS = 200
WIDTH = {"float64": 1e-4, "float32": 1e-2}  # of the differences, in standard deviations


@dataclass(frozen=True)
class LinearResponse:
    """Means and covariances of unconstrained values.

    Attributes
    ----------
    model : Model
        The model.
    names : list of str
        Name of each element, such as ``beta[0]``.
    mean : numpy.ndarray
        Means of the mean field, (k,).
    cov : numpy.ndarray
        Covariances by linear response, (k, k).
    mean_field_sd : numpy.ndarray
        Standard deviations of the mean field, (k,).
    """

    model: Model
    names: list[str]
    mean: np.ndarray
    cov: np.ndarray
    mean_field_sd: np.ndarray

    @property
    def sd(self) -> np.ndarray:
        """Standard deviations, (k,)."""
        return np.sqrt(self.cov.diagonal())

    def to_full_rank(self, random_seed: Any = None) -> FullRank:
        """Return the normal with these means and covariances as an approximation.

        Raises
        ------
        ValueError
            If only some variables were asked for.
        """
        approx = FullRank(model=self.model, random_seed=random_seed)
        if approx.ddim != len(self.mean):
            raise ValueError(
                f"linear_response: covariances are known of {len(self.mean)} of {approx.ddim} "
                f"dimensions; leave out var_names"
            )
        ridge = 1e-12 * np.diag(self.cov.diagonal())
        set_normal(approx, FittedNormal(self.mean, np.linalg.cholesky(self.cov + ridge)))
        return approx

    def __repr__(self) -> str:
        rows = [
            f"{name:>20}  {m:10.4g}  {s:10.4g}  {q:10.4g}"
            for name, m, s, q in zip(
                self.names, self.mean, self.sd, self.mean_field_sd, strict=True
            )
        ]
        head = f"{'':>20}  {'mean':>10}  {'sd':>10}  {'mean field':>10}"
        return "\n".join([head, *rows[:30], *(["..."] if len(rows) > 30 else [])])


@check_arguments
def linear_response(
    approx: Approximation,
    var_names: str | Collection[str] | None = None,
    draws: int = 64,
    random_seed: Any = None,
) -> LinearResponse:
    r"""Return the covariances that a fitted mean field implies by linear response.

    A mean field has the right means of a posterior that is close to normal, but widths that are too
    small where variables are correlated. If the log density had a small linear term, its means
    would move: their derivative by that term is the covariance of the posterior (Giordano,
    Broderick and Jordan 2018). With the Hessian H of the loss by means and log standard deviations
    this is

    .. math:: \mathrm{Cov}(z) = (H^{-1})_{\mu\mu}

    of which columns are solved for by conjugate gradients, with differences of gradients for the
    products: no matrix of the size of the model is made.

    Parameters
    ----------
    approx
        A mean field whose fit has ended.
    var_names
        Names of the free variables whose covariances are wanted; all by default. The time grows
        with the number of their elements.
    draws
        Number of draws by which the loss is estimated.
    random_seed
        Seed of the draws.

    Returns
    -------
    LinearResponse
        Means, covariances and standard deviations of the unconstrained values; the whole is
        available as an approximation by its ``to_full_rank``.

    Raises
    ------
    TypeError
        If it is no mean field.
    ModelError
        If data are not in memory, or the fit has not ended: the loss is not at a minimum.
    KeyError
        If the model has no free variable of a name.

    References
    ----------
    Giordano, Broderick and Jordan (2018), Covariances, Robustness, and Variational Bayes, JMLR
    19(51). Giordano, Ingram and Broderick (2024), Black Box Variational Inference with a
    Deterministic Objective, JMLR 25(18).

    Examples
    --------
    >>> import numpy as np
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.MvNormal("x", np.zeros(2), cov=[[1.0, 0.9], [0.9, 1.0]])
    ...     approx = vb.fit(method="advi", random_seed=1, diagnose=False)
    >>> approx.std.eval().round(2)
    array([0.44, 0.44])
    >>> vb.linear_response(approx).cov.round(2)
    array([[1. , 0.9],
           [0.9, 1. ]])
    """
    model = approx.model
    if not (approx.is_normal and approx.groups[0].is_diagonal):
        raise TypeError(
            f"linear_response: approx must be a mean field of all variables, got {approx!r}"
        )
    if model.has_streams or not is_deterministic(model):
        raise ModelError("linear_response needs the log density of the whole data, in memory")
    count = check_whole(draws, "draws", least=4)
    wanted = places_of(model, var_names)
    (group,), (places,) = approx.groups, approx.places()
    mean, sd = (
        np.asarray(v, dtype="float64")[np.argsort(places)]
        for v in evaluate([group.mean, group.std])
    )
    target = Target(model)
    target.turn_to(mean[None])
    rng = new_generator(as_seed_sequence(random_seed if random_seed is not None else 0))
    noise = mirrored_normals(count, target.ddim, rng)
    products = hessian_products(target, mean, sd, noise)
    columns = []
    for at in range(0, len(wanted), MOST_AT_ONCE):
        chosen = wanted[at : at + MOST_AT_ONCE]
        right = np.zeros((len(chosen), 2 * target.ddim))
        right[np.arange(len(chosen)), chosen] = 1.0
        columns.append(solved(products, right)[:, wanted])
    cov = np.concatenate(columns) * sd[wanted] * sd[wanted][:, None]
    names = approx.element_names()
    return LinearResponse(
        model, [names[i] for i in wanted], mean[wanted], 0.5 * (cov + cov.T), sd[wanted]
    )


def places_of(model: Model, var_names: str | Collection[str] | None) -> np.ndarray:
    """Return where the elements of free variables lie in the flat vector, in model order."""
    names = [rv.name for rv in model.free_RVs]
    chosen = chosen_names(var_names, names, "free variable")
    sizes = [int(np.prod(v.type.shape, dtype=int)) for v in model.value_vars]
    ends = np.cumsum([0, *sizes])
    parts = [np.arange(ends[i], ends[i + 1]) for i, name in enumerate(names) if name in chosen]
    return np.concatenate(parts)


def hessian_products(
    target: Target, mean: np.ndarray, sd: np.ndarray, noise: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of directions: products with the Hessian of the loss.

    Of means in units of ``sd``, and log standard deviations, where it is about the identity.
    """
    d, width = len(mean), WIDTH[pytensor.config.floatX]

    def gradient(x: np.ndarray) -> np.ndarray:
        shift, factor = x[:, :d], np.exp(x[:, d:])
        points = mean + sd * (shift[:, None] + factor[:, None] * noise)
        logp, slopes = target(points.reshape(-1, d))
        if not np.isfinite(logp).all():
            raise ModelError(
                "linear_response: the log density is not finite at draws of the approximation"
            )
        slopes = slopes.reshape(points.shape) * sd
        by_sd = (slopes * noise).mean(axis=1) * factor + 1
        return -np.concatenate([slopes.mean(axis=1), by_sd], axis=1)

    def products(directions: np.ndarray) -> np.ndarray:
        lengths = np.abs(directions).max(axis=1, keepdims=True)
        steps = width * directions / np.where(lengths > 0, lengths, 1.0)
        return (gradient(steps) - gradient(-steps)) / (2 * width) * lengths

    return products


def solved(products: Callable[[np.ndarray], np.ndarray], right: np.ndarray) -> np.ndarray:
    """Return the solutions of several linear systems by conjugate gradients, all in step.

    Raises
    ------
    ModelError
        If the matrix is not positive definite.
    """
    x, residual = np.zeros_like(right), right.copy()
    direction, norms = residual.copy(), (residual**2).sum(axis=1)
    limit = TOLERANCE**2 * norms
    for _ in range(min(MOST_STEPS, 2 * right.shape[1])):
        open_ = norms > limit
        if not open_.any():
            break
        image = products(direction[open_])
        curvature = (direction[open_] * image).sum(axis=1)
        if (curvature <= 0).any():
            raise ModelError(
                "linear_response: the loss has no minimum at the approximation, whose fit has not "
                "ended, or whose family is far from the posterior"
            )
        length = norms[open_] / curvature
        x[open_] += length[:, None] * direction[open_]
        residual[open_] -= length[:, None] * image
        new = (residual[open_] ** 2).sum(axis=1)
        direction[open_] = residual[open_] + (new / norms[open_])[:, None] * direction[open_]
        norms[open_] = new
    return x
