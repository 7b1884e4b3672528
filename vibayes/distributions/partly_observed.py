"""A variable of whose data some values are missing: what is observed, and what is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad
from pytensor.tensor.variable import TensorVariable

from vibayes.distributions.base import Distribution
from vibayes.distributions.transforms import Interval, Transform

__all__ = ["MissingPart", "ObservedPart", "joined", "split"]


class Part(Distribution):
    """Some elements of a random variable, as a vector.

    Parameters
    ----------
    base
        The distribution of the whole variable.
    where
        Which elements these are.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Part:
        return object.__new__(cls)

    def __init__(self, base: Distribution, where: np.ndarray) -> None:
        self.base = base
        self.where = np.nonzero(where)
        self.shape = where.shape
        self.params, self.parts = base.params, base.parts
        self.rv = pt.tensor_copy(base.rv[self.where])
        self.rv.tag.distribution = self

    @property
    def batch_shapes(self) -> list[tuple[Any, ...]]:
        """None: the number of elements is known."""
        return []

    def typical(self) -> TensorVariable:
        """Return a typical value of the whole variable, that no gradient flows through."""
        return disconnected_grad(pt.broadcast_to(self.base.support_point(), self.shape))

    def logp(self, value: TensorVariable) -> TensorVariable:
        whole = pt.set_subtensor(self.typical()[self.where], value)
        return pt.broadcast_to(self.base.logp(whole), self.shape)[self.where]

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        lengths = self.shape[: len(self.shape) - self.base.ndim_supp]
        rng, draw = self.base.random(rng, lengths)
        return rng, draw[self.where]

    def support_point(self) -> TensorVariable:
        return pt.broadcast_to(self.base.support_point(), self.shape)[self.where]


class MissingPart(Part):
    """What is missing of a variable.

    If its events have axes, the density of these elements given the parameters is not known by
    itself: then that of the whole variable goes with :class:`ObservedPart`, and nothing with this.
    """

    def __init__(self, base: Distribution, where: np.ndarray) -> None:
        super().__init__(base, where)
        self.transform = part_of_transform(base.default_transform, self.where, self.shape)

    @property
    def default_transform(self) -> Transform | None:
        """That of the whole variable."""
        return self.transform

    def logp(self, value: TensorVariable) -> TensorVariable:
        return pt.zeros_like(value) if self.base.ndim_supp else super().logp(value)

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        if self.base.ndim_supp:
            return self.logp(value)
        whole = pt.set_subtensor(self.typical()[self.where], value)
        return pt.broadcast_to(self.base.interior_logp(whole), self.shape)[self.where]


class ObservedPart(Part):
    """What is observed of a variable.

    Parameters
    ----------
    base
        Distribution of the whole.
    where
        Which elements of an event are meant.
    missing
        The random variable of the other elements.
    """

    def __init__(self, base: Distribution, where: np.ndarray, missing: TensorVariable) -> None:
        super().__init__(base, where)
        self.missing = missing
        self.elsewhere = np.nonzero(~where)
        self.ndim_supp = 1 if base.ndim_supp else 0

    def logp(self, value: TensorVariable) -> TensorVariable:
        if not self.base.ndim_supp:
            return super().logp(value)
        whole = joined(self.shape, (self.where, value), (self.elsewhere, self.missing))
        return self.base.logp(whole).sum()


def joined(
    shape: tuple[int, ...], *parts: tuple[tuple[np.ndarray, ...], TensorVariable]
) -> TensorVariable:
    """Return an array made of vectors of elements, each with where they belong."""
    whole = pt.zeros(shape, dtype=pytensor.config.floatX)
    for where, values in parts:
        whole = pt.set_subtensor(whole[where], values)
    return whole


def split(dist: Distribution, missing: np.ndarray) -> tuple[MissingPart, ObservedPart]:
    """Return the distributions of what is missing, and of what is observed.

    Parameters
    ----------
    dist
        The distribution of the whole variable, whose random variable is made.
    missing
        Where values are missing.

    Raises
    ------
    NotImplementedError
        If events have axes and a constraint, as a simplex has, which single elements do not have.
    """
    if dist.ndim_supp and dist.default_transform is not None:
        raise NotImplementedError(
            f"missing values of a {type(dist).__name__} are not imputed, since the elements of its "
            f"events constrain each other. Drop the rows that have them."
        )
    name = type(dist).__name__
    unknown = type(name, (MissingPart,), {})(dist, missing)
    return unknown, type(name, (ObservedPart,), {})(dist, ~missing, unknown.rv)


def part_of_transform(
    transform: Transform | None, where: tuple[np.ndarray, ...], shape: tuple[int, ...]
) -> Transform | None:
    """Return the transform of some elements of a variable."""
    if not isinstance(transform, Interval):
        return transform

    def part(bound: Any) -> Any:
        return None if bound is None else pt.broadcast_to(bound, shape)[where]

    return Interval(part(transform.lower), part(transform.upper))
