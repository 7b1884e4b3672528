"""The examples of minibatches, in order: those of the docstring, and the two models."""

from functools import partial

import numpy as np
import pytensor
import pytest
from helpers.lanes import LANE
from pytensor.graph.replace import clone_replace, graph_replace

import vibayes as vb
from vibayes import Minibatch


@pytest.fixture
def _without_compiler():
    """``eval()`` takes PyTensor's mode of the moment; the docstring needs no compiled one."""
    with pytensor.config.change_flags(mode="FAST_COMPILE"):
        yield


@pytest.fixture
def data():
    return np.random.rand(100, 100)


@pytest.mark.usefixtures("_without_compiler")
class TestDocstring:
    def test_sizes(self, data):
        # a 1d slice of size 10
        x = Minibatch(data, batch_size=10)
        assert x.eval().shape == (10, 100)
        assert x.dtype == pytensor.config.floatX
        # 10 sampled rows and columns
        x = Minibatch(data, batch_size=[(10, 42), (10, 42)], dtype="int32")
        assert str(x.dtype) == "int32"
        assert x.eval().shape == (10, 10)
        # or, more simply, with the default random seed
        x = Minibatch(data, batch_size=[10, 10])
        assert x.eval().shape == (10, 10)

    def test_model(self, data):
        x = Minibatch(data, batch_size=[10, 10])
        with vb.Model() as model:
            mu = vb.Flat("mu")
            sigma = vb.HalfNormal("sigma")
            vb.Normal("lik", mu, sigma, observed=x, total_size=(100, 100))
        with model:
            approx = vb.fit(n=500, backend=LANE, progressbar=False, random_seed=1)
        assert len(approx.hist) == 500
        assert 0.04 < approx.mean.eval()[0] < data.mean()  # begun at 0, on the way

    def test_set_value(self, data):
        x = Minibatch(data, batch_size=10)
        x.set_value(new := np.random.laplace(size=(100, 100)))
        np.testing.assert_array_equal(x.shared.get_value(), new)
        x.shared.set_value(vb.floatX(newer := np.random.laplace(size=(100, 100))))
        assert np.isin(x.eval(), newer).all()

    def test_update_shared(self):
        datagen = partial(np.random.laplace, size=(100, 100))
        x = Minibatch(datagen(), batch_size=10, update_shared_f=datagen)
        before = x.shared.get_value()
        x.update_shared()
        assert (x.shared.get_value() != before).all()

    def test_how_a_minibatch_is_made(self, data):
        shared = pytensor.shared(data)
        ridx = vb.at_rng().uniform(size=(10,), low=0, high=data.shape[0] - 1e-10).astype("int64")
        assert vb.tt_rng is vb.at_rng
        minibatch = shared[ridx]
        values = minibatch.eval()
        assert values.shape == (10, 100)
        assert np.isin(values, data).all()
        with vb.Model() as model:
            mu = vb.Normal("mu", 0, 10)
            vb.Normal("lik", mu, 1, observed=minibatch, total_size=(100, 100))
        hist = vb.ADVI(model=model, random_seed=1).fit(5, backend=LANE, progressbar=False).hist
        assert len(set(hist)) == 5

    def test_replacement_by_test_data(self, data):
        x = Minibatch(data, batch_size=10)
        node = x**2  # arbitrary expressions on minibatch `x`
        testdata = vb.floatX(np.random.laplace(size=(1000, 10)))
        rnode = clone_replace(node, {x: testdata})
        assert (testdata**2 == rnode.eval()).all()
        rnode = graph_replace(node, {x: testdata})
        assert (testdata**2 == rnode.eval()).all()

    def test_replacement_by_all_data(self, data):
        x = Minibatch(data, batch_size=10)
        for replace in (clone_replace, graph_replace):
            rnode = replace(x**2, {x.minibatch: x.shared})
            assert (data**2 == rnode.eval()).all()

    def test_more_complex_slices(self):
        moredata = np.random.rand(10, 20, 30, 40, 50)
        cases = [
            ([2, Ellipsis, 10], (2, 20, 30, 40, 10), (10, Ellipsis, 50)),
            ([2, None, 20], (2, 20, 20, 40, 50), (10, None, 30)),
            ([2, None, 20, Ellipsis, 10], (2, 20, 20, 40, 10), (10, None, 30, Ellipsis, 50)),
        ]
        for batch_size, shape, total_size in cases:
            x = Minibatch(moredata, batch_size)
            assert x.eval().shape == shape
            for total in (total_size, moredata.shape):
                with vb.Model() as model:
                    vb.Normal("lik", 0, 1, observed=x, total_size=total)
                (rv,) = model.observed_RVs
                size = model.rvs_to_total_sizes[rv]
                assert all(size[a] == moredata.shape[a] for a in range(5) if size[a] is not None)

    def test_methods(self, data):
        x = Minibatch(data, batch_size=10)
        static = x.make_static_slices([50, slice(2, 10), Ellipsis])
        assert data[tuple(static)].shape == (50, 8)
        assert x.rslice(100, 7, 42).eval().shape == (7,)
        assert x.RNG


def simulated():
    np.random.seed(20)
    # Raw values
    data = np.random.rand(40000, 100)
    # Scaled values
    data *= np.random.randint(1, 10, size=(100,))
    # Shifted values
    data += np.random.rand(100) * 10
    return data


@pytest.mark.ci
def test_large_dataset():
    """The means of 100 columns of 40,000 rows, from 500 of them a step."""
    data = simulated()
    assert issubclass(vb.Minibatch, pytensor.tensor.TensorVariable)
    X = vb.Minibatch(data, batch_size=500)

    with vb.Model() as model:
        mu = vb.Flat("mu", shape=(100,))
        sd = vb.HalfNormal("sd", shape=(100,))
        vb.Normal("likelihood", mu, sd, observed=X, total_size=data.shape)

    with model:
        inference = vb.ADVI(random_seed=1)
    rate = pytensor.shared(0.1)
    for learning_rate in (0.1, 0.01, 0.001):
        rate.set_value(learning_rate)
        inference.fit(2000, obj_optimizer=vb.adam(learning_rate=rate), progressbar=False)
    found = inference.approx.sample(1000, random_seed=1).posterior
    spread = data.std(axis=0)
    # the mean of a single batch would be off by up to 0.12
    error = (found["mu"].values.mean(axis=(0, 1)) - data.mean(axis=0)) / spread
    assert np.abs(error).max() < 0.05
    np.testing.assert_allclose(found["sd"].values.mean(axis=(0, 1)), spread, rtol=0.03)


def test_linear_regression():
    rng = np.random.default_rng(3)
    n_features, n_data, batch_size = 3, 5000, 500
    X_large = rng.normal(size=(n_data, n_features))
    true = np.array([1.0, -2.0, 0.5])
    y_large = 1.5 + X_large @ true + rng.normal(size=n_data)

    x_minibatch = vb.Minibatch(X_large, batch_size=batch_size)
    y_minibatch = vb.Minibatch(y_large, batch_size=batch_size)

    with vb.Model():
        weights = vb.Normal("weights", mu=0, sigma=1, shape=n_features)
        intercept = vb.Normal("intercept", mu=0, sigma=10)
        mu = intercept + vb.math.dot(x_minibatch, weights)
        vb.Normal("y_obs", mu=mu, sigma=1, observed=y_minibatch, total_size=n_data)
        approx = vb.fit(
            n=1500,
            method="advi",
            obj_optimizer=vb.adam(learning_rate=0.02),
            random_seed=1,
            backend=LANE,
            progressbar=False,
        )
    # rows of x and y that belong to each other: else the weights would be near zero
    posterior = approx.sample(1000, random_seed=1).posterior
    np.testing.assert_allclose(posterior["weights"].values.mean(axis=(0, 1)), true, atol=0.08)
    assert posterior["intercept"].values.mean() == pytest.approx(1.5, abs=0.08)
