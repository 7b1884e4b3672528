"""How far fits are from the posterior, and whether they say so: vibayes beside PyMC.

Ten models (posteriors.py) are fitted by what each library does if told nothing, and by
``method="auto"``, and compared with long runs of the No-U-Turn sampler. README.md says how to
read it. Needs nutpie (``pip install 'vibayes[nuts]'``).
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from posteriors import BUILDERS

LARGEST_SHIFT = 0.2  # of a mean, in posterior standard deviations
WIDTHS = 0.8, 1.25  # ratio of the widths from the 5 % to the 95 % quantile
DRAWS = 4000
MOST_RHAT = 1.01

Summary = dict[str, list[float]]  # of each scalar: mean, sd, width


def summary(posterior: Any) -> Summary:
    """Return mean, standard deviation and width of each scalar of a posterior, by its name."""
    found = {}
    for name, values in posterior.data_vars.items():
        flat = np.asarray(values).reshape(values.shape[0] * values.shape[1], -1)
        low, high = np.quantile(flat, [0.05, 0.95], axis=0)
        for i, column in enumerate(flat.T):
            found[f"{name}[{i}]"] = [column.mean(), column.std(), high[i] - low[i]]
    return found


def fit(library: str, method: str | None, name: str, seed: int) -> dict[str, Any]:
    """Fit a model; return its summary, the seconds and the warnings."""
    lib = importlib.import_module(library)
    options = {} if method is None else {"method": method}
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as said, lib.Model():
        warnings.simplefilter("always")
        BUILDERS[name](lib)
        approx = lib.fit(random_seed=seed, progressbar=False, **options)
        posterior = approx.sample(DRAWS, random_seed=seed).posterior
    # a warning of the fit itself: not of deprecated code
    words = sorted({w.category.__name__ for w in said if issubclass(w.category, UserWarning)})
    seconds = time.perf_counter() - began
    return {"summary": summary(posterior), "seconds": seconds, "said": words}


def worker(library: str, method: str, seed: int, names: Sequence[str]) -> None:
    """Fit models one after the other; print a line of JSON for each."""
    logging.disable(logging.INFO)
    for name in names:
        result = fit(library, None if method == "default" else method, name, seed)
        print(json.dumps({"name": name, **result}), flush=True)


def run_worker(
    interpreter: str, library: str, method: str, seed: int, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the results of a worker process, by model."""
    command = [interpreter, __file__, "--worker", library, method, "--seed", str(seed), *names]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line.pop("name"): line for line in lines}


def worst_rhat(posterior: Any) -> float:
    """Return the largest R-hat of all scalars."""
    import arviz as az

    return max(float(np.max(values)) for values in dict(az.rhat(posterior).data_vars).values())


def least_ess(posterior: Any) -> float:
    """Return the smallest effective number of draws of all scalars, of means and of tails."""
    import arviz as az

    found = (az.ess(posterior, method=method) for method in ("bulk", "tail"))
    return min(float(np.min(v)) for sizes in found for v in dict(sizes.data_vars).values())


def reference(name: str) -> Summary:
    """Return the summary of a long run of the No-U-Turn sampler, which must have converged."""
    import vibayes as vb

    with vb.Model():
        BUILDERS[name](vb)
        draws = vb.sample(
            5000, tune=2000, chains=4, random_seed=1, target_accept=0.95, progressbar=False
        )
    posterior = draws.posterior
    worst = worst_rhat(posterior)
    if worst > MOST_RHAT:
        raise SystemExit(f"{name}: the reference has not converged, R-hat {worst:.3f}")
    return summary(posterior)


def compared(found: Summary, truth: Summary) -> tuple[float, float, float]:
    """Return the largest shift of a mean, and the smallest and largest ratio of widths."""
    shifts = [abs(found[key][0] - mean) / sd for key, (mean, sd, _) in truth.items()]
    ratios = [found[key][2] / width for key, (_, _, width) in truth.items()]
    return max(shifts), min(ratios), max(ratios)


def is_right(shift: float, low: float, high: float) -> bool:
    """Tell whether means and widths are right."""
    return shift <= LARGEST_SHIFT and low >= WIDTHS[0] and high <= WIDTHS[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="models; all by default")
    parser.add_argument("--pymc", help="interpreter of an environment with PyMC")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    names = args.names or list(BUILDERS)
    if unknown := set(names) - set(BUILDERS):
        parser.error(f"unknown models {sorted(unknown)}; known are {', '.join(BUILDERS)}")
    if args.worker:
        worker(*args.worker, args.seed, names)
        return
    runs = [(sys.executable, "vibayes", "default"), (sys.executable, "vibayes", "auto")]
    runs += [(args.pymc, "pymc", "default")] if args.pymc else []
    truth = {name: reference(name) for name in names}
    rows = []
    for interpreter, library, method in runs:
        results = run_worker(interpreter, library, method, args.seed, names)
        means = both = silent = 0
        print(f"\n{library}, {method}\n")
        print("| model | mean off by (sd) | widths | seconds | warned |")
        print("| --- | --- | --- | --- | --- |")
        for name in names:
            shift, low, high = compared(results[name]["summary"], truth[name])
            right = shift <= LARGEST_SHIFT
            whole = is_right(shift, low, high)
            said = results[name]["said"]
            means, both, silent = means + right, both + whole, silent + (not whole and not said)
            seconds = results[name]["seconds"]
            print(
                f"| {name} | {shift:.2f} | {low:.2f} to {high:.2f} | {seconds:.1f} | "
                f"{', '.join(said) or '-'} |"
            )
        total = sum(result["seconds"] for result in results.values())
        rows.append((f"{library}, {method}", means, both, silent, total))
    print(
        f"\n| of {len(names)} models | means right | means and widths right | wrong, no warning "
        "| seconds |\n| --- | --- | --- | --- | --- |"
    )
    for title, means, both, silent, total in rows:
        print(f"| {title} | {means} | {both} | {silent} | {total:.0f} |")


if __name__ == "__main__":
    main()
