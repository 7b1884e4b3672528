"""What every distribution is: parameters as expressions, a log density, draws, a place to start.

A subclass states its parameters in ``__init__`` and its formulas in ``logp``, ``random``,
``support_point`` and, where one is known, ``logcdf``. Calling the subclass inside a model, or its
``dist`` method anywhere, gives an ordinary PyTensor variable: evaluating it draws from the
distribution. The distribution object stays attached to that variable, so that nothing ever has
to guess a density back out of a graph.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_annotated, hints_of, shown
from vibayes.backend.expressions import is_random_variable
from vibayes.context import modelcontext
from vibayes.distributions.constraints import Constraints, constant_value
from vibayes.distributions.dist_math import safe_log1mexp
from vibayes.distributions.named_axes import along_dims
from vibayes.distributions.shapes import Shape, as_shape, broadcast_static, fits, known_lengths
from vibayes.distributions.standard_forms import StandardForm
from vibayes.distributions.transforms import Chain, Transform, logodds
from vibayes.distributions.transforms import log as log_transform
from vibayes.exceptions import ShapeError
from vibayes.numeric import as_tensor, numeric_value

__all__ = [
    "Continuous",
    "Discrete",
    "Distribution",
    "check_transform",
    "distribution_of",
    "draw_from",
    "logccdf",
    "logcdf",
    "logp",
    "short",
    "to_float",
]

REQUIRED: Any = inspect.Parameter.empty
UNSET: Any = type("Unset", (), {"__repr__": lambda self: "UNSET"})()


class Distribution:
    """Base of all distributions.

    Parameters
    ----------
    name : str
        Name of the variable in the model.
    *args, **kwargs
        The parameters of the distribution. They broadcast against each other. PyTensor's xtensors
        lie along ``dims``, by the names of their axes.
    shape : int or sequence of int, optional
        Shape of one draw of the whole variable, event dimensions included.
    dims : str or sequence of str, optional
        Names of the variable's axes; their lengths come from the model's coordinates.
    observed : array_like or TensorVariable, optional
        Data. A variable with data is part of the likelihood, not of the posterior.
    total_size : int or sequence, optional
        Number of observations of which ``observed`` is a part, an entry an axis; ``None`` and
        ``Ellipsis`` leave axes unscaled. The log density is scaled up accordingly.
    transform : Transform or None, optional
        How the variable is mapped to the unconstrained space. ``None`` leaves it as it is; by
        default the distribution chooses.
    initval : array_like or {"support_point", "prior"}, optional
        Where to start, on the scale of the variable. ``testval``, PyMC3's name, is accepted too.
    default_transform : Transform or None, optional
        As in PyMC, what is in the place of the distribution's own transform. A ``transform`` beside
        it comes after it; one alone replaces the distribution's own.

    Attributes
    ----------
    ndim_supp : int
        Number of axes of one event: 0 for a scalar, 1 for a vector, 2 for a matrix.
    params : dict of str to TensorVariable
        The canonical parameters.
    """

    ndim_supp: int = 0
    discrete: bool = False
    constraints: ClassVar[Constraints] = {}
    param_ndims: Mapping[str, int] = {}
    """Number of axes that an element of a parameter has; 0 for those not named."""

    parts: Sequence[Distribution] = ()
    """Distributions, made by ``dist``, of which this one is made."""

    params: dict[str, TensorVariable]
    rv: TensorVariable

    def __new__(
        cls,
        name: str,
        *args: Any,
        dims: str | Sequence[str | None] | None = None,
        observed: Any = None,
        total_size: Any = None,
        transform: Transform | None = UNSET,
        initval: Any = None,
        shape: Shape | None = None,
        size: Shape | None = None,
        default_transform: Transform | None = UNSET,
        testval: Any = None,
        **kwargs: Any,
    ) -> TensorVariable:
        if not isinstance(name, str):
            raise TypeError(
                f"{cls.__name__}: the first argument is the variable's name, which must be a "
                f"string, got {shown(name)}. "
                f"For a distribution outside of a model use {cls.__name__}.dist(...)."
            )
        model = modelcontext(None)
        label = f"{cls.__name__}({name!r})"
        if testval is not None and initval is not None:
            raise TypeError(f"{label}: testval is another name of initval; give only one of them")
        args, kwargs, dims, observed = along_dims(args, kwargs, dims, observed)
        dist = cls._build(label, *args, **kwargs)
        return model.register_rv(
            dist,
            name,
            label=label,
            dims=dims,
            observed=observed,
            total_size=total_size,
            transform=one_after_the_other(default_transform, transform, label),
            initval=testval if initval is None else initval,
            shape=shape,
            size=size,
        )

    @classmethod
    def dist(
        cls,
        *args: Any,
        shape: Shape | None = None,
        size: Shape | None = None,
        rng: SharedVariable | None = None,
        **kwargs: Any,
    ) -> TensorVariable:
        """Return a random variable that belongs to no model.

        Parameters
        ----------
        *args, **kwargs
            The parameters of the distribution.
        shape
            Shape of one draw, event axes included.
        size
            Shape of one draw without the event axes. Only one of the two can be given.
        rng
            Shared random generator to draw from; a new one by default.
        """
        dist = cls._build(cls.__name__, *args, **kwargs)
        return dist.make_rv(dist.batch_size(shape, size, cls.__name__), rng=rng)

    @classmethod
    def _build(cls, label: str, *args: Any, **kwargs: Any) -> Distribution:
        """Return the distribution object, its constant parameters checked.

        ``sd``, the older name of a standard deviation, is accepted for ``sigma``.
        """
        signature = inspect.signature(cls.__init__)
        if "sd" in kwargs and "sigma" in signature.parameters:
            if "sigma" in kwargs:
                raise TypeError(f"{label}: sd is another name of sigma; give only one of them")
            kwargs["sigma"] = kwargs.pop("sd")
        try:
            bound = signature.bind(None, *args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{label}: {error}") from None
        dist, hints = _blank(cls), hints_of(cls.__init__)
        bound.arguments["self"] = dist
        for parameter, value in bound.arguments.items():
            if parameter in cls.constraints:
                if value is not None or signature.parameters[parameter].default is REQUIRED:
                    value = numeric_value(value, f"{label}: {parameter}")
                    cls.constraints[parameter].check(label, parameter, value)
                    bound.arguments[parameter] = value
            elif hints.get(parameter) not in (TensorVariable, TensorVariable | None):
                check_annotated(label, cls.__init__, parameter, value)  # `unnamed` does the others
        try:
            cls.__init__(*bound.args, **bound.kwargs)
        except (TypeError, ValueError) as error:
            if str(error).startswith(label):
                raise
            raise type(error)(f"{label}: {error}") from error
        return dist

    def __reduce__(self) -> tuple[Any, ...]:
        return _blank, (type(self),), self.__dict__

    def set_params(self, **params: Any) -> None:
        """Keep the canonical parameters as attributes, converted to tensors of dtype ``floatX``."""
        self.params = {name: to_float(numeric_value(v, name)) for name, v in params.items()}
        self.__dict__.update(self.params)

    def random(self, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
        """Return the next state of the generator and a draw.

        Parameters
        ----------
        rng
            Symbolic random generator.
        size
            Batch shape of the draw, or None for the one that the parameters have.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be drawn from")

    def logp(self, value: TensorVariable) -> TensorVariable:
        """Return the log density (log mass) of ``value``: one number an event."""
        raise NotImplementedError(f"{type(self).__name__} has no log density")

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        """Return ``logp`` of a value that the default transform has mapped into the support.

        Such a value needs no check, and without checks PyTensor sees through the transform: the
        log of an exponential becomes exact, also where the exponential overflows or underflows.
        """
        return self.logp(value)

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        """Return the log of the probability of a draw of at most ``value``."""
        raise NotImplementedError(f"the log CDF of {type(self).__name__} is not known")

    def logccdf(self, value: TensorVariable) -> TensorVariable:
        """Return the log of the probability of a draw above ``value``.

        From ``logcdf``, which loses the upper tail once that is below the smallest number (for a
        normal distribution, at 38 standard deviations). A subclass that knows better overrides it.
        """
        return safe_log1mexp(self.logcdf(value))

    def standard_form(self) -> StandardForm | None:
        """Return how the variable is made of a standard one, None if it is not.

        On the unconstrained scale of the default transform. A fit that chooses its coordinates may
        then take the standard variable in the place of this one.
        """
        return None

    def derived(self) -> dict[str, TensorVariable]:
        """Return expressions of the random variable that the model is to record with it.

        By what is appended to the variable's name: ``{"probs": p}`` becomes ``name_probs``.
        """
        return {}

    def support_point(self) -> TensorVariable:
        """Return a typical value, of finite log density, broadcastable to the variable's shape."""
        raise NotImplementedError(f"{type(self).__name__} has no support point")

    @property
    def default_transform(self) -> Transform | None:
        """The transform of a free variable that names none."""
        return None

    @property
    def batch_shapes(self) -> list[tuple[Any, ...]]:
        """Shapes that broadcast to the batch shape, of ints where known, else symbolic lengths."""
        shapes = [
            known_lengths(value, value.type.ndim - self.param_ndims.get(name, 0))
            for name, value in self.params.items()
        ]
        return shapes + [part.rv_batch_shape for part in self.parts]

    @property
    def batch_shape(self) -> tuple[TensorVariable, ...]:
        """Symbolic shape to which the parameters broadcast, event axes left out."""
        shapes = self.batch_shapes
        return tuple(pt.broadcast_shape(*shapes, arrays_are_shapes=True)) if shapes else ()

    @property
    def static_batch_shape(self) -> tuple[int | None, ...]:
        """The batch shape, None for the lengths that are known only at run time."""
        shapes = (tuple(n if isinstance(n, int) else None for n in s) for s in self.batch_shapes)
        return broadcast_static(*shapes, names=list(self.params))

    @property
    def rv_batch_shape(self) -> tuple[Any, ...]:
        """Batch shape of the random variable: ints where known, else symbolic lengths."""
        return known_lengths(self.rv, self.rv.type.ndim - self.ndim_supp)

    def set_event_shape(self, event: Sequence[Any], label: str) -> None:
        """Take note of the shape of an event, where ``shape``, ``dims`` or data tell it.

        Most distributions know it from their parameters. A time series does not.

        Parameters
        ----------
        event
            The last ``ndim_supp`` lengths: ints where known, else symbolic.
        label
            The random variable, as messages are to name it.
        """

    def size_or_batch(self, size: Any) -> Any:
        """Return ``size``, or the parameters' batch shape where it is None."""
        return self.batch_shape if size is None else size

    def batch_size(
        self, shape: Shape | None, size: Shape | None, label: str
    ) -> tuple[Any, ...] | None:
        """Return the batch shape that ``shape`` or ``size`` asks for, None if neither does."""
        if shape is not None and size is not None:
            raise ValueError(f"{label}: give either shape or size, not both")
        try:
            static = self.static_batch_shape
        except ShapeError as error:
            raise ShapeError(f"{label}: {error}") from None
        if shape is None and size is None:
            return None
        if size is None:
            full = as_shape(shape, label)
            if len(full) < self.ndim_supp:
                raise ShapeError(
                    f"{label}: one event has {self.ndim_supp} axes, but shape {shape} has "
                    f"only {len(full)}"
                )
            batch = full[: len(full) - self.ndim_supp]
            self.set_event_shape(full[len(batch) :], label)
        else:
            batch = as_shape(size, label, "size")
        if not fits(static, tuple(n if isinstance(n, int) else None for n in batch)):
            raise ShapeError(
                f"{label}: the parameters broadcast to batch shape {static}, which does not fit "
                f"into {tuple(batch)}"
            )
        return batch

    def make_rv(
        self, size: Any, name: str | None = None, rng: SharedVariable | None = None
    ) -> TensorVariable:
        """Return the random variable of this distribution, which draws when it is evaluated."""
        if rng is None:
            rng = pytensor.shared(
                np.random.default_rng(), name=f"rng_{name or type(self).__name__}"
            )
        next_rng, rv = self.random(rng, size)
        rng.default_update = next_rng
        if rv.owner is None or rv.name is not None:
            rv = pt.tensor_copy(rv)
        rv.name = name
        rv.tag.distribution = self
        self.rv = rv
        return rv

    def __repr__(self) -> str:
        inner = [f"{name}={short(value)}" for name, value in self.params.items()]
        return f"{type(self).__name__}({', '.join(inner + [repr(p) for p in self.parts])})"


def one_after_the_other(
    default: Transform | None, transform: Transform | None, label: str
) -> Transform | None:
    """Return the transform that two arguments ask for, either of which may not be given."""
    check_transform(default, "default_transform", label)
    check_transform(transform, "transform", label)
    if default is UNSET:
        return transform
    if transform is UNSET or transform is None:
        return default
    return transform if default is None else Chain([default, transform])


def check_transform(value: Any, name: str, label: str) -> None:
    """Raise if an argument is no transform, and neither None nor left out."""
    if not (value is None or value is UNSET or isinstance(value, Transform)):
        raise TypeError(f"{label}: {name} must be a Transform or None, got {shown(value)}")


def _blank(cls: type[Distribution]) -> Distribution:
    """Return an instance without parameters (calling the class would make a random variable)."""
    return object.__new__(cls)


class Continuous(Distribution):
    """Base of the distributions that have a density."""


class BoundedContinuous(Continuous):
    """Base of the continuous distributions whose support has an end.

    A subclass gives the formulas for values inside of its support, ``interior_logp`` and
    ``interior_logcdf``, free of guards. ``logp`` and ``logcdf`` extend them to all numbers: they
    evaluate the formula at a value that is replaced by a harmless one where it is not inside, so
    that neither a result nor a gradient becomes NaN.

    Attributes
    ----------
    closed : tuple of bool
        Whether the formula holds at the lower and at the upper bound.
    """

    closed: ClassVar[tuple[bool, bool]] = (False, False)

    @property
    def bounds(self) -> tuple[Any, Any]:
        """Lower and upper bound; None for a side on which the formula holds up to infinity."""
        raise NotImplementedError

    def interior_logp(self, value: TensorVariable) -> TensorVariable:
        """Return the log density of a value inside of the support."""
        raise NotImplementedError(f"{type(self).__name__} has no log density")

    def interior_logcdf(self, value: TensorVariable) -> TensorVariable:
        """Return the log CDF of a value strictly between the bounds."""
        raise NotImplementedError(f"the log CDF of {type(self).__name__} is not known")

    def interior_logccdf(self, value: TensorVariable) -> TensorVariable:
        """Return the log of the probability above a value strictly between the bounds."""
        return safe_log1mexp(self.interior_logcdf(value))

    def edge_logp(self, value: TensorVariable) -> TensorVariable | float:
        """Return the log density of a value at which ``interior_logp`` does not hold."""
        return -np.inf

    def logp(self, value: TensorVariable) -> TensorVariable:
        inside, safe = self._guard(value, self.closed)
        return pt.switch(inside, self.interior_logp(safe), self.edge_logp(value))

    def logcdf(self, value: TensorVariable) -> TensorVariable:
        return self._between(value, self.interior_logcdf, -np.inf, 0.0)

    def logccdf(self, value: TensorVariable) -> TensorVariable:
        return self._between(value, self.interior_logccdf, 0.0, -np.inf)

    def _between(
        self,
        value: TensorVariable,
        formula: Callable[[TensorVariable], TensorVariable],
        below: float,
        above: float,
    ) -> TensorVariable:
        """Return a formula between the bounds, and constants below and above them."""
        lower, upper = self.bounds
        inside, safe = self._guard(value, (False, False))
        result = formula(safe)
        if upper is not None:
            result = pt.switch(inside, result, above)
        return result if lower is None else pt.switch(value > lower, result, below)

    def _guard(
        self, value: TensorVariable, closed: tuple[bool, bool]
    ) -> tuple[TensorVariable, TensorVariable]:
        """Tell where ``value`` is inside, and return it with another inside value elsewhere."""
        lower, upper = self.bounds
        sides = []
        if lower is not None:
            sides.append(value >= lower if closed[0] else value > lower)
        if upper is not None:
            sides.append(value <= upper if closed[1] else value < upper)
        inside = sides[0] if len(sides) == 1 else sides[0] & sides[1]
        return inside, pt.switch(inside, value, interior_point(lower, upper))


class PositiveContinuous(BoundedContinuous):
    """Base of the continuous distributions on the positive half line."""

    bounds: tuple[Any, Any] = (0.0, np.inf)

    @property
    def default_transform(self) -> Transform:
        """The logarithm."""
        return log_transform


class UnitContinuous(BoundedContinuous):
    """Base of the continuous distributions on the open interval from 0 to 1."""

    bounds: tuple[Any, Any] = (0.0, 1.0)

    @property
    def default_transform(self) -> Transform:
        """The log odds."""
        return logodds


class Discrete(Distribution):
    """Base of the distributions on whole numbers, which only observed variables can have."""

    discrete = True


def to_float(value: Any) -> TensorVariable:
    """Return ``value`` as a tensor of dtype ``floatX``; a constant stays one."""
    value = pt.as_tensor_variable(value)
    if value.dtype == pytensor.config.floatX:
        return value
    if isinstance(value, Constant):
        return pt.constant(value.data.astype(pytensor.config.floatX))
    return value.astype(pytensor.config.floatX)


def as_vector(value: Any) -> TensorVariable:
    """Return a parameter as a tensor with a last axis, of length one if it has none."""
    constant = constant_value(value)
    value = pt.as_tensor_variable(value if constant is None else np.atleast_1d(constant))
    return value if value.type.ndim else value[None]


def interior_point(lower: Any, upper: Any) -> Any:
    """Return a number strictly between two bounds, of which None and infinite ones are open."""
    open_below = lower is None or (isinstance(lower, float) and np.isinf(lower))
    open_above = upper is None or (isinstance(upper, float) and np.isinf(upper))
    if open_below and open_above:
        return 0.0
    if open_above:
        return lower + 1.0
    return upper - 1.0 if open_below else (lower + upper) * 0.5


def draw_from(op: Any, *params: Any, rng: Any, size: Any) -> tuple[Any, TensorVariable]:
    """Return the generator's next state and a draw of a PyTensor random variable."""
    drawn = op(*params, rng=rng, size=size)
    node = drawn.owner
    while not is_random_variable(node.op):
        node = node.inputs[0].owner
    return node.outputs[0], drawn


def distribution_of(rv: TensorVariable) -> Distribution:
    """Return the distribution of a random variable that vibayes made.

    Raises
    ------
    TypeError
        If the variable is an expression, a clone, or of another library.
    """
    dist = getattr(rv.tag, "distribution", None) if hasattr(rv, "tag") else None
    if dist is None or dist.rv is not rv:
        raise TypeError(
            f"{shown(rv)} is not a random variable made by a vibayes distribution, so its density "
            f"is not known."
        )
    return dist


def unnamed(rv: TensorVariable, name: str) -> Distribution:
    """Return the distribution of a random variable that serves as a part of another one.

    Messages call the argument by its ``name``.

    Raises
    ------
    TypeError
        If the variable was not made by a distribution.
    ValueError
        If it is a variable of a model.
    """
    try:
        dist = distribution_of(rv)
    except TypeError as error:
        raise TypeError(f"{name} must be made by dist: {error}") from None
    if rv.name is not None:
        kind = type(dist).__name__
        raise ValueError(
            f"{rv.name!r} is a variable of a model. Give a part ({name}) as {kind}.dist(...), "
            f"which belongs to no model."
        )
    return dist


def logp(rv: TensorVariable, value: Any) -> TensorVariable:
    """Return the log density of a random variable at a value.

    Parameters
    ----------
    rv
        A variable made by a distribution, in a model or by its ``dist``.
    value : array_like or TensorVariable
        Where to evaluate, on the scale of the variable.

    Returns
    -------
    TensorVariable
        One number an event: the shape of ``value`` without the event axes, broadcast against the
        parameters. It depends on the random variables that the parameters depend on.

    Raises
    ------
    TypeError
        If ``rv`` is not such a variable.

    Examples
    --------
    >>> import vibayes as vb
    >>> vb.logp(vb.Poisson.dist(3.0), [0, 1]).eval()
    array([-3.        , -1.90138771])
    """
    return at_value(rv, value, "logp")


def logcdf(rv: TensorVariable, value: Any) -> TensorVariable:
    """Return the log of the probability that a random variable is at most ``value``.

    Parameters
    ----------
    rv
        A variable made by a distribution, in a model or by its ``dist``.
    value : array_like or TensorVariable
        Where to evaluate.

    Raises
    ------
    TypeError
        If ``rv`` is not such a variable.
    NotImplementedError
        If the distribution's cumulative distribution function is not known in closed form.

    Examples
    --------
    >>> import numpy as np
    >>> import vibayes as vb
    >>> np.exp(vb.logcdf(vb.Normal.dist(0, 1), 1.96).eval()).round(3)
    np.float64(0.975)
    """
    return at_value(rv, value, "logcdf")


def logccdf(rv: TensorVariable, value: Any) -> TensorVariable:
    """Return the log of the probability that a random variable is above ``value``.

    Parameters
    ----------
    rv
        A variable made by a distribution, in a model or by its ``dist``.
    value : array_like or TensorVariable
        Where to evaluate.

    Raises
    ------
    TypeError
        If ``rv`` is not such a variable.
    NotImplementedError
        If the distribution's cumulative distribution function is not known in closed form.

    Examples
    --------
    >>> import vibayes as vb
    >>> vb.logccdf(vb.Normal.dist(0, 1), 40.0).eval().round(2)
    np.float64(-804.61)
    """
    return at_value(rv, value, "logccdf")


def at_value(rv: Any, value: Any, function: str) -> TensorVariable:
    """Return what a method of a variable's distribution says of a value."""
    dist = distribution_of(checked_rv(rv, function))
    result: TensorVariable = getattr(dist, function)(
        as_value(dist, as_tensor(value, f"{function}: value"))
    )
    return result


def checked_rv(rv: Any, owner: str) -> TensorVariable:
    """Return a variable; raise if something is none."""
    if not isinstance(rv, TensorVariable):
        raise TypeError(
            f"{owner}: rv must be a random variable, such as vb.Normal.dist(), got {shown(rv)}"
        )
    return rv


def as_value(dist: Distribution, value: Any) -> TensorVariable:
    """Return ``value`` as a tensor of a dtype that ``dist`` can work with."""
    value = pt.as_tensor_variable(value)
    return value if dist.discrete else to_float(value)


def short(value: Any) -> str:
    """Return a few characters that stand for a parameter in a repr."""
    name = getattr(value, "name", None)
    if name is not None:
        return str(name)
    data = getattr(value, "data", None)
    if data is not None:
        return f"{data:.4g}" if np.ndim(data) == 0 else f"<array {np.shape(data)}>"
    if value.owner is not None and len(value.owner.inputs) == 1:  # casts, reshapes, dimshuffles
        source = value.owner.inputs[0]
        if getattr(source, "name", None) is not None or hasattr(source, "data"):
            return short(source)
    return "<expression>"
