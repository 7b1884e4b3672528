"""Mixtures of normals."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from pytensor.tensor.variable import TensorVariable

from vibayes.approximations.single_group import SingleGroupApproximation
from vibayes.families.base import Group
from vibayes.families.gaussian_mixture import DEFAULT_COMPONENTS, GaussianMixtureGroup

__all__ = ["GaussianMixture"]


class GaussianMixture(SingleGroupApproximation):
    """Mixture of normals: several modes, or one of any shape.

    Parameters
    ----------
    components : int, default 2
        Number of normals.
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
        If the number of components is not a whole number of at least 1.
    """

    family: ClassVar[type[Group]] = GaussianMixtureGroup

    def __init__(self, components: int = DEFAULT_COMPONENTS, **kwargs: Any) -> None:
        super().__init__(components=components, **kwargs)

    @property
    def weights(self) -> TensorVariable:
        """Weights of the components."""
        return cast(GaussianMixtureGroup, self.groups[0]).weights
