"""Bad inputs, one after the other, and what becomes of them.

Run as ``python bad_inputs.py SEED COUNT START``: a line of JSON before each input and after it.
"""

import collections.abc
import json
import logging
import random
import re
import subprocess
import sys
import threading
import types
import typing
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import Empty, Queue

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers.bad_values import VALUES
from helpers.public_calls import FREE, IMPUTED, NUMBERS, PATH, SEED, TENSOR, result_of, targets

SECONDS = 60  # for one input; a busy machine takes its time

# what may become of an input
CLEAR, OBSCURE, AS_MEANT, WRONG, FINE, CRASH, HANG = (
    "refused clearly",
    "refused obscurely",
    "taken as meant",
    "silently wrong",
    "no bad value here",
    "crash",
    "hang",
)
ALLOWED = re.compile(
    r"must|give|expect|need|no effect|there (is|are)|known|such as|cannot|neither|at least|"
    r"has|have|takes|pass|allowed|one of|fit|without|different|not|Drop|shou"
)


@dataclass(frozen=True)
class Outcome:
    """What became of an input."""

    input: str
    verdict: str
    detail: str = ""


@cache
def all_targets():
    return tuple(targets())


def inputs(seed, count):
    """Return pairs of an argument and a value, all of them different, in random order."""
    rng = random.Random(seed)
    pairs = [(t, name) for t in all_targets() for name in VALUES]
    return rng.sample(pairs, min(count, len(pairs)))


def outcome_of(target, name):
    """Give an argument a bad value, and judge what happens."""
    make, meaning = VALUES[name]
    what = f"{target.label} = {name}"
    value = make()
    if value is None and target.optional:
        return Outcome(what, FINE)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            result = target.call(value)
        except Exception as error:
            return Outcome(what, *judged_message(target, name, error))
        if result is IMPUTED or target.kind == FREE:
            return Outcome(what, FINE)
        if target.kind == TENSOR and "complex" in name:
            return Outcome(what, FINE)
        if target.kind in (NUMBERS, TENSOR, float, int) or is_union_of(target.kind, (int, float)):
            return Outcome(what, *judged_number(target, meaning, result))
    if fits(target.kind, make()):
        return Outcome(what, FINE)
    return Outcome(what, WRONG, f"taken without a word, result {result}"[:300])


def judged_number(target, meaning, result):
    """Compare a result with that of the number, or array, that a value plainly means."""
    if meaning is None:
        return WRONG, f"means no number, but gave {result}"[:300]
    plain = meaning()
    result = result_of(result)
    if target.kind not in (NUMBERS, TENSOR) and np.ndim(plain):
        return WRONG, f"is more than one number, but gave {result}"[:300]
    try:
        wanted = result_of(target.call(plain))
    except Exception as error:
        return WRONG, f"was taken, but {plain!r} is refused: {error}"[:300]
    if repr(wanted) == repr(result) or equal(wanted, result):
        return AS_MEANT, ""
    return WRONG, f"gave {result}, the plain number {wanted}"[:300]


def equal(a, b):
    try:
        return np.allclose(np.asarray(a, float), np.asarray(b, float), rtol=1e-3, equal_nan=True)
    except (TypeError, ValueError):
        return False


def judged_message(target, name, error):
    """Tell whether a message has the name of the argument, or variable, and what is allowed."""
    message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    named = re.search(rf"(?<!\w){re.escape(target.argument)}(?!\w)", message)
    named = named or "'v'" in message or "Dimension '" in message
    shown = VALUES[name][0]()
    try:
        is_shown = " ".join(repr(shown).split())[:12] in message
    except Exception:
        is_shown = False
    if named and (is_shown or ALLOWED.search(message)):
        return CLEAR, ""
    return OBSCURE, f"{type(error).__name__}: {message}"[:300]


def is_union_of(kind, parts):
    return any(part in parts for part in typing.get_args(kind)) and bool not in typing.get_args(
        kind
    )


def fits(kind, value):
    """Tell whether a value is of a kind that takes no numbers."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(fits(part, value) for part in inner)
    if kind == SEED:
        return value is None or isinstance(value, np.random.Generator) or all_whole(value)
    if kind == PATH:
        return isinstance(value, str | Path)
    if kind is bool:
        return isinstance(value, bool | np.bool_) or (type(value) is int and value in (0, 1))
    if kind in (None, types.NoneType):
        return value is None
    if origin is collections.abc.Callable or origin is type:
        return callable(value)
    if origin is collections.abc.Mapping:
        return isinstance(value, collections.abc.Mapping)
    if origin in (collections.abc.Sequence, collections.abc.Collection, collections.abc.Iterable):
        return is_list_of(inner[0], value)
    if kind is list or origin is list:
        return is_list_of(inner[0] if inner else object, value)
    return isinstance(kind, type) and isinstance(value, kind)


def is_list_of(kind, value):
    if isinstance(value, str):
        return kind in (str, typing.Any)
    if kind is typing.Any:
        return hasattr(value, "__len__") and not isinstance(value, set | dict)
    try:
        return all(fits(kind, element) for element in value)
    except Exception:
        return False


def all_whole(value):
    try:
        array = np.asarray(value)
        return (array.dtype.kind in "iu" and (array >= 0).all()) or isinstance(value, int)
    except Exception:
        return False


# -- in processes of their own --------------------------------------------------------------------


def run(seed, count, start):
    """Judge inputs from one on, and say so line by line."""
    logging.getLogger("vibayes").setLevel(logging.ERROR)
    out, sys.stdout = sys.stdout, sys.stderr
    for i, (target, name) in enumerate(inputs(seed, count)[start:], start):
        print(json.dumps([i, f"{target.label} = {name}"]), file=out, flush=True)
        found = outcome_of(target, name)
        print(json.dumps([i, found.input, found.verdict, found.detail]), file=out, flush=True)


def outcomes(seed, count, seconds=SECONDS):
    """Judge inputs in a process that is started again when it crashes, or hangs."""
    found = []
    while len(found) < count:
        begun = len(found)
        command = [sys.executable, __file__, str(seed), str(count), str(begun)]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        lines = Queue()
        threading.Thread(target=read_into, args=(process.stdout, lines), daemon=True).start()
        last, verdict = "the start", CRASH
        while len(found) < count:
            try:
                line = lines.get(timeout=seconds if len(found) > begun else 10 * seconds)
            except Empty:
                verdict = HANG
                break
            if line is None:
                break
            _, last, *judged = json.loads(line)
            if judged:
                found.append(Outcome(last, *judged))
        process.kill()
        process.wait()
        if len(found) < count:
            found.append(Outcome(last, verdict))
    return found


def read_into(stream, lines):
    for line in stream:
        lines.put(line)
    lines.put(None)


def report(found):
    """Return the figures of some outcomes in words, and those to be mended."""
    counts = Counter(o.verdict for o in found)
    bad = [o for o in found if o.verdict in (OBSCURE, WRONG, CRASH, HANG)]
    lines = [f"{len(found):,} inputs"] + [f"{n:>7,} {verdict}" for verdict, n in counts.items()]
    return "\n".join(lines + [f"{o.verdict}: {o.input}: {o.detail}" for o in bad])


if __name__ == "__main__":
    run(*map(int, sys.argv[1:]))
