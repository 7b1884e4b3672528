"""Mixtures of normals."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from pytensor.tensor.variable import TensorVariable

from vibayes.approximations.base import SingleGroupApproximation
from vibayes.families.base import Group
from vibayes.families.gaussian_mixture import DEFAULT_COMPONENTS, GaussianMixtureGroup

__all__ = ["GaussianMixture"]


class GaussianMixture(SingleGroupApproximation):
    """Mixture of normals: several modes, or one of any shape.

    Parameters
    ----------
    components : int, default 2
        Number of normals.
    local_rv, cost_part_grad_scale, scale_cost_to_minibatch
        As for :class:`~vibayes.SingleGroupApproximation`.
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
        If the number of components is not a whole number of at least 1.
    """

    family: ClassVar[type[Group]] = GaussianMixtureGroup

    def __init__(self, components: int = DEFAULT_COMPONENTS, **kwargs: Any) -> None:
        super().__init__(components=components, **kwargs)

    @property
    def weights(self) -> TensorVariable:
        """Weights of the components."""
        return cast(GaussianMixtureGroup, self.groups[0]).weights
