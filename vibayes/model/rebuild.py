"""A model written once more: a copy, or one in which other values stand for some variables."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any, Generic, TypeVar

import numpy as np
import pytensor
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.type import RandomType

from vibayes.backend.graphs import copy_graphs
from vibayes.distributions.base import Distribution, distribution_of
from vibayes.distributions.holder import Holder
from vibayes.distributions.transforms import Transform
from vibayes.exceptions import ModelError
from vibayes.model.registration import Registration
from vibayes.streaming.batch import BatchVariable

__all__ = ["Rebuilding"]

M = TypeVar("M", bound=Registration)


class Rebuilding(Generic[M]):
    """A copy of a model that is being made, variable by variable.

    Data variables and random generators are copied; other shared variables, and minibatches, are
    those of the original.

    Parameters
    ----------
    original
        The model. It is not changed.
    without
        Variables that the copy is to be made without: what uses them uses what
        :meth:`replace` puts in their place.

    Attributes
    ----------
    result : Model
        The copy: :meth:`run` fills it.
    copies : dict
        What stands in the copy for each variable of the original.
    """

    def __init__(self, original: M, without: Collection[Variable] = ()) -> None:
        if original.parent is not None:
            raise ModelError(
                "the model is part of another one, which it may depend on: take the outer one"
            )
        self.original, self.without = original, set(without)
        self.result: M = type(original).independent()
        self.result.name = original.name
        self.result.check_bounds = original.check_bounds
        self.objects: dict[int, Any] = {}
        for dim, labels in original.coords.items():
            self.result.set_dim(dim, original.dim_length(dim), labels)
        self.copies: dict[Variable, Variable] = {
            length: self.result.dim_lengths[dim] for dim, length in original.dim_lengths.items()
        }
        for data in original.data_vars:
            self.copies[data] = pytensor.shared(
                data.get_value(), name=data.name, shape=data.type.shape
            )

    def replace(self, replacements: Mapping[Variable, Variable]) -> None:
        """Let expressions of the original's variables stand for variables."""
        for old, new in replacements.items():
            self.copy([new])
            self.copies[old] = self.copies.get(new, new)

    def copy(self, graphs: Collection[Variable]) -> list[Variable]:
        """Return copies of graphs of the original's variables."""
        found = list(ancestors(list(graphs), blockers=list(self.copies)))
        for v in found:
            if isinstance(v, BatchVariable):
                self.copies.setdefault(v, v)
        generators = [
            v
            for v in ancestors(list(graphs), blockers=list(self.copies))
            if isinstance(v.type, RandomType) and isinstance(v, SharedVariable)
        ]
        for generator in generators:
            if generator not in self.copies:
                self.copies[generator] = new_generator_like(generator)
        copy_graphs(graphs, self.copies)
        for generator in generators:
            advanced = getattr(generator, "default_update", None)
            if advanced is not None:
                copy_graphs([advanced], self.copies)
                self.copies[generator].default_update = self.copies[advanced]
        return [self.copies.get(v, v) for v in graphs]

    def run(self) -> M:
        """Fill the copy with all variables that it is to have, and return it."""
        original, result = self.original, self.result
        kept = [v for v in original.named_vars.values() if v not in self.without]
        for variable in kept:
            parts = [variable, *self._belongings(variable)]
            self.copy(parts)
        for variable in kept:
            dims = original.named_vars_to_dims.get(variable.name)
            result.add_named_variable(self.copies[variable], variable.name, dims)
        for kind in ("data_vars", "deterministics", "potentials"):
            getattr(result, kind).extend(
                self.copies[v] for v in getattr(original, kind) if v not in self.without
            )
        for rv in original.basic_RVs:
            if rv not in self.without:
                self._add_random_variable(rv)
        result.input_values.update(original.input_values)
        return result

    def _belongings(self, variable: Variable) -> list[Variable]:
        """Return the graphs that a random variable brings with it."""
        original = self.original
        if variable not in original.rvs_to_values:
            return []
        objects = [
            distribution_of(variable),
            original.rvs_to_transforms.get(variable),
            original.rvs_to_initial_values.get(variable),
        ]
        if variable in original.observed_RVs:
            objects.append(original.rvs_to_values[variable])
        return list(dict.fromkeys(v for o in objects for v in variables_in(o)))

    def _add_random_variable(self, rv: Variable) -> None:
        original, result, new = self.original, self.result, self.copies[rv]
        self.copied(distribution_of(rv))
        result.basic_RVs.append(new)
        value = original.rvs_to_values[rv]
        if rv in original.observed_RVs:
            result.observed_RVs.append(new)
            result.rvs_to_values[new] = self.copies.get(value, value)
        else:
            result.free_RVs.append(new)
            result.rvs_to_values[new] = value.type(value.name)
            result.rvs_to_values[new].tag.is_value = True
            result.rvs_to_transforms[new] = self.copied(original.rvs_to_transforms[rv])
            result.rvs_to_initial_values[new] = self.copied(original.rvs_to_initial_values[rv])
        if rv in original.rvs_to_total_sizes:
            result.rvs_to_total_sizes[new] = original.rvs_to_total_sizes[rv]

    def copied(self, thing: Any) -> Any:
        """Return a copy of whatever holds variables, with the copies of these."""
        if isinstance(thing, Variable):
            return self.copies.get(thing, thing)
        if isinstance(thing, list | tuple) and not hasattr(thing, "_fields"):
            return type(thing)(self.copied(part) for part in thing)
        if isinstance(thing, dict):
            return {key: self.copied(part) for key, part in thing.items()}
        if not isinstance(thing, Distribution | Transform | Holder) or not variables_in(thing):
            return thing
        if id(thing) not in self.objects:
            new = self.objects[id(thing)] = copy.copy(thing)
            vars(new).update({key: self.copied(part) for key, part in vars(thing).items()})
            if isinstance(new, Distribution):
                new.rv.tag.distribution = new
        return self.objects[id(thing)]


def new_generator_like(generator: SharedVariable) -> SharedVariable:
    """Return a new random generator with the name of another one."""
    return pytensor.shared(np.random.default_rng(), name=generator.name)


def variables_in(thing: Any, seen: set[int] | None = None) -> list[Variable]:
    """Return the variables that something holds, in its parts and those of these."""
    seen = set() if seen is None else seen
    if isinstance(thing, Variable):
        return [thing]
    if isinstance(thing, dict):
        parts = list(thing.values())
    elif isinstance(thing, list | tuple):
        parts = list(thing)
    elif isinstance(thing, Distribution | Transform | Holder) and id(thing) not in seen:
        seen.add(id(thing))
        parts = list(vars(thing).values())
    else:
        return []
    return [v for part in parts for v in variables_in(part, seen)]
