"""What may be used where: rules that are read off the code."""

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import vibayes

ROOT = Path(vibayes.__file__).parent

# -- PyTensor -------------------------------------------------------------------------------------

# the folders that may use more of PyTensor than it documents
BACKEND = ("backend", "ops")
# modules of which everything is documented, but for modules in them
OPEN = (
    "pytensor.tensor",
    "pytensor.tensor.linalg",
    "pytensor.tensor.random",
    "pytensor.tensor.special",
)
DOCUMENTED = {
    "pytensor.In",
    "pytensor.__version__",
    "pytensor.compile.sharedvalue.SharedVariable",
    "pytensor.config",
    "pytensor.function",
    "pytensor.grad",
    "pytensor.gradient.disconnected_grad",
    "pytensor.graph.basic.Apply",
    "pytensor.graph.basic.Constant",
    "pytensor.graph.basic.Variable",
    "pytensor.graph.replace.clone_replace",
    "pytensor.graph.replace.graph_replace",
    "pytensor.graph.replace.vectorize_graph",
    "pytensor.graph.traversal.ancestors",
    "pytensor.graph.traversal.toposort",
    "pytensor.graph.traversal.truncated_graph_inputs",
    "pytensor.graph.traversal.walk",
    "pytensor.scan",
    "pytensor.shared",
    "pytensor.tensor.random.type.RandomType",
    "pytensor.tensor.random.utils.RandomStream",
    "pytensor.tensor.variable.TensorConstant",
    "pytensor.tensor.variable.TensorVariable",
}
PRIVATE_BUT_PUBLIC = {"_asdict", "_fields", "_replace"}  # of named tuples


def files(root: Path = ROOT) -> Iterator[tuple[str, ast.Module]]:
    """Return the path of each file of the package, from its root on, and its syntax tree."""
    for path in sorted(root.rglob("*.py")):
        yield path.relative_to(root).as_posix(), ast.parse(path.read_text("utf-8"))


@cache
def package() -> dict[str, ast.Module]:
    """Return the files of the package by their path."""
    return dict(files())


def is_documented(name: str) -> bool:
    """Tell whether PyTensor documents a name."""
    if name in DOCUMENTED or name in ("pytensor", *OPEN):
        return True
    module, _, last = name.rpartition(".")
    if module not in OPEN or last.startswith("_"):
        return False
    return not inspect.ismodule(getattr(import_module(module), last))


def names_of_pytensor(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Return the names of PyTensor that a file uses, in full, each with its line."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "pytensor":
                    known[alias.asname or "pytensor"] = alias.name if alias.asname else "pytensor"
                    yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "pytensor":
            for alias in node.names:
                known[alias.asname or alias.name] = name = f"{node.module}.{alias.name}"
                yield node.lineno, name

    def in_full(node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return known.get(node.id)
        if isinstance(node, ast.Attribute) and (owner := in_full(node.value)):
            return f"{owner}.{node.attr}"
        return None

    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and in_full(node.value) in ("pytensor", *OPEN):
            yield node.lineno, in_full(node)


def private_attributes(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Return the private attributes that a file reads, each with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            if node.attr.startswith("_") and not node.attr.startswith("__"):
                yield node.lineno, node.attr


def own_names(tree: ast.Module) -> Iterator[str]:
    """Return the names that a file gives to anything."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def undocumented(trees: dict[str, ast.Module]) -> list[str]:
    """Return where files use more of PyTensor than it documents."""
    own = {name for tree in trees.values() for name in own_names(tree)} | PRIVATE_BUT_PUBLIC
    found = []
    for path, tree in trees.items():
        if path.split("/")[0] in BACKEND:
            continue
        names = [(at, name) for at, name in names_of_pytensor(tree) if not is_documented(name)]
        names += [(at, name) for at, name in private_attributes(tree) if name not in own]
        found += [f"{path}:{at}: {name}" for at, name in sorted(set(names))]
    return found


def test_what_pytensor_does_not_document_is_used_in_the_backend_alone():
    assert undocumented(package()) == []


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("from pytensor.link.vm import VMLinker", "pytensor.link.vm.VMLinker"),
        ("from pytensor.tensor import _private", "pytensor.tensor._private"),
        ("from pytensor import scalar", "pytensor.scalar"),
        ("import pytensor.scalar as ps", "pytensor.scalar"),
        ("import pytensor; pytensor.compile.mode.Mode", "pytensor.compile"),
        ("import pytensor.tensor as pt; pt.blas.gemm", "pytensor.tensor.blas"),
        ("def f():\n    from pytensor.scan.op import Scan", "pytensor.scan.op.Scan"),
        ("if TYPE_CHECKING:\n    from pytensor.graph.op import Op", "pytensor.graph.op.Op"),
        ("def f(op):\n    return op._print_name", "_print_name"),
    ],
)
def test_the_use_of_what_is_not_documented_is_found(line, name):
    at = line.count("\n") + 1
    assert undocumented({"model/x.py": ast.parse(line)}) == [f"model/x.py:{at}: {name}"]
    assert undocumented({"ops/x.py": ast.parse(line)}) == []


def test_the_use_of_what_is_documented_is_allowed():
    lines = [
        "import pytensor, pytensor.tensor as pt",
        "from pytensor.graph.basic import Variable",
        "x = pt.random.normal(pt.linalg.inv(pytensor.shared(1)))._asdict()",
        "self._own = 1; self._own",
    ]
    assert undocumented({"model/x.py": ast.parse("\n".join(lines))}) == []


# -- directions -----------------------------------------------------------------------------------

LAYERS = """
version exceptions arguments flags elsewhere
numeric registry settings html installing progress interrupts context
backend
ops
datasets
distributions
math
flows
streaming
model
gp
eigenvalues importance
records
families
posterior
predictive
search
verdict
storage
learning_rates updates callbacks objectives
approximations
inference
loading formulas nuts plots pymc_models variational
__init__ __main__
"""
LAYER = {name: i for i, line in enumerate(LAYERS.split("\n")) for name in line.split()}


def module_of(path: str) -> str:
    """Return the dotted name of a file below the package, such as ``model.core``."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def own_imports(tree: ast.Module, modules: set[str]) -> Iterator[tuple[int, str]]:
    """Return the modules of the package that a file imports, anywhere in it, each with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [b if b.removeprefix("vibayes.") in modules else node.module for b in below]
        else:
            continue
        for name in names:
            if (name or "").split(".")[0] == "vibayes":
                yield node.lineno, name.removeprefix("vibayes").lstrip(".") or "__init__"


def import_graph(trees: dict[str, ast.Module]) -> dict[str, list[tuple[int, str]]]:
    """Return what each module imports of the package."""
    modules = {module_of(path) for path in trees}
    return {module_of(path): list(own_imports(tree, modules)) for path, tree in trees.items()}


@cache
def imports_of_the_package() -> dict[str, list[tuple[int, str]]]:
    return import_graph(package())


def against_the_order(graph: dict[str, list[tuple[int, str]]]) -> list[str]:
    """Return the imports of what lies above the module that imports it."""
    return [
        f"{module}, line {at}, imports {other}"
        for module, imports in graph.items()
        for at, other in imports
        if LAYER[other.split(".")[0]] > LAYER[module.split(".")[0]]
    ]


def circle(graph: dict[str, list[tuple[int, str]]], depth: int) -> list[str]:
    """Return modules that import each other in a circle, their names cut to some parts."""
    cut: dict[str, set[str]] = {}
    for module, imports in graph.items():
        own = ".".join(module.split(".")[:depth])
        others = {".".join(other.split(".")[:depth]) for _, other in imports}
        cut.setdefault(own, set()).update(others - {own})
    try:
        list(TopologicalSorter(cut).static_order())
    except CycleError as error:
        return list(error.args[1])
    return []


def test_a_module_imports_only_from_the_lines_above_its_own():
    assert against_the_order(imports_of_the_package()) == []


@pytest.mark.parametrize("depth", [1, 9], ids=["folders", "files"])
def test_nothing_imports_in_a_circle(depth):
    assert circle(imports_of_the_package(), depth) == []


@pytest.mark.parametrize(
    "line",
    [
        "from vibayes.model.core import Model",
        "from vibayes.model import core",
        "import vibayes.model.core",
        "def f():\n    from vibayes.model.core import Model",
        "if TYPE_CHECKING:\n    from vibayes.model.core import Model",
    ],
)
def test_an_import_against_the_order_and_its_circle_are_found(line):
    trees = {
        "model/core.py": ast.parse("from vibayes.flows.base import Flow"),
        "model/__init__.py": ast.parse(""),
        "flows/base.py": ast.parse(line),
    }
    graph = import_graph(trees)
    at = line.count("\n") + 1
    assert against_the_order(graph) == [f"flows.base, line {at}, imports model.core"]
    assert set(circle(graph, 1)) == {"model", "flows"}
    assert set(circle(graph, 9)) == {"model.core", "flows.base"}


# -- private names --------------------------------------------------------------------------------


def borrowed(trees: dict[str, ast.Module]) -> list[str]:
    """Return where files use a private attribute that another file defines."""
    own = {path: set(own_names(tree)) | PRIVATE_BUT_PUBLIC for path, tree in trees.items()}
    return [
        f"{path}:{at}: {name}"
        for path, tree in trees.items()
        for at, name in private_attributes(tree)
        if name not in own[path] and any(name in names for names in own.values())
    ]


def test_private_names_stay_in_their_files():
    assert borrowed(package()) == []


def test_a_borrowed_private_name_is_found():
    trees = {"a.py": ast.parse("self._own = 1"), "b.py": ast.parse("print(a._own)")}
    assert borrowed(trees) == ["b.py:1: _own"]
