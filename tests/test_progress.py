import logging
import sys

import numpy as np
import pytest

import vibayes as vb
from vibayes import progress


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


def test_view_shows_and_is_throttled(model, monkeypatch):
    monkeypatch.setattr(progress, "someone_watches", lambda: True)
    shown = []

    class View:
        def __init__(self, n):
            assert n == 300

        def show(self, done, losses):
            shown.append((done, len(losses)))

        def close(self, done, losses):
            shown.append("closed")

    monkeypatch.setattr(progress, "make_view", View)
    vb.ADVI(model=model).fit(300, backend="py", callbacks=[lambda *a: None])
    assert shown[0] == (0, 0)
    assert shown[-2:] == [(300, 300), "closed"]
    assert len(shown) < 50


def test_notebook(model, monkeypatch):
    """What a notebook gets, without one: the handle records it."""
    display = pytest.importorskip("IPython.display")
    shown = []

    class Handle:
        def update(self, html):
            shown.append(html.data)

    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(display, "display", lambda html, display_id: Handle())
    approx = vb.ADVI(model=model).fit(200, backend="py", callbacks=[lambda *a: None])
    assert "0 of 200 iterations" in shown[0]
    assert "200 of 200 iterations" in shown[-1]
    assert f"Average Loss = {approx.hist.mean():,.5g}" in shown[-1]
    assert "<polyline" in shown[-2]
    assert "<polyline" not in shown[-1]  # the approximation shows it


def test_terminal_bar_of_a_fit_that_ends_early(model, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)

    def stop(approx, losses, i):
        raise StopIteration

    vb.ADVI(model=model).fit(50, backend="py", callbacks=[stop])
    out = capsys.readouterr().out
    assert "2.00%" in out
    assert out.endswith("\n")


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


def test_a_fit_of_no_iterations_has_no_average_loss(model, caplog):
    approx = vb.ADVI(model=model)
    said = lines(caplog, lambda: approx.fit(0, backend="py", progressbar=False))
    assert said == ["Finished [0%]"]
