import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import scipy.stats
from pytensor.compile.io import In
from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import PatternNodeRewriter, dfs_rewriter, node_rewriter
from pytensor.tensor.elemwise import Elemwise

from vibayes.backend import kept_graphs
from vibayes.backend.modes import EVALUATE_MODE
from vibayes.backend.rewriting import Interpreted
from vibayes.ops.special import log_ndtr

X = np.array([0.5, 1.0, 2.0])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_graphs, "folder", lambda: tmp_path / "graphs")
    return tmp_path / "graphs"


@pytest.fixture
def rewritten(monkeypatch):
    """The graphs that were rewritten, by their number of operations."""
    found = []

    def apply(self, fgraph, *args):
        found.append(len(fgraph.apply_nodes))
        return before(self, fgraph, *args)

    before = Interpreted.apply
    monkeypatch.setattr(Interpreted, "apply", apply)
    return found


def density(x, by=3.0, shape=(3,)):
    data = pt.constant(np.full(shape, by), name="data")
    return pt.sum(pt.log1p(pt.exp(x - data)) * 1 + log_ndtr(x))


def made(make=density, length=3, mode=EVALUATE_MODE):
    x = pt.vector("x", dtype="float64", shape=(length,))
    y = make(x)
    return pytensor.function([x], [y, pt.grad(y, x)], mode=mode)


def lines(function):
    """Return the operations in their order, with what they read."""
    order = function.maker.fgraph.toposort()
    places = {v: (k, i) for k, node in enumerate(order) for i, v in enumerate(node.outputs)}
    return [(str(n.op), [places.get(v, str(v)) for v in n.inputs]) for n in order]


def test_what_was_rewritten_once_is_read(folder, rewritten):
    first = made()
    assert len(rewritten) == 1
    second = made()
    assert len(rewritten) == 1
    assert lines(first) == lines(second)
    for a, b in zip(first(X), second(X), strict=True):
        np.testing.assert_array_equal(a, b)
    expected = np.sum(np.log1p(np.exp(X - 3)) + scipy.stats.norm.logcdf(X))
    np.testing.assert_allclose(second(X)[0], expected)


OTHERS = {
    "constant": lambda x: density(x, by=4.0),
    "shape": lambda x: density(x, shape=(1,)),
    "operation": lambda x: density(x) + pt.exp(x).sum(),
    "name": lambda x: pt.exp(named(density(x), "other")),
    "note": lambda x: density(noted(x * 1.0)),
}


def named(v, name):
    v.name = name
    return v


def noted(v):
    v.tag.lower_triangular = True
    return v


@pytest.mark.parametrize("kind", OTHERS)
def test_another_graph_is_another_file(folder, rewritten, kind):
    made()
    made(OTHERS[kind])
    made(OTHERS[kind])
    assert len(rewritten) == 2
    plain = {"name": lambda x: pt.exp(density(x)), "note": lambda x: density(x * 1.0)}.get(kind)
    if plain:
        made(plain)
        assert len(rewritten) == 3


def test_settings_count(folder, rewritten):
    made()
    with pytensor.config.change_flags(on_shape_error="raise"):
        made()
    assert len(rewritten) == 2


def test_static_shapes_count(folder, rewritten):
    made()
    made(length=None)
    assert len(rewritten) == 2
    for shape in [(3,), (None,)]:
        made(lambda x, shape=shape: Apply(pt.exp, [x], [pt.vector(shape=shape)]).outputs[0].sum())
    assert len(rewritten) == 4


def test_what_may_be_changed_in_place_counts(folder, rewritten):
    for mutable in (False, True):
        x = pt.vector("x", shape=(3,))
        inputs = [In(x, mutable=mutable)]
        pytensor.function(inputs, density(x), mode=EVALUATE_MODE)
    assert len(rewritten) == 2


def test_files_of_vibayes_count(folder, rewritten, monkeypatch, tmp_path):
    made()
    (tmp_path / "a.py").write_text("")
    os.utime(tmp_path / "a.py", (2, 2))
    monkeypatch.setattr(kept_graphs, "__file__", str(tmp_path / "vibayes" / "kept_graphs.py"))
    kept_graphs.versions.cache_clear()
    try:
        made()
        assert len(rewritten) == 2
        os.utime(tmp_path / "a.py", (1, 1))
        kept_graphs.versions.cache_clear()
        made()
        assert len(rewritten) == 3
        os.utime(tmp_path / "a.py")  # code that this process has not read
        kept_graphs.versions.cache_clear()
        made()
        made()
        assert len(rewritten) == 5
    finally:
        monkeypatch.undo()
        kept_graphs.versions.cache_clear()


class Doubled(Op):
    """An operation of a user."""

    __props__ = ()
    itypes = otypes = (pt.dvector,)

    def perform(self, node, inputs, outputs):
        outputs[0][0] = 2 * inputs[0]


def test_operations_of_users_are_not_kept(folder, rewritten):
    x = pt.dvector("x")
    for _ in range(2):
        function = pytensor.function([x], Doubled()(x) + 1, mode=EVALUATE_MODE)
    assert len(rewritten) == 2
    assert not folder.exists()
    np.testing.assert_array_equal(function(X), 2 * X + 1)


@node_rewriter([Elemwise])
def of_user(fgraph, node):
    return None


def test_rewrites_of_users_are_not_kept(folder, rewritten):
    made(mode=EVALUATE_MODE.register((dfs_rewriter(of_user), 0.03)))
    assert not folder.exists()
    made()
    optdb["canonicalize"].register("of_user", of_user, "canonicalize")
    try:
        made()
        made()
        assert len(rewritten) == 4
        assert len(list(folder.iterdir())) == 1
    finally:
        optdb["canonicalize"].remove_tags("of_user", "canonicalize")
    made()
    assert len(rewritten) == 4


def test_a_new_rewrite_of_pytensor_counts(folder, rewritten):
    made()
    new = PatternNodeRewriter((pt.exp, (pt.log, "x")), "x", name="exp_of_log")
    made(mode=EVALUATE_MODE.register((dfs_rewriter(new), 0.03)))
    assert len(rewritten) == 2


def without_outputs(content):
    known = kept_graphs.digest
    pickled = pickle.dumps((None, ([], False)))
    return known(pickled) + pickled


BROKEN = {
    "empty": lambda content: b"",
    "longer": lambda content: content + b"x",
    "cut off": lambda content: content[:-10],
    "a bit": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    "no graph": lambda content: kept_graphs.digest(b"other") + b"other",
    "no outputs": without_outputs,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_written_anew(folder, rewritten, kind):
    good = made()
    (path,) = folder.iterdir()
    content = path.read_bytes()
    path.write_bytes(BROKEN[kind](content))
    function = made()
    assert len(rewritten) == 2
    np.testing.assert_array_equal(function(X)[1], good(X)[1])
    made()
    assert len(rewritten) == 2


def test_without_a_place_to_write_graphs_are_rewritten(folder, rewritten):
    folder.write_text("a file")
    made()
    assert np.isfinite(made()(X)[0])
    assert len(rewritten) == 2


def test_nothing_is_kept_where_pytensor_keeps_nothing(folder, rewritten):
    with pytensor.config.change_flags(numba__cache=False):
        made()
    assert len(rewritten) == 1
    assert not folder.exists()


def test_large_data_are_neither_told_nor_kept(folder, monkeypatch):
    def many(x):
        return pt.sum(pt.exp(x.sum() - pt.constant(np.arange(1000.0))))

    monkeypatch.setattr(kept_graphs, "MOST_DATA", 8000 - 1)
    made(many)
    monkeypatch.setattr(kept_graphs, "MOST_DATA", 9000)
    monkeypatch.setattr(kept_graphs, "LARGEST", 100)
    made(many)
    assert not folder.exists()
    monkeypatch.setattr(kept_graphs, "LARGEST", 100_000)
    made(many)
    assert len(list(folder.iterdir())) == 1


def test_data_are_not_in_the_file(folder):
    data = np.random.default_rng(1).normal(size=(3000, 3))
    first, second = (made(lambda x: pt.sum(pt.exp(x - pt.constant(data)))) for _ in range(2))
    (path,) = folder.iterdir()
    assert data.nbytes > path.stat().st_size
    np.testing.assert_array_equal(first(X)[1], second(X)[1])


def test_the_lines_of_code_are_those_of_this_process(folder):
    with pytensor.config.change_flags(traceback__limit=8):
        x = pt.vector("x", shape=(3,))
        other = pt.sqrt(x) + 1
        for y in (pt.sqrt(x) + 1, other):
            function = pytensor.function([x], y, mode=EVALUATE_MODE)
            (traces,) = [v.tag.trace for v in function.maker.fgraph.outputs]
            assert traces == y.tag.trace
    assert len(list(folder.iterdir())) == 1


def test_generators_advance_in_place_as_before(folder, rewritten):
    def draws():
        rng = pytensor.shared(np.random.default_rng(1))
        next_rng, draw = pt.random.normal(size=3, rng=rng, dtype="float64").owner.outputs
        function = pytensor.function([], draw * 2, updates={rng: next_rng}, mode=EVALUATE_MODE)
        return np.stack([function() for _ in range(3)])

    np.testing.assert_array_equal(draws(), draws())
    assert len(rewritten) == 1
    reference = np.random.default_rng(1)
    np.testing.assert_array_equal(draws(), 2 * reference.normal(size=(3, 3)))


def test_a_generator_is_read_before_it_is_advanced_in_place(folder, rewritten):
    for _ in range(2):
        rng = pytensor.shared(np.random.default_rng(1))
        next_rng, first = pt.random.normal(size=3, rng=rng, dtype="float64").owner.outputs
        second = pt.random.uniform(size=3, rng=rng, dtype="float64")
        updates = {rng: next_rng}
        function = pytensor.function([], [first, second], updates=updates, mode=EVALUATE_MODE)
        a, b = function()
        np.testing.assert_array_equal(a, np.random.default_rng(1).normal(size=3))
        np.testing.assert_array_equal(b, np.random.default_rng(1).uniform(size=3))
    assert len(rewritten) == 1


def test_threads_may_keep_the_same_graph(folder):
    found = []
    threads = [threading.Thread(target=lambda: found.append(made()(X)[0])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(float, found))) == 1
    assert len(found) == 3
    assert len(list(folder.iterdir())) == 1


def test_old_files_make_place(folder, monkeypatch):
    monkeypatch.setattr(kept_graphs, "MOST_KEPT", 250)
    for i, name in enumerate("abc"):
        kept_graphs.store(folder / name, b"x" * 100)
        os.utime(folder / name, (i, i))
    os.utime(folder / "b", (9, 9))
    kept_graphs.store(folder / "d", b"x" * 100)
    assert sorted(p.name for p in folder.iterdir()) == ["b", "d"]


OTHER_PROCESS = """
import sys
import pytensor, pytensor.tensor as pt
from pathlib import Path
pytensor.config.traceback__limit = 0
from vibayes.backend import kept_graphs
sys.path.insert(0, sys.argv[2])
from test_kept_graphs import made
kept_graphs.folder = lambda: Path(sys.argv[1])
for _ in range(hash("some") % 5 + 1):
    pt.exp(pt.matrix()).sum()  # numbers of variables are others
made()
"""


def test_another_process_finds_the_file(folder):
    """Both are new: which rewrites there are depends on what this one has imported by now."""
    tests, found = os.path.dirname(__file__), []
    for seed in "15":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", OTHER_PROCESS, str(folder), tests]
        subprocess.run(command, check=True, env=environment)
        (path,) = folder.iterdir()
        found.append((path, path.stat().st_mtime_ns))
    (first, written), (again, read) = found
    assert again == first
    assert read > written  # it was read
