"""Inference by the Kullback-Leibler divergence, of one family after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pytensor.tensor.variable import TensorVariable

from vibayes.approximations.base import Approximation
from vibayes.approximations.full_rank import FullRank
from vibayes.approximations.low_rank import LowRank
from vibayes.approximations.mean_field import MeanField
from vibayes.approximations.normalizing_flow import NormalizingFlow
from vibayes.approximations.single_group import SingleGroupApproximation
from vibayes.arguments import check_arguments, shown
from vibayes.context import modelcontext
from vibayes.families.base import Group
from vibayes.families.normalizing_flow import DEFAULT_FLOW
from vibayes.flows import Flow
from vibayes.inference.inference import Inference
from vibayes.model.core import Model
from vibayes.objectives.kl import KL

__all__ = [
    "ADVI",
    "NFVI",
    "FamilyInference",
    "FullRankADVI",
    "KLqp",
    "LowRankADVI",
    "given_or_new",
]


def given_or_new(
    approx: Approximation | None, default: type[SingleGroupApproximation], **arguments: Any
) -> Approximation:
    """Return the approximation that was given, or one of the default kind.

    Raises
    ------
    TypeError
        If arguments for a new one are given beside one that is made already.
    """
    if approx is None:
        return default(**arguments)
    if extra := [name for name, value in arguments.items() if value is not None]:
        raise TypeError(f"{extra[0]} has no effect on an approximation that is made already")
    return approx


class KLqp(Inference):
    r"""Make the Kullback-Leibler divergence from the approximation to the posterior small.

    Parameters
    ----------
    approx : Approximation, optional
        What is fitted; the mean field by default.
    beta : float, default 1
        Weight of the divergence from the prior: :math:`E_q[-\log p(y \mid z)] + \beta\,
        KL(q \| p(z))`.
    path_derivative : bool, default False
        Whether to use the path-derivative gradient ("sticking the landing").
    model : Model, optional
        The model; by default the one of the ``with`` block, if ``approx`` is not given.
    random_seed : int, optional
        Seed of everything random in the fit, if ``approx`` is not given.
    start : dict, optional
        Where to start, by variable name, if ``approx`` is not given.
    start_sigma : dict, optional
        Standard deviations to start from, by variable name, in the unconstrained space, if
        ``approx`` is not given.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     mu = vb.Normal("mu")
    ...     y = vb.Normal("y", mu, observed=[1.0, 2.0])
    ...     inference = vb.KLqp(vb.FullRank(random_seed=1))
    >>> inference.fit(progressbar=False).mean.eval()
    array([1.])
    """

    short_name: ClassVar[str] = "klqp"

    @check_arguments
    def __init__(
        self,
        approx: Approximation | None = None,
        beta: float = 1.0,
        path_derivative: bool = False,
        *,
        model: Model | None = None,
        random_seed: Any = None,
        start: Mapping[str, Any] | None = None,
        start_sigma: Mapping[str, Any] | None = None,
    ) -> None:
        own = dict(model=model, random_seed=random_seed, start=start, start_sigma=start_sigma)
        approx = given_or_new(approx, MeanField, **own)
        super().__init__(KL(approx, beta=beta, path_derivative=path_derivative))


class FamilyInference(KLqp):
    """ADVI with one family for all variables.

    ``FamilyInference.of(family)`` is the class of any family, one of the user's own included.

    Parameters
    ----------
    local_rv : dict, optional
        Variables that belong to the observations of a minibatch, with their parameters as
        functions of it: ``{z: (mu, rho)}``. The parameters of these functions go into
        ``more_obj_params`` of :meth:`fit`.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    cost_part_grad_scale : float or scalar variable, default 1
        Factor of that part of the gradient whose expectation is zero: 0 is the path derivative.
    scale_cost_to_minibatch : bool, default True
        Whether the loss is of the size of a minibatch, and not of the whole data; see
        :class:`vibayes.Approximation`.
    random_seed : int, optional
        Seed of everything random in the fit.
    start : dict, optional
        Where to start, by variable name.
    start_sigma : dict, optional
        Standard deviations to start from, by variable name, in the unconstrained space.
    beta : float, default 1
        Weight of the divergence from the prior.
    path_derivative : bool, default False
        Whether to use the path-derivative gradient ("sticking the landing").
    **options
        Further arguments of the approximation.
    """

    approximation: ClassVar[type[SingleGroupApproximation]]
    classes: ClassVar[dict[type[SingleGroupApproximation], type[FamilyInference]]] = {}
    """The class of each approximation."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "approximation" in vars(cls):
            FamilyInference.classes[cls.approximation] = cls

    @classmethod
    def of(cls, family: type[Group]) -> type[FamilyInference]:
        """Return the class of a family: the one that was defined with it, else a new one.

        Parameters
        ----------
        family
            A subclass of :class:`vibayes.Group`.
        """
        approximation = SingleGroupApproximation.of(family)
        if approximation not in cls.classes:
            namespace = {
                "__doc__": f"ADVI with :class:`{approximation.__name__}`.",
                "__module__": family.__module__,
                "approximation": approximation,
            }
            type(f"{approximation.__name__}ADVI", (FamilyInference,), namespace)
        return cls.classes[approximation]

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
        *,
        beta: float = 1.0,
        path_derivative: bool = False,
        **options: Any,
    ) -> None:
        approx = self.approximation(
            local_rv=local_rv,
            model=model,
            cost_part_grad_scale=cost_part_grad_scale,
            scale_cost_to_minibatch=scale_cost_to_minibatch,
            random_seed=random_seed,
            start=start,
            start_sigma=start_sigma,
            **options,
        )
        super().__init__(approx, beta=beta, path_derivative=path_derivative)


class ADVI(FamilyInference):
    """Automatic differentiation variational inference, with a mean-field approximation.

    Parameters
    ----------
    local_rv : dict, optional
        Variables that belong to the observations of a minibatch, with their parameters as
        functions of it: ``{z: (mu, rho)}`` or ``{z: {"mu": mu, "rho": rho}}``; the family has the
        other variables.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    cost_part_grad_scale : float or scalar variable, default 1
        Factor of that part of the gradient whose expectation is zero: 0 is the path derivative.
    scale_cost_to_minibatch : bool, default True
        Whether the loss is of the size of a minibatch, and not of the whole data.
    random_seed : int, optional
        Seed of everything random in the fit.
    start : dict, optional
        Where to start, by variable name.
    start_sigma : dict, optional
        Standard deviations to start from, by variable name, in the unconstrained space.
    beta : float, default 1
        Weight of the divergence from the prior.
    path_derivative : bool, default False
        Whether to use the path-derivative gradient ("sticking the landing").

    References
    ----------
    Kucukelbir et al. (2017), Automatic Differentiation Variational Inference, JMLR 18(14).

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     advi = vb.ADVI(random_seed=1)
    >>> advi.approx.shared_params
    {'mu': mu, 'rho': rho}
    """

    short_name = "advi"
    approximation = MeanField


class FullRankADVI(FamilyInference):
    """ADVI with a full-rank normal approximation, which holds correlations.

    Parameters
    ----------
    local_rv : dict, optional
        Variables that belong to the observations of a minibatch, with their parameters as
        functions of it: ``{z: (mu, rho)}`` or ``{z: {"mu": mu, "rho": rho}}``; the family has the
        other variables.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    cost_part_grad_scale : float or scalar variable, default 1
        Factor of that part of the gradient whose expectation is zero: 0 is the path derivative.
    scale_cost_to_minibatch : bool, default True
        Whether the loss is of the size of a minibatch, and not of the whole data.
    random_seed : int, optional
        Seed of everything random in the fit.
    start : dict, optional
        Where to start, by variable name.
    start_sigma : dict, optional
        Standard deviations to start from, by variable name, in the unconstrained space.
    beta : float, default 1
        Weight of the divergence from the prior.
    path_derivative : bool, default False
        Whether to use the path-derivative gradient ("sticking the landing").

    References
    ----------
    Kucukelbir et al. (2017), Automatic Differentiation Variational Inference, JMLR 18(14).

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x", shape=2)
    ...     total = vb.Normal("total", x.sum(), 0.5, observed=3.0)
    ...     approx = vb.FullRankADVI(random_seed=1).fit(progressbar=False)
    >>> approx.mean.eval().round(2)
    array([1.33, 1.33])
    >>> approx.cov.eval().round(2)
    array([[ 0.56, -0.44],
           [-0.44,  0.56]])
    """

    short_name = "fullrank_advi"
    approximation = FullRank


class LowRankADVI(FamilyInference):
    """ADVI with a normal approximation whose covariance is diagonal plus low rank.

    Parameters
    ----------
    rank : int, optional
        Rank of the part beside the diagonal; see :class:`vibayes.LowRank`.
    local_rv : dict, optional
        Variables that belong to the observations of a minibatch, with their parameters as
        functions of it: ``{z: (mu, rho)}`` or ``{z: {"mu": mu, "rho": rho}}``; the family has the
        other variables.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    cost_part_grad_scale : float or scalar variable, default 1
        Factor of that part of the gradient whose expectation is zero: 0 is the path derivative.
    scale_cost_to_minibatch : bool, default True
        Whether the loss is of the size of a minibatch, and not of the whole data.
    random_seed : int, optional
        Seed of everything random in the fit.
    start : dict, optional
        Where to start, by variable name.
    start_sigma : dict, optional
        Standard deviations to start from, by variable name, in the unconstrained space.
    beta : float, default 1
        Weight of the divergence from the prior.
    path_derivative : bool, default False
        Whether to use the path-derivative gradient ("sticking the landing").

    References
    ----------
    Ong, Nott and Smith (2018), Gaussian variational approximation with a factor covariance
    structure, JCGS 27(3).
    """

    short_name = "lowrank_advi"
    approximation = LowRank


class NFVI(FamilyInference):
    """Variational inference with normalizing flows.

    Parameters
    ----------
    flow : str, Flow or sequence of Flow
        Flows, as a formula such as ``"planar*8"`` or as objects; see
        :class:`vibayes.NormalizingFlow`. After it, ``model`` and ``random_seed`` are taken by
        position too.
    local_rv : dict, optional
        Variables that belong to the observations of a minibatch, with their parameters as
        functions of it: ``{z: (mu, rho)}`` or ``{z: {"mu": mu, "rho": rho}}``; the family has the
        other variables.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    cost_part_grad_scale : float or scalar variable, default 1
        Factor of that part of the gradient whose expectation is zero: 0 is the path derivative.
    scale_cost_to_minibatch : bool, default True
        Whether the loss is of the size of a minibatch, and not of the whole data.
    random_seed : int, optional
        Seed of everything random in the fit.
    start : dict, optional
        Where to start, by variable name.
    start_sigma : dict, optional
        Standard deviations to start from, by variable name, in the unconstrained space.
    beta : float, default 1
        Weight of the divergence from the prior.
    path_derivative : bool, default False
        Whether to use the path-derivative gradient ("sticking the landing").

    References
    ----------
    Rezende and Mohamed (2015), Variational Inference with Normalizing Flows, arXiv:1505.05770.
    """

    short_name = "nfvi"
    formula_option = "flow"
    approximation = NormalizingFlow

    @check_arguments
    def __init__(
        self,
        flow: str | Flow | Sequence[Flow] = DEFAULT_FLOW,
        local_rv: Mapping[TensorVariable, Any] | Model | None = None,
        model: Model | None = None,
        **kwargs: Any,
    ) -> None:
        local, model, kwargs = in_either_order(local_rv, model, kwargs)
        super().__init__(local, model, flow=flow, **kwargs)


def in_either_order(
    local_rv: Any, model: Any, options: dict[str, Any]
) -> tuple[Mapping[TensorVariable, Any] | None, Any, dict[str, Any]]:
    """Return arguments after the flow: local_rv, model; or a model, and then a seed."""
    if local_rv is not None and not isinstance(local_rv, Mapping):
        if model is not None:
            if "random_seed" in options:
                raise TypeError(
                    f"NFVI: model is given twice, as {shown(local_rv)} and as {shown(model)}"
                )
            options = options | {"random_seed": model}
        try:
            return None, modelcontext(local_rv), options
        except TypeError:
            raise TypeError(
                f"NFVI: local_rv must be a dict of random variables, or a model, got "
                f"{shown(local_rv)}"
            ) from None
    return local_rv, model, options
