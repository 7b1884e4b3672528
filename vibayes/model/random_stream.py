"""Random variables that advance a generator of their own at each evaluation."""

from __future__ import annotations

import warnings
from typing import Any

from pytensor.tensor.random.utils import RandomStream

from vibayes.arguments import check_whole

__all__ = ["at_rng", "tt_rng"]


def at_rng(random_seed: Any = None) -> RandomStream:
    """Return a source of random tensors, which are other ones at each evaluation.

    Parameters
    ----------
    random_seed : int, optional
        Seed of the first tensor, and of all that follow.

    Returns
    -------
    RandomStream
        Has a method a distribution: ``uniform(low=0, high=1, size=(10,))``, ``normal``,
        ``integers``, ….

    Examples
    --------
    >>> import numpy as np
    >>> import pytensor
    >>> import vibayes as vb
    >>> data = pytensor.shared(np.arange(100.0))
    >>> rows = vb.at_rng().uniform(size=(10,), low=0, high=100 - 1e-10).astype("int64")
    >>> data[rows].eval(mode="FAST_COMPILE").shape
    (10,)
    """
    if random_seed is not None:
        random_seed = check_whole(random_seed, "random_seed", least=0, most=None)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "RandomStream is deprecated", FutureWarning)
        return RandomStream(random_seed)


tt_rng = at_rng
