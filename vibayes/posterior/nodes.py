"""Expressions of a model's variables, at draws of an approximate posterior."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeAlias

import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments, check_whole, shown
from vibayes.backend.seeds import random_generators
from vibayes.distributions.base import to_float
from vibayes.exceptions import ModelError
from vibayes.families.draws import Draws
from vibayes.families.joint import Joint

__all__ = ["PosteriorNodes", "check_own", "fresh_draws"]

Nodes: TypeAlias = Variable | Sequence[Variable]


class PosteriorNodes(Joint):
    """A joint distribution, and what it can do with expressions of its model's variables."""

    @check_arguments
    def sample_node(
        self,
        node: Nodes,
        size: int | TensorVariable | None = None,
        deterministic: bool | TensorVariable | Mapping[Variable, Any] = False,
        more_replacements: Mapping[Variable, Any] | None = None,
    ) -> Any:
        """Return expressions in which draws stand for the model's random variables.

        Parameters
        ----------
        node : TensorVariable or sequence of TensorVariable
            Expressions of the model's variables, Deterministics included. Those of one call share
            their draws. Observed variables stand for their data.
        size : int or integer scalar, optional
            Number of draws, which become the first axis. Without it there is one draw, and no
            additional axis.
        deterministic : bool or scalar
            Whether every draw is the centre of the approximation. A dict in its place is
            ``more_replacements``, as in PyMC3's order of arguments.
        more_replacements : dict, optional
            What to put in the place of parts of ``node`` before variables are drawn, such as
            ``{X_shared: X_test}``: arrays, also of another shape, or variables.

        Returns
        -------
        TensorVariable or list of TensorVariable
            As ``node``. Each evaluation draws anew, from the approximation with the parameters
            that it has by then. Random variables made by ``dist`` are drawn as well.

        Raises
        ------
        ModelError
            If the expression depends on a variable of another model.

        Notes
        -----
        ``eval()`` compiles once an expression, in PyTensor's default mode. A large expression that
        is evaluated only a few times is ready sooner without a compiler:
        ``eval(mode="FAST_COMPILE")``.

        Examples
        --------
        >>> import vibayes as vb
        >>> with vb.Model():
        ...     x = vb.Normal("x")
        ...     approx = vb.MeanField()
        >>> approx.sample_node(x**2, size=100).eval(mode="FAST_COMPILE").shape
        (100,)
        """
        deterministic, more_replacements = in_either_order(
            f"{type(self).__name__}.sample_node", deterministic, more_replacements
        )
        swap = self.replaced(more_replacements, as_nodes(node))

        def of_values(graphs: Sequence[Variable]) -> list[Variable]:
            values = self.model.replace_rvs_by_values(swapped(graphs, swap))
            check_own(self, values)
            return values

        draws = fresh_draws(self, size, deterministic)
        if swap:  # parameters of local variables may be functions of what is replaced
            draws = replace(
                draws, z=dict(zip(draws.z, swapped([*draws.z.values()], swap), strict=True))
            )
        return like(node, at_draws(self, draws, as_nodes(node), of_values))

    @check_arguments
    def apply_replacements(
        self,
        node: Nodes,
        deterministic: bool | TensorVariable | Mapping[Variable, Any] = False,
        more_replacements: Mapping[Variable, Any] | None = None,
    ) -> Any:
        """Return expressions at one draw: :meth:`sample_node` without ``size``."""
        return self.sample_node(node, None, deterministic, more_replacements)

    # -- in terms of the flat unconstrained vector --------------------------------------------

    @cached_property
    def inputs(self) -> list[TensorVariable]:
        """Symbolic flat unconstrained vectors, one a group, for :meth:`to_flat_input`."""
        return [
            pt.vector(f"flat_{i}", dtype=pytensor.config.floatX, shape=(group.ddim,))
            for i, group in enumerate(self.groups)
        ]

    @check_arguments
    def to_flat_input(
        self, node: Nodes, more_replacements: Mapping[Variable, Any] | None = None
    ) -> Any:
        """Return expressions of the model's variables as expressions of :attr:`inputs`.

        Parameters
        ----------
        node : TensorVariable or sequence of TensorVariable
            Expressions of random variables, or of their unconstrained values (``model.logp()``).
        more_replacements : dict, optional
            What to put in the place of parts of ``node`` first.
        """
        nodes = as_nodes(node)
        nodes = swapped(nodes, self.replaced(more_replacements, nodes))
        values = self.model.replace_rvs_by_values(nodes)
        parts: dict[Variable, Variable] = {}
        for group, flat in zip(self.groups, self.inputs, strict=True):
            parts |= group.layout.split(flat)
        return like(node, graph_replace(values, parts, strict=False))

    @cached_property
    def _one_draw(self) -> Draws:
        """The draw that the symbolic properties have in common."""
        return fresh_draws(self, None, False)

    @property
    def symbolic_randoms(self) -> list[TensorVariable]:
        """One draw of the flat unconstrained vector of each group."""
        return [flat for _, flat in self._one_draw.drawn]

    @property
    def symbolic_random(self) -> TensorVariable:
        """One draw of the flat unconstrained vectors of all groups, one after the other.

        All symbolic properties are of the same draw: ``approx.logp - approx.logq`` is an estimate
        of the ELBO. :meth:`set_size_and_deterministic` makes it a number of draws.
        """
        return pt.concatenate(self.symbolic_randoms)

    @check_arguments
    def rslice(self, name: str) -> TensorVariable:
        """Return a variable at the draw of :attr:`symbolic_random`.

        Parameters
        ----------
        name
            Name of a free random variable, or of an unconstrained value such as ``sigma_log__``.

        Raises
        ------
        KeyError
            If there is no such variable.
        """
        named = {v.name: v for v in (*self.model.free_RVs, *self.model.value_vars)}
        if name not in named:
            raise KeyError(f"no free variable {name!r}; there are {', '.join(named)}")
        return self._one_draw.of(self.model.replace_rvs_by_values([named[name]]))[0]

    @check_arguments
    def set_size_and_deterministic(
        self,
        node: Nodes,
        s: int | TensorVariable | None,
        d: bool | TensorVariable,
        more_replacements: Mapping[Variable, Any] | None = None,
    ) -> Any:
        """Return expressions of the symbolic properties at new draws.

        Parameters
        ----------
        node : TensorVariable or sequence of TensorVariable
            Expressions of :attr:`symbolic_random`, :meth:`rslice`, :attr:`logq`, :attr:`logp`, ….
        s : int or integer scalar, optional
            Number of draws, which become the first axis; None for one draw without an axis.
        d : bool or scalar
            Whether every draw is the centre of the approximation.
        more_replacements : dict, optional
            What to put in the place of parts of ``node`` first.
        """
        swap = self.replaced(more_replacements, as_nodes(node))
        one, new = self._one_draw, fresh_draws(self, s, d)
        pairs = zip(variables_of(one), variables_of(new), strict=True)
        draws = replace(new, z=dict(pairs))  # for graphs of the one draw, in place of values
        return like(
            node, at_draws(self, draws, as_nodes(node), lambda graphs: swapped(graphs, swap))
        )

    def at_draws_of(self, node: Variable, draws: Draws) -> Variable:
        """Return an expression of the symbolic properties at given draws.

        Parameters
        ----------
        node
            An expression, as for :meth:`set_size_and_deterministic`.
        draws
            What :meth:`draw` returned.
        """
        pairs = zip(variables_of(self._one_draw), variables_of(draws), strict=True)
        placed = replace(draws, z=dict(pairs))
        return at_draws(self, placed, [node], list)[0]

    # -- log densities ------------------------------------------------------------------------

    @property
    def logq(self) -> TensorVariable:
        """Log density of the approximation at the draw of :attr:`symbolic_random`."""
        if not self.has_logq:
            raise NotImplementedError(f"{self!r} has no log density")
        return to_float(self._one_draw.logq)

    @property
    def logp(self) -> TensorVariable:
        """Joint log density of the model at the same draw."""
        return self._one_draw.logp

    @property
    def varlogp(self) -> TensorVariable:
        """Log density of the free variables at the same draw, log Jacobians included."""
        return self._one_draw.varlogp

    @property
    def datalogp(self) -> TensorVariable:
        """Log likelihood at the same draw, potentials included."""
        return self._one_draw.datalogp

    @property
    def symbolic_normalizing_constant(self) -> TensorVariable:
        """The largest factor by which ``total_size`` scales a variable; 1 without minibatches."""
        return pt.as_tensor_variable(self._one_draw.normalizing_constant)

    @property
    def logq_norm(self) -> TensorVariable:
        """:attr:`logq` divided by :attr:`symbolic_normalizing_constant`."""
        return self.logq / self.symbolic_normalizing_constant

    @property
    def logp_norm(self) -> TensorVariable:
        """:attr:`logp` divided by :attr:`symbolic_normalizing_constant`."""
        return self.logp / self.symbolic_normalizing_constant


def as_nodes(node: Nodes) -> list[Variable]:
    """Return one node or several as a list."""
    nodes = list(node) if isinstance(node, list | tuple) else [node]
    for entry in nodes:
        if not isinstance(entry, Variable):
            raise TypeError(f"expected an expression of the model's variables, got {entry!r}")
    return nodes


def variables_of(draws: Draws) -> list[Variable]:
    """Return what draws consist of, in a fixed order: noise may have several parts."""
    parts = [
        part for pair in draws.drawn for x in pair for part in (x if isinstance(x, tuple) else [x])
    ]
    return [*parts, *draws.z.values()]


def in_either_order(
    label: str,
    deterministic: bool | TensorVariable | Mapping[Variable, Any],
    more_replacements: Mapping[Variable, Any] | None,
) -> tuple[bool | TensorVariable, Mapping[Variable, Any] | None]:
    """Return both arguments, whichever of them a dict was given for."""
    if not isinstance(deterministic, Mapping):
        return deterministic, more_replacements
    if more_replacements is not None:
        raise TypeError(
            f"{label}: deterministic must be True, False or a scalar beside more_replacements, got "
            f"{shown(deterministic)}"
        )
    return False, deterministic


def swapped(graphs: Sequence[Variable], swap: Mapping[Variable, Variable]) -> list[Variable]:
    """Return copies of graphs in which some variables stand for others."""
    return graph_replace(list(graphs), swap, strict=False) if swap else list(graphs)


def like(node: Nodes, results: list[Variable]) -> Any:
    """Return a list of results for a sequence of nodes, and the only result for one node."""
    return results if isinstance(node, list | tuple) else results[0]


def check_own(approx: Joint, values: Sequence[Variable]) -> None:
    """Raise if graphs of value variables still draw a random variable of some model."""
    for variable in ancestors(values):
        if hasattr(variable.tag, "distribution") and variable.name is not None:
            raise ModelError(
                f"the expression depends on {variable.name!r}, which is no variable of the model "
                f"that {approx!r} approximates"
            )


def as_size(size: Any) -> Any:
    """Return the number of draws as an int, a symbolic integer scalar, or None.

    Raises
    ------
    TypeError
        If it is a tensor of another kind.
    ValueError
        If it is no whole number of at least 1.
    """
    if size is None:
        return None
    if isinstance(size, Variable):
        if getattr(size.type, "ndim", None) != 0 or not size.type.dtype.startswith(("int", "uint")):
            raise TypeError(f"size must be an integer scalar, got {size} of type {size.type}")
        return size
    return check_whole(size, "size", least=1)


def fresh_draws(approx: Joint, size: Any, deterministic: Any) -> Draws:
    """Return symbolic draws that are new each time that they are evaluated."""
    if not isinstance(deterministic, Variable):
        deterministic = bool(deterministic)
    draws, updates = approx.draw(as_size(size), deterministic)
    for rng, next_rng in updates.items():
        rng.set_value(approx.spawn_generator(for_nodes=True), borrow=True)
        rng.default_update = next_rng
    return draws


def at_draws(
    approx: Joint,
    draws: Draws,
    nodes: Sequence[Variable],
    of_values: Callable[[Sequence[Variable]], list[Variable]],
) -> list[Variable]:
    """Return nodes at each draw, the first axis being the draws.

    Nodes may depend on random variables of their own (made by ``dist``). Where those depend on a
    draw, there are more of them now, and a generator that still advanced as in the original graph
    would come by the same numbers again. They get new ones.

    Parameters
    ----------
    approx
        Where new generators come from.
    draws
        The draws.
    nodes
        Any graphs.
    of_values
        Makes them graphs of what ``draws.z`` has values for.
    """
    values = of_values(nodes)
    own = [rng for rng in random_generators(values) if rng.default_update is not None]
    if own:
        values = of_values([*nodes, *(rng.default_update for rng in own)])
    drawn = draws.of(values)
    count = len(nodes)
    results = [along_draws(*pair, draws.size) for pair in zip(drawn[:count], values, strict=False)]
    states = {
        rng: state
        for rng, state in zip(own, drawn[count:], strict=True)
        if state is not rng.default_update
    }
    new = {
        rng: pytensor.shared(approx.spawn_generator(for_nodes=True), name=rng.name)
        for rng in states
    }
    replaced = swapped([*results, *states.values()], new)
    for rng, state in zip(new.values(), replaced[count:], strict=True):
        rng.default_update = state
    return replaced[:count]


def along_draws(result: Variable, value: Variable, size: Any) -> Variable:
    """Return a result with an axis of draws, also where it is the same at each of them."""
    if size is None or result.type.ndim > value.type.ndim:
        return result
    return pt.broadcast_to(result, (size, *result.shape))
