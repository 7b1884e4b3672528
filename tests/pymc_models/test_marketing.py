"""Models of pymc-marketing, a client of PyMC: customers' values, and a mix of media."""

import warnings

import numpy as np
import pytest

import vibayes as vb

pytest.importorskip("pymc_marketing")
pd = pytest.importorskip("pandas")

from helpers import conversions  # noqa: E402
from pymc_marketing import clv, mmm  # noqa: E402

N = 20
rng = np.random.default_rng(3)
AGE = rng.uniform(20, 40, N)
FREQUENCY = rng.poisson(2, N)
CUSTOMERS = pd.DataFrame(
    {
        "customer_id": np.arange(N),
        "frequency": FREQUENCY,
        "recency": np.where(FREQUENCY > 0, AGE * rng.uniform(0.2, 0.95, N), 0.0),
        "T": AGE,
    }
)
CHANCES = CUSTOMERS.assign(  # of which a customer takes some
    T=10, frequency=FREQUENCY, recency=np.where(FREQUENCY > 0, rng.integers(FREQUENCY, 11), 0)
)
SPENT = CUSTOMERS.assign(frequency=np.maximum(FREQUENCY, 1), monetary_value=rng.gamma(4, 10, N))[
    ["customer_id", "frequency", "monetary_value"]
]


def customers(model, data):
    model.build_model(data=data)
    return model.model


def media():
    weeks = pd.date_range("2022-01-03", periods=15, freq="W-MON")
    X = pd.concat(
        [
            pd.DataFrame(
                {"date": weeks, "geo": g, "tv": rng.gamma(2, 1, 15), "web": rng.random(15)}
            )
            for g in "ab"
        ],
        ignore_index=True,
    )
    y = pd.Series(1 + 0.5 * X.tv + 0.2 * rng.normal(size=30), name="y")
    model = mmm.MMM(
        date_column="date",
        target_column="y",
        channel_columns=["tv", "web"],
        dims=("geo",),
        adstock=mmm.GeometricAdstock(l_max=4),
        saturation=mmm.TanhSaturation(),
    )
    model.build_model(X, y)
    return model.model


MODELS = {
    "BetaGeo": lambda: customers(clv.BetaGeoModel(), CUSTOMERS),
    "ParetoNBD": lambda: customers(clv.ParetoNBDModel(), CUSTOMERS),
    "GammaGamma": lambda: customers(clv.GammaGammaModel(), SPENT),
    "ModifiedBetaGeo": lambda: customers(clv.ModifiedBetaGeoModel(), CUSTOMERS),
    "BetaGeoBetaBinom": lambda: customers(clv.BetaGeoBetaBinomModel(), CHANCES),
    "MMM": media,
}


@pytest.fixture(scope="module")
def models():
    """Return each PyMC model and its conversion, by name; made once."""
    return conversions.made_once(lambda name: MODELS[name]())


@pytest.mark.parametrize("name", MODELS)
def test_models_convert_and_predict(models, name):
    original, model = models(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prior = vb.sample_prior_predictive(5, model=model, random_seed=1)
    conversions.check_log_density(original, model, spread=0.1)
    for rv in original.observed_RVs:
        values = original.rvs_to_values[rv]
        assert prior["prior_predictive"][rv.name].ndim == 2 + values.type.ndim
    approx = vb.fit(5, model=model, random_seed=1, diagnose=False, progressbar=False, backend="py")
    assert set(approx.sample(3).posterior.data_vars) == {v.name for v in model.unobserved_RVs}


HARD = {"BetaGeoBetaBinom", "MMM"}
"""Of which the one takes long, and the other has widths that chains do not agree on easily."""


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_fits_are_right_or_said_not_to_be(models, name):
    conversions.check_fit(*models(name), hard=name in HARD)
