"""``sample``: draws of the posterior by the No-U-Turn sampler."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from vibayes import interrupts
from vibayes.approximations.base import Approximation
from vibayes.arguments import check_arguments, check_whole
from vibayes.backend.numba import checked_passes
from vibayes.backend.seeds import as_seed_sequence
from vibayes.context import modelcontext
from vibayes.inference.fit import fit
from vibayes.installing import missing
from vibayes.model.core import Model
from vibayes.model.initial import check_point, check_support
from vibayes.model.passes import computing
from vibayes.nuts.arguments import of_nutpie, unknown_settings_told
from vibayes.nuts.density import check_model, compile_density, density_at, density_by_rows
from vibayes.nuts.extras import Extras
from vibayes.nuts.results import as_results, complete_chains, warn_of_problems
from vibayes.nuts.start import Start, approximate_start, model_start
from vibayes.posterior.multitrace import MultiTrace
from vibayes.predictive.trace import posterior_of
from vibayes.progress import someone_watches

__all__ = ["sample"]

JITTERED = {"auto", "jitter+adapt_diag"}
FITTED = {"advi", "advi+adapt_diag"}
LONGEST_DEAFNESS = 0.2  # seconds


@interrupts.Deferral(keeps_result=True)
@check_arguments
def sample(
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    random_seed: Any = None,
    init: str | Approximation | None = None,
    model: Model | None = None,
    start: Mapping[str, Any] | None = None,
    progressbar: bool = True,
    target_accept: float = 0.8,
    max_treedepth: int = 10,
    discard_tuned_samples: bool = True,
    include_transformed: bool = False,
    compute_convergence_checks: bool = True,
    backend: str | None = None,
    return_inferencedata: bool = True,
    *,
    var_names: str | Collection[str] | None = None,
    initvals: Mapping[str, Any] | None = None,
    idata_kwargs: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Draw from the posterior by the No-U-Turn sampler, to compare an approximation with.

    Needs nutpie: ``pip install nutpie``.

    Parameters
    ----------
    draws, tune
        Number of draws of each chain, and of draws before them that adapt the sampler.
    chains, cores
        Number of chains, and of those that run at a time.
    random_seed
        Seed: the same seed gives the same numbers.
    init
        An approximation of this model: chains start at draws of it, and move in coordinates that
        its standard deviations scale. ``"advi"`` fits one first. By default
        (``"jitter+adapt_diag"``) chains start at random around the model's initial point,
        with ``"adapt_diag"`` at that point.
    model
        The model; by default the one of the ``with`` block. A PyMC or Bambi model is converted
        first: see :func:`vibayes.from_pymc`.
    start
        Where to start, by variable name: on the variable's own scale, or unconstrained under the
        name of its value variable. These values are not jittered.
    progressbar
        Whether to show progress, where somebody sees it.
    target_accept
        Rate of acceptance at which the step size aims: between 0 and 1. A larger one takes
        smaller steps.
    max_treedepth
        A draw takes at most 2 to the power of this many steps.
    discard_tuned_samples
        Whether to leave out the groups ``warmup_posterior`` and ``warmup_sample_stats``.
    include_transformed
        Whether to add the unconstrained values, under names such as ``sigma_log__``.
    compute_convergence_checks
        Whether to warn of divergences, and of chains that disagree.
    backend
        ``"numba"`` (the default), ``"c"`` or ``"py"``.
    return_inferencedata
        Whether to return an object of ArviZ's kind, rather than a :class:`MultiTrace`.
    var_names
        Names of the variables of the group ``posterior``; by default the free ones and all
        Deterministics.
    initvals
        Another name of ``start``.
    idata_kwargs
        ``log_likelihood`` and ``log_prior``: whether there are these groups, by default the former
        where it has up to a million numbers; ``include_transformed``; ``save_warmup``, the opposite
        of ``discard_tuned_samples``; ``dims`` and ``coords``, as for
        :func:`vibayes.sample_posterior_predictive`.
    **kwargs
        Further arguments of ``nutpie.sample``, such as ``adaptation="low_rank"``. Of PyMC's,
        ``nuts`` and ``nuts_sampler_kwargs`` are dicts of arguments, ``nuts_sampler`` can only be
        ``"nutpie"``, and those of processes, progress and statistics have no effect.

    Warns
    -----
    ConvergenceWarning
        If draws diverged, R-hat is above 1.01, or trees were cut off.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        As the installed ArviZ has it: groups ``posterior`` (dims ``chain``, ``draw`` and those of
        the variables; Deterministics included), ``sample_stats``, ``observed_data`` and
        ``constant_data``. After an interruption it holds the draws so far.

    Raises
    ------
    ImportError
        If nutpie is not installed.
    ModelError
        If the model has discrete free variables, or a random log density; if data are not in
        memory and their rows are not independent; or if ``init`` belongs to another model.
    SamplingError
        If the log density is not finite at the initial point.

    Notes
    -----
    Minibatches stand for the whole data. Where these are not in memory, each evaluation of the log
    density is a pass over their rows, by NumPy or by Dask's current client: some thousands of
    passes, of which ``init=`` an approximation saves the most.

    References
    ----------
    Hoffman and Gelman (2014), The No-U-Turn Sampler: adaptively setting path lengths in
    Hamiltonian Monte Carlo, Journal of Machine Learning Research 15.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     mu = vb.Normal("mu", 0, 10)
    ...     y = vb.Normal("y", mu, 1, observed=[1.2, 0.8, 1.9])
    ...     trace = vb.sample(200, tune=200, random_seed=1, progressbar=False)
    >>> trace.posterior["mu"].shape
    (4, 200)
    """
    nutpie = import_nutpie()
    model = modelcontext(model)
    settings = of_nutpie(kwargs)
    target_accept = settings.pop("target_accept", target_accept)
    max_treedepth = settings.pop("max_treedepth", max_treedepth)
    extras = Extras.of(model, var_names, idata_kwargs, include_transformed, discard_tuned_samples)
    if start is not None and initvals is not None:
        raise TypeError("initvals is another name of start; give only one of them")
    start = initvals if start is None else start
    counts = checked_counts(draws, tune, chains, cores, max_treedepth)
    if not 0 < target_accept < 1:
        raise ValueError(f"target_accept must be between 0 and 1, got {target_accept!r}")
    check_model(model)
    check_support(model)
    seeds = as_seed_sequence(random_seed).spawn(2)
    start_of_chains, point = choose_start(model, init, start, seeds[0])
    density = ready_density(model, backend, start_of_chains, point)
    began = time.perf_counter()
    with unknown_settings_told():
        sampler = nutpie.sample(
            as_nutpie_model(density, start_of_chains),
            **counts,
            seed=int(seeds[1].generate_state(1, np.uint64)[0]),
            target_accept=target_accept,
            progress_bar=progressbar and someone_watches(),
            blocking=False,
            **settings,
        )
    trace = results_so_far(sampler)
    kinds = ["", "warmup_"] if tune and extras.warmup else [""]
    center, scale = start_of_chains.center, start_of_chains.scale
    groups = {kind: complete_chains(trace, kind, center, scale) for kind in kinds}
    if compute_convergence_checks:
        warn_of_problems(model, *groups[""], stacklevel=4)
    attributes = {
        "sampling_method": "NUTS",
        "sampling_time": time.perf_counter() - began,
        "tuning_steps": counts["tune"],
    }
    results = as_results(model, groups, extras, attributes)
    return results if return_inferencedata else MultiTrace(posterior_of(results).posterior)


def checked_counts(
    draws: Any, tune: Any, chains: Any, cores: Any, max_treedepth: Any
) -> dict[str, int]:
    """Return whole numbers by the names that nutpie has for them."""
    counts = {
        "draws": check_whole(draws, "draws", least=1),
        "tune": check_whole(tune, "tune", least=1),
        "chains": check_whole(chains, "chains", least=1),
        "maxdepth": check_whole(max_treedepth, "max_treedepth", least=1),
    }
    if cores is not None:
        counts["cores"] = check_whole(cores, "cores", least=1)
    return counts


def ready_density(
    model: Model, backend: str | None, start: Start, point: dict[str, np.ndarray] | None
) -> Any:
    """Return the log density in the coordinates of the chains, compiled.

    Raises
    ------
    SamplingError
        If it is not finite at the model's initial point, and chains are to start around that.
    """
    if model.has_streams:
        with computing():
            density = density_by_rows(model, start.center, start.scale)
    else:
        density = density_at(compile_density(model, backend), start.center, start.scale)
    with checked_passes():
        logp, _ = density(np.zeros_like(start.center))  # compiles, before threads call it
    interrupts.check()
    if point is not None and not np.isfinite(logp):
        check_point(model, point)
    return density


def results_so_far(sampler: Any) -> Any:
    """Return all draws, or those up to Ctrl-C, if there are any besides those of tuning."""
    try:
        return results_of(sampler)
    except KeyboardInterrupt:
        trace = sampler.abort()
        if "posterior" not in trace or not trace["posterior"]["u"].size:
            raise  # still tuning
        return trace
    except BaseException:
        sampler.cancel()
        raise


def results_of(sampler: Any) -> Any:
    """Wait for all draws; Ctrl-C ends the waiting, but does not disturb how they are taken."""
    while True:
        interrupts.check()
        try:
            return sampler.wait(timeout=LONGEST_DEAFNESS)
        except TimeoutError:
            continue


def import_nutpie() -> Any:
    try:
        import nutpie
    except ImportError as error:
        raise missing("vb.sample", "nutpie", "nuts") from error
    return nutpie


def choose_start(
    model: Model, init: Any, start: Mapping[str, Any] | None, random_seed: np.random.SeedSequence
) -> tuple[Start, dict[str, np.ndarray] | None]:
    """Return where chains start, and the model's initial point if it is around that."""
    if isinstance(init, str) and init in FITTED:
        fit_seed, random_seed = random_seed.spawn(2)
        init = fit(
            model=model, random_seed=fit_seed, start=start, diagnose=False, progressbar=False
        )
        if init.ending.is_interrupted:
            raise KeyboardInterrupt
        start = None
    if isinstance(init, Approximation):
        if start is not None:
            raise TypeError("start has no effect on init=, an approximation that is fitted already")
        return approximate_start(model, init, random_seed), None
    if init is not None and init not in JITTERED and init != "adapt_diag":
        raise ValueError(
            f"init must be an approximation, 'advi', 'jitter+adapt_diag' or 'adapt_diag', "
            f"got {init!r}"
        )
    return model_start(model, start, init != "adapt_diag", random_seed)


def as_nutpie_model(density: Any, start: Start) -> Any:
    """Return what nutpie samples from: vectors ``u``."""
    from nutpie.compiled_pyfunc import from_pyfunc

    def make_expand(seed1: int, seed2: int, chain: int) -> Any:
        return lambda u: {"u": u}

    return from_pyfunc(
        ndim=len(start.center),
        make_logp_fn=lambda: density,
        make_expand_fn=make_expand,
        expanded_dtypes=[np.dtype("float64")],
        expanded_shapes=[start.center.shape],
        expanded_names=["u"],
        make_initial_point_fn=start.points(density),
    )
