"""Empirical: particles, each as likely as any other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace, vectorize_graph
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_real, check_whole
from vibayes.backend.modes import evaluate
from vibayes.backend.seeds import as_seed_sequence, new_generator
from vibayes.distributions.shapes import same_shape
from vibayes.exceptions import ShapeError
from vibayes.families.base import (
    Group,
)
from vibayes.model.core import Model
from vibayes.records.stacked import sample_dims_in, stacked_draws

__all__ = ["EmpiricalGroup"]


class EmpiricalGroup(Group):
    r"""Particles in the unconstrained space, drawn with replacement.

    .. math:: q = \frac{1}{n} \sum_{i=1}^n \delta_{h_i}

    It has draws, but no density.

    Parameters
    ----------
    group : sequence of TensorVariable, optional
        Free random variables; by default those of the model that no other group of the
        approximation has.
    vfam : str, optional
        Name of the family; a class of its own needs none.
    params : dict, optional
        Parameters by name, as numbers or as expressions, in the place of the group's own.
    random_seed : int, optional
        Seed of everything random in the fit.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    options : dict, optional
        Further arguments of the family.
    start : dict, optional
        Where to start, by variable name.
    trace : arviz.InferenceData, xarray.DataTree or xarray.Dataset, optional
        Draws that become the particles.
    size : int, optional
        Number of particles, instead of ``trace``.
    jitter : float, default 1
        Standard deviation, in the unconstrained space, of ``size`` particles about the start.
    """

    short_name: ClassVar[str] = "empirical"
    param_names: ClassVar[frozenset[str]] = frozenset({"histogram"})
    derived_names: ClassVar[frozenset[str]] = frozenset({"_jitter", "_size", "_trace"})
    has_logq: ClassVar[bool] = False
    is_particles: ClassVar[bool] = True
    several_modes: ClassVar[bool] = True

    def __init__(
        self,
        group: Sequence[TensorVariable] | None = None,
        vfam: str | None = None,
        params: Mapping[str, Any] | None = None,
        random_seed: Any = None,
        model: Model | None = None,
        options: Mapping[str, Any] | None = None,
        local: bool = False,
        *,
        trace: Any = None,
        size: int | None = None,
        jitter: float = 1.0,
        start: Mapping[str, Any] | None = None,
        start_sigma: Mapping[str, Any] | None = None,
    ) -> None:
        given = {"trace": trace, "size": size, "jitter": jitter} | dict(options or {})
        self._trace, self._size, self._jitter = (given.pop(k) for k in ("trace", "size", "jitter"))
        if params is None:
            self._check_source()
        super().__init__(
            group,
            vfam,
            params,
            random_seed,
            model,
            given,
            local,
            start=start,
            start_sigma=start_sigma,
        )

    def _check_source(self) -> None:
        """Raise unless it is clear where the particles come from."""
        if (self._trace is None) == (self._size is None):
            raise ValueError(
                "Empirical: give either trace (draws to take over) or size (number of particles)"
            )
        if self._size is not None:
            self._size = check_whole(self._size, "Empirical: size", 1)
        self._jitter = check_real(self._jitter, "Empirical: jitter", least=0)

    def param_shapes(self) -> dict[str, tuple[int | None, ...]]:
        return {"histogram": (None, self.ddim)}

    def initial_params(self, start: np.ndarray, sigma: np.ndarray | None) -> dict[str, np.ndarray]:
        if self._trace is not None:
            values = unconstrained_values(self.model, self.variables, draws_in(self._trace))
            self._trace = None  # what was taken over need not be kept twice
            names = [slot.name for slot in self.layout.slots]
            flat = [values[name].reshape(len(values[name]), -1) for name in names]
            return {"histogram": np.concatenate(flat, axis=1)}
        spread = np.full_like(start, self._jitter)
        if sigma is not None:
            spread = np.where(np.isnan(sigma), spread, sigma)
        rng = new_generator(as_seed_sequence(self.random_seed))
        return {"histogram": start + spread * rng.standard_normal((self._size, self.ddim))}

    @classmethod
    def saved_options(
        cls, options: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, Any]:
        return {**options, "size": shapes["histogram"][0]}

    @property
    def histogram(self) -> TensorVariable:
        """The particles, one a row."""
        return self.params_dict["histogram"]

    def param_elements(self, name: str) -> list[str]:
        n = self.shared_params[name].type.shape[0]
        columns = [self.layout.element(c) for c in range(self.ddim)]
        return [f"{column} of particle {i}" for i in range(n) for column in columns]

    def draw(
        self, rng: Variable, size: Any = None, deterministic: Any = False
    ) -> tuple[Variable, TensorVariable, TensorVariable]:
        n = self.histogram.shape[0]
        next_rng, rows = pt.random.integers(0, n, size=size, rng=rng).owner.outputs
        flat = self.histogram[rows]
        if deterministic is True:
            flat = pt.broadcast_to(self.mean, flat.shape)
        elif deterministic is not False:
            flat = pt.switch(deterministic, self.mean, flat)
        return next_rng, rows, flat

    def log_density(self, noise: TensorVariable, z: TensorVariable) -> NoReturn:
        raise NotImplementedError(
            f"The particles of {', '.join(rv.name for rv in self.variables)} have no density log q"
            ": an objective that needs one, as KL does, cannot fit an empirical approximation. "
            "SVGD can."
        )

    @property
    def mean(self) -> TensorVariable:
        return self.histogram.mean(axis=0)

    @property
    def std(self) -> TensorVariable:
        return self.histogram.std(axis=0)

    @property
    def cov(self) -> TensorVariable:
        centred = self.histogram - self.mean
        return pt.dot(centred.T, centred) / self.histogram.shape[0]


def draws_in(trace: Any) -> dict[str, np.ndarray]:
    """Return the draws of a trace by variable name, all chains along the first axis."""
    posterior = getattr(trace, "posterior", trace)
    if isinstance(posterior, Mapping) and not hasattr(posterior, "data_vars"):
        return {str(name): np.asarray(value) for name, value in posterior.items()}
    if not hasattr(posterior, "data_vars"):
        raise TypeError(
            "trace must be ArviZ results with a posterior, or a dict of arrays by variable name, "
            f"got {type(trace).__name__}"
        )
    return {
        str(name): stacked_draws(array)
        for name, array in posterior.data_vars.items()
        if sample_dims_in(array)
    }


def unconstrained_values(
    model: Model, variables: Sequence[TensorVariable], draws: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return draws in the unconstrained space, by the names of value variables.

    Parameters
    ----------
    model
        The model, whose transforms may depend on other variables (bounds of an interval, say).
    variables
        Free variables wanted.
    draws
        Arrays by the names of variables, or of their value variables.
    """
    values = {rv: model.rvs_to_values[rv] for rv in variables}
    ready = {rv: value.name for rv, value in values.items() if value.name in draws}
    forward = {}
    for rv in values.keys() - ready.keys():
        transform = model.rvs_to_transforms[rv]
        forward[rv] = rv if transform is None else transform.forward(rv)
    graphs = list(forward.values())
    involved = set(ancestors(graphs, blockers=model.free_RVs)) if graphs else set()
    needed = [rv for rv in model.free_RVs if rv in involved]
    absent = [rv.name for rv in variables if rv in needed and rv.name not in draws]
    absent += [rv.name for rv in needed if rv.name not in draws and rv.name not in absent]
    if absent:
        raise KeyError(
            f"the trace lacks {', '.join(map(repr, absent))}; it has "
            f"{', '.join(map(repr, draws)) or 'no variables'}"
        )
    n = common_length({name: draws[name] for name in [*ready.values(), *(r.name for r in needed)]})
    inputs = {rv: checked_draws(draws[rv.name], rv.name, rv.type.shape, n) for rv in needed}
    result = {
        name: checked_draws(draws[name], name, values[rv].type.shape, n)
        for rv, name in ready.items()
    }
    if graphs:
        result |= dict(
            zip(
                [values[rv].name for rv in forward],
                evaluate_forward(model, graphs, inputs),
                strict=True,
            )
        )
    for rv, value in values.items():
        check_support(result[value.name], rv, n)
        if result[value.name].shape[1:] != value.type.shape:
            raise ShapeError(
                f"trace: the draws of {rv.name!r} have shape {draws[rv.name].shape[1:]}, which "
                "is not that of the variable"
            )
    return result


def evaluate_forward(
    model: Model, graphs: Sequence[Variable], inputs: Mapping[TensorVariable, np.ndarray]
) -> list[np.ndarray]:
    """Return expressions of random variables at each of many draws of those."""
    data = {rv: model.rvs_to_values[rv] for rv in model.observed_RVs}
    graphs = graph_replace(list(graphs), data, strict=False) if data else list(graphs)
    stacked = {rv: pt.tensor(dtype=rv.dtype, shape=(None, *rv.type.shape)) for rv in inputs}
    with np.errstate(divide="ignore", invalid="ignore"):  # the support is checked afterwards
        return evaluate(
            vectorize_graph(graphs, stacked), {stacked[rv]: v for rv, v in inputs.items()}
        )


def common_length(draws: Mapping[str, np.ndarray]) -> int:
    """Return the number of draws, the same for all variables."""
    lengths = {name: len(value) if np.ndim(value) else 0 for name, value in draws.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeError(f"trace: the numbers of draws differ: {lengths}")
    n = next(iter(lengths.values()))
    if n == 0:
        raise ShapeError(f"trace: there are no draws of {', '.join(map(repr, lengths))}")
    return n


def checked_draws(draws: np.ndarray, name: str, shape: Sequence[int | None], n: int) -> np.ndarray:
    """Return draws as floats, their shape and values checked."""
    if draws.dtype.kind not in "biuf":
        raise TypeError(f"trace: the draws of {name!r} must be numbers, got {draws.dtype}")
    found = draws.shape[1:]
    if not same_shape(found, shape):
        raise ShapeError(
            f"trace: the draws of {name!r} have shape {found}, the variable has {tuple(shape)}"
        )
    if np.isnan(draws).any():
        bad = np.isnan(draws).reshape(n, -1).any(axis=1).sum()
        raise ValueError(f"trace: {bad} of {n} draws of {name!r} hold NaN")
    return draws.astype(pytensor.config.floatX)


def check_support(values: np.ndarray, rv: TensorVariable, n: int) -> None:
    """Raise if draws became infinite or NaN on their way to the unconstrained space."""
    bad = ~np.isfinite(values).reshape(n, -1).all(axis=1)
    if bad.any():
        raise ValueError(
            f"trace: {bad.sum()} of {n} draws of {rv.name!r} are outside of its support, or at its "
            f"very end (the first is draw {bad.argmax()})"
        )
