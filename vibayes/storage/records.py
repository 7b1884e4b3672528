"""Small records as what JSON can hold, and back: why a fit ended, its judgement, its seeds."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytensor

from vibayes.exceptions import StorageError
from vibayes.records.diagnosis import Diagnosis, VariableCheck
from vibayes.records.ending import Ending
from vibayes.records.findings import Attempt, Findings, Search
from vibayes.version import __version__

__all__ = [
    "diagnosis_from",
    "diagnosis_record",
    "ending_from",
    "ending_record",
    "seeds_from",
    "seeds_record",
    "stamp",
]


MOST_WORDS = 1024  # of a seed
LONGEST_WORD = 4096  # bits


def stamp() -> dict[str, Any]:
    """Return when and with what a file is written."""
    return {
        "created_at": datetime.now(UTC).isoformat(),
        "floatX": pytensor.config.floatX,
        "versions": {
            "vibayes": __version__,
            "pytensor": pytensor.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def plain(record: Any) -> dict[str, Any]:
    """Return a dataclass as what JSON can hold."""
    return {name: plain_value(value) for name, value in asdict(record).items()}


def plain_value(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain_value(v) for v in value]
    if isinstance(value, dict):
        return {key: plain_value(v) for key, v in value.items()}
    return value


def known_fields(cls: type, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return those entries of a record that are fields of a dataclass, lists as tuples."""
    names = {field.name for field in fields(cls)}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in record.items()
        if name in names
    }


def typed(cls: type, found: dict[str, Any]) -> Any:
    """Return an instance of a dataclass whose fields have the types that it declares.

    Raises
    ------
    StorageError
        Names the field.
    """
    hints = get_type_hints(cls)
    for name, value in found.items():
        if not matches(value, hints[name]):
            raise StorageError(f"{name} of {cls.__name__} in the file is {value!s:.60}")
    return cls(**found)


def matches(value: Any, hint: Any) -> bool:
    """Tell whether a value is of an annotated type."""
    if hint is Any:
        return True
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(matches(value, option) for option in inner)
    if origin is tuple:
        return isinstance(value, tuple) and all(matches(v, inner[0]) for v in value)
    if hint in (None, NoneType):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


def ending_record(ending: Ending) -> dict[str, Any]:
    """Return an ending as what JSON can hold."""
    return plain(ending)


def ending_from(record: Mapping[str, Any]) -> Ending:
    """Return the ending of a record."""
    found = known_fields(Ending, record)
    if found.get("findings") is not None:
        findings = known_fields(Findings, found["findings"])
        arrays = {
            name: np.array(findings[name], dtype="float64")
            for name in ("mean", "sd", "points", "own_mean", "own_sd", "own_error")
            if name in findings
        }
        attempts = tuple(typed(Attempt, known_fields(Attempt, a)) for a in findings["attempts"])
        others = {"attempts": attempts, "search": search_from(findings)}
        found["findings"] = typed(Findings, findings | arrays | others)
    return typed(Ending, found)


def search_from(record: Mapping[str, Any]) -> Search | None:
    """Return how a record says that modes were looked for; None if it says nothing."""
    found = record.get("search")
    return None if found is None else typed(Search, known_fields(Search, found))


def diagnosis_record(diagnosis: Diagnosis | None) -> dict[str, Any] | None:
    """Return a judgement as what JSON can hold."""
    return None if diagnosis is None else plain(diagnosis)


def diagnosis_from(record: Mapping[str, Any] | None) -> Diagnosis | None:
    """Return the judgement of a record."""
    if record is None:
        return None
    found = known_fields(Diagnosis, record)
    found["variables"] = tuple(
        typed(VariableCheck, known_fields(VariableCheck, v)) for v in found["variables"]
    )
    found["attempts"] = tuple(typed(Attempt, known_fields(Attempt, a)) for a in found["attempts"])
    found["search"] = search_from(found)
    return typed(Diagnosis, found)


def seeds_record(seeds: np.random.SeedSequence) -> dict[str, Any]:
    """Return a seed sequence, with the number of streams that it has given, for JSON."""
    entropy: Any = seeds.entropy
    return {
        "entropy": int(entropy) if np.ndim(entropy) == 0 else [int(e) for e in entropy],
        "spawn_key": [int(k) for k in seeds.spawn_key],
        "pool_size": int(seeds.pool_size),
        "spawned": int(seeds.n_children_spawned),
    }


def seeds_from(record: Mapping[str, Any]) -> np.random.SeedSequence:
    """Return the seed sequence of a record.

    Raises
    ------
    StorageError
        If its numbers are none of a seed, or far too many.
    """
    entropy, key = record["entropy"], record["spawn_key"]
    words = [*(entropy if isinstance(entropy, list) else [entropy]), *key]
    sizes = [record["pool_size"], record["spawned"]]
    if (
        len(words) > MOST_WORDS
        or any(type(n) is not int or not 0 <= n < 2**LONGEST_WORD for n in [*words, *sizes])
        or not 4 <= sizes[0] <= MOST_WORDS
    ):
        raise StorageError(f"a seed in the file is none: {dict(record)!s:.200}")
    return np.random.SeedSequence(
        record["entropy"],
        spawn_key=tuple(record["spawn_key"]),
        pool_size=record["pool_size"],
        n_children_spawned=record["spawned"],
    )
