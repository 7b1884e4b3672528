"""Small records as what JSON can hold, and back: why a fit ended, its judgement, its seeds."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytensor

from vibayes.records.diagnosis import Diagnosis, VariableCheck
from vibayes.records.ending import Ending
from vibayes.records.findings import Attempt, Findings
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


def ending_record(ending: Ending) -> dict[str, Any]:
    """Return an ending as what JSON can hold."""
    return plain(ending)


def ending_from(record: Mapping[str, Any]) -> Ending:
    """Return the ending of a record."""
    found = known_fields(Ending, record)
    if found.get("findings") is not None:
        findings = known_fields(Findings, found["findings"])
        arrays = {name: np.array(findings[name], dtype="float64") for name in ("mean", "sd")}
        attempts = tuple(Attempt(**known_fields(Attempt, a)) for a in findings["attempts"])
        found["findings"] = Findings(**findings | arrays | {"attempts": attempts})
    return Ending(**found)


def diagnosis_record(diagnosis: Diagnosis | None) -> dict[str, Any] | None:
    """Return a judgement as what JSON can hold."""
    return None if diagnosis is None else plain(diagnosis)


def diagnosis_from(record: Mapping[str, Any] | None) -> Diagnosis | None:
    """Return the judgement of a record."""
    if record is None:
        return None
    found = known_fields(Diagnosis, record)
    found["variables"] = tuple(
        VariableCheck(**known_fields(VariableCheck, v)) for v in found["variables"]
    )
    found["attempts"] = tuple(Attempt(**known_fields(Attempt, a)) for a in found["attempts"])
    return Diagnosis(**found)


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
    """Return the seed sequence of a record."""
    return np.random.SeedSequence(
        record["entropy"],
        spawn_key=tuple(record["spawn_key"]),
        pool_size=record["pool_size"],
        n_children_spawned=record["spawned"],
    )
