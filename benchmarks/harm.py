"""What programs share that do harm to cases of theirs, and print a table of what came of it."""

from __future__ import annotations

import argparse
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable

import numpy as np

__all__ = ["run_cases"]


def run_cases(
    description: str,
    cases: Collection[str],
    harm: str,
    count: int,
    heading: str,
    run_case: Callable[[str, int, np.random.Generator], Iterable[str]],
    is_lost: Callable[[str], bool],
) -> int:
    """Do harm to each case in turn, as the command line says; return the exit status.

    Parameters
    ----------
    description
        Of the program.
    cases
        Names of all cases.
    harm
        What is done, such as "signals".
    count
        How often by default, in all.
    heading
        Of what came of it.
    run_case
        Takes the name of a case, how often, and a random generator; returns what came of each.
    is_lost
        Tells whether something that came of it must not be.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--count", type=int, default=count, help=f"number of {harm}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", help=f"of {'; '.join(cases)}, with ; between")
    arguments = parser.parse_args()
    names = arguments.cases.split(";") if arguments.cases else list(cases)
    logging.getLogger("vibayes").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(arguments.seed)
    shares = np.full(len(names), arguments.count // len(names))
    shares[: arguments.count % len(names)] += 1
    total: Counter[str] = Counter()
    print(f"| case | {harm} | {heading} |")
    print("| --- | ---: | --- |", flush=True)
    for name, share in zip(names, shares, strict=True):
        found = Counter(run_case(name, int(share), rng))
        total += found
        print(f"| {name} | {share} | {in_words(found)} |", flush=True)
    print(f"| all | {total.total()} | {in_words(total)} |")
    return int(any(map(is_lost, total)))


def in_words(counts: Counter[str]) -> str:
    """Return how often each thing has happened."""
    return ", ".join(f"{what} {count}" for what, count in sorted(counts.items()))
