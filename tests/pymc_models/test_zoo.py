"""Models of all kinds have the log density, and the draws, that they have in PyMC."""

import warnings

import numpy as np
import pytest
import xarray
from pytensor.compile.mode import Mode

import vibayes as vb
from vibayes.model.target import Target
from vibayes.predictive.compiled import compile_over_draws

pm = pytest.importorskip("pymc")

from helpers import zoo_of_kinds as zoo  # noqa: E402

MODE = Mode("py", "fast_compile")  # of PyMC's own functions: nothing is compiled
DRAWS = 100

UNDRAWN = {"improper_priors", "density_without_draws", "intrinsic_areas"}
"""What cannot be drawn: PyMC raises, too."""
OWN_LENGTH = {"minibatches"}
"""Of which PyMC draws a batch, and vibayes all rows."""


@pytest.fixture(scope="module")
def models():
    """Return each PyMC model and its conversion, by name; made once."""
    made = {}

    def get(name):
        if name not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of PyMC: imputation, deprecations
                original = zoo.KINDS[name]()
                made[name] = original, vb.from_pymc(original)
        return made[name]

    return get


@pytest.mark.parametrize("name", [name for name in zoo.KINDS if name not in OWN_LENGTH])
def test_log_density(models, name):
    original, model = models(name)
    rng = np.random.default_rng(1)
    start = original.initial_point(0)
    ours = model.initial_point(0)
    assert list(ours) == list(start)
    for key, value in start.items():
        np.testing.assert_allclose(ours[key], value, rtol=1e-6, atol=1e-8)
    points = [
        {key: x + 0.2 * i * rng.normal(size=x.shape) for key, x in start.items()} for i in range(3)
    ]
    theirs = original.compile_logp(mode=MODE)
    expected = [float(theirs(point)) for point in points]
    assert np.isfinite(expected).any()
    function = compile_over_draws([model.logp()], model.value_vars, {})  # at all points together
    (found,) = function(3, [np.stack([p[v.name] for p in points]) for v in model.value_vars])
    np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize(
    "name", ["areas", "kronecker_of_multiples_of_the_identity", "named_simplex"]
)
def test_gradients(models, name):
    """By central differences, also where eigenvalues are equal and a sum has no axis."""
    _, model = models(name)
    target = Target(model)
    rng = np.random.default_rng(1)
    at, direction = target.start + 0.1, rng.normal(size=target.start.shape)
    slope = target(at[None])[1][0] @ direction
    above, below = target.logp(np.stack([at + 1e-5 * direction, at - 1e-5 * direction]))
    assert slope == pytest.approx((above - below) / 2e-5, rel=1e-6)


def squashed(draws, other):
    """Return one number a draw in which all elements count, whatever their tails."""
    pooled = np.concatenate([draws.ravel(), other.ravel()]).astype(float)
    scale = np.subtract(*np.quantile(pooled, [0.8, 0.2])) or 1.0
    angles = np.arctan((draws - np.median(pooled)) / scale)
    return np.stack([angles, angles**2]).reshape(2, len(draws), -1).mean(axis=-1)


def assert_alike(ours, theirs, label, paired):
    """Check that two sets of draws, or two for the same parameters, are of one distribution."""
    assert ours.shape == theirs.shape, label
    assert ours.dtype.kind == theirs.dtype.kind, label
    a, b = squashed(ours, theirs), squashed(theirs, ours)
    error = (a - b).std(axis=1) if paired else np.hypot(a.std(axis=1), b.std(axis=1))
    difference = np.abs(a.mean(axis=1) - b.mean(axis=1))
    np.testing.assert_array_less(difference, 5 * error / DRAWS**0.5 + 1e-6, label)


def thirds(names):
    """Return names to parametrize a test by, of which each third is run by default."""
    return [
        n if i % 3 == 0 else pytest.param(n, marks=pytest.mark.slow) for i, n in enumerate(names)
    ]


@pytest.mark.parametrize("name", thirds(n for n in zoo.KINDS if n not in UNDRAWN | OWN_LENGTH))
def test_predictions(models, name):
    """Draws of the prior, and of data given such draws, are those of PyMC."""
    original, model = models(name)
    with warnings.catch_warnings(), original:
        warnings.simplefilter("ignore")  # potentials
        theirs = pm.sample_prior_predictive(DRAWS, random_seed=1, compile_kwargs={"mode": MODE})
        ours = vb.sample_prior_predictive(DRAWS, model=model, random_seed=2)
        for group in ("prior", "prior_predictive"):
            if group not in ours.children:
                continue
            assert set(ours[group].data_vars) == set(theirs[group].data_vars)
            for key, draws in ours[group].data_vars.items():
                expected = theirs[group][key]
                if any(original.named_vars_to_dims.get(key, ())):
                    assert draws.dims == expected.dims
                assert_alike(draws.values[0], expected.values[0], f"{group} {key}", False)
        if not original.observed_RVs:
            return
        free = [rv.name for rv in original.free_RVs]
        trace = xarray.DataTree.from_dict({"posterior": theirs["prior"].to_dataset()[free]})
        expected = pm.sample_posterior_predictive(
            trace, random_seed=3, progressbar=False, compile_kwargs={"mode": MODE}
        )["posterior_predictive"]
        found = vb.sample_posterior_predictive(trace, model=model, random_seed=4)
        found = found["posterior_predictive"]
    for rv in original.observed_RVs:
        ours, theirs = (draws[rv.name].values[0] for draws in (found, expected))
        assert_alike(ours, theirs, f"posterior_predictive {rv.name}", True)


HARD = {"horseshoe", "dirichlet_process", "stick_breaking", "intrinsic_areas", "improper_priors"}
"""Whose posteriors are such that a verdict may be bad, as long as it is told."""


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.KINDS)
def test_fits_are_good_or_said_not_to_be(models, name):
    _, model = models(name)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        approx = vb.fit(
            model=model, method="auto", random_seed=1, progressbar=False, max_seconds=120
        )
    if approx.diagnosis.good:
        return
    assert name in HARD, approx.diagnosis.verdict
    assert any(issubclass(w.category, vb.ApproximationWarning) for w in told)
