"""A SeedSequence as ``random_seed`` is a value, as an int is: no call spends it."""

from functools import cache

import numpy as np
import pytest
from helpers.public_calls import SEED, targets
from xarray import Dataset

import vibayes as vb
from vibayes.approximations.base import Approximation
from vibayes.inference.base import Method

SETS = [{"y": np.arange(4.0) + i} for i in range(2)]
ROWS = np.arange(40.0)
FIT = dict(progressbar=False, diagnose=False)
STEPS = dict(n=3, backend="py", **FIT)
ONLY_WHOLE = {"at_rng", "tt_rng"}  # seeds of random streams, which PyTensor makes
MADE = "ADVI ASVGD AutoDelta FullRank FullRankADVI ImplicitGradient KLqp LowRankADVI "
MADE += "MeanField SVGD"


@cache
def model():
    """Return a model where fits start at random."""
    with vb.Model() as made:
        x = vb.Normal("x", shape=2, initval="prior")
        vb.Normal("y", x.sum(), 1, observed=SETS[0]["y"])
    return made


@cache
def model_of_batches():
    """Return a model of data in memory, and of data that are read."""
    with vb.Model() as made:
        mu = vb.Normal("mu")
        vb.Normal("y", mu, 1, observed=vb.Minibatch(ROWS, batch_size=5), total_size=40)
        (read,) = vb.Minibatch(lambda: iter([(ROWS,)]), 5, total_size=40, random_seed=1)
        vb.Normal("z", mu, 1, observed=read, total_size=40)
    return made


@cache
def approx():
    return vb.MeanField(model=model(), random_seed=1)


@cache
def posterior():
    return approx().sample(10, random_seed=1)


def learned(seed):
    """Return the density of a prior whose moments are those of draws."""
    flow = vb.NormalizingFlow("scale-loc", model=model(), random_seed=1)
    with vb.Model() as new:
        flow.as_prior(random_seed=seed)
    return new.point_logps({"prior": np.zeros(2)}, round_vals=None)


def of_groups(seed):
    group = vb.Group(None, vfam="empirical", size=3, model=model(), random_seed=seed)
    return vb.Approximation([group], model=model(), random_seed=seed)


def by_nuts(seed):
    pytest.importorskip("nutpie")
    short = dict(tune=3, chains=1, backend="py", compute_convergence_checks=False)
    return vb.sample(3, model=model(), random_seed=seed, progressbar=False, **short)


def plotted(seed):
    """Return the points of a plot."""
    pytest.importorskip("matplotlib").use("Agg")
    axes = vb.plot_approximation(approx(), None, "x[0]", draws=100, random_seed=seed)
    return [line.get_ydata() for line in axes[0, 0].lines]


CALLS = {
    "Approximation": of_groups,
    "Approximation.sample": lambda s: approx().sample(3, s),
    "Approximation.sample, weighted": lambda s: approx().sample(7, s, importance=True),
    "Approximation.sample_vp": lambda s: approx().sample_vp(3, random_seed=s),
    "Approximation.sample_dict_fn": lambda s: approx().sample_dict_fn(3, s),
    "Approximation.flat_draws": lambda s: approx().flat_draws(3, s),
    "Approximation.diagnose": lambda s: approx().diagnose(100, s).elbo,
    "Approximation.as_prior": learned,
    "Empirical": lambda s: vb.Empirical(size=3, model=model(), random_seed=s),
    "Empirical.sample": lambda s: vb.Empirical(size=9, model=model(), random_seed=1).sample(3, s),
    "Group": lambda s: of_groups(s).groups[0].shared_params["histogram"].get_value(),
    "Model.initial_point": lambda s: model().initial_point(s),
    "Model.sampled_data_replacements": lambda s: [
        v.get_value() for v in model_of_batches().sampled_data_replacements(9, s).values()
    ],
    "calibrate": lambda s: vb.calibrate(model(), 2, "laplace", s, **FIT).ranks,
    "compute_log_likelihood": lambda s: vb.compute_log_likelihood(
        approx(), extend_inferencedata=False, draws=3, random_seed=s
    ),
    "compute_log_prior": lambda s: vb.compute_log_prior(
        approx(), extend_inferencedata=False, draws=3, random_seed=s
    ),
    "draw": lambda s: vb.draw(vb.Normal.dist(), random_seed=s),
    "find_MAP": lambda s: vb.find_MAP(model=model(), random_seed=s, maxeval=1),
    "fit": lambda s: vb.fit(model=model(), random_seed=s, **STEPS),
    "fit, svgd": lambda s: vb.fit(method="svgd", model=model(), random_seed=s, **STEPS),
    "fit, minibatches": lambda s: vb.fit(model=model_of_batches(), random_seed=s, **STEPS),
    "fit_many": lambda s: vb.fit_many(model(), SETS, "svgd", s, **STEPS),
    "fit_many, models": lambda s: vb.fit_many([model()] * 2, None, "advi", s, **STEPS),
    "linear_response": lambda s: vb.linear_response(approx(), random_seed=s).cov,
    "linear_response, approximation": lambda s: vb.linear_response(approx()).to_full_rank(s),
    "plot_approximation": plotted,
    "sample": by_nuts,
    "sample_approx": lambda s: vb.sample_approx(approx(), 3, random_seed=s),
    "sample_fits": lambda s: vb.sample_fits([approx(), approx()], 3, random_seed=s),
    "sample_posterior_predictive": lambda s: vb.sample_posterior_predictive(
        approx(), draws=3, random_seed=s
    ),
    "sample_posterior_predictive, draws": lambda s: vb.sample_posterior_predictive(
        posterior(), model(), random_seed=s
    ),
    "sample_prior_predictive": lambda s: vb.sample_prior_predictive(3, model(), random_seed=s),
    **{
        name: lambda s, name=name: getattr(vb, name)(model=model(), random_seed=s)
        for name in MADE.split()
    },
    **{
        name: lambda s, name=name: getattr(vb, name)(model=model(), random_seed=s).fit(**FIT)
        for name in ("AutoVI", "LaplaceVI", "MixtureVI", "PathfinderVI")
    },
}
"""Each public function of a seed, and what tells its results apart."""


def numbers(result):
    """Return the numbers of a result, of those that an approximation would draw too."""
    if isinstance(result, Method):
        result = result.approx
    if isinstance(result, Approximation):
        params = [p.get_value().ravel() for p in result.params]
        streams = [result.spawn_generator(for_nodes) for for_nodes in (False, True)]
        return np.concatenate([*params, *(stream.normal(size=2) for stream in streams)])
    if isinstance(result, vb.ManyFits):
        own = [result.draws(i, 3).ravel() for i in range(len(result))]
        return np.concatenate([*own, numbers(list(result))])
    if hasattr(result, "groups"):  # a DataTree, or an InferenceData of older versions of ArviZ
        sampled = ("posterior", "prior", "prior_predictive", "posterior_predictive")
        return numbers([dict(result[group].data_vars) for group in sampled if group in result])
    if isinstance(result, Dataset | dict):
        result = [result[name] for name in sorted(result)]
    if isinstance(result, list | tuple):
        return np.concatenate([numbers(part) for part in result])
    return np.asarray(result).ravel()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_a_seed_sequence_says_which_numbers_there_are(name):
    call = CALLS[name]
    seed = np.random.SeedSequence(5)
    first, of_int = numbers(call(seed)), numbers(call(5))
    assert seed.n_children_spawned == 0
    np.testing.assert_array_equal(first, of_int)
    _, child = seed.spawn(2)  # of which the numbers of the seed itself know nothing
    second, of_child = numbers(call(seed)), numbers(call(child))
    np.testing.assert_array_equal(first, second)
    assert (seed.n_children_spawned, child.n_children_spawned) == (2, 0)
    assert not np.array_equal(first, of_child)


def test_there_is_a_call_of_each_public_function_of_a_seed():
    public = {t.name for t in targets() if t.kind == SEED}
    assert public - ONLY_WHOLE <= CALLS.keys()


def test_children_of_a_seed_sequence_differ():
    first, second = (approx().flat_draws(3, s).values for s in np.random.SeedSequence(5).spawn(2))
    assert not np.isin(first, second).any()


def test_a_generator_goes_on():
    rng = np.random.default_rng(5)
    first, second = (approx().flat_draws(3, rng).values for _ in range(2))
    assert not np.isin(first, second).any()


@pytest.fixture
def streams(monkeypatch):
    """Return the keys of what follows from seed 5 that generators are made of from now on."""
    made, found = np.random.PCG64, []

    def noted(seed):
        if getattr(seed, "entropy", None) == 5:
            found.append(seed.spawn_key)
        return made(seed)

    monkeypatch.setattr(np.random, "PCG64", noted)
    return found


def test_better_draws_of_a_verdict_are_not_the_own_ones_again(streams):
    approx = vb.fit(method="laplace", model=model(), random_seed=1, **FIT)
    for seed in (5, np.random.SeedSequence(5)):
        streams.clear()
        assert approx.diagnose(random_seed=seed).checked_by.startswith("draws with heavier tails")
        own, better, own_again = streams
        assert own == own_again != better


def test_draws_of_many_fits_have_nothing_of_the_noise_of_these(streams):
    fits = vb.fit_many(model(), SETS, "advi", np.random.SeedSequence(5), **STEPS)
    streams.clear()
    vb.fit(method="advi", model=model(), random_seed=np.random.SeedSequence(5).spawn(2)[1], **STEPS)
    spent = set(streams)
    assert spent
    streams.clear()
    first, second = (fits.draws(1, 3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len(set(streams)) == 1
    assert not spent & set(streams)
