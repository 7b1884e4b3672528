"""A model's log density and its gradient at many flat unconstrained vectors at once.

The vectors are in model order; see :mod:`vibayes.model.flat`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace, vectorize_graph
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes import interrupts
from vibayes.backend.graphs import Work, compiled_graph, work_of
from vibayes.backend.modes import AS_IT_IS, EVALUATE_MODE, resolve_mode, safe_from_signals
from vibayes.backend.seeds import random_generators
from vibayes.distributions.base import distribution_of
from vibayes.distributions.continuous import Normal
from vibayes.model.core import Model
from vibayes.model.density import constrained_values
from vibayes.model.flat import FlatLayout
from vibayes.model.gradients import gradient_of
from vibayes.model.initial import check_point
from vibayes.model.observed import whole_shape

__all__ = ["Target", "centred_normals", "data_size", "is_deterministic", "sample_size"]

MOST_NUMBERS = 4_000_000  # of an intermediate result: 32 MB
MOST_ROWS = 256
SAMPLED_NUMBERS = 100_000
MANY_NUMBERS = 500_000
FEWEST_ROWS = 1000


class Target:
    """Log density of a model in its unconstrained space, safe to search with.

    Where the log density or its gradient is not finite, it is minus infinity and the gradient
    zero: whoever searches steps back from there.

    Parameters
    ----------
    model : Model
        The model.
    replacements : dict, optional
        What to put in the place of parts of the model's graph, minibatches above all; the whole
        data by default.
    standardized : sequence of TensorVariable
        Free normal variables x ~ N(loc, scale) in whose place the flat vector has u,
        x = loc + scale u. The posterior is the same, but where the data say little about x it is
        close to normal in these coordinates only ("non-centred", Papaspiliopoulos et al. 2007).
    start : dict, optional
        Where to start, by variable name.
    random_seed : int, optional
        Seed of starts that are drawn.

    Attributes
    ----------
    ddim : int
        Length of the flat vector.
    start : numpy.ndarray
        Where the model starts.
    is_standardized : bool
        Whether the flat vector is not the model's own.
    evaluations : int
        Number of vectors at which the log density was evaluated.
    work : Work
        How many operations an evaluation takes, however many vectors it is of, and how many
        numbers they make for each vector.
    """

    def __init__(
        self,
        model: Model,
        replacements: Mapping[Variable, Variable] | None = None,
        standardized: Sequence[TensorVariable] = (),
        start: Mapping[str, Any] | None = None,
        random_seed: Any = None,
    ) -> None:
        layout = FlatLayout(model.value_vars)
        self.ddim = layout.size
        self._point = model.initial_point(random_seed, dict(start or {}))
        self.start = layout.join(self._point).astype("float64")
        for rv, slot in zip(model.free_RVs, layout.slots, strict=True):
            if rv in standardized:  # at the centre of the prior
                self.start[slot.start : slot.stop] = 0.0
        self.evaluations = 0
        self._functions = compiled(model, layout, replacements, tuple(standardized))
        self.work: Work = self._functions["work"]
        self.model = model
        self.is_standardized = bool(standardized)
        self._rows = rows_at_once(model, self.ddim)

    def __call__(self, Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the log density (n,) and its gradient (n, d) at the rows of a matrix."""
        parts = self._in_parts("logp and gradient", Z)
        logp, gradient = (np.concatenate(part) for part in zip(*parts, strict=True))
        logp, gradient = logp.astype("float64"), gradient.astype("float64")
        bad = ~(np.isfinite(logp) & np.isfinite(gradient).all(axis=1))
        return np.where(bad, -np.inf, logp), np.where(bad[:, None], 0.0, gradient)

    def logp(self, Z: np.ndarray) -> np.ndarray:
        """Return the log density (n,) alone, which takes a fraction of the time."""
        parts = self._in_parts("logp", Z)
        logp = np.concatenate([part for (part,) in parts]).astype("float64")
        return np.where(np.isfinite(logp), logp, -np.inf)

    def check_start(self) -> None:
        """Raise if the log density is not finite where the model starts, saying why.

        Raises
        ------
        SamplingError
            Names the variables, with their values.
        """
        if not np.isfinite(self(self.start[None])[0][0]):
            check_point(self.model, self._point)

    def unstandardized(self, Z: np.ndarray) -> np.ndarray:
        """Return the model's own flat vectors (n, d)."""
        if not self.is_standardized:
            return Z
        parts = self._in_parts("values", Z)
        return np.concatenate([part for (part,) in parts]).astype("float64")

    def _in_parts(self, name: str, Z: np.ndarray) -> list[list[np.ndarray]]:
        Z = np.ascontiguousarray(Z, dtype=pytensor.config.floatX)
        self.evaluations += len(Z)
        function, results = self._functions[name], []
        with np.errstate(all="ignore"):
            for at in range(0, len(Z), self._rows):
                interrupts.check()
                results.append(function(Z[at : at + self._rows]))
        return results


def compiled(
    model: Model,
    layout: FlatLayout,
    replacements: Mapping[Variable, Variable] | None,
    standardized: tuple[TensorVariable, ...],
) -> dict[str, Any]:
    """Return functions of a stack of flat vectors; those of the whole data are kept."""
    if replacements is not None:
        return functions(model, layout, replacements, standardized, many=False)

    def of_whole_data() -> dict[str, Any]:
        many = data_size(model) > MANY_NUMBERS
        return functions(model, layout, model.whole_data_replacements(), standardized, many)

    return model.compiled(("target", standardized), of_whole_data)


def functions(
    model: Model,
    layout: FlatLayout,
    replacements: Mapping[Variable, Variable],
    standardized: tuple[TensorVariable, ...],
    many: bool,
) -> dict[str, Any]:
    """Return functions of a stack of flat vectors.

    Of many data, NumPy's passes over them outweigh a compilation.
    """
    flat = pt.vector("flat", dtype=pytensor.config.floatX, shape=(layout.size,))
    values, jacobian = values_of(model, layout, flat, standardized)
    graph = graph_replace([model.logp()], replacements, strict=False)
    (logp,) = graph_replace(graph, values, strict=False)
    logp = logp + jacobian
    gradient = gradient_of(logp, flat, model)
    if many:
        result = {
            name: each_row(compiled_vector_function(flat, outputs))
            for name, outputs in {"logp and gradient": [logp, gradient], "logp": [logp]}.items()
        }
        result["work"] = work_of([logp, gradient])
    else:
        both = over_a_stack([logp, gradient], flat, layout.size)
        work = work_of(compiled_graph(both)[1])
        result = {
            "logp and gradient": both,
            "logp": first_output(both),
            "work": work,
        }
    if standardized:
        own = pt.concatenate([values[v].ravel() for v in layout.value_vars])
        result["values"] = over_a_stack([own], flat, layout.size)
    return result


def over_a_stack(graphs: Sequence[Variable], flat: TensorVariable, size: int) -> Any:
    """Return a function of the rows of a matrix, in the place of a flat vector."""
    stack = pt.matrix("stack", dtype=flat.dtype, shape=(None, size))
    outputs = vectorize_graph(list(graphs), {flat: stack})
    return pytensor.function(
        [stack], outputs, mode=EVALUATE_MODE, trust_input=True, on_unused_input="ignore"
    )


def compiled_vector_function(flat: TensorVariable, outputs: Sequence[Variable]) -> Any:
    """Return a function of a flat vector in machine code."""
    mode = resolve_mode()
    with interrupts.interruptible():
        function = pytensor.function([flat], outputs, mode=mode)
    return safe_from_signals(function, mode)


def each_row(function: Any) -> Any:
    """Return a function of the rows of a matrix that calls one of a vector for each."""

    def stacked(Z: np.ndarray) -> list[np.ndarray]:
        results = []
        for row in Z:
            interrupts.check()
            results.append(function(row))
        return [np.array(parts) for parts in zip(*results, strict=True)]

    return stacked


def first_output(function: Any) -> Any:
    """Return a function of the first output alone, without rewriting the graph once more."""
    inputs, outputs = compiled_graph(function)  # of the stack, and of shared variables
    return pytensor.function(inputs[:1], outputs[:1], mode=AS_IT_IS, trust_input=True)


def values_of(
    model: Model,
    layout: FlatLayout,
    flat: TensorVariable,
    standardized: Sequence[TensorVariable],
) -> tuple[dict[TensorVariable, TensorVariable], Any]:
    """Return the value variables in terms of the flat vector, and the log Jacobian of that."""
    values, jacobian = layout.split(flat), 0.0
    own = constrained_values(model) if standardized else {}
    for rv in standardized:  # in the order of their making: a scale may be standardized itself
        dist, value = cast(Normal, distribution_of(rv)), model.rvs_to_values[rv]
        parameters = [pt.as_tensor_variable(p) for p in (dist.mu, dist.sigma)]
        parameters = graph_replace(parameters, own, strict=False)
        loc, scale = graph_replace(parameters, values, strict=False)
        jacobian = jacobian + pt.broadcast_to(pt.log(scale), value.type.shape).sum()
        values = values | {value: loc + scale * values[value]}
    return values, jacobian


def is_deterministic(model: Model) -> bool:
    """Tell whether the log density is the same at each evaluation, given the whole data."""
    data = {} if model.has_streams else model.whole_data_replacements()
    return not random_generators(graph_replace([model.logp()], data, strict=False))


def centred_normals(model: Model) -> tuple[TensorVariable, ...]:
    """Return the normal variables whose scale depends on other free variables."""
    free = set(model.free_RVs)
    centred = []
    for rv in model.free_RVs:
        dist = distribution_of(rv)
        if type(dist) is Normal and model.rvs_to_transforms[rv] is None:
            if free.intersection(ancestors([pt.as_tensor_variable(cast(Normal, dist).sigma)])):
                centred.append(rv)
    return tuple(centred)


def sample_size(model: Model, numbers: int = SAMPLED_NUMBERS) -> int | None:
    """Return of how many rows a sample of the data is large enough to search on.

    None if the whole data are in memory, and not minibatches or not much more than a sample.
    """
    lengths = [max(m.whole_shape) for m in model.minibatches]
    size = data_size(model)
    if not lengths or (size < 2 * numbers and not model.has_streams):
        return None
    return min(max(FEWEST_ROWS, int(max(lengths) * numbers / size)), max(lengths))


def rows_at_once(model: Model, ddim: int) -> int:
    """Return how many vectors to evaluate at once, so that intermediate results stay small."""
    return int(np.clip(MOST_NUMBERS // max(ddim, data_size(model), 1), 1, MOST_ROWS))


def data_size(model: Model) -> int:
    """Return the number of observed values, with the whole data in the place of minibatches."""
    shapes = [whole_shape(model.rvs_to_values[rv]) for rv in model.observed_RVs]
    return sum(int(np.prod([length or 1 for length in shape])) for shape in shapes)
