"""Point estimates."""

from __future__ import annotations

from typing import ClassVar

from vibayes.approximations.base import SingleGroupApproximation
from vibayes.families.base import Group
from vibayes.families.delta import DeltaGroup

__all__ = ["AutoDelta"]


class AutoDelta(SingleGroupApproximation):
    """Point estimates: all mass at one value of each variable.

    A fit of it, ``vb.fit(method="delta")``, finds the posterior mode of the unconstrained values by
    steps of an optimizer, on minibatches too. Beside other groups, it has the variables of which a
    point is enough: ``vb.Group([weights], vfam="delta")``. :func:`vibayes.find_MAP` finds the mode
    on the variables' own scale.

    Parameters
    ----------
    local_rv, cost_part_grad_scale, scale_cost_to_minibatch
        As for :class:`~vibayes.SingleGroupApproximation`.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    start : dict, optional
        Where to start, by variable name.
    random_seed : int, optional
        Seed of a fit.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Gamma("x", 50, 1)
    ...     approx = vb.fit(
    ...         1_000, method="delta", obj_optimizer=vb.adam(learning_rate=0.05), backend="py",
    ...         progressbar=False, diagnose=False,
    ...     )
    >>> approx.mean.eval().round(2)  # log 50
    array([3.91])
    """

    family: ClassVar[type[Group]] = DeltaGroup
