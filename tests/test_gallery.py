"""The examples of the gallery are whole, and come out as they are printed."""

import importlib.util
import re
from pathlib import Path

import pytest

import vibayes as vb

FOLDER = Path(__file__).parents[1] / "docs" / "gallery"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the docs are not part of this copy")


def script():
    spec = importlib.util.spec_from_file_location("gallery_run", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NAMES = script().pages() if FOLDER.is_dir() else []


def printed(name):
    """Return the verdict of an example, and the mean and sd of each scalar of the fit."""
    verdict, _, *lines = (FOLDER / "results" / f"{name}.txt").read_text("utf-8").splitlines()
    rows = [re.findall(r"^(\S+) +(-?[\d.]+) +(-?[\d.]+) +(-?[\d.]+)", line) for line in lines]
    return verdict, {row[0][0]: tuple(map(float, row[0][1:3])) for row in rows if row}


def test_there_are_at_least_twelve():
    assert len(NAMES) >= 12
    assert {path.stem for path in FOLDER.glob("*.md")} == {*NAMES, "index"}


@pytest.mark.parametrize("name", NAMES)
def test_an_example_has_code_a_verdict_a_comparison_and_a_picture(name):
    gallery = script()
    compile(gallery.code_of(name), name, "exec")
    verdict, rows = printed(name)
    assert verdict.endswith(".")
    assert list(rows) == gallery.shown_in(name)
    assert (FOLDER / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_an_example_comes_out_as_printed(name):
    gallery = script()
    made = gallery.executed(name)
    verdict, rows = printed(name)
    approx = made["approx"]
    assert (approx.diagnosis or approx.diagnose()).verdict == verdict
    found = gallery.scalars(approx.sample(4000, random_seed=1), list(rows))
    for scalar, (mean, sd) in rows.items():
        assert found[scalar].mean() == pytest.approx(mean, abs=0.1 * sd + 1e-3)
        assert found[scalar].std() == pytest.approx(sd, rel=0.1, abs=1e-3)
    assert isinstance(approx, vb.Approximation)
