"""Approximations of all variables by one family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pytensor.tensor.variable import TensorVariable

from vibayes.approximations.base import Approximation
from vibayes.arguments import check_arguments
from vibayes.context import modelcontext
from vibayes.families.base import Group
from vibayes.families.joint import local_groups
from vibayes.model.core import Model
from vibayes.model.flat import FlatLayout

__all__ = ["SingleGroupApproximation"]


class SingleGroupApproximation(Approximation):
    """An approximation of all variables by one family.

    Parameters
    ----------
    local_rv : dict, optional
        Variables that belong to the observations of a minibatch, with their parameters as
        functions of it: ``{z: (mu, rho)}`` or ``{z: {"mu": mu, "rho": rho}}``. Each gets a local
        :class:`Group`; the family has the other variables.
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
        Seed of everything random in the fit.
    """

    family: ClassVar[type[Group]]
    classes: ClassVar[dict[type[Group], type[SingleGroupApproximation]]] = {}
    """The class of each family."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "family" in vars(cls):
            SingleGroupApproximation.classes[cls.family] = cls

    @classmethod
    def of(cls, family: type[Group]) -> type[SingleGroupApproximation]:
        """Return the class of a family: the one that was defined with it, else a new one.

        Parameters
        ----------
        family
            A subclass of :class:`Group`. ``MineGroup`` gives a class ``Mine``.
        """
        if family not in cls.classes:
            name = family.__name__.removesuffix("Group") or family.__name__
            namespace = {
                "__doc__": f"Approximation of all variables by :class:`{family.__name__}`.",
                "__module__": family.__module__,
                "family": family,
            }
            type(name, (SingleGroupApproximation,), namespace)
        return cls.classes[family]

    @check_arguments
    def __init__(
        self,
        local_rv: Mapping[TensorVariable, Any] | None = None,
        model: Model | None = None,
        cost_part_grad_scale: Any = 1.0,
        scale_cost_to_minibatch: bool = True,
        random_seed: Any = None,
        start: Mapping[str, Any] | None = None,
        start_sigma: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        model = modelcontext(model)
        local = local_groups(local_rv or {}, model)
        group = self.family(
            None,
            model=model,
            start=start,
            start_sigma=start_sigma,
            random_seed=random_seed,
            options=options,
        )
        only_local = local and len(local) == len(model.free_RVs)
        super().__init__(
            local if only_local else [group, *local],
            model=model,
            random_seed=random_seed,
            cost_part_grad_scale=cost_part_grad_scale,
            scale_cost_to_minibatch=scale_cost_to_minibatch,
        )

    @property
    def mean(self) -> TensorVariable:
        """Mean of the flat unconstrained vector; ``mean.eval()`` gives the numbers."""
        return self.groups[0].moment("mean")

    @property
    def std(self) -> TensorVariable:
        """Standard deviations of the flat unconstrained vector."""
        return self.groups[0].moment("std")

    @property
    def cov(self) -> TensorVariable:
        """Covariance matrix of the flat unconstrained vector."""
        return self.groups[0].moment("cov")

    @property
    def layout(self) -> FlatLayout:
        """Where each variable lies in the flat unconstrained vector."""
        return self.groups[0].layout
