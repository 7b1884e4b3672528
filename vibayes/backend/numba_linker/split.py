"""A long function cut into several: the time of a compiler grows faster than a function."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

__all__ = ["LONGEST", "split"]

LONGEST = 400  # lines of a function
NAME = re.compile(r"(?<![.\w])[a-z]+\d+\b")
ASSIGNED = re.compile(r"^ *(?:for )?((?:[a-z]+\d+, )*[a-z]+\d+) (?:=|in) ")


def split(
    lines: Sequence[str], after: Sequence[str], known: Collection[str], name: str
) -> tuple[list[str], list[tuple[str, str, list[str]]]]:
    """Return lines that call functions, and these functions.

    Parameters
    ----------
    lines
        Lines that belong to one function; those of a loop stay together.
    after
        What comes after them.
    known
        Names that every function knows.
    name
        Their names begin with it.

    Returns
    -------
    list of str
        The calls, or the lines themselves if they are not too many.
    list of tuple
        Name, arguments and lines of each function.
    """
    if len(lines) <= LONGEST:
        return list(lines), []
    groups: list[list[str]] = [[]]
    per_group = len(lines) // (-(-len(lines) // LONGEST)) + 1
    for line in lines:
        if len(groups[-1]) >= per_group and not line.startswith(" "):
            groups.append([])
        groups[-1].append(line)
    calls, functions = [], []
    used_later = names_in(after)
    made_in = [{n for line in group for n in assigned_in(line)} for group in groups]
    for k in reversed(range(len(groups))):
        made, used = made_in[k], names_in(groups[k])
        before = set().union(*made_in[:k])  # sums go on: what is made here may be read before
        given = in_order((used & before) | (used - made) - set(known))
        results = in_order(made & used_later)
        used_later |= used
        body = (
            [*groups[k], f"return ({''.join(f'{n}, ' for n in results)})"] if results else groups[k]
        )
        functions.append((f"{name}{k}", ", ".join(given), body))
        assigned = f"{', '.join(results)}, = " if results else ""
        calls.append(f"{assigned}{name}{k}({', '.join(given)})")
    return calls[::-1], functions


def names_in(lines: Sequence[str]) -> set[str]:
    return {n for line in lines for n in NAME.findall(line.partition("  # ")[0])}


def assigned_in(line: str) -> list[str]:
    found = ASSIGNED.match(line)
    return found[1].split(", ") if found else []


def in_order(names: Collection[str]) -> list[str]:
    return sorted(names, key=lambda n: (re.sub(r"\d", "", n), int(re.sub(r"\D", "", n))))
