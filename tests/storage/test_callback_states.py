"""What callbacks remember comes back as it was, or is refused before anything is compiled."""

import numpy as np
import pytest

import vibayes as vb
from vibayes.records.fit_state import FitState
from vibayes.storage import checkpoint


class Remembering(vb.callbacks.Callback):
    every = 10

    def __init__(self, values):
        self.values, self.restored = values, None

    def __call__(self, approx, losses, i):
        pass

    def state(self):
        return self.values

    def restore(self, state):
        self.restored = dict(state)


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10)
        vb.Normal("y", mu, 1, observed=np.arange(5.0))
    return model


def fit(model, n=20, **kwargs):
    options = dict(random_seed=1, backend="py", progressbar=False, diagnose=False)
    return vb.fit(n, model=model, **options | kwargs)


KEPT = {
    "text": "text",
    "texts": ["a", "bc"],
    "long and short texts": ["a" * 21, "b", "", "é"],
    "array of texts": np.array([["a"], ["bcd"]]),
    "none": None,
    "none in a list": [None, 1, "a"],
    "mixed": [1, "a"],
    "dict": {"a": {"b": [1, 2.5, None]}},
    "number": 3,
    "large": 10**18,
    "huge": 10**30,
    "nan": float("nan"),
    "bool": True,
    "bools": [True, False],
    "ragged": [[1], [2, 3]],
    "numbers": [[1, 2], [3, 4]],
    "big endian": np.arange(3.0).astype(">f8"),
    "half": np.arange(3, dtype="f2"),
    "uint64": np.zeros(3, "u8") + 2**63,
    "empty": np.zeros((0, 3)),
    "no texts": np.array([], "U3"),
    "scalar": np.float32(0.1),
}


def test_what_can_be_kept_comes_back(model, tmp_path):
    first = Remembering(KEPT | {"a/b": 1, ".": 2, "": 3})
    fit(model, checkpoint=tmp_path / "fit.nc", callbacks=[first])
    second = Remembering(first.values)
    fit(model, 30, checkpoint=tmp_path / "fit.nc", callbacks=[second])
    assert second.restored.keys() == first.values.keys()
    for name, value in first.values.items():
        np.testing.assert_equal(second.restored[name], value, err_msg=name)
    assert second.restored["big endian"].dtype == np.float64
    assert second.restored["half"].dtype == np.float16
    assert second.restored["scalar"].dtype == np.float32


REFUSED = {
    "longdouble": np.longdouble(1.5),
    "datetime": np.datetime64("2020-01-01"),
    "dates": np.array(["2020"], "M8[D]"),
    "bytes": b"x",
    "list of bytes": [b"xy"],
    "complex": 1 + 2j,
    "array of complex": np.zeros(2, "c16"),
    "objects": np.array([None, 1]),
    "record": np.zeros(2, [("a", "f8")]),
    "keys": {1: 2},
    "object": object(),
    "function": print,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_kept_is_refused_before_anything_is_compiled(
    model, tmp_path, kind, monkeypatch
):
    if kind == "longdouble" and np.longdouble is np.float64:
        pytest.skip("they are the same here")
    monkeypatch.setattr("vibayes.inference.inference.fit_steps", None)
    message = "callback .*Remembering: 'entry' of its state cannot be kept in a file"
    with pytest.raises(vb.StorageError, match=message):
        fit(
            model,
            checkpoint=tmp_path / "fit.nc",
            callbacks=[Remembering({"entry": REFUSED[kind]})],
        )


def test_a_state_that_becomes_one_that_cannot_be_kept_costs_no_fit(model, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "LARGEST_SHARE", np.inf)

    class Late(Remembering):
        def __call__(self, approx, losses, i):
            self.values = {"entry": object()}

    path = tmp_path / "fit.nc"
    with pytest.warns(vb.StorageWarning, match="Late: 'entry' of its state"):
        approx = fit(model, checkpoint=path, callbacks=[Late({})])
    assert len(approx.hist) == 20
    with pytest.warns(vb.StorageWarning, match="no fit that could go on: the callback .*Late"):
        approx.save(tmp_path / "a.nc")
    np.testing.assert_array_equal(vb.load(tmp_path / "a.nc", model=model).hist, approx.hist)


def test_a_state_that_is_no_dict_is_refused(model, tmp_path):
    with pytest.raises(vb.StorageError, match=r"Remembering: state\(\) must return a dict"):
        fit(model, checkpoint=tmp_path / "fit.nc", callbacks=[Remembering([1])])
    with pytest.raises(vb.StorageError, match=r"Remembering: the key 1 of its state is no text"):
        fit(model, checkpoint=tmp_path / "fit.nc", callbacks=[Remembering({1: 2})])


def test_what_a_callback_remembers_is_asked_for_after_it_was_told_that_a_fit_begins(
    model, tmp_path
):
    class Starting(Remembering):
        def start(self, approx):
            self.count = 1

        def state(self):
            return {"count": self.count}

    fit(model, checkpoint=tmp_path / "fit.nc", callbacks=[Starting({})])
    again = Starting({})
    fit(model, 30, checkpoint=tmp_path / "fit.nc", callbacks=[again])
    assert again.restored == {"count": 1}


def test_a_state_without_callbacks():
    record, arrays = FitState({"a": 1}).record()
    assert FitState.of(record, arrays) == FitState({"a": 1})
