"""What an objective is, and how it becomes the updates of a step."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import pytensor
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.tensor.variable import TensorVariable

from vibayes.distributions.base import to_float
from vibayes.families.draws import Draws
from vibayes.families.joint import Joint
from vibayes.objectives.test_function import TestFunction
from vibayes.posterior.nodes import fresh_draws
from vibayes.updates import adagrad_window, total_norm_constraint

__all__ = ["ObjectiveFunction", "Operator", "StepGraph"]

Replace = Callable[[Sequence[Variable]], list[Variable]]
Optimizer = Callable[..., Mapping[Variable, Variable]]


@dataclass(frozen=True)
class StepGraph:
    """One step of a fit: what changes, and the loss that it follows."""

    updates: dict[Variable, Variable]
    loss: TensorVariable | None


class Operator:
    """Base of the objectives: a loss of symbolic draws of an approximation.

    A subclass implements :meth:`loss`, or :meth:`gradients` if it follows no loss.

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
        raise NotImplementedError(
            f"{type(self).__name__} must implement loss(draws), or gradients(...)"
        )

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
        return pytensor.grad(loss, params, disconnected_inputs="ignore"), loss, updates

    def scaled_loss(self, draws: Draws) -> TensorVariable:
        """Return the loss, of the size of a minibatch if the approximation asks for that."""
        loss = self.loss(draws)
        if self.approx.scale_cost_to_minibatch:
            loss = loss / draws.normalizing_constant
        return to_float(loss)

    @property
    def key(self) -> Hashable | None:
        """Equal for operators that make the same loss, None for one that no other is equal to."""
        return None

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

    def __init__(self, op: Operator) -> None:
        self.op = op

    @property
    def approx(self) -> Joint:
        """What is fitted."""
        return self.op.approx

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
        return self.op.scaled_loss(fresh_draws(self.approx, None if n_mc == 1 else n_mc, False))

    def updates(self, **kwargs: object) -> dict[Variable, Variable]:
        """Return the updates of one step, as a dictionary; arguments as for :meth:`step`."""
        return self.step(**kwargs).updates

    def step(
        self,
        *,
        obj_n_mc: int = 1,
        tf_n_mc: int = 1,
        obj_optimizer: Optimizer = adagrad_window,
        test_optimizer: Optimizer = adagrad_window,
        more_obj_params: Sequence[Variable] = (),
        more_tf_params: Sequence[Variable] = (),
        more_updates: Mapping[Variable, Variable] | None = None,
        more_replacements: Mapping[Variable, Variable] | None = None,
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
            Maps gradients and parameters to updates.
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
        swap = dict(more_replacements or {})

        def replace(graphs: Sequence[Variable]) -> list[Variable]:
            return graph_replace(list(graphs), swap, strict=False) if swap else list(graphs)

        def descend(
            params: list[Variable], n_mc: int, optimizer: Optimizer, sign: int
        ) -> tuple[dict[Variable, Variable], TensorVariable | None]:
            grads, loss, updates = self.op.gradients(params, n_mc, replace)
            grads = grads if sign > 0 else [-g for g in grads]
            if total_grad_norm_constraint is not None:
                grads = total_norm_constraint(grads, total_grad_norm_constraint)
            return updates | dict(optimizer(grads, params)), loss

        params = [*self.approx.params, *more_obj_params]
        updates, loss = descend(params, obj_n_mc, obj_optimizer, 1)
        if tested := [*self.op.test_params, *more_tf_params]:
            updates |= descend(tested, tf_n_mc, test_optimizer, -1)[0]
        updates |= dict(more_updates or {})
        return StepGraph(updates, loss if score else None)
