"""How many data a model has, and what follows for how it is evaluated."""

from __future__ import annotations

import numpy as np

from vibayes.model.core import Model
from vibayes.model.observed import observed_shapes

__all__ = ["data_size", "has_many_data", "observed_lengths", "rows_at_once", "sample_size"]

MOST_NUMBERS = 500_000  # of an intermediate result: 4 MB, which caches hold
MOST_ROWS, MOST_SHORT_ROWS = 256, 4096
IN_CACHE = 100_000  # numbers of an intermediate result that fit
SAMPLED_NUMBERS = 100_000
MANY_NUMBERS = 500_000
FEWEST_ROWS = 1000


def data_size(model: Model) -> int:
    """Return the number of observed values, with the whole data in the place of minibatches."""
    return sum(int(np.prod([length or 1 for length in shape])) for shape in observed_shapes(model))


def has_many_data(model: Model) -> bool:
    """Tell whether passes over the data take so long that all else matters little."""
    return data_size(model) > MANY_NUMBERS


def observed_lengths(model: Model) -> set[int]:
    """Return the numbers of rows that observed values have."""
    return {int(shape[0]) for shape in observed_shapes(model) if shape and shape[0]}


def sample_size(model: Model, numbers: int = SAMPLED_NUMBERS) -> int | None:
    """Return of how many rows a sample of the data is large enough to search on.

    None if the whole data are in memory, and not minibatches or not much more than a sample.
    """
    lengths = [max(m.whole_shape) for m in model.minibatches]
    size = data_size(model)
    if not lengths or (size < 2 * numbers and not model.has_streams):
        return None
    return min(max(FEWEST_ROWS, int(max(lengths) * numbers / size)), max(lengths))


def rows_at_once(model: Model, ddim: int) -> int:
    """Return how many vectors to evaluate at once, so that intermediate results stay small."""
    size = max(ddim, data_size(model), 1)
    most = max(MOST_ROWS, min(MOST_SHORT_ROWS, IN_CACHE // size))
    return int(np.clip(MOST_NUMBERS // size, 1, most))
