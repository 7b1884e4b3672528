"""The Python code in the README and in the docs runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [
    ["README.md"],
    ["docs/models.md", "docs/fitting.md"],
    ["docs/minibatches.md"],
    ["docs/automatic.md"],
]


def python_blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("pages", PAGES, ids=lambda pages: pages[0])
def test_code_runs(pages):
    namespace = {}
    for page in pages:
        for block in python_blocks(page):
            exec(compile(block, page, "exec"), namespace)
    assert namespace["approx"].sample(5).posterior.sizes["draw"] == 5


def test_every_public_name_has_a_docstring():
    import vibayes as vb

    for name in vb.__all__:
        value = getattr(vb, name)
        assert name == "__version__" or (value.__doc__ or "").strip(), name


def test_links_lead_somewhere():
    for page in ["README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / page).read_text()):
            assert (ROOT / page).parent.joinpath(target).exists(), (page, target)
