"""The Python code in the README and in the docs runs as it stands; pages name what exists."""

import importlib
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytensor
import pytest

import vibayes as vb
from vibayes.inference.base import METHODS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [  # one namespace an entry
    ["README.md"],
    ["docs/index.md"],
    ["docs/first_fit.md"],
    ["docs/choosing.md"],
    ["docs/coming_from_pymc.md"],
    ["docs/extending.md"],
    ["docs/models.md", "docs/fitting.md"],
    ["docs/minibatches.md"],
    ["docs/large_data.md"],
    ["docs/automatic.md", "docs/plots.md"],
    ["docs/predictive.md"],
    ["docs/devices.md"],
    ["docs/gaussian_processes.md"],
]
# those that take long are for a lane of their own
LONG = {
    "docs/automatic.md",
    "docs/choosing.md",
    "docs/predictive.md",
    "docs/extending.md",
    "docs/models.md",
    "docs/minibatches.md",
    "docs/large_data.md",
    "docs/devices.md",
    "docs/gaussian_processes.md",
}
AS_USERS_EVALUATE = "README.md", "docs/first_fit.md"
TESTED_ELSEWHERE = {"saving", "nuts", "pymc"}

# the names that PyMC's and PyMC3's documents on variational inference use
PYMC_NAMES = {
    "ADVI",
    "ASVGD",
    "Beta",
    "Binomial",
    "Categorical",
    "Deterministic",
    "Empirical",
    "Exponential",
    "Flat",
    "FullRank",
    "FullRankADVI",
    "Gamma",
    "Group",
    "HalfNormal",
    "ImplicitGradient",
    "Inference",
    "KLqp",
    "MeanField",
    "Minibatch",
    "Mixture",
    "Model",
    "MvNormal",
    "NFVI",
    "Normal",
    "Normal.dist",
    "NormalMixture",
    "NormalizingFlow",
    "Approximation",
    "SVGD",
    "SkewNormal",
    "Stein",
    "adadelta",
    "adagrad",
    "adagrad_window",
    "adam",
    "adamax",
    "apply_momentum",
    "apply_nesterov_momentum",
    "at_rng",
    "callbacks.CheckParametersConvergence",
    "callbacks.Tracker",
    "fit",
    "floatX",
    "math.sin",
    "momentum",
    "nesterov_momentum",
    "norm_constraint",
    "plot_posterior",
    "rmsprop",
    "sample",
    "sample_approx",
    "sgd",
    "total_norm_constraint",
    "tt_rng",
}


def python_blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.filterwarnings("ignore::vibayes.ApproximationWarning")
@pytest.mark.filterwarnings("ignore::vibayes.ConvergenceWarning")
@pytest.mark.parametrize(
    "pages",
    [pytest.param(p, marks=pytest.mark.ci) if p[0] in LONG else p for p in PAGES],
    ids=lambda pages: pages[0],
)
def test_code_runs(pages, capsys):
    if "docs/first_fit.md" in pages:
        pytest.importorskip("pandas")
    if "docs/devices.md" in pages:
        pytest.importorskip("jax")
    namespace = {}
    # to compile each of the small expressions that pages evaluate would take minutes
    mode = {} if pages[0] in AS_USERS_EVALUATE else {"mode": "FAST_COMPILE"}
    with pytensor.config.change_flags(**mode):
        for page in pages:
            for block in python_blocks(page):
                exec(compile(block, page, "exec"), namespace)
    assert namespace["approx"].sample(5).posterior.sizes["draw"] == 5
    if pages[0] in AS_USERS_EVALUATE and pytensor.config.floatX == "float64":
        printed = capsys.readouterr().out.splitlines()
        assert [line for line in shown_of_a_verdict(pages[0]) if line not in printed] == []


def shown_of_a_verdict(page):
    """Return what a page shows of a verdict that is the same on all machines."""
    lines = re.findall(
        r"^(?:Good: .*|  approximation .*|  ELBO .*)$", (ROOT / page).read_text(), re.M
    )
    assert len(lines) == 3, lines
    return lines


def test_each_page_with_code_is_tested():
    tested = {Path(page).stem for pages in PAGES for page in pages} | TESTED_ELSEWHERE
    with_code = {path.stem for path in DOCS.glob("*.md") if python_blocks(path)}
    assert with_code <= tested


def test_every_public_name_has_a_docstring():
    for name in vb.__all__:
        value = getattr(vb, name)
        assert name == "__version__" or (value.__doc__ or "").strip(), name


def names_on_api_pages():
    """Return what the tables of the API pages list, as ``module.name``."""
    found = set()
    for path in (DOCS / "api").glob("*.rst"):
        text = path.read_text()
        module = re.search(r"currentmodule:: (\S+)", text)
        tables = re.findall(r"\.\. autosummary::\n((?:   .*\n|\n)+)", text)
        for line in "".join(tables).split("\n"):
            if line.strip() and not line.strip().startswith(":"):
                found.add(f"{module[1]}.{line.strip()}")
    return found


def test_every_public_name_is_on_an_api_page():
    found = names_on_api_pages()
    modules = {"callbacks", "datasets", "distributions", "gp", "math", "updates"}
    for name in set(vb.__all__) - modules - {"__version__", "variational"}:
        places = {f"vibayes.{m}{name}" for m in ("", "distributions.", "exceptions.", "updates.")}
        assert places & found, f"{name} is on no page in docs/api"
    for module in modules:
        listed = importlib.import_module(f"vibayes.{module}")
        text = (DOCS / "api" / f"{module}.rst").read_text()
        for name in listed.__all__:
            assert re.search(rf"\b{name}\b", text), (
                f"{module}.{name} is not on docs/api/{module}.rst"
            )


def test_names_on_api_pages_exist():
    for name in names_on_api_pages():
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def rows_for_pymc():
    text = (DOCS / "coming_from_pymc.md").read_text()
    return [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `")]


def test_the_page_for_pymc_has_every_name():
    there = " ".join(row[0] for row in rows_for_pymc())
    for name in PYMC_NAMES:
        assert f"`pm.{name}`" in there, name


def test_names_for_pymc_exist():
    """Attributes of classes are looked up on these, modules are imported."""
    for _, cell in rows_for_pymc():
        for name in re.findall(r"`((?:vb|vibayes|pytensor)\b[\w.]*)`", cell):
            root, *path = name.split(".")
            value = vb if root == "vb" else importlib.import_module(root)
            where = value.__name__
            for part in path:
                where = f"{where}.{part}"
                value = (
                    getattr(value, part) if hasattr(value, part) else importlib.import_module(where)
                )


def test_a_minibatch_has_the_attributes_of_pymc3():
    batch = vb.Minibatch(np.zeros((10, 2)), batch_size=5)
    assert batch.shared.get_value().shape == (10, 2)
    assert batch.minibatch.eval().shape == (5, 2)


@pytest.mark.parametrize("page", ["choosing", "fitting"])
def test_the_tables_of_methods_have_them_all(page):
    rows = [line for line in (DOCS / f"{page}.md").read_text().splitlines() if line[:3] == "| `"]
    own = [name for name, kind in METHODS.items() if kind.__module__.startswith("vibayes.")]
    assert "klqp" in own
    for name in own:
        assert any(f'"{name}' in row.split("|")[1] for row in rows), name


def test_links_lead_somewhere():
    for page in ["README.md", *(f"docs/{p.name}" for p in DOCS.glob("*.md"))]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / page).read_text()):
            assert (ROOT / page).parent.joinpath(target).exists(), (page, target)


def test_badges_tell_what_pyproject_says():
    spec = importlib.util.spec_from_file_location("badges", DOCS / "figures" / "badges.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, picture in module.badges().items():
        assert (DOCS / "figures" / f"badge_{name}.svg").read_text("utf-8") == picture


def test_every_parameter_is_documented_where_it_is_used():
    sources = [*ROOT.glob("vibayes/**/*.py"), *DOCS.glob("**/*.md"), *DOCS.glob("**/*.rst")]
    assert not [path for path in sources if "As for" in path.read_text("utf-8")]


def test_the_page_of_bad_verdicts_has_their_words():
    """What its table looks for is what the library says."""
    table = re.findall(r"^\| (`.*?`) \|", (DOCS / "not_good.md").read_text("utf-8"), re.M)
    sources = [*ROOT.glob("vibayes/**/*.py")]
    said = re.sub(
        r'["\']\s*\n\s*f?["\']', "", "\n".join(path.read_text("utf-8") for path in sources)
    )
    words = [
        part.strip()
        for cell in table
        for text in re.findall("`(.*?)`", cell)
        for part in re.split("[…:]", text)
    ]
    assert len(words) > 12
    assert [word for word in words if word not in said] == []
