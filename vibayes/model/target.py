"""A model's log density and its gradient at many flat unconstrained vectors at once.

The vectors are in model order; see :mod:`vibayes.model.flat`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
import pytensor
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace

from vibayes import interrupts
from vibayes.backend.evaluation import devices_of_densities
from vibayes.backend.graphs import Work
from vibayes.backend.jax import JaxDevices, is_local, number_of_processes
from vibayes.backend.seeds import random_generators
from vibayes.exceptions import ModelError
from vibayes.model.by_rows import RowModel, check_goes_by_rows, row_model
from vibayes.model.cluster import ClusterSums
from vibayes.model.coordinates import Coordinates
from vibayes.model.core import Model
from vibayes.model.data_size import data_size, has_many_data, rows_at_once
from vibayes.model.flat import FlatLayout
from vibayes.model.initial import check_point
from vibayes.model.observed import observed_shapes
from vibayes.model.passes import HERE, LocalSums, Sums, computing_now
from vibayes.model.target_functions import (
    DENSITIES,
    Functions,
    RowFunctions,
    compiled,
    compiled_by_rows,
)
from vibayes.model.turns import turns_of
from vibayes.streaming.partitions import Rows

__all__ = ["Target", "check_in_parts", "goes_by_rows", "is_deterministic", "is_sum_over_rows"]

MOST_VECTORS = 1024  # of a pass over data that go by rows
SMALL_PART = 4  # of so many parts of the data: a sample that is worth its while
# seconds, about: of NumPy for an operation, for a number that it makes, and for one of a special
# function; and of a compilation
PER_OPERATION, PER_NUMBER, PER_SPECIAL = 4e-6, 1e-9, 12e-9
COMPILATION, COMPILATION_PER_OPERATION, COMPILATION_ON_MATRICES = 0.5, 0.022, 1.0
LITTLE, A_CALL = 1_000_000, 1000  # values up to which all that does not matter
STACK = 128  # vectors of most calls
LEAST, LEAST_EACH, LEAST_OF_SEARCH = 4000, 200, 20_000  # gradients: of any, each dimension, at most


class Target:
    """Log density of a model in its unconstrained space, safe to search with.

    Where the log density or its gradient is not finite, it is minus infinity and the gradient
    zero: whoever searches steps back from there. NumPy evaluates it, or JAX if the fit was asked
    to run on that: see :mod:`vibayes.backend.evaluation`.

    Parameters
    ----------
    model : Model
        The model.
    replacements : dict, optional
        What to put in the place of parts of the model's graph, minibatches above all; the whole
        data by default.
    coordinates : Coordinates, optional
        Variables in whose place the flat vector has the standard ones of which they are made. The
        posterior is the same, but that of a hierarchy is close to normal in the right coordinates
        only. By default the flat vector is the model's own.
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
    coordinates : Coordinates, optional
        See the parameter.
    standardized_places : numpy.ndarray
        Where in the flat vector there are standard variables, (d,) of bool.
    evaluations : int
        Number of vectors at which the log density was evaluated.
    work : Work
        How many operations an evaluation takes, however many vectors it is of, and how many
        numbers they make for each vector.

    Notes
    -----
    Of angles, one turn counts: see :mod:`vibayes.model.turns`.

    Of many data, and of those that are not in memory, the log density is that of the prior plus
    sums over rows: see :func:`goes_by_rows`. An evaluation of however many vectors is a pass over
    the data then.
    """

    def __init__(
        self,
        model: Model,
        replacements: Mapping[Variable, Variable] | None = None,
        coordinates: Coordinates | None = None,
        start: Mapping[str, Any] | None = None,
        random_seed: Any = None,
    ) -> None:
        layout = FlatLayout(model.value_vars)
        self.ddim = layout.size
        self.coordinates = coordinates
        self.standardized_places = np.zeros(layout.size, dtype=bool)
        self._point = model.initial_point(random_seed, dict(start or {}))
        self.start = layout.join(self._point).astype("float64")
        variables = () if coordinates is None else coordinates.variables
        self._layout, self._is_of_model = layout, replacements is None
        self._sums: Sums | None = None
        self._is_sample, self._weight = False, 1.0
        for rv, slot in zip(model.free_RVs, layout.slots, strict=True):
            self.standardized_places[slot.start : slot.stop] = rv in variables
        self.start[self.standardized_places] = 0.0  # at the centre
        self._turns = turns_of(model, layout, self.start)
        self.evaluations = 0
        self._asked: dict[str, int] = dict.fromkeys(DENSITIES, 0)  # values of vectors and data
        self._spent: dict[str, float] = dict.fromkeys(DENSITIES, 0.0)  # seconds in NumPy, about
        self._expected = min(LEAST + LEAST_EACH * layout.size, LEAST_OF_SEARCH)  # gradients
        self._functions: Functions | RowFunctions
        if replacements is None and goes_by_rows(model):
            rows = check_goes_by_rows(model, "a pass over the data")
            self._functions = compiled_by_rows(rows, layout, variables)
            self._sums = row_sums(rows)
        else:
            self._functions = compiled(model, layout, replacements, variables)
        self._facts = () if coordinates is None else (coordinates.flat(),)
        self.model = model
        self._rows = rows_at_once(model, self.ddim)
        self._size = max(self.ddim, data_size(model))
        devices = check_in_parts(model, devices_of_densities())
        if devices is not None:
            self._rows = devices.agreed(self._rows)

    def __call__(self, Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the log density (n,) and its gradient (n, d) at the rows of a matrix."""
        parts = self._in_parts("logp and gradient", Z)
        logp, gradient = (np.concatenate(part) for part in zip(*parts, strict=True))
        logp, gradient = logp.astype("float64"), gradient.astype("float64")
        if self._turns is not None:
            log_shares, slopes = self._turns.log_shares(Z)
            logp += log_shares
            gradient[:, self._turns.places] += slopes
        bad = ~(np.isfinite(logp) & np.isfinite(gradient).all(axis=1))
        return np.where(bad, -np.inf, logp), np.where(bad[:, None], 0.0, gradient)

    def logp(self, Z: np.ndarray) -> np.ndarray:
        """Return the log density (n,) alone, which takes a fraction of the time."""
        parts = self._in_parts("logp", Z)
        logp = np.concatenate([part for (part,) in parts]).astype("float64")
        if self._turns is not None:
            logp += self._turns.log_shares(Z)[0]
        return np.where(np.isfinite(logp), logp, -np.inf)

    def expect(self, count: int) -> None:
        """Take note that so many gradients are to come, at large stacks of vectors.

        They are compiled before the first one, if NumPy would take longer for all of them.
        """
        self._expected = max(self._expected, count)

    def turn_to(self, Z: np.ndarray) -> None:
        """Let angles be on the turn about their mean direction at flat vectors (n, d) hereafter."""
        if self._turns is not None:
            self._turns = self._turns.about(Z)
            self.start = self.on_turn(self.start[None])[0]

    def on_turn(self, Z: np.ndarray) -> np.ndarray:
        """Return flat vectors (n, d), each angle being on the turn that counts."""
        return Z if self._turns is None else self._turns.wrapped(Z)

    def is_on_turn(self, Z: np.ndarray) -> np.ndarray:
        """Tell of flat vectors (n, d) whether no angle is on another turn, (n,)."""
        return np.ones(len(Z), dtype=bool) if self._turns is None else self._turns.holds(Z)

    @property
    def has_angles(self) -> bool:
        """Whether there are variables on the circle."""
        return self._turns is not None

    @property
    def by_rows(self) -> bool:
        """Whether an evaluation is a pass over the data, a partition after the other."""
        return self._sums is not None and not self._is_sample

    @property
    def passes(self) -> int:
        """How often all data were gone through, if they go by rows."""
        return 0 if self._sums is None else self._sums.passes

    def can_be_sampled(self, count: int) -> bool:
        """Tell whether so many rows are a small part of all, and can stand for these."""
        if self.by_rows:
            return True
        if self._is_sample or not self._is_of_model or devices_of_densities() is not None:
            return False
        return data_size(self.model) >= SMALL_PART * count and is_sum_over_rows(self.model)

    def on_sample(self, count: int, rng: np.random.Generator) -> Target:
        """Return the target on a sample of rows, each of which counts for several.

        Parameters
        ----------
        count
            How many rows; all, if there are fewer.
        rng
            Chooses them.
        """
        rows = check_goes_by_rows(self.model, "a sample of rows")
        sample = rows.rows().sample(count, rng)
        variables = () if self.coordinates is None else self.coordinates.variables
        other = copy(self)
        other.start, other.evaluations = self.start.copy(), 0
        other.__dict__.pop("work", None)
        other._functions = compiled_by_rows(rows, self._layout, variables)
        other._sums = LocalSums(Rows(sample, len(sample[0])))
        other._is_sample, other._weight = True, rows.length / len(sample[0])
        other._asked, other._spent = dict.fromkeys(DENSITIES, 0), dict.fromkeys(DENSITIES, 0.0)
        return other

    def check_start(self) -> None:
        """Raise if the log density is not finite where the model starts, saying why.

        Raises
        ------
        SamplingError
            Names the variables, with their values.
        """
        if not np.isfinite(self(self.start[None])[0][0]):
            check_point(self.model, self._point)

    @cached_property
    def work(self) -> Work:
        """What an evaluation takes in NumPy, whatever evaluates it: searches depend on it."""
        work = self._functions.work
        return work._replace(numbers=int(work.numbers / self._weight))

    @property
    def is_standardized(self) -> bool:
        """Whether the flat vector is not the model's own."""
        return self.coordinates is not None

    def with_coordinates(self, coordinates: Coordinates) -> Target:
        """Return the same posterior in other coordinates of the same variables."""
        if self.coordinates is None or coordinates.variables != self.coordinates.variables:
            raise ValueError("these are coordinates of other variables")
        other = copy(self)
        other.start, other.evaluations = self.start.copy(), 0
        other.coordinates, other._facts = coordinates, (coordinates.flat(),)
        return other

    def forces(self, Z: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what all but its own prior does to each variable that is made of a standard one.

        Parameters
        ----------
        Z
            Flat vectors, (n, d).
        shift
            What to add to the values of these variables, which others follow that depend on them,
            (n, d).

        Returns
        -------
        gradients : numpy.ndarray
            By the values of these variables, of the log density without their own priors, (n, d);
            zero in other places.
        values : numpy.ndarray
            The model's own flat vectors, (n, d).
        """
        if self.coordinates is None:
            raise ValueError("no variables are made of standard ones")
        gradients, values = zip(*self._in_parts("forces", Z, shift), strict=True)
        return np.concatenate(gradients).astype("float64"), np.concatenate(values).astype("float64")

    def unstandardized(self, Z: np.ndarray) -> np.ndarray:
        """Return the model's own flat vectors (n, d)."""
        if not self.is_standardized:
            return Z
        parts = self._in_parts("values", Z)
        return np.concatenate([part for (part,) in parts]).astype("float64")

    def _function_for(self, name: str, stacks: Sequence[np.ndarray]) -> Any:
        """Return what evaluates something at some more vectors.

        Once NumPy has worked at a density for about as long as its compilation takes, or would
        have to in any case, that is machine code. No clock tells this, but what was evaluated:
        results depend on nothing else.
        """
        function = self._functions[name]
        if name not in DENSITIES:
            return function
        self._asked[name] += A_CALL + len(stacks[0]) * self._size
        if self._asked[name] < LITTLE:
            return function
        ahead = 0.0 if name == "logp" else self._in_numpy(self._expected / STACK, self._expected)
        if max(self._spent[name], ahead) > self._compilation:
            first = [Z[:1] for Z in stacks]
            return self._functions.in_machine_code(name, [*first, *self._facts]) or function
        self._spent[name] += self._in_numpy(1, len(stacks[0]))
        return function

    def _in_numpy(self, calls: float, vectors: int) -> float:
        """Return about how many seconds calls for some vectors take in NumPy."""
        work = self.work
        each = PER_NUMBER * work.numbers + PER_SPECIAL * work.special
        return PER_OPERATION * work.operations * calls + each * vectors

    @property
    def _compilation(self) -> float:
        """About how many seconds a compilation takes."""
        operations, _, on_matrices, _ = self.work
        each = COMPILATION_PER_OPERATION * operations
        return COMPILATION + each + COMPILATION_ON_MATRICES * on_matrices

    def _in_parts(self, name: str, *stacks: np.ndarray) -> list[list[np.ndarray]]:
        stacks = tuple(np.ascontiguousarray(Z, dtype=pytensor.config.floatX) for Z in stacks)
        count = len(stacks[0])
        self.evaluations += count
        function, results = self._function_for(name, stacks), []
        summed = self._functions.rows.get(name) if self._sums is not None else None
        most = self._rows if summed is None else MOST_VECTORS
        with np.errstate(all="ignore"):
            for at in range(0, count, most):
                interrupts.check()
                parts = [Z[at : at + most] for Z in stacks]
                found = function(*parts, *self._facts)
                if summed is not None and self._sums is not None:
                    more = self._sums(summed, parts[0], self._facts)
                    found = [a + self._weight * b for a, b in zip(found, more, strict=True)]
                results.append(found)
        return results


def goes_by_rows(model: Model) -> bool:
    """Tell whether the log density is had by passes over rows, a partition at a time.

    A fixed rule: of data that are not in memory, and of more than 500,000 observed values if
    these are independent of each other, given the parameters.
    """
    if model.has_streams:
        return True
    if not computing_now().is_asked:
        if not has_many_data(model) or devices_of_densities() is not None:
            return False
    return model.compiled(("goes by rows", observed_shapes(model)), lambda: is_sum_over_rows(model))


def is_sum_over_rows(model: Model) -> bool:
    """Tell whether the log density is a sum over rows, as far as it depends on data."""
    try:
        return row_model(model) is not None
    except ModelError:
        return False


def row_sums(rows: RowModel) -> Sums:
    """Return what goes through all rows: this process, or a cluster; one for a whole fit."""
    now = computing_now()
    if now is HERE:
        return LocalSums(rows.rows(now.keep_bytes))
    _, found = now.kept.get(id(rows), (None, None))
    if found is None:
        local = LocalSums(rows.rows(now.keep_bytes))
        found = local if now.client is None else ClusterSums(local.rows, now.client)
        now.kept[id(rows)] = rows, found
    return found


def check_in_parts(model: Model, mode: Any) -> JaxDevices | None:
    """Raise if data are a part of this process alone, and the others do not take part.

    Parameters
    ----------
    model
        The model.
    mode
        What evaluates it.

    Returns
    -------
    JaxDevices or None
        The mode if it is JAX.

    Raises
    ------
    ValueError
        Names the data, and says what to give.
    """
    devices = mode if isinstance(mode, JaxDevices) else None
    parts = [v.name for v in model.data_vars if is_local(v)]
    if parts and number_of_processes() > 1 and not (devices and devices.span_processes):
        raise ValueError(
            f"the data {parts[0]!r} are rows of this process, and others have more: all processes "
            f"have to take part, by backend='jax', devices=jax.devices()"
        )
    return devices


def is_deterministic(model: Model) -> bool:
    """Tell whether the log density is the same at each evaluation, given the whole data."""
    data = {} if model.has_streams else model.whole_data_replacements()
    return not random_generators(graph_replace([model.logp()], data, strict=False))
