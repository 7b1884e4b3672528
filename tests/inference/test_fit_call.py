from dataclasses import dataclass

import numpy as np
import pytest

import vibayes as vb
from vibayes.backend.jax import JaxDevices
from vibayes.backend.modes import EVALUATE_MODE
from vibayes.inference.fit_call import DRAWS_BY_SCHEDULE, FEW_NUMBERS, FitCall
from vibayes.objectives.options import StepOptions
from vibayes.search.budget import Budget


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        mu = vb.Normal("mu")
        vb.Normal("y", mu, 1, observed=np.zeros(10))
    return model


def call(model, approx=vb.MeanField, n=100, budget=None, is_mode_given=False, mode="py", **options):
    return FitCall(
        objective=vb.KL(approx(model=model))(None),
        options=StepOptions.of(**options),
        budget=budget,
        n=n,
        mode=mode,
        is_mode_given=is_mode_given,
        checkpoint=None,
    )


def test_a_fit_is_done_after_its_steps_or_when_it_says_so(model):
    assert call(model).wanted == 100
    assert call(model).seconds is None
    by_itself = call(model, budget=Budget(60.0, 1000))
    assert by_itself.wanted is None
    assert by_itself.seconds == 60


def test_few_steps_are_numpys_unless_the_user_says_otherwise(model):
    assert call(model).takes_few_steps
    assert not call(model, n=10_000).takes_few_steps
    assert not call(model, is_mode_given=True).takes_few_steps
    assert not call(model, budget=Budget(60.0, 1000)).takes_few_steps


def test_a_normal_family_needs_no_steps_if_it_ends_by_itself(model):
    budget = Budget(60.0, 1000)
    assert call(model, budget=budget).is_normal_fit
    assert not call(model).is_normal_fit
    assert not call(model, vb.NormalizingFlow, budget=budget).is_normal_fit
    assert not call(model, budget=budget, obj_n_mc=5).is_normal_fit


def test_stochastic_steps_on_whole_data_have_more_draws_by_default(model):
    assert call(model).schedule_options.obj_n_mc == DRAWS_BY_SCHEDULE
    assert call(model, obj_n_mc=3).schedule_options.obj_n_mc == 3
    with vb.Model() as batches:
        mu = vb.Normal("mu")
        batch = vb.Minibatch(np.zeros(100), batch_size=10)
        vb.Normal("y", mu, 1, observed=batch, total_size=100)
    assert call(batches).schedule_options.obj_n_mc == 1


def test_numpy_judges_steps_on_few_numbers_and_a_search_is_judged_by_what_it_ran_on(model):
    on_jax = {"mode": JaxDevices(), "is_mode_given": True}
    assert call(model, **on_jax).judging_mode is EVALUATE_MODE
    assert call(model, budget=Budget(60.0, 1000), **on_jax).judging_mode is on_jax["mode"]
    with vb.Model() as larger:
        mu = vb.Normal("mu")
        vb.Normal("y", mu, 1, observed=np.zeros(FEW_NUMBERS))
    assert call(larger, **on_jax).judging_mode is on_jax["mode"]
    two = JaxDevices((Device(0), Device(1)))
    assert call(model, mode=two, is_mode_given=True).judging_mode is two


@dataclass(frozen=True)
class Device:
    """A device of a process."""

    process_index: int
