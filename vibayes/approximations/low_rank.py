"""Low rank: a normal of diagonal plus low-rank covariance."""

from __future__ import annotations

from typing import Any, ClassVar

from vibayes.approximations.single_group import SingleGroupApproximation
from vibayes.families.base import Group
from vibayes.families.low_rank import LowRankGroup

__all__ = ["LowRank"]


class LowRank(SingleGroupApproximation):
    """Low-rank approximation: a normal of diagonal plus low-rank covariance.

    Its cost grows linearly with the number d of dimensions, that of :class:`FullRank` with the
    square.

    Parameters
    ----------
    rank : int, optional
        Rank of the low-rank part, 1 to d; by default the smaller of 5 and d.
    local_rv : dict, optional
        Variables that belong to the observations of a minibatch, with their parameters as
        functions of it: ``{z: (mu, rho)}`` or ``{z: {"mu": mu, "rho": rho}}``; the family has the
        other variables.
    cost_part_grad_scale : float or scalar variable, default 1
        Factor of that part of the gradient whose expectation is zero: 0 is the path derivative.
    scale_cost_to_minibatch : bool, default True
        Whether the loss is of the size of a minibatch, and not of the whole data.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    start : dict, optional
        Where to start, by variable name.
    start_sigma : dict, optional
        Standard deviations to start from, by variable name, in the unconstrained space.
    random_seed : int, optional
        Seed of the noise that a fit draws.

    Raises
    ------
    ValueError
        If the rank is not a whole number from 1 to d.

    Examples
    --------
    Five variables that share one source of variation:

    >>> import vibayes as vb
    >>> with vb.Model():
    ...     common = vb.Normal("common")
    ...     x = vb.Normal("x", common, 0.1, shape=4)
    ...     approx = vb.fit(method="lowrank_advi", inf_kwargs={"rank": 1}, random_seed=1)
    >>> approx.std.eval().round(1)
    array([1., 1., 1., 1., 1.])
    """

    family: ClassVar[type[Group]] = LowRankGroup

    def __init__(self, rank: int | None = None, **kwargs: Any) -> None:
        given: dict[str, Any] = {} if rank is None else {"rank": rank}
        super().__init__(**given, **kwargs)
