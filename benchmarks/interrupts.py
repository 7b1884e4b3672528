"""Send Ctrl-C, a real SIGINT from another process, at random moments of all that vibayes does.

    python benchmarks/interrupts.py --count 300 --seed 1

Each signal goes to a process of its own, forked from one that has made what the case begins with.
That process says what came of it: whether the fit was returned, or ended by a ``KeyboardInterrupt``
before there was anything to return; whether the losses are the first ones of the fit that nothing
interrupts, and whether going on ends at its very numbers, bit for bit; whether files are whole, and
the handler of before is back. The exit status is 1 if anything was lost.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytensor
from harm import run_cases

import vibayes as vb
from vibayes.inference import loop
from vibayes.nuts.density import compile_density, density_at
from vibayes.storage import checkpoint

LONGEST = 600  # seconds after which a process counts as one that hangs
GOOD = ("returned early", "KeyboardInterrupt", "done before", "went on")
DATA = np.random.default_rng(1).normal(1.0, 2.0, size=(200, 2))
QUIET = dict(progressbar=False)


class LostError(Exception):
    """Something is not as it has to be."""


def expect(condition: bool, what: str) -> None:
    if not condition:
        raise LostError(what)


def model_of(observed, **kwargs):
    with vb.Model() as model:
        mu = vb.Normal("mu", 0, 10, shape=2)
        sigma = vb.HalfNormal("sigma", 5, shape=2)
        vb.Normal("y", mu, sigma, observed=observed, **kwargs)
    return model


def two_modes():
    with vb.Model() as model:
        vb.NormalMixture("x", w=[0.3, 0.7], mu=[-2, 2], sigma=0.5, shape=2)
    return model


def numbers(approx):
    return [p.get_value() for p in approx.params]


def same(a, b):
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def is_prefix(part, whole):
    return len(part) <= len(whole) and np.array_equal(part, whole[: len(part)])


class Case:
    """One thing to interrupt.

    A subclass makes in ``prepare`` what all processes begin with. In each, ``act`` is what is
    interrupted, and ``check`` says what came of it, given what ``act`` has returned, or None.
    """

    seconds = 0.0  # that it takes without a signal

    def prepare(self, folder: Path) -> None:
        """Make what is needed."""

    def before(self) -> None:
        """Make what this process needs."""

    def act(self):
        raise NotImplementedError

    def check(self, result) -> str:
        raise NotImplementedError

    def measure(self) -> None:
        self.before()
        began = time.perf_counter()
        self.act()
        self.seconds = time.perf_counter() - began


class Steps(Case):
    """A fit of some steps; then further ones, to the end of the fit without an interruption."""

    def __init__(self, make, backend="py", n=2000, observed=lambda: DATA, **options):
        self.make, self.n, self.observed = make, n, observed
        self.options = dict(backend=backend, **QUIET) | options
        self.total_size = DATA.shape

    def prepare(self, folder):
        self.model = model_of(self.observed(), total_size=self.total_size)
        self.before()
        self.inference.fit(10, **self.options)
        self.before()
        began = time.perf_counter()
        approx = self.inference.fit(self.n, **self.options)
        self.seconds = time.perf_counter() - began
        if self.seconds < 0.5:  # enough to hit
            self.n = int(self.n * 0.7 / self.seconds)
            self.before()
            began = time.perf_counter()
            approx = self.inference.fit(self.n, **self.options)
            self.seconds = time.perf_counter() - began
        self.whole = approx.hist, numbers(approx)

    def measure(self):
        """It is known already."""

    def before(self):
        self.inference = self.make(self.model)

    def act(self):
        return self.inference.fit(self.n, **self.options)

    def check(self, result):
        if result is None:  # before the first step
            expect(len(self.inference.hist) == 0, "KeyboardInterrupt after steps")
            self.before()
            self.inference.fit(self.n, **self.options)
            outcome = "KeyboardInterrupt"
        else:
            done = len(result.hist)
            has_loss = bool(len(self.whole[0]))
            expect(is_prefix(result.hist, self.whole[0]), "other losses")
            left = self.n - self.inference.last_run.loop.iteration
            outcome = "done before" if left == 0 else "returned early"
            expect(done == self.n - left or not has_loss, "losses are missing")
            expect(left == 0 or "interrupted" in result.ending.reason, result.ending.reason)
            result.sample(3)
            self.inference.refine(left, progressbar=False)
        approx = self.inference.approx
        expect(np.array_equal(approx.hist, self.whole[0]), "other losses after going on")
        expect(same(numbers(approx), self.whole[1]), "other numbers after going on")
        return outcome


class WithOwnHandler(Steps):
    """Of a user whose handler returns: the fit goes on as if nothing had been."""

    def before(self):
        super().before()
        self.calls = []

    def handler(self, signum, frame):
        self.calls.append(frame)

    def check(self, result):
        expect(result is not None and len(result.hist) == self.n, "the fit has ended")
        expect(np.array_equal(result.hist, self.whole[0]), "other losses")
        expect(same(numbers(result), self.whole[1]), "other numbers")
        expect(len(self.calls) <= 1, f"{len(self.calls)} calls of the handler")
        return "went on"


class InThread(Steps):
    """A fit in a thread: it goes on, and the main thread is interrupted."""

    thread = None

    def act(self):
        done = []
        self.thread = threading.Thread(target=lambda: done.append(super(InThread, self).act()))
        self.thread.start()
        while self.thread.is_alive():
            self.thread.join(0.01)
        return done[0]

    def check(self, result):
        if self.thread is None or self.thread.ident is None:
            return "KeyboardInterrupt"  # it came before the thread began
        self.thread.join()
        approx = self.inference.approx
        expect(np.array_equal(approx.hist, self.whole[0]), "other losses")
        expect(same(numbers(approx), self.whole[1]), "other numbers")
        return "went on"


class Compilation(Case):
    """The first fit of a model, of which most is its compilation."""

    def __init__(self, backend):
        self.options = dict(backend=backend, **QUIET)

    def prepare(self, folder):
        self.before()
        approx = self.act()
        self.whole = approx.hist, numbers(approx)

    def before(self):
        pytensor.config.numba__cache = False
        self.inference = vb.ADVI(model=model_of(DATA), random_seed=1)

    def act(self):
        return self.inference.fit(5, **self.options)

    def check(self, result):
        outcome = "returned early"
        if result is None:
            expect(len(self.inference.hist) == 0, "KeyboardInterrupt after steps")
            self.inference.fit(5, **self.options)
            outcome = "KeyboardInterrupt"
        elif (left := 5 - len(result.hist)) > 0:
            self.inference.refine(left, progressbar=False)
        else:
            outcome = "done before"
        approx = self.inference.approx
        expect(np.array_equal(approx.hist, self.whole[0]), "other losses")
        expect(same(numbers(approx), self.whole[1]), "other numbers")
        return outcome


class ByItself(Case):
    """A fit that ends by itself, with its verdict; then the same one again."""

    def __init__(self, method, make=lambda: model_of(DATA), **options):
        self.method, self.make = method, make
        self.options = dict(method=method, random_seed=1, **QUIET) | options

    def prepare(self, folder):
        self.model = self.make()
        self.act()
        approx = self.act()
        self.whole = approx.hist, numbers(approx)

    def act(self):
        return vb.fit(model=self.model, **self.options)

    def check(self, result):
        outcome = "KeyboardInterrupt"
        if result is not None:
            whole = not result.ending.is_interrupted
            expect(is_prefix(result.hist, self.whole[0]), "other losses")
            expect(not whole or same(numbers(result), self.whole[1]), "other numbers")
            expect(all(np.isfinite(p).all() for p in numbers(result)), "no finite numbers")
            result.sample(3)
            outcome = "returned early"
            if whole and result.diagnosis is not None:
                outcome = "done before"
        again = self.act()
        expect(np.array_equal(again.hist, self.whole[0]), "other losses the next time")
        expect(same(numbers(again), self.whole[1]), "other numbers the next time")
        return outcome


class ManyFits(Case):
    """Fits of many data sets, most of them one after the other; then the same ones again."""

    def prepare(self, folder):
        self.model = model_of(DATA)
        self.data = [{"y": DATA + i} for i in range(8)]
        self.act()
        self.whole = self.act().mean

    def act(self):
        return vb.fit_many(self.model, self.data, "laplace", random_seed=1, **QUIET)

    def check(self, result):
        outcome = "KeyboardInterrupt"
        if result is not None:
            expect(np.array_equal(result.mean, self.whole[: len(result)]), "other numbers")
            outcome = "done before" if len(result) == len(self.data) else "returned early"
        expect(np.array_equal(self.act().mean, self.whole), "other numbers the next time")
        return outcome


class Verdict(Case):
    """A short fit and its verdict: once a step is done, nothing may be raised."""

    def prepare(self, folder):
        self.model = model_of(DATA)
        self.before()
        self.act()
        self.before()
        approx = self.act()
        self.whole = approx.hist, numbers(approx)

    def before(self):
        self.inference = vb.ADVI(model=self.model, random_seed=1)

    def act(self):
        return self.inference.fit(20, backend="py", diagnose=True, **QUIET)

    def check(self, result):
        if result is None:
            expect(len(self.inference.hist) == 0, "KeyboardInterrupt after steps")
            return "KeyboardInterrupt"
        expect(is_prefix(result.hist, self.whole[0]), "other losses")
        was_judged = result.diagnosis is not None
        result.diagnose()
        self.inference.refine(20 - len(result.hist), progressbar=False)
        expect(same(numbers(result), self.whole[1]), "other numbers")
        return "done before" if was_judged else "returned early"


class Sampling(Case):
    """Draws of an approximation; then the same ones again."""

    def prepare(self, folder):
        self.approx = vb.ADVI(model=model_of(DATA), random_seed=1).fit(50, backend="py", **QUIET)
        self.act()
        self.whole = self.act()["mu"].values

    def act(self):
        return self.approx.sample(100_000, random_seed=2).posterior

    def check(self, result):
        if result is not None:
            expect(np.array_equal(result["mu"], self.whole), "other draws")
        expect(np.array_equal(self.act()["mu"], self.whole), "other draws the next time")
        return "KeyboardInterrupt" if result is None else "done before"


class Chains(Case):
    """Draws by the No-U-Turn sampler: those up to then, if there are any."""

    options: ClassVar = dict(
        chains=2, cores=1, tune=200, random_seed=1, compute_convergence_checks=False
    )
    draws = 2000

    def prepare(self, folder):
        self.model = model_of(DATA)
        zeros = np.zeros(4)
        density_at(compile_density(self.model, None), zeros, zeros + 1)(zeros)

    def measure(self):
        """Measure in a process of its own: threads of this one would not be in the forked ones."""
        receiving, sending = os.pipe()
        number = os.fork()
        if number == 0:
            try:
                super().measure()
                os.write(sending, str(self.seconds).encode())
            finally:
                os._exit(0)
        os.close(sending)
        self.seconds = float(os.read(receiving, 64))
        os.close(receiving)
        os.waitpid(number, 0)

    def before(self):
        options = self.options | dict(tune=5)
        vb.sample(5, model=self.model, **options, **QUIET)

    def act(self):
        return vb.sample(self.draws, model=self.model, **self.options, **QUIET)

    def check(self, result):
        if result is None:
            return "KeyboardInterrupt"
        draws = result.posterior["mu"]
        expect(bool(np.isfinite(draws.values).all()), "no finite draws")
        return "done before" if draws.sizes["draw"] == self.draws else "returned early"


class Saving(Case):
    """A file that is written again and again: it is whole, and alone in its folder."""

    def prepare(self, folder):
        self.path = folder / "saved.nc"
        self.approx = vb.FullRankADVI(model=model_of(DATA), random_seed=1)
        self.approx = self.approx.fit(50, backend="py", **QUIET)
        self.approx.save(self.path)

    def act(self):
        for _ in range(10):
            self.approx.save(self.path)

    def check(self, result):
        left = [p.name for p in self.path.parent.iterdir()]
        expect(left == [self.path.name], f"files are left: {left}")
        loaded = vb.load(self.path, model=self.approx.model)
        expect(same(numbers(loaded), numbers(self.approx)), "other numbers in the file")
        return "KeyboardInterrupt"


class WithCheckpoint(Case):
    """A fit that is kept in a file; then the same call, which goes on."""

    def __init__(self, **options):
        self.options = dict(random_seed=3, diagnose=False, checkpoint_every=100, **QUIET) | options

    def prepare(self, folder):
        self.path = folder / "fit.nc"
        self.model = model_of(DATA)
        self.act()
        self.path.unlink()
        approx = self.act()
        self.whole = approx.hist, numbers(approx)

    def before(self):
        self.path.unlink(missing_ok=True)

    def act(self):
        return vb.fit(model=self.model, checkpoint=self.path, **self.options)

    def check(self, result):
        names = [p.name for p in self.path.parent.iterdir()]
        expect(set(names) <= {self.path.name}, f"files are left: {names}")
        outcome = "KeyboardInterrupt"
        if result is not None:
            expect(is_prefix(result.hist, self.whole[0]), "other losses")
            done = len(result.hist) == len(self.whole[0])
            outcome = "done before" if done else "returned early"
        again = self.act()
        expect(np.array_equal(again.hist, self.whole[0]), "other losses after going on")
        expect(same(numbers(again), self.whole[1]), "other numbers after going on")
        return outcome


def look(approx, losses, i):
    """Look at each step, as users' callbacks do."""


def streamed():
    return vb.Minibatch(DATA, batch_size=10, replace=False)


def from_disk():
    folder = Path(tempfile.mkdtemp())
    path = folder / "data.npy"
    np.save(path, DATA)
    rows = np.load(path, mmap_mode="r")
    return vb.Minibatch(rows, batch_size=10, buffer_bytes=16 * 80)


def rows_on_disk():
    path = Path(tempfile.mkdtemp()) / "rows.npy"
    np.save(path, np.tile(DATA, (500, 1)))
    with vb.Model() as model:
        rows = vb.Data("rows", np.load(path, mmap_mode="r"), in_memory=False)
        mu = vb.Normal("mu", 0, 10, shape=2)
        sigma = vb.HalfNormal("sigma", 5, shape=2)
        vb.Normal("y", mu, sigma, observed=rows)
    return model


def of(method, **options):
    return lambda model: method(model=model, random_seed=1, **options)


CASES: dict[str, Callable[[], Case]] = {
    "steps: advi, numba": lambda: Steps(of(vb.ADVI), "numba"),
    "steps: advi, numba, callback": lambda: Steps(of(vb.ADVI), "numba", callbacks=[look]),
    "steps: advi, py": lambda: Steps(of(vb.ADVI)),
    "steps: fullrank, numba": lambda: Steps(of(vb.FullRankADVI), "numba"),
    "steps: nfvi, py": lambda: Steps(of(vb.NFVI, flow="planar*2")),
    "steps: svgd, numba": lambda: Steps(of(vb.SVGD, n_particles=20), "numba"),
    "steps: minibatch, numba": lambda: Steps(of(vb.ADVI), "numba", observed=streamed),
    "steps: stream, py": lambda: Steps(of(vb.ADVI), observed=from_disk),
    "steps: handler that returns, numba": lambda: WithOwnHandler(of(vb.ADVI), "numba"),
    "steps: in a thread, numba": lambda: InThread(of(vb.ADVI), "numba"),
    "compilation, py": lambda: Compilation("py"),
    "compilation, numba": lambda: Compilation("numba"),
    "by itself: advi": lambda: ByItself("advi"),
    "by itself: fullrank_advi": lambda: ByItself("fullrank_advi"),
    "by itself: nfvi, py": lambda: ByItself("nfvi=planar", backend="py", max_steps=2000),
    "by itself: auto": lambda: ByItself("auto"),
    "by itself: auto, two modes": lambda: ByItself("auto", two_modes),
    "by itself: laplace": lambda: ByItself("laplace"),
    "by itself: pathfinder": lambda: ByItself("pathfinder"),
    "by itself: mixture": lambda: ByItself("mixture", two_modes),
    "by itself: passes over rows on disk": lambda: ByItself("auto", rows_on_disk),
    "many fits": ManyFits,
    "verdict": Verdict,
    "sampling": Sampling,
    "sampling: NUTS": Chains,
    "saving": Saving,
    "checkpoint: n, py": lambda: WithCheckpoint(n=2000, backend="py"),
    "checkpoint: by itself, py": lambda: WithCheckpoint(
        method="nfvi=planar", backend="py", max_steps=1000
    ),
}


# -- one signal -----------------------------------------------------------------------------------


def child(case: Case, pipe: int) -> None:
    """Do what is interrupted, and write down what came of it."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LONGEST)
    open_window, seen = False, []
    own = getattr(case, "handler", signal.default_int_handler)

    def handler(signum, frame):
        seen.append(signum)
        if open_window:
            own(signum, frame)

    signal.signal(signal.SIGINT, handler)
    case.before()
    result = None
    try:
        open_window = True
        os.write(pipe, b"b")
        result = case.act()
        open_window = False
    except KeyboardInterrupt:
        open_window = False
    except Exception as error:
        open_window = False
        os.write(pipe, f"{type(error).__name__}: {error}"[:300].encode())
        return
    is_restored = signal.getsignal(signal.SIGINT) is handler
    try:
        expect(is_restored, "another handler is in place")
        outcome = case.check(result)
    except LostError as error:
        outcome = f"lost: {error}"
    os.write(pipe, outcome.encode())


def interrupt(case: Case, rng: np.random.Generator) -> str:
    """Send one signal, and return what came of it."""
    delay = rng.uniform(0, 1.05 * case.seconds)
    receiving, sending = os.pipe()
    number = os.fork()
    if number == 0:
        os.close(receiving)
        try:
            child(case, sending)
        except BaseException as error:
            os.write(sending, f"check: {type(error).__name__}: {error}"[:300].encode())
        finally:
            os._exit(0)
    os.close(sending)
    os.read(receiving, 1)
    time.sleep(delay)
    os.kill(number, signal.SIGINT)
    said = b""
    while part := os.read(receiving, 4096):
        said += part
    os.close(receiving)
    _, status = os.waitpid(number, 0)
    if os.WIFSIGNALED(status):
        return f"ended by signal {os.WTERMSIG(status)}"
    return said.decode() or f"nothing was said, exit status {status}"


# -- a notebook -----------------------------------------------------------------------------------

BEGIN = """
import numpy as np, vibayes as vb, logging
logging.getLogger("vibayes").setLevel(logging.ERROR)
with vb.Model() as model:
    mu = vb.Normal("mu", 0, 10, shape=2)
    vb.Normal("y", mu, 1, observed=np.zeros((40, 2)))
whole = vb.ADVI(model=model, random_seed=1).fit({n}, progressbar=False)
"""
INTERRUPTED = """
advi = vb.ADVI(model=model, random_seed=1)
approx = advi.fit({n})
"""
CHECKED = """
assert np.array_equal(approx.hist, whole.hist[:len(approx.hist)])
reason, left = approx.ending.reason, {n} - len(approx.hist)
advi.refine(left, progressbar=False)
assert np.array_equal(approx.hist, whole.hist)
for a, b in zip(approx.params, whole.params):
    assert np.array_equal(a.get_value(), b.get_value())
print("done before" if left == 0 else "returned early" if "interrupted" in reason else reason)
"""


def notebook(count: int, rng: np.random.Generator) -> list[str]:
    """Interrupt the kernel of a notebook in a fit with its progress bar."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3")
    said, n, found = [], 200_000, []

    def run(code: str, after: float | None = None) -> dict:
        def output(message: dict) -> None:
            if message["msg_type"] == "stream":
                said.append(message["content"]["text"])

        if after is not None:
            timer = threading.Timer(after, manager.interrupt_kernel)
            timer.start()
        reply = client.execute_interactive(code.format(n=n), output_hook=output, timeout=LONGEST)
        if after is not None:
            timer.join()
        return reply["content"]

    try:
        run(BEGIN)
        began = time.perf_counter()
        run(INTERRUPTED)
        seconds = time.perf_counter() - began
        while len(found) < count:
            reply = run(INTERRUPTED, rng.uniform(0, seconds))
            if reply["status"] == "error":
                name = reply["ename"]
                found.append(name if name == "KeyboardInterrupt" else f"{name}: {reply['evalue']}")
                continue
            said.clear()
            reply = run(CHECKED)
            good = reply["status"] == "ok"
            found.append("".join(said).strip().split("\n")[-1] if good else reply["evalue"])
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return found


# -- all ------------------------------------------------------------------------------------------


def run_case(name: str, count: int, rng: np.random.Generator) -> list[str]:
    """Return what came of each signal to a case."""
    if name == "notebook":
        return notebook(count, rng)
    with tempfile.TemporaryDirectory() as folder:
        case = CASES[name]()
        case.prepare(Path(folder))
        case.measure()
        return [interrupt(case, rng) for _ in range(count)]


def main() -> int:
    checkpoint.LARGEST_SHARE = np.inf  # as often as is asked for
    loop.CHUNK_SECONDS = 0.05
    return run_cases(
        __doc__,
        [*CASES, "notebook"],
        "signals",
        300,
        "what came of them",
        run_case,
        lambda what: what not in GOOD,
    )


if __name__ == "__main__":
    sys.exit(main())
