import pickle

import numpy as np
import pytensor
import pytest
from helpers.lanes import by_default

import vibayes as vb
from vibayes.backend.modes import EVALUATE_MODE
from vibayes.learning_rates import Schedule


class InverseRoot(Schedule):
    def __init__(self, start):
        self.start = start

    def rate(self, step):
        return self.start / (1 + step) ** 0.5


SCHEDULES = {
    "cosine": vb.cosine_decay(0.1, steps=7, end=0.01, warmup=3),
    "exponential": vb.exponential_decay(0.1, steps=4, decay_rate=0.3, end=0.02),
    "staircase": vb.exponential_decay(0.1, steps=3, decay_rate=0.3, staircase=True),
    "restarts": vb.warm_restarts(0.1, steps=3, end=0.01),
    "longer and longer": vb.warm_restarts(0.1, steps=2, growth=1.7),
    "own": InverseRoot(0.1),
}


# -- the formulas ---------------------------------------------------------------------------------


def half_cosine(start, end, part):
    return end + (start - end) * (1 + np.cos(np.pi * part)) / 2


def test_cosine_decay_rises_falls_and_stays():
    rates = vb.cosine_decay(0.8, steps=10, end=0.2, warmup=4).values(14)
    np.testing.assert_allclose(rates[:4], [0.2, 0.4, 0.6, 0.8])
    np.testing.assert_allclose(rates[4:10], half_cosine(0.8, 0.2, np.arange(6) / 6))
    np.testing.assert_allclose(rates[10:], 0.2)
    assert vb.cosine_decay(0.8, steps=10).values(1) == 0.8


def test_exponential_decay():
    t = np.arange(12)
    smooth = vb.exponential_decay(0.5, steps=4, decay_rate=0.2, end=0.03)
    np.testing.assert_allclose(smooth.values(12), np.maximum(0.5 * 0.2 ** (t / 4), 0.03))
    stairs = vb.exponential_decay(0.5, steps=4, decay_rate=0.2, staircase=True)
    np.testing.assert_allclose(stairs.values(12), 0.5 * 0.2 ** (t // 4))


def restarting(steps, growth, n):
    """Return the part of a stretch that is done at each step, by a walk from step to step."""
    parts, i, begin = [], 0, 0

    def restart(i):
        return round(sum(steps * growth**j for j in range(i)))

    for t in range(n):
        if t == restart(i + 1):
            i, begin = i + 1, t
        parts.append((t - begin) / (restart(i + 1) - begin))
    return np.array(parts)


@pytest.mark.parametrize(
    ("steps", "growth", "floatX"),
    [
        *((steps, growth, "float64") for steps in (1, 100) for growth in (1, 1.3, 3)),
        *((7, growth, "float32") for growth in (1, 2, 10)),
    ],
)
def test_warm_restarts_happen_at_whole_steps(steps, growth, floatX):
    expected = half_cosine(0.5, 0.1, restarting(steps, growth, 3000))
    with pytensor.config.change_flags(floatX=floatX):
        rates = vb.warm_restarts(0.5, steps, end=0.1, growth=growth).values(3000)
    assert rates.dtype == floatX
    np.testing.assert_allclose(rates, expected, atol=1e-10 if floatX == "float64" else 1e-5)


# -- in an optimizer ------------------------------------------------------------------------------

OPTIMIZERS = [
    "sgd",
    "momentum",
    "nesterov_momentum",
    "adagrad",
    "adagrad_window",
    "rmsprop",
    "adadelta",
    "adam",
    "adamax",
]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_step_has_the_rate_of_the_schedule(name):
    def path(rate, between):
        x = pytensor.shared(np.array([1.0, -2.0]), name="x", shape=(2,))
        updates = getattr(vb, name)((x**4).sum(), [x], learning_rate=rate)
        step = pytensor.function([], [], updates=updates, mode=EVALUATE_MODE)
        for i in range(9):
            between(i)
            step()
            yield x.get_value()

    schedule = SCHEDULES["cosine"]
    by_hand, values = pytensor.shared(np.asarray(0.0)), schedule.values(9)
    expected = list(path(by_hand, lambda i: by_hand.set_value(values[i])))
    np.testing.assert_allclose(list(path(schedule, lambda i: None)), expected, rtol=1e-10)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_float32_stays_float32(kind):
    with pytensor.config.change_flags(floatX="float32"):
        x = pytensor.shared(np.ones(2, "float32"), name="x")
        updates = vb.adam((x**2).sum(), [x], learning_rate=SCHEDULES[kind])
        assert {new.type.dtype for new in updates.values()} == {"float32"}
        assert SCHEDULES[kind].values(3).dtype == np.float32


def test_momentum_leaves_the_number_of_steps_alone():
    x = pytensor.shared(np.ones(2), name="x")
    updates = vb.apply_momentum(vb.sgd((x**2).sum(), [x], vb.warm_restarts(0.1, 3)))
    assert [v.name for v in updates] == ["x", "sgd_step", "x_velocity"]


def test_schedules_are_values():
    one, same = (vb.adam(learning_rate=vb.cosine_decay(np.float32(0.5), 1e3)) for _ in range(2))
    assert one == same
    assert one.key == same.key
    assert one != vb.adam(learning_rate=vb.cosine_decay(0.5, 1001))
    assert vb.adam(learning_rate=InverseRoot(0.1)) == vb.adam(learning_rate=InverseRoot(0.1))
    assert vb.adam(learning_rate=InverseRoot(0.1)) != vb.adam(learning_rate=InverseRoot(0.2))
    assert pickle.loads(pickle.dumps(one)) == one
    assert repr(one) == (
        "adam(learning_rate=cosine_decay(start=0.5, steps=1000, end=0.0, warmup=0))"
    )


def test_a_schedule_that_is_changed_is_another_one():
    schedule = InverseRoot(0.1)
    before = vb.adam(learning_rate=schedule).key
    schedule.start = 0.2
    assert vb.adam(learning_rate=schedule).key != before


# -- in a fit -------------------------------------------------------------------------------------

FIT = {"backend": "py", "progressbar": False}


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 1, observed=[1.0, 2.0, 4.0])
    return model


def fit(model, n, schedule, **kwargs):
    options = FIT | {"random_seed": 1, "diagnose": False} | kwargs
    return vb.fit(n, model=model, obj_optimizer=vb.adam(learning_rate=schedule), **options)


def mean(approx):
    return approx.mean.eval(mode="FAST_COMPILE")


def test_a_fit_takes_no_steps_at_the_end_of_a_schedule(model):
    with vb.Model() as other:
        vb.Normal("x", 5)
    schedule = vb.cosine_decay(0.1, steps=20)
    assert mean(fit(other, 20, schedule)) == mean(fit(other, 30, schedule)) != 0


def test_refine_goes_on_in_the_schedule(model):
    def inference(*runs):
        advi = vb.ADVI(model=model, random_seed=1)
        advi.fit(runs[0], obj_optimizer=vb.adam(learning_rate=SCHEDULES["exponential"]), **FIT)
        for n in runs[1:]:
            advi.refine(n, progressbar=False)
        return advi.approx

    np.testing.assert_array_equal(inference(3, 4, 2).hist, inference(9).hist)


@pytest.mark.parametrize("kind", by_default(SCHEDULES, {"cosine", "own"}))
def test_a_checkpoint_goes_on_in_the_schedule(model, kind, tmp_path):
    path = tmp_path / "fit.nc"
    fit(model, 5, SCHEDULES[kind], checkpoint=path)
    whole = fit(model, 12, SCHEDULES[kind])
    resumed = fit(model, 12, SCHEDULES[kind], checkpoint=path)
    np.testing.assert_array_equal(resumed.hist, whole.hist)
    assert mean(resumed) == mean(whole)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (vb.cosine_decay(0.1, 7), vb.cosine_decay(0.1, 8)),
        (vb.cosine_decay(0.1, 7), vb.warm_restarts(0.1, 7)),
        (0.1, vb.cosine_decay(0.1, 7)),
        (InverseRoot(0.1), InverseRoot(0.2)),
    ],
)
def test_a_checkpoint_is_told_from_that_of_another_schedule(model, before, after, tmp_path):
    fit(model, 3, before, checkpoint=tmp_path / "fit.nc")
    with pytest.raises(vb.StorageError, match="obj_optimizer was"):
        fit(model, 6, after, checkpoint=tmp_path / "fit.nc")


# -- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vb.cosine_decay(-0.1, 10), "cosine_decay: start must be"),
        (lambda: vb.cosine_decay(0.1, 0), "cosine_decay: steps must be"),
        (lambda: vb.cosine_decay(0.1, 10, end=0.2), "cosine_decay: end must be at most start=0.1"),
        (lambda: vb.cosine_decay(0.1, 10, warmup=10), "warmup must be less than steps=10, got 10"),
        (lambda: vb.exponential_decay(np.inf, 10), "exponential_decay: start must be"),
        (lambda: vb.exponential_decay(0.1, 10, decay_rate=0), "decay_rate must be"),
        (lambda: vb.exponential_decay(0.1, 10, decay_rate=1.1), "decay_rate must be at most 1"),
        (lambda: vb.exponential_decay(0.1, 10, staircase="no"), "staircase must be True or False"),
        (lambda: vb.warm_restarts(0.1, 10, growth=0.5), "warm_restarts: growth must be"),
        (lambda: vb.warm_restarts(0.1, 10, growth=2000), "growth must be at most 1000"),
        (lambda: vb.warm_restarts("fast", 10), "warm_restarts: start must be"),
        (lambda: vb.cosine_decay(0.1, 10).values(0), "cosine_decay.values: n must be"),
        (lambda: vb.rmsprop(rho=vb.cosine_decay(0.1, 10)), "rmsprop: rho must be a number"),
        (lambda: vb.adam(learning_rate="fast"), "a schedule such as vb.cosine_decay"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
