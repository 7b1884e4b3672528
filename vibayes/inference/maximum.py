"""``find_MAP``: the values of highest density."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.replace import graph_replace

from vibayes.arguments import check_arguments, check_whole
from vibayes.backend.modes import EVALUATE_MODE, resolve_mode
from vibayes.context import modelcontext
from vibayes.exceptions import ConvergenceWarning, ModelError
from vibayes.families.base import check_continuous
from vibayes.model.core import Model
from vibayes.model.flat import FlatLayout
from vibayes.model.gradients import gradient_of
from vibayes.model.initial import check_point
from vibayes.posterior.arviz import dataset, inference_data
from vibayes.predictive.whole import groups_of_data

__all__ = ["find_MAP"]

# those of SciPy that need no second derivatives
SOLVERS = (
    *("L-BFGS-B", "BFGS", "CG", "Newton-CG", "TNC", "SLSQP", "trust-constr"),
    *("Nelder-Mead", "Powell"),
)


@check_arguments
def find_MAP(
    method: str | Mapping[str, Any] | None = "L-BFGS-B",
    *,
    initvals: Mapping[str, Any] | None = None,
    random_seed: Any = None,
    progressbar: bool = True,
    return_inferencedata: bool = False,
    model: Model | None = None,
    backend: str | None = None,
    start: Mapping[str, Any] | None = None,
    seed: Any = None,
    include_transformed: bool = True,
    return_raw: bool = False,
    maxeval: int | None = None,
    **optimizer_kwargs: Any,
) -> Any:
    """Find the values of highest posterior density, on the scale of the variables.

    In a model of more than a few parameters, and in every hierarchy, these are not typical of the
    posterior: :func:`vibayes.fit` finds what is.

    Parameters
    ----------
    method
        Method of ``scipy.optimize.minimize`` that takes gradients. A dict in its place is
        ``initvals``, as in PyMC's order.
    initvals
        Where to start, by variable name; see :meth:`vibayes.Model.initial_point`.
    random_seed
        Seed of starts that are drawn.
    progressbar
        Taken so that scripts run: there is none.
    return_inferencedata
        Whether to return an object of ArviZ's kind, with one draw.
    model
        The model; by default the one of the ``with`` block.
    backend
        What the density is computed by: NumPy by default, or ``"numba"``, ``"c"``, ``"jax"``.
    start, seed
        Other names of ``initvals`` and ``random_seed``.
    include_transformed
        Whether to return the unconstrained values, too.
    return_raw
        Whether to return SciPy's result as well: a tuple of both.
    maxeval
        Largest number of iterations; by default that of the method.
    **optimizer_kwargs
        Further arguments of ``scipy.optimize.minimize``, such as ``tol`` or ``options``.

    Returns
    -------
    dict of str to numpy.ndarray
        Values of the free variables, of the transformed ones under names such as ``sigma_log__``,
        and of the deterministics.

    Raises
    ------
    ModelError
        If there is nothing to infer, a free variable is discrete, or data are not in memory.
    SamplingError
        If the density is not finite at the start.

    Warns
    -----
    ConvergenceWarning
        If the search did not come to an end: often because the density grows without bound.

    Notes
    -----
    The density is that of the variables, without the Jacobians of their transforms, as in PyMC.
    Minibatches stand for the whole data.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     mu = vb.Normal("mu", 0, 10)
    ...     y = vb.Normal("y", mu, 1, observed=[1.0, 2.0, 3.0])
    ...     point = vb.find_MAP()
    >>> point["mu"].round(2)
    np.float64(1.99)
    """
    from scipy.optimize import minimize  # takes long to import

    model = modelcontext(model)
    if not isinstance(method, str):
        method, start = "L-BFGS-B", only_one(start, method, "start")
    initvals = only_one(initvals, start, "initvals")
    random_seed = only_one(random_seed, seed, "random_seed")
    options = options_of(minimize, maxeval, optimizer_kwargs)
    if method.lower() not in map(str.lower, SOLVERS):
        raise ValueError(f"find_MAP: method must be one of {', '.join(SOLVERS)}, got {method!r}")
    check_continuous(model, model.free_RVs)
    if model.has_streams:
        raise ModelError("find_MAP: data are read from a stream, they are not in memory")
    point = model.initial_point(random_seed, initvals)
    check_point(model, point)
    layout = FlatLayout(model.value_vars)
    density = flat_density(model, layout, backend)

    def cost(x: np.ndarray) -> tuple[float, np.ndarray]:
        with np.errstate(all="ignore"):
            logp, slope = density(x.astype(pytensor.config.floatX))
        if not np.isfinite(logp):
            return np.inf, np.zeros_like(x)
        return -float(logp), -slope.astype("float64")

    found = minimize(cost, layout.join(point).astype("float64"), method=method, jac=True, **options)
    gain = np.abs(cost(found.x)[1]) * (1 + np.abs(found.x))
    if not found.success and not (gain < 1e-3 * (1 + abs(found.fun))).all():
        warnings.warn(
            f"find_MAP did not converge: {found.message}. Either it needs more iterations "
            f"(options={{'maxiter': ...}}), or the density has no maximum.",
            ConvergenceWarning,
            stacklevel=3,
        )
    values = at_point(model, layout.point(found.x.astype(pytensor.config.floatX)))
    if not include_transformed:
        values = {v.name: values[v.name] for v in model.unobserved_RVs}
    if not return_inferencedata:
        return (values, found) if return_raw else values
    posterior = {name: np.asarray(value)[None, None] for name, value in values.items()}
    draws = dataset(model, posterior, ("chain", "draw"))
    result = inference_data({"posterior": draws, **groups_of_data(model, "find_MAP")})
    return (result, found) if return_raw else result


def only_one(value: Any, other: Any, name: str) -> Any:
    """Return what was given, under either of two names."""
    if value is not None and other is not None:
        raise TypeError(f"find_MAP: {name} is given twice, under two names")
    return other if value is None else value


def options_of(
    minimize: Callable[..., Any], maxeval: int | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of SciPy's ``minimize``; raise for what it does not take."""
    unknown = given.keys() - inspect.signature(minimize).parameters.keys() - {"progressbar_theme"}
    if "vars" in unknown:
        raise TypeError(
            "find_MAP has no argument vars: all free variables are moved. vb.observe and vb.do "
            "return a model in which others are fixed"
        )
    if unknown:
        raise TypeError(f"find_MAP: got an unexpected keyword argument {min(unknown)!r}")
    options = {"tol": 1e-10, **given}
    options.pop("progressbar_theme", None)
    if maxeval is not None:
        most = check_whole(maxeval, "maxeval", least=1)
        options["options"] = {"maxiter": most, **(options.get("options") or {})}
    return options


def flat_density(model: Model, layout: FlatLayout, backend: str | None) -> Any:
    """Return a function of the flat vector: log density without Jacobians, and its gradient."""
    vector = pt.vector("flat", dtype=pytensor.config.floatX, shape=(layout.size,))
    parts = {**model.whole_data_replacements(), **layout.split(vector)}
    (logp,) = graph_replace([model.logp(jacobian=False)], parts, strict=False)
    slope = gradient_of(logp, vector, model)
    mode = EVALUATE_MODE if backend is None else resolve_mode(backend, None)
    return pytensor.function([vector], [logp, slope], mode=mode, on_unused_input="ignore")


def at_point(model: Model, point: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return all unobserved variables at a point, by name."""
    graphs = model.unobserved_value_vars
    transformed = [
        v for rv, v in zip(model.free_RVs, model.value_vars, strict=True) if v.name != rv.name
    ]
    names = [v.name for v in (*model.free_RVs, *transformed, *model.deterministics)]
    function = model.compile_fn(graphs, mode=EVALUATE_MODE)
    return {n: np.asarray(v) for n, v in zip(names, function(point), strict=True)}
