import gc
import logging
import os
import signal

# Before NumPy and SciPy are imported: small matrices only wait for threads of a BLAS library,
# the longer the more processes run tests beside each other.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402
import pytensor  # noqa: E402
import pytest  # noqa: E402

from vibayes.backend import kept_graphs  # noqa: E402
from vibayes.backend.modes import EVALUATE_MODE  # noqa: E402

# Which lines of code have made a node of a graph is of no use in tests, and takes a tenth of the
# time of making it.
pytensor.config.traceback__limit = 0
# What a test looks at by ``.eval()`` is computed once: Numba would compile each of it.
pytensor.config.mode = EVALUATE_MODE
# Graphs are millions of small objects that live long: to look through them often is in vain.
gc.set_threshold(100_000, 50, 1000)


@pytest.fixture(autouse=True, scope="session")
def _kept_graphs(tmp_path_factory):
    """Rewritten graphs are those of this run: tests of rewrites are to see them at work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_graphs, "folder", lambda: folder)
        folder = tmp_path_factory.mktemp("graphs")
        yield


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("vibayes").setLevel(logging.WARNING)


@pytest.fixture
def ctrl_c():
    """Python's own handler of SIGINT, which a shell has left out in what runs in its background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    found = signal.signal(signal.SIGINT, before)
    assert found is signal.default_int_handler


@pytest.fixture
def float32():
    with pytensor.config.change_flags(floatX="float32"):
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(20170101)
