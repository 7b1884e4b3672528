import logging
import sys

import numpy as np
import pytest

import vibayes as vb
from vibayes.inference import progress


@pytest.fixture(scope="module")
def model():
    with vb.Model() as model:
        vb.Normal("x")
    return model


def lines(caplog, run):
    logger = logging.getLogger("vibayes")
    logger.setLevel(logging.INFO)
    logger.addHandler(caplog.handler)
    try:
        run()
    finally:
        logger.removeHandler(caplog.handler)
    return [record.getMessage() for record in caplog.records]


def test_finished_line(model, caplog):
    approx = vb.ADVI(model=model)
    said = lines(caplog, lambda: approx.fit(20, backend="py", progressbar=False))
    assert said == [f"Finished [100%]: Average Loss = {approx.hist.mean():,.5g}"]


def test_interrupted_lines(model, caplog):
    def stop(approx, losses, i):
        if i == 5:
            raise StopIteration("Convergence achieved at 5")

    advi = vb.ADVI(model=model)
    said = lines(caplog, lambda: advi.fit(20, backend="py", progressbar=False, callbacks=[stop]))
    assert said[0] == "Convergence achieved at 5"
    assert said[1].startswith("Interrupted at 5 [25%]: Average Loss = ")


def test_bar_shows_and_is_throttled(model, monkeypatch, capsys):
    monkeypatch.setattr(progress, "someone_watches", lambda: True)
    updates = []

    class Bar:
        comment = ""

        def update(self, done):
            updates.append((done, self.comment))

        def on_interrupt(self):
            updates.append("interrupted")

    monkeypatch.setattr(progress, "make_bar", lambda n: Bar())
    vb.ADVI(model=model).fit(300, backend="py", callbacks=[lambda *a: None])
    assert updates[0] == (0, "")
    assert updates[-1][0] == 300
    assert "Average Loss" in updates[-1][1]
    assert len(updates) < 50


def test_real_bar_in_a_terminal(model, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert progress.someone_watches()
    vb.ADVI(model=model).fit(50, backend="py")
    assert "100.00%" in capsys.readouterr().out


def test_nobody_watches_a_pipe(model, capsys):
    vb.ADVI(model=model).fit(20, backend="py")
    assert capsys.readouterr().out == ""


def test_average_loss():
    assert np.isnan(progress.average_loss(np.zeros(0)))
    assert progress.average_loss(np.r_[np.full(10, 1e9), np.ones(1000)]) == 1
