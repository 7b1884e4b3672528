import numpy as np
import pytensor.tensor as pt
import pytest

import vibayes as vb
from vibayes.arguments import check_whole
from vibayes.flows.affine_coupling import AffineCouplingFlow


@pytest.mark.parametrize("value", [3, 3.0, np.int8(3), np.float32(3), np.array(3)])
def test_whole_numbers(value):
    found = check_whole(value, "n", 1)
    assert found == 3
    assert type(found) is int


@pytest.mark.parametrize(
    "value", [2.5, True, "3", None, np.nan, np.inf, [3], np.array([3, 3]), 0, -1, 1j]
)
def test_others(value):
    with pytest.raises(ValueError, match=r"n must be a whole number of at least 1, got "):
        check_whole(value, "n", 1)


def test_limits():
    assert check_whole(0, "n", 0) == 0
    assert check_whole(5, "rank", 1, 5) == 5
    for value in (0, 6):
        with pytest.raises(
            ValueError, match=f"rank must be a whole number from 1 to 5, got {value}"
        ):
            check_whole(value, "rank", 1, 5)


# -- one rule, wherever a whole number is taken ------------------------------------------------

DATA = np.zeros(6)


def model():
    with vb.Model() as result:
        vb.Normal("x", shape=3)
        vb.Normal("y", 0, 1, observed=DATA)
    return result


def in_model(**options):
    with vb.Model():
        return vb.Normal("y", 0, 1, observed=DATA, **options)


def unfitted():
    return vb.MeanField(model=model())


def streamed(**options):
    return vb.Minibatch(lambda: iter([DATA]), **{"batch_size": 2, "total_size": 6} | options)


def with_callback(every):
    def callback(approx, losses, i):
        pass

    callback.every = every
    return vb.callbacks.period(callback)


def walk(steps):
    return vb.GaussianRandomWalk.dist(0, 1, init_dist=vb.Normal.dist(0, 1), steps=steps)


def start_from_the_prior(seed):
    with vb.Model() as model:
        vb.Normal("x", initval="prior")
    return model.initial_point(seed)


AT_LEAST_ONE = {
    "obj_n_mc": ("obj_n_mc", lambda n: vb.fit(10, model=model(), obj_n_mc=n)),
    "tf_n_mc": ("tf_n_mc", lambda n: vb.fit(10, model=model(), tf_n_mc=n)),
    "max_steps": ("max_steps", lambda n: vb.fit(model=model(), max_steps=n)),
    "max_steps of a search": (
        "max_steps",
        lambda n: vb.fit(model=model(), method="laplace", max_steps=n),
    ),
    "draws of sample": ("draws", lambda n: unfitted().sample(n)),
    "draws of NUTS": ("draws", lambda n: vb.sample(n, model=model())),
    "chains of NUTS": ("chains", lambda n: vb.sample(10, chains=n, model=model())),
    "draws of draw": ("draws", lambda n: vb.draw(vb.Normal.dist(), n)),
    "draws of the prior": ("draws", lambda n: vb.sample_prior_predictive(n, model())),
    "draws of predictions": (
        "draws",
        lambda n: vb.sample_posterior_predictive(unfitted(), draws=n),
    ),
    "size of a node": ("size", lambda n: unfitted().sample_node(pt.constant(1.0), size=n)),
    "n_particles": ("n_particles", lambda n: vb.SVGD(n_particles=n, model=model())),
    "size of Empirical": ("size", lambda n: vb.Empirical(size=n, model=model())),
    "components": ("components", lambda n: vb.GaussianMixture(n, model=model())),
    "components of a search": ("components", lambda n: vb.MixtureVI(components=n, model=model())),
    "hidden of a flow": ("hidden", lambda n: AffineCouplingFlow(hidden=n)),
    "batch_size": ("batch_size", lambda n: vb.Minibatch(DATA, n)),
    "batch_size of an axis": ("batch_size", lambda n: vb.Minibatch(DATA, [(n, 1)])),
    "batch_size of a stream": ("batch_size", lambda n: streamed(batch_size=n)),
    "total_size of a stream": ("total_size", lambda n: streamed(total_size=n)),
    "buffer_bytes": ("buffer_bytes", lambda n: streamed(buffer_bytes=n)),
    "in_memory_size": ("in_memory_size", lambda n: vb.Minibatch(DATA, 2, in_memory_size=n)),
    "rows of a sample": ("rows", lambda n: model().sampled_data_replacements(n)),
    "total_size": ("total_size", lambda n: in_model(total_size=n)),
    "total_size of an axis": ("total_size", lambda n: in_model(total_size=[n])),
    "n of LKJ": ("n", lambda n: vb.LKJCholeskyCov.dist(1, n, vb.Exponential.dist(1.0))),
    "n_zerosum_axes": ("n_zerosum_axes", lambda n: vb.ZeroSumNormal.dist(1, n, shape=[3] * 9)),
    "every of Tracker": ("every", lambda n: vb.callbacks.Tracker(every=n, i=lambda: 0)),
    "every of a check": ("every", lambda n: vb.callbacks.CheckParametersConvergence(every=n)),
    "every of a callback": ("every of .*", with_callback),
    "checkpoint_every": (
        "checkpoint_every",
        lambda n: vb.fit(10, model=model(), checkpoint="a.nc", checkpoint_every=n),
    ),
    "n_win": ("n_win", lambda n: vb.adagrad_window(n_win=n)),
}
AT_LEAST_ZERO = {
    "n of fit": ("n", lambda n: vb.fit(n, model=model())),
    "shape": ("shape", lambda n: vb.Normal.dist(shape=n)),
    "shape of an axis": ("shape", lambda n: vb.Normal.dist(shape=(2, n))),
    "size": ("size", lambda n: vb.Normal.dist(size=n)),
    "support_shape": ("support_shape", lambda n: vb.ZeroSumNormal.dist(1, support_shape=n)),
    "length of a dimension": ("length", lambda n: vb.Model().add_coord("row", length=n)),
    "steps": ("steps", walk),
    "tune": ("tune", lambda n: vb.sample(10, tune=n, model=model())),
    "start of plot_loss": ("start", lambda n: vb.plot_loss(np.arange(10.0), start=n)),
    "seed of an approximation": (
        "random_seed",
        lambda n: vb.MeanField(model=model(), random_seed=n),
    ),
    "seed of draws": ("random_seed", lambda n: vb.draw(vb.Normal.dist(), random_seed=n)),
    "seed of a minibatch": ("random_seed", lambda n: vb.Minibatch(DATA, 2, random_seed=n)),
    "seed of a stream": ("random_seed", lambda n: streamed(random_seed=n)),
    "seed of at_rng": ("random_seed", lambda n: vb.at_rng(n)),
    "seed of the start": ("random_seed", start_from_the_prior),
}


ALL = [
    pytest.param(call, rf"\b{name} must be a whole number of at least {least}, got ", id=what)
    for least, arguments in ((1, AT_LEAST_ONE), (0, AT_LEAST_ZERO))
    for what, (name, call) in arguments.items()
]


@pytest.mark.parametrize(("call", "message"), ALL)
def test_what_is_no_whole_number(call, message):
    for value in (2.5, "5", True, np.True_, -1, np.nan):
        with pytest.raises(ValueError, match=f"{message}.*{value}"):
            call(value)


NOT_CHEAP = {"fit", "NUTS", "sample", "prior", "predictions", "plot_loss", "tune"}
CHEAP = {
    what: call
    for what, (_, call) in (AT_LEAST_ONE | AT_LEAST_ZERO).items()
    if what.split()[-1] not in NOT_CHEAP
    and not {"obj_n_mc", "tf_n_mc", "max_steps", "checkpoint_every"} & set(what.split())
    and what != "total_size of a stream"  # which has six rows
}


@pytest.mark.parametrize("what", CHEAP)
def test_every_kind_of_number_is_taken(what):
    for value in (6, 6.0, np.int32(6), np.float32(6), np.array(6.0)):
        CHEAP[what](value)


def test_total_sizes_are_taken_of_every_kind_of_number():
    for value in (12, 12.0, np.float64(12), np.int8(12), 1.2e1):
        with vb.Model() as scaled:
            y = vb.Normal("y", 0, 1, observed=DATA, total_size=value)
        assert scaled.rvs_to_total_sizes[y] == (12,)
