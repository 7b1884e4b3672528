"""The model: random variables with names, the data, and the joint log density."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments, check_whole
from vibayes.backend.graphs import holds_numbers, shared_numbers
from vibayes.backend.modes import evaluate, resolve_mode
from vibayes.distributions.base import distribution_of, to_float
from vibayes.model.debugging import report
from vibayes.model.density import logp_terms, point_logps, replaced_by_values
from vibayes.model.display import HTMLTable, model_formulas, model_html, model_repr, model_text
from vibayes.model.exchange import exchange
from vibayes.model.flat import FlatLayout
from vibayes.model.gradients import gradient_of, hessian_of
from vibayes.model.graph import drawn_graph
from vibayes.model.initial import initial_point
from vibayes.model.inputs import check_inputs, inputs_in
from vibayes.model.observed import check_observed_shape, whole_shape
from vibayes.model.rebuild import Rebuilding
from vibayes.model.registration import Registration, check_initval
from vibayes.model.whole_data import check_same_rows, minibatches_in, sampled_data, whole_data
from vibayes.streaming.batch import BatchVariable

__all__ = ["Model"]


class Model(Registration):
    """A Bayesian model, written inside its ``with`` block.

    Parameters
    ----------
    name
        Prefix of the names of all variables, as ``name::variable``.
    coords
        Coordinates by dimension: the labels along an axis, or None for a dimension whose length
        data will tell. Variables refer to a dimension by its name in ``dims=``.
    check_bounds
        Whether the log density of data that are outside of the support of their distribution is
        minus infinity. False leaves these checks out, which saves time at many data; of data
        outside, the log density then is any number.

    Attributes
    ----------
    free_RVs : list of TensorVariable
        Random variables to infer.
    observed_RVs : list of TensorVariable
        Random variables with data.
    deterministics : list of TensorVariable
        Expressions that are recorded.
    potentials : list of TensorVariable
        Terms that are added to the log density.
    data_vars : list of SharedVariable
        What :func:`vibayes.Data` registered.
    rvs_to_values : dict
        Value variable (unconstrained) of each free variable, data of each observed one.
    rvs_to_transforms : dict
        Transform of each free variable, or None.
    named_vars : dict of str to TensorVariable
        Everything that has a name.
    coords : dict of str to tuple or None
        Coordinates by dimension.

    Notes
    -----
    Models can be nested: what is defined in the inner one also belongs to the outer one. The
    active model is found for each thread by itself.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model(coords={"side": ["left", "right"]}) as model:
    ...     mu = vb.Normal("mu", 0, 1, dims="side")
    ...     y = vb.Normal("y", mu, 1, observed=[0.3, -0.2], dims="side")
    >>> [rv.name for rv in model.free_RVs]
    ['mu']
    """

    # -- data ---------------------------------------------------------------------------------

    @property
    def minibatches(self) -> list[BatchVariable]:
        """Minibatches on which the log density or a deterministic depends."""

        def found() -> list[BatchVariable]:
            return minibatches_in([*self.basic_RVs, *self.deterministics, *self.logp(sum=False)])

        return self.compiled("minibatches", found)

    @property
    def has_streams(self) -> bool:
        """Whether some minibatches show data that are not in memory."""
        return any(not m.in_memory for m in self.minibatches)

    def whole_data_replacements(self) -> dict[TensorVariable, SharedVariable]:
        """Return replacements that put the whole data in the place of each minibatch.

        They are for ``more_replacements`` of ``sample_node`` and of a fit, and for
        ``pytensor.graph.graph_replace``. In a log density they also undo the scaling by
        ``total_size``.

        Examples
        --------
        >>> import numpy as np
        >>> import vibayes as vb
        >>> from pytensor.graph import graph_replace
        >>> with vb.Model() as model:
        ...     mu = vb.Normal("mu")
        ...     x = vb.Minibatch(np.zeros(1000), batch_size=10)
        ...     likelihood = vb.Normal("likelihood", mu, 1, observed=x, total_size=1000)
        >>> logp = graph_replace(model.logp(), model.whole_data_replacements())

        Raises
        ------
        ModelError
            If the model depends on a tensor that has no value yet; see :attr:`inputs`.
        """
        check_inputs([v for v in self.inputs if v not in self.input_values])
        return {**whole_data(self.minibatches), **self.input_values}

    @property
    def inputs(self) -> list[Variable]:
        """Tensors without a value on which the model depends.

        A fit is given their values by ``more_replacements``; what comes after it uses the same.
        """
        return self.compiled("inputs", lambda: inputs_in(self.graphs, self.value_vars))

    def take_inputs(self, values: Mapping[Variable, Variable]) -> None:
        """Take note of what stands for inputs from now on, the whole data where it is a minibatch.

        Parameters
        ----------
        values
            Replacements of parts of the model, of which those of inputs count.
        """
        for variable in self.inputs:
            if variable not in values:
                continue
            new: Any = values[variable]
            if minibatches := minibatches_in([new]):
                (new,) = graph_replace([new], whole_data(minibatches))
            old: Any = self.input_values.get(variable)
            if holds_numbers(new):  # which no one else can change: kept apart from the fit's own
                if holds_numbers(old) and new.type == old.type:
                    old.set_value(new.get_value(borrow=True))
                    continue
                new = shared_numbers(new.get_value())
            if new is not old:
                self.input_values[variable] = new
                self.functions.clear()

    @check_arguments
    def sampled_data_replacements(
        self, rows: int, random_seed: Any = None
    ) -> dict[TensorVariable, SharedVariable]:
        """Return replacements that put a random sample of the data in the place of minibatches.

        They are as those of :meth:`whole_data_replacements`, for data that are many, or not in
        memory. In a log density, the scaling by ``total_size`` then is that of the sample.

        Parameters
        ----------
        rows
            Number of rows of the data of each minibatch; all, if there are fewer.
        random_seed
            Seed of their choice.

        Raises
        ------
        ValueError
            If ``rows`` is less than one.
        StreamError
            If data cannot be read.
        """
        return sampled_data(self.minibatches, rows, random_seed)

    def check_shapes(self) -> None:
        """Raise if data that were exchanged do not fit each other any more.

        Raises
        ------
        ShapeError
            If the data of an observed variable do not fit its parameters or its dimensions, or
            the data of minibatches that show the same rows have different lengths.
        """
        for rv in self.observed_RVs:
            dist, observed = distribution_of(rv), self.rvs_to_values[rv]
            label = f"{type(dist).__name__}({rv.name!r})"
            check_observed_shape(dist, observed, label)
            if dims := self.named_vars_to_dims.get(rv.name):
                self.check_lengths(whole_shape(observed), dims, label)
        check_same_rows(self.minibatches)

    def copy(self) -> Model:
        """Return a copy that what happens to this model has no effect on.

        Data variables are copied; minibatches, and shared variables of one's own, are shared.

        Raises
        ------
        ModelError
            If the model is nested in another one.
        """
        return Rebuilding(self).run()

    def __deepcopy__(self, memo: Any) -> Model:
        return self.copy()

    @property
    def unobserved_value_vars(self) -> list[Variable]:
        """Value variables of the free variables, and the deterministics as their expressions."""
        free = self.replace_rvs_by_values(self.free_RVs)
        transformed = [
            value for value, rv in zip(self.value_vars, free, strict=True) if value is not rv
        ]
        return [*free, *transformed, *self.replace_rvs_by_values(self.deterministics)]

    @property
    def graphs(self) -> list[Variable]:
        """Everything that the model is made of, as the roots of its graphs."""
        return [
            *self.basic_RVs,
            *self.unobserved_RVs,
            *self.potentials,
            *self.data_vars,
            *self.rvs_to_values.values(),
        ]

    @check_arguments
    def set_data(
        self, name: str, values: Any, coords: Mapping[str, Sequence[Any]] | None = None
    ) -> None:
        """Exchange the values of one data variable; see :func:`vibayes.set_data`.

        Parameters
        ----------
        name
            Name of the data.
        values
            The new values.
        coords
            New coordinates of dimensions that change their length.
        """
        exchange(self, {name: values}, coords)

    # -- density ------------------------------------------------------------------------------

    @check_arguments
    def logp(
        self,
        vars: Variable | Sequence[Variable] | None = None,
        jacobian: bool = True,
        sum: bool = True,
    ) -> TensorVariable | list[TensorVariable]:
        """Return the log density as a graph of the value variables.

        Parameters
        ----------
        vars
            Random variables and potentials to take; all by default.
        jacobian
            Whether to add the log Jacobians of the transforms.
        sum
            Whether to sum everything into one scalar. Otherwise a list with one, not summed, log
            density a variable is returned.

        Raises
        ------
        ValueError
            If ``vars`` holds a variable that has no log density in this model.
        """
        everything = self.basic_RVs + self.potentials
        if vars is None:
            chosen = everything
        else:
            chosen = list(vars) if isinstance(vars, Sequence) else [vars]
            if unknown := [v for v in chosen if v not in everything]:
                raise ValueError(
                    f"{unknown[0]} is neither a random variable nor a potential of the model"
                )
        terms = logp_terms(self, chosen, jacobian)
        if not sum:
            return terms
        total = pt.constant(0.0, dtype=pytensor.config.floatX)
        for i, term in enumerate(terms):
            total = term.sum() if i == 0 else total + term.sum()
        total = to_float(total)
        total.name = "logp"
        return total

    @property
    def varlogp(self) -> TensorVariable:
        """Log density of the free variables, log Jacobians included: the prior."""
        return self.logp(self.free_RVs)

    @property
    def varlogp_nojac(self) -> TensorVariable:
        """Log density of the free variables on their own scale."""
        return self.logp(self.free_RVs, jacobian=False)

    @property
    def datalogp(self) -> TensorVariable:
        """Log density of the observed variables, and the potentials: the likelihood."""
        return self.logp(self.observed_RVs + self.potentials)

    @property
    def observedlogp(self) -> TensorVariable:
        """Log density of the observed variables."""
        return self.logp(self.observed_RVs)

    @property
    def potentiallogp(self) -> TensorVariable:
        """Sum of the potentials."""
        return self.logp(self.potentials)

    @check_arguments
    def dlogp(
        self, vars: Variable | Sequence[Variable] | None = None, jacobian: bool = True
    ) -> TensorVariable:
        """Return the gradient of the log density, one flat vector.

        Parameters
        ----------
        vars
            Free random variables (or their value variables) to differentiate by; all by default.
        jacobian
            Whether the log density has the log Jacobians of the transforms.
        """
        wrt = self._values_of(vars)
        grads = gradient_of(self.logp(jacobian=jacobian), wrt, self)
        return pt.concatenate([g.ravel() for g in grads])

    @check_arguments
    def d2logp(
        self,
        vars: Variable | Sequence[Variable] | None = None,
        jacobian: bool = True,
        negate_output: bool = True,
    ) -> TensorVariable:
        """Return the matrix of second derivatives of the log density.

        Parameters
        ----------
        vars
            Free random variables (or their value variables) to differentiate by; all by default.
        jacobian
            Whether the log density has the log Jacobians of the transforms.
        negate_output
            Whether to return the matrix of the negative log density, as PyMC does.
        """
        wrt = self._values_of(vars)
        flat = pt.concatenate([v.ravel() for v in wrt]) if wrt else pt.zeros(0)
        vector = flat.type("flat")
        logp = graph_replace(self.logp(jacobian=jacobian), FlatLayout(wrt).split(vector))
        hessian = hessian_of(logp, vector, self)
        hessian = graph_replace(hessian, {vector: flat}, strict=False)
        return -hessian if negate_output else hessian

    def _values_of(self, vars: Variable | Sequence[Variable] | None) -> list[TensorVariable]:
        """Return the value variables of free variables, of all by default."""
        chosen = self.free_RVs if vars is None else vars
        chosen = list(chosen) if isinstance(chosen, Sequence) else [chosen]
        wrt = [self.rvs_to_values.get(v, v) for v in chosen]
        if unknown := [v for v in wrt if v not in self.value_vars]:
            raise ValueError(f"vars must be free variables of the model, {unknown[0]} is none")
        return wrt

    @check_arguments
    def compile_fn(
        self,
        outs: Variable | Sequence[Variable],
        *,
        inputs: Sequence[Variable] | None = None,
        mode: Any = None,
        backend: str | None = None,
        point_fn: bool = True,
    ) -> Callable[..., Any]:
        """Compile expressions of the value variables.

        Parameters
        ----------
        outs
            One expression or several.
        inputs
            The inputs; by default all value variables.
        mode, backend
            How to compile; by numba unless said otherwise.
        point_fn
            Whether the function takes a point, rather than one argument an input.

        Returns
        -------
        callable
            A function of a point: a dict of values by the names of the inputs.
        """
        inputs = self.value_vars if inputs is None else list(inputs)
        function = pytensor.function(
            inputs,
            outs,
            mode=resolve_mode(backend, mode),
            on_unused_input="ignore",
            allow_input_downcast=True,
        )
        if not point_fn:
            return function
        names = [i.name for i in inputs]

        def of_point(point: Mapping[str, Any]) -> Any:
            return function(*(point[name] for name in names))

        return of_point

    @check_arguments
    def compile_logp(
        self,
        vars: Variable | Sequence[Variable] | None = None,
        jacobian: bool = True,
        sum: bool = True,
        **compile_kwargs: Any,
    ) -> Callable[[Mapping[str, Any]], Any]:
        """Compile :meth:`logp` into a function of a point."""
        return self.compile_fn(self.logp(vars, jacobian, sum), **compile_kwargs)

    @check_arguments
    def compile_dlogp(
        self,
        vars: Variable | Sequence[Variable] | None = None,
        jacobian: bool = True,
        **compile_kwargs: Any,
    ) -> Callable[[Mapping[str, Any]], Any]:
        """Compile :meth:`dlogp` into a function of a point."""
        return self.compile_fn(self.dlogp(vars, jacobian), **compile_kwargs)

    @check_arguments
    def compile_d2logp(
        self,
        vars: Variable | Sequence[Variable] | None = None,
        jacobian: bool = True,
        negate_output: bool = True,
        **compile_kwargs: Any,
    ) -> Callable[[Mapping[str, Any]], Any]:
        """Compile :meth:`d2logp` into a function of a point."""
        return self.compile_fn(self.d2logp(vars, jacobian, negate_output), **compile_kwargs)

    @check_arguments
    def logp_dlogp_function(
        self,
        grad_vars: Variable | Sequence[Variable] | None = None,
        initial_point: Mapping[str, Any] | None = None,
        ravel_inputs: bool = True,
        **compile_kwargs: Any,
    ) -> Callable[[Any], tuple[np.ndarray, np.ndarray]]:
        """Compile the log density and its gradient into one function.

        Parameters
        ----------
        grad_vars
            Free variables to differentiate by; all by default.
        initial_point
            Values of the others, by the names of their value variables; those where fits start by
            default.
        ravel_inputs
            Whether the function takes one flat vector of the values of ``grad_vars``, rather than a
            dict of values by the names of the value variables.
        **compile_kwargs
            How to compile: ``mode`` and ``backend`` of :meth:`compile_fn`.

        Returns
        -------
        callable
            Returns the log density, and its gradient as a flat vector.
        """
        wrt = self._values_of(grad_vars)
        graphs = [self.logp(), self.dlogp(wrt)]
        function = self.compile_fn(graphs, **compile_kwargs)
        fixed = {**self.initial_point(), **(initial_point or {})}
        layout = FlatLayout(wrt)

        def of_point(point: Any) -> tuple[np.ndarray, np.ndarray]:
            if ravel_inputs:
                point = layout.point(np.asarray(point))
            logp, slope = function({**fixed, **point})
            return logp, slope

        return of_point

    @check_arguments
    def point_logps(
        self, point: Mapping[str, Any] | None = None, round_vals: int | None = 2
    ) -> dict[str, float]:
        """Return the log density of each variable at a point.

        Parameters
        ----------
        point
            Values by the names of the value variables; the initial point by default.
        round_vals
            Decimals to round to; None for no rounding.
        """
        if round_vals is not None:
            round_vals = check_whole(round_vals, "round_vals", least=-300, most=300)
        point = self.initial_point() if point is None else point
        logps = point_logps(self, point)
        return logps if round_vals is None else {n: round(v, round_vals) for n, v in logps.items()}

    def eval_rv_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of free variables and of their unconstrained values, by name."""
        point = self.initial_point()
        shapes = {name: np.shape(value) for name, value in point.items()}
        for rv in self.free_RVs:
            shapes[rv.name] = tuple(int(n) for n in evaluate(tuple(rv.shape)))
        return shapes

    @check_arguments
    def set_initval(self, rv_var: Variable, initval: Any) -> None:
        """Change where fits start for a free variable.

        Parameters
        ----------
        rv_var
            A free random variable of the model.
        initval
            As in the variable's own definition: a value, ``"support_point"`` or ``"prior"``.
        """
        if rv_var not in self.free_RVs:
            raise ValueError(f"rv_var must be a free variable of the model, {rv_var} is none")
        check_initval(initval, f"set_initval: {rv_var.name!r}")
        self.record("rvs_to_initial_values", rv_var, initval)

    def replace_rvs_by_values(self, graphs: Sequence[Variable]) -> list[Variable]:
        """Return copies of graphs in which value variables stand for the random variables."""
        return replaced_by_values(self, graphs)

    @check_arguments
    def initial_point(
        self, random_seed: Any = None, start: Mapping[str, Any] | None = None
    ) -> dict[str, np.ndarray]:
        """Return the unconstrained values from which a fit starts, by name.

        Parameters
        ----------
        random_seed
            Seed for the variables whose ``initval`` is ``"prior"``.
        start
            Values that take precedence, by the names of random variables (on their own scale) or
            of value variables (unconstrained).
        """
        return initial_point(self, random_seed, start)

    @check_arguments
    def debug(
        self,
        point: Mapping[str, Any] | None = None,
        fn: str = "logp",
        verbose: bool = False,
    ) -> None:
        """Print which variables are at fault at a point, with the values of their parameters.

        Parameters
        ----------
        point
            Values by the names of the value variables; the initial point by default.
        fn
            What to look at: ``"logp"``, ``"dlogp"`` (the gradient) or ``"random"`` (draws).
        verbose
            Whether to print the distributions of these variables, too.
        """
        if fn not in ("logp", "dlogp", "random"):
            raise ValueError(f"fn must be 'logp', 'dlogp' or 'random', got {fn!r}")
        point = self.initial_point() if point is None else point
        print("\n".join(report(self, point, fn, verbose)))

    # -- display ------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return model_repr(self)

    def __str__(self) -> str:
        return model_text(self)

    def _repr_html_(self) -> str:
        return model_html(self)

    @check_arguments
    def str_repr(self, formatting: str = "plain", include_params: bool = True) -> str:
        """Return the model as text.

        Parameters
        ----------
        formatting
            ``"plain"``, or ``"latex"`` for a formula.
        include_params
            Whether to write the parameters of distributions.
        """
        if formatting not in ("plain", "latex"):
            raise ValueError(f"formatting must be 'plain' or 'latex', got {formatting!r}")
        return model_formulas(self, formatting == "latex", include_params)

    @check_arguments
    def table(self) -> HTMLTable:
        """Return the variables as a table: what each one is, and its axes.

        Notebooks show it, and ``print`` does.
        """
        return HTMLTable(model_text(self), model_html(self))

    @check_arguments
    def to_graphviz(
        self,
        *,
        var_names: str | Sequence[str] | None = None,
        save: str | Path | None = None,
        include_dim_lengths: bool = True,
        graph_attr: dict[str, str] | None = None,
    ) -> Any:
        """Draw the graph of the model; see :func:`vibayes.model_to_graphviz`."""
        return drawn_graph(self, var_names, save, include_dim_lengths, graph_attr)
