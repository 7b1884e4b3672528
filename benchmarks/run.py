"""Time vibayes beside PyMC and NumPyro, on the same work and in the same run.

Each figure is taken in a process of its own. Rounds are outermost and libraries innermost, so
that whatever else the machine is doing falls on all of them alike. README.md says how to read it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from cases import CASES, Case

HERE = Path(__file__).resolve().parent
TIMEOUT = 1800  # seconds for one process


@dataclass(frozen=True)
class Variant:
    """A library in one of its ways to run, chosen by environment variables."""

    name: str
    library: str
    environment: dict[str, str] = field(default_factory=dict, hash=False)


VARIANTS = [
    Variant("vibayes", "vibayes", {"VIBAYES_BACKEND": "numba"}),
    Variant("vibayes JAX", "vibayes", {"VIBAYES_BACKEND": "jax"}),
    Variant("PyMC numba", "pymc", {"PYTENSOR_FLAGS": "mode=NUMBA"}),
    Variant("PyMC C", "pymc", {"PYTENSOR_FLAGS": "mode=CVM"}),
    Variant("NumPyro float64", "numpyro", {"JAX_ENABLE_X64": "1"}),
    Variant("NumPyro float32", "numpyro", {"JAX_ENABLE_X64": "0"}),
]
TITLES = {"pymc": "PyMC", "numpyro": "NumPyro"}


class WorkerError(Exception):
    """A worker process failed."""


# -- worker processes -----------------------------------------------------------------------------


class Workers:
    """Starts worker processes.

    Parameters
    ----------
    interpreters
        Python interpreter of each library.
    scratch
        Directory for compilation caches.
    """

    def __init__(self, interpreters: dict[str, str], scratch: Path) -> None:
        self.interpreters = interpreters
        self.scratch = scratch
        self._start_caches: dict[Variant, Path] = {}

    def versions(self, variant: Variant) -> dict[str, str]:
        """Return the versions of a variant's packages; raise if it cannot run here."""
        return self._run(variant, "versions", self._steady_cache(variant))

    def measure(self, case: Case, variant: Variant) -> dict[str, float]:
        """Return the ``value`` of a case, and the mean ``loss`` of its fits."""
        if case.start is None:
            return self._run(variant, case.name, self._steady_cache(variant))
        if case.start == "cold":
            self._start_caches[variant] = self._new_cache()
        elif variant not in self._start_caches:
            self._start_caches[variant] = self._new_cache()
            self._run(variant, "start", self._start_caches[variant])
        began = time.perf_counter()
        found = self._run(variant, "start", self._start_caches[variant])
        return found | {"value": time.perf_counter() - began}

    def _steady_cache(self, variant: Variant) -> Path:
        """Return the cache for cases that do not count compilation: one for the whole run."""
        return self.scratch / variant.name.replace(" ", "-")

    def _new_cache(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.scratch))

    def _run(self, variant: Variant, task: str, cache: Path) -> dict[str, Any]:
        worker = HERE / f"worker_{variant.library}.py"
        try:
            process = subprocess.run(
                [self.interpreters[variant.library], str(worker), task],
                env=environment(variant, cache),
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise WorkerError(str(error)) from None
        if process.returncode:
            raise WorkerError(process.stderr.strip() or f"exit status {process.returncode}")
        return json.loads(process.stdout.splitlines()[-1])


def environment(variant: Variant, cache: Path) -> dict[str, str]:
    """Return the environment of a worker, which leaves no cache but ``cache`` to be found."""
    env = dict(os.environ)
    env.pop("JAX_COMPILATION_CACHE_DIR", None)
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # a checkout would be parsed at each start
    flags = [env.get("PYTENSOR_FLAGS"), variant.environment.get("PYTENSOR_FLAGS")]
    env |= variant.environment
    env["PYTENSOR_FLAGS"] = ",".join([*filter(None, flags), f"base_compiledir={cache}"])
    env["NUMBA_CACHE_DIR"] = str(cache / "other")
    env["JAX_PLATFORMS"] = "cpu"
    if variant.library == "vibayes":  # the one that these benchmarks came with
        paths = [str(HERE.parent), env.get("PYTHONPATH")]
        env["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return env


# -- rounds ---------------------------------------------------------------------------------------


def chosen(backends: list[str]) -> list[Variant]:
    """Return the variants with those of vibayes that run on these backends, in their order."""
    own = {v.environment["VIBAYES_BACKEND"]: v for v in VARIANTS if v.library == "vibayes"}
    others = [v for v in VARIANTS if v.library != "vibayes"]
    return [*(own[backend] for backend in backends), *others]


def available(workers: Workers, variants: list[Variant]) -> dict[Variant, dict[str, str]]:
    """Return the variants that can run, with their versions; say why the others cannot."""
    found = {}
    for variant in variants:
        try:
            found[variant] = workers.versions(variant)
        except WorkerError as error:
            note(f"{variant.name} is left out: {str(error).splitlines()[-1]}")
    return found


def run_rounds(
    workers: Workers, variants: Iterable[Variant], cases: list[Case], rounds: int
) -> list[dict[str, Any]]:
    """Return a record for each measurement, up to where Ctrl-C ends it."""
    records: list[dict[str, Any]] = []
    try:
        for i in range(1, rounds + 1):
            for case in cases:
                for variant in variants:
                    if variant.library in case.libraries:
                        record = {"round": i, "case": case.name, "variant": variant.name}
                        records.append(record | measure_or_error(workers, case, variant, i))
    except KeyboardInterrupt:
        note("interrupted: what follows is what there was up to here")
    return records


def measure_or_error(
    workers: Workers, case: Case, variant: Variant, round_: int
) -> dict[str, float | str]:
    label = f"round {round_}  {case.name:18} {variant.name:16}"
    try:
        found = workers.measure(case, variant)
    except WorkerError as error:
        note(f"{label} FAILED\n{error}")
        return {"error": str(error)}
    note(f"{label} {format_value(found['value'], case.unit)}")
    return found


def note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# -- report ---------------------------------------------------------------------------------------


def describe_run(versions: dict[Variant, dict[str, str]]) -> dict[str, Any]:
    """Return what a reader has to know beside the figures."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision(),
        "machine": platform.platform(),
        "cpus": os.cpu_count(),
        "load": [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "versions": {variant.name: found for variant, found in versions.items()},
    }


def revision() -> str | None:
    """Return the commit of this checkout, ``-dirty`` if it was changed; None without git."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def format_run(run: dict[str, Any]) -> str:
    load = "unknown" if run["load"] is None else ", ".join(map(str, run["load"]))
    lines = [
        f"{run['date']}, revision {run['revision']}",
        f"{run['machine']}, {run['cpus']} CPUs, load average at the start {load}",
    ]
    lines += [
        f"{name}: " + ", ".join(f"{package} {version}" for package, version in found.items())
        for name, found in run["versions"].items()
    ]
    return "\n".join(lines)


def format_value(value: float, unit: str) -> str:
    """Return a value with three digits; seconds with the prefix that suits them."""
    if not unit:
        return f"{value:.2f}"
    prefix = min(max(math.floor(math.log10(value) / 3), -3), 0)
    scaled = value / 1000.0**prefix
    digits = 2 if scaled < 10 else 1 if scaled < 100 else 0
    return f"{scaled:.{digits}f} {['', 'm', 'µ', 'n'][-prefix]}{unit}"


def values_of(records: list[dict[str, Any]], case: Case) -> dict[Variant, list[float]]:
    """Return the values of a case by variant, of those that have any."""
    found = {
        variant: [
            r["value"]
            for r in records
            if r["case"] == case.name and r["variant"] == variant.name and "value" in r
        ]
        for variant in VARIANTS
    }
    return {variant: values for variant, values in found.items() if values}


def format_table(records: list[dict[str, Any]], cases: list[Case]) -> str:
    """Return each case and variant: median, extremes, and the ratio to vibayes."""
    lines = [f"{'case':18} {'library':16} {'median':>9} {'min':>9} {'max':>9} {'/ vibayes':>10}"]
    for case in cases:
        found = values_of(records, case)
        ratios = ratios_to_vibayes(found)
        for variant, values in found.items():
            numbers = [median(values), min(values), max(values)]
            cells = " ".join(f"{format_value(v, case.unit):>9}" for v in numbers)
            ratio = f"{ratios[variant]:10.3g}" if variant in ratios else ""
            lines.append(f"{case.name:18} {variant.name:16} {cells} {ratio}".rstrip())
        failed = [r for r in records if r["case"] == case.name and "error" in r]
        lines += [f"{case.name:18} {r['variant']:16} FAILED in round {r['round']}" for r in failed]
    return "\n".join(lines)


def ratios_to_vibayes(found: dict[Variant, list[float]]) -> dict[Variant, float]:
    """Return the median of each variant of another library over that of vibayes."""
    medians = {variant: median(values) for variant, values in found.items()}
    own = next((m for variant, m in medians.items() if variant.library == "vibayes"), None)
    return {
        variant: m / own for variant, m in medians.items() if own and variant.library != "vibayes"
    }


def format_ratios(records: list[dict[str, Any]], cases: list[Case]) -> str:
    """Return each case with the ratio of the fastest variant of each other library to vibayes."""
    head = " ".join(f"{title:24}" for title in TITLES.values())
    lines = [f"{'times vibayes':18} {head}".rstrip()]
    for case in cases:
        ratios = ratios_to_vibayes(values_of(records, case))
        cells = [fastest(ratios, library) for library in TITLES]
        if any(cells):
            lines.append(f"{case.name:18} " + " ".join(f"{cell:24}" for cell in cells).rstrip())
    return "\n".join(lines) if len(lines) > 1 else ""


def fastest(ratios: dict[Variant, float], library: str) -> str:
    own = {variant: ratio for variant, ratio in ratios.items() if variant.library == library}
    if not own:
        return ""
    variant = min(own, key=own.__getitem__)
    return f"{own[variant]:<6.3g} ({variant.name.split(maxsplit=1)[1]})"


# -- command line ---------------------------------------------------------------------------------


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Time vibayes beside PyMC and NumPyro, interleaved.",
        epilog="cases:\n" + "\n".join(f"  {case.name:18} {case.measures}" for case in CASES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for library in ("vibayes", "pymc", "numpyro"):
        parser.add_argument(
            f"--{library}",
            metavar="PYTHON",
            default=sys.executable,
            help=f"interpreter of the environment that has {library}'s packages (default: this)",
        )
    parser.add_argument(
        "--backend",
        default="numba",
        metavar="BACKEND,...",
        help="backends of vibayes: numba, jax, or numba,jax (default: %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--cases", metavar="CASE,...", help="default: all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    args = parser.parse_args(argv)
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    if args.json and not args.json.resolve().parent.is_dir():
        parser.error(f"--json: there is no folder {args.json.resolve().parent}")
    args.backend = args.backend.split(",")
    if not set(args.backend) <= {"numba", "jax"}:
        parser.error(f"--backend: {','.join(args.backend)} must be of numba and jax")
    known = [case.name for case in CASES]
    wanted = known if args.cases is None else args.cases.split(",")
    if unknown := set(wanted) - set(known):
        parser.error(f"--cases: {', '.join(sorted(unknown))} not known; there are {known}")
    args.cases = [case for case in CASES if case.name in wanted]
    return args


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status: 1 if anything failed."""
    args = arguments(argv)
    interpreters = {name: getattr(args, name) for name in ("vibayes", "pymc", "numpyro")}
    with tempfile.TemporaryDirectory() as scratch:
        workers = Workers(interpreters, Path(scratch))
        versions = available(workers, chosen(args.backend))
        run = describe_run(versions)
        records = run_rounds(workers, versions, args.cases, args.rounds)
    blocks = [format_run(run), format_table(records, args.cases)]
    blocks.append(format_ratios(records, args.cases))
    print("\n\n".join(filter(None, blocks)))
    if args.json:
        args.json.write_text(json.dumps(run | {"results": records}, indent=1) + "\n")
    return int(any("error" in record for record in records))


if __name__ == "__main__":
    sys.exit(main())
