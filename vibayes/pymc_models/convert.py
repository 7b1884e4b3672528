"""``from_pymc``: a PyMC model as a model of vibayes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.replace import clone_replace, graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.type import RandomType
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.expressions import display_name
from vibayes.backend.graphs import without_sums_of_scalars
from vibayes.backend.hypergeometric import with_cheap_gradients
from vibayes.backend.modes import evaluate
from vibayes.backend.xtensors import as_named, dims_of, in_tensors, is_xtensor, leading
from vibayes.context import register_converter
from vibayes.distributions.base import distribution_of
from vibayes.exceptions import ModelError
from vibayes.installing import how_to_install
from vibayes.model.core import Model
from vibayes.model.density import expand_total_size
from vibayes.ops.eigen import with_robust_eigh
from vibayes.pymc_models.adapters import (
    NamedTransform,
    PyMCDistribution,
    PyMCTransform,
    origin_of,
    without_checks,
)
from vibayes.pymc_models.minibatches import minibatch_replacements

__all__ = ["from_pymc"]

SUPPORTED = "PyMC 6, which needs Python 3.12 or later"
QUOTED = "'pymc>=6,<7'"  # for a shell


def from_pymc(model: Any) -> Model:
    """Return a PyMC model as a model of vibayes.

    Its random variables, log densities, transforms and starting values stay those of PyMC.
    Needs PyMC 6: ``pip install "pymc>=6,<7"``.

    Parameters
    ----------
    model : pymc.Model or bambi.Model
        The model. It is not changed, and what happens to it later has no effect on the result.

    Returns
    -------
    Model
        With the names, dims and coords of the original. ``pymc.Data`` become data variables, to
        be exchanged by :func:`vibayes.set_data`; ``pymc.Minibatch`` become :class:`Minibatch`.

    Raises
    ------
    ImportError
        If PyMC is not installed, or of another version than 6.
    TypeError
        If it is no PyMC model.
    ModelError
        If a variable has another dtype than ``floatX``, or is of a type of another library.

    Examples
    --------
    >>> import pymc as pm  # doctest: +SKIP
    >>> import vibayes as vb
    >>> with pm.Model() as pymc_model:  # doctest: +SKIP
    ...     mu = pm.Normal("mu", 0, 10)
    ...     pm.Normal("y", mu, 1, observed=[1.2, 0.8, 1.9])
    >>> model = vb.from_pymc(pymc_model)  # doctest: +SKIP
    >>> approx = vb.fit(model=model)  # doctest: +SKIP
    """
    if not is_of_pymc(model):
        raise TypeError(f"model must be a PyMC or Bambi model, got {model!r}")
    check_version()
    original = pymc_model_of(model)
    check_variables(original)
    result = Model.independent()
    copy_dimensions(original, result)
    Conversion(original, result).run()
    return result


@register_converter
def converted(model: Any) -> Model | None:
    """Return a model of PyMC or Bambi as a model of vibayes, None for anything else."""
    return from_pymc(model) if is_of_pymc(model) else None


def is_of_pymc(model: Any) -> bool:
    """Tell, without any import, whether something is an object of PyMC or Bambi."""
    libraries = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
    return bool(libraries & {"pymc", "bambi"})


def check_version() -> None:
    """Raise if there is no PyMC whose variables are those of the PyTensor that is used here."""
    try:
        found = version("pymc")
    except PackageNotFoundError:
        raise ImportError(
            f"vb.from_pymc needs {SUPPORTED}: {how_to_install(QUOTED, 'pymc')}"
        ) from None
    if found.partition(".")[0] != "6":
        raise ImportError(
            f"vb.from_pymc needs {SUPPORTED}, but PyMC {found} is installed: its range of PyTensor "
            f"versions is another than that of vibayes (pytensor>=3.0,<4)."
        )


def pymc_model_of(model: Any) -> Any:
    """Return the PyMC model, also that of a Bambi model, which is built if it has to be."""
    import pymc

    if not isinstance(model, pymc.Model) and hasattr(model, "build") and hasattr(model, "backend"):
        if not model.built:
            model.build()
        model = model.backend.model
    if not isinstance(model, pymc.Model):
        raise TypeError(f"model must be a PyMC or Bambi model, got {model!r}")
    return model


def check_variables(model: Any) -> None:
    """Raise if a variable has a type that vibayes cannot work with."""
    for variable in [*model.basic_RVs, *model.deterministics, *model.potentials]:
        if not (isinstance(variable.type, pt.TensorType) or is_xtensor(variable)):
            raise ModelError(f"{variable.name!r} is of type {variable.type}, it must be a tensor")
    for rv in model.free_RVs:
        if rv.dtype.startswith("float") and rv.dtype != pytensor.config.floatX:
            raise ModelError(
                f"{rv.name!r} has dtype {rv.dtype}, but pytensor.config.floatX is "
                f"{pytensor.config.floatX}: set that before the PyMC model is written"
            )


def copy_dimensions(original: Any, result: Model) -> None:
    lengths = dict(original.dim_lengths)
    for name, length in zip(lengths, evaluate(list(lengths.values())), strict=True):
        result.set_dim(name, int(length), original.coords.get(name))


class Conversion:
    """One conversion: the graphs of a PyMC model, copied and registered with another model.

    Parameters
    ----------
    original : pymc.Model
        The PyMC model.
    result : Model
        An empty model with the same dimensions.
    """

    def __init__(self, original: Any, result: Model) -> None:
        self.original, self.result = original, result

    def run(self) -> None:
        """Fill the model."""
        original = self.original
        starts = [original.rvs_to_initial_values.get(rv) for rv in original.free_RVs]
        copied = self.copies(
            {
                "rvs": [bare(rv) for rv in original.basic_RVs],
                "observed": [original.rvs_to_values[rv] for rv in original.observed_RVs],
                "deterministics": original.deterministics,
                "potentials": original.potentials,
                "starts": [s for s in starts if isinstance(s, Variable)],
            }
        )
        given = iter(copied["starts"])
        self.add_data()
        self.add_random_variables(copied["rvs"], copied["logp"])
        self.add_starts([next(given) if isinstance(s, Variable) else s for s in starts])
        self.add_observed(copied["observed"])
        self.add_expressions(copied["deterministics"], "deterministics")
        self.add_expressions(copied["potentials"], "potentials")

    # -- graphs -------------------------------------------------------------------------------

    def copies(self, groups: dict[str, Sequence[Variable]]) -> dict[str, list[Variable]]:
        """Return copies of graphs, of tensors alone, that share nothing with the original.

        With them come, as ``"logp"``, the log densities of the random variables ``"rvs"``.
        """
        graphs = [v for group in groups.values() for v in group]
        outer = {rv: bare(rv) for rv in self.original.basic_RVs if is_scaled(rv)}
        graphs = graph_replace(graphs, outer, strict=False) if outer else graphs
        self.shared = {
            v: self.copy_of(v)
            for v in [*ancestors(graphs), *self.original.data_vars]
            if isinstance(v, SharedVariable) or v in self.original.data_vars
        }
        graphs, minibatches = of_any_length(graphs, minibatch_replacements(graphs, self.shared))
        named = {
            old: as_named(new, dims_of(old)) if is_xtensor(old) else new
            for old, new in self.shared.items()
        }
        graphs = graph_replace(graphs, named, strict=False)
        self.values, logps = log_densities(graphs[: len(groups["rvs"])])
        graphs = in_tensors([*graphs, *logps])
        graphs, logps = graphs[: -len(logps)], graphs[-len(logps) :]
        advance_generators(graphs)
        if minibatches:  # not before, since PyMC clones what it derives a log density of
            graphs = graph_replace([*graphs, *logps], minibatches, strict=False)
            graphs, logps = graphs[: -len(logps)], graphs[-len(logps) :]
        parts = iter(graphs)
        return {name: [next(parts) for _ in group] for name, group in groups.items()} | {
            "logp": logps
        }

    def copy_of(self, variable: SharedVariable) -> Variable:
        """Return a copy of a shared variable; the length of a dimension is that of the result."""
        for name, length in self.original.dim_lengths.items():
            if length is variable:
                return self.result.dim_lengths[name].astype(variable.dtype)
        if isinstance(variable.type, RandomType):
            return pytensor.shared(copy.deepcopy(variable.get_value()), name=variable.name)
        value = np.array(variable.data if isinstance(variable, Constant) else variable.get_value())
        return pytensor.shared(value, name=variable.name, shape=variable.type.shape)

    # -- registration -------------------------------------------------------------------------

    def dims(self, name: str) -> tuple[str | None, ...] | None:
        return self.original.named_vars_to_dims.get(name)

    def add_data(self) -> None:
        for variable in self.original.data_vars:
            dims = self.dims(variable.name) or (None,) * variable.type.ndim
            self.result.register_data_var(self.shared[variable], dims)

    def add_random_variables(
        self, rvs: Sequence[TensorVariable], logps: Sequence[TensorVariable]
    ) -> None:
        for old, rv, value, logp in zip(
            self.original.basic_RVs, rvs, self.values, logps, strict=True
        ):
            named_distribution(rv)(rv, value, logp, text_of(old), event_ndim(bare(old)))
            self.result.add_named_variable(rv, old.name, self.dims(old.name))
            self.result.basic_RVs.append(rv)
        count = len(self.original.free_RVs)
        self.result.free_RVs += rvs[:count]
        self.result.observed_RVs += rvs[count:]

    def add_starts(self, starts: Sequence[Any]) -> None:
        """Add the unconstrained values of the free variables."""
        result, original = self.result, self.original
        for old, rv, start in zip(original.free_RVs, result.free_RVs, starts, strict=True):
            transform = original.rvs_to_transforms[old]
            if transform is not None and is_xtensor(old):
                transform = NamedTransform(transform, rv, dims_of(old))
            elif transform is not None:
                transform = PyMCTransform(transform, rv)
            value = original.rvs_to_values[old]
            shape = unconstrained_shape(rv, transform)
            result.rvs_to_values[rv] = pt.TensorType(value.dtype, shape)(value.name)
            result.rvs_to_values[rv].tag.is_value = True
            result.rvs_to_transforms[rv] = transform
            result.rvs_to_initial_values[rv] = start

    def add_observed(self, observed: Sequence[TensorVariable]) -> None:
        result, original = self.result, self.original
        for old, rv, data in zip(original.observed_RVs, result.observed_RVs, observed, strict=True):
            if isinstance(data, Constant):  # other data of the same shape need no compilation
                data = pytensor.shared(data.data.copy(), name=data.name, shape=data.type.shape)
            result.rvs_to_values[rv] = data
            if (total := total_size(old)) is not None:
                result.rvs_to_total_sizes[rv] = total

    def add_expressions(self, expressions: Sequence[TensorVariable], kind: str) -> None:
        for old, variable in zip(getattr(self.original, kind), expressions, strict=True):
            if variable is old or variable.name in self.result.named_vars:
                variable = pt.tensor_copy(variable)
            self.result.add_named_variable(variable, old.name, self.dims(old.name))
            getattr(self.result, kind).append(variable)


def of_any_length(
    graphs: Sequence[Variable], minibatches: dict[Variable, Variable]
) -> tuple[list[Variable], dict[Variable, Variable]]:
    """Return graphs in whose types the length of minibatches is no part: whole data are longer.

    Also returned are the replacements that put the minibatches into these graphs.
    """
    if not minibatches:
        return list(graphs), {}
    inputs = {old: new.type(name=old.name) for old, new in minibatches.items()}
    free = clone_replace(list(graphs), inputs, rebuild_strict=False)
    return free, {inputs[old]: new for old, new in minibatches.items()}


def bare(rv: TensorVariable) -> TensorVariable:
    """Return a random variable without PyMC's mark of its total size."""
    return rv.owner.inputs[0] if is_scaled(rv) else rv


def is_scaled(rv: TensorVariable) -> bool:
    from pymc.variational.minibatch_rv import MinibatchRandomVariable

    return isinstance(rv.owner.op, MinibatchRandomVariable)


def total_size(rv: TensorVariable) -> tuple[int | None, ...] | None:
    """Return the number of observations along each axis for which a variable's data stand."""
    if not is_scaled(rv):
        return None
    entries = [getattr(entry, "data", None) for entry in rv.owner.inputs[1:]]
    return expand_total_size(
        [None if e is None else int(e) for e in entries], rv.type.ndim, repr(rv.name)
    )


def log_densities(
    rvs: Sequence[TensorVariable],
) -> tuple[list[TensorVariable], list[TensorVariable]]:
    """Return what stands for the value of each variable, and its log density given the others."""
    from pymc.logprob import conditional_logp

    placeholders = [value_placeholder(rv) for rv in rvs]
    values = [
        as_named(value, dims_of(rv)) if is_xtensor(rv) else value
        for rv, value in zip(rvs, placeholders, strict=True)
    ]
    found = conditional_logp(dict(zip(rvs, values, strict=True)), warn_rvs=False)
    graphs = [
        leading(found[value], batch_dims(rv)) if is_xtensor(rv) else found[value]
        for rv, value in zip(rvs, values, strict=True)
    ]
    graphs = with_robust_eigh(without_sums_of_scalars(without_checks(graphs)))
    graphs = with_cheap_gradients(graphs)
    tensors = [rv.values if is_xtensor(rv) else rv for rv in rvs]
    logps = []
    for own, logp in zip(placeholders, graphs, strict=True):
        others = {v: rv for v, rv in zip(placeholders, tensors, strict=True) if v is not own}
        logps += graph_replace([logp], others, strict=False)
    return placeholders, logps


def batch_dims(rv: Variable) -> tuple[str, ...]:
    """Return the names of the axes of a variable that come before the first of an event's."""
    dims, events = dims_of(rv), getattr(origin_of(rv).owner.op, "core_dims", ((), ()))[1]
    first = min((dims.index(dim) for dim in events if dim in dims), default=len(dims))
    return dims[:first]


def event_ndim(rv: Variable) -> int | None:
    """Return how many of the last axes of a variable are those of an event, where names tell."""
    return len(dims_of(rv)) - len(batch_dims(rv)) if is_xtensor(rv) else None


def value_placeholder(rv: Variable) -> TensorVariable:
    """Return what stands for a variable's value, of any length, in its log density."""
    shape = tuple(1 if length == 1 else None for length in rv.type.shape)
    return pt.TensorType(rv.dtype, shape)(f"{rv.name}_value")


def unconstrained_shape(rv: TensorVariable, transform: PyMCTransform | None) -> tuple[int, ...]:
    """Return the shape of the unconstrained value of a free variable."""
    typical = distribution_of(rv).support_point()
    unconstrained = typical if transform is None else transform.forward(typical)
    if None in unconstrained.type.shape:
        return tuple(int(n) for n in evaluate([unconstrained.shape])[0])
    return unconstrained.type.shape


def advance_generators(graphs: Sequence[Variable]) -> None:
    """Give each random generator the state after the draws of its variable as an update."""
    from pymc.pytensorf import collect_default_updates

    for generator, advanced in collect_default_updates(graphs).items():
        generator.default_update = advanced


def named_distribution(rv: TensorVariable) -> type[PyMCDistribution]:
    """Return a class of the name that the variable's distribution has in PyMC."""
    return type(display_name(origin_of(rv)), (PyMCDistribution,), {})


def text_of(rv: TensorVariable) -> str:
    """Return what PyMC displays for the distribution of a variable."""
    from pymc.printing import str_for_dist

    if hasattr(rv, "str_repr") and not is_scaled(rv):
        text = rv.str_repr()
    else:
        text = str_for_dist(origin_of(bare(rv)))
    return text.rpartition(" ~ ")[2]
