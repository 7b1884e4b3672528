"""Stein variational gradient descent: particles that move to the posterior together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pytensor
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace, vectorize_graph

from vibayes.approximations.base import Approximation, split_draws
from vibayes.approximations.empirical import Empirical
from vibayes.compile import EVALUATE_MODE
from vibayes.exceptions import SamplingError
from vibayes.inference.inference import Inference
from vibayes.inference.loop import FitLoop
from vibayes.model.core import Model
from vibayes.objectives.kernels import Kernel, rbf
from vibayes.objectives.stein import KSD

__all__ = ["SVGD"]


class SVGD(Inference):
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
    kernel : Kernel, callable or str, default rbf
        As for :class:`vibayes.objectives.stein.KSD`.
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

    def __init__(
        self,
        n_particles: int = 100,
        jitter: float = 1.0,
        *,
        model: Model | None = None,
        start: Mapping[str, Any] | None = None,
        start_sigma: Mapping[str, Any] | None = None,
        random_seed: Any = None,
        kernel: Kernel | Callable[..., Any] | str = rbf,
        temperature: float = 1.0,
    ) -> None:
        approx = Empirical(
            size=n_particles,
            jitter=jitter,
            model=model,
            start=start,
            start_sigma=start_sigma,
            random_seed=random_seed,
        )
        super().__init__(KSD(approx, kernel, temperature))

    def _start(self, options: dict[str, Any], mode: Any) -> FitLoop:
        check_particles(self.approx, options["more_replacements"])
        return super()._start(options, mode)


def check_particles(approx: Approximation, swap: Mapping[Variable, Variable]) -> None:
    """Raise if the log density is finite at none of the particles: they could not move."""
    model = approx.model
    key = ("logp of particles", approx.key, tuple(swap.items()), pytensor.config.floatX)
    if key not in model._cache:
        (logp,) = graph_replace([model.logp()], dict(swap), strict=False)
        particles = approx.histogram.type("particles")
        z = split_draws(approx.layout, particles, particles.shape[0])
        (logp,) = vectorize_graph([logp], z)
        model._cache[key] = pytensor.function([particles], logp, mode=EVALUATE_MODE)
    histogram = approx.histogram.get_value(borrow=True)
    if np.isfinite(model._cache[key](histogram)).any():
        return
    point = approx.layout.point(histogram[0])
    logps = model.point_logps(point, round_vals=None)
    bad = ", ".join(f"{name}: {value}" for name, value in logps.items() if not np.isfinite(value))
    raise SamplingError(
        "The log density is not finite at any particle, so that none can move. At the first of "
        f"them it is, for {bad or 'the model with its replacements'}. Check those variables' "
        "parameters and data, or start elsewhere: start=, jitter=."
    )
