"""PyMC3's "Variational API quickstart", in its order, in float32 as there.

NUTS and minibatches are in other files. By default fits are smaller than in the text and run
without a compiler; those of the text are marked slow.
"""

import inspect

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.lanes import LANE
from scipy import stats

import vibayes as vb
from vibayes.callbacks import CheckParametersConvergence

W, MU, SD = np.array([0.2, 0.8]), np.array([-0.3, 0.5]), np.array([0.1, 0.1])


@pytest.fixture(scope="module", autouse=True)
def _float32():
    with pytensor.config.change_flags(floatX="float32", mode="FAST_COMPILE"):
        yield


@pytest.fixture(
    scope="module",
    params=["small", pytest.param("as in the text", marks=pytest.mark.slow)],
)
def small(request):
    return request.param == "small"


def options(small):
    """Return what a small fit needs: large steps, since it has few."""
    if not small:
        return {}
    return dict(obj_optimizer=vb.adam(learning_rate=0.02), backend=LANE, progressbar=False)


@pytest.fixture(scope="module")
def model():
    w = vb.floatX([0.2, 0.8])
    mu = vb.floatX([-0.3, 0.5])
    sd = vb.floatX([0.1, 0.1])

    with vb.Model() as model:
        x = vb.NormalMixture("x", w=w, mu=mu, sd=sd, dtype=pytensor.config.floatX)
        x2 = x**2
        sin_x = vb.math.sin(x)

    with model:
        vb.Deterministic("x2", x2)
        vb.Deterministic("sin_x", sin_x)
    return model


@pytest.fixture(scope="module")
def mean_field(model, small):
    with model:
        return vb.fit(1000 if small else 10_000, method="advi", random_seed=1, **options(small))


def test_advi_has_a_single_mode(mean_field):
    samples = mean_field.sample(1000, random_seed=1)
    x = samples["x"]
    assert x.shape == (1000,)
    assert x.dtype == "float32"
    assert stats.kstest(x, stats.norm(x.mean(), x.std()).cdf).pvalue > 1e-3
    np.testing.assert_allclose(samples["x2"], x**2, rtol=1e-5)
    np.testing.assert_allclose(samples["sin_x"], np.sin(x), rtol=1e-5, atol=1e-7)


def test_convergence_check_is_as_its_help_says():
    parameters = inspect.signature(CheckParametersConvergence).parameters
    assert {name: p.default for name, p in parameters.items()} == {
        "every": 100,
        "tolerance": 0.001,
        "diff": "relative",
        "ord": np.inf,
    }
    assert issubclass(CheckParametersConvergence, vb.callbacks.Callback)


def test_checking_convergence(model, small):
    n = 1000 if small else 10_000
    with model:
        relative = vb.fit(
            n,
            method="advi",
            callbacks=[CheckParametersConvergence()],
            random_seed=2,
            **options(small),
        )
        absolute = vb.fit(
            n=n,
            callbacks=[CheckParametersConvergence(every=50, diff="absolute", tolerance=0.05)],
            random_seed=2,
            **options(small),
        )
    assert len(absolute.hist) < n
    assert len(absolute.hist) % 50 == 0
    np.testing.assert_array_equal(absolute.hist, relative.hist[: len(absolute.hist)])


def test_tracking_parameters(model, small):
    with model:
        advi = vb.ADVI(random_seed=1)
    assert isinstance(advi.approx, vb.MeanField)
    assert repr(advi.approx.shared_params) == "{'mu': mu, 'rho': rho}"
    mean, std = advi.approx.mean.eval(), advi.approx.std.eval()
    np.testing.assert_allclose([mean, std], [[0.34], [0.69314718]], rtol=1e-6)
    assert mean.dtype == std.dtype == "float32"

    tracker = vb.callbacks.Tracker(
        mean=advi.approx.mean.eval,  # callable that returns mean
        std=advi.approx.std.eval,  # callable that returns std
    )
    n, more = (500, 1000) if small else (20_000, 100_000)
    approx = advi.fit(n, callbacks=[tracker], **options(small))
    assert len(tracker["mean"]) == len(tracker["std"]) == n

    advi.refine(more)
    assert len(advi.hist) == n + more
    # "ADVI is not able to cope with multimodality"
    drawn = approx.sample(10000, random_seed=1)["x"]
    assert stats.kstest(drawn, lambda v: stats.norm(MU, SD).cdf(v[:, None]) @ W).statistic > 0.1


@pytest.fixture(scope="module")
def svgd_approx(model, small):
    with model:
        return vb.fit(
            300,
            method="svgd",
            inf_kwargs=dict(n_particles=200 if small else 1000),
            obj_optimizer=vb.sgd(learning_rate=0.01),
            random_seed=1,
            backend=LANE if small else None,
        )


def test_svgd_finds_both_modes(svgd_approx):
    x = svgd_approx.sample(2000, random_seed=1)["x"]
    assert x.dtype == "float32"
    for mode, near in [(-0.3, x[x < 0.1]), (0.5, x[x > 0.1])]:
        assert len(near) > 400
        assert np.median(near) == pytest.approx(mode, abs=0.05)


def test_sample_node_is_as_its_help_says(svgd_approx):
    parameters = inspect.signature(svgd_approx.sample_node).parameters
    assert {name: p.default for name, p in parameters.items()} == {
        "node": inspect.Parameter.empty,
        "size": None,
        "deterministic": False,
        "more_replacements": None,
    }


def test_expressions(model, svgd_approx):
    # recall x ~ NormalMixture
    x = model["x"]
    a = x**2
    b = vb.math.sin(x)

    a_sample = svgd_approx.sample_node(a)
    values = [a_sample.eval() for _ in range(3)]
    assert len({float(v) for v in values}) == 3
    assert all(v.dtype == "float32" for v in values)

    one_by_one = np.array([a_sample.eval() for _ in range(2000)])
    a_samples = svgd_approx.sample_node(a, size=1000)
    assert stats.ks_2samp(one_by_one, a_samples.eval()).pvalue > 1e-3

    # the text has 0.1325 and 0.2379: some particles are still on their way
    squares = svgd_approx.evaluate_over_trace(a).eval().astype("float64")
    assert squares.mean() == pytest.approx(0.24, abs=0.05)
    spread = (squares - squares.mean()) ** 2
    for sampled, values in [(a_samples.mean(0), squares), (a_samples.var(0), spread)]:
        error = values.std() / 1000**0.5
        assert float(sampled.eval()) == pytest.approx(values.mean(), abs=5 * error)
    assert np.abs(svgd_approx.sample_node(b, size=100).eval()).max() <= 1

    i = pt.iscalar("i")
    i.tag.test_value = 1
    a_samples_i = svgd_approx.sample_node(a, size=i)
    assert a_samples_i.eval({i: 100}).shape == (100,)
    assert a_samples_i.eval({i: 10000}).shape == (10000,)


def test_converting_a_trace_to_an_approximation(model):
    """The draws may be of any sampler; here they are the mixture's own, in two chains."""
    rng = np.random.default_rng(1)
    second = rng.uniform(size=(2, 500)) > W[0]
    draws = rng.normal(MU[second.astype(int)], 0.1)
    trace = {"x": draws.ravel()}
    trace_approx = vb.Empirical(trace, model=model)
    assert isinstance(trace_approx, vb.Empirical)
    again = trace_approx.sample(20_000, random_seed=1)["x"]
    assert stats.ks_2samp(again, draws.ravel()).pvalue > 1e-3
    # and results in the form of ArviZ
    twice = vb.Empirical(trace_approx.sample(1000), model=model)
    squares = twice.sample_node(model["x"] ** 2, size=1000).eval()
    assert squares.mean() == pytest.approx((draws**2).mean(), abs=0.03)


@pytest.mark.ci
def test_iris(small):
    datasets = pytest.importorskip("sklearn.datasets")
    model_selection = pytest.importorskip("sklearn.model_selection")
    X, y = datasets.load_iris(return_X_y=True)
    X_train, X_test, y_train, y_test = model_selection.train_test_split(X, y, random_state=3)

    Xt = pytensor.shared(X_train)
    yt = pytensor.shared(y_train)

    with vb.Model() as iris_model:
        # Coefficients for features
        β = vb.Normal("β", 0, sd=1e2, shape=(4, 3))
        # Transform to unit interval
        a = vb.Flat("a", shape=(3,))
        p = pt.special.softmax(Xt.dot(β) + a, axis=-1)

        vb.Categorical("obs", p=p, observed=yt)

    with iris_model:
        # We'll use SVGD
        inference = vb.SVGD(n_particles=50 if small else 500, jitter=1, random_seed=3)

        # Local reference to approximation
        approx = inference.approx

        # Here we need `more_replacements` to change train_set to test_set
        test_probs = approx.sample_node(p, more_replacements={Xt: X_test}, size=100)

        # For train set no more replacements needed
        train_probs = approx.sample_node(p)

    test_ok = pt.eq(test_probs.argmax(-1), y_test)
    train_ok = pt.eq(train_probs.argmax(-1), y_train)
    test_accuracy = test_ok.mean(-1)
    train_accuracy = train_ok.mean(-1)

    eval_tracker = vb.callbacks.Tracker(
        test_accuracy=test_accuracy.eval, train_accuracy=train_accuracy.eval
    )

    backend = LANE if small else None
    inference.fit(100, callbacks=[eval_tracker], backend=backend)
    # "training does not seem to be working here"
    before = np.asarray(eval_tracker["test_accuracy"])
    assert abs(before[-10:].mean() - before[:10].mean()) < 0.05

    inference.fit(
        400,
        obj_optimizer=vb.adamax(learning_rate=0.1),
        callbacks=[eval_tracker],
        backend=backend,
    )
    # "this is much better!"
    assert np.asarray(eval_tracker["test_accuracy"]).T.shape == (100, 500)
    assert np.asarray(eval_tracker["test_accuracy"])[-50:].mean() > 0.9
    assert np.asarray(eval_tracker["train_accuracy"])[-50:].mean() > 0.9


@pytest.mark.ci
def test_a_callback_that_stops(caplog):
    data = np.random.rand(4000, 100)
    data *= np.random.randint(1, 10, size=(100,))
    data += np.random.rand(100) * 10

    with vb.Model() as model:
        mu = vb.Flat("mu", shape=(100,))
        sd = vb.HalfNormal("sd", shape=(100,))
        vb.Normal("lik", mu, sd, observed=data)

    def stop_after_10(approx, loss_history, i):
        if (i > 0) and (i % 10) == 0:
            raise StopIteration("I was slow, sorry")

    with model, caplog.at_level("INFO", "vibayes"):
        advifit = vb.fit(10_000, callbacks=[stop_after_10], backend=LANE)
    assert len(advifit.hist) == 10
    assert "I was slow, sorry" in caplog.text
    assert "Interrupted at 10 [0%]" in caplog.text
