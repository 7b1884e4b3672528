"""Random variables that PyTensor does not have: one of a user's function, and one without draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pytensor.tensor.random.op import RandomVariable

from vibayes.exceptions import ShapeError

__all__ = ["ImproperRV", "NumPyRandom", "improper"]


class ImproperRV(RandomVariable):
    """The random variable of an improper distribution, which no one can draw."""

    name = "improper"
    signature = "->()"
    dtype = "floatX"
    _print_name = ("Improper", "\\operatorname{Improper}")

    def rng_fn(self, rng, size):
        raise NotImplementedError(
            "Flat and HalfFlat are improper distributions: there are no draws from them. Give the "
            "variable a proper prior, or a start value with initval=."
        )


improper = ImproperRV()


class NumPyRandom(RandomVariable):
    """A random variable drawn by a function of NumPy arrays.

    Parameters
    ----------
    function
        See :class:`vibayes.CustomDist`; None for a variable that cannot be drawn.
    **kwargs
        What every random variable has. Where events have axes, their lengths are the last one of
        the parameters.
    """

    __props__ = (*RandomVariable.__props__, "function")

    def __init__(self, function: Callable[..., Any] | None = None, **kwargs: Any) -> None:
        self.function = function
        super().__init__(**kwargs)

    def _supp_shape_from_params(
        self, dist_params: Sequence[Any], param_shapes: Any = None
    ) -> list[Any]:
        event = dist_params[-1].ravel()  # PyTensor may have put batch axes in front
        return [event[axis] for axis in range(self.ndim_supp)]

    def rng_fn(self, rng: np.random.Generator, *args: Any) -> np.ndarray:
        if self.function is None:
            raise NotImplementedError(
                f"{self.name} cannot be drawn from: it has neither a random nor a dist function"
            )
        *params, size = args
        size = None if size is None else tuple(int(n) for n in size)
        event = tuple(params.pop().ravel()[: self.ndim_supp]) if self.ndim_supp else ()
        draw = np.asarray(self.function(*params, rng=rng, size=size), dtype=self.dtype)
        shape = draw.shape if size is None else (*size, *event)
        if draw.shape != shape:
            raise ShapeError(
                f"{self.name}: random returned an array of shape {draw.shape} for size={size}, "
                f"but it should be {shape}"
            )
        return draw
