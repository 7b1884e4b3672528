import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from pytensor.graph.fg import FunctionGraph
from pytensor.link.c.op import COp

from vibayes.backend.jax import jax_function
from vibayes.backend.modes import evaluate, resolve_mode
from vibayes.backend.numpy_linker import NumpyLinker
from vibayes.backend.rewriting import InterpretedRewrites

WEIGHTS = np.array([0.5, 1.0, 2.0])


@pytest.fixture
def compiled(monkeypatch):
    """What C was asked to compile, which it cannot here."""
    asked = []

    def make_c_thunk(op, node, *_):
        asked.append(op)
        raise NotImplementedError

    monkeypatch.setattr(COp, "make_c_thunk", make_c_thunk)
    monkeypatch.setattr(pytensor.config, "cxx", "g++")  # wherever there is none
    return asked


def softmax():
    """Return constants that a graph inside of an operation works out."""
    return pt.special.softmax(pt.constant(WEIGHTS))


def graph(*outputs):
    return FunctionGraph([], list(outputs), clone=True)


def test_constants_are_worked_out_without_a_c_compiler(compiled):
    (found,) = evaluate([softmax()])
    np.testing.assert_allclose(found, np.exp(WEIGHTS) / np.exp(WEIGHTS).sum())
    assert compiled == []
    if hasattr(softmax().owner.op.fgraph, "bind"):  # PyTensor 3.2 and later
        Mode(NumpyLinker(), "fast_compile").optimizer.rewrite(graph(softmax()))
        assert compiled  # PyTensor's own modes would have compiled it
    assert pytensor.config.cxx == "g++"


@pytest.mark.parametrize("backend", ["numba", "jax"])
def test_other_backends_work_constants_out_so_too(compiled, backend):
    x = pt.dscalar("x")
    y = x + softmax().sum()
    if backend == "jax":
        pytest.importorskip("jax")
        function = jax_function([x], [y], [()])
    else:
        function = pytensor.function([x], [y], mode=resolve_mode(backend))
    assert float(function(1.0)[0]) == pytest.approx(2.0)
    assert compiled == []


def test_the_compiler_is_there_again_after_an_error(monkeypatch):
    monkeypatch.setattr(pytensor.config, "cxx", "g++")

    class BrokenError(Exception):
        pass

    def break_down(fgraph, node):
        raise BrokenError

    mode = InterpretedRewrites(NumpyLinker(), "fast_compile")
    monkeypatch.setattr(type(mode.optimizer.rewriter), "apply", break_down)
    with pytest.raises(BrokenError):
        mode.optimizer.rewrite(graph(pt.constant(1.0) + 1))
    assert pytensor.config.cxx == "g++"
