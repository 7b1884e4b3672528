import os
import signal
from unittest.mock import patch

import numpy as np
import pytest

import vibayes as vb
from vibayes.exceptions import ModelError, SamplingError, ShapeError
from vibayes.inference import many

GENERATOR = np.random.default_rng(6)
X = GENERATOR.normal(size=40)
SETS = [{"y": i + 0.5 * X + GENERATOR.normal(size=40)} for i in range(12)]


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        x = vb.Data("x", X, dims="row")
        intercept = vb.Normal("intercept", 0, 20)
        slope = vb.Normal("slope", 0, 5)
        sigma = vb.HalfNormal("sigma", 2)
        vb.Normal("y", intercept + slope * x, sigma, observed=vb.Data("values", X), dims="row")
    return model


@pytest.fixture(scope="module")
def fits(model):
    return vb.fit_many(model, SETS, random_seed=1)


def test_each_data_set_has_its_own_posterior(model, fits):
    assert len(fits) == 12
    assert fits.good.all()
    assert fits.element_names == ("intercept", "slope", "sigma_log__")
    for i in (0, 7):
        vb.set_data({"values": SETS[i]["y"]}, model)
        alone = vb.fit(method="fullrank_advi", model=model, random_seed=2)
        sd = alone.std.eval()
        assert np.abs((fits.mean[i] - alone.mean.eval()) / sd).max() < 0.05
        np.testing.assert_allclose(np.sqrt(np.diag(fits.cov[i])) / sd, 1.0, atol=0.05)


def test_approximations_are_made_with_their_data_and_verdicts(model, fits):
    approx = fits[5]
    np.testing.assert_array_equal(model.data_vars[1].get_value(), SETS[5]["y"])
    assert approx.diagnosis.good
    assert approx.diagnose(random_seed=1).good  # anew, of the data of this one
    np.testing.assert_allclose(approx.mean.eval(), fits.mean[5])
    assert [repr(a) for a in fits[3:5]] == [repr(approx)] * 2
    with pytest.raises(IndexError):
        fits[12]


def test_the_same_seed_gives_the_same_fits(model, fits):
    again = vb.fit_many(model, SETS, random_seed=1, progressbar=False)  # which changes nothing
    np.testing.assert_array_equal(again.mean, fits.mean)
    np.testing.assert_array_equal(again.draws(4, 5), fits.draws(4, 5))


def test_a_model_has_its_own_data_again_afterwards(model):
    before = model.data_vars[1].get_value()
    vb.fit_many(model, [{"values": v["y"]} for v in SETS[:3]], random_seed=1)
    np.testing.assert_array_equal(model.data_vars[1].get_value(), before)


def test_data_sets_may_have_other_lengths(model):
    sets = [{"values": SETS[0]["y"][:n], "x": X[:n]} for n in (40, 20, 30, 20)]
    fits = vb.fit_many(model, sets, random_seed=1)
    assert fits.good.all()
    sd = np.sqrt([np.diag(cov) for cov in fits.cov])
    assert (sd[1] > 1.1 * sd[0]).all()
    np.testing.assert_allclose(fits.mean[1], fits.mean[3])


def test_a_posterior_that_is_no_normal_is_fitted_alone():
    with vb.Model() as model:
        rate = vb.Exponential("rate", 1.0)
        vb.Poisson("count", rate, observed=np.zeros(3, dtype=int))
    counts = [np.array(c) for c in ([300, 310, 290], [280, 300, 310], [0, 0, 0])]
    fits = vb.fit_many(model, [{"count": c} for c in counts], random_seed=1)
    draws = np.exp(fits.draws(2, 4000)[:, 0])
    assert abs(draws.mean() - 0.25) < 0.03  # Gamma(1, 4)
    assert abs((draws > 0.25).mean() - np.exp(-1)) < 0.04
    assert fits.good.all()


def test_several_models_are_fitted_one_after_the_other():
    models = []
    for mean in (0.0, 3.0):
        with vb.Model() as model:
            vb.Normal("x", mean, 1)
        models.append(model)
    fits = vb.fit_many(models, random_seed=1)
    assert [a.mean.eval().round(6).item() for a in fits] == [0.0, 3.0]


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([], ValueError, "one dict a data set"),
        ([{"z": X}], ModelError, "no data named 'z'"),
        ([{"y": X[None]}], ShapeError, "'y' of data set 0 has shape"),
        ([{"y": X}, {"y": X * np.nan}], ValueError, "'y' of data set 1 has missing values"),
    ],
)
def test_wrong_data_are_told_before_any_fit(model, data, error, message):
    with pytest.raises(error, match=message):
        vb.fit_many(model, data)


def test_data_without_a_density_are_told_before_any_fit(model):
    with vb.Model() as model:
        vb.Gamma("y", vb.LogNormal("shape"), 1, observed=np.ones(3))
    with (
        patch.object(many, "fit", side_effect=AssertionError),
        pytest.raises(SamplingError, match=r"data set 1: .*\n.*y: log density -inf at \[1.0, -2.0"),
    ):
        vb.fit_many(model, [{"y": np.ones(3)}, {"y": np.array([1.0, -2.0, 3.0])}])


def test_minibatches_are_refused():
    with vb.Model() as model:
        mu = vb.Normal("mu")
        vb.Normal("y", mu, 1, observed=vb.Minibatch(X, batch_size=5), total_size=40)
    with pytest.raises(ModelError, match="without minibatches"):
        vb.fit_many(model, [{"y": X}])


@pytest.mark.usefixtures("ctrl_c")
def test_after_ctrl_c_there_are_the_fits_up_to_then(model, monkeypatch):
    data = SETS[:4]
    whole = vb.fit_many(model, data, "laplace", random_seed=1, progressbar=False)
    alone, calls = many.fitted_alone, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return alone(*args)

    monkeypatch.setattr(many, "fitted_alone", interrupted)
    some = vb.fit_many(model, data, "laplace", random_seed=1, progressbar=False)
    assert len(some) == 2
    np.testing.assert_array_equal(some.mean, whole.mean[:2])
    assert some[1].diagnosis.good == whole.good[1]
    calls[:] = [None, None]
    before = model["values"].get_value()
    with pytest.raises(KeyboardInterrupt):
        vb.fit_many(model, data, "laplace", random_seed=1, progressbar=False)
    np.testing.assert_array_equal(model["values"].get_value(), before)


@pytest.mark.usefixtures("ctrl_c")
def test_after_ctrl_c_there_are_the_models_up_to_then(model):
    def stop(*_):
        os.kill(os.getpid(), signal.SIGINT)

    options = dict(n=5, backend="py", random_seed=1, progressbar=False, diagnose=False)
    with pytest.raises(KeyboardInterrupt):
        vb.fit_many([model, model], method="advi", callbacks=[stop], **options)
    first = vb.fit_many([model], method="advi", **options)
    calls = iter([lambda: None, stop])
    fits = vb.fit_many(
        [model, model, model],
        method="advi",
        callbacks=[lambda approx, losses, i: next(calls)() if i == 5 else None],
        **options,
    )
    assert len(fits) == 1
    np.testing.assert_array_equal(fits[0].hist, first[0].hist)
