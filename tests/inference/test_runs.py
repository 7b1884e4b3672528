"""Compiled steps serve another inference only if it would have made the same ones."""

from dataclasses import dataclass

import numpy as np
import pytest

import vibayes as vb
from vibayes.families.mean_field import MeanFieldGroup
from vibayes.inference.runs import Run
from vibayes.objectives.kernels import RBF
from vibayes.updates import Optimizer, sgd

STEPS = {"backend": "py", "progressbar": False, "obj_optimizer": vb.sgd(learning_rate=0.1)}


def make_model():
    with vb.Model() as model:
        vb.Normal("x", 3.0)
    return model


class Weighted(vb.KL):
    """An operator with an attribute that its class does not declare."""

    def __init__(self, approx, width=1.0):
        super().__init__(approx)
        self.width = width

    def loss(self, draws):
        return self.width * super().loss(draws)


class DeclaredWeight(Weighted):
    setting_names = (*vb.KL.setting_names, "width")


class Stretched(Optimizer):
    """An optimizer with an attribute that its class does not declare."""

    def __init__(self, width):
        super().__init__(sgd.function, {"learning_rate": 0.1})
        self.__dict__["width"] = width

    def __call__(self, grads, params):
        return super().__call__([self.width * g for g in grads], params)


@dataclass(frozen=True, eq=False)
class Narrowed(RBF):
    """A kernel with an attribute beside its fields."""

    def narrow(self, width):
        self.__dict__["width"] = width
        return self

    def scale(self, distances, n):
        return super().scale(distances, n) * self.width


def with_operator(operator):
    return lambda width, model: (vb.Inference(operator(approx_of(model), width)), STEPS)


def with_optimizer(width, model):
    return vb.Inference(vb.KL(approx_of(model))), STEPS | {"obj_optimizer": Stretched(width)}


def with_lambda(width, model):
    def descend(grads, params):
        return sgd([width * g for g in grads], params, learning_rate=0.1)

    return vb.Inference(vb.KL(approx_of(model))), STEPS | {"obj_optimizer": descend}


def with_kernel(width, model):
    kernel = Narrowed(h=1.0).narrow(width)
    return vb.SVGD(5, model=model, kernel=kernel, random_seed=1), STEPS


def approx_of(model):
    return vb.MeanField(model=model, random_seed=1)


MAKERS = {
    "operator": with_operator(Weighted),
    "operator that declares it": with_operator(DeclaredWeight),
    "optimizer": with_optimizer,
    "callable": with_lambda,
    "kernel": with_kernel,
}


def fitted(make, width, model):
    inference, options = make(width, model)
    approx = inference.fit(3, **options)
    return inference, [p.get_value() for p in approx.params]


@pytest.mark.parametrize("what", MAKERS)
def test_an_attribute_of_its_own_tells_steps_apart(what):
    model = make_model()
    first, narrow = fitted(MAKERS[what], 0.25, model)
    second, wide = fitted(MAKERS[what], 2.0, model)
    assert second.last_run.loop.steps is not first.last_run.loop.steps
    _, alone = fitted(MAKERS[what], 2.0, make_model())
    for got, expected, other in zip(wide, alone, narrow, strict=True):
        np.testing.assert_array_equal(got, expected)
        assert not np.allclose(got, other)


@pytest.mark.parametrize("what", ["operator that declares it", "kernel"])
def test_equal_settings_share_steps(what):
    model = make_model()
    first, one = fitted(MAKERS[what], 0.5, model)
    second, other = fitted(MAKERS[what], 0.5, model)
    assert second.last_run.loop.steps is first.last_run.loop.steps
    np.testing.assert_array_equal(one[0], other[0])


class WidenedGroup(MeanFieldGroup):
    """A family with an attribute that its class does not declare."""

    def __init__(self, *args, width=1.0, **kwargs):
        self.width = width
        super().__init__(*args, **kwargs)

    @property
    def std(self):
        return self.width * super().std


def test_families_without_a_key_share_no_steps():
    model, loops = make_model(), []
    for width in (1.0, 3.0):
        group = WidenedGroup(model=model, width=width)
        inference = vb.KLqp(vb.Approximation([group], model=model, random_seed=1))
        inference.fit(2, **STEPS)
        loops.append(inference.last_run.loop)
    assert loops[0].steps is not loops[1].steps
    assert not np.array_equal(loops[0].losses, loops[1].losses)


def test_each_fit_leaves_a_run_of_its_own():
    inference = vb.ADVI(model=make_model(), random_seed=1)
    assert inference.last_run.loop is None
    assert inference.compile_seconds == inference.run_seconds == inference.wait_seconds == 0.0
    runs = []
    for n in (2, 3):
        inference.fit(n, callbacks=[print if n > 5 else lambda *_: None], **STEPS)
        runs.append(inference.last_run)
    assert isinstance(runs[0], Run)
    assert runs[0] is not runs[1]
    assert [run.loop.iteration for run in runs] == [2, 3]
    assert runs[0].callbacks != runs[1].callbacks
    inference.refine(4, progressbar=False)
    assert inference.last_run.loop is runs[1].loop
    assert runs[1].loop.iteration == 7
