import pytest

import vibayes as vb
from vibayes.callbacks import Callback, CheckParametersConvergence


@pytest.mark.parametrize("every", [0, -5, 2.5, "often"])
def test_bad_period(every):
    with vb.Model() as model:
        vb.Normal("x")
    with pytest.raises(ValueError, match="every must be a whole number of at least 1"):
        CheckParametersConvergence(every=every)
    check = CheckParametersConvergence()
    check.every = every
    with pytest.raises(ValueError, match="every"):
        vb.ADVI(model=model).fit(10, callbacks=[check], backend="py", progressbar=False)


def test_not_callable():
    with vb.Model() as model:
        vb.Normal("x")
    with pytest.raises(TypeError, match="callable"):
        vb.ADVI(model=model).fit(10, callbacks=["look"], backend="py", progressbar=False)


def test_subclass_in_a_fit():
    class Stop(Callback):
        every = 4

        def __call__(self, approx, losses, i):
            if i >= 8:
                raise StopIteration

    with vb.Model() as model:
        vb.Normal("x")
    approx = vb.ADVI(model=model).fit(100, callbacks=[Stop()], backend="py", progressbar=False)
    assert len(approx.hist) == 8
    assert approx.ending.reason == "a callback ended it after 8 iterations"


class Forgetful(Callback):
    def state(self):
        raise RuntimeError("nothing comes to mind")

    def __call__(self, approx, losses, i):
        pass


def test_a_callback_that_cannot_say_what_it_remembers_costs_nobody_the_fit(tmp_path):
    with vb.Model() as model:
        vb.Normal("x")
    options = dict(backend="py", progressbar=False, model=model, diagnose=False)
    with pytest.warns(vb.StorageWarning, match=r"Forgetful\.state\(\) raised RuntimeError"):
        approx = vb.fit(20, callbacks=[Forgetful()], **options)
    assert len(approx.hist) == 20
    approx.save(tmp_path / "fit.nc")
    with pytest.warns(vb.StorageWarning, match="Forgetful"):
        kept = vb.fit(20, callbacks=[Forgetful()], checkpoint=tmp_path / "kept.nc", **options)
    assert len(kept.hist) == 20
    assert len(vb.load(tmp_path / "kept.nc", model=model).hist) == 20
