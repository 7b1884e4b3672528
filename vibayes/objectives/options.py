"""The options of a step: how an objective is made small."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable

from vibayes import updates
from vibayes.arguments import check_whole, shown
from vibayes.backend.fingerprints import fingerprint, is_foreign
from vibayes.backend.graphs import as_replacements
from vibayes.learning_rates import Schedule
from vibayes.settings import Identity, key_of
from vibayes.storage.calls import describe_argument, describe_graph, marked
from vibayes.updates import Optimizer, adagrad_window, check_hyper

__all__ = ["StepOptimizer", "StepOptions"]

StepOptimizer = Callable[..., Mapping[Any, Variable]]

OWN_GRAPHS = "more_obj_params", "more_tf_params", "more_updates"
"""Options that may refer to the parameters of one approximation alone."""


@dataclass(frozen=True, eq=False)
class StepOptions:
    """The options of a step, checked.

    Parameters
    ----------
    score : bool, default True
        Whether to report the loss of each step.
    obj_n_mc : int, default 1
        Number of Monte Carlo draws that estimate the loss.
    tf_n_mc : int, default 1
        Number of Monte Carlo draws by which a test function is trained.
    obj_optimizer : callable or str, default adagrad_window
        Maps gradients and parameters to updates.
    test_optimizer : callable, default adagrad_window
        The same for the parameters of a test function.
    more_obj_params : sequence of SharedVariable
        To be optimized beside the variational parameters.
    more_tf_params : sequence of SharedVariable
        To be optimized beside the parameters of the test function.
    more_updates : dict of SharedVariable to Variable
        Further shared variables, and their values after a step.
    more_replacements : dict of Variable to Variable or array
        What to put in the place of parts of the model's graph.
    total_grad_norm_constraint : float, optional
        Largest allowed norm of all gradients together.
    given : frozenset of str
        Names of those that the user has given: see :meth:`of`.

    Raises
    ------
    TypeError
        If an optimizer cannot be called, or something is no shared variable.
    ValueError
        If a number of draws is no whole number of at least 1.
    """

    score: bool = True
    obj_n_mc: int = 1
    tf_n_mc: int = 1
    obj_optimizer: StepOptimizer = adagrad_window
    test_optimizer: StepOptimizer = adagrad_window
    more_obj_params: Sequence[SharedVariable] = ()
    more_tf_params: Sequence[SharedVariable] = ()
    more_updates: Mapping[SharedVariable, Variable] = field(default_factory=dict)
    more_replacements: Mapping[Variable, Any] = field(default_factory=dict)
    total_grad_norm_constraint: float | None = None
    given: frozenset[str] = field(default=frozenset(), repr=False)

    def __post_init__(self) -> None:
        if self.total_grad_norm_constraint is not None:
            check_hyper(self.total_grad_norm_constraint, "max_norm", "total_grad_norm_constraint")
        check_shared(self.more_updates, "more_updates")
        self.__dict__.update(  # the instance is frozen
            score=bool(self.score),
            obj_n_mc=check_whole(self.obj_n_mc, "obj_n_mc", least=1),
            tf_n_mc=check_whole(self.tf_n_mc, "tf_n_mc", least=1),
            obj_optimizer=check_optimizer(self.obj_optimizer, "obj_optimizer"),
            test_optimizer=check_optimizer(self.test_optimizer, "test_optimizer"),
            more_obj_params=check_shared(self.more_obj_params, "more_obj_params"),
            more_tf_params=check_shared(self.more_tf_params, "more_tf_params"),
            more_updates=dict(self.more_updates),
            more_replacements=as_replacements(self.more_replacements),
        )

    @classmethod
    def of(cls, **options: Any) -> StepOptions:
        """Return the options that a user has given; None stands for one that was not."""
        given = {name: value for name, value in options.items() if value is not None}
        return cls(**given, given=frozenset(given))

    def but(self, **others: Any) -> StepOptions:
        """Return these options with some others."""
        return StepOptions.of(**{name: getattr(self, name) for name in self.given} | others)

    @property
    def own_key(self) -> Hashable:
        """Equal for options that make the same steps of one approximation.

        Numbers are compared by value, an optimizer by its settings if it is one of vibayes' kind;
        any other callable is equal to nothing but itself.
        """
        return (
            self.score,
            self.obj_n_mc,
            self.tf_n_mc,
            optimizer_key(self.obj_optimizer),
            optimizer_key(self.test_optimizer),
            tuple(self.more_obj_params),
            tuple(self.more_tf_params),
            tuple(self.more_updates.items()),
            tuple(self.more_replacements.items()),
            key_of(self.total_grad_norm_constraint) or Identity(self.total_grad_norm_constraint),
        )

    @property
    def key(self) -> Hashable | None:
        """Equal for options that make the same steps of any approximation of a family.

        None, if they hold graphs that a user wrote: these may refer to the parameters of one
        approximation.
        """
        return None if any(getattr(self, name) for name in OWN_GRAPHS) else self.own_key

    def describe(self) -> dict[str, Any]:
        """Return what was given as what JSON can hold; see :mod:`vibayes.storage.calls`."""
        found = {}
        for name in STEP_OPTION_NAMES:
            value = getattr(self, name) if name in self.given else None
            if name in OWN_GRAPHS or name == "more_replacements":
                found[name] = [self._described(old, value) for old in value or ()]
            else:
                found[name] = describe_argument(value)
        return found

    def _described(self, variable: Variable, values: Any) -> Any:
        """Return a variable by name, with a fingerprint of the graph that is to take its place."""
        label = variable.name or str(variable.type)
        if not isinstance(values, Mapping):
            return label
        own = [*self.more_obj_params, *self.more_tf_params, *self.more_updates]
        structure, data = describe_graph(values[variable], changing=own)
        return [label, structure, *(print for _, print in data)]


STEP_OPTION_NAMES = [f.name for f in fields(StepOptions) if f.name != "given"]


def optimizer_key(optimizer: StepOptimizer) -> Hashable:
    """Return what is equal for optimizers that make the same updates, as far as that is known."""
    return optimizer.key if isinstance(optimizer, Optimizer) else Identity(optimizer)


@describe_argument.register
def describe_optimizer(value: Optimizer) -> Any:
    """Return an optimizer with all its hyper-parameters as what JSON can hold."""
    hyper = ", ".join(f"{name}={describe_argument(v)}" for name, v in value.all_hyper.items())
    described = f"{value.function.__name__}({hyper})"
    if is_foreign(value.function):
        described = marked(described, lambda: fingerprint(value.function))
    own = value.own_attributes
    return [type(value).__qualname__, described, describe_argument(own)] if own else described


@describe_argument.register
def describe_schedule(value: Schedule) -> Any:
    """Return a schedule of learning rates with its settings as what JSON can hold."""
    if is_foreign(type(value)):
        return marked(type(value).__qualname__, lambda: fingerprint(value))
    return repr(value)


def check_optimizer(optimizer: Any, name: str) -> StepOptimizer:
    """Return an optimizer, also one that is given by its name."""
    if isinstance(optimizer, str):
        known = {key: v for key, v in vars(updates).items() if isinstance(v, Optimizer)}
        if optimizer not in known:
            raise ValueError(
                f"{name} {optimizer!r} is unknown; known are {', '.join(map(repr, sorted(known)))}"
            )
        return known[optimizer]
    if not callable(optimizer):
        raise TypeError(
            f"{name} must be an optimizer such as vb.adam(learning_rate=0.01), or the name of one, "
            f"got {shown(optimizer)}"
        )
    return optimizer


def check_shared(variables: Any, name: str) -> list[SharedVariable]:
    for variable in variables:
        if not isinstance(variable, SharedVariable):
            raise TypeError(f"{name} must hold shared variables, got {variable!r}")
    return list(variables)
