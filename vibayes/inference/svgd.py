"""Stein variational gradient descent: draws that move to the posterior together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import pytensor
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace, vectorize_graph

from vibayes.approximations.base import Approximation
from vibayes.approximations.empirical import Empirical
from vibayes.approximations.full_rank import FullRank
from vibayes.arguments import check_arguments, check_whole, shown
from vibayes.backend.modes import EVALUATE_MODE
from vibayes.exceptions import SamplingError
from vibayes.families.joint import Joint
from vibayes.inference.inference import Inference
from vibayes.inference.methods import given_or_new
from vibayes.model.core import Model
from vibayes.objectives.base import Operator
from vibayes.objectives.kernels import Kernel, rbf
from vibayes.objectives.options import StepOptions
from vibayes.objectives.stein import KSD

__all__ = ["ASVGD", "SVGD", "ImplicitGradient", "Stein"]


class Stein(KSD):
    """The kernelized Stein discrepancy, by default of particles of its own.

    Parameters
    ----------
    approx : Approximation, optional
        What is fitted; by default an :class:`~vibayes.Empirical` of 100 particles, for the model
        of the ``with`` block.
    kernel : Kernel, callable or str, default rbf
        :data:`~vibayes.objectives.kernels.rbf`, :data:`~vibayes.objectives.kernels.imq` or their
        names, or a function that maps particles (n, d) to the matrix of :math:`k(x_j, x_i)` and
        the sums of its gradients (n, d).
    temperature : float, default 1
        The approximation is one of :math:`p^{1 / T}`: above 1 it is broader.
    """

    @check_arguments
    def __init__(
        self,
        approx: Joint | None = None,
        kernel: Kernel | Callable[..., Any] | str = rbf,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(Empirical(size=100) if approx is None else approx, kernel, temperature)


class ImplicitGradient(Inference):
    """Let the draws of any approximation follow a direction that needs no density of them.

    The parameters of the approximation change so that its draws move as the operator says. So the
    approximation may be one that can only be drawn from: a :class:`~vibayes.Group` without a log
    density, such as a neural network of noise.

    Parameters
    ----------
    approx : Approximation, optional
        What is fitted; a full-rank normal by default.
    estimator : type of Operator, default KSD
        Makes the direction of an approximation and a kernel.
    kernel : Kernel, callable or str, default rbf
        :data:`~vibayes.objectives.kernels.rbf`, :data:`~vibayes.objectives.kernels.imq` or their
        names, or a function that maps particles (n, d) to the matrix of :math:`k(x_j, x_i)` and
        the sums of its gradients (n, d).
    model : Model, optional
        The model; by default the one of the ``with`` block, if ``approx`` is not given.
    start : dict, optional
        Where to start, by variable name, if ``approx`` is not given.
    start_sigma : dict, optional
        Standard deviations to start from, by variable name, in the unconstrained space, if
        ``approx`` is not given.
    random_seed : int, optional
        Seed of everything random in the fit, if ``approx`` is not given.
    **kwargs
        Further arguments of the estimator, such as ``temperature``.

    Notes
    -----
    ``obj_n_mc`` of the fit is the number of draws that move at each iteration; one alone has
    nothing that it could keep apart from, and finds a mode.

    References
    ----------
    Feng, Wang, Liu (2017), Learning to Draw Samples with Amortized Stein Variational Gradient
    Descent, arXiv:1707.06626.
    """

    short_name: ClassVar[str] = "implicit_gradient"

    @check_arguments
    def __init__(
        self,
        approx: Approximation | None = None,
        estimator: type[Operator] = KSD,
        kernel: Kernel | Callable[..., Any] | str = rbf,
        *,
        model: Model | None = None,
        start: Mapping[str, Any] | None = None,
        start_sigma: Mapping[str, Any] | None = None,
        random_seed: Any = None,
        **kwargs: Any,
    ) -> None:
        own = dict(model=model, start=start, start_sigma=start_sigma, random_seed=random_seed)
        make: Callable[..., Operator] = estimator  # of Stein's kind, which takes a kernel
        approx = given_or_new(approx, FullRank, **own)
        try:
            made: Any = make(approx, kernel, **kwargs)
        except TypeError:
            if isinstance(estimator, type):
                raise
            made = None
        if not isinstance(made, Operator):
            raise TypeError(f"estimator must be a class of objectives, got {shown(estimator)}")
        super().__init__(made)


class ASVGD(ImplicitGradient):
    """Amortized Stein variational gradient descent: an approximation learns what particles do.

    Parameters
    ----------
    approx : Approximation, optional
        What is fitted; a full-rank normal by default.
    estimator : type of Operator, default KSD
        Makes the direction of an approximation and a kernel.
    kernel : Kernel, callable or str, default rbf
        :data:`~vibayes.objectives.kernels.rbf`, :data:`~vibayes.objectives.kernels.imq` or their
        names, or a function that maps particles (n, d) to the matrix of :math:`k(x_j, x_i)` and
        the sums of its gradients (n, d).
    model : Model, optional
        The model; by default the one of the ``with`` block, if ``approx`` is not given.
    start : dict, optional
        Where to start, by variable name, if ``approx`` is not given.
    start_sigma : dict, optional
        Standard deviations to start from, by variable name, in the unconstrained space, if
        ``approx`` is not given.
    random_seed : int, optional
        Seed of everything random in the fit, if ``approx`` is not given.
    temperature : float, default 1
        Above 1 the draws spread out more.

    Notes
    -----
    In high dimensions the kernel sees little: the widths come out too small.

    References
    ----------
    Feng, Wang, Liu (2017), Learning to Draw Samples with Amortized Stein Variational Gradient
    Descent, arXiv:1707.06626.
    """

    short_name: ClassVar[str] = "asvgd"

    @check_arguments
    def __init__(
        self,
        approx: Approximation | None = None,
        estimator: type[Operator] = KSD,
        kernel: Kernel | Callable[..., Any] | str = rbf,
        *,
        model: Model | None = None,
        start: Mapping[str, Any] | None = None,
        start_sigma: Mapping[str, Any] | None = None,
        random_seed: Any = None,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(
            approx,
            estimator,
            kernel,
            model=model,
            start=start,
            start_sigma=start_sigma,
            random_seed=random_seed,
            temperature=temperature,
        )

    @check_arguments
    def fit(
        self,
        n: int | None = None,
        score: bool | None = None,
        callbacks: Sequence[Callable[..., None]] | None = None,
        progressbar: bool = True,
        *,
        obj_n_mc: int | None = 500,
        **kwargs: Any,
    ) -> Approximation:
        """Fit the approximation, by ``obj_n_mc`` draws at each iteration.

        Parameters
        ----------
        n
            Number of iterations; 10,000 by default.
        score
            Has no effect: there is no loss.
        callbacks
            Called as ``callback(approx, losses, i)``; see :class:`vibayes.callbacks.Callback`.
        progressbar
            Whether to show a progress bar, if there is a terminal or a notebook to show it in.
        obj_n_mc
            Number of draws that are moved at each iteration.
        **kwargs
            Further arguments of :meth:`vibayes.Inference.fit`.
        """
        return super().fit(n, score, callbacks, progressbar, obj_n_mc=obj_n_mc, **kwargs)


class SVGD(ImplicitGradient):
    r"""Stein variational gradient descent.

    All particles move at once, to where the density rises and away from each other:

    .. math:: x_i \leftarrow x_i + \epsilon \phi(x_i), \qquad \phi(x_i) = \frac{1}{n}
        \sum_{j=1}^n k(x_j, x_i) \frac{\nabla_{x_j} \log p(x_j)}{T} + \nabla_{x_j} k(x_j, x_i)

    There is no loss: ``hist`` stays empty.

    Particles seldom cross from one mode to another: all modes near the start are found, but how
    many particles each of them gets depends on the start as much as on its mass.

    Parameters
    ----------
    n_particles : int, default 100
        Number of particles.
    jitter : float, default 1
        Standard deviation of the particles about the start, in the unconstrained space.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    start : dict, optional
        Where to start, by variable name.
    start_sigma : dict, optional
        Standard deviations to start from instead of ``jitter``, by variable name.
    random_seed : int, optional
        Seed of the jitter.
    estimator : type of Operator, default KSD
        Makes the direction of an approximation and a kernel.
    kernel : Kernel, callable or str, default rbf
        :data:`~vibayes.objectives.kernels.rbf`, :data:`~vibayes.objectives.kernels.imq` or their
        names, or a function that maps particles (n, d) to the matrix of :math:`k(x_j, x_i)` and
        the sums of its gradients (n, d).
    temperature : float, default 1
        Above 1 the particles spread out more.

    Raises
    ------
    SamplingError
        By :meth:`fit`, if the log density is not finite at any of the particles.

    References
    ----------
    Liu, Wang (2016), Stein Variational Gradient Descent: A General Purpose Bayesian Inference
    Algorithm, arXiv:1608.04471.

    Liu et al. (2017), Stein Variational Policy Gradient, arXiv:1704.02399, for the temperature.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     svgd = vb.SVGD(n_particles=50, random_seed=1)
    >>> svgd.approx.histogram.type.shape
    (50, 1)
    """

    short_name: ClassVar[str] = "svgd"

    @check_arguments
    def __init__(
        self,
        n_particles: int = 100,
        jitter: float = 1.0,
        model: Model | None = None,
        start: Mapping[str, Any] | None = None,
        random_seed: Any = None,
        estimator: type[Operator] = KSD,
        *,
        start_sigma: Mapping[str, Any] | None = None,
        kernel: Kernel | Callable[..., Any] | str = rbf,
        temperature: float = 1.0,
    ) -> None:
        approx = Empirical(
            size=check_whole(n_particles, "n_particles", least=1),
            jitter=jitter,
            model=model,
            start=start,
            start_sigma=start_sigma,
            random_seed=random_seed,
        )
        super().__init__(approx, estimator, kernel, temperature=temperature)

    def check_options(self, options: StepOptions) -> None:
        check_particles(cast(Empirical, self.approx), options.more_replacements)


def check_particles(approx: Empirical, swap: Mapping[Variable, Variable]) -> None:
    """Raise if the log density is finite at none of the particles: they could not move."""
    model = approx.model
    key = ("logp of particles", *swap.items())
    function = approx.compiled(key, lambda: compile_particle_logp(approx, swap))
    histogram = approx.histogram.get_value(borrow=True)
    if np.isfinite(function(histogram)).any():
        return
    point = approx.layout.point(histogram[0])
    logps = model.point_logps(point, round_vals=None)
    bad = ", ".join(f"{name}: {value}" for name, value in logps.items() if not np.isfinite(value))
    raise SamplingError(
        "The log density is not finite at any particle, so that none can move. At the first of "
        f"them it is, for {bad or 'the model with its replacements'}. Check those variables' "
        "parameters and data, or start elsewhere: start=, jitter=."
    )


def compile_particle_logp(approx: Empirical, swap: Mapping[Variable, Variable]) -> Any:
    """Compile the log density at each particle."""
    (logp,) = graph_replace([approx.model.logp()], dict(swap), strict=False)
    particles = approx.histogram.type("particles")
    z = approx.layout.split_draws(particles, particles.shape[0])
    (logp,) = vectorize_graph([logp], z)
    return pytensor.function([particles], logp, mode=EVALUATE_MODE)
