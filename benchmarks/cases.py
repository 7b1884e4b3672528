"""The cases, in the order in which they run; for the standard library alone, like the runner.

To add one, add a :class:`Case` here and a function of the same name to the worker of each of its
libraries.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CASES", "Case"]

ALL = ("vibayes", "pymc", "numpyro")


@dataclass(frozen=True)
class Case:
    """Something to measure.

    Attributes
    ----------
    name
        Name, on the command line and of the function in the workers.
    measures
        What the figure is.
    unit
        ``"s"`` for seconds, or ``""`` for a pure number.
    libraries
        Those that have it.
    start
        For a time that the runner takes around a process that does ``start``, how that process
        finds its compilation cache: ``"cold"`` (empty) or ``"warm"`` (left by an equal process).
    """

    name: str
    measures: str
    unit: str = "s"
    libraries: tuple[str, ...] = ALL
    start: str | None = None


CASES = [
    Case("gamma_step", "a step of ADVI, Gamma likelihood of 200 values, 2 parameters"),
    Case("mixture_step", "a step of ADVI, a mixture of two normals, 1 parameter and no data"),
    Case("logistic_step", "a step of ADVI, logistic regression, 5,000 rows, 21 parameters"),
    Case("radon_step", "a step of ADVI, 900 measurements in 85 counties, 175 parameters"),
    Case("poisson_step", "a step of ADVI, Poisson regression, 10,000 rows, 11 parameters"),
    Case("digits_step", "a step of ADVI on 128 of 1,797 images, a network 784-32-10"),
    Case("lkj_step", "a step of ADVI, 500 draws of a normal with a 5 x 5 covariance, LKJ prior"),
    Case("gamma_step_10mc", "a step as in gamma_step, with 10 Monte Carlo draws"),
    Case(
        "svgd_step",
        "a step of SVGD, 1,000 particles, the mixture of two normals",
        libraries=("vibayes", "pymc"),
    ),
    Case(
        "iris",
        "500 steps of SVGD with a Tracker at each, 500 particles, multinomial regression on iris",
        libraries=("vibayes", "pymc"),
    ),
    Case(
        "minibatch_step",
        "a step of ADVI on 500 of 40,000 rows of 100 columns, 200 parameters",
        libraries=("vibayes", "pymc"),
    ),
    Case(
        "full_rank",
        "a full-rank step over a mean-field step, a normal with 50 dimensions",
        unit="",
        libraries=("vibayes",),
    ),
    Case("refit", "a whole fit of 10,000 steps of a model that this process has fitted before"),
    Case(
        "convergence_check",
        "a fit of 100,000 steps with CheckParametersConvergence, over the same without",
        unit="",
        libraries=("vibayes",),
    ),
    Case("start_cold", "process start to 1,000 draws of a fit, nothing cached", start="cold"),
    Case("start_warm", "the same on the second start", start="warm"),
]
