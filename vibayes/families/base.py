"""What every approximation is: groups of variables, each with a family of distributions.

A :class:`Group` maps random noise to unconstrained values of its variables and knows the log
density of what it makes. An :class:`Approximation` is one or more groups that together cover the
free variables of a model, so that draws of it are draws of the (approximate) posterior.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, ClassVar

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.gradient import disconnected_grad
from pytensor.graph.basic import Variable
from pytensor.graph.replace import clone_replace, graph_replace, vectorize_graph
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.modes import as_seed_sequence
from vibayes.context import modelcontext
from vibayes.distributions.base import to_float
from vibayes.distributions.shapes import same_shape
from vibayes.exceptions import ModelError, ShapeError
from vibayes.model.core import Model
from vibayes.model.density import total_scale
from vibayes.model.flat import FlatLayout
from vibayes.posterior.display import approximation_html
from vibayes.posterior.draws import PosteriorDraws
from vibayes.posterior.nodes import PosteriorNodes

__all__ = ["Approximation", "Draws", "Group", "SingleGroupApproximation"]


class Group:
    """Variables that one family approximates together.

    ``Group(variables, vfam="full_rank")`` makes a group of the family of that name, and
    ``Group(variables, params={"mu": ..., "rho": ...})`` of the family that has these parameters.

    A family implements :meth:`initial_params`, :meth:`param_shapes`, :meth:`transform` and
    :meth:`log_density`, and ``mean``, ``std`` and ``cov`` where they exist. All of them act on
    the last axis, so that they serve one draw and a stack of draws alike. It is known by its
    ``short_name``, its ``aliases`` and its ``param_names`` from the moment it is defined.

    Parameters
    ----------
    group : sequence of TensorVariable, optional
        Free random variables; by default those of the model that no other group of the
        approximation has.
    vfam : str, optional
        Name of the family (see :meth:`families`), or a formula of flows such as
        ``"scale-planar*8"``. Not needed for a subclass.
    params : dict, optional
        Parameters by name, as numbers or as expressions. They take the place of parameters of the
        group's own and are not trained with it: name what they depend on in ``more_obj_params``
        of the fit. In a group of one variable they may have the variable's shape.
    random_seed : int, optional
        Seed for start values that are drawn.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    options : dict, optional
        Further arguments of the family.
    local : bool, default False
        Whether the variables belong to the observations of a minibatch, so that there are new
        ones in each: ``params`` are then functions of the minibatch (an encoder), and the log
        density is scaled by the variables' ``total_size``, as their prior is.
    start : dict, optional
        Where to start, by variable name; see :meth:`vibayes.Model.initial_point`.
    start_sigma : dict, optional
        Standard deviation to start from, by variable name, in the unconstrained space.

    Attributes
    ----------
    ddim : int
        Length of the flat unconstrained vector.
    layout : FlatLayout
        Where each variable lies in it.
    params_dict : dict of str to TensorVariable
        All parameters.
    shared_params : dict of str to SharedVariable
        Those that belong to the group, and are trained.

    Raises
    ------
    ValueError
        If there is no family of that name, or with these parameters.
    ModelError
        If a variable is not a continuous free random variable of the model.

    Examples
    --------
    Correlations among some variables, none of them with the others:

    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x", shape=3)
    ...     scale = vb.HalfNormal("scale")
    ...     groups = [vb.Group([x], vfam="full_rank"), vb.Group(None, vfam="mean_field")]
    ...     approx = vb.Approximation(groups)
    >>> [[variable.name for variable in group.variables] for group in approx.groups]
    [['x'], ['scale']]
    """

    short_name: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()
    param_names: ClassVar[frozenset[str]] = frozenset()
    option_names: ClassVar[frozenset[str]] = frozenset()
    has_logq: ClassVar[bool] = True
    several_modes: ClassVar[bool] = False
    """Whether members of the family can have several modes."""
    center_name: ClassVar[str] = "mu"
    """Name of the parameter that is the centre of the flat vector, if there is one."""
    _families: ClassVar[dict[str, type[Group]]] = {}
    # of the only variable, where the parameters know it: a minibatch may have another length
    _event_shape: tuple[Any, ...] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in (cls.short_name, *cls.aliases):
            if name:
                Group._families[name] = cls

    def __new__(
        cls,
        group: Sequence[TensorVariable] | None = None,
        vfam: str | None = None,
        params: Mapping[str, Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Group:
        return object.__new__(choose_family(vfam, params) if cls is Group else cls)

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
        start: Mapping[str, Any] | None = None,
        start_sigma: Mapping[str, Any] | None = None,
    ) -> None:
        if local and not (params and group):
            raise ValueError(
                "A local group needs its variables and params: functions of the minibatch, such "
                "as {'mu': ..., 'rho': ...}"
            )
        self.local = bool(local)
        self.model = modelcontext(model)
        self.options = dict(options or {})
        if unknown := sorted(self.options.keys() - self.option_names):
            known = ", ".join(sorted(self.option_names)) or "none"
            raise TypeError(f"{type(self).__name__} has no option {unknown[0]!r}; it has: {known}")
        self.variables: list[TensorVariable] = []
        self._given = dict(params or {})
        self._start = (random_seed, dict(start or {}), start_sigma)
        if group is not None:
            self.attach(group)

    @classmethod
    def families(cls) -> dict[str, type[Group]]:
        """Return the known families by name and alias."""
        return dict(Group._families)

    @classmethod
    def accepts(cls, vfam: str) -> bool:
        """Tell whether a string that is no name of a family describes a member of this one."""
        return False

    def attach(self, variables: Sequence[TensorVariable]) -> None:
        """Take on variables: lay them out, and make the parameters."""
        self.variables = list(variables)
        check_continuous(self.model, self.variables)
        self.layout = FlatLayout([self.model.rvs_to_values[rv] for rv in self.variables])
        self.shared_params: dict[str, SharedVariable] = {}
        if self._given:
            self.params_dict = self._given_params()
            return
        seed, start, sigma = self._start
        point = self.model.initial_point(seed, start)
        values = self.initial_params(self.layout.join(point), self._start_sigma(sigma))
        dtype = pytensor.config.floatX
        self.shared_params = {
            name: pytensor.shared(np.asarray(value, dtype=dtype), name=name, shape=value.shape)
            for name, value in values.items()
        }
        self.params_dict: dict[str, TensorVariable] = dict(self.shared_params)

    def _given_params(self) -> dict[str, TensorVariable]:
        """Return the parameters that the user has given, their shapes checked."""
        if set(self._given) != self.param_names:
            raise ValueError(
                f"{type(self).__name__} has the parameters {sorted(self.param_names)}, got "
                f"{sorted(self._given)}"
            )
        result = {}
        for name, shape in self.param_shapes().items():
            param = to_float(self._given[name])
            if self._has_shape_of_variable(param, shape):
                self._event_shape = tuple(param.shape)
                param = param.ravel()
            if not same_shape(param.type.shape, shape):
                raise ShapeError(
                    f"parameter {name!r} of {type(self).__name__} must have shape {shape}, got "
                    f"{param.type.shape}"
                )
            result[name] = param
        return result

    def _has_shape_of_variable(self, param: TensorVariable, shape: Sequence[int | None]) -> bool:
        """Tell whether a parameter with one number a dimension has the shape of the variable."""
        if len(self.variables) != 1 or tuple(shape) != (self.ddim,):
            return False
        (slot,) = self.layout.slots
        return len(slot.shape) != 1 and same_shape(param.type.shape, slot.shape)

    def _start_sigma(self, start_sigma: Mapping[str, Any] | None) -> np.ndarray | None:
        """Return the standard deviations to start from as a flat vector, None by default."""
        if start_sigma is None:
            return None
        flat = np.full(self.ddim, np.nan)
        given = dict(start_sigma)
        for rv, slot in zip(self.variables, self.layout.slots, strict=True):
            for name in {rv.name, slot.name} & given.keys():
                sigma = np.asarray(given.pop(name), dtype="float64")
                if not (np.isfinite(sigma) & (sigma > 0)).all():
                    raise ValueError(f"start_sigma of {name!r} must be positive, got {sigma}")
                try:
                    flat[slot.start : slot.stop] = np.broadcast_to(sigma, slot.shape).ravel()
                except ValueError:
                    raise ShapeError(
                        f"start_sigma of {name!r} has shape {sigma.shape}, the unconstrained "
                        f"variable {slot.shape}"
                    ) from None
        if given:
            raise KeyError(f"start_sigma: the group has no variable {next(iter(given))!r}")
        return flat

    # -- what a family implements -------------------------------------------------------------

    def initial_params(self, start: np.ndarray, sigma: np.ndarray | None) -> dict[str, np.ndarray]:
        """Return the parameters to start from, by name.

        Parameters
        ----------
        start
            Flat unconstrained vector to be centred at.
        sigma
            Standard deviations wanted, NaN or None for the family's own choice.
        """
        raise NotImplementedError

    def params_near(self, mean: np.ndarray, root: np.ndarray) -> dict[str, np.ndarray]:
        """Return parameters with which the family comes close to a normal distribution.

        Parameters
        ----------
        mean
            Its mean, (d,).
        root
            Cholesky factor of its covariance, (d, d), or its standard deviations, (d,).
        """
        sd = root if root.ndim == 1 else np.sqrt((root**2).sum(axis=1))
        return self.initial_params(mean, sd)

    def param_scales(self, sd: np.ndarray) -> dict[str, np.ndarray]:
        """Return the unit of parameters that have one, by name.

        Parameters
        ----------
        sd
            Standard deviations of the flat vector, (d,).
        """
        return {self.center_name: sd} if self.center_name in self.shared_params else {}

    def param_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Return the shape of each parameter, None for a length that may be any."""
        raise NotImplementedError

    def transform(self, noise: TensorVariable) -> TensorVariable:
        """Map standard normal noise to flat unconstrained values."""
        raise NotImplementedError

    def log_density(self, noise: TensorVariable, z: TensorVariable) -> TensorVariable:
        """Return log q of ``z = transform(noise)``, one number a draw."""
        raise NotImplementedError

    def log_density_at(self, z: TensorVariable) -> TensorVariable:
        """Return log q of any flat values, as a function of these and of the parameters."""
        raise NotImplementedError(
            f"{type(self).__name__} knows its density only along its own draws"
        )

    @property
    def mean(self) -> TensorVariable:
        """Mean of the flat unconstrained vector."""
        raise NotImplementedError(f"{type(self).__name__} has no mean in closed form")

    @property
    def std(self) -> TensorVariable:
        """Standard deviations of the flat unconstrained vector."""
        raise NotImplementedError(f"{type(self).__name__} has no std in closed form")

    @property
    def cov(self) -> TensorVariable:
        """Covariance matrix of the flat unconstrained vector."""
        raise NotImplementedError(f"{type(self).__name__} has no cov in closed form")

    # -- what follows -------------------------------------------------------------------------

    @property
    def ddim(self) -> int:
        """Length of the flat unconstrained vector."""
        return self.layout.size

    @property
    def noise_size(self) -> Any:
        """Length of the noise that makes one draw."""
        return self.ddim

    def split(self, flat: TensorVariable, size: Any) -> dict[TensorVariable, TensorVariable]:
        """Map each value variable to its part of flat draws.

        Parameters
        ----------
        flat
            Draws of the flat unconstrained vector.
        size
            Number of draws, or None for a single one without an axis.
        """
        if self._event_shape is None:
            return split_draws(self.layout, flat, size)
        lead = () if size is None else (size,)
        return {self.layout.value_vars[0]: flat.reshape((*lead, *self._event_shape))}

    @property
    def params(self) -> list[SharedVariable]:
        """The parameters that belong to the group, as a list."""
        return list(self.shared_params.values())

    @property
    def key(self) -> Hashable:
        """Equal for groups of a model whose compiled functions can serve each other."""
        return (
            type(self),
            tuple(rv.name for rv in self.variables),
            tuple(p.type for p in self.params),
            tuple(self.params_dict.values()) if self._given else (),
            tuple(sorted(self.options.items())),
            self.local,
        )

    def param_elements(self, name: str) -> list[str]:
        """Return the name of each element of a parameter, for messages."""
        shape = self.shared_params[name].type.shape
        if shape and shape[0] == self.ddim:
            rows = [self.layout.element(i) for i in range(self.ddim)]
            per_row = int(np.prod(shape[1:], dtype=int))
            return [row for row in rows for _ in range(per_row)]
        return [f"element {i}" for i in range(int(np.prod(shape, dtype=int)))]

    def draw(
        self, rng: Variable, size: Any = None, deterministic: Any = False
    ) -> tuple[Variable, TensorVariable, TensorVariable]:
        """Return the generator's next state, noise, and flat unconstrained values.

        Parameters
        ----------
        rng
            Symbolic random generator.
        size
            Number of draws (an int or a symbolic scalar), or None for one without an axis.
        deterministic
            Whether the noise is zero, so that every draw is the centre: a bool, or a symbolic one.
        """
        shape = (self.noise_size,) if size is None else (size, self.noise_size)
        next_rng, noise = pt.random.normal(size=shape, rng=rng).owner.outputs
        noise = noise.astype(pytensor.config.floatX)
        if deterministic is True:
            noise = pt.zeros_like(noise)
        elif deterministic is not False:
            noise = pt.switch(deterministic, pt.zeros_like(noise), noise)
        return next_rng, noise, self.transform(noise)


def check_continuous(model: Model, variables: Iterable[TensorVariable]) -> None:
    """Raise if there is nothing to infer, or a variable that has no gradient."""
    variables = list(variables)
    if not variables:
        nothing = not model.free_RVs
        raise ModelError(
            "The model has no free random variables: there is nothing to infer."
            if nothing
            else "A group needs at least one variable; leave `group` out for all the rest."
        )
    for rv in variables:
        if rv not in model.rvs_to_transforms:
            raise ModelError(f"{rv.name!r} is not a free random variable of the model")
        if not model.rvs_to_values[rv].dtype.startswith("float"):
            raise ModelError(
                f"The free variable {rv.name!r} is discrete, but variational inference needs a "
                "gradient. Marginalize it: write its sum over the states as a mixture, as in "
                "vb.Mixture or vb.NormalMixture."
            )


@dataclass(frozen=True)
class Draws:
    """Symbolic draws of an approximation, and the log densities that objectives are made of.

    Attributes
    ----------
    approx : Approximation
    z : dict of TensorVariable to TensorVariable
        Unconstrained values by value variable.
    drawn : list of tuple
        For each group, the noise and the flat unconstrained values that it became.
    size : int or None
        Number of draws, None for a single one without an axis.
    """

    approx: Approximation
    z: dict[TensorVariable, TensorVariable]
    drawn: list[tuple[TensorVariable, TensorVariable]]
    size: Any

    def of(self, graphs: Sequence[Variable]) -> list[Variable]:
        """Return graphs of the model's value variables, evaluated at each draw."""
        if self.size is not None:
            return vectorize_graph(list(graphs), self.z)
        if all(value.type.is_super(z.type) for value, z in self.z.items()):
            return graph_replace(list(graphs), self.z, strict=False)
        # local variables of a minibatch of another length
        return clone_replace(list(graphs), self.z, rebuild_strict=False)

    @cached_property
    def flat(self) -> TensorVariable:
        """The flat unconstrained vectors of all groups, one after the other."""
        parts = [z for _, z in self.drawn]
        return parts[0] if len(parts) == 1 else pt.concatenate(parts, axis=-1)

    @cached_property
    def score(self) -> TensorVariable:
        """Gradient of :attr:`logp` by :attr:`flat`, at each draw."""
        parts = [z for _, z in self.drawn]
        grads = pytensor.grad(self.logp.sum(), parts, disconnected_inputs="ignore")
        return grads[0] if len(grads) == 1 else pt.concatenate(grads, axis=-1)

    def scale_of(self, rv: TensorVariable) -> TensorVariable | float:
        """Return the factor by which ``total_size`` scales the log density of a variable."""
        total = self.approx.model.rvs_to_total_sizes.get(rv)
        if total is None:
            return 1.0
        value = self.approx.model.rvs_to_values[rv]
        if value in self.z:
            value = self.z[value] if self.size is None else self.z[value][0]
        return total_scale(total, value)

    @cached_property
    def normalizing_constant(self) -> TensorVariable | float:
        """The largest factor by which ``total_size`` scales a variable; 1 without minibatches."""
        scales = [self.scale_of(rv) for rv in self.approx.model.rvs_to_total_sizes]
        return reduce(pt.maximum, scales) if scales else 1.0

    def _logq_scale(self, group: Group) -> TensorVariable | float:
        """Return the factor by which the density of local variables stands for that of all."""
        return self.scale_of(group.variables[0]) if group.local else 1.0

    @cached_property
    def logq(self) -> TensorVariable:
        """Log density of the approximation at each draw, if all of its groups have one."""
        logq: Any = 0.0
        for group, (noise, flat) in zip(self.approx.groups, self.drawn, strict=True):
            logq = logq + group.log_density(noise, flat) * self._logq_scale(group)
        return logq

    @cached_property
    def path_logq(self) -> TensorVariable:
        """``logq``, with a gradient that reaches the parameters by way of the draws alone.

        Leaving out the derivative of log q by the parameters at a fixed draw, whose expectation is
        zero, leaves the expected gradient as it is, and makes its variance vanish where the
        approximation is the posterior ("sticking the landing", Roeder et al. 2017).
        """
        total: Any = 0.0
        for group, (_, z) in zip(self.approx.groups, self.drawn, strict=True):
            at = z.type()
            frozen = {p: disconnected_grad(p) for p in group.params_dict.values()}
            density = graph_replace(group.log_density_at(at), frozen, strict=False)
            total = total + graph_replace(density, {at: z}) * self._logq_scale(group)
        return total

    @cached_property
    def logp(self) -> TensorVariable:
        """Joint log density of the model at each draw."""
        return self.of([self.approx.model.logp()])[0]

    @cached_property
    def _prior_and_data(self) -> list[Variable]:
        model = self.approx.model
        return self.of([model.varlogp, model.datalogp])

    @property
    def varlogp(self) -> TensorVariable:
        """Log density of the free variables at each draw."""
        return self._prior_and_data[0]

    @property
    def datalogp(self) -> TensorVariable:
        """Log likelihood at each draw, potentials included."""
        return self._prior_and_data[1]


INTERRUPTED = "it was interrupted"
"""Reason of the ending of a fit that the user or a callback has ended."""


@dataclass(frozen=True)
class Ending:
    """Why a fit ended.

    Attributes
    ----------
    converged : bool or None
        Whether it came to an end by its own test; None if it was told when to stop.
    reason : str
        In words.
    findings : Findings, optional
        What the fit found out about the posterior beside the approximation.
    unsettled : bool, default False
        Whether the loss was still moving when a fit ended that was told when to stop.
    """

    converged: bool | None
    reason: str
    findings: Any = None
    unsettled: bool = False

    @property
    def is_interrupted(self) -> bool:
        """Whether the user or a callback has ended a fit that was to end by itself."""
        return self.reason == INTERRUPTED


class Approximation(PosteriorDraws, PosteriorNodes):
    """An approximate posterior, made of groups that cover the free variables of a model.

    Parameters
    ----------
    groups : sequence of Group
        Every free variable belongs to exactly one of them.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    random_seed : int, optional
        Seed of the noise that a fit draws.
    cost_part_grad_scale : float or scalar variable, default 1
        Factor of the part of the gradient that comes from the derivative of log q by the
        parameters at a fixed draw. Its expectation is zero: 0 leaves it out (the path derivative
        of Roeder et al. 2017), and a shared variable can go from 1 to 0 during a fit.
    scale_cost_to_minibatch : bool, default False
        Whether the loss is divided by the largest factor by which ``total_size`` scales a
        variable, so that it is of the size of the minibatch.

    Attributes
    ----------
    hist : numpy.ndarray
        Loss at each iteration: the negative ELBO, by one Monte Carlo estimate.
    ending : Ending
        Why the last fit ended.
    diagnosis : Diagnosis or None
        The last judgement since then; see :meth:`diagnose`.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        *,
        model: Model | None = None,
        random_seed: Any = None,
        cost_part_grad_scale: Any = 1.0,
        scale_cost_to_minibatch: bool = False,
    ) -> None:
        self.model = modelcontext(model)
        self.cost_part_grad_scale = check_scale(cost_part_grad_scale)
        self.scale_cost_to_minibatch = bool(scale_cost_to_minibatch)
        self.groups = list(groups)
        self.hist = np.zeros(0)
        self.ending = Ending(None, "not fitted yet")
        self.diagnosis: Any = None
        self.is_seeded = random_seed is not None
        self._fit_state: Any = None  # where the last fit stands, if it took steps
        # streams of their own: to build a node before a fit does not change the fit's noise
        self._seeds, self._node_seeds = as_seed_sequence(random_seed).spawn(2)
        attach_rest(self.model, self.groups)
        check_cover(self.model, self.groups)

    @property
    def params(self) -> list[TensorVariable]:
        """Variational parameters of all groups."""
        return [p for group in self.groups for p in group.params]

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
    def key(self) -> Hashable:
        """Equal for approximations of a model whose compiled functions can serve each other."""
        return (
            type(self),
            tuple(group.key for group in self.groups),
            self.cost_part_grad_scale,
            self.scale_cost_to_minibatch,
        )

    def spawn_generator(self, for_nodes: bool = False) -> np.random.Generator:
        """Return a new, independent stream of the approximation's seed.

        Parameters
        ----------
        for_nodes
            Whether it is for a node to draw from, rather than for a fit.
        """
        seeds = self._node_seeds if for_nodes else self._seeds
        return np.random.Generator(np.random.PCG64(seeds.spawn(1)[0]))

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
        z: dict[TensorVariable, TensorVariable] = {}
        drawn = []
        updates: dict[Variable, Variable] = {}
        for i, group in enumerate(self.groups):
            rng = pytensor.shared(np.random.Generator(np.random.PCG64(0)), name=f"noise_{i}")
            next_rng, noise, flat = group.draw(rng, size, deterministic)
            updates[rng] = next_rng
            drawn.append((noise, flat))
            z.update(group.split(flat, size))
        return Draws(self, z, drawn, size), updates

    def save(self, path: Any) -> None:
        """Write the approximation to a file, from which :func:`vibayes.load` reads it.

        Parameters
        ----------
        path
            Where to: a name that ends with ``.nc`` (netCDF) or ``.zarr`` (a folder, which needs
            the extra ``streaming``). What is there is replaced once the new file is whole.

        Raises
        ------
        ValueError
            If the name ends otherwise.
        FileNotFoundError
            If the folder does not exist.
        StorageError
            If parameters are expressions of the user's code, as those of local variables are.

        Notes
        -----
        The file holds the family with its options and parameters, ``hist``, ``ending`` and
        ``diagnosis``, the random state, the memory of the optimizer, the names, shapes and
        transforms of the model's variables, and the versions of what wrote it: arrays of numbers
        and JSON, no code.
        """
        from vibayes.loading import save

        save(self, path)

    def name_elements(self, param: Variable) -> list[str]:
        """Return the name of each element of a variational parameter, for messages."""
        for group in self.groups:
            for name, shared in group.shared_params.items():
                if shared is param:
                    return group.param_elements(name)
        size = int(np.prod(param.type.shape, dtype=int))
        return [f"{param.name}[{i}]" for i in range(size)]

    def element_names(self) -> list[str]:
        """Return the name of each scalar of the unconstrained space, as the model orders them."""
        layout = FlatLayout(self.model.value_vars)
        return [layout.element(i) for i in range(layout.size)]

    def __repr__(self) -> str:
        inner = " & ".join(
            f"{type(group).__name__}({', '.join(rv.name for rv in group.variables)})"
            for group in self.groups
        )
        return f"<{type(self).__name__}: {inner}, {self.ddim} dimensions>"

    def _repr_html_(self) -> str:
        return approximation_html(self)


def check_scale(scale: Any) -> float | TensorVariable:
    """Return a factor as a number or as a scalar variable."""
    if isinstance(scale, Variable):
        if scale.type.ndim:
            raise ShapeError(f"cost_part_grad_scale must be a scalar, got {scale.type}")
        return scale
    if not np.isfinite(scale) or scale < 0:
        raise ValueError(f"cost_part_grad_scale must be a number of at least 0, got {scale!r}")
    return float(scale)


def split_draws(
    layout: FlatLayout, flat: TensorVariable, size: Any
) -> dict[TensorVariable, TensorVariable]:
    """Map each value variable to its part of flat draws."""
    if size is None:
        return layout.split(flat)
    vector = pt.vector("z", dtype=flat.dtype, shape=(layout.size,))
    parts = layout.split(vector)
    batched = vectorize_graph(list(parts.values()), {vector: flat})
    return dict(zip(parts, batched, strict=True))


def attach_rest(model: Model, groups: Sequence[Group]) -> None:
    """Give the group that was made without variables all those that no other group has."""
    open_groups = [group for group in groups if not group.variables]
    if len(open_groups) > 1:
        raise ModelError("Only one group can stand for all the rest of the variables")
    for group in open_groups:
        taken = {rv for other in groups for rv in other.variables}
        rest = [rv for rv in model.free_RVs if rv not in taken]
        if model.free_RVs and not rest:
            raise ModelError("No variables are left for the group that is to have the rest")
        group.attach(rest)


def check_cover(model: Model, groups: Sequence[Group]) -> None:
    """Raise unless every free variable belongs to exactly one group."""
    seen: set[TensorVariable] = set()
    for group in groups:
        for rv in group.variables:
            if rv in seen:
                raise ModelError(f"{rv.name!r} belongs to two groups")
            seen.add(rv)
    if missing := [rv.name for rv in model.free_RVs if rv not in seen]:
        raise ModelError(f"No group holds {', '.join(map(repr, missing))}")


def choose_family(vfam: str | None, params: Mapping[str, Any] | None) -> type[Group]:
    """Return the family of a name, or the one that has parameters of these names."""
    known = ", ".join(sorted(Group._families))
    if vfam is not None:
        if vfam.lower() in Group._families:
            return Group._families[vfam.lower()]
        for family in Group._families.values():
            if family.accepts(vfam):
                return family
        raise ValueError(f"vfam {vfam!r} is unknown; known are {known}, and formulas of flows")
    if params is None:
        raise ValueError(f"Group: give vfam (one of {known}) or params")
    for family in Group._families.values():
        if family.param_names == set(params):
            return family
    raise ValueError(f"no family has the parameters {sorted(params)}; known families are {known}")


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


class SingleGroupApproximation(Approximation):
    """An approximation of all variables by one family.

    Parameters
    ----------
    local_rv : dict, optional
        Variables that belong to the observations of a minibatch, with their parameters as
        functions of it: ``{z: (mu, rho)}`` or ``{z: {"mu": mu, "rho": rho}}``. Each gets a local
        :class:`Group`; the family has the other variables.
    cost_part_grad_scale, scale_cost_to_minibatch
        As for :class:`Approximation`.
    model, start, start_sigma, random_seed
        As for :class:`Group`.
    """

    family: ClassVar[type[Group]]

    def __init__(
        self,
        local_rv: Mapping[TensorVariable, Any] | None = None,
        model: Model | None = None,
        cost_part_grad_scale: Any = 1.0,
        scale_cost_to_minibatch: bool = False,
        random_seed: Any = None,
        start: Mapping[str, Any] | None = None,
        start_sigma: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        model = modelcontext(model)
        local = local_groups(local_rv or {}, model)
        group = self.family(
            None,
            model=model,
            start=start,
            start_sigma=start_sigma,
            random_seed=random_seed,
            options=options,
        )
        only_local = local and len(local) == len(model.free_RVs)
        super().__init__(
            local if only_local else [group, *local],
            model=model,
            random_seed=random_seed,
            cost_part_grad_scale=cost_part_grad_scale,
            scale_cost_to_minibatch=scale_cost_to_minibatch,
        )

    @property
    def mean(self) -> TensorVariable:
        """Mean of the flat unconstrained vector; ``mean.eval()`` gives the numbers."""
        return self.groups[0].mean

    @property
    def std(self) -> TensorVariable:
        """Standard deviations of the flat unconstrained vector."""
        return self.groups[0].std

    @property
    def cov(self) -> TensorVariable:
        """Covariance matrix of the flat unconstrained vector."""
        return self.groups[0].cov

    @property
    def layout(self) -> FlatLayout:
        """Where each variable lies in the flat unconstrained vector."""
        return self.groups[0].layout
