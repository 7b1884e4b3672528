"""The table of PyMC's names is what the script makes."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("names_of_pymc", DOCS / "names_of_pymc.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_table_of_the_script(script):
    assert script.PAGE.read_text() == script.page()


def test_what_is_said_of_names_is_of_names_that_there_are(script):
    names = set(script.NAMES.read_text().split()[1:])
    of_particles = {n.replace("Empirical.", "Approximation.") for n in names}
    assert set(script.OTHERWISE) <= names | of_particles
    assert set(script.DIFFERENT) <= names
    here = [n for n in script.OTHERWISE if script.is_here(n)]
    assert not here


def test_a_name_of_which_nothing_is_said_is_told(script, tmp_path, monkeypatch):
    listed = tmp_path / "names.txt"
    listed.write_text("6.0\nNormal\nNonsense\nModel.nonsense\n")
    monkeypatch.setattr(script, "NAMES", listed)
    with pytest.raises(ValueError, match=r"nothing is said of Nonsense, Model\.nonsense"):
        script.table()


def test_the_list_is_that_of_the_installed_version(script):
    pymc = pytest.importorskip("pymc")
    version, *names = script.NAMES.read_text().split()
    if pymc.__version__ != version:
        pytest.skip(f"the list is that of PyMC {version}")
    assert names == script.names_in_pymc()
