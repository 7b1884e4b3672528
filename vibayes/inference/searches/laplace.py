"""The normal of the curvature at a mode."""

from __future__ import annotations

from vibayes.approximations.base import Approximation
from vibayes.approximations.full_rank import FullRank
from vibayes.inference.searches.method import SearchMethod
from vibayes.inference.searches.run import SearchRun
from vibayes.records.ending import Ending
from vibayes.search.normals import from_curvature
from vibayes.search.paths import searched

__all__ = ["LaplaceVI"]


class LaplaceVI(SearchMethod):
    """The normal of the curvature at the best mode.

    Parameters
    ----------
    model : Model, optional
        The model; by default the one of the ``with`` block.
    random_seed : int, optional
        Seed of everything random in the fit.
    start : dict, optional
        Where to start, by variable name.

    References
    ----------
    Tierney and Kadane (1986), Accurate approximations for posterior moments and marginal
    densities, JASA 81(393).

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Gamma("x", 50, 1)
    ...     approx = vb.fit(method="laplace", random_seed=1)
    >>> float(approx.mean.eval()[0])  # the mode of the logarithm: log 50
    3.912...
    """

    short_name = "laplace"

    def _search(self, run: SearchRun) -> Approximation:
        target = run.target()
        best = max(searched(target, run.rng, run.budget), key=lambda path: path.logp)
        run.show(target, [best])
        approx = run.of_normal(FullRank, from_curvature(best.z, best.curvature))
        reason = "the search came to a mode" if best.converged else "no mode was found"
        approx.ending = Ending(best.converged, run.budget.exhausted or reason)
        return approx
