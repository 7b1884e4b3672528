"""What PyMC's approximations have beside: other names, values by variable, draws by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments, check_whole
from vibayes.families.raveling import Raveling
from vibayes.posterior.draws import draw_values
from vibayes.posterior.nodes import PosteriorNodes

if TYPE_CHECKING:
    import xarray

__all__ = ["PyMCNodes"]

ELSEWHERE = {
    "get_optimization_replacements": "more_replacements= of fit, and model.whole_data_replacements",
    "make_size_and_deterministic_replacements": "set_size_and_deterministic(node, size, "
    "deterministic), which gives the expressions that these replacements would make",
    "input": "inputs, a flat vector for each group",
    "replacements": "rslice(name), the variables at the common draw",
    "rng": "random_seed= when it is made, and of sample",
    "state": "shared_params",
    "summary": "print(approx), and diagnose()",
    "batched": "groups with local=True",
    "rowwise": "groups with local=True",
}
"""What to use instead of a name that makes no sense here."""


class PyMCNodes(PosteriorNodes):
    """A joint distribution of groups, under the names that PyMC has for its parts."""

    def __getattr__(self, name: str) -> Any:
        if name in ELSEWHERE:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}; use {ELSEWHERE[name]}"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # -- log densities ------------------------------------------------------------------------

    @property
    def varlogp_norm(self) -> TensorVariable:
        """``varlogp`` divided by ``symbolic_normalizing_constant``."""
        return self.varlogp / self.symbolic_normalizing_constant

    @property
    def datalogp_norm(self) -> TensorVariable:
        """``datalogp`` divided by ``symbolic_normalizing_constant``."""
        return self.datalogp / self.symbolic_normalizing_constant

    @property
    def single_symbolic_logp(self) -> TensorVariable:
        """Another name of ``logp``."""
        return self.logp

    @property
    def single_symbolic_varlogp(self) -> TensorVariable:
        """Another name of ``varlogp``."""
        return self.varlogp

    @property
    def single_symbolic_datalogp(self) -> TensorVariable:
        """Another name of ``datalogp``."""
        return self.datalogp

    @property
    def symbolic_logq(self) -> TensorVariable:
        """``logq`` with an axis for the draw."""
        return self.logq[None]

    @property
    def sized_symbolic_logp(self) -> TensorVariable:
        """``logp`` with an axis for the draw."""
        return self.logp[None]

    @property
    def sized_symbolic_varlogp(self) -> TensorVariable:
        """``varlogp`` with an axis for the draw."""
        return self.varlogp[None]

    @property
    def sized_symbolic_datalogp(self) -> TensorVariable:
        """``datalogp`` with an axis for the draw."""
        return self.datalogp[None]

    # -- expressions --------------------------------------------------------------------------

    def symbolic_single_sample(
        self, node: Any, more_replacements: Mapping[Variable, Any] | None = None
    ) -> Any:
        """Return expressions at one draw: another name of ``apply_replacements``."""
        return self.apply_replacements(node, False, more_replacements)

    def symbolic_sample_over_posterior(
        self, node: Any, more_replacements: Mapping[Variable, Any] | None = None
    ) -> Any:
        """Return expressions at one draw, with an axis for it."""
        return self.sample_node(node, 1, False, more_replacements)

    def collect(self, item: str) -> list[Any]:
        """Return an attribute of each group."""
        return [getattr(group, item) for group in self.groups]

    # -- values by variable -------------------------------------------------------------------

    @property
    def ordering(self) -> dict[str, tuple[str, slice, tuple[int, ...], str]]:
        """Name, place, shape and dtype of each value variable in the flat vector of its group."""
        return {k: v for group in self.groups for k, v in Raveling(group.layout).ordering.items()}

    @property
    def bij(self) -> Raveling:
        """Between points and flat vectors, of an approximation of one group."""
        if len(self.groups) != 1:
            raise NotImplementedError(
                "there are several groups, each with a layout: see approx.groups"
            )
        return Raveling(self.groups[0].layout)

    def moment_data(self, name: str) -> xarray.Dataset:
        """Return ``mean`` or ``std`` by value variable."""
        from vibayes.posterior.arviz import dataset

        values: dict[str, np.ndarray] = {}
        for group in self.groups:
            flat = group.moment(name).eval(mode="FAST_COMPILE")
            values |= group.layout.point(flat)
        return dataset(self.model, values)

    @property
    def mean_data(self) -> xarray.Dataset:
        """Mean of each value variable, unconstrained."""
        return self.moment_data("mean")

    @property
    def std_data(self) -> xarray.Dataset:
        """Standard deviation of each value variable, unconstrained."""
        return self.moment_data("std")

    # -- particles ----------------------------------------------------------------------------

    @property
    def any_histograms(self) -> bool:
        """Whether a group is made of particles."""
        return any(group.is_particles for group in self.groups)

    @property
    def all_histograms(self) -> bool:
        """Whether all groups are made of particles."""
        return all(group.is_particles for group in self.groups)

    @property
    def joint_histogram(self) -> TensorVariable:
        """The particles of all groups side by side, one a row."""
        if not self.all_histograms:
            raise NotImplementedError("not all groups are made of particles")
        return pt.concatenate([g.params_dict["histogram"] for g in self.groups], axis=-1)

    # -- draws --------------------------------------------------------------------------------

    @property
    def sample_dict_fn(self) -> Callable[..., dict[str, np.ndarray]]:
        """Function of a number of draws and a seed: arrays of draws by name, transformed ones too.

        Examples
        --------
        >>> import vibayes as vb
        >>> with vb.Model():
        ...     x = vb.HalfNormal("x")
        ...     approx = vb.MeanField()
        >>> {name: v.shape for name, v in approx.sample_dict_fn(10, random_seed=1).items()}
        {'x': (10,), 'x_log__': (10,)}
        """

        @check_arguments
        def draws_by_name(draws: int = 100, random_seed: Any = None) -> dict[str, np.ndarray]:
            draws = check_whole(draws, "draws", least=1)
            return draw_values(self, draws, random_seed, include_transformed=True)

        return draws_by_name
