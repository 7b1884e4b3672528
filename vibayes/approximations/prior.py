"""An approximation as the prior of the next model."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import chosen_names
from vibayes.backend.modes import evaluate
from vibayes.context import modelcontext
from vibayes.distributions.continuous import Normal
from vibayes.distributions.multivariate import MvNormal
from vibayes.exceptions import ModelError
from vibayes.model.flat import FlatLayout
from vibayes.posterior.draws import draw_values

if TYPE_CHECKING:
    from vibayes.families.joint import Joint
    from vibayes.model.core import Model

__all__ = ["prior_of"]

DRAWS = 4000


def prior_of(
    approx: Joint, var_names: str | Collection[str] | None, name: str, random_seed: Any
) -> dict[str, TensorVariable]:
    """Add a normal prior to the open model; see :meth:`vibayes.Approximation.as_prior`."""
    new: Model = modelcontext(None)
    model = approx.model
    if new is model:
        raise ModelError("as_prior: the open model is the one that was fitted; open a new one")
    if any(group.local for group in approx.groups):
        raise ModelError("as_prior: local variables exist for a minibatch only")
    chosen = free_names(model, var_names)
    values = [model.rvs_to_values[model[n]] for n in chosen]
    expressions = model.replace_rvs_by_values([model[n] for n in chosen])
    others = set(model.value_vars) - set(values)
    for n, expression in zip(chosen, expressions, strict=True):
        missing = [v.name for v in ancestors([expression]) if v in others]
        if missing:
            raise ModelError(
                f"as_prior: the support of {n!r} depends on {missing[0]!r}; name both in var_names"
            )
        new.check_new_name(n)
    layout = FlatLayout(values)
    mean, cov = moments(approx, values, random_seed)
    if np.array_equal(cov, np.diag(cov.diagonal())):
        flat = Normal(name, mean, np.sqrt(cov.diagonal()))
    else:
        ridge = 1e-10 * np.diag(cov.diagonal())
        flat = MvNormal(name, mean, chol=np.linalg.cholesky(cov + ridge))
    made = graph_replace(expressions, layout.split(flat), strict=False)
    found = {}
    for n, v in zip(chosen, made, strict=True):
        dims = known_dims(model, new, n)
        found[n] = new.register_expression(n, v, "deterministics", dims, f"as_prior: {n!r}")
    return found


def free_names(model: Model, var_names: str | Collection[str] | None) -> list[str]:
    """Return the names of free variables, in the order of the model."""
    names = [rv.name for rv in model.free_RVs]
    own = model.name_for("")
    short = {n: f for f in names for n in (f, f.removeprefix(own))}
    wanted = {short[n] for n in chosen_names(var_names, list(short), "free variable")}
    return [n for n in names if n in wanted]


def moments(
    approx: Joint, values: list[TensorVariable], random_seed: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of some unconstrained values: known, or those of draws."""
    slots = {slot.name: slot for slot in FlatLayout(approx.model.value_vars).slots}
    where = np.concatenate([np.arange(slots[v.name].start, slots[v.name].stop) for v in values])
    if approx.is_normal and all(map(approx.groups[0].holds, ("mean", "cov"))):
        order = np.argsort(approx.places()[0])
        mean, cov = evaluate([approx.groups[0].mean, approx.groups[0].cov])
        return mean[order][where], cov[np.ix_(order[where], order[where])]
    named = draw_values(approx, DRAWS, random_seed, include_transformed=True)
    draws = np.concatenate([named[v.name].reshape(DRAWS, -1) for v in values], axis=1)
    return draws.mean(axis=0), np.atleast_2d(np.cov(draws, rowvar=False))


def known_dims(model: Model, new: Model, name: str) -> tuple[str | None, ...] | None:
    """Return the dims of a variable if the new model has them with the same lengths."""
    dims = model.named_vars_to_dims.get(name)
    if dims is None:
        return None
    same = all(d is None or new.dim_length(d) == model.dim_length(d) for d in dims)
    return dims if same else None
