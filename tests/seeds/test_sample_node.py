"""The introduction's examples of expressions on the posterior, in order."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats
from scipy.special import softmax

import vibayes as vb


@pytest.fixture(autouse=True)
def _without_compiler():
    """``eval()`` takes PyTensor's mode of the moment; the examples need no compiled one."""
    with pytensor.config.change_flags(mode="FAST_COMPILE"):
        yield


@pytest.fixture(scope="module")
def mixture():
    w = np.array([0.2, 0.8])
    mu = np.array([-0.3, 0.5])
    sd = np.array([0.1, 0.1])
    with vb.Model():
        x = vb.NormalMixture("x", w=w, mu=mu, sigma=sd)
        vb.Deterministic("x2", x**2)
        vb.Deterministic("sin_x", vb.math.sin(x))
        approx = vb.fit(
            n=2000,
            obj_optimizer=vb.adam(learning_rate=0.01),
            random_seed=1,
            backend="py",
            progressbar=False,
        )
    return x, approx


def test_expressions_of_a_variable(mixture):
    # recall x ~ NormalMixture
    x, approx = mixture
    a = x**2
    b = vb.math.sin(x)

    a_sample = approx.sample_node(a)
    values = [a_sample.eval() for _ in range(3)]
    assert len({float(v) for v in values}) == 3
    assert all(v.shape == () for v in values)

    one_by_one = np.array([a_sample.eval() for _ in range(2000)])
    a_samples = approx.sample_node(a, size=1000)
    at_once = a_samples.eval()
    assert at_once.shape == (1000,)
    assert stats.ks_2samp(one_by_one, at_once).pvalue > 1e-3
    drawn = approx.sample(20_000, random_seed=1).posterior["x"].values.ravel() ** 2
    assert stats.ks_2samp(one_by_one, drawn).pvalue > 1e-3

    # in closed form, for the normal that the approximation is
    m, s = approx.mean.eval()[0], approx.std.eval()[0]
    variance = 4 * m**2 * s**2 + 2 * s**4
    assert a_samples.var(0).eval() == pytest.approx(variance, rel=0.3)
    assert abs(a_samples.mean(0).eval() - (m**2 + s**2)) < 4 * (variance / 1000) ** 0.5
    sin = approx.sample_node(b, size=1000).eval()
    assert abs(sin.mean() - np.sin(m) * np.exp(-(s**2) / 2)) < 4 * sin.std() / 1000**0.5

    i = pt.iscalar("i")
    i.tag.test_value = 1
    a_samples_i = approx.sample_node(a, size=i)
    assert a_samples_i.eval({i: 100}).shape == (100,)
    assert a_samples_i.eval({i: 10000}).shape == (10000,)


def flowers(n, rng):
    """Three kinds of flowers by four lengths, of which the first kind stands apart."""
    y = np.arange(n) % 3
    means = np.array([[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]])
    return means[y] + rng.normal(0, [0.3, 0.3, 0.3, 0.2], size=(n, 4)), y


def test_multilabel_logistic_regression(rng):
    X_train, y_train = flowers(112, rng)
    X_test, y_test = flowers(38, rng)

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
        inference = vb.ADVI(random_seed=1)

        # Local reference to approximation
        approx = inference.approx

        # Here we need more_replacements to change train_set to test_set
        test_probs = approx.sample_node(p, more_replacements={Xt: X_test}, size=100)

        # For train set no more replacements needed
        train_probs = approx.sample_node(p)

    assert test_probs.eval().shape == (100, 38, 3)
    assert train_probs.eval().shape == (112, 3)
    together = approx.sample_node([p, β, a], size=6, more_replacements={Xt: X_test})
    probs, slopes, offsets = pytensor.function([], together)()
    np.testing.assert_allclose(probs, softmax(X_test @ slopes + offsets[:, None], axis=-1))

    test_ok = pt.eq(test_probs.argmax(-1), y_test)
    train_ok = pt.eq(train_probs.argmax(-1), y_train)
    test_accuracy = test_ok.mean(-1)
    train_accuracy = train_ok.mean(-1)

    eval_tracker = vb.callbacks.Tracker(
        every=50, test_accuracy=test_accuracy.eval, train_accuracy=train_accuracy.eval
    )
    inference.fit(
        2000,
        callbacks=[eval_tracker],
        obj_optimizer=vb.adamax(learning_rate=0.1),
        backend="py",
        progressbar=False,
    )

    of_draws = np.asarray(eval_tracker["test_accuracy"])
    assert of_draws.shape == (40, 100)
    assert of_draws[0].mean() < 0.7
    assert of_draws[-1].mean() > 0.9
    assert np.mean(eval_tracker["train_accuracy"][-5:]) > 0.9
    np.testing.assert_array_equal(Xt.get_value(), X_train)
