"""Normalizing flows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from pytensor.tensor.variable import TensorVariable

from vibayes.approximations.single_group import SingleGroupApproximation
from vibayes.arguments import check_arguments
from vibayes.families.base import Group
from vibayes.families.normalizing_flow import DEFAULT_FLOW, NormalizingFlowGroup
from vibayes.flows import Flow
from vibayes.model.core import Model

__all__ = ["NormalizingFlow"]


class NormalizingFlow(SingleGroupApproximation):
    r"""Normalizing flow approximation: noise bent into the shape of the posterior.

    Parameters
    ----------
    flow : str, Flow or list of Flow, default "scale-loc"
        What noise goes through, from left to right: a formula such as ``"scale-planar*8-loc"``,
        or flows. The default is the mean field. A ``loc`` is added at the end if there is none.
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
        Standard deviations to start from, by variable name, in the unconstrained space. They need
        a ``scale`` or a ``full_affine`` in the formula.
    random_seed : int, optional
        Seed of the initial parameters, and of the noise that a fit draws.

    Raises
    ------
    ValueError
        If a flow is unknown, or the formula cannot be read.

    References
    ----------
    Rezende and Mohamed (2015), Variational Inference with Normalizing Flows,
    https://arxiv.org/abs/1505.05770

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x", shape=2)
    ...     approx = vb.NormalizingFlow("full_affine-loc", random_seed=1)
    >>> list(approx.shared_params)
    ['0_full_affine_log_scale', '0_full_affine_lower', '1_loc_loc']
    """

    family: ClassVar[type[Group]] = NormalizingFlowGroup

    @check_arguments
    def __init__(
        self,
        flow: str | Flow | Sequence[Flow] = DEFAULT_FLOW,
        local_rv: Mapping[TensorVariable, Any] | None = None,
        model: Model | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(local_rv, model, flow=flow, **kwargs)

    @property
    def formula(self) -> str:
        """The flows as a formula."""
        return cast(NormalizingFlowGroup, self.groups[0]).formula
