"""Particles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, cast

import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import vectorize_graph
from pytensor.tensor.variable import TensorVariable

from vibayes.approximations.base import Approximation
from vibayes.approximations.single_group import SingleGroupApproximation
from vibayes.arguments import check_arguments
from vibayes.context import modelcontext
from vibayes.families.base import Group
from vibayes.families.empirical import EmpiricalGroup
from vibayes.families.joint import local_groups
from vibayes.model.core import Model

__all__ = ["Empirical"]


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
        Variables that belong to the observations of a minibatch, with their parameters as
        functions of it: ``{z: (mu, rho)}`` or ``{z: {"mu": mu, "rho": rho}}``; the family has the
        other variables.
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

    family: ClassVar[type[Group]] = EmpiricalGroup

    @check_arguments
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
        return cast(EmpiricalGroup, self.groups[0]).histogram

    @classmethod
    def from_noise(
        cls,
        size: int,
        jitter: float = 0.01,
        local_rv: Mapping[TensorVariable, Any] | None = None,
        start: Mapping[str, Any] | None = None,
        model: Model | None = None,
        random_seed: Any = None,
    ) -> Empirical:
        """Return particles about the start: ``Empirical(size=...)`` in PyMC's order of arguments.

        Parameters
        ----------
        size
            Number of particles.
        jitter
            Standard deviation, in the unconstrained space, of the particles about the start.
        local_rv
            Variables that belong to the observations of a minibatch, with their parameters.
        start
            Where to start, by variable name.
        model
            The model; by default the one of the ``with`` block.
        random_seed
            Seed of the particles.
        """
        return cls(
            size=size,
            jitter=jitter,
            local_rv=local_rv,
            start=start,
            model=model,
            random_seed=random_seed,
        )

    @check_arguments
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

    @check_arguments
    def sample(
        self,
        draws: int = 1000,
        random_seed: Any = None,
        include_transformed: bool = False,
        importance: bool = False,
        *,
        chains: int = 1,
        replace: bool = True,
        return_inferencedata: bool = True,
        var_names: str | Collection[str] | None = None,
    ) -> Any:
        """Draw particles, each as often as any other, but for one time.

        See :meth:`Approximation.sample`.

        Parameters
        ----------
        draws
            Number of draws of each chain.
        random_seed
            Seed of the draws.
        include_transformed
            Whether to add the unconstrained values, under names such as ``sigma_log__``.
        importance
            Not to be had: particles have no density to be weighted by. Those that
            ``method="auto"`` gives have been weighted already.
        chains
            Number of chains that the particles are dealt to: each has some that no other has, so
            that r_hat tells how much sets of particles differ.
        replace
            Whether particles may be drawn twice, as they are if more draws are asked for than there
            are particles.
        return_inferencedata
            Whether to return an object of ArviZ's kind, rather than a :class:`MultiTrace`.
        var_names
            Names of what to return; by default the free variables and all Deterministics.

        Raises
        ------
        NotImplementedError
            If ``importance`` is asked for.
        ValueError
            If more draws are asked for, without replacement, than there are particles.
        """
        if not replace:
            n = len(self.groups[0].shared_params["histogram"].get_value(borrow=True))
            if chains * draws > n:
                raise ValueError(f"{chains * draws} draws without replacement from {n} particles")
        return super().sample(
            draws,
            random_seed,
            include_transformed,
            importance,
            chains=chains,
            return_inferencedata=return_inferencedata,
            var_names=var_names,
        )
