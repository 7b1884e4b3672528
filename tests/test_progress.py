import logging
import re
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

import vibayes as vb
from vibayes import progress
from vibayes.inference.loop import passes_over_data
from vibayes.model.passes import LocalSums


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


class View:
    """Records what there is to show, each time that it is drawn."""

    def __init__(self):
        self.drawn, self.texts, self.closed = [], [], 0

    def draw(self, report):
        self.drawn.append((report.done, len(report.losses)))
        self.texts.append(report.text)

    def make_room(self, report):
        self.texts.append("room")

    def close(self, report):
        self.draw(report)
        self.closed += 1


@pytest.fixture
def view(monkeypatch):
    view = View()
    monkeypatch.setattr(progress, "someone_watches", lambda: True)
    monkeypatch.setattr(progress, "make_view", lambda: view)
    return view


def test_view_shows_and_is_throttled(model, view):
    vb.ADVI(model=model).fit(300, backend="py", callbacks=[lambda *a: None])
    assert view.drawn[0] == (0, 0)
    assert view.drawn[-1] == (300, 300)
    assert view.closed == 1
    assert len(view.drawn) < 50


def test_time_goes_on_while_a_piece_of_work_is_long(view, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_UPDATES", 0.01)
    with progress.shown(phase="waiting"):
        end = time.perf_counter() + 10
        while len(set(view.texts)) < 3 and time.perf_counter() < end:
            time.sleep(0.05)  # nobody says anything
    assert len({text for text in view.texts if text.startswith("waiting, 0.")}) >= 2


def test_phases_and_the_best_bound_of_an_automatic_fit(model, view, monkeypatch):
    said = []
    phase = property(lambda report: said[-1], lambda report, text: said.append(text))
    monkeypatch.setattr(progress.Report, "phase", phase, raising=False)
    approx = vb.fit(method="auto", model=model, random_seed=1, max_seconds=77)
    seen = [text for text in said if text]
    wanted = ["compiling the log density", "searching for modes", "normal at mode 1 of 1"]
    wanted += ["weighing draws", "independent normals", "judging the result"]
    assert [text for text in seen if text in wanted][: len(wanted)] == wanted
    end = view.texts[-1]
    assert "best ELBO -0.00" in end or "best ELBO 0.00" in end
    assert end.endswith(" s of 77 s")
    assert approx.diagnosis.good


def test_the_end_says_how_long_it_took_and_the_verdict(model, view, monkeypatch):
    ends = []
    monkeypatch.setattr(view, "close", lambda report: ends.append(report.summary))
    vb.fit(method="auto", model=model, random_seed=1)
    (end,) = ends
    assert re.fullmatch(r"Done in [\d.]+ s, best ELBO -?0.00, verdict: Good", end)


def test_what_is_part_of_something_else_is_shown_with_it_or_not_at_all(view):
    with progress.shown(False), progress.shown(phase="part"):
        pass
    assert not view.drawn
    with progress.shown(phase="whole") as whole:
        with progress.shown(phase="part", limit=3.0) as part:
            assert part is whole
            assert whole.phase == "part"
        assert whole.phase == "whole"
        assert whole.limit == 3.0


def test_what_fails_within_something_else_leaves_its_phase():
    with progress.shown(False, "whole") as report:
        with pytest.raises(KeyError), progress.shown(phase="part"):
            raise KeyError
        assert report.phase == "whole"


def test_passes_over_all_rows_are_told():
    with progress.shown(False, "weighing draws") as report:
        parts = iter([[np.ones((2, 1))], [np.ones((2, 1))]])
        rows = SimpleNamespace(passes=2, starts=lambda: [0, 2], partitions=lambda: parts)
        texts = []
        LocalSums(rows)(lambda *_: texts.append(report.text) or [np.zeros(1)], np.ones((1, 1)), [])
    assert "weighing draws, pass 3 over the data (0% of the rows)" in texts[0]
    assert "pass 3 over the data (50% of the rows)" in texts[-1]


def test_bounds_of_something_else_are_not_shown():
    with progress.shown(False) as report:
        progress.found(-5.0)
        with progress.aside("on 100 rows"):
            progress.say("searching")
            progress.found(-1.0)
            assert report.text.startswith("on 100 rows: searching, best ELBO -1.00")
        progress.found(-np.inf)
        progress.found(-7.0)
        assert report.text.startswith("searching, best ELBO -5.00")


def test_passes_over_the_data_are_counted(view):
    with vb.Model() as model:
        batch = vb.Minibatch(np.arange(100.0), batch_size=25, random_seed=1)
        mu = vb.Normal("mu")
        vb.Normal("y", mu, observed=batch, total_size=100)
        vb.ADVI().fit(20, backend="py")
    assert passes_over_data(model) == 0.25
    with progress.shown(False) as report:
        report.count(20, 0.25)
        report.done = 10
        assert report.counts == "2.5 passes over the data"


def test_what_is_short_is_not_shown_if_it_has_a_delay(view):
    with progress.shown(delay=60.0):
        pass
    assert not view.drawn
    assert not view.closed


def test_nothing_stays_of_what_failed(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(ZeroDivisionError), progress.shown(phase="dividing"):
        1 / 0  # noqa: B018
    out = capsys.readouterr().out
    assert out.startswith("\rdividing, 0.0 s")
    assert out.endswith(" \r")
    assert not progress.DISPLAYS


def test_log_lines_go_to_standard_output_and_a_line_that_is_drawn_makes_room(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress.logger, "level", logging.INFO)
    with progress.shown(phase="searching"):
        progress.logger.info("something happened")
    captured = capsys.readouterr()
    assert " \rsomething happened\n" in captured.out
    assert captured.err == ""


def test_progress_changes_no_numbers(model, view):
    shown = vb.fit(method="auto", model=model, random_seed=3)
    silent = vb.fit(method="auto", model=model, random_seed=3, progressbar=False)
    for a, b in zip(shown.params, silent.params, strict=True):
        np.testing.assert_array_equal(a.get_value(), b.get_value())


def test_nothing_is_shown_if_nothing_is_wanted(model, view):
    vb.fit(method="auto", model=model, progressbar=False)
    vb.fit(model=model, progressbar=False).diagnose(progressbar=False)
    vb.ADVI(model=model).fit(20, backend="py", progressbar=False)
    assert not view.drawn


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
    assert "looking at the model" in shown[0]
    assert "200 of 200 iterations" in shown[-1]
    assert f"Average Loss = {approx.hist.mean():,.5g}" in shown[-1]
    assert "<polyline" not in shown[-1]  # the approximation shows it
    with progress.shown(False) as report:
        report.count(300)
        report.done, report.losses = 200, approx.hist
        progress.NotebookView().draw(report)
    assert "200 of 300 iterations" in shown[-1]
    assert "<polyline" in shown[-1]


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
