import numpy as np
import pytest
from scipy import stats

import vibayes as vb
from vibayes.exceptions import ImputationError, ImputationWarning, ModelError

pytestmark = pytest.mark.filterwarnings("ignore::vibayes.ImputationWarning")


def logp_at(model, **values):
    point = {**model.initial_point(), **{k: np.asarray(v) for k, v in values.items()}}
    return float(model.compile_logp(backend="py")(point))


@pytest.fixture(scope="module")
def several():
    data = np.array([[0.5, np.nan, 2.0], [np.nan, 1.0, -1.0]])
    hidden = np.ma.masked_array([0.5, 1.5, 2.5], mask=[False, False, True])
    with vb.Model(coords={"row": ["a", "b"]}) as model:
        mu = vb.Normal("mu", 0, 5)
        vb.Normal("y", mu, [1.0, 2.0, 3.0], observed=data, dims=("row", None))
        vb.Exponential("e", [1.0, 2.0, 3.0], observed=[1.0, np.nan, 2.0])
        vb.Uniform("u", 0, [1.0, 2.0, 3.0], observed=hidden)
    return model


def test_each_element_has_its_own_parameters(several):
    value = logp_at(
        several,
        mu=0.3,
        y_unobserved=[0.7, -0.2],
        e_unobserved_log__=[0.4],
        u_unobserved_interval__=[0.0],
    )
    full = np.array([[0.5, 0.7, 2.0], [-0.2, 1.0, -1.0]])
    expected = stats.norm(0, 5).logpdf(0.3)
    expected += stats.norm(0.3, [1, 2, 3]).logpdf(full).sum()
    missing = np.exp(0.4)
    expected += stats.expon(scale=1 / np.array([1, 2, 3])).logpdf([1, missing, 2]).sum() + 0.4
    expected += stats.uniform(0, [1, 2, 3]).logpdf([0.5, 1.5, 1.5]).sum() + np.log(3 / 4)
    np.testing.assert_allclose(value, expected)


def test_the_whole_variable_is_recorded(several):
    draws = vb.MeanField(model=several).sample(50, random_seed=1)
    posterior, observed = draws.posterior, draws.observed_data
    y = posterior["y"].values[0]
    assert posterior["y"].dims == ("chain", "draw", "row", "y_dim_1")
    np.testing.assert_array_equal(y[:, [0, 0, 1, 1], [0, 2, 1, 2]].std(axis=0), 0)
    np.testing.assert_array_equal(y[:, [0, 1], [1, 0]], posterior["y_unobserved"].values[0])
    np.testing.assert_array_equal(observed["y_observed"], [0.5, 2.0, 1.0, -1.0])
    assert posterior["u_unobserved"].min() > 0
    assert posterior["u_unobserved"].max() < 3


def test_data_are_drawn_anew(several):
    prior = vb.sample_prior_predictive(2_000, model=several, random_seed=1)
    assert prior.prior["y"].shape == (1, 2_000, 2, 3)
    np.testing.assert_allclose(
        prior.prior["e"].mean(("chain", "draw")), [1, 1 / 2, 1 / 3], rtol=0.1
    )
    posterior = vb.MeanField(model=several).sample(20)
    drawn = vb.sample_posterior_predictive(posterior, model=several, random_seed=1)
    y = drawn.posterior_predictive["y"].values[0]
    np.testing.assert_array_equal(y[:, 0, 1], posterior.posterior["y_unobserved"].values[0, :, 0])
    assert (y[:, 0, 0] != 0.5).all()


def test_copies_impute_too(several):
    assert logp_at(several.copy(), mu=0.3) == logp_at(several, mu=0.3)


def test_events_with_missing_elements():
    root = np.array([[1.0, 0.0], [0.9, 0.5]])
    data = np.array([[0.1, 0.2], [0.3, np.nan], [-1.0, 0.0]])
    walk = np.array([0.2, np.nan, np.nan, 1.0])
    with vb.Model() as model:
        vb.MvNormal("y", [0.0, 1.0], chol=root, observed=data)
        vb.GaussianRandomWalk("walk", 0.0, 1.0, init_dist=vb.Normal.dist(0, 1), observed=walk)
    value = logp_at(model, y_unobserved=[0.7], walk_unobserved=[0.5, 0.6])
    data[1, 1], walk[1:3] = 0.7, [0.5, 0.6]
    expected = stats.multivariate_normal([0, 1], root @ root.T).logpdf(data).sum()
    expected += stats.norm.logpdf(np.diff(walk, prepend=0)).sum()
    np.testing.assert_allclose(value, expected)


def test_gaps_of_a_walk_are_filled_by_what_is_around_them():
    walk = np.array([0.0, np.nan, 1.0, 3.0])
    with vb.Model() as model:
        vb.GaussianRandomWalk("walk", 0.0, 1.0, init_dist=vb.Normal.dist(0, 1), observed=walk)
        approx = vb.fit(random_seed=1, progressbar=False, diagnose=False)
    np.testing.assert_allclose(approx.mean.eval(), [0.5], atol=1e-3)
    np.testing.assert_allclose(approx.std.eval(), [0.5**0.5], rtol=1e-2)
    assert model.free_RVs[0].name == "walk_unobserved"


def test_a_warning_tells_of_it():
    message = r"Normal\('y'\): 1 of 2 observed values are missing.*'y_unobserved'"
    with vb.Model(), pytest.warns(ImputationWarning, match=message):
        vb.Normal("y", observed=[1.0, np.nan])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vb.Poisson("y", 1.0, observed=[1, None]), r"Poisson\('y'\): 1 of 2 .* NaN"),
        (lambda: vb.Dirichlet("y", [1.0, 1.0], observed=[0.5, np.nan]), "constrain each other"),
    ],
)
def test_what_cannot_be_imputed_is_told(make, message):
    with vb.Model() as model, pytest.raises(ImputationError, match=message):
        make()
    assert model.named_vars == {}


def test_nothing_is_registered_where_a_name_is_taken():
    with vb.Model() as model:
        vb.Normal("y_observed")
        with pytest.raises(ModelError, match="already has a variable named 'y_observed'"):
            vb.Normal("y", observed=[1.0, np.nan])
        with pytest.raises(ValueError, match="initval and total_size are not for data"):
            vb.Normal("y", observed=[1.0, np.nan], total_size=10)
    assert list(model.named_vars) == ["y_observed"]


@pytest.mark.parametrize("nothing", [np.nan, np.ma.masked])
def test_a_number_that_is_missing_is_refused(nothing):
    with (
        vb.Model(),
        pytest.raises(ImputationError, match="observed must be a number, got none"),
    ):
        vb.Normal("v", observed=nothing)
