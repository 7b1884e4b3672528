"""What a family is: variables that one family of distributions approximates together.

A :class:`Group` maps random noise to unconstrained values of its variables, and knows the log
density of what it makes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments
from vibayes.backend.seeds import check_random_seed
from vibayes.backend.shared import assign
from vibayes.context import modelcontext
from vibayes.distributions.base import to_float
from vibayes.distributions.shapes import same_shape
from vibayes.exceptions import (
    DimensionMismatchError,
    GroupError,
    LocalGroupError,
    ParametrizationError,
    ShapeError,
)
from vibayes.families.facts import distribution_of_class, forget_facts
from vibayes.families.known import FAMILIES, choose_family
from vibayes.families.raveling import Raveling
from vibayes.model.core import Model
from vibayes.model.flat import FlatLayout
from vibayes.numeric import as_tensor, numeric_array
from vibayes.settings import attributes, key_of

__all__ = ["Group", "check_continuous"]

OWN_ATTRIBUTES = frozenset(
    {
        "event_shape",
        "given_params",
        "layout",
        "local",
        "model",
        "options",
        "params_dict",
        "random_seed",
        "shared_params",
        "start",
        "start_sigma",
        "variables",
    }
)
"""What every group has, and what is in its key or changes no compiled function."""


ELSEWHERE = {
    "batched": "local=True for variables of the rows of a minibatch",
    "rowwise": "local=True for variables of the rows of a minibatch",
    "get_param_spec_for": "param_shapes()",
    "initial_dist_map": "draw(rng, size, deterministic)",
    "initial_dist_name": "draw(rng, size, deterministic)",
    "logq": "logq of the approximation that the group is part of",
    "logq_norm": "logq_norm of the approximation that the group is part of",
    "make_size_and_deterministic_replacements": "set_size_and_deterministic of the approximation",
    "replacements": "rslice(name) of the approximation",
    "set_size_and_deterministic": "that of the approximation that the group is part of",
    "symbolic_initial": "draw(rng, size, deterministic), which returns noise and values",
    "symbolic_logq": "logq of the approximation that the group is part of",
    "symbolic_random": "symbolic_randoms of the approximation, which has one for each group",
    "symbolic_random2d": "symbolic_randoms of the approximation, which has one for each group",
    "symbolic_random_at": "symbolic_randoms of the approximation, which has one for each group",
    "symbolic_sample_over_posterior": "that of the approximation that the group is part of",
    "symbolic_single_sample": "that of the approximation that the group is part of",
    "to_flat_input": "that of the approximation that the group is part of",
    "var_to_data": "layout.point(flat)",
}
"""What to use instead of names of PyMC that make no sense here: a group alone draws nothing."""


class Group:
    """Variables that one family approximates together.

    ``Group(variables, vfam="full_rank")`` makes a group of the family of that name, and
    ``Group(variables, params={"mu": ..., "rho": ...})`` of the family that has these parameters.

    A family implements :meth:`initial_params`, :meth:`param_shapes`, :meth:`transform` and
    :meth:`log_density`, and ``mean``, ``std`` and ``cov`` where they exist. All of them act on
    the last axis, so that they serve one draw and a stack of draws alike. It is known by its
    ``short_name``, its ``aliases`` and its ``param_names`` from the moment it is defined.

    What a family says of its distribution (that it is normal, where its centre is, its moments in
    closed form, ...) holds for this class. A subclass that overrides what makes the distribution
    says so for itself, or it does not hold.

    Settings of a family are options: declared in ``option_names``, given in ``options``. Groups
    that differ in nothing share what has been compiled. One with attributes of its own shares
    nothing, unless ``derived_names`` declares that they follow from the options.

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
        Length of the flat unconstrained vector, of the group's own variables in their order.
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
    derived_names: ClassVar[frozenset[str]] = frozenset()
    """Attributes of its own that follow from options and variables, or change no result."""
    has_logq: ClassVar[bool] = True
    """Whether it has a density."""
    is_particles: ClassVar[bool] = False
    """Whether its parameter ``histogram`` holds draws, and nothing else is drawn."""
    is_normal: ClassVar[bool] = False
    """Whether it is a normal distribution: ``params_near`` then gives the closest one."""
    is_diagonal: ClassVar[bool] = False
    """Whether its dimensions are independent of each other."""
    several_modes: ClassVar[bool] = False
    """Whether members of the family can have several modes."""
    center_name: ClassVar[str] = ""
    """Name of the parameter that is the centre of the flat vector, if there is one."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        forget_facts(cls, Group)
        if "derived_names" not in vars(cls):
            cls.derived_names = frozenset()
        FAMILIES.add(cls)

    def __new__(
        cls,
        group: Sequence[TensorVariable] | None = None,
        vfam: str | None = None,
        params: Mapping[str, Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Group:
        return object.__new__(choose_family(vfam, params) if cls is Group else cls)

    @check_arguments
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
            raise LocalGroupError(
                "A local group needs its variables and params: functions of the minibatch, such "
                "as {'mu': ..., 'rho': ...}"
            )
        self.local: bool = bool(local)
        self.model: Model = modelcontext(model)
        self.options: dict[str, Any] = dict(options or {})
        if unknown := sorted(self.options.keys() - self.option_names):
            known = ", ".join(sorted(self.option_names)) or "none"
            raise TypeError(f"{type(self).__name__} has no option {unknown[0]!r}; it has: {known}")
        self.variables: list[TensorVariable] = []
        self.given_params: dict[str, Any] = dict(params or {})
        check_random_seed(random_seed)
        self.random_seed: Any = random_seed
        self.start: dict[str, Any] = dict(start or {})
        self.start_sigma: Mapping[str, Any] | None = start_sigma
        # of the only variable, where the parameters know it: a minibatch may have another length
        self.event_shape: tuple[Any, ...] | None = None
        if group is not None:
            self.attach(group)

    @classmethod
    def families(cls) -> dict[str, type[Group]]:
        """Return the known families by name and alias."""
        return dict(FAMILIES)

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
        self.params_dict: dict[str, TensorVariable]
        if self.given_params:
            self.params_dict = self._checked_params()
            return
        self.shared_params = self.create_shared_params()
        self.params_dict = dict(self.shared_params)

    def _checked_params(self) -> dict[str, TensorVariable]:
        """Return the parameters that the user has given, their shapes checked."""
        if set(self.given_params) != self.param_names:
            raise ParametrizationError(
                f"{type(self).__name__} has the parameters {sorted(self.param_names)}, got "
                f"{sorted(self.given_params)}"
            )
        result = {}
        for name, shape in self.param_shapes().items():
            subject = f"{type(self).__name__}: parameter {name!r}"
            param = to_float(as_tensor(self.given_params[name], subject))
            if self._has_shape_of_variable(param, shape):
                self.event_shape = tuple(param.shape)
                param = param.ravel()
            if not same_shape(param.type.shape, shape):
                raise DimensionMismatchError(
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

    def _flat_sigma(self, start_sigma: Mapping[str, Any] | None) -> np.ndarray | None:
        """Return the standard deviations to start from as a flat vector, None by default."""
        if start_sigma is None:
            return None
        flat = np.full(self.ddim, np.nan)
        given = dict(start_sigma)
        for rv, slot in zip(self.variables, self.layout.slots, strict=True):
            for name in {rv.name, slot.name} & given.keys():
                sigma = numeric_array(given.pop(name), f"start_sigma of {name!r}", copy=None)
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

    def __getattr__(self, name: str) -> Any:
        used = ELSEWHERE.get(name)
        instead = f"; use {used}" if used else ""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{instead}")

    @property
    def bij(self) -> Raveling:
        """Between points and flat vectors."""
        return Raveling(self.layout)

    @property
    def ordering(self) -> dict[str, tuple[str, slice, tuple[int, ...], str]]:
        """Name, place, shape and dtype of each value variable in the flat vector."""
        return self.bij.ordering

    @property
    def user_params(self) -> dict[str, Any] | None:
        """Parameters that the user has given, None if they are the group's own."""
        return dict(self.given_params) or None

    @classmethod
    def group_for_short_name(cls, name: str) -> type[Group]:
        """Return the family of a name."""
        return choose_family(name, None)

    @classmethod
    def group_for_params(cls, params: Mapping[str, Any]) -> type[Group]:
        """Return the family that has parameters of these names."""
        return choose_family(None, dict.fromkeys(params))

    @classmethod
    def register(cls, sbcls: type[Group]) -> type[Group]:
        """Return a family, which is known already: from its class statement on."""
        return sbcls

    @property
    def params_spec(self) -> dict[str, tuple[int | None, ...]]:
        """Another name of :meth:`param_shapes`."""
        return self.param_shapes()

    def create_shared_params(
        self, start: Mapping[str, Any] | None = None, start_sigma: Mapping[str, Any] | None = None
    ) -> dict[str, SharedVariable]:
        """Return new parameters, as those that the group starts from.

        Parameters
        ----------
        start
            Where to start, by variable name; by default as the group was made.
        start_sigma
            Standard deviations to start from, by variable name, in the unconstrained space.
        """
        point = self.model.initial_point(self.random_seed, {**self.start, **(start or {})})
        values = self.initial_params(
            self.layout.join(point), self._flat_sigma(start_sigma or self.start_sigma)
        )
        dtype = pytensor.config.floatX
        return {
            name: pytensor.shared(np.asarray(value, dtype=dtype), name=name, shape=value.shape)
            for name, value in values.items()
        }

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
        return self.initial_params(mean, root if root.ndim == 1 else row_norms(root))

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
        if self.event_shape is None:
            return self.layout.split_draws(flat, size)
        lead = () if size is None else (size,)
        return {self.layout.value_vars[0]: flat.reshape((*lead, *self.event_shape))}

    @property
    def params(self) -> list[SharedVariable]:
        """The parameters that belong to the group, as a list."""
        return list(self.shared_params.values())

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Set parameters that belong to the group, by name."""
        for name, value in values.items():
            assign(self.shared_params[name], value)

    @property
    def key(self) -> Hashable | None:
        """Equal for groups of a model whose compiled functions can serve each other.

        None for one that no other is equal to: it has attributes that its class does not declare,
        or options that cannot be compared.
        """
        if attributes(self).keys() - OWN_ATTRIBUTES - self.derived_names:
            return None
        options = key_of(self.options)
        return options and (
            type(self),
            tuple(rv.name for rv in self.variables),
            tuple(p.type for p in self.params),
            tuple(self.params_dict.values()) if self.given_params else (),
            options,
            self.local,
        )

    @property
    def is_trained(self) -> bool:
        """Whether all parameters of the family are the group's own."""
        return set(self.shared_params) == set(self.param_names)

    @classmethod
    def saved_options(
        cls, options: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, Any]:
        """Return the options of a group that was saved, whose parameters have these shapes."""
        return dict(options)

    @classmethod
    def holds(cls, moment: str) -> bool:
        """Tell whether ``mean``, ``std`` or ``cov`` is that of the draws.

        It is that of the class which defines it: where a subclass overrides what makes the
        distribution, it may still stand for a parameter, but no longer for a moment.
        """
        definer = next(c for c in cls.__mro__ if moment in vars(c))
        return definer is not Group and issubclass(definer, distribution_of_class(cls))

    def moment(self, name: str) -> TensorVariable:
        """Return ``mean``, ``std`` or ``cov`` of the flat unconstrained vector.

        Raises
        ------
        NotImplementedError
            If it is not known in closed form.
        """
        if not self.holds(name):
            raise NotImplementedError(f"{type(self).__name__} has no {name} in closed form")
        return getattr(self, name)

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


def row_norms(root: np.ndarray) -> np.ndarray:
    """Return the standard deviations of a normal, of the Cholesky factor of its covariance."""
    return np.sqrt((root**2).sum(axis=1))


def check_continuous(model: Model, variables: Iterable[TensorVariable]) -> None:
    """Raise if there is nothing to infer, or a variable that has no gradient."""
    variables = list(variables)
    if not variables:
        nothing = not model.free_RVs
        raise GroupError(
            "The model has no free random variables: there is nothing to infer."
            if nothing
            else "A group needs at least one variable; leave `group` out for all the rest."
        )
    for rv in variables:
        if rv not in model.rvs_to_transforms:
            raise GroupError(f"{rv.name!r} is not a free random variable of the model")
        if not model.rvs_to_values[rv].dtype.startswith("float"):
            raise GroupError(
                f"The free variable {rv.name!r} is discrete, but variational inference needs a "
                f"gradient. Marginalize it: vb.marginalize(model, {rv.name!r}) sums over its "
                "states, if they are finitely many; or write the sum as a mixture, as in "
                "vb.Mixture or vb.NormalMixture."
            )
