"""The notebook "Introduction to variational inference", in its order.

NUTS and minibatches are in ``test_nuts.py`` and ``test_minibatches.py``.

The text says what comes out; that is what is asserted. Fits are those of the text, but where the
model is slow to compile: there a smaller fit without a compiler stands in by default, and the one
of the text is marked slow. Where the text leaves the number of iterations to the default, it is
named: without, a fit here ends by itself.
"""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.lanes import LANE
from scipy import stats
from scipy.special import softmax

import vibayes as vb
from vibayes.callbacks import CheckParametersConvergence

pytestmark = pytest.mark.ci

N = 10_000  # iterations, where the text does not say
W, MU, SD = np.array([0.2, 0.8]), np.array([-0.3, 0.5]), np.array([0.1, 0.1])
VALLEY = (0.0, 0.2)  # between the modes, where the mixture has next to nothing


@pytest.fixture(autouse=True)
def _without_compiler():
    """``eval()`` takes PyTensor's mode of the moment; the examples need no compiled one."""
    with pytensor.config.change_flags(mode="FAST_COMPILE"):
        yield


# -- distributional approximations ----------------------------------------------------------------


@pytest.fixture(scope="module")
def gamma_model():
    np.random.seed(42)
    gamma_data = np.random.gamma(2, 0.5, size=200)

    with vb.Model() as gamma_model:
        alpha = vb.Exponential("alpha", 0.1)
        beta = vb.Exponential("beta", 0.1)

        vb.Gamma("y", alpha, beta, observed=gamma_data)
    return gamma_model


def test_gamma(gamma_model):
    with gamma_model:
        mean_field = vb.fit(N, obj_optimizer=vb.adagrad_window(learning_rate=1e-2), random_seed=1)
    assert isinstance(mean_field, vb.MeanField)
    assert "MeanField" in repr(mean_field)
    assert len(mean_field.hist) == N
    # "Finished [100%]: Average Loss = 169.87"
    assert mean_field.hist[-1000:].mean() == pytest.approx(169.87, abs=0.15)

    approx_sample = mean_field.sample(1000)
    draws = approx_sample.posterior["alpha"].values.flatten()
    assert draws.shape == (1000,)
    assert draws.mean() == pytest.approx(2.5, abs=0.1)


# -- basic setup ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        x = vb.NormalMixture("x", w=W, mu=MU, sigma=SD)
        x**2
        vb.math.sin(x)
    return model


def cdf(x):
    """Return the mixture's distribution function."""
    return stats.norm(MU, SD).cdf(np.asarray(x)[..., None]) @ W


def test_deterministics():
    with vb.Model() as model:
        x = vb.NormalMixture("x", w=W, mu=MU, sigma=SD)
        x2 = x**2
        sin_x = vb.math.sin(x)
    with model:
        vb.Deterministic("x2", x2)
        vb.Deterministic("sin_x", sin_x)
        posterior = vb.fit(10, backend=LANE, progressbar=False).sample(50).posterior
    np.testing.assert_allclose(posterior["x2"], posterior["x"] ** 2)
    np.testing.assert_allclose(posterior["sin_x"], np.sin(posterior["x"]))


@pytest.mark.ci
@pytest.mark.parametrize("seed", range(1, 4))
def test_advi_misses_the_second_mode(model, seed):
    with model:
        mean_field = vb.fit(N, method="advi", random_seed=seed)
    # "Finished [100%]: Average Loss = 2.216"
    assert mean_field.hist[-1000:].mean() == pytest.approx(2.2, abs=0.4)
    x = mean_field.sample(1000, random_seed=seed).posterior["x"].values.ravel()
    assert stats.kstest(x, stats.norm(x.mean(), x.std()).cdf).pvalue > 1e-3  # a single mode
    assert np.diff(cdf(VALLEY)) < 0.003
    assert ((VALLEY[0] < x) & (x < VALLEY[1])).mean() > 0.05


# -- checking convergence -------------------------------------------------------------------------


def test_checking_convergence(model):
    with model:
        relative = vb.fit(N, method="advi", callbacks=[CheckParametersConvergence()], random_seed=1)
    assert len(relative.hist) == N

    with model:
        absolute = vb.fit(
            N,
            method="advi",
            callbacks=[vb.callbacks.CheckParametersConvergence(diff="absolute")],
            random_seed=1,
        )
    assert len(absolute.hist) < N
    assert len(absolute.hist) % 100 == 0
    np.testing.assert_array_equal(absolute.hist, relative.hist[: len(absolute.hist)])


# -- tracking parameters --------------------------------------------------------------------------


@pytest.mark.ci
@pytest.mark.parametrize(
    ("n", "more"),
    [(2000, 15_000), pytest.param(20_000, 100_000, marks=pytest.mark.slow)],
    ids=["small", "as in the text"],
)
def test_tracking_parameters(model, n, more):
    with model:
        advi = vb.ADVI(random_seed=1)
    assert isinstance(advi.approx, vb.MeanField)
    assert repr(advi.approx.shared_params) == "{'mu': mu, 'rho': rho}"
    np.testing.assert_allclose(advi.approx.mean.eval(), [0.34])
    np.testing.assert_allclose(advi.approx.std.eval(), [0.69314718])

    tracker = vb.callbacks.Tracker(
        mean=advi.approx.mean.eval,  # callable that returns mean
        std=advi.approx.std.eval,  # callable that returns std
    )
    approx = advi.fit(n, callbacks=[tracker])
    assert approx is advi.approx
    assert len(tracker["mean"]) == len(tracker["std"]) == len(advi.hist) == n
    np.testing.assert_array_equal(tracker["mean"][-1], approx.mean.eval())
    assert np.abs(tracker["mean"][0] - 0.34) < 0.01

    advi.refine(more)
    assert len(advi.hist) == n + more
    # "Finished [100%]: Average Loss = 2.1363", and 2.2862 before; or it has found a mode by then
    assert advi.hist[-more // 10 :].mean() < advi.hist[n // 2 : n].mean() + 0.1
    assert advi.hist[-more // 10 :].mean() < 2.4
    # "again, we see that ADVI is not able to cope with multimodality"
    x = approx.sample(20000, random_seed=1).posterior["x"].values.flatten()
    assert stats.kstest(x, cdf).statistic > 0.15


# -- Stein variational gradient descent -----------------------------------------------------------


SGD = vb.sgd(learning_rate=0.01)


def svgd_fit(model, seed, n=300):
    with model:
        return vb.fit(
            n,
            method="svgd",
            inf_kwargs=dict(n_particles=1000),
            obj_optimizer=SGD,
            random_seed=seed,
            progressbar=False,
        )


@pytest.fixture(scope="module")
def svgd_approx(model):
    return svgd_fit(model, 1)


@pytest.mark.ci
@pytest.mark.parametrize("seed", range(1, 4))
def test_svgd_finds_both_modes(model, svgd_approx, seed):
    """How many particles are in a mode is a matter of the start.

    Forty percent of it lie below 0.1, and few cross the valley.
    """
    approx = svgd_approx if seed == 1 else svgd_fit(model, seed)
    x = approx.sample(2000, random_seed=seed).posterior["x"].values.flatten()
    assert 0.3 < (x < 0.1).mean() < 0.45
    for mode, low, high in [(-0.3, -0.6, 0.1), (0.5, 0.1, 0.8)]:
        near = x[(low < x) & (x < high)]
        assert len(near) > 500
        assert np.median(near) == pytest.approx(mode, abs=0.03)
        assert stats.median_abs_deviation(near, scale="normal") == pytest.approx(0.1, abs=0.04)
    # ADVI's normal, by contrast, has the most of its mass in one of them
    density = np.histogram(x, bins=[-0.4, -0.2, 0.0, 0.2, 0.4, 0.6])[0]
    assert density[0] > 5 * density[2]
    assert density[4] > 5 * density[2]


@pytest.mark.ci
def test_a_longer_run_brings_in_the_stragglers(model):
    """By then var(x²) is what it should be, but for the masses of the modes."""
    x = svgd_fit(model, 1, 2000).histogram.get_value()[:, 0]
    for mode, near in [(-0.3, x[x < 0.1]), (0.5, x[x > 0.1])]:
        assert near.mean() == pytest.approx(mode, abs=0.02)
        assert near.std() == pytest.approx(0.1, abs=0.02)
    assert (x**2).var() == pytest.approx(0.0137, abs=0.002)


# -- expressions ----------------------------------------------------------------------------------


def test_evaluations_differ(model, svgd_approx):
    """The text shows one number three times, and says that they differ."""
    a = model["x"] ** 2
    b = vb.math.sin(model["x"])
    for expression in (a, b):
        a_sample = svgd_approx.sample_node(expression)
        values = [a_sample.eval() for _ in range(3)]
        assert len({float(value) for value in values}) == 3
        assert all(value.shape == () for value in values)


def test_many_evaluations_or_many_draws_at_once(model, svgd_approx):
    a = model["x"] ** 2
    a_sample = svgd_approx.sample_node(a)
    one_by_one = np.array([a_sample.eval() for _ in range(2000)])
    a_samples = svgd_approx.sample_node(a, size=1000)
    at_once = a_samples.eval()
    assert at_once.shape == (1000,)
    assert stats.ks_2samp(one_by_one, at_once).pvalue > 1e-3
    drawn = svgd_approx.sample(20_000, random_seed=1).posterior["x"].values.ravel() ** 2
    assert stats.ks_2samp(one_by_one, drawn).pvalue > 1e-3


def test_expectation_and_variance(model, svgd_approx):
    """The text prints E[x²] = 0.245 and var(x²) = 0.133: stragglers are still on their way."""
    a_samples = svgd_approx.sample_node(model["x"] ** 2, size=1000)
    squares = svgd_approx.histogram.get_value()[:, 0] ** 2
    assert squares.mean() == pytest.approx(0.245, abs=0.03)
    assert 0.05 < squares.var() < 0.4
    spread = (squares - squares.mean()) ** 2
    for sampled, values in [(a_samples.mean(0), squares), (a_samples.var(0), spread)]:
        assert sampled.eval() == pytest.approx(values.mean(), abs=5 * values.std() / 1000**0.5)


def test_symbolic_size(model, svgd_approx):
    i = pt.iscalar("i")
    i.tag.test_value = 1
    a_samples_i = svgd_approx.sample_node(model["x"] ** 2, size=i)
    assert a_samples_i.eval({i: 100}).shape == (100,)
    assert a_samples_i.eval({i: 10000}).shape == (10000,)


def test_expressions_of_advi(model):
    """In closed form, for the normal that the approximation is."""
    with model:
        approx = vb.fit(100, random_seed=1, backend=LANE, progressbar=False)
    m, s = approx.mean.eval()[0], approx.std.eval()[0]
    squares = approx.sample_node(model["x"] ** 2, size=1000)
    variance = 4 * m**2 * s**2 + 2 * s**4
    assert squares.var(0).eval() == pytest.approx(variance, rel=0.4)
    assert abs(squares.mean(0).eval() - (m**2 + s**2)) < 4 * (variance / 1000) ** 0.5
    sines = approx.sample_node(vb.math.sin(model["x"]), size=1000).eval()
    assert abs(sines.mean() - np.sin(m) * np.exp(-(s**2) / 2)) < 4 * sines.std() / 1000**0.5


# -- multilabel logistic regression ---------------------------------------------------------------


@pytest.mark.ci
@pytest.mark.parametrize(
    ("n_particles", "backend", "n", "more"),
    [(60, LANE, 15, 120), pytest.param(500, None, 100, 400, marks=pytest.mark.slow)],
    ids=["small", "as in the text"],
)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_iris(n_particles, backend, n, more, seed):
    datasets = pytest.importorskip("sklearn.datasets")
    model_selection = pytest.importorskip("sklearn.model_selection")
    X, y = datasets.load_iris(return_X_y=True)
    X_train, X_test, y_train, y_test = model_selection.train_test_split(X, y, random_state=seed)

    Xt = pytensor.shared(X_train)
    yt = pytensor.shared(y_train)

    with vb.Model() as iris_model:
        # Coefficients for features
        β = vb.Normal("β", 0, sigma=1e2, shape=(4, 3))
        # Transform to unit interval
        a = vb.Normal("a", sigma=1e4, shape=(3,))
        p = pt.special.softmax(Xt.dot(β) + a, axis=-1)

        vb.Categorical("obs", p=p, observed=yt)

    with iris_model:
        # We'll use SVGD
        inference = vb.SVGD(n_particles=n_particles, jitter=1, random_seed=seed)

        # Local reference to approximation
        approx = inference.approx

        # Here we need `more_replacements` to change train_set to test_set
        test_probs = approx.sample_node(p, more_replacements={Xt: X_test}, size=100)

        # For train set no more replacements needed
        train_probs = approx.sample_node(p)

    assert test_probs.eval().shape == (100, 38, 3)
    assert train_probs.eval().shape == (112, 3)
    np.testing.assert_array_equal(Xt.get_value(), X_train)
    together = approx.sample_node([p, β, a], size=6, more_replacements={Xt: X_test})
    probs, slopes, offsets = pytensor.function([], together)()
    np.testing.assert_allclose(probs, softmax(X_test @ slopes + offsets[:, None], axis=-1))

    test_ok = pt.eq(test_probs.argmax(-1), y_test)
    train_ok = pt.eq(train_probs.argmax(-1), y_train)
    test_accuracy = test_ok.mean(-1)
    train_accuracy = train_ok.mean(-1)

    eval_tracker = vb.callbacks.Tracker(
        test_accuracy=test_accuracy.eval, train_accuracy=train_accuracy.eval
    )

    inference.fit(n, callbacks=[eval_tracker], backend=backend)
    # "training does not seem to be working here"
    before = np.asarray(eval_tracker["test_accuracy"])
    assert before.shape == (n, 100)
    assert abs(before[-10:].mean() - before[:10].mean()) < 0.05
    assert before[-1].mean() < 0.6

    inference.fit(
        more,
        obj_optimizer=vb.adamax(learning_rate=0.1),
        callbacks=[eval_tracker],
        backend=backend,
    )
    # "this is much better!"
    after = np.asarray(eval_tracker["test_accuracy"])
    assert after.shape == (n + more, 100)
    assert after[-50:].mean() > 0.9
    assert np.mean(eval_tracker["train_accuracy"][-50:]) > 0.9
    assert len(eval_tracker["train_accuracy"]) == n + more


@pytest.mark.parametrize("how", ["function", "class"])
def test_hint_replacements_when_fitting(how):
    """The model is written for all data, and fitted on minibatches of them."""
    data = np.random.default_rng(1).normal(2.0, 1.0, size=300)
    full_data = pytensor.shared(data)
    minibatch_data = vb.Minibatch(data, batch_size=100)
    options = dict(
        obj_n_mc=5,
        obj_optimizer=vb.adam(learning_rate=0.05),
        more_replacements={full_data: minibatch_data},
        backend=LANE,
        progressbar=False,
    )
    with vb.Model():
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 1, observed=full_data, total_size=len(data))
        if how == "function":
            approx = vb.fit(600, random_seed=1, **options)
        else:
            inference = vb.ADVI(random_seed=1)
            approx = inference.fit(600, **options)
    # in closed form; each minibatch by itself is off by 0.08 or so
    precision = len(data) + 0.01
    assert approx.mean.eval()[0] == pytest.approx(data.sum() / precision, abs=0.06)
    assert approx.std.eval()[0] == pytest.approx(precision**-0.5, rel=0.3)
    assert len(np.unique(approx.hist)) == 600
    np.testing.assert_array_equal(full_data.get_value(), data)


# -- minibatches ----------------------------------------------------------------------------------


@pytest.mark.slow  # the other generation's text has the same, of which a tenth is run
def test_a_callback_that_stops(caplog):
    """Before it comes to minibatches, the text fits all rows, and is not patient."""
    # Raw values
    data = np.random.rand(40000, 100)
    # Scaled values
    data *= np.random.randint(1, 10, size=(100,))
    # Shifted values
    data += np.random.rand(100) * 10

    with vb.Model() as model:
        mu = vb.Flat("mu", shape=(100,))
        sd = vb.HalfNormal("sd", shape=(100,))
        vb.Normal("lik", mu, sigma=sd, observed=data)

    def stop_after_10(approx, loss_history, i):
        if (i > 0) and (i % 10) == 0:
            raise StopIteration("I was slow, sorry")

    with model, caplog.at_level("INFO", "vibayes"):
        advifit = vb.fit(N, callbacks=[stop_after_10], backend=LANE)
    assert len(advifit.hist) == 10
    assert "I was slow, sorry" in caplog.text
    assert "Interrupted at 10 [0%]" in caplog.text
