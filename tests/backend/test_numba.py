import threading
import time

import numpy as np
import pytensor
import pytensor.tensor as pt

import vibayes  # noqa: F401 (all operations of ours)
from vibayes.backend.numba import PENDING, NumbaOp, numba_mode
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
