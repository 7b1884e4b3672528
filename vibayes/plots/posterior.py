"""Drawing a posterior by ArviZ, by one call for each of its generations."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from vibayes.approximations.base import Approximation
from vibayes.arguments import check_arguments, listed_names
from vibayes.posterior.generation import arviz_generation
from vibayes.predictive.trace import posterior_of

__all__ = ["plot_posterior"]


@check_arguments
def plot_posterior(
    data: Any,
    var_names: str | Collection[str] | None = None,
    color: str | None = None,
    **kwargs: Any,
) -> Any:
    """Draw the marginal densities of a posterior, by ArviZ.

    Parameters
    ----------
    data : Approximation, arviz.InferenceData, xarray.DataTree or xarray.Dataset
        Draws of the posterior; or an approximation, of which 1,000 are taken.
    var_names
        Names of what to draw; by default all variables.
    color
        Color of the densities.
    **kwargs
        Further arguments of what draws: ``az.plot_posterior`` of ArviZ 0.x, ``az.plot_dist`` of
        1.x, such as ``stats={"dist": {"circular": True}}`` for angles.

    Returns
    -------
    matplotlib.axes.Axes, numpy.ndarray of them, or arviz_plots.PlotCollection
        What ArviZ returns.

    Raises
    ------
    TypeError
        If ``data`` are no draws.
    """
    import arviz

    if var_names is not None:
        var_names = listed_names(var_names, "plot_posterior: var_names")
    trace = data.sample(1000) if isinstance(data, Approximation) else data
    posterior_of(trace, name="plot_posterior: data")
    if arviz_generation() == 0:
        options = kwargs if color is None else {"color": color, **kwargs}
        return arviz.plot_posterior(trace, var_names=var_names, **options)
    if color is not None:
        visuals = dict(kwargs.pop("visuals", {}))
        visuals["dist"] = {"color": color, **visuals.get("dist", {})}
        kwargs = {**kwargs, "visuals": visuals}
    return arviz.plot_dist(trace, var_names=var_names, **kwargs)
