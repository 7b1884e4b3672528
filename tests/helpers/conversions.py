"""What holds for a model of PyMC and its conversion."""

import warnings
from contextlib import suppress
from functools import cache

import arviz as az
import numpy as np
import pymc as pm
import pytest
import xarray
from pytensor.compile.mode import Mode

import vibayes as vb
from vibayes.predictive.compiled import compile_over_draws

MODE = Mode("py", "fast_compile")  # of PyMC's own functions: nothing is compiled
DRAWS = 100
LEAST_ESS = 400
MOST_DIVERGED = 0.001  # of the draws: where more do, tails are cut off, agree as chains may
LONG = dict(tune=1000, chains=4, seed=1, progress_bar=False)


def thirds(names):
    """Return names to parametrize a test by, of which each third is run by default."""
    return [
        n if i % 3 == 0 else pytest.param(n, marks=pytest.mark.slow) for i, n in enumerate(names)
    ]


def made_once(make):
    """Return a function of a name: the model of PyMC that ``make`` returns, and its conversion.

    What ``make`` returns may be an object of a client of PyMC, which the conversion builds.
    """

    @cache
    def get(name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyMC: imputation, deprecations
            original = make(name)
            converted = vb.from_pymc(original)
            backend = getattr(original, "backend", None)
            return (original if backend is None else backend.model), converted

    return get


def check_log_density(original, model, spread=0.2):
    """The log density is that of PyMC, about a start that is PyMC's, too."""
    rng = np.random.default_rng(1)
    start = original.initial_point(0)
    ours = model.initial_point(0)
    assert list(ours) == list(start)
    for key, value in start.items():
        np.testing.assert_allclose(ours[key], value, rtol=1e-6, atol=1e-8)
    points = [
        {key: x + spread * i * rng.normal(size=x.shape) for key, x in start.items()}
        for i in range(3)
    ]
    theirs = original.compile_logp(mode=MODE)
    expected = [float(theirs(point)) for point in points]
    assert np.isfinite(expected).any()
    function = compile_over_draws([model.logp()], model.value_vars, {})  # at all points together
    (found,) = function(3, [np.stack([p[v.name] for p in points]) for v in model.value_vars])
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def squashed(draws, other):
    """Return one number a draw in which all elements count, whatever their tails."""
    pooled = np.concatenate([draws.ravel(), other.ravel()]).astype(float)
    scale = np.subtract(*np.quantile(pooled, [0.8, 0.2])) or 1.0
    angles = np.arctan((draws - np.median(pooled)) / scale)
    return np.stack([angles, angles**2]).reshape(2, len(draws), -1).mean(axis=-1)


def assert_alike(ours, theirs, label, paired):
    """Check that two sets of draws, or two for the same parameters, are of one distribution."""
    assert ours.shape == theirs.shape, label
    assert ours.dtype.kind == theirs.dtype.kind, label
    a, b = squashed(ours, theirs), squashed(theirs, ours)
    error = (a - b).std(axis=1) if paired else np.hypot(a.std(axis=1), b.std(axis=1))
    difference = np.abs(a.mean(axis=1) - b.mean(axis=1))
    np.testing.assert_array_less(difference, 5 * error / DRAWS**0.5 + 1e-6, label)


def check_predictions(original, model):
    """Draws of the prior, and of data given such draws, are those of PyMC."""
    with warnings.catch_warnings(), original:
        warnings.simplefilter("ignore")  # potentials
        theirs = pm.sample_prior_predictive(DRAWS, random_seed=1, compile_kwargs={"mode": MODE})
        ours = vb.sample_prior_predictive(DRAWS, model=model, random_seed=2)
        for group in ("prior", "prior_predictive"):
            if group not in ours.children:
                continue
            assert set(ours[group].data_vars) == set(theirs[group].data_vars)
            for key, draws in ours[group].data_vars.items():
                expected = theirs[group][key]
                if any(original.named_vars_to_dims.get(key, ())):
                    assert draws.dims == expected.dims
                assert_alike(draws.values[0], expected.values[0], f"{group} {key}", False)
        if not original.observed_RVs:
            return
        free = [rv.name for rv in original.free_RVs]
        trace = xarray.DataTree.from_dict({"posterior": theirs["prior"].to_dataset()[free]})
        expected = pm.sample_posterior_predictive(
            trace, random_seed=3, progressbar=False, compile_kwargs={"mode": MODE}
        )["posterior_predictive"]
        found = vb.sample_posterior_predictive(trace, model=model, random_seed=4)
        found = found["posterior_predictive"]
    for rv in original.observed_RVs:
        ours, theirs = (draws[rv.name].values[0] for draws in (found, expected))
        assert_alike(ours, theirs, f"posterior_predictive {rv.name}", True)


def run_of(original, model, draws, accept):
    """Return draws by nutpie of PyMC's own function, or of the converted model.

    Of the latter, whose density other tests compare, where nutpie cannot tell dims whose names have
    commas, as in formulas, from several dims; where there are minibatches; and where PyTensor has
    no gradient of operations on named axes as they are.
    """
    import nutpie

    names = [rv.name for rv in original.free_RVs]
    dims = [str(d) for name in names for d in original.named_vars_to_dims.get(name, ())]
    compiled = None
    if not any("," in d for d in dims) and not model.rvs_to_total_sizes:
        with suppress(NotImplementedError):
            compiled = nutpie.compile_pymc_model(original, var_names=names)
    if compiled is None:
        options = dict(target_accept=accept, random_seed=1, progressbar=False)
        return vb.sample(draws, model=model, **options)
    return nutpie.sample(compiled, **LONG, draws=draws, target_accept=accept)


def long_run(original, model):
    """Return draws by nutpie, and the names of free variables of which its chains do not tell.

    They have to agree, and to be worth some hundreds of draws: those that seldom get into a funnel
    agree, too. Where trajectories diverge, steps get smaller: of two crossed groupings, one of
    three groups, chains that agreed had widths of two thirds of the exact ones.
    """
    names = [rv.name for rv in original.free_RVs]
    for draws, accept in ((1500, 0.8), (6000, 0.99)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = run_of(original, model, draws, accept)
            truth = run.posterior.to_dataset()
            rhat, ess = az.rhat(truth[names]), az.ess(truth[names])
        told = {n: (np.asarray(rhat[n]) < 1.01) & (np.asarray(ess[n]) > LEAST_ESS) for n in names}
        unknown = [name for name in names if not told[name].all()]
        diverged = float(run.sample_stats["diverging"].mean()) > MOST_DIVERGED
        if not unknown and not diverged:
            break
    return truth, unknown


def on_a_scale(ours, theirs, angle):
    """Return draws on a scale that has moments: angles on one circle, heavy tails compressed."""
    if angle:
        return tuple(np.mod(d + np.pi, 2 * np.pi) - np.pi for d in (ours, theirs))
    low, high = np.quantile(theirs, [0.05, 0.95], axis=0)
    if (theirs.std(axis=0) > 0.6 * (high - low)).any():  # 0.3 for a normal distribution
        return np.arcsinh(ours), np.arcsinh(theirs)
    return ours, theirs


def check_fit(original, model, hard=False, angles=()):
    """A fit by ``"auto"`` is Good and has the means and widths of nutpie, or it warns.

    Parameters
    ----------
    original, model
        The model of PyMC, and its conversion.
    hard
        Whether the fit may warn, although the sampler's chains agree.
    angles
        Free variables that are compared as angles: chains stay on one turn, of which a fit finds
        others.

    Returns
    -------
    tuple of str and list
        What the fit said, and the variables of which the sampler knows no better.
    """
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        approx = vb.fit(
            model=model, method="auto", random_seed=1, progressbar=False, max_seconds=120
        )
    truth, unknown = long_run(original, model)
    if not approx.diagnosis.good:
        warned = (vb.ApproximationWarning, vb.ConvergenceWarning)
        assert any(issubclass(w.category, warned) for w in told)
        assert hard or unknown, approx.diagnosis.verdict
        return "warned", unknown
    found = approx.sample(4000, random_seed=1).posterior.to_dataset()
    for name in (rv.name for rv in original.free_RVs if rv.name not in unknown):
        a, b = (np.asarray(d[name]) for d in (found, truth))
        a, b = a.reshape(-1, *a.shape[2:]), b.reshape(-1, *b.shape[2:])
        a, b = on_a_scale(a, b, name in angles)
        assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) <= 0.2 * b.std(axis=0)).all(), name
        (low, high), (below, above) = (np.quantile(d, [0.05, 0.95], axis=0) for d in (a, b))
        ratio = (high - low) / (above - below)
        assert ((ratio > 0.8) & (ratio < 1.25)).all(), f"{name}: {ratio.min()} to {ratio.max()}"
    return "good", unknown
