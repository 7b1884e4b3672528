"""The notebooks are committed as they were executed, and show no trace of where that was."""

import json
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
OF_A_MACHINE = re.compile(r"/(home|root|tmp|Users|usr|opt|work)/|[A-Z]:\\|\b0x[0-9a-f]{6,}")
LARGEST = 2**20
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="the notebooks are not part of this copy")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return json.loads(path.read_text())


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def shown_text(output):
    """Return all text that an output shows."""
    parts = [output.get("text", "")]
    parts += [v for kind, v in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join("".join(part) for part in parts)


def test_executed_in_order(notebook):
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))


def test_no_errors(notebook):
    for cell in code_cells(notebook):
        kinds = {output["output_type"] for output in cell["outputs"]}
        assert kinds <= {"stream", "display_data", "execute_result"}, "".join(cell["source"])


def test_outputs_say_nothing_of_the_machine(notebook):
    for cell in code_cells(notebook):
        for output in cell["outputs"]:
            text = shown_text(output)
            assert not OF_A_MACHINE.search(text), text
            assert "Deprecat" not in text
            assert "FutureWarning" not in text


def test_warnings_are_those_of_the_library(notebook):
    """What a library warns of is shown where the text speaks of it, and nothing else."""
    known = {"ApproximationWarning", "ConvergenceWarning", "UserWarning"}
    for cell in code_cells(notebook):
        for output in cell["outputs"]:
            found = set(re.findall(r"\b(\w+Warning): ", shown_text(output)))
            assert found <= known


def test_plots_are_shown(notebook):
    kinds = [kind for c in code_cells(notebook) for o in c["outputs"] for kind in o.get("data", {})]
    assert "image/png" in kinds


def test_metadata_are_minimal(notebook):
    assert notebook["metadata"] == METADATA
    assert all(cell["metadata"] == {} for cell in notebook["cells"])
    outputs = [output for cell in code_cells(notebook) for output in cell["outputs"]]
    assert not any(output.get("metadata") for output in outputs)


def test_size(path):
    assert path.stat().st_size < LARGEST


def test_begins_with_a_title(notebook):
    first = notebook["cells"][0]
    assert first["cell_type"] == "markdown"
    assert "".join(first["source"]).startswith("# ")


def test_links_lead_somewhere(path, notebook):
    words = [cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    text = "\n".join("".join(source) for source in words)
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (path.parent / target).exists(), target
