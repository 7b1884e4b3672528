import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from helpers.lanes import LANE

import vibayes as vb
from vibayes.approximations.base import Approximation
from vibayes.approximations.empirical import Empirical
from vibayes.backend.modes import evaluate
from vibayes.exceptions import ShapeError
from vibayes.families.base import Group
from vibayes.families.empirical import EmpiricalGroup
from vibayes.posterior.arviz import inference_data


@pytest.fixture(scope="module")
def model():
    """A model with a transform of each kind, and one that depends on other variables."""
    with vb.Model() as model:
        low = vb.Normal("low", 0, 1)
        width = vb.HalfNormal("width", 1)
        vb.Uniform("between", low, low + width, shape=2)
        vb.Dirichlet("shares", np.ones(3), shape=(2, 3))
        vb.Deterministic("double", 2 * width)
        vb.Normal("y", low, width, observed=[0.1, 0.3])
    return model


@pytest.fixture(scope="module")
def draws(model):
    """Draws of 2 chains and 5 draws each, on the variables' own scales."""
    rng = np.random.default_rng(1)
    low, width = rng.normal(size=(2, 5)), rng.gamma(2, size=(2, 5))
    return {
        "low": low,
        "width": width,
        "between": low[..., None] + width[..., None] * rng.uniform(0.05, 0.95, size=(2, 5, 2)),
        "shares": rng.dirichlet(np.ones(3), size=(2, 5, 2)),
    }


def as_dataset(draws):
    dims = {name: [f"{name}_{i}" for i in range(v.ndim - 2)] for name, v in draws.items()}
    return xr.Dataset({name: (["chain", "draw", *dims[name]], v) for name, v in draws.items()})


def stacked(draws):
    return {name: v.reshape(10, *v.shape[2:]) for name, v in draws.items()}


def logit(x):
    return np.log(x) - np.log1p(-x)


@pytest.mark.parametrize(
    "form",
    [
        lambda draws: inference_data({"posterior": as_dataset(draws)}),
        as_dataset,
        lambda draws: as_dataset(draws).transpose("draw", ..., "chain"),
        lambda draws: as_dataset(draws).stack(sample=("chain", "draw")),
        stacked,
    ],
    ids=["results", "dataset", "other order", "stacked", "dict"],
)
def test_from_draws(model, draws, form):
    approx = Empirical(form(draws), model=model)
    flat = stacked(draws)
    histogram = approx.histogram.get_value()
    assert histogram.shape == (10, approx.ddim)
    slots = {slot.name: slot for slot in approx.layout.slots}

    def part(name):
        slot = slots[name]
        return histogram[:, slot.start : slot.stop].reshape(10, *slot.shape)

    np.testing.assert_allclose(part("low"), flat["low"])
    np.testing.assert_allclose(part("width_log__"), np.log(flat["width"]), rtol=1e-12)
    share = (flat["between"] - flat["low"][:, None]) / flat["width"][:, None]
    np.testing.assert_allclose(part("between_interval__"), logit(share), rtol=1e-9, atol=1e-9)
    # and back: every variable at every particle is the draw that it came from
    names = list(flat)
    back = evaluate(approx.evaluate_over_trace([model[name] for name in names]))
    for name, value in zip(names, back, strict=True):
        np.testing.assert_allclose(value, flat[name], rtol=1e-9, err_msg=name)


def test_unconstrained_names_are_taken_as_they_are(model, draws):
    constrained = Empirical(stacked(draws), model=model)
    results = constrained.sample(10, include_transformed=True, replace=False).posterior
    both = Empirical(results, model=model).histogram.get_value()
    own_scale = xr.Dataset({name: results[name] for name in draws})
    np.testing.assert_allclose(both, Empirical(own_scale, model=model).histogram.get_value())
    only = stacked(draws) | {"width_log__": np.full(10, 0.5)}
    slot = next(s for s in constrained.layout.slots if s.name == "width_log__")
    taken = Empirical(only, model=model).histogram.get_value()
    np.testing.assert_array_equal(taken[:, slot.start], 0.5)


def test_data_behind_a_transform():
    """A transform may depend on data too."""
    with vb.Model() as model:
        top = vb.Data("top", np.array([2.0, 4.0]))
        vb.Uniform("x", 0, top)
    values = np.array([[1.0, 1.0], [0.5, 3.0]])
    histogram = Empirical({"x": values}, model=model).histogram.get_value()
    np.testing.assert_allclose(histogram, logit(values / [2, 4]))


@pytest.fixture(scope="module")
def pair():
    with vb.Model() as model:
        vb.Normal("x", 0, 1)
        vb.HalfNormal("s", 1, shape=2)
    return model


def test_from_size(pair):
    approx = Empirical(size=4000, jitter=0.5, model=pair, start={"x": 3.0}, random_seed=2)
    x, s = approx.histogram.get_value()[:, 0], approx.histogram.get_value()[:, 1:]
    assert x.mean() == pytest.approx(3, abs=4 * 0.5 / 4000**0.5)
    assert x.std() == pytest.approx(0.5, rel=0.05)
    np.testing.assert_allclose(s.mean(axis=0), 0, atol=0.04)
    same = Empirical(size=4000, jitter=0.5, model=pair, start={"x": 3.0}, random_seed=2)
    np.testing.assert_array_equal(same.histogram.get_value()[:, 0], x)
    none = Empirical(size=3, jitter=0, model=pair)
    np.testing.assert_array_equal(none.histogram.get_value(), np.zeros((3, 3)))


@pytest.fixture(scope="module")
def few(pair):
    rng = np.random.default_rng(0)
    return Empirical({"x": rng.normal(size=7), "s": rng.gamma(2, size=(7, 2))}, model=pair)


def test_moments(few):
    h = few.histogram.get_value()
    mean, std, cov = evaluate([few.mean, few.std, few.cov])
    np.testing.assert_allclose(mean, h.mean(axis=0))
    np.testing.assert_allclose(std, h.std(axis=0))
    np.testing.assert_allclose(cov, np.cov(h.T, ddof=0))


def test_sample_draws_particles(few, pair):
    particles = evaluate(few.evaluate_over_trace([pair["x"], pair["s"]]))
    posterior = few.sample(7000, random_seed=1).posterior
    x, s = posterior["x"].values[0], posterior["s"].values[0]
    rows = np.array([np.flatnonzero(particles[0] == v)[0] for v in x])
    np.testing.assert_allclose(s, particles[1][rows])  # variables of a draw stay together
    counts = np.bincount(rows, minlength=7)
    np.testing.assert_array_equal(counts, 1000)  # each as often as any other
    assert len(np.unique(rows[:7])) < 7  # in random order
    few_more = few.sample(10, random_seed=1).posterior["x"].values[0]
    counts = np.unique(few_more, return_counts=True)[1]
    np.testing.assert_array_equal(np.sort(counts), [1, 1, 1, 1, 2, 2, 2])


def test_sample_without_replacement(few, pair):
    (particles,) = evaluate([few.evaluate_over_trace(pair["x"])])
    x = few.sample(7, random_seed=1, replace=False).posterior["x"].values[0]
    np.testing.assert_allclose(np.sort(x), np.sort(particles))
    assert len(np.unique(few.sample(4, random_seed=2, replace=False).posterior["x"])) == 4
    assert len(np.unique(few.sample(7000, random_seed=2).posterior["x"])) == 7
    with pytest.raises(ValueError, match="8 draws without replacement from 7 particles"):
        few.sample(8, replace=False)


def test_deterministic_is_the_mean(few, pair):
    mean = few.histogram.get_value().mean(axis=0)
    flag = pt.bscalar("flag")
    for size, shape in [(None, ()), (4, (4,))]:
        value_s = pair.rvs_to_values[pair["s"]]
        fixed = few.draw(size, deterministic=True)[0].z[value_s]
        symbolic = few.draw(size, deterministic=flag)[0].z[value_s]
        a, b, c = evaluate([fixed, symbolic], {flag: 1}) + evaluate([symbolic], {flag: 0})
        expected = np.broadcast_to(mean[1:], (*shape, 2))
        np.testing.assert_allclose(a, expected)
        np.testing.assert_allclose(b, expected)
        assert not np.allclose(c, expected)
    node = few.sample_node(pair["x"], deterministic=True)
    assert evaluate([node])[0] == pytest.approx(mean[0])


def test_evaluate_over_trace(few, pair):
    h = few.histogram.get_value()
    a, b, c = evaluate(
        few.evaluate_over_trace([pair["x"] ** 2, pair["s"].sum(), pt.arange(3) * 1.0])
    )
    np.testing.assert_allclose(a, h[:, 0] ** 2)
    np.testing.assert_allclose(b, np.exp(h[:, 1:]).sum(axis=1))
    np.testing.assert_array_equal(c, np.tile([0.0, 1.0, 2.0], (7, 1)))


def test_no_density(few):
    draws, _ = few.draw(3)
    with pytest.raises(NotImplementedError, match="particles of x, s have no density"):
        _ = draws.logq
    with pytest.raises(NotImplementedError, match="SVGD can"):
        vb.KLqp(few).fit(1, backend=LANE, progressbar=False)


def test_as_a_group_beside_others(pair):
    with pair:
        rest = Group(None, vfam="mean_field")
        particles = Group([pair["x"]], vfam="empirical", size=5, random_seed=1)
    assert isinstance(particles, EmpiricalGroup)
    approx = Approximation([particles, rest], model=pair)
    posterior = approx.sample(50, random_seed=1).posterior
    assert set(posterior["x"].values[0]) <= set(particles.histogram.get_value()[:, 0])
    assert len(np.unique(posterior["s"])) == 100
    with pair:
        by_params = Group([pair["x"]], params={"histogram": np.arange(4.0)[:, None]})
    assert isinstance(by_params, EmpiricalGroup)
    with pair, pytest.raises(ShapeError, match="'histogram'"):
        Group([pair["x"]], params={"histogram": np.ones((4, 2))})


def test_names_of_elements(few):
    names = few.name_elements(few.params[0])
    assert len(names) == 21
    assert names[:4] == [
        "x of particle 0",
        "s_log__[0] of particle 0",
        "s_log__[1] of particle 0",
        "x of particle 1",
    ]


def test_errors(pair):
    x, s = np.zeros(4), np.ones((4, 2))

    def make(**kwargs):
        return Empirical(model=pair, **kwargs)

    with pytest.raises(ValueError, match=r"either trace .* or size"):
        make()
    with pytest.raises(ValueError, match=r"either trace .* or size"):
        make(trace={"x": x, "s": s}, size=3)
    for size in (0, 2.5):
        with pytest.raises(ValueError, match="size must be a whole number"):
            make(size=size)
    with pytest.raises(ValueError, match="jitter must be a number of at least 0, got -1"):
        make(size=2, jitter=-1)
    with pytest.raises(KeyError, match="the trace lacks 's'; it has 'x', 'z'"):
        make(trace={"x": x, "z": s})
    with pytest.raises(KeyError, match="lacks 'x', 's'; it has no variables"):
        make(trace={})
    with pytest.raises(ShapeError, match=r"'s' have shape \(3,\), the variable has \(2,\)"):
        make(trace={"x": x, "s": np.ones((4, 3))})
    with pytest.raises(ShapeError, match=r"numbers of draws differ: {'x': 3, 's': 4}"):
        make(trace={"x": x[:3], "s": s})
    with pytest.raises(ShapeError, match="there are no draws of 'x', 's'"):
        make(trace={"x": x[:0], "s": s[:0]})
    with pytest.raises(ValueError, match="2 of 4 draws of 'x' hold NaN"):
        make(trace={"x": np.array([0.0, np.nan, 1.0, np.nan]), "s": s})
    for bad in (-1.0, 0.0, np.inf):
        with pytest.raises(ValueError, match="1 of 4 draws of 's' are outside of its support"):
            make(trace={"x": x, "s": np.array([[1, 1], [1, 1], [1, bad], [1, 1]])})
    with pytest.raises(TypeError, match="'x' must be numbers"):
        make(trace={"x": np.array(list("abcd")), "s": s})
    with pytest.raises(TypeError, match="results with a posterior, or a dict"):
        make(trace=[1, 2])


def test_missing_bound(model, draws):
    lacking = {name: v for name, v in stacked(draws).items() if name != "low"}
    with model, pytest.raises(KeyError, match="lacks 'low'"):
        EmpiricalGroup([model["between"]], trace=lacking)
    with model:
        group = EmpiricalGroup([model["between"]], trace=stacked(draws))
    assert group.histogram.get_value().shape == (10, 2)


def test_float32(float32):
    with vb.Model() as model:
        s = vb.HalfNormal("s", 1)
    values = np.array([0.5, 1.0, 4.0])
    approx = Empirical({"s": values}, model=model)
    assert approx.histogram.get_value().dtype == pytensor.config.floatX == "float32"
    back = evaluate([approx.evaluate_over_trace(s)])[0]
    assert back.dtype == "float32"
    np.testing.assert_allclose(back, values, rtol=1e-6)
