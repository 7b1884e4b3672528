"""The approximations of the families that vibayes has."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import vectorize_graph
from pytensor.tensor.variable import TensorVariable

from vibayes.approximations.approximation import Approximation
from vibayes.approximations.single import SingleGroupApproximation
from vibayes.context import modelcontext
from vibayes.families.base import local_groups
from vibayes.families.empirical import EmpiricalGroup
from vibayes.families.full_rank import FullRankGroup
from vibayes.families.gaussian_mixture import DEFAULT_COMPONENTS, GaussianMixtureGroup
from vibayes.families.low_rank import LowRankGroup
from vibayes.families.mean_field import MeanFieldGroup
from vibayes.families.normalizing_flow import DEFAULT_FLOW, NormalizingFlowGroup
from vibayes.flows import Flow
from vibayes.model.core import Model

__all__ = [
    "Empirical",
    "FullRank",
    "GaussianMixture",
    "LowRank",
    "MeanField",
    "NormalizingFlow",
]


class MeanField(SingleGroupApproximation):
    """Mean-field approximation: an independent normal for each unconstrained dimension.

    Parameters
    ----------
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

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.HalfNormal("x", shape=2)
    ...     approx = vb.MeanField(start={"x": [1.0, 2.0]}, random_seed=1)
    >>> approx.shared_params
    {'mu': mu, 'rho': rho}
    >>> approx.mean.eval()  # of the unconstrained vector, here of log x
    array([0.        , 0.69314718])
    """

    family = MeanFieldGroup


class FullRank(SingleGroupApproximation):
    """Full-rank approximation: one normal with all covariances of the unconstrained dimensions.

    It has d (d + 3) / 2 parameters for d dimensions; see :class:`LowRank` for many dimensions.

    Parameters
    ----------
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

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     y = vb.Normal("y", x, 0.1)
    ...     approx = vb.fit(method="fullrank_advi", random_seed=1)
    >>> approx.cov.eval().round(2)
    array([[1.  , 1.  ],
           [1.  , 1.01]])
    """

    family = FullRankGroup

    @property
    def L(self) -> TensorVariable:
        """Cholesky factor of the covariance, up to the signs of its columns."""
        return self.groups[0].L

    @property
    def L_chol(self) -> TensorVariable:
        """Cholesky factor of the covariance, as ``L``."""
        return self.groups[0].L


class LowRank(SingleGroupApproximation):
    """Low-rank approximation: a normal of diagonal plus low-rank covariance.

    Its cost grows linearly with the number d of dimensions, that of :class:`FullRank` with the
    square.

    Parameters
    ----------
    rank : int, optional
        Rank of the low-rank part, 1 to d; by default the smaller of 5 and d.
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

    family = LowRankGroup

    def __init__(self, rank: int | None = None, **kwargs: Any) -> None:
        super().__init__(**({} if rank is None else {"rank": rank}), **kwargs)


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

    family = GaussianMixtureGroup

    def __init__(self, components: int = DEFAULT_COMPONENTS, **kwargs: Any) -> None:
        super().__init__(components=components, **kwargs)

    @property
    def weights(self) -> TensorVariable:
        """Weights of the components."""
        return self.groups[0].weights


class NormalizingFlow(SingleGroupApproximation):
    r"""Normalizing flow approximation: noise bent into the shape of the posterior.

    Parameters
    ----------
    flow : str, Flow or list of Flow, default "scale-loc"
        What noise goes through, from left to right: a formula such as ``"scale-planar*8-loc"``,
        or flows. The default is the mean field. A ``loc`` is added at the end if there is none.
    local_rv, cost_part_grad_scale, scale_cost_to_minibatch
        As for :class:`~vibayes.SingleGroupApproximation`.
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
    >>>  with vb.Model():
    ...     x = vb.Normal("x", shape=2)
    ...     approx = NormalizingFlow("full_affine-loc", random_seed=1)
    >>> list(approx.shared_params)
    ['0_full_affine_log_scale', '0_full_affine_lower', '1_loc_loc']
    """

    family = NormalizingFlowGroup

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
        return self.groups[0].formula


class Empirical(SingleGroupApproximation):
    """Approximation by particles: the draws of a sampler, or what SVGD moves.

    Parameters
    ----------
    trace : InferenceData, DataTree, Dataset or dict, optional
        Draws to take over, of any sampler, with all chains: results in the form of ArviZ, their
        posterior, or arrays by variable name whose first axis is that of the draws. Constrained
        variables are on their own scale, or unconstrained under names such as ``sigma_log__``.
    size : int, optional
        Number of particles, instead of ``trace``.
    jitter : float, default 1
        Standard deviation, in the unconstrained space, of ``size`` particles about the start.
    local_rv : dict, optional
        As for :class:`~vibayes.SingleGroupApproximation`.
    start : dict, optional
        Where to start, by variable name.
    start_sigma : dict, optional
        Standard deviations instead of ``jitter``, by variable name.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    random_seed : int, optional
        Seed of the jitter.

    Raises
    ------
    KeyError
        If the trace lacks variables.
    ShapeError
        If an array of the trace has another shape than its variable, or other draws than the rest.
    ValueError
        If draws are not finite, or outside of the support; if neither ``trace`` nor ``size`` is
        given, or both.

    Examples
    --------
    >>> import numpy as np
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     sigma = vb.HalfNormal("sigma")
    ...     approx = vb.Empirical({"sigma": np.array([0.5, 1.0, 2.0])})
    >>> approx.evaluate_over_trace(sigma).eval()
    array([0.5, 1. , 2. ])
    """

    family = EmpiricalGroup

    def __init__(
        self,
        trace: Any = None,
        size: int | None = None,
        jitter: float = 1.0,
        local_rv: Mapping[TensorVariable, Any] | None = None,
        model: Model | None = None,
        *,
        start: Mapping[str, Any] | None = None,
        start_sigma: Mapping[str, Any] | None = None,
        random_seed: Any = None,
    ) -> None:
        model = modelcontext(model)
        local = local_groups(local_rv or {}, model)
        group = EmpiricalGroup(
            model=model,
            random_seed=random_seed,
            trace=trace,
            size=size,
            jitter=jitter,
            start=start,
            start_sigma=start_sigma,
        )
        Approximation.__init__(self, [group, *local], model=model, random_seed=random_seed)

    @property
    def histogram(self) -> TensorVariable:
        """The particles in the unconstrained space, one a row."""
        return self.groups[0].histogram

    def evaluate_over_trace(self, node: Variable | Sequence[Variable]) -> Any:
        """Return expressions of the model's variables, evaluated at every particle.

        Parameters
        ----------
        node
            One expression or several.

        Returns
        -------
        TensorVariable or list of TensorVariable
            With a leading axis for the particles, in their order; symbolic, so that ``eval()``
            follows the particles.
        """
        several = isinstance(node, Sequence)
        graphs = self.model.replace_rvs_by_values(list(node) if several else [node])
        n = self.histogram.shape[0]
        at_particles = vectorize_graph(graphs, self.layout.split_draws(self.histogram, n))
        results = [
            value
            if value.type.ndim > graph.type.ndim
            else pt.broadcast_to(value, (n, *value.shape))
            for value, graph in zip(at_particles, graphs, strict=True)
        ]
        return results if several else results[0]

    def sample(
        self,
        draws: int = 1000,
        random_seed: Any = None,
        include_transformed: bool = False,
        importance: bool = False,
        *,
        replace: bool = True,
    ) -> Any:
        """Draw particles; see :meth:`Approximation.sample`.

        Parameters
        ----------
        draws
            Number of draws.
        random_seed
            Seed of the draws.
        include_transformed
            Whether to add the unconstrained values, under names such as ``sigma_log__``.
        importance
            Not to be had: particles have no density to be weighted by. Those that
            ``method="auto"`` gives have been weighted already.
        replace
            Whether particles are drawn with replacement. Without it none is drawn twice.

        Raises
        ------
        NotImplementedError
            If ``importance`` is asked for.
        ValueError
            If more draws are asked for, without replacement, than there are particles.
        """
        if replace:
            return super().sample(draws, random_seed, include_transformed, importance)
        n = len(self.groups[0].shared_params["histogram"].get_value(borrow=True))
        if draws > n:
            raise ValueError(f"{draws} draws without replacement from {n} particles")
        without = copy.copy(self)
        without.groups = [copy.copy(self.groups[0])]
        without.groups[0].replacement = False
        return SingleGroupApproximation.sample(without, draws, random_seed, include_transformed)
