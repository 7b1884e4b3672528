import threading
import time

import numpy as np
import pytensor
import pytensor.tensor as pt

from vibayes.backend.numba import numba_mode


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
