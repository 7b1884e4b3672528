"""What every minibatch is: a tensor that shows a part of some data."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, ClassVar, NamedTuple

import numpy as np
from pytensor.tensor.variable import TensorVariable

__all__ = ["BatchVariable", "ShownRows"]


class ShownRows(NamedTuple):
    """Which rows an axis of a minibatch shows.

    Attributes
    ----------
    source : object
        Where they come from: minibatches of one source show the same rows.
    length : int
        Number of rows that the data have now.
    key : tuple of int
        Length, batch size and seed: equal for minibatches that look as if of the same rows.
    """

    source: Any
    length: int
    key: tuple[int, int, int]


class BatchVariable(TensorVariable):
    """Rows of some data, other ones at each evaluation or at each step of a fit.

    Attributes
    ----------
    minibatch : TensorVariable
        The rows: to have other data in an expression, replace this.
    in_memory : bool
        Whether the whole data are in memory, as ``shared``.
    """

    minibatch: TensorVariable
    in_memory: ClassVar[bool]
    stands_for_all = False
    """Whether it was given as data, so that it stands for all rows, and not for those it shows."""

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of a minibatch."""
        raise NotImplementedError

    @property
    def whole_shape(self) -> tuple[int, ...]:
        """Shape of the whole data."""
        raise NotImplementedError

    @property
    def is_sampled(self) -> bool:
        """Whether it shows a part of the data, rather than all of them."""
        raise NotImplementedError

    def shown_rows(self) -> list[ShownRows]:
        """Return which rows it shows, an entry for each axis of which it shows a part."""
        raise NotImplementedError

    def uniform_rows(self) -> TensorVariable | None:
        """Return uniform numbers in whose proportion rows of the first axis alone are drawn.

        They are independent, from 0 to below 1; None if rows are drawn in another way.
        """
        return None

    def sampled(
        self, count: int, chosen: dict[Hashable, Any], seed: np.random.SeedSequence
    ) -> np.ndarray:
        """Return a part of the data: random rows of each sampled axis, none of them twice.

        Parameters
        ----------
        count
            How many; all, if there are fewer.
        chosen
            What was chosen so far, by the source of the rows; what is chosen here is added.
        seed
            Seed of the choice.
        """
        raise NotImplementedError

    def clone(self, **kwargs: Any) -> TensorVariable:
        """Return a new tensor variable of this name and type, which shows no rows."""
        return self.type.make_variable(name=kwargs.pop("name", self.name))
