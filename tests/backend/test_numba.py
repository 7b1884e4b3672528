import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

import vibayes  # noqa: F401 (all operations of ours)
from vibayes.backend.numba import PENDING, NumbaOp
from vibayes.backend.numba_linker import numba_mode
from vibayes.ops.small_matrix import inverse_and_log_det


def test_other_threads_run_while_a_function_does():
    x = pt.vector("x")
    function = pytensor.function([x], pt.sin(pt.exp(pt.sin(x))).sum(), mode=numba_mode())
    value = np.linspace(0, 1, 3_000_000, dtype=x.dtype)
    function(value[:10])
    wakes, done = [], threading.Event()

    def tick():
        while not done.is_set():
            wakes.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        most = 0
        for _ in range(20):  # on a busy machine a thread may have to wait for its turn
            began = time.perf_counter()
            result = function(value)
            ended = time.perf_counter()
            most = max(most, sum(began + 0.002 < wake < ended - 0.002 for wake in wakes))
    finally:
        done.set()
        thread.join()
    np.testing.assert_allclose(result, np.sin(np.exp(np.sin(value))).sum(), rtol=1e-6)
    assert most >= 2


def subclasses(cls):
    return {cls}.union(*map(subclasses, cls.__subclasses__()))


def test_every_operation_has_a_numba_version_once_one_is_used():
    from pytensor.link.numba.dispatch.basic import numba_funcify

    inverse_and_log_det(pt.matrix())
    assert not PENDING
    ours = {op for op in subclasses(NumbaOp) if not op.__subclasses__()}
    assert {op.__name__ for op in ours} >= {"InverseAndLogDet", "PackedTriangularSolve"}
    assert [op for op in ours if numba_funcify.dispatch(op) is numba_funcify.dispatch(object)] == []


def test_arithmetic_is_exact():
    """Sums in another order, or fused products, would depend on what is compiled into what."""
    x, y, z = pt.vectors("xyz")
    values = np.random.default_rng(1).normal(size=(3, 1000)).astype(x.dtype)
    with pytensor.config.change_flags(numba__cache=False):  # or code of before could be loaded
        function = pytensor.function([x, y, z], [x * y + z, x / y], mode=numba_mode())
        fused, quotient = function(*values)
    np.testing.assert_array_equal(fused, values[0] * values[1] + values[2])
    np.testing.assert_array_equal(quotient, values[0] / values[1])


SCRIPT = """
import hashlib, numpy as np, vibayes as vb
rng = np.random.default_rng(1)
X = rng.normal(size=(200, 3))
with vb.Model() as model:
    b, s = vb.Normal("b", 0, 10, shape=3), vb.HalfNormal("s", 5)
    vb.Normal("y", vb.math.dot(X, b), s, observed=X.sum(1) + rng.normal(size=200))
approx = vb.fit(3000, "fullrank_advi", model, random_seed=1, diagnose=False, progressbar=False,
                backend="numba")
numbers = [approx.hist, *(p.get_value() for p in approx.params)]
print(hashlib.sha256(b"".join(n.tobytes() for n in numbers)).hexdigest())
"""


@pytest.mark.slow
def test_code_from_the_disk_has_the_numbers_of_code_just_compiled(tmp_path):
    flags = {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path}", "OPENBLAS_NUM_THREADS": "1"}
    told = []
    for _ in range(2):
        command = [sys.executable, "-c", SCRIPT]
        done = subprocess.run(command, env=os.environ | flags, capture_output=True, text=True)
        told.append(done.stdout)
        assert done.returncode == 0, done.stderr
    assert told[0] == told[1]
