"""Log likelihood of each observation, and log prior of each variable, at each draw."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_arguments
from vibayes.backend.modes import mode_of_many
from vibayes.backend.seeds import as_seed_sequence
from vibayes.exceptions import ModelError
from vibayes.model.core import Model
from vibayes.predictive.choices import named_variables
from vibayes.predictive.densities import density_group
from vibayes.predictive.predictive import drawn_trace, warn_of_potentials
from vibayes.predictive.results import in_place_or_new
from vibayes.predictive.trace import posterior_of
from vibayes.predictive.whole import groups_of_data

__all__ = ["compute_log_likelihood", "compute_log_prior"]


@check_arguments
def compute_log_likelihood(
    idata: Any,
    var_names: str | Collection[str] | None = None,
    extend_inferencedata: bool = True,
    model: Model | None = None,
    sample_dims: Sequence[str] | None = None,
    draws: int = 1000,
    random_seed: Any = None,
    *,
    progressbar: bool = True,
    backend: str | None = None,
    compile_kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Compute the log likelihood of each observation at each draw of a posterior.

    Minibatches stand for the whole data, in the order of their rows, and nothing is scaled by
    ``total_size``. Potentials are left out, of which a warning tells. Rows that are not in memory
    are gone through in parts; more than a gibibyte of results are arrays of Dask, whose parts are
    computed when they are asked for.

    Parameters
    ----------
    idata : Approximation, arviz.InferenceData, xarray.DataTree or xarray.Dataset
        Draws of the posterior, of any sampler; or an approximation, from which ``draws`` are taken.
    var_names
        Names of observed variables; by default all of them.
    extend_inferencedata
        Whether to add the group to the object that is given.
    model
        The model; by default that of the approximation, else the one of the ``with`` block.
    sample_dims
        The dimensions along which draws lie; by default those of ``chain``, ``draw`` and ``sample``
        that there are.
    draws, random_seed
        Number and seed of the draws of an approximation.
    progressbar
        Taken so that scripts run: there is none.
    backend, compile_kwargs
        What the densities are computed by, as for :meth:`vibayes.Inference.fit`; NumPy by default.

    Returns
    -------
    arviz.InferenceData, xarray.DataTree or xarray.Dataset
        The object that was given, with the group ``log_likelihood``: for each observed variable
        one number an event (a row of a multivariate variable), with its dims. A new object, which
        holds the posterior too, for an approximation or a Dataset. Without
        ``extend_inferencedata`` the Dataset of the group alone.

    Raises
    ------
    ModelError
        If draws of a variable are missing or do not fit the model, or if rows that are not in
        memory depend on each other.
    ImportError
        If there is more than a gibibyte of results of rows that are not in memory, and Dask is
        missing.
    KeyError
        If the model has no observed variable of a name.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     mu = vb.Normal("mu", 0, 10)
    ...     y = vb.Normal("y", mu, 1, observed=[1.0, 2.0, 3.0])
    ...     samples = vb.compute_log_likelihood(vb.MeanField().sample(100))
    >>> samples.log_likelihood["y"].shape
    (1, 100, 3)
    """
    label = "compute_log_likelihood"
    trace, model, _ = drawn_trace(idata, model, draws, as_seed_sequence(random_seed), label)
    posterior = posterior_of(trace, sample_dims, "idata")
    variables = known_variables(model, var_names, model.observed_RVs, "observed variables")
    model.check_shapes()
    warn_of_potentials(model, "log likelihoods")
    group = density_group(model, variables, posterior, label, mode_of_many(backend, compile_kwargs))
    if not extend_inferencedata:
        return group
    data = groups_of_data(model, label)
    return in_place_or_new(trace, posterior.posterior, {"log_likelihood": group}, data, True)


@check_arguments
def compute_log_prior(
    idata: Any,
    var_names: str | Collection[str] | None = None,
    extend_inferencedata: bool = True,
    model: Model | None = None,
    sample_dims: Sequence[str] | None = None,
    draws: int = 1000,
    random_seed: Any = None,
    *,
    progressbar: bool = True,
    backend: str | None = None,
    compile_kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """Compute the log prior density of each free variable at each draw of a posterior.

    It is the density on the variable's own scale, given what it depends on, without the log
    Jacobian of its transform.

    Parameters
    ----------
    idata : Approximation, arviz.InferenceData, xarray.DataTree or xarray.Dataset
        Draws of the posterior, of any sampler; or an approximation, from which ``draws`` are taken.
    var_names
        Names of free variables; by default all of them.
    extend_inferencedata : bool, default True
        Whether to add the group to the object that is given.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    sample_dims : sequence of str, optional
        The dimensions along which draws lie; by default those of ``chain``, ``draw`` and
        ``sample`` that there are.
    draws : int, default 1000
        Number of draws of an approximation.
    random_seed : int, optional
        Seed of everything random in the fit.
    progressbar : bool, default True
        Taken so that scripts run: there is none.
    backend : str, optional
        What the densities are computed by, as in :meth:`vibayes.Inference.fit`; NumPy by default.
    compile_kwargs : dict, optional
        ``mode``: a PyTensor mode.

    Returns
    -------
    arviz.InferenceData, xarray.DataTree or xarray.Dataset
        As from :func:`compute_log_likelihood`, with the group ``log_prior``.

    Raises
    ------
    ModelError
        If draws of a variable are missing or do not fit the model.
    KeyError
        If the model has no free variable of a name.
    """
    label = "compute_log_prior"
    trace, model, _ = drawn_trace(idata, model, draws, as_seed_sequence(random_seed), label)
    posterior = posterior_of(trace, sample_dims, "idata")
    variables = known_variables(model, var_names, model.free_RVs, "free variables")
    warn_of_potentials(model, "log priors")
    group = density_group(model, variables, posterior, label, mode_of_many(backend, compile_kwargs))
    if not extend_inferencedata:
        return group
    return in_place_or_new(trace, posterior.posterior, {"log_prior": group}, {}, True)


def known_variables(
    model: Model,
    names: str | Collection[str] | None,
    known: Sequence[TensorVariable],
    kind: str,
) -> list[TensorVariable]:
    """Return the variables of the given names; all, without names."""
    if names is not None:
        return named_variables(model, names, known, "var_names")
    if not known:
        raise ModelError(f"the model has no {kind}")
    return list(known)
