"""``fit``: from a model to an approximate posterior in one call."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

from pytensor.tensor.variable import TensorVariable

from vibayes import progress
from vibayes.approximations.base import Approximation
from vibayes.arguments import check_arguments, check_whole, shown
from vibayes.context import modelcontext
from vibayes.exceptions import UnknownNameError
from vibayes.families.known import FAMILIES
from vibayes.inference.base import METHODS, Method
from vibayes.inference.methods import FamilyInference
from vibayes.model.cluster import check_client
from vibayes.model.core import Model
from vibayes.model.passes import computing

__all__ = ["fit"]

FEWEST_BYTES = 2**26  # of memory, for the partitions that are read ahead


@check_arguments
def fit(
    n: int | None = None,
    method: str | Method | type[Method] = "advi",
    model: Model | None = None,
    random_seed: Any = None,
    start: Mapping[str, Any] | None = None,
    start_sigma: Mapping[str, Any] | None = None,
    inf_kwargs: Mapping[str, Any] | None = None,
    diagnose: bool = True,
    *,
    local_rv: Mapping[TensorVariable, Any] | None = None,
    client: Any = None,
    memory_limit: int | None = None,
    **kwargs: Any,
) -> Approximation:
    """Fit an approximate posterior, and judge it.

    Parameters
    ----------
    n
        Number of iterations. By default the fit ends by itself: see
        :meth:`vibayes.Inference.fit`.
    method
        ``"advi"``, ``"fullrank_advi"``, ``"lowrank_advi"``, ``"nfvi"`` or ``"nfvi=FORMULA"``
        (such as ``"nfvi=planar*8"``): a family, fitted by KL; ``"klqp"``: any. ``"svgd"``,
        ``"asvgd"``, ``"implicit_gradient"``: particles. ``"auto"``: the first family that holds
        the posterior. ``"laplace"``, ``"pathfinder"``, ``"mixture"``: searches. The name of any
        family, such as ``"low_rank"``, one of your own included. Any class of methods, such as
        :class:`vibayes.ADVI`, or an object of one, which is fitted as it is.
    model
        The model; by default the one of the ``with`` block. A PyMC or Bambi model is converted at
        each call: see :func:`vibayes.from_pymc`.
    random_seed : int, sequence of int, SeedSequence, Generator or None
        Seed: the same seed gives the same numbers. Only a generator is another one afterwards.
    start
        Where to start, by variable name: on the variable's own scale, or unconstrained under the
        name of its value variable.
    start_sigma
        Standard deviations to start from, by variable name, in the unconstrained space. A dict of
        arguments of the inference class in its place is ``inf_kwargs``, as in PyMC3's order.
    inf_kwargs
        Further arguments of the inference class.
    diagnose
        Whether to judge the result by :meth:`Approximation.diagnose`, and to warn if it is not
        good.
    local_rv
        Variables that belong to the observations of a minibatch; see
        :class:`vibayes.SingleGroupApproximation`.
    client : distributed.Client, optional
        A Dask cluster, on whose workers the rows of the data are kept and summed over: for fits
        that need no steps of an optimizer. By default Dask's current client, if there is one, for
        data that are not in memory or of more than 500,000 values; False is this process. See
        ``docs/large_data.md``.
    memory_limit
        Bytes that passes over data that are read may take, 1 GiB by default.
    **kwargs
        Arguments of :meth:`vibayes.Inference.fit`.

    Warns
    -----
    ConvergenceWarning
        If the fit has not converged.
    ApproximationWarning
        If it has, but the family does not hold the posterior.

    Returns
    -------
    Approximation
        To sample from, and to be handed to ArviZ.

    Raises
    ------
    ValueError
        If the method is unknown.
    TypeError
        If the method is a class that cannot be made for a model.
    ModelError
        If the model has no free variables, or discrete ones.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     mu = vb.Normal("mu", 0, 10)
    ...     y = vb.Normal("y", mu, 1, observed=[1.2, 0.8, 1.9])
    ...     approx = vb.fit(random_seed=1, progressbar=False)
    >>> approx.sample(100, random_seed=1).posterior["mu"].shape
    (1, 100)
    """
    check_client(client)
    if memory_limit is not None:
        memory_limit = check_whole(memory_limit, "memory_limit", least=FEWEST_BYTES)
    options = dict(inf_kwargs or {})
    if start_sigma and inf_kwargs is None and not isinstance(method, Method):
        maker = named_method(method)[0] if isinstance(method, str) else method
        if are_options(start_sigma, maker, modelcontext(model)):
            options, start_sigma = dict(start_sigma), None
    named = {"start": start, "start_sigma": start_sigma, "local_rv": local_rv}
    show = bool(kwargs.get("progressbar", True))
    with progress.shown(show, "looking at the model"), computing(client, memory_limit):
        inference = inference_of(method, model, random_seed, options, named)
        return inference.fit(n, diagnose=diagnose, **kwargs)


def inference_of(
    method: Any,
    model: Any,
    random_seed: Any,
    options: dict[str, Any],
    named: Mapping[str, Any],
) -> Method:
    """Return the method that a fit runs.

    Raises
    ------
    TypeError
        If there are arguments for a method that is made already.
    """
    named = {name: value for name, value in named.items() if value is not None}
    if isinstance(method, Method):
        given = [*named, *options, *(["random_seed"] if random_seed is not None else [])]
        if given:
            raise TypeError(
                f"{given[0]} has no effect on an inference object that is made already; "
                f"pass it to {type(method).__name__}(...)"
            )
        return method
    if isinstance(method, str):
        method, of_name = named_method(method)
        options = of_name | options
    return made_method(method, model, random_seed, named | options)


def are_options(given: Mapping[str, Any], method: Any, model: Model) -> bool:
    """Tell whether a dict holds arguments of a method, and nothing of the model's variables."""
    variables = {v.name for v in (*model.free_RVs, *model.value_vars)}
    makers = [method, getattr(method, "approximation", method)]
    classes = [cls for maker in makers for cls in getattr(maker, "__mro__", ())]
    known = {
        name
        for cls in classes
        if "__init__" in vars(cls)
        for name, p in signature(vars(cls)["__init__"]).parameters.items()
        if p.kind is not p.VAR_KEYWORD
    }
    return given.keys() <= known - variables


def named_method(name: str) -> tuple[type[Method], dict[str, Any]]:
    """Return the class of a name, and the arguments that the name holds."""
    key, _, formula = name.partition("=")
    method = METHODS.get(key.lower())
    if method is None and key.lower() in FAMILIES:
        method = FamilyInference.of(FAMILIES[key])
    if method is None or (formula and not method.formula_option):
        known = [*sorted(METHODS), *(f"{m}=FORMULA" for m in METHODS if METHODS[m].formula_option)]
        raise UnknownNameError(
            f"method {name!r} is unknown; known are {', '.join(map(repr, known))}, and the "
            f"families {', '.join(map(repr, sorted(FAMILIES)))}"
        )
    return method, {method.formula_option: formula} if formula else {}


def made_method(method: Any, model: Any, random_seed: Any, options: dict[str, Any]) -> Method:
    """Return a method of a class, or of any other function that makes one.

    Raises
    ------
    TypeError
        If it makes none.
    """
    make = getattr(method, "for_model", method)
    try:
        made = make(model=model, random_seed=random_seed, **options) if callable(make) else method
    except TypeError as error:
        if isinstance(method, type) and issubclass(method, Method):
            raise
        raise TypeError(
            f"method must make one for a model, {shown(method)} does not: {error}"
        ) from error
    if not isinstance(made, Method):
        raise TypeError(
            f"method must be a name, a class such as vb.ADVI, or an object of one, got "
            f"{shown(method)}"
        )
    return made
