r"""Optimizers, in the style of Lasagne: a loss and parameters in, a dictionary of updates out.

Each optimizer is a plain function of (loss or gradients, parameters) and its hyper-parameters that
returns ``{shared variable: its next value}``, for the parameters and for the state it keeps. The
decorator :func:`optimizer` turns the function into an :class:`Optimizer`, which can also be called
with nothing but hyper-parameters, to be handed on: ``adam(learning_rate=0.01)``.

In the formulas :math:`\theta` is a parameter, :math:`g` the gradient of the loss, :math:`\eta` the
learning rate and :math:`\epsilon` a small number; all operations are element by element.
"""

from __future__ import annotations

import importlib
import inspect
import numbers
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, TypeAlias, overload

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorConstant, TensorVariable

from vibayes.arguments import check_arguments, check_real, check_whole, shown
from vibayes.distributions.constraints import Constraint
from vibayes.learning_rates import Schedule, cosine_decay, exponential_decay, warm_restarts
from vibayes.numeric import as_tensor, checked_tensor
from vibayes.settings import Identity, attributes, key_of

__all__ = [
    "Optimizer",
    "Schedule",
    "adadelta",
    "adagrad",
    "adagrad_window",
    "adam",
    "adamax",
    "apply_momentum",
    "apply_nesterov_momentum",
    "cosine_decay",
    "exponential_decay",
    "get_or_compute_grads",
    "momentum",
    "nesterov_momentum",
    "norm_constraint",
    "optimizer",
    "rmsprop",
    "sgd",
    "total_norm_constraint",
    "warm_restarts",
]

LossOrGrads: TypeAlias = TensorVariable | Sequence[TensorVariable] | None
Trained: TypeAlias = Iterable[SharedVariable] | None
Updates: TypeAlias = dict[SharedVariable, TensorVariable]
Number: TypeAlias = float | TensorVariable

rate = Constraint("finite and zero or more", lambda x: np.isfinite(x) & (x >= 0))
fraction = Constraint("zero or more and less than one", lambda x: (x >= 0) & (x < 1))

HYPER_PARAMETERS: Mapping[str, Constraint] = {
    "learning_rate": rate,
    "epsilon": rate,
    "max_norm": rate,
    "momentum": fraction,
    "rho": fraction,
    "beta1": fraction,
    "beta2": fraction,
}
"""What a hyper-parameter of a name may be, in every optimizer; ``n_win`` is a whole number."""

OR_SCHEDULE = {"learning_rate": ", a schedule such as vb.cosine_decay(0.01, steps=1000),"}

FUNCTION_ATTRIBUTES = ("__module__", "__name__", "__qualname__", "__doc__")
KNOWN_ATTRIBUTES = frozenset({*FUNCTION_ATTRIBUTES, "__wrapped__", "function", "hyper"})


@dataclass(frozen=True, eq=False, repr=False)
class Optimizer:
    """An optimizer with some of its hyper-parameters chosen.

    Called with a loss (or gradients) and parameters it returns the updates; called with neither, a
    new optimizer with other hyper-parameters.

    Parameters
    ----------
    function : callable
        Maps loss or gradients, parameters, and hyper-parameters to a dictionary of updates.
    hyper : dict, optional
        The hyper-parameters that were chosen; the others have the function's defaults.

    Raises
    ------
    ValueError
        If a hyper-parameter is a number that it can never be.

    Examples
    --------
    >>> import pytensor
    >>> from vibayes.updates import adam
    >>> x = pytensor.shared(3.0, name="x")
    >>> opt = adam(learning_rate=0.1)
    >>> opt
    adam(learning_rate=0.1)
    >>> [v.name for v in opt(x**2, [x])]
    ['x_adam_m', 'x_adam_v', 'x', 'adam_t']
    """

    function: Callable[..., Updates]
    hyper: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        function = self.function
        if not all(hasattr(function, name) for name in FUNCTION_ATTRIBUTES):
            raise TypeError(f"Optimizer: function must be a function, got {shown(function)}")
        if not isinstance(self.hyper, Mapping):
            raise TypeError(f"Optimizer: hyper must be a dict by name, got {shown(self.hyper)}")
        hyper = {k: check_hyper(v, k, function.__name__) for k, v in self.hyper.items()}
        # The instance is frozen, and looks like its function to help() and inspect.signature().
        self.__dict__.update({name: getattr(function, name) for name in FUNCTION_ATTRIBUTES})
        self.__dict__.update(__wrapped__=function, hyper=hyper)
        self._bind(**hyper)

    @overload
    def __call__(
        self, loss_or_grads: None = None, params: None = None, *args: Any, **hyper: Any
    ) -> Optimizer: ...

    @overload
    def __call__(
        self,
        loss_or_grads: TensorVariable | Sequence[TensorVariable],
        params: Iterable[SharedVariable],
        *args: Any,
        **hyper: Any,
    ) -> Updates: ...

    def __call__(
        self, loss_or_grads: LossOrGrads = None, params: Trained = None, *args: Any, **hyper: Any
    ) -> Any:
        """Return updates, or an optimizer with other hyper-parameters.

        Parameters
        ----------
        loss_or_grads : TensorVariable or sequence of TensorVariable, optional
            A scalar to be minimized, or its gradients, one a parameter.
        params : iterable of SharedVariable, optional
            What to change.
        *args, **hyper
            Hyper-parameters.

        Returns
        -------
        dict of SharedVariable to TensorVariable, or Optimizer
            The next value of each parameter and of each variable that the optimizer keeps, every
            one of the type of its variable; without loss and parameters, an optimizer.

        Raises
        ------
        TypeError
            If only one of ``loss_or_grads`` and ``params`` is given, or a hyper-parameter is
            unknown.
        """
        chosen = Optimizer(self.function, {**self.hyper, **self._named(args, hyper)})
        if loss_or_grads is None and params is None:
            return chosen
        if loss_or_grads is None or params is None:
            missing = "loss_or_grads" if loss_or_grads is None else "params"
            raise TypeError(
                f"{self.function.__name__}: {missing} is missing; give both loss_or_grads and "
                f"params to get updates, or neither to get an optimizer"
            )
        step = counter(f"{self.function.__name__}_step")
        hyper = {k: as_floatx(rate_at(v, step)) for k, v in chosen.hyper.items()}
        updates = self.function(loss_or_grads, params, **hyper)
        if any(isinstance(v, Schedule) for v in chosen.hyper.values()):
            updates = {**updates, step: step + 1}
        return {variable: as_type_of(variable, new) for variable, new in updates.items()}

    @property
    def all_hyper(self) -> dict[str, Any]:
        """All hyper-parameters, those that have their defaults included."""
        bound = self._bind(**self.hyper)
        bound.apply_defaults()
        return dict(list(bound.arguments.items())[2:])

    @property
    def own_attributes(self) -> dict[str, Any]:
        """Attributes that a subclass has beside those of every optimizer."""
        return {k: v for k, v in attributes(self).items() if k not in KNOWN_ATTRIBUTES}

    @property
    def key(self) -> Hashable:
        """The function and all its hyper-parameters: equal keys, equal updates.

        Numbers and schedules are compared by value, symbolic hyper-parameters by identity. An
        optimizer of a subclass that has attributes of its own is equal to nothing but itself.
        """
        hyper = tuple(
            (k, key_of(v) if isinstance(v, Schedule) else v) for k, v in self.all_hyper.items()
        )
        try:
            hash(hyper)
        except TypeError:
            return Identity(self)
        return Identity(self) if self.own_attributes else (type(self), self.function, hyper)

    def _bind(self, *args: Any, **hyper: Any) -> inspect.BoundArguments:
        try:
            return inspect.signature(self.function).bind_partial(None, None, *args, **hyper)
        except TypeError as error:
            raise TypeError(f"{self.function.__name__}: {error}") from None

    def _named(self, args: Sequence[Any], hyper: Mapping[str, Any]) -> dict[str, Any]:
        """Return hyper-parameters that were given by position or name, all by name."""
        return dict(list(self._bind(*args, **hyper).arguments.items())[2:])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Optimizer) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"{self.function.__name__}({', '.join(f'{k}={v!r}' for k, v in self.hyper.items())})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.function.__module__, self.function.__qualname__, dict(self.hyper))


def _restore(module: str, qualname: str, hyper: Mapping[str, Any]) -> Optimizer:
    """Return the pickled optimizer; its function is found by name, as pickle finds functions."""
    found = attrgetter(qualname)(importlib.import_module(module))
    return Optimizer(getattr(found, "function", found), hyper)


def optimizer(function: Callable[..., Updates]) -> Optimizer:
    """Make an optimizer of a function that returns updates.

    Parameters
    ----------
    function
        Takes a loss or gradients, parameters, and after these its hyper-parameters, and returns
        ``{shared variable: next value}``.

    Returns
    -------
    Optimizer
        Has the signature and docstring of the function.

    Notes
    -----
    Numbers given for hyper-parameters are checked if their name is one of those that the
    optimizers here have: ``learning_rate``, ``epsilon`` and ``max_norm`` are finite and not
    negative; ``momentum``, ``rho``, ``beta1`` and ``beta2`` are at least zero and less than one.

    Examples
    --------
    >>> from vibayes.updates import get_or_compute_grads, optimizer
    >>> import pytensor.tensor as pt
    >>> @optimizer
    ... def sign_descent(loss_or_grads, params, learning_rate=0.01):
    ...     grads = get_or_compute_grads(loss_or_grads, params)
    ...     return {p: p - learning_rate * pt.sign(g) for p, g in zip(params, grads)}
    >>> sign_descent(learning_rate=0.1)
    sign_descent(learning_rate=0.1)
    """
    return Optimizer(function)


def check_hyper(value: Any, name: str, owner: str) -> Any:
    """Return a hyper-parameter, constants as plain numbers, or raise if it is impossible."""
    if isinstance(value, TensorConstant):
        value = value.data
    is_number = isinstance(value, np.generic | np.ndarray) and not np.ma.isMaskedArray(value)
    if is_number and value.ndim == 0:
        value = value.item()
    if name == "n_win" and not isinstance(value, Variable):
        return check_whole(value, f"{owner}: {name}", least=1)
    if name == "learning_rate" and isinstance(value, Schedule):
        return value
    if name in HYPER_PARAMETERS:
        if not isinstance(value, numbers.Real | Variable):
            raise TypeError(
                f"{owner}: {name} must be a number{OR_SCHEDULE.get(name, '')} or a PyTensor "
                f"scalar, got {shown(value)}"
            )
        if isinstance(value, Variable) and checked_tensor(value, f"{owner}: {name}").type.ndim:
            raise TypeError(f"{owner}: {name} must be a scalar, got {shown(value)} ({value.type})")
        if not isinstance(value, Variable):
            value = check_real(value, f"{owner}: {name}", finite=False)
        HYPER_PARAMETERS[name].check(owner, name, value)
    return value


def rate_at(value: Any, step: TensorVariable) -> Any:
    """Return a hyper-parameter, of a schedule its rate at a step."""
    return value.rate(step) if isinstance(value, Schedule) else value


def as_floatx(value: Any) -> Any:
    """Return a hyper-parameter that does not upcast ``floatX``, neither as number nor tensor."""
    if isinstance(value, TensorVariable) and value.dtype != pytensor.config.floatX:
        return value.astype(pytensor.config.floatX)
    return value


def as_type_of(variable: SharedVariable, new: Any) -> Variable:
    """Return the next value of a variable, of the variable's type."""
    if getattr(new, "type", None) == variable.type:
        return new
    if hasattr(variable.type, "dtype"):
        new = pt.cast(new, variable.type.dtype)
    return variable.type.filter_variable(new)


def as_list(params: Trained) -> list[SharedVariable]:
    """Return parameters as a list."""
    if params is None:
        raise TypeError("params is missing")
    try:
        if not isinstance(params, str | bytes):
            return list(params)
    except Exception:  # whatever objects of the user's raise
        pass
    raise TypeError(f"params must be a list of shared variables, got {shown(params)}")


def get_or_compute_grads(loss_or_grads: LossOrGrads, params: Trained) -> list[TensorVariable]:
    """Return gradients, one a parameter.

    Parameters
    ----------
    loss_or_grads : TensorVariable or sequence of TensorVariable
        A scalar to differentiate, or the gradients themselves, which are returned.
    params : iterable of SharedVariable
        What to differentiate by.

    Raises
    ------
    TypeError
        If a parameter is no shared variable, or the loss no scalar.
    ValueError
        If there are not as many gradients as parameters, or one has another number of axes.
    """
    params = as_list(params)
    for param in params:
        if not isinstance(param, SharedVariable):
            raise TypeError(f"params must be shared variables, got {shown(param)}")
    if not isinstance(loss_or_grads, list | tuple):
        is_tensor = isinstance(loss_or_grads, Variable)
        if not is_tensor or getattr(loss_or_grads, "ndim", None) != 0:
            raise TypeError(
                f"loss_or_grads: the loss must be a scalar expression, got {shown(loss_or_grads)}"
            )
        return pytensor.grad(loss_or_grads, params)
    grads = [
        as_tensor(grad, f"loss_or_grads: gradient {i}") for i, grad in enumerate(loss_or_grads)
    ]
    if len(grads) != len(params):
        raise ValueError(
            f"loss_or_grads: there are {len(grads)} gradients for {len(params)} parameters"
        )
    for param, grad in zip(params, grads, strict=True):
        if grad.type.ndim != param.type.ndim:
            raise ValueError(
                f"the gradient of {param.name!r} has {grad.type.ndim} axes, the parameter "
                f"{param.type.ndim}"
            )
    return grads


def zeros_like(param: SharedVariable, label: str) -> SharedVariable:
    """Return a new shared variable of zeros, of the shape and type of a parameter."""
    zeros = np.zeros(param.get_value(borrow=True).shape, dtype=param.type.dtype)
    return state(zeros, f"{param.name}_{label}", param.type.shape)


def counter(label: str) -> SharedVariable:
    """Return a new shared variable that counts steps, for use in floating point formulas."""
    return state(np.zeros((), dtype=pytensor.config.floatX), label, ())


def state(value: np.ndarray, name: str, shape: tuple[int | None, ...]) -> SharedVariable:
    """Return a new shared variable of an optimizer, marked as such."""
    variable = pytensor.shared(value, name=name, shape=shape)
    variable.tag.optimizer_state = True
    return variable


def moved_params(updates: Updates, params: Trained) -> list[SharedVariable]:
    """Return ``params``, by default all keys of updates but the state of optimizers."""
    if params is not None:
        return as_list(params)
    return [key for key in updates if not hasattr(key.tag, "optimizer_state")]


@check_arguments
def apply_momentum(updates: Updates, params: Trained = None, momentum: Number = 0.9) -> Updates:
    r"""Add momentum to updates.

    With :math:`s_t` the step that an update makes,

    .. math:: v_t = \mu v_{t-1} + s_t, \qquad \theta_t = \theta_{t-1} + v_t

    Parameters
    ----------
    updates : dict of SharedVariable to TensorVariable
        Updates of any optimizer.
    params : iterable of SharedVariable, optional
        The variables to which momentum applies; by default all that are not the state of an
        optimizer.
    momentum : float, default 0.9
        The share :math:`\mu` of the velocity that is kept, at least 0 and less than 1.

    Returns
    -------
    dict of SharedVariable to TensorVariable
        A copy of the updates with the steps replaced, and the velocities added.

    Notes
    -----
    A higher momentum makes longer steps: they grow up to :math:`1 / (1 - \mu)` times, so lower the
    learning rate accordingly.

    References
    ----------
    .. [1] B. T. Polyak (1964). Some methods of speeding up the convergence of iteration methods.
       USSR Computational Mathematics and Mathematical Physics 4(5), 1-17.
    """
    momentum = as_floatx(check_hyper(momentum, "momentum", "apply_momentum"))
    updates = dict(updates)
    for param in moved_params(updates, params):
        velocity = zeros_like(param, "velocity")
        updates[velocity] = as_type_of(param, momentum * velocity + (updates[param] - param))
        updates[param] = param + updates[velocity]
    return updates


@check_arguments
def apply_nesterov_momentum(
    updates: Updates, params: Trained = None, momentum: Number = 0.9
) -> Updates:
    r"""Add Nesterov momentum to updates.

    With :math:`s_t` the step that an update makes,

    .. math:: v_t = \mu v_{t-1} + s_t, \qquad \theta_t = \theta_{t-1} + \mu v_t + s_t

    Parameters
    ----------
    updates : dict of SharedVariable to TensorVariable
        Updates of any optimizer.
    params : iterable of SharedVariable, optional
        The variables to which momentum applies; by default all that are not the state of an
        optimizer.
    momentum : float, default 0.9
        The share :math:`\mu` of the velocity that is kept, at least 0 and less than 1.

    Returns
    -------
    dict of SharedVariable to TensorVariable
        A copy of the updates with the steps replaced, and the velocities added.

    Notes
    -----
    Nesterov's method takes the gradient at the point to which the velocity is about to lead. Here
    the parameter *is* that point, which gives the same sequence and needs the gradient only where
    the parameter is [2]_.

    References
    ----------
    .. [1] Y. Nesterov (1983). A method of solving a convex programming problem with convergence
       rate O(1/k²). Soviet Mathematics Doklady 27, 372-376.
    .. [2] Y. Bengio, N. Boulanger-Lewandowski, R. Pascanu (2013). Advances in optimizing recurrent
       networks. ICASSP. https://arxiv.org/abs/1212.0901
    """
    momentum = as_floatx(check_hyper(momentum, "momentum", "apply_nesterov_momentum"))
    updates = dict(updates)
    for param in moved_params(updates, params):
        velocity = zeros_like(param, "velocity")
        plain = updates[param]
        updates[velocity] = as_type_of(param, momentum * velocity + (plain - param))
        updates[param] = as_type_of(param, plain + momentum * updates[velocity])
    return updates


@optimizer
def sgd(
    loss_or_grads: LossOrGrads = None, params: Trained = None, learning_rate: Number = 1e-3
) -> Updates:
    r"""Stochastic gradient descent.

    .. math:: \theta_t = \theta_{t-1} - \eta g_t

    Parameters
    ----------
    loss_or_grads : TensorVariable or sequence of TensorVariable, optional
        A scalar to be minimized, or its gradients, one a parameter.
    params : iterable of SharedVariable, optional
        What to change. Without loss and parameters an :class:`Optimizer` is returned.
    learning_rate : float or Schedule, default 0.001
        Length of a step, in units of the gradient.

    Notes
    -----
    No one default suits: the right learning rate is about the inverse of the loss's largest
    curvature.

    References
    ----------
    .. [1] H. Robbins, S. Monro (1951). A stochastic approximation method. Annals of Mathematical
       Statistics 22(3), 400-407.
    """
    params = as_list(params)
    grads = get_or_compute_grads(loss_or_grads, params)
    return {p: p - learning_rate * g for p, g in zip(params, grads, strict=True)}


@optimizer
def momentum(
    loss_or_grads: LossOrGrads = None,
    params: Trained = None,
    learning_rate: Number = 1e-3,
    momentum: Number = 0.9,
) -> Updates:
    r"""Stochastic gradient descent with momentum.

    .. math:: v_t = \mu v_{t-1} - \eta g_t, \qquad \theta_t = \theta_{t-1} + v_t

    Parameters
    ----------
    loss_or_grads : TensorVariable or sequence of TensorVariable, optional
        A scalar to be minimized, or its gradients, one a parameter.
    params : iterable of SharedVariable, optional
        What to change. Without loss and parameters an :class:`Optimizer` is returned.
    learning_rate : float or Schedule, default 0.001
        Length of a step, in units of the gradient.
    momentum : float, default 0.9
        The share :math:`\mu` of the velocity that is kept, at least 0 and less than 1.

    See Also
    --------
    apply_momentum : The same for any updates; names the source.
    """
    params = as_list(params)
    return apply_momentum(sgd(loss_or_grads, params, learning_rate), params, momentum)


@optimizer
def nesterov_momentum(
    loss_or_grads: LossOrGrads = None,
    params: Trained = None,
    learning_rate: Number = 1e-3,
    momentum: Number = 0.9,
) -> Updates:
    r"""Stochastic gradient descent with Nesterov momentum.

    .. math:: v_t = \mu v_{t-1} - \eta g_t, \qquad \theta_t = \theta_{t-1} + \mu v_t - \eta g_t

    Parameters
    ----------
    loss_or_grads : TensorVariable or sequence of TensorVariable, optional
        A scalar to be minimized, or its gradients, one a parameter.
    params : iterable of SharedVariable, optional
        What to change. Without loss and parameters an :class:`Optimizer` is returned.
    learning_rate : float or Schedule, default 0.001
        Length of a step, in units of the gradient.
    momentum : float, default 0.9
        The share :math:`\mu` of the velocity that is kept, at least 0 and less than 1.

    See Also
    --------
    apply_nesterov_momentum : The same for any updates; names the sources.
    """
    params = as_list(params)
    return apply_nesterov_momentum(sgd(loss_or_grads, params, learning_rate), params, momentum)


@optimizer
def adagrad(
    loss_or_grads: LossOrGrads = None,
    params: Trained = None,
    learning_rate: Number = 1.0,
    epsilon: Number = 1e-6,
) -> Updates:
    r"""Adagrad: steps scaled by the root of the sum of all squared gradients.

    .. math:: a_t = a_{t-1} + g_t^2, \qquad
        \theta_t = \theta_{t-1} - \eta \frac{g_t}{\sqrt{a_t + \epsilon}}

    Parameters
    ----------
    loss_or_grads : TensorVariable or sequence of TensorVariable, optional
        A scalar to be minimized, or its gradients, one a parameter.
    params : iterable of SharedVariable, optional
        What to change. Without loss and parameters an :class:`Optimizer` is returned.
    learning_rate : float or Schedule, default 1.0
        Length of the first step, in units of the parameter.
    epsilon : float, default 1e-6
        Keeps the denominator from zero.

    Notes
    -----
    The steps shrink as :math:`1/\sqrt t`, never to grow again.

    References
    ----------
    .. [1] J. Duchi, E. Hazan, Y. Singer (2011). Adaptive subgradient methods for online learning
       and stochastic optimization. Journal of Machine Learning Research 12, 2121-2159.
    """
    params, updates = as_list(params), {}
    for param, grad in zip(params, get_or_compute_grads(loss_or_grads, params), strict=True):
        accu = zeros_like(param, "adagrad_accu")
        updates[accu] = accu + grad**2
        updates[param] = param - learning_rate * grad / pt.sqrt(updates[accu] + epsilon)
    return updates


@optimizer
def adagrad_window(
    loss_or_grads: LossOrGrads = None,
    params: Trained = None,
    learning_rate: Number = 1e-3,
    epsilon: Number = 0.1,
    n_win: int = 10,
) -> Updates:
    r"""Adagrad over a window of the last steps.

    .. math:: \theta_t = \theta_{t-1} -
        \eta \frac{g_t}{\sqrt{\epsilon + \sum_{s=\max(1,\, t-n+1)}^{t} g_s^2}}

    Parameters
    ----------
    loss_or_grads : TensorVariable or sequence of TensorVariable, optional
        A scalar to be minimized, or its gradients, one a parameter.
    params : iterable of SharedVariable, optional
        What to change. Without loss and parameters an :class:`Optimizer` is returned.
    learning_rate : float or Schedule, default 0.001
        Length of the first step, in units of the parameter.
    epsilon : float, default 0.1
        Added to the sum of squares: gradients much smaller than its root make a step in
        proportion to the gradient, and so slow down towards the end.
    n_win : int, default 10
        The number :math:`n` of steps in the window.

    Notes
    -----
    Unlike :func:`adagrad`, it forgets the large gradients of the first steps, so a bad start does
    not make all later steps small. Defaults are those of PyMC.
    """
    if isinstance(n_win, Variable):
        raise TypeError("adagrad_window: n_win is the length of an array, so it must be a number")
    n_win, params, updates = int(n_win), as_list(params), {}
    # The oldest entry is overwritten in a circle: the sum does not mind the order.
    oldest = state(np.zeros((), dtype="int64"), "adagrad_window_oldest", ())
    place = oldest % n_win  # whatever a file has said: compiled code writes there unchecked
    for param, grad in zip(params, get_or_compute_grads(loss_or_grads, params), strict=True):
        zeros = np.zeros((n_win, *param.get_value(borrow=True).shape), dtype=param.type.dtype)
        window = state(zeros, f"{param.name}_adagrad_window", (n_win, *param.type.shape))
        updates[window] = pt.set_subtensor(window[place], pt.cast(grad**2, param.type.dtype))
        # Row by row: for a sum over an axis of a matrix Numba compiles four seconds longer.
        total = sum(updates[window][i] for i in range(n_win))
        scale = pt.sqrt(total + epsilon)
        updates[param] = param - learning_rate * grad / scale
    updates[oldest] = (place + 1) % n_win
    return updates


@optimizer
def rmsprop(
    loss_or_grads: LossOrGrads = None,
    params: Trained = None,
    learning_rate: Number = 1.0,
    rho: Number = 0.9,
    epsilon: Number = 1e-6,
) -> Updates:
    r"""RMSprop: steps scaled by a moving average of squared gradients.

    .. math:: a_t = \rho a_{t-1} + (1 - \rho) g_t^2, \qquad
        \theta_t = \theta_{t-1} - \eta \frac{g_t}{\sqrt{a_t + \epsilon}}

    Parameters
    ----------
    loss_or_grads : TensorVariable or sequence of TensorVariable, optional
        A scalar to be minimized, or its gradients, one a parameter.
    params : iterable of SharedVariable, optional
        What to change. Without loss and parameters an :class:`Optimizer` is returned.
    learning_rate : float or Schedule, default 1.0
        Length of a step, in units of the parameter.
    rho : float, default 0.9
        The share of the average that is kept, at least 0 and less than 1.
    epsilon : float, default 1e-6
        Keeps the denominator from zero.

    Notes
    -----
    The default learning rate is that of Lasagne and PyMC. It is long for most problems, and the
    steps do not shrink by themselves: 0.001 to 0.1 is usual.

    References
    ----------
    .. [1] T. Tieleman, G. Hinton (2012). Lecture 6.5: RMSProp. Coursera, Neural Networks for
       Machine Learning.
    """
    params, updates = as_list(params), {}
    for param, grad in zip(params, get_or_compute_grads(loss_or_grads, params), strict=True):
        accu = zeros_like(param, "rmsprop_accu")
        updates[accu] = rho * accu + (1 - rho) * grad**2
        updates[param] = param - learning_rate * grad / pt.sqrt(updates[accu] + epsilon)
    return updates


@optimizer
def adadelta(
    loss_or_grads: LossOrGrads = None,
    params: Trained = None,
    learning_rate: Number = 1.0,
    rho: Number = 0.95,
    epsilon: Number = 1e-6,
) -> Updates:
    r"""Adadelta: steps in the units of the parameter, without a learning rate.

    .. math::
        a_t &= \rho a_{t-1} + (1 - \rho) g_t^2 \\
        s_t &= g_t \sqrt{\frac{d_{t-1} + \epsilon}{a_t + \epsilon}} \\
        d_t &= \rho d_{t-1} + (1 - \rho) s_t^2 \\
        \theta_t &= \theta_{t-1} - \eta s_t

    Parameters
    ----------
    loss_or_grads : TensorVariable or sequence of TensorVariable, optional
        A scalar to be minimized, or its gradients, one a parameter.
    params : iterable of SharedVariable, optional
        What to change. Without loss and parameters an :class:`Optimizer` is returned.
    learning_rate : float or Schedule, default 1.0
        Factor of the steps; the paper has none.
    rho : float, default 0.95
        The share of both averages that is kept, at least 0 and less than 1.
    epsilon : float, default 1e-6
        Keeps the denominator from zero, and the first steps from being zero: their length is about
        :math:`\sqrt{\epsilon / (1 - \rho)}`.

    References
    ----------
    .. [1] M. D. Zeiler (2012). ADADELTA: an adaptive learning rate method.
       https://arxiv.org/abs/1212.5701
    """
    params, updates = as_list(params), {}
    for param, grad in zip(params, get_or_compute_grads(loss_or_grads, params), strict=True):
        accu, delta = zeros_like(param, "adadelta_accu"), zeros_like(param, "adadelta_delta")
        updates[accu] = rho * accu + (1 - rho) * grad**2
        step = grad * pt.sqrt((delta + epsilon) / (updates[accu] + epsilon))
        updates[delta] = rho * delta + (1 - rho) * step**2
        updates[param] = param - learning_rate * step
    return updates


@optimizer
def adam(
    loss_or_grads: LossOrGrads = None,
    params: Trained = None,
    learning_rate: Number = 1e-3,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    epsilon: Number = 1e-8,
) -> Updates:
    r"""Adam: a moving average of the gradients, scaled by one of their squares.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1) g_t \\
        v_t &= \beta_2 v_{t-1} + (1 - \beta_2) g_t^2 \\
        \theta_t &= \theta_{t-1} - \eta \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t}
            \frac{m_t}{\sqrt{v_t} + \epsilon}

    Parameters
    ----------
    loss_or_grads : TensorVariable or sequence of TensorVariable, optional
        A scalar to be minimized, or its gradients, one a parameter.
    params : iterable of SharedVariable, optional
        What to change. Without loss and parameters an :class:`Optimizer` is returned.
    learning_rate : float or Schedule, default 0.001
        Length of the first steps, and about the longest step, in units of the parameter.
    beta1, beta2 : float, default 0.9 and 0.999
        The shares of the averages that are kept, at least 0 and less than 1.
    epsilon : float, default 1e-8
        Keeps the denominator from zero.

    Notes
    -----
    The form at the end of section 2 of the paper: the corrections of the averages' bias are made in
    the learning rate, and :math:`\epsilon` is added to the uncorrected root. The defaults are
    those of the paper.

    References
    ----------
    .. [1] D. P. Kingma, J. Ba (2015). Adam: a method for stochastic optimization. ICLR.
       https://arxiv.org/abs/1412.6980
    """
    params, updates = as_list(params), {}
    previous = counter("adam_t")
    t = previous + 1
    rate_t = learning_rate * pt.sqrt(1 - beta2**t) / (1 - beta1**t)
    for param, grad in zip(params, get_or_compute_grads(loss_or_grads, params), strict=True):
        m, v = zeros_like(param, "adam_m"), zeros_like(param, "adam_v")
        updates[m] = beta1 * m + (1 - beta1) * grad
        updates[v] = beta2 * v + (1 - beta2) * grad**2
        updates[param] = param - rate_t * updates[m] / (pt.sqrt(updates[v]) + epsilon)
    updates[previous] = t
    return updates


@optimizer
def adamax(
    loss_or_grads: LossOrGrads = None,
    params: Trained = None,
    learning_rate: Number = 2e-3,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    epsilon: Number = 1e-8,
) -> Updates:
    r"""Adamax: Adam with the largest of the last gradients in place of their squares.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1) g_t \\
        u_t &= \max(\beta_2 u_{t-1}, |g_t|) \\
        \theta_t &= \theta_{t-1} - \frac{\eta}{1 - \beta_1^t} \frac{m_t}{u_t + \epsilon}

    Parameters
    ----------
    loss_or_grads : TensorVariable or sequence of TensorVariable, optional
        A scalar to be minimized, or its gradients, one a parameter.
    params : iterable of SharedVariable, optional
        What to change. Without loss and parameters an :class:`Optimizer` is returned.
    learning_rate : float or Schedule, default 0.002
        The longest step, in units of the parameter.
    beta1, beta2 : float, default 0.9 and 0.999
        The shares of average and maximum that are kept, at least 0 and less than 1.
    epsilon : float, default 1e-8
        Keeps the denominator from zero; the paper has none.

    Notes
    -----
    The defaults are those of the paper, section 7.1.

    References
    ----------
    .. [1] D. P. Kingma, J. Ba (2015). Adam: a method for stochastic optimization. ICLR.
       https://arxiv.org/abs/1412.6980
    """
    params, updates = as_list(params), {}
    previous = counter("adamax_t")
    t = previous + 1
    rate_t = learning_rate / (1 - beta1**t)
    for param, grad in zip(params, get_or_compute_grads(loss_or_grads, params), strict=True):
        m, u = zeros_like(param, "adamax_m"), zeros_like(param, "adamax_u")
        updates[m] = beta1 * m + (1 - beta1) * grad
        updates[u] = pt.maximum(beta2 * u, abs(grad))
        updates[param] = param - rate_t * updates[m] / (updates[u] + epsilon)
    updates[previous] = t
    return updates


@check_arguments
def norm_constraint(
    tensor: TensorVariable,
    max_norm: Number,
    norm_axes: Sequence[int] | None = None,
    epsilon: Number = 1e-7,
) -> TensorVariable:
    r"""Shorten the vectors in a tensor that are longer than a bound.

    .. math:: x \frac{\min(\|x\|, c)}{\|x\| + \epsilon}

    Parameters
    ----------
    tensor : TensorVariable
        The tensor.
    max_norm : float
        The bound :math:`c` of the Euclidean norm.
    norm_axes : sequence of int, optional
        Axes that make up one vector. By default the first axis of a matrix (the weights that go
        into one unit of a dense layer), and all axes but the first of a tensor of 3 to 5 axes (a
        convolution).
    epsilon : float, default 1e-7
        Keeps the denominator from zero. It shortens every vector a little.

    Returns
    -------
    TensorVariable
        A tensor of the same type.

    Raises
    ------
    ValueError
        If ``norm_axes`` is left out for a tensor that has another number of axes.

    References
    ----------
    .. [1] N. Srivastava et al. (2014). Dropout: a simple way to prevent neural networks from
       overfitting. Journal of Machine Learning Research 15, 1929-1958, section 5.1.
    """
    tensor = as_tensor(tensor, "norm_constraint: tensor")
    if norm_axes is not None:
        axes = tuple(check_whole(axis, "norm_axes", least=-tensor.type.ndim) for axis in norm_axes)
    elif tensor.type.ndim == 2:
        axes = (0,)
    elif 3 <= tensor.type.ndim <= 5:
        axes = tuple(range(1, tensor.type.ndim))
    else:
        raise ValueError(
            f"norm_constraint: a tensor of {tensor.type.ndim} axes has no default norm_axes; say "
            f"which axes make up one vector"
        )
    norm = pt.sqrt((tensor**2).sum(axis=axes, keepdims=True))
    return tensor * shrinkage(norm, max_norm, epsilon, "norm_constraint").astype(tensor.dtype)


@check_arguments
def total_norm_constraint(
    tensor_vars: Sequence[TensorVariable],
    max_norm: Number,
    epsilon: Number = 1e-7,
    return_norm: bool = False,
) -> list[TensorVariable] | tuple[list[TensorVariable], TensorVariable]:
    r"""Shorten several tensors by one factor, so that together they are not longer than a bound.

    .. math:: x_i \frac{\min(\|x\|, c)}{\|x\| + \epsilon}, \qquad
        \|x\|^2 = \sum_i \|x_i\|^2

    Parameters
    ----------
    tensor_vars : sequence of TensorVariable
        The tensors, gradients for one.
    max_norm : float
        The bound :math:`c` of the Euclidean norm of all elements.
    epsilon : float, default 1e-7
        Keeps the denominator from zero. It shortens everything a little.
    return_norm : bool, default False
        Whether to return the norm before the shortening, too.

    Returns
    -------
    list of TensorVariable
        Tensors of the same types.
    TensorVariable
        The norm, if ``return_norm``.

    References
    ----------
    .. [1] R. Pascanu, T. Mikolov, Y. Bengio (2013). On the difficulty of training recurrent neural
       networks. ICML. https://arxiv.org/abs/1211.5063
    """
    tensors = [as_tensor(tensor, "total_norm_constraint: tensor_vars") for tensor in tensor_vars]
    if not tensors:
        raise ValueError("total_norm_constraint: give at least one tensor")
    norm = pt.sqrt(pt.add(*((tensor**2).sum() for tensor in tensors)))
    factor = shrinkage(norm, max_norm, epsilon, "total_norm_constraint")
    scaled = [tensor * factor.astype(tensor.dtype) for tensor in tensors]
    return (scaled, norm) if return_norm else scaled


def shrinkage(
    norm: TensorVariable, max_norm: Number, epsilon: Number, owner: str
) -> TensorVariable:
    """Return the factor that brings a norm down to a bound."""
    max_norm = as_floatx(check_hyper(max_norm, "max_norm", owner))
    epsilon = as_floatx(check_hyper(epsilon, "epsilon", owner))
    return pt.minimum(norm, max_norm) / (norm + epsilon)
