"""Variables that the data meet in products, and coordinates made of these."""

import numpy as np
import pytest
from helpers.posteriors import ample

import vibayes as vb
from vibayes.model.coordinates import Coordinates, bent_variables
from vibayes.model.products import factor_in_products
from vibayes.model.target import Target
from vibayes.search.best_normals import fit_diagonal
from vibayes.search.centring import informed, suited
from vibayes.search.noise import stratified_normals
from vibayes.search.normals import FittedNormal

GROUP = np.arange(12) % 3
DATA = np.linspace(-1, 1, 12)
SD, Y = np.array([0.05, 0.1, 1.0]), np.array([1.0, -0.5, 2.0])

named = vb.Deterministic
USES = {
    "times": lambda z, sd, lam, mu: sd * z,
    "under a name": lambda z, sd, lam, mu: (
        mu + vb.Deterministic("e", vb.Deterministic("z_", z) * sd)
    ),
    "chosen before": lambda z, sd, lam, mu: (mu + sd * z[GROUP])[:3],
    "chosen afterwards": lambda z, sd, lam, mu: (mu + (sd * z)[GROUP] * DATA)[:3],
    "beside data": lambda z, sd, lam, mu: mu + Y * z * sd,
    "scales of elements": lambda z, sd, lam, mu: z * lam,
    "two scales": lambda z, sd, lam, mu: z * lam * sd,
    "scales of elements, made of others": lambda z, sd, lam, mu: z * vb.math.sqrt(lam**2 * sd**2),
    "a positive expression": lambda z, sd, lam, mu: z * (9 / sd) * vb.math.exp(0 * sd),
}
OTHERS = {
    "alone": lambda z, sd, lam, mu: z,
    "in two ways": lambda z, sd, lam, mu: z + sd * z,
    "squared": lambda z, sd, lam, mu: sd * (z * z),
    "times what may be negative": lambda z, sd, lam, mu: mu * z,
    "scales chosen, too": lambda z, sd, lam, mu: (z[GROUP] * lam[GROUP])[:3],
    "in another order": lambda z, sd, lam, mu: z[::-1] * lam,
    "times data": lambda z, sd, lam, mu: Y * z + sd,
    "times what may be zero": lambda z, sd, lam, mu: z * (sd - 1),
    "times a logarithm": lambda z, sd, lam, mu: z * vb.math.log(sd),
    "times data of both signs": lambda z, sd, lam, mu: z * (sd * Y),
}


def model_of(use, sd=SD):
    with vb.Model() as model:
        mu, scale = vb.Normal("mu"), vb.HalfNormal("sd", 2)
        lam = vb.HalfCauchy("lam", 1, shape=3)
        z = vb.Normal("z", 0, 1, shape=3)
        vb.Normal("y", use(z, scale, lam, mu), sd, observed=Y)
    return model


@pytest.mark.parametrize("use", USES)
def test_the_scale_of_a_product_is_found(use):
    model = model_of(USES[use])
    scale, axis = factor_in_products(model, model["z"])
    assert axis is None
    values = {model["sd"]: 3.0, model["lam"]: np.array([1.0, 2.0, 4.0])}
    found = scale.eval(values, on_unused_input="ignore")
    of_elements = values[model["lam"]] if "scales" in use else 1.0
    expected = of_elements * (1.0 if use == "scales of elements" else 3.0)
    np.testing.assert_allclose(found, expected)
    assert [rv.name for rv in bent_variables(model)] == ["z"]


@pytest.mark.parametrize("use", OTHERS)
def test_other_uses_are_told_apart(use):
    model = model_of(OTHERS[use])
    assert factor_in_products(model, model["z"]) is None
    assert bent_variables(model) == ()


def test_scales_along_the_last_axis():
    with vb.Model() as model:
        sd = vb.HalfNormal("sd", 1, shape=2)
        z = vb.Normal("z", 0, 1, shape=(4, 2))
        vb.Normal("y", sd * z, 1, observed=np.zeros((4, 2)))
    scale, _ = factor_in_products(model, z)
    np.testing.assert_array_equal(scale.eval({sd: [1.0, 2.0]}), [[1.0, 2.0]])


def test_a_scale_that_has_coordinates_of_its_own_is_left_alone():
    with vb.Model() as model:
        mean = vb.HalfNormal("mean", 1)
        sd = vb.LogNormal("sd", mean, mean)
        z = vb.Normal("z", 0, 1, shape=3)
        vb.Normal("y", sd * z, 1, observed=Y)
    assert "z" not in [rv.name for rv in bent_variables(model)]


ROWS = np.array([[1.0, -0.5], [2.0, 0.3], [-1.0, 0.1]])
MATRIX_USES = {
    "chol @ z": lambda chol, z: (chol @ z.T).T,
    "z @ chol.T": lambda chol, z: z @ chol.T,
    "z @ chol.T, chosen afterwards": lambda chol, z: (z @ chol.T)[np.arange(3)],
    "under a name": lambda chol, z: vb.Deterministic("e", vb.Deterministic("z_", z) @ chol.T),
    "times an upper triangle": lambda chol, z: z @ chol,
}
OTHER_MATRIX_USES = {
    "in two ways": lambda chol, z: z @ chol.T + z,
    "elements chosen before": lambda chol, z: z[:, ::-1] @ chol.T,
    "not triangular": lambda chol, z: z @ (chol + chol.T),
    "data": lambda chol, z: z @ np.array([[1.0, 0.0], [0.5, 2.0]]) + 0 * chol[0, 0],
}


def model_of_rows(use, transposed=False):
    with vb.Model() as model:
        chol, _, _ = vb.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=vb.HalfNormal.dist(1, shape=2))
        z = vb.Normal("z", 0.2, [0.5, 1.0], shape=(3, 2)) if not transposed else None
        z = vb.Normal("z", 0, 1, shape=(2, 3)).T if transposed else z
        vb.Normal("y", use(chol, z), SD[:, None], observed=ROWS)
    return model


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("use", MATRIX_USES)
def test_the_matrix_of_a_product_is_found(use, transposed):
    model = model_of_rows(MATRIX_USES[use], transposed)
    matrix, axis = factor_in_products(model, model["z"])
    assert axis == (0 if transposed else 1)
    start = model.initial_point()
    start["chol_cholesky-cov-packed__"] = np.array([0.1, 0.7, 0.2])
    (found,) = model.compile_fn([matrix])(start)
    is_upper = use == "times an upper triangle"
    kept = np.triu if is_upper else np.tril
    np.testing.assert_array_equal(found, kept(found))
    assert found[0, 1] if is_upper else found[1, 0]
    assert [rv.name for rv in bent_variables(model)] == ["z"]


@pytest.mark.parametrize("use", OTHER_MATRIX_USES)
def test_other_uses_of_matrices_are_told_apart(use):
    model = model_of_rows(OTHER_MATRIX_USES[use])
    assert factor_in_products(model, model["z"]) is None
    assert bent_variables(model) == ()


def test_a_square_is_no_product_with_a_matrix():
    with vb.Model() as model:
        z = vb.Normal("z", 0, 1, shape=(2, 2))
        vb.Normal("y", z @ z, vb.HalfNormal("sd", 1), observed=np.eye(2))
    assert factor_in_products(model, z) is None


def in_coordinates(model):
    return Target(model, coordinates=Coordinates.non_centred(model, bent_variables(model)))


@pytest.fixture(scope="module", params=["in rows", "in columns"])
def target_of_rows(request):
    return in_coordinates(model_of_rows(MATRIX_USES["chol @ z"], request.param == "in columns"))


def test_the_data_say_what_they_say_of_the_product_with_a_matrix(target_of_rows, rng):
    found = informed(target_of_rows, about(target_of_rows), rng)
    expected = np.eye(2) / SD[:, None, None] ** 2
    np.testing.assert_allclose(found.information[0], expected, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(found.pull[0], ROWS / SD[:, None] ** 2, rtol=1e-6)


def test_the_posterior_is_the_same_in_coordinates_of_products_with_a_matrix(target_of_rows, rng):
    check_density(target_of_rows, rng)


def test_given_the_matrix_and_normal_data_it_is_standard_normal(target_of_rows, rng):
    there = target_of_rows.with_coordinates(informed(target_of_rows, about(target_of_rows), rng))
    Z = there.start + rng.normal(size=(4, there.ddim))
    _, gradient = there(Z)
    places = there.standardized_places
    np.testing.assert_allclose(gradient[:, places], -Z[:, places], atol=1e-5)


@pytest.fixture(scope="module")
def target():
    return in_coordinates(model_of(USES["times"]))


def about(target, sd=0.3):
    return FittedNormal(target.start, np.full(target.ddim, sd))


def test_the_data_say_what_they_say_of_the_product(target, rng):
    found = informed(target, about(target), rng)
    np.testing.assert_allclose(found.information[0], 1 / SD**2, rtol=1e-6)
    np.testing.assert_allclose(found.pull[0], Y / SD**2, rtol=1e-6)


def check_density(target, rng):
    """Compare the log density in other coordinates with the model's own, and a numeric slope."""
    own = Target(target.model)
    there = target.with_coordinates(informed(target, about(target), rng))
    Z = there.start + 0.3 * rng.normal(size=(3, there.ddim))
    steps = 1e-5 * np.eye(there.ddim)
    for z, logp in zip(Z, there.logp(Z), strict=True):
        sides = (there.unstandardized(z + sign * steps) for sign in (1.0, -1.0))
        slope = (next(sides) - next(sides)) / 2e-5
        expected = own.logp(there.unstandardized(z[None]))[0] + np.linalg.slogdet(slope)[1]
        assert logp == pytest.approx(expected, rel=1e-7)


def test_the_posterior_is_the_same_in_these_coordinates(target, rng):
    check_density(target, rng)


def test_given_the_scale_and_normal_data_it_is_standard_normal(target, rng):
    there = target.with_coordinates(informed(target, about(target), rng))
    Z = np.repeat(there.start[None], 4, axis=0)
    Z[:, 1] = rng.normal(size=4)  # log sd
    places = there.standardized_places
    _, gradient = there(Z)
    np.testing.assert_allclose(gradient[:, places], 0, atol=1e-6)  # its mode is zero
    Z[:, places] += np.eye(3)[0]
    _, gradient = there(Z)
    np.testing.assert_allclose(gradient[:, places], -np.tile(np.eye(3)[0], (4, 1)), atol=1e-6)


def test_independent_normals_are_better_there(target, rng):
    noise = stratified_normals(16, target.ddim, rng)
    own = fit_diagonal(Target(target.model), noise, ample())
    _, found = suited(target, rng, ample())
    assert found.elbo > own.elbo + 1


@pytest.mark.ci
@pytest.mark.parametrize("seed", range(2))
def test_a_hierarchy_without_centre_and_of_many_rows_is_good(seed):
    """As well known as with a centre: of the same posterior."""
    rng = np.random.default_rng(seed)
    group = rng.integers(8, size=1500)
    y = 0.7 + rng.normal(0, 1.5, 8)[group] + rng.normal(0, 0.5, 1500)

    def written(effect):
        with vb.Model() as model:
            mean, noise = vb.Normal("mean", 0, 1), vb.HalfNormal("noise", 1)
            vb.Normal("y", mean + effect(vb.HalfCauchy("sd", 1))[group], noise, observed=y)
        return vb.fit(method="auto", model=model, random_seed=seed, progressbar=False)

    def not_centred(sd):
        return vb.Deterministic("effect", sd * vb.Normal("z", 0, 1, shape=8))

    approx = written(not_centred)
    centred = written(lambda sd: vb.Normal("effect", 0, sd, shape=8))
    assert approx.diagnosis.good
    assert centred.diagnosis.good
    draws, expected = (a.sample(4000, random_seed=1).posterior for a in (approx, centred))
    for name in ("mean", "sd", "effect"):
        mean, sd = expected[name].mean(("chain", "draw")), expected[name].std(("chain", "draw"))
        assert abs((draws[name].mean(("chain", "draw")) - mean) / sd).max() < 0.2
        np.testing.assert_allclose(draws[name].std(("chain", "draw")) / sd, 1, atol=0.2)
