"""Fits of random models of everyday kinds, beside long runs of the No-U-Turn sampler.

Each seed makes one model, and data that are drawn from its prior where these are sane. It is fitted
by ``method="auto"`` (or ``--method``), and sampled by nutpie; where nutpie's chains do not agree to
R-hat 1.01 with 400 effective draws, also in a second and longer run where they are close to that,
nothing is known and the model does not count; where they agree, and the fit differs, a much longer
run tells which of the two is wrong. A fit is right if each mean is at most 0.2 posterior standard
deviations off, and each width from the 5 % to the 95 % point between 0.8 and 1.25 of the
sampler's. The table says how many fits are right, how many are wrong and warned, and how many are
wrong without a word, and how long they took beside the sampler's first runs.

    python benchmarks/zoo.py --count 100 --seed 0 --json zoo.jsonl

A seed that is in the file already is not run again.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import DRAWS, MOST_RHAT, compared, is_right, least_ess, summary, worst_rhat
from scipy.interpolate import BSpline

import vibayes as vb

TRIES = 200  # to draw sane data
MOST_SECONDS = 900  # of one model, everything included
LEAST_ESS = 400  # of what is taken for known, means and tails
ROUNDS = (1000, 1000), (2000, 3000)  # tuning steps and draws of the sampler: then a longer run
LONG = {"draws": 8000, "tune": 4000, "target_accept": 0.95}  # where a fit and the sampler differ
MOST_RHAT_AT_FIRST = 1.05  # of the first run, for a longer one to be of use


@dataclass(frozen=True)
class Case:
    """A model without its data: ``build`` makes it, given those, or None to draw them."""

    kind: str
    build: Callable[[np.ndarray | None], Any]


# -- parts of models ------------------------------------------------------------------------------


def pick(rng: np.random.Generator, options: Sequence[Any]) -> Any:
    """Return one of a few things."""
    return options[rng.integers(len(options))]


def log_uniform(rng: np.random.Generator, low: int, high: int) -> int:
    """Return a whole number, as often below the geometric mean of the bounds as above."""
    return int(np.exp(rng.uniform(np.log(low), np.log(high))))


SCALES: dict[str, Callable[[str], Any]] = {
    "HalfNormal": lambda name: vb.HalfNormal(name, 1),
    "Exponential": lambda name: vb.Exponential(name, 1),
    "HalfCauchy": lambda name: vb.HalfCauchy(name, 1),
    "HalfStudentT": lambda name: vb.HalfStudentT(name, nu=4, sigma=1),
    "Gamma": lambda name: vb.Gamma(name, 2, 2),
}


def respond(link: str, scale: str, eta: Any, y: np.ndarray | None) -> None:
    """Add the observed variable, whose linear predictor is given."""
    if link == "normal":
        vb.Normal("y", eta, SCALES[scale]("noise"), observed=y)
    elif link == "student":
        vb.StudentT("y", 4, eta, SCALES[scale]("noise"), observed=y)
    elif link == "bernoulli":
        vb.Bernoulli("y", logit_p=eta, observed=y)
    elif link == "binomial":
        vb.Binomial("y", n=12, logit_p=eta, observed=y)
    elif link == "poisson":
        vb.Poisson("y", vb.math.exp(eta), observed=y)
    elif link == "negative binomial":
        shape = vb.Gamma("shape", 2, 0.5)
        vb.NegativeBinomial("y", mu=vb.math.exp(eta), alpha=shape, observed=y)
    elif link == "zero inflated":
        zeros = vb.Beta("zeros", 2, 2)
        vb.ZeroInflatedPoisson("y", psi=1 - zeros, mu=vb.math.exp(eta), observed=y)
    else:  # gamma
        shape = vb.Gamma("shape", 4, 1)
        vb.Gamma("y", alpha=shape, beta=shape / vb.math.exp(eta), observed=y)


LINKS = "normal", "student", "bernoulli", "binomial", "poisson", "negative binomial", "gamma"


def predictors(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return a few predictors, correlated, some of them yes or no."""
    p = int(rng.integers(1, 7))
    X = rng.normal(size=(n, p)) @ np.linalg.cholesky(0.4 * np.ones((p, p)) + 0.6 * np.eye(p)).T
    yes_or_no = rng.random(p) < 0.3
    return np.where(yes_or_no, X > 0, X)


# -- kinds of models ------------------------------------------------------------------------------


def regression(rng: np.random.Generator, links: Sequence[str] = LINKS) -> Case:
    """A regression with one of the usual links."""
    n, link, scale = log_uniform(rng, 20, 5000), pick(rng, links), pick(rng, list(SCALES))
    X, width = predictors(rng, n), pick(rng, [0.5, 1.0, 2.5])

    def build(y: np.ndarray | None) -> None:
        slope = vb.Normal("slope", 0, width, shape=X.shape[1])
        respond(link, scale, vb.Normal("intercept", 0, 1) + X @ slope, y)

    return Case("regression", build)


def zero_inflated(rng: np.random.Generator) -> Case:
    """A Poisson regression with more zeros than it explains."""
    return Case("zero inflated", regression(rng, ["zero inflated"]).build)


def groups(rng: np.random.Generator) -> Case:
    """A regression with one to three grouping factors, centred or not."""
    n, link, scale = log_uniform(rng, 50, 5000), pick(rng, LINKS), pick(rng, list(SCALES))
    x = rng.normal(size=n)
    levels = [log_uniform(rng, 2, min(500, n // 2)) for _ in range(rng.integers(1, 4))]
    members = [rng.integers(count, size=n) for count in levels]
    centred = [bool(rng.random() < 0.5) for _ in levels]
    slopes = bool(rng.random() < 0.3)  # which differ between the groups of the first factor

    def effects(name: str, count: int, is_centred: bool) -> Any:
        spread = SCALES[scale](f"{name}_sd")
        if is_centred:
            return vb.Normal(name, 0, spread, shape=count)
        return spread * vb.Normal(f"{name}_z", 0, 1, shape=count)

    def build(y: np.ndarray | None) -> None:
        eta = vb.Normal("intercept", 0, 1) + vb.Normal("slope", 0, 1) * x
        for k, (count, member, is_centred) in enumerate(zip(levels, members, centred, strict=True)):
            eta = eta + effects(f"group{k}", count, is_centred)[member]
        if slopes:
            eta = eta + effects("slopes", levels[0], centred[0])[members[0]] * x
        respond(link, scale, eta, y)

    return Case("groups", build)


def series(rng: np.random.Generator) -> Case:
    """A random walk or an autoregression that is seen with noise, or as counts."""
    steps, link, scale = log_uniform(rng, 20, 400), pick(rng, LINKS), pick(rng, list(SCALES))
    walks = bool(rng.random() < 0.6)

    def build(y: np.ndarray | None) -> None:
        spread = vb.HalfNormal("step_sd", 0.3)
        if walks:
            start = vb.Normal.dist(0, 1)
            state = vb.GaussianRandomWalk("state", sigma=spread, init_dist=start, shape=steps)
        else:
            rho = vb.Uniform("rho", -0.95, 0.95)
            start = vb.Normal.dist(0, 1)
            state = vb.AR("state", rho, sigma=spread, init_dist=start, shape=steps)
            state = state + vb.Normal("level", 0, 1)
        respond(link, scale, state, y)

    return Case("random walk" if walks else "autoregression", build)


def mixture(rng: np.random.Generator) -> Case:
    """A mixture of two or three normals whose means are in order."""
    n, k = log_uniform(rng, 50, 2000), int(rng.integers(2, 4))
    scale, shared = pick(rng, ["HalfNormal", "Exponential", "Gamma"]), bool(rng.random() < 0.5)
    begin = np.linspace(-1.0, 1.0, k)

    def build(y: np.ndarray | None) -> None:
        weights = vb.Dirichlet("weights", np.full(k, 2.0))
        means = vb.Normal(
            "means", 0, 3, shape=k, transform=vb.distributions.transforms.ordered, initval=begin
        )
        spread = SCALES[scale]("sd") if shared else vb.Gamma("sd", 4, 4, shape=k)
        vb.NormalMixture("y", weights, means, spread, shape=n, observed=y)

    return Case("mixture", build)


def smooth(rng: np.random.Generator) -> Case:
    """A smooth function: B-splines, or the basis of a Gaussian process."""
    n, link, scale = log_uniform(rng, 30, 2000), pick(rng, LINKS), pick(rng, list(SCALES))
    x, m = np.sort(rng.uniform(-1, 1, n)), int(rng.integers(8, 21))
    if rng.random() < 0.5:
        knots = np.r_[[-1.0] * 3, np.linspace(-1, 1, m - 2), [1.0] * 3]
        B = BSpline.design_matrix(x, knots, 3).toarray()

        def build(y: np.ndarray | None) -> None:
            spread = SCALES[scale]("sd")
            weights = vb.Normal("weights", 0, spread, shape=B.shape[1])
            respond(link, scale, vb.Normal("intercept", 0, 1) + B @ weights, y)

        return Case("splines", build)
    boundary = 1.5
    roots = np.pi * np.arange(1, m + 1) / (2 * boundary)
    basis = np.sin(roots * (x[:, None] + boundary)) / np.sqrt(boundary)

    def build_process(y: np.ndarray | None) -> None:
        amplitude, length = vb.HalfNormal("amplitude", 1), vb.InverseGamma("length", 5, 2)
        density = amplitude * vb.math.sqrt(np.sqrt(2 * np.pi) * length)
        weights = vb.Normal("weights", 0, 1, shape=m)
        f = basis @ (density * vb.math.exp(-0.25 * (length * roots) ** 2) * weights)
        respond(link, scale, vb.Normal("intercept", 0, 1) + f, y)

    return Case("Gaussian process", build_process)


KINDS = regression, groups, groups, groups, series, series, mixture, zero_inflated, smooth


def case_of(seed: int) -> tuple[Case, np.ndarray]:
    """Return the model of a seed, and its data.

    Raises
    ------
    RuntimeError
        If the prior gives no sane data.
    """
    rng = np.random.default_rng([seed, 2026])
    case = pick(rng, KINDS)(rng)
    with vb.Model() as model:
        case.build(None)
    try:
        many = vb.draw(model["y"], TRIES, random_seed=seed)
    except ValueError as error:  # of NumPy's, at counts beyond all whole numbers
        raise RuntimeError(f"no sane data: {error}") from error
    for y in many:
        if is_sane(y):
            return case, y
    raise RuntimeError("no sane data")


def is_sane(y: np.ndarray) -> bool:
    """Tell whether data could be those of somebody."""
    if not np.isfinite(y).all() or np.abs(y).max() > 1e4:
        return False
    if y.dtype.kind in "iub":  # counts: some of at least two kinds
        return bool(np.unique(y, return_counts=True)[1].max() < 0.95 * len(y))
    spread = float(y.std())
    return spread > 1e-3 and np.abs(y).max() < 100 * max(spread, 1.0)


# -- one model ------------------------------------------------------------------------------------


def run_one(seed: int, method: str) -> dict[str, Any]:
    """Fit and sample the model of a seed; return what came out."""
    logging.disable(logging.INFO)
    row: dict[str, Any] = {"seed": seed, "method": method}
    try:
        case, y = case_of(seed)
    except RuntimeError as error:
        return {**row, "class": "no data", "why": str(error)}
    with vb.Model() as model:
        case.build(y)
    row |= {"kind": case.kind, "n": len(y)}
    options = {} if method == "default" else {"method": method}
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        approx = vb.fit(model=model, random_seed=seed, progressbar=False, **options)
        fitted = approx.sample(DRAWS, random_seed=seed).posterior
    row |= {"seconds": round(time.perf_counter() - began, 1), "d": int(approx.ddim)}
    warned = any(
        issubclass(w.category, (vb.ApproximationWarning, vb.ConvergenceWarning)) for w in said
    )
    row |= {"warned": warned, "family": type(approx).__name__, "verdict": approx.diagnose().verdict}
    truth, seconds = reference(model, seed)
    row["sampler_seconds"] = round(seconds, 1)
    if truth is None:
        return {**row, "class": "not known"}
    found = outcome(fitted, truth, warned)
    if not found["class"].startswith("right"):
        truth = sampled(model, seed + 1, **LONG)
        row["sampler_alone"] = found
        found = {"class": "not known"} if truth is None else outcome(fitted, truth, warned)
    return row | found


def reference(model: vb.Model, seed: int) -> tuple[Any, float]:
    """Return draws of the sampler, or None if its chains do not agree; and its first seconds."""
    seconds = None
    for tune, draws in ROUNDS:
        began = time.perf_counter()
        trace = drawn(model, seed, draws=draws, tune=tune)
        seconds = time.perf_counter() - began if seconds is None else seconds
        if has_mixed(trace):
            return trace, seconds
        if worst_rhat(trace) > MOST_RHAT_AT_FIRST:
            break
    return None, float(seconds or 0.0)


def sampled(model: vb.Model, seed: int, **options: Any) -> Any:
    """Return draws of the sampler, or None if its chains do not agree."""
    trace = drawn(model, seed, **options)
    return trace if has_mixed(trace) else None


def drawn(model: vb.Model, seed: int, **options: Any) -> Any:
    """Return draws of the sampler."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace = vb.sample(chains=4, model=model, random_seed=seed, progressbar=False, **options)
    return trace.posterior


def has_mixed(trace: Any) -> bool:
    """Tell whether chains agree."""
    return bool(worst_rhat(trace) <= MOST_RHAT and least_ess(trace) >= LEAST_ESS)


def outcome(fitted: Any, truth: Any, warned: bool) -> dict[str, Any]:
    """Return how far draws of a fit are from those of the sampler."""
    found, known = summary(fitted), summary(truth)
    shift, low, high = compared(found, known)
    name = ("right" if is_right(shift, low, high) else "wrong") + (", warned" if warned else "")
    return {
        "class": "SILENT" if name == "wrong" else name,
        "shift": round(shift, 3),
        "shift_of": max(known, key=lambda key: abs(found[key][0] - known[key][0]) / known[key][1]),
        "widths": [round(low, 3), round(high, 3)],
    }


# -- all of them ----------------------------------------------------------------------------------


def run_in_process(seed: int, method: str) -> dict[str, Any]:
    """Return the row of a seed, made by a process of its own."""
    command = [sys.executable, __file__, "--one", str(seed), "--method", method]
    began = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        return {"seed": seed, "method": method, "class": "too long"}
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if not rows:
        why = (done.stderr.strip() or "no output").splitlines()[-1]
        rows = [{"seed": seed, "method": method, "class": "CRASH", "why": why}]
    return {**rows[-1], "wall": round(time.perf_counter() - began, 1)}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return counts by kind, and the seconds of all, as a table."""
    classes = [
        "right",
        "right, warned",
        "wrong, warned",
        "SILENT",
        "CRASH",
        "too long",
        "not known",
    ]
    by_kind: dict[str, Counter[str]] = {}
    for row in rows:
        by_kind.setdefault(row.get("kind", "?"), Counter())[row["class"]] += 1
    total = sum(by_kind.values(), Counter())
    lines = ["| kind | " + " | ".join(classes) + " |", "| --- |" + " --- |" * len(classes)]
    for kind, counts in [*sorted(by_kind.items()), ("all", total)]:
        lines.append(f"| {kind} | " + " | ".join(str(counts[name]) for name in classes) + " |")
    known = [row for row in rows if row["class"] != "not known"]
    lines += ["", f"Seconds of the known ones: {seconds_of(known)}; of all: {seconds_of(rows)}."]
    return "\n".join(lines)


def seconds_of(rows: Sequence[dict[str, Any]]) -> str:
    """Return how long fits and the sampler took, in words."""
    timed = [row for row in rows if "sampler_seconds" in row]
    own, other = (sum(row[key] for row in timed) for key in ("seconds", "sampler_seconds"))
    return f"fits {own:.0f}, the sampler {other:.0f}"


def main() -> None:
    """Run the models of a range of seeds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20, help="how many models")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--method", default="auto", help="of vb.fit, or 'default'")
    parser.add_argument("--json", type=Path, help="a file of results, a line each")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(run_one(arguments.one, arguments.method)))
        return
    rows = []
    if arguments.json and arguments.json.exists():
        rows = [json.loads(line) for line in arguments.json.read_text().splitlines()]
    known = {(row["seed"], row["method"]) for row in rows}
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    for seed in seeds:
        if (seed, arguments.method) in known:
            continue
        row = run_in_process(seed, arguments.method)
        rows.append(row)
        print(json.dumps(row), flush=True)
        if arguments.json:
            with arguments.json.open("a") as file:
                file.write(json.dumps(row) + "\n")
    chosen = [r for r in rows if r["seed"] in seeds and r["method"] == arguments.method]
    print(table(chosen))


if __name__ == "__main__":
    main()
