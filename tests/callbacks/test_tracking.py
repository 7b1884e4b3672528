import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytensor.tensor as pt
import pytest

import vibayes as vb
from vibayes.callbacks import TensorBoard, Tqdm, Tracker


class TestTracker:
    def test_records_by_signature(self):
        x = pt.as_tensor(2.0)
        tracker = Tracker(
            node=(x + 1).eval,
            none=lambda: "nothing",
            three=lambda approx, losses, i: (approx, losses, i),
            named=lambda approx, hist, i: i,
            star=lambda *args: len(args),
        )
        tracker("approx", [1.0], 5)
        assert tracker["node"] == [3.0]
        assert tracker["none"] == ["nothing"]
        assert tracker["three"] == [("approx", [1.0], 5)]
        assert tracker["named"] == [5]
        assert tracker["star"] == [3]
        assert tracker.hist["named"] == [5]
        tracker.clear()
        assert tracker["named"] == []

    def test_wrong_number_of_arguments(self):
        with pytest.raises(TypeError, match="two must take"):
            Tracker(two=lambda a, b: 0)

    def test_type_error_in_user_code_is_not_swallowed(self):
        def broken():
            raise TypeError("inside")

        with pytest.raises(TypeError, match="inside"):
            Tracker(broken=broken)(None, None, 1)

    def test_needs_something_to_record(self):
        with pytest.raises(ValueError, match="at least one"):
            Tracker()
        with pytest.raises(TypeError, match="callable"):
            Tracker(x=3)


# -- TensorBoard ----------------------------------------------------------------------------------


class Writer:
    def __init__(self, folder=None):
        self.folder, self.records, self.flushed = folder, [], 0

    def add_scalar(self, tag, value, iteration):
        assert type(value) is float
        self.records.append((tag, value, iteration))

    def flush(self):
        self.flushed = len(self.records)


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        vb.Normal("x", 1)
    return model


def fit(model, callback, n=20, **kwargs):
    options = {"random_seed": 1, "diagnose": False, "backend": "py", "progressbar": False}
    return vb.fit(n, model=model, callbacks=[callback], **options | kwargs)


def test_a_writer_is_given_mean_losses_and_statistics(model):
    writer = Writer()
    board = TensorBoard(writer, every=8, last=lambda approx, losses, i: losses[-1], three=lambda: 3)
    hist = fit(model, board).hist
    assert writer.records == [
        ("loss", hist[:8].mean(), 8),
        ("last", hist[7], 8),
        ("three", 3.0, 8),
        ("loss", hist[8:16].mean(), 16),
        ("last", hist[15], 16),
        ("three", 3.0, 16),
    ]
    assert writer.flushed == 6


def test_a_fit_without_losses_has_statistics(model):
    writer = Writer()
    fit(model, TensorBoard(writer, every=10, i=lambda approx, losses, i: i), score=False)
    assert writer.records == [("i", 10.0, 10), ("i", 20.0, 20)]


def test_a_fit_that_goes_on_from_a_checkpoint_goes_on_writing(model, tmp_path):
    writer = Writer()
    for n in (10, 20):
        fit(model, TensorBoard(writer, every=5), n, checkpoint=tmp_path / "fit.nc")
    assert [i for _, _, i in writer.records] == [5, 10, 15, 20]


@pytest.mark.parametrize("library", ["torch.utils.tensorboard", "tensorboardX"])
def test_a_folder_is_written_by_the_library_that_is_installed(monkeypatch, tmp_path, library):
    for name in ("torch.utils.tensorboard", "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)  # not installed
    with pytest.raises(ImportError, match="pip install tensorboardX"):
        TensorBoard(tmp_path)
    parts = library.split(".")
    for i in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:i]), ModuleType(library))
    sys.modules[library].SummaryWriter = Writer
    assert TensorBoard(tmp_path).writer.folder == str(tmp_path)


def test_what_cannot_be_written_is_refused(model):
    with pytest.raises(TypeError, match="writer must be a folder, or an object with"):
        TensorBoard(3)
    with pytest.raises(TypeError, match="writer must be"):
        TensorBoard(Writer)
    with pytest.raises(TypeError, match="TensorBoard: x must be callable"):
        TensorBoard(Writer(), x=3)
    with pytest.raises(TypeError, match="two must return one number"):
        fit(model, TensorBoard(Writer(), every=1, two=lambda: np.ones(2)))


class Bar:
    def __init__(self, total):
        self.total, self.n, self.shown, self.closed = total, 0, [], 0

    def set_postfix(self, values, refresh):
        self.shown.append(values)

    def update(self, n):
        self.n += n

    def close(self):
        self.closed += 1


def test_a_bar_of_tqdm_shows_losses_and_statistics(model):
    bars = []

    def make(total):
        bars.append(Bar(total))
        return bars[-1]

    losses = fit(model, Tqdm(20, every=10, bar=make, i=lambda approx, losses, i: i)).hist
    (bar,) = bars
    assert bar.total == bar.n == 20
    assert bar.closed == 1
    expected = [{"loss": losses[:10].mean(), "i": 10.0}, {"loss": losses[10:].mean(), "i": 20.0}]
    assert bar.shown == [pytest.approx(e) for e in expected]


def test_a_bar_needs_tqdm_unless_one_is_given(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match="Tqdm needs tqdm: pip install tqdm"):
        Tqdm()
    monkeypatch.setitem(sys.modules, "tqdm.auto", SimpleNamespace(tqdm=Bar))
    assert Tqdm(5).total == 5
    with pytest.raises(ValueError, match="Tqdm: total"):
        Tqdm(0)


def test_a_tracker_inside_a_callback_of_ones_own_looks_at_its_own_times():
    tracker = Tracker(every=3, i=lambda approx, losses, i: i)
    for i in range(1, 10):
        tracker(None, None, i)
    assert tracker["i"] == [3, 6, 9]
    tracker.record(None, None, 10)
    assert tracker["i"][-1] == 10
