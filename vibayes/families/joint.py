"""Groups that together cover the free variables of a model: a joint distribution of all of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import pytensor
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments, check_real
from vibayes.backend.compiled import Compiled
from vibayes.backend.graphs import as_replacements, check_replaced
from vibayes.backend.seeds import as_seed_sequence, new_generator
from vibayes.context import modelcontext
from vibayes.exceptions import GroupError, ModelError, ShapeError
from vibayes.families.base import Group
from vibayes.families.draws import Draws
from vibayes.model.core import Model
from vibayes.model.flat import FlatLayout

__all__ = ["Joint", "local_groups"]

T = TypeVar("T")


class Joint:
    """Independent groups that cover the free variables of a model.

    Parameters
    ----------
    groups : sequence of Group
        Every free variable belongs to exactly one of them.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    random_seed : int, optional
        Seed of the noise that a fit draws.
    cost_part_grad_scale, scale_cost_to_minibatch
        See :class:`vibayes.Approximation`.

    Attributes
    ----------
    noise_seeds : numpy.random.SeedSequence
        Where the streams of fits come from.
    node_seeds : numpy.random.SeedSequence
        Where those of nodes come from: to build a node before a fit does not change its noise.
    is_seeded : bool
        Whether the user has given the seed.
    """

    called: ClassVar[str] = "an approximation, such as vb.MeanField()"

    @check_arguments
    def __init__(
        self,
        groups: Sequence[Group],
        *,
        model: Model | None = None,
        random_seed: Any = None,
        cost_part_grad_scale: Any = 1.0,
        scale_cost_to_minibatch: bool = True,
    ) -> None:
        self.model: Model = modelcontext(model)
        self.cost_part_grad_scale: float | TensorVariable = check_scale(cost_part_grad_scale)
        self.scale_cost_to_minibatch: bool = bool(scale_cost_to_minibatch)
        self.groups: list[Group] = list(groups)
        self.is_seeded: bool = random_seed is not None
        self.noise_seeds: np.random.SeedSequence
        self.node_seeds: np.random.SeedSequence
        self.noise_seeds, self.node_seeds = as_seed_sequence(random_seed).spawn(2)
        self._own_functions = Compiled()
        attach_rest(self.model, self.groups)
        check_cover(self.model, self.groups)

    @property
    def params(self) -> list[TensorVariable]:
        """Variational parameters of all groups."""
        return [p for group in self.groups for p in group.params]

    def replaced(self, replacements: Any, nodes: Sequence[Variable] = ()) -> dict[Any, Any]:
        """Return replacements of parts of the model, of parameters, or of other expressions.

        Raises
        ------
        TypeError
            If they are none.
        ValueError
            If one replaces what is nowhere.
        """
        found = as_replacements(replacements)
        params = [p for group in self.groups for p in group.params_dict.values()]
        check_replaced(found, [*self.model.graphs, *params, *nodes])
        return found

    @property
    def shared_params(self) -> Any:
        """Variational parameters by name; a list of such dicts if there are several groups."""
        found = [group.shared_params for group in self.groups]
        return found[0] if len(found) == 1 else found

    @property
    def ddim(self) -> int:
        """Number of unconstrained dimensions."""
        return sum(group.ddim for group in self.groups)

    @property
    def ndim(self) -> int:
        """Number of unconstrained dimensions, as ``ddim``."""
        return self.ddim

    @property
    def has_logq(self) -> bool:
        """Whether the density of the approximation is known."""
        return all(group.has_logq for group in self.groups)

    @property
    def is_normal(self) -> bool:
        """Whether it is one normal distribution, whose parameters are all its own."""
        return len(self.groups) == 1 and self.groups[0].is_normal and self.groups[0].is_trained

    @property
    def several_modes(self) -> bool:
        """Whether it can have several modes."""
        return all(group.several_modes for group in self.groups)

    @property
    def key(self) -> Hashable | None:
        """Equal for those of a model whose compiled functions can serve each other.

        None for one that no other is equal to.
        """
        keys = tuple(group.key for group in self.groups)
        if None in keys or type(self).draw is not Joint.draw:
            return None
        return type(self), keys, self.cost_part_grad_scale, self.scale_cost_to_minibatch

    def compiled(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what ``make`` makes, from an earlier call if there was one.

        It is kept with the model for all that have the same :attr:`key`; without one, here.

        Parameters
        ----------
        key
            What it depends on beside the families.
        make
            Makes it.
        """
        own = self.key
        if own is None:
            return self._own_functions.get(key, make)
        return self.model.compiled((key, own), make)

    def spawn_generator(self, for_nodes: bool = False) -> np.random.Generator:
        """Return a new, independent stream of the approximation's seed.

        Parameters
        ----------
        for_nodes
            Whether it is for a node to draw from, rather than for a fit.
        """
        seeds = self.node_seeds if for_nodes else self.noise_seeds
        return new_generator(seeds.spawn(1)[0])

    def draw(
        self, size: Any = None, deterministic: Any = False
    ) -> tuple[Draws, dict[Variable, Variable]]:
        """Return symbolic draws, and the updates of the generators that they come from.

        Parameters
        ----------
        size
            Number of draws, or None for a single one without an axis.
        deterministic
            Whether every draw is the centre of the approximation: a bool, or a symbolic one.
        """
        check_lengths(self.model, self.groups)
        z: dict[TensorVariable, TensorVariable] = {}
        drawn = []
        updates: dict[Variable, Variable] = {}
        for i, group in enumerate(self.groups):
            rng = pytensor.shared(new_generator(0), name=f"noise_{i}")
            next_rng, noise, flat = group.draw(rng, size, deterministic)
            updates[rng] = next_rng
            drawn.append((noise, flat))
            z.update(group.split(flat, size))
        return Draws(self.model, self.groups, z, drawn, size), updates

    def places(self) -> list[np.ndarray]:
        """Return for each group where the numbers of its flat vector lie in that of the model.

        ``values[..., places[i]]`` of values in model order are those of group ``i``; see
        :mod:`vibayes.model.flat` on the two orders.
        """
        slots = {slot.name: slot for slot in FlatLayout(self.model.value_vars).slots}
        found = []
        for group in self.groups:
            own = [slots[slot.name] for slot in group.layout.slots]
            found.append(np.concatenate([np.arange(slot.start, slot.stop) for slot in own]))
        return found

    def in_model_order(self, values: np.ndarray) -> np.ndarray:
        """Return values in model order that are given in group order, along the last axis."""
        return values[..., np.argsort(np.concatenate(self.places()))]

    def name_elements(self, param: Variable) -> list[str]:
        """Return the name of each element of a variational parameter, for messages."""
        for group in self.groups:
            for name, shared in group.shared_params.items():
                if shared is param:
                    return group.param_elements(name)
        size = int(np.prod(param.type.shape, dtype=int))
        return [f"{param.name}[{i}]" for i in range(size)]

    def element_names(self) -> list[str]:
        """Return the name of each scalar of the unconstrained space, in model order."""
        layout = FlatLayout(self.model.value_vars)
        return [layout.element(i) for i in range(layout.size)]

    def __repr__(self) -> str:
        inner = " & ".join(
            f"{type(group).__name__}({', '.join(rv.name for rv in group.variables)})"
            for group in self.groups
        )
        return f"<{type(self).__name__}: {inner}, {self.ddim} dimensions>"


def check_scale(scale: Any) -> float | TensorVariable:
    """Return a factor as a number or as a scalar variable."""
    if isinstance(scale, Variable):
        if getattr(scale.type, "ndim", None) != 0:
            raise ShapeError(f"cost_part_grad_scale must be a scalar, got {scale.type}")
        return scale
    return check_real(scale, "cost_part_grad_scale", least=0)


def attach_rest(model: Model, groups: Sequence[Group]) -> None:
    """Give the group that was made without variables all those that no other group has."""
    open_groups = [group for group in groups if not group.variables]
    if len(open_groups) > 1:
        raise GroupError("Only one group can stand for all the rest of the variables")
    for group in open_groups:
        taken = {rv for other in groups for rv in other.variables}
        rest = [rv for rv in model.free_RVs if rv not in taken]
        if model.free_RVs and not rest:
            raise GroupError("No variables are left for the group that is to have the rest")
        group.attach(rest)


def check_cover(model: Model, groups: Sequence[Group]) -> None:
    """Raise unless every free variable belongs to exactly one group."""
    seen: set[TensorVariable] = set()
    for group in groups:
        for rv in group.variables:
            if rv in seen:
                raise GroupError(f"{rv.name!r} belongs to two groups")
            seen.add(rv)
    if missing := [rv.name for rv in model.free_RVs if rv not in seen]:
        raise GroupError(f"No group holds {', '.join(map(repr, missing))}")


def check_lengths(model: Model, groups: Sequence[Group]) -> None:
    """Raise if free variables have other lengths than when groups were made for them."""
    values = set(model.value_vars)
    for group in groups:
        for rv, value in zip(group.variables, group.layout.value_vars, strict=True):
            if value not in values:
                raise ModelError(
                    f"the free variable {rv.name!r} has changed its length since the approximation "
                    f"was made, from {value.type.shape} to {model.rvs_to_values[rv].type.shape}. "
                    f"Fit the model again, or draw it anew by sample_vars of "
                    f"sample_posterior_predictive."
                )


def local_groups(local_rv: Mapping[TensorVariable, Any], model: Model) -> list[Group]:
    """Return a local group for each variable of ``local_rv``.

    Raises
    ------
    TypeError
        If the parameters are neither a dict nor the pair of mu and rho.
    """
    groups = []
    for rv, params in local_rv.items():
        if not isinstance(params, Mapping):
            if not isinstance(params, tuple | list) or len(params) != 2:
                raise TypeError(
                    f"local_rv of {rv.name!r} must be (mu, rho) or a dict of parameters, got "
                    f"{params!r}"
                )
            params = dict(zip(("mu", "rho"), params, strict=True))
        groups.append(Group([rv], params=params, local=True, model=model))
    return groups
