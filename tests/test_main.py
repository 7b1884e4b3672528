import os
import subprocess
import sys
import warnings

import pytest

import vibayes
from vibayes import __main__ as main
from vibayes import datasets


@pytest.mark.parametrize(
    ("options", "verdict"),
    [([], "Good:"), (["--method", "advi", "--n", "2000"], "2,000 iterations were done")],
)
def test_fits_prints_and_plots(options, verdict, tmp_path, capsys):
    path = tmp_path / "plot.png"
    assert main.main(["--data", "kidiq", *options, "--plot", str(path)]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line for line in out.splitlines() if line}
    # least squares on the same predictors: 86.8, 5.95, 8.47 and a residual sd of 18.1
    assert float(lines["intercept"].split()[1]) == pytest.approx(86.8, abs=0.5)
    assert float(lines["slope[mom_hs]"].split()[1]) == pytest.approx(5.95, abs=1.0)
    assert float(lines["slope[mom_iq]"].split()[1]) == pytest.approx(8.47, abs=0.5)
    assert float(lines["sigma"].split()[1]) == pytest.approx(18.1, abs=0.5)
    assert verdict in out
    assert path.read_bytes().startswith(b"\x89PNG")


def test_help_says_what_can_be_chosen():
    shown = subprocess.run(
        [sys.executable, "-m", "vibayes", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for word in ("kidiq", "nes2000", "--method", "advi", "--seed", "--plot"):
        assert word in shown


@pytest.mark.parametrize(
    "argv",
    [
        ["--data", "iris"],
        ["--n", "5"],
        ["--n", "5000"],
        ["--seed", "-1"],
        ["--plot", "/nowhere/at/all.png"],
        ["--plot", "x.foo"],
        ["--plot", "x"],
        ["--plot", "."],
        ["--plot", f"{'x' * 300}.png"],
        ["--plot", "/proc/x.png"],
    ],
)
def test_bad_arguments_are_told_before_any_work(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(argv)
    assert stop.value.code == 2
    assert argv[0] in capsys.readouterr().err.rpartition("error:")[2]


def test_a_plot_that_cannot_be_written_is_told_before_any_work(tmp_path, monkeypatch, capsys):
    path = tmp_path / "plot.png"

    def refused(self, mode):
        raise PermissionError(13, "Permission denied")

    assert main.arguments(["--plot", str(path)]).plot == path
    assert not path.exists()  # it was only tried
    path.write_bytes(b"earlier")
    assert main.arguments(["--plot", str(path)]).plot == path
    assert path.read_bytes() == b"earlier"
    monkeypatch.setattr(type(path), "open", refused)
    with pytest.raises(SystemExit):
        main.main(["--plot", str(path)])
    assert "plot.png cannot be written (Permission denied)" in capsys.readouterr().err
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    assert "no regular file" in main.why_not_written(pipe)


def test_who_reads_may_have_seen_enough(tmp_path):
    command = f"{sys.executable} -m vibayes --method laplace --plot {tmp_path / 'plot.png'} | true"
    shown = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert shown.stderr == ""


def test_what_arviz_tells_of_its_future_is_left_out_but_no_other_news():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        main.leave_out_news_of_arviz()
        warnings.warn("\nArviZ is undergoing a major refactor", FutureWarning, stacklevel=1)
        warnings.warn("something of yours will change", FutureWarning, stacklevel=1)
    assert [str(w.message) for w in said] == ["something of yours will change"]


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"vibayes {vibayes.__version__}\n"


def test_data_sets():
    assert len(datasets.load("kidiq")["kid_score"]) == 434
    assert len(datasets.load("nes2000")["partyid7"]) == 476
    with pytest.raises(ValueError, match="kidiq"):
        datasets.load("iris")
