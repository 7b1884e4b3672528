"""Fits that are killed again and again, and compared with one that is not.

Run as ``python killed.py KILLS SEED FOLDER CASE ...``. Children are forked from a process that has
imported and compiled everything, so that each begins at once with what a new process would have.
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

import vibayes as vb
from vibayes.inference import loop
from vibayes.storage import checkpoint
from vibayes.storage.files import read_file

checkpoint.LARGEST_SHARE = np.inf  # as often as is asked for: a short fit would have hardly any
loop.CHUNK_SECONDS = 0.02
DATA = np.random.default_rng(1).normal([1.0, -2.0], [1.0, 3.0], size=(997, 2))


def model_of(observed, **kwargs):
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10, shape=2)
        sigma = vb.HalfNormal("sigma", 5, shape=2)
        vb.Normal("y", mu, sigma, observed=observed, **kwargs)
    return model


def streamed(folder):
    path = folder / "data.npy"
    if not path.exists():
        np.save(path, DATA)
    # groups of about 40 rows, blocks that do not end where these do, epochs of 100 steps
    return vb.Minibatch(np.load(path, mmap_mode="r"), batch_size=10, buffer_bytes=16 * 80)


def whole(folder):
    return model_of(DATA), dict(n=400)


def convergence(folder):
    check = vb.callbacks.CheckParametersConvergence(every=7, tolerance=0.02)
    return model_of(DATA), dict(n=20_000, callbacks=[check])


def tracked(folder):
    tracker = vb.callbacks.Tracker(i=lambda approx, losses, i: i, every=3)
    return model_of(DATA), dict(n=300, callbacks=[tracker])


def with_replacement(folder):
    return model_of(vb.Minibatch(DATA, batch_size=20), total_size=DATA.shape), dict(n=400)


def without_replacement(folder):
    rows = vb.Minibatch(DATA, batch_size=20, replace=False)
    return model_of(rows, total_size=DATA.shape), dict(n=400)


def stream(folder):
    return model_of(streamed(folder), total_size=DATA.shape), dict(n=400)


def automatic_stream(folder):
    return model_of(streamed(folder), total_size=DATA.shape), dict(n=None, max_steps=1000)


def automatic_flow(folder):
    return model_of(DATA), dict(n=None, max_steps=1000, method="nfvi=planar*2", obj_n_mc=2)


def own_parameters(folder):
    import pytensor

    extra = pytensor.shared(np.zeros(2), name="extra")
    steps = pytensor.shared(np.asarray(0, dtype="int64"), name="steps")
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10, shape=2)
        vb.Normal("y", mu + extra, 2, observed=DATA)
    return model, dict(n=400, more_obj_params=[extra], more_updates={steps: steps + 1})


CASES = [
    whole,
    convergence,
    tracked,
    with_replacement,
    without_replacement,
    stream,
    automatic_stream,
    automatic_flow,
    own_parameters,
]


def run(made, out, path=None):
    """Make a fit and write down all that it ended with."""
    model, arguments = made
    options = dict(method="advi", random_seed=3, backend="py", progressbar=False, diagnose=False)
    if path is not None:
        options |= dict(checkpoint=path, checkpoint_every=10)
    approx = vb.fit(model=model, **options | arguments)
    found = {f"param_{i}": p.get_value() for i, p in enumerate(approx.params)}
    found |= {p.name: p.get_value() for p in arguments.get("more_obj_params", [])}
    found |= {p.name: p.get_value() for p in arguments.get("more_updates", {})}
    trackers = [c for c in arguments.get("callbacks", []) if hasattr(c, "hist")]
    found |= {name: np.array(v) for c in trackers for name, v in c.hist.items()}
    # seeds too are where they would be
    later = approx.spawn_generator().integers(2**62)
    np.savez(out, hist=approx.hist, later=later, reason=approx.ending.reason, **found)


def forked(action, *args):
    """Run something in a child process, and return its number."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            action(*args)
            status = 0
        finally:
            os._exit(status)
    return child


def iteration(path):
    return read_file(path).header["fit"]["iteration"] if path.exists() else 0


def wait_for_writes(path, child, count):
    """Wait until a child has written its checkpoint some times, or has ended."""
    last = changed(path)
    while count and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if changed(path) != last:
            last, count = changed(path), count - 1
        time.sleep(1e-3)


def changed(path):
    return path.stat().st_mtime_ns if path.exists() else 0


def main(case, kills, seed, folder):
    rng = np.random.default_rng(seed)
    made = next(c for c in CASES if c.__name__ == case)(folder)
    model, arguments = made
    # compiles, and leaves nothing else behind
    warm = {k: v for k, v in arguments.items() if k not in ("n", "max_steps", "callbacks")}
    end = dict(n=1) if arguments["n"] else dict(max_steps=1)
    if "more_obj_params" not in warm:
        options = dict(method="advi", backend="py", progressbar=False, diagnose=False)
        vb.fit(model=model, **options | warm | end)
    vb.MeanField(model=model).save(folder / "first.nc")  # imports what writes
    assert os.waitpid(forked(run, made, folder / "whole.npz"), 0)[1] == 0
    total = len(np.load(folder / "whole.npz")["hist"])
    path, seen = folder / "fit.nc", []
    while len(seen) < kills:
        child = forked(run, made, folder / "parts.npz", path)
        if rng.uniform() < 0.8:  # else in its beginning
            wait_for_writes(path, child, int(rng.integers(1, max(2, total // 20 // kills))))
        time.sleep(rng.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert status == 0
            break
        seen.append(iteration(path))
    assert os.waitpid(forked(run, made, folder / "parts.npz", path), 0)[1] == 0
    a, b = np.load(folder / "whole.npz"), np.load(folder / "parts.npz")
    assert set(a.files) == set(b.files)
    for name in a.files:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    print(case, "was killed after", seen, "of", total)
    assert any(0 < i < total for i in seen)
    assert seen == sorted(seen)


if __name__ == "__main__":
    for name in sys.argv[4:]:
        place = Path(sys.argv[3]) / name
        place.mkdir()
        main(name, int(sys.argv[1]), int(sys.argv[2]), place)
