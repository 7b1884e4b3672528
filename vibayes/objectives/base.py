"""What an objective is, and how it becomes the updates of a step."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import pytensor
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.tensor.random.type import RandomType
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments, check_whole, shown
from vibayes.backend.modes import resolve_mode
from vibayes.distributions.base import to_float
from vibayes.families.draws import Draws
from vibayes.families.joint import Joint
from vibayes.model.gradients import gradient_of
from vibayes.objectives.options import StepOptimizer, StepOptions
from vibayes.objectives.test_function import TestFunction
from vibayes.posterior.nodes import PosteriorNodes, fresh_draws
from vibayes.settings import settings_key
from vibayes.updates import adagrad_window, total_norm_constraint

__all__ = ["ObjectiveFunction", "Operator", "StepGraph"]

Replace = Callable[[Sequence[Variable]], list[Variable]]

LOSS = frozenset({"apply", "gradients", "loss", "scaled_loss"})
"""What makes an objective: whoever overrides one of these has another one."""
FACTS = "is_bound", "is_elbo"
"""What holds for one objective, and is not inherited by a class that has another one."""


ELSEWHERE = {
    "add_obj_updates": "step(), which returns all updates",
    "add_test_updates": "step(), which returns all updates",
    "random": "approx.symbolic_random",
}
"""What to use instead of names of PyMC that an objective does not have."""


OF_APPROXIMATION = frozenset(
    {
        "datalogp",
        "datalogp_norm",
        "logp",
        "logp_norm",
        "logq",
        "logq_norm",
        "model",
        "varlogp",
        "varlogp_norm",
    }
)
"""What an operator has of its approximation, for :meth:`Operator.apply`."""


@dataclass(frozen=True)
class StepGraph:
    """One step of a fit: what changes, and the loss that it follows."""

    updates: dict[Variable, Variable]
    loss: TensorVariable | None


class Operator:
    """Base of the objectives: a loss of symbolic draws of an approximation.

    A subclass implements :meth:`loss`, or :meth:`gradients` if it follows no loss.

    ``is_bound`` says that a fit of a family with a density can end by itself, once the loss is
    level. It holds for the class that says so: a subclass that overrides the loss has to say it
    for itself.

    Approximations of one family share what has been compiled for an operator if its class names
    its settings, the attributes that tell one operator from another, in ``setting_names``. An
    operator with further attributes shares nothing.

    Parameters
    ----------
    approx : Approximation
        What is fitted.
    test_function : TestFunction or callable, optional
        What the draws are held against, for operators that take the worst case over such
        functions.

    Examples
    --------
    The chi-square upper bound on the evidence (Dieng et al. 2017, arXiv:1611.00328):

    >>> import pytensor.tensor as pt
    >>> import vibayes as vb
    >>> class ChiSquare(vb.Operator):
    ...     def loss(self, draws):
    ...         return pt.logsumexp(2 * (draws.logp - draws.logq)) / 2
    >>> with vb.Model():
    ...     mu = vb.Normal("mu")
    ...     y = vb.Normal("y", mu, observed=2.0)
    ...     inference = vb.Inference(ChiSquare(vb.MeanField(random_seed=1)))
    >>> approx = inference.fit(
    ...     500, obj_n_mc=20, obj_optimizer=vb.adam(learning_rate=0.05), backend="py",
    ...     progressbar=False,
    ... )
    >>> abs(approx.mean.eval() - 1) < 0.3
    array([ True])
    """

    is_bound: ClassVar[bool] = False
    """Whether the loss is a bound that becomes level when the family is close to the posterior."""
    is_elbo: bool = False
    """Whether it is the negative evidence lower bound itself."""
    setting_names: ClassVar[tuple[str, ...] | None] = None
    """Names of the attributes that tell operators of the class apart, if these are all."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if LOSS & own.keys():
            for fact in FACTS:
                if fact not in own:
                    setattr(cls, fact, vars(Operator)[fact])

    called: ClassVar[str] = "an objective, such as vb.KL(approx)"

    @check_arguments
    def __init__(
        self,
        approx: Joint,
        test_function: TestFunction | Callable[..., Variable] | None = None,
    ) -> None:
        self.approx = approx
        if test_function is not None and not isinstance(test_function, TestFunction):
            test_function = TestFunction.from_function(test_function)
        self.test_function = test_function
        if test_function is not None:
            test_function.setup(approx)

    def __getattr__(self, name: str) -> Any:
        if name in OF_APPROXIMATION and "approx" in vars(self):
            return getattr(self.approx, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def test_params(self) -> list[Variable]:
        """Parameters of the test function, over which the loss is made large."""
        return [] if self.test_function is None else list(self.test_function.params)

    def loss(self, draws: Draws) -> TensorVariable:
        """Return the scalar to be made small.

        Parameters
        ----------
        draws
            Symbolic draws, with ``logp``, ``logq``, ``varlogp``, ``datalogp``, ``score`` (the
            gradient of the log density) and ``flat`` (the unconstrained values). Each has an axis
            of draws if there are several.
        """
        if type(self).apply is Operator.apply:
            raise NotImplementedError(
                f"{type(self).__name__} must implement loss(draws), or gradients(...)"
            )
        approx = cast(PosteriorNodes, self.approx)
        return to_float(approx.at_draws_of(self.apply(self.test_function), draws)).mean()

    def apply(self, f: TestFunction | None) -> TensorVariable:
        """Return the scalar to be made small, of the one draw of the approximation.

        As PyMC has it: in terms of ``self.logp``, ``self.logq``, ``self.datalogp_norm``
        and the like. An operator that overrides it needs no ``loss``.

        Parameters
        ----------
        f
            The test function.
        """
        return ObjectiveFunction(self)()

    def __call__(self, f: TestFunction | None = None) -> ObjectiveFunction:
        """Return the operator as an objective.

        Parameters
        ----------
        f
            A test function to take the place of the operator's own.
        """
        if f is None:
            return ObjectiveFunction(self)
        other = copy(self)
        Operator.__init__(other, self.approx, f)
        return ObjectiveFunction(other)

    def gradients(
        self, params: Sequence[Variable], n_mc: int, replace: Replace
    ) -> tuple[list[Variable], TensorVariable | None, dict[Variable, Variable]]:
        """Return gradients, the loss if there is one, and the updates of random generators.

        An operator that follows no loss overrides this method instead of :meth:`loss`.

        Parameters
        ----------
        params
            Shared variables to differentiate by.
        n_mc
            Number of draws.
        replace
            Applies the user's replacements to graphs; whatever depends on the model goes through
            it.
        """
        draws, updates = self.approx.draw(None if n_mc == 1 else n_mc)
        (loss,) = replace([self.scaled_loss(draws)])
        return gradient_of(loss, params, self.approx.model), loss, updates

    def scaled_loss(self, draws: Draws) -> TensorVariable:
        """Return the loss, of the size of a minibatch if the approximation asks for that."""
        loss = self.loss(draws)
        if self.approx.scale_cost_to_minibatch:
            loss = loss / draws.normalizing_constant
        return to_float(loss)

    def updates(
        self, obj: ObjectiveFunction | None = None, **kwargs: Any
    ) -> dict[Variable, Variable]:
        """Return the updates of one step.

        Parameters
        ----------
        obj
            The objective; by default this operator's.
        **kwargs
            Arguments of :meth:`ObjectiveFunction.step`.
        """
        return (ObjectiveFunction(self) if obj is None else obj).updates(**kwargs)

    @property
    def key(self) -> Hashable | None:
        """Equal for operators that make the same loss, None for one that no other is equal to."""
        if self.setting_names is None:
            return None
        return settings_key(self, (*self.setting_names, "test_function"), derived=("approx",))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.approx!r}>"


class ObjectiveFunction:
    """An operator as an objective: its value, and the updates that make it small.

    Parameters
    ----------
    op : Operator
        The operator, which knows its approximation and its test function.

    Examples
    --------
    The ELBO of an approximation, by 1,000 draws. Here the posterior is a standard normal, which the
    approximation starts close to:

    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     approx = vb.MeanField(start_sigma={"x": 1.0}, random_seed=1)
    >>> loss = vb.ObjectiveFunction(vb.KL(approx))
    >>> abs(loss(1000).eval(mode="FAST_COMPILE")) < 1e-6
    np.True_
    """

    @check_arguments
    def __init__(self, op: Operator) -> None:
        self.op = op

    @property
    def approx(self) -> Joint:
        """What is fitted."""
        return self.op.approx

    @property
    def obj_params(self) -> list[Variable]:
        """Variational parameters, which a step changes."""
        return [*self.approx.params]

    @property
    def test_params(self) -> list[Variable]:
        """Parameters of the test function."""
        return self.op.test_params

    def __getattr__(self, name: str) -> Any:
        instead = ELSEWHERE.get(name)
        raise AttributeError(
            f"{type(self).__name__!r} object has no attribute {name!r}"
            + (f"; use {instead}" if instead else "")
        )

    @check_arguments
    def score_function(
        self,
        sc_n_mc: int = 1,
        more_replacements: Mapping[Variable, Any] | None = None,
        fn_kwargs: Mapping[str, Any] | None = None,
    ) -> Callable[[], Any]:
        """Return a compiled function without arguments: an estimate of the loss.

        Parameters
        ----------
        sc_n_mc
            Number of draws.
        more_replacements
            What to put in the place of parts of the model's graph.
        fn_kwargs
            Further arguments of ``pytensor.function``, such as ``mode``.
        """
        swap = self.approx.taken(more_replacements)
        options = dict(fn_kwargs or {})
        mode = resolve_mode(None, options.pop("mode", None))
        graph = self(sc_n_mc)
        graph = graph_replace([graph], swap, strict=False)[0] if swap else graph
        return pytensor.function([], graph, mode=mode, **options)

    @property
    def key(self) -> Hashable | None:
        """Equal for objectives that make the same steps, None for one of its own kind."""
        return self.op.key

    def __call__(self, n_mc: int = 1) -> TensorVariable:
        """Return the loss as an expression that is estimated anew at each evaluation.

        Parameters
        ----------
        n_mc
            Number of draws.
        """
        n_mc = check_whole(n_mc, "n_mc", least=1)
        return self.op.scaled_loss(fresh_draws(self.approx, None if n_mc == 1 else n_mc, False))

    def updates(self, **kwargs: Any) -> dict[Variable, Variable]:
        """Return the updates of one step, as a dictionary; arguments as for :meth:`step`."""
        return self.step(**kwargs).updates

    @check_arguments
    def step_function(
        self, *, fn_kwargs: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Callable[[], Any]:
        """Return a compiled function of one step, for a loop of one's own.

        :meth:`vibayes.Inference.fit` takes many steps a call, and is faster.

        Parameters
        ----------
        fn_kwargs
            Further arguments of ``pytensor.function``, such as ``mode``.
        **kwargs
            Arguments of :meth:`step`.

        Returns
        -------
        callable
            Without arguments. Each call changes the parameters of the approximation once, and
            returns the loss, None without ``score``.

        Examples
        --------
        >>> import vibayes as vb
        >>> with vb.Model():
        ...     x = vb.Normal("x", 3, 1)
        ...     advi = vb.ADVI(random_seed=1)
        >>> step = advi.objective.step_function(
        ...     obj_optimizer=vb.adam(learning_rate=0.1), fn_kwargs={"mode": "FAST_COMPILE"}
        ... )
        >>> losses = [float(step()) for _ in range(100)]
        >>> abs(advi.approx.mean.eval(mode="FAST_COMPILE") - 3) < 0.5
        array([ True])
        """
        options = dict(fn_kwargs or {})
        mode = resolve_mode(None, options.pop("mode", None))
        graph = self.step(**kwargs)
        for variable in graph.updates:
            if isinstance(variable.type, RandomType):
                variable.set_value(self.approx.spawn_generator())
        losses = [] if graph.loss is None else [graph.loss]
        step = pytensor.function([], losses, updates=graph.updates, mode=mode, **options)

        def take() -> Any:
            found = step()
            return found[0] if found else None

        return take

    @check_arguments
    def step(
        self,
        *,
        obj_n_mc: int = 1,
        tf_n_mc: int = 1,
        obj_optimizer: StepOptimizer | str = adagrad_window,
        test_optimizer: StepOptimizer | str = adagrad_window,
        more_obj_params: Sequence[SharedVariable] = (),
        more_tf_params: Sequence[SharedVariable] = (),
        more_updates: Mapping[SharedVariable, Variable] | None = None,
        more_replacements: Mapping[Variable, Any] | None = None,
        total_grad_norm_constraint: float | None = None,
        score: bool = True,
    ) -> StepGraph:
        """Return the updates of one step.

        Parameters
        ----------
        obj_n_mc
            Number of Monte Carlo draws that estimate the loss.
        tf_n_mc
            Number of Monte Carlo draws by which a test function is trained.
        obj_optimizer
            Maps gradients and parameters to updates; or the name of an optimizer.
        test_optimizer
            The same for the parameters of a test function.
        more_obj_params
            Shared variables to be optimized beside the variational parameters.
        more_tf_params
            Shared variables to be optimized beside the parameters of the test function.
        more_updates
            Further shared variables, and their values after a step.
        more_replacements
            What to put in the place of parts of the model's graph.
        total_grad_norm_constraint
            Largest allowed norm of all gradients together.
        score
            Whether to report the loss of each step.
        """
        self.approx.taken(more_replacements)
        options = StepOptions.of(
            score=score,
            obj_n_mc=obj_n_mc,
            tf_n_mc=tf_n_mc,
            obj_optimizer=obj_optimizer,
            test_optimizer=test_optimizer,
            more_obj_params=more_obj_params,
            more_tf_params=more_tf_params,
            more_updates=more_updates,
            more_replacements=more_replacements,
            total_grad_norm_constraint=total_grad_norm_constraint,
        )
        return self.step_graph(options)

    def step_graph(self, options: StepOptions) -> StepGraph:
        """Return the updates of one step, and its loss if that is wanted."""
        swap, norm = options.more_replacements, options.total_grad_norm_constraint

        def replace(graphs: Sequence[Variable]) -> list[Variable]:
            return graph_replace(list(graphs), swap, strict=False) if swap else list(graphs)

        def descend(
            params: list[Variable], n_mc: int, optimizer: StepOptimizer, sign: int
        ) -> tuple[dict[Variable, Variable], TensorVariable | None]:
            grads, loss, updates = self.op.gradients(params, n_mc, replace)
            grads = grads if sign > 0 else [-g for g in grads]
            if norm is not None:
                grads = list(total_norm_constraint(grads, norm))
            return updates | updates_by(optimizer, grads, params), loss

        params = [*self.approx.params, *options.more_obj_params]
        updates, loss = descend(params, options.obj_n_mc, options.obj_optimizer, 1)
        if tested := [*self.op.test_params, *options.more_tf_params]:
            updates |= descend(tested, options.tf_n_mc, options.test_optimizer, -1)[0]
        updates |= options.more_updates
        return StepGraph(updates, loss if options.score else None)


def updates_by(
    optimizer: StepOptimizer, grads: Sequence[Variable], params: Sequence[Variable]
) -> dict[Variable, Variable]:
    """Return the updates of an optimizer, which may be any function of the user's."""
    try:
        return dict(optimizer(grads, params))
    except TypeError as error:
        raise TypeError(
            f"an optimizer (obj_optimizer, test_optimizer) must take gradients and parameters, and "
            f"return a dict of updates, as vb.adam() does; {shown(optimizer)} does not: {error}"
        ) from error
