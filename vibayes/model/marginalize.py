"""Discrete variables summed out of a model, so that what is left has a gradient."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments
from vibayes.backend.modes import evaluate
from vibayes.context import modelcontext
from vibayes.distributions.base import as_value, distribution_of
from vibayes.distributions.marginal import MarginalPart, Summed, states_of
from vibayes.exceptions import ModelError
from vibayes.model.core import Model
from vibayes.model.interventions import named
from vibayes.model.rebuild import Rebuilding

__all__ = ["marginalize"]

PATTERNS = 3
"""Number of random states of the discrete variable at which the pairing is checked."""


@check_arguments
def marginalize(model: Model, rvs_to_marginalize: Any) -> Model:
    """Return a model in which discrete free variables are summed out.

    Their states are finitely many: the density of what depends on a discrete variable is the sum
    over its states, weighted by their probabilities. What is left has a gradient, and can be
    fitted. Predictive draws draw the discrete variables along.

    Parameters
    ----------
    model
        The model, which is not changed.
    rvs_to_marginalize : str, TensorVariable, or sequence of these
        Free variables of the distributions Bernoulli, Categorical, Binomial, BetaBinomial or
        DiscreteUniform, of any shape.

    Returns
    -------
    Model
        A copy without these variables.

    Raises
    ------
    KeyError
        If the model has no such variable.
    ModelError
        If it is not free and discrete, or has not finitely many states; or if an observation
        depends on several of its elements together, so that the sum would be over all of their
        combinations.

    Warns
    -----
    UserWarning
        Of deterministics that depend on such a variable: the result is without them.

    Notes
    -----
    Which element of a discrete variable each observation depends on is found by evaluating the
    density at some states of it. The work of an evaluation grows with the number of states. Several
    variables are summed out one after the other, the last ones of the model first: a chain of
    scalar variables takes a sum of sums.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model() as model:
    ...     mu = vb.Normal("mu", [-3, 3], 1)
    ...     kind = vb.Bernoulli("kind", 0.3, shape=5)
    ...     y = vb.Normal("y", mu[kind], 1, observed=[-3.1, 2.9, -2.5, -3.3, 3.2])
    >>> [rv.name for rv in vb.marginalize(model, "kind").free_RVs]
    ['mu']
    """
    model = modelcontext(model)
    several = isinstance(rvs_to_marginalize, list | tuple)
    chosen = list(rvs_to_marginalize) if several else [rvs_to_marginalize]
    variables = [named(model, v, "marginalize: rvs_to_marginalize") for v in chosen]
    if not variables:
        raise ValueError("marginalize: rvs_to_marginalize must name a variable, got an empty list")
    for rv in variables:
        if rv not in model.free_RVs or not distribution_of(rv).discrete:
            raise ModelError(f"marginalize: {rv.name!r} is not a discrete free variable")
    names = [rv.name for rv in model.basic_RVs if rv in variables]
    for name in reversed(names):
        model = without(model, name)
    return model


def without(model: Model, name: str) -> Model:
    """Return a model in which one discrete variable is summed out."""
    rv = model[name]
    states = states_of(distribution_of(rv), name)
    dependents = direct_dependents(model, rv)
    if used := [p.name for p in model.potentials if rv in ancestors([p])]:
        raise ModelError(f"marginalize: the potential {used[0]!r} depends on {name!r}")
    if not dependents:
        raise ModelError(f"marginalize: no random variable depends on {name!r}; leave it out")
    if scaled := [d.name for d in dependents if d in model.rvs_to_total_sizes]:
        raise ModelError(
            f"marginalize: {scaled[0]!r} has a total_size, of which a sum knows nothing"
        )
    dropped = [d for d in model.deterministics if rv in ancestors([d], blockers=dependents)]
    if dropped:
        warnings.warn(
            f"marginalize: the deterministics {', '.join(repr(d.name) for d in dropped)} depend on "
            f"{name!r}, the result is without them",
            UserWarning,
            stacklevel=4,
        )
    owners = elements_of(model, rv, states, dependents)
    rebuilding = Rebuilding(model, without=[rv, *dropped])
    rebuilding.copy([rv])
    result = rebuilding.run()
    discrete = rebuilding.copies[rv]
    dist = rebuilding.copied(distribution_of(rv))
    copies = [rebuilding.copies[d] for d in dependents]
    bases = [distribution_of(c) for c in copies]
    summed = Summed(discrete, dist, states, list(zip(copies, bases, strict=True)), owners)
    for i, (copied, base) in enumerate(zip(copies, bases, strict=True)):
        kind = type(type(base).__name__, (MarginalPart,), {})
        copied.tag.distribution = kind(base, summed, i == 0)
    return result


def direct_dependents(model: Model, rv: TensorVariable) -> list[TensorVariable]:
    """Return the random variables whose distribution depends on a variable itself."""
    found = []
    for other in model.basic_RVs:
        if other is rv:
            continue
        blockers = [v for v in model.basic_RVs if v is not rv and v is not other]
        (term,) = own_density(model, other, model.rvs_to_values[other].type())
        if rv in ancestors([term], blockers=blockers):
            found.append(other)
    return found


def own_density(model: Model, rv: TensorVariable, value: TensorVariable) -> list[TensorVariable]:
    """Return the log density of a variable at an unconstrained value, not summed."""
    transform = model.rvs_to_transforms.get(rv)
    own = value if transform is None else transform.backward(value)
    return [distribution_of(rv).logp(as_value(distribution_of(rv), own))]


def elements_of(
    model: Model, rv: TensorVariable, states: np.ndarray, dependents: Sequence[TensorVariable]
) -> list[np.ndarray]:
    """Return the element of a discrete variable on which each event of its dependents depends.

    The events tell by what changes their density: in the k-th evaluation the elements whose number
    has the k-th bit set are in another state.

    Raises
    ------
    ModelError
        If an event depends on several elements.
    """
    shape = rv.type.shape
    if None in shape:
        raise ModelError(f"marginalize: the shape of {rv.name!r} is not known before the fit")
    size, rng = int(np.prod(shape, dtype=int)), np.random.default_rng(0)
    point = {
        name: value + rng.normal(size=np.shape(value))
        if np.asarray(value).dtype.kind == "f"
        else value
        for name, value in model.initial_point().items()
    }
    discrete = model.rvs_to_values[rv]
    terms = [own_density(model, d, model.rvs_to_values[d])[0] for d in dependents]
    terms = model.replace_rvs_by_values(terms)
    given = {v: point[v.name] for v in model.value_vars if v is not discrete}

    def densities(pattern: np.ndarray) -> list[np.ndarray]:
        value = states[pattern].reshape(shape).astype(rv.dtype)
        found: list[np.ndarray] = evaluate(terms, {**given, discrete: value})
        return found

    low, high = (densities(np.full(size, s)) for s in (0, len(states) - 1))
    depends = [~same(a, b) for a, b in zip(low, high, strict=True)]
    owners = [np.where(d, 0, -1) for d in depends]
    for bit in range(max(size - 1, 0).bit_length()):
        marked = (np.arange(size) >> bit) & 1
        changed = densities(marked * (len(states) - 1))
        for owner, base, now, used in zip(owners, low, changed, depends, strict=True):
            owner[used & ~same(base, now)] |= 1 << bit
    at_states = [densities(np.full(size, s)) for s in range(len(states))]
    for _ in range(PATTERNS):
        pattern = rng.integers(len(states), size=size)
        for j, (owner, now) in enumerate(zip(owners, densities(pattern), strict=True)):
            stacked = np.stack([at[j] for at in at_states])
            state = pattern[np.minimum(np.maximum(owner, 0), size - 1)]
            expected = np.take_along_axis(stacked, state[None], axis=0)[0]
            if (owner >= size).any() or not same(expected, now).all():
                raise ModelError(
                    f"marginalize: an element of {dependents[j].name!r} depends on several "
                    f"elements of {rv.name!r} together; write these as variables of their own"
                )
    return owners


def same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Tell where log densities are the same up to rounding."""
    result: np.ndarray = np.isclose(a, b, rtol=1e-10, atol=1e-12) | (a == b)
    return result
