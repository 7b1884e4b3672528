"""What users give by mistake, of many kinds, and what it plainly means where it means something.

A value comes as a pair of functions: one makes it anew, the other says what it means as a number
or an array of NumPy's, or is None where it means nothing.
"""

import array
import collections
import datetime
import decimal
import fractions
import math
import pathlib
import sys

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import xarray as xr
from scipy import sparse


class Foreign:
    """A table of a library that nobody has heard of."""

    def __init__(self, values):
        self.values = values

    def to_numpy(self):
        return np.asarray(self.values)

    def __repr__(self):
        return "Foreign"


class Evil:
    """An object that says nothing of itself, and cannot be read."""

    def __repr__(self):
        raise RuntimeError("no repr")

    def __array__(self, *args, **kwargs):
        raise RuntimeError("no array")


class Sizeless:
    def __len__(self):
        raise RuntimeError("no length")

    def __getitem__(self, index):
        raise RuntimeError("no elements")


def endless():
    values = [1.0]
    values.append(values)
    return values


def masked(mask):
    return np.ma.masked_array([0.25, 0.75], mask)


def means(value):
    return lambda: value


PAIR = np.array([0.25, 0.75])

VALUES = {
    # numbers, and what means numbers
    "minus one": (lambda: -1, means(-1)),
    "zero": (lambda: 0, means(0)),
    "a half": (lambda: 0.5, means(0.5)),
    "NaN": (lambda: math.nan, means(math.nan)),
    "infinity": (lambda: math.inf, means(math.inf)),
    "minus infinity": (lambda: -math.inf, means(-math.inf)),
    "true": (lambda: True, means(1)),
    "NumPy's true": (lambda: np.True_, means(1)),
    "a float of 2 bytes": (lambda: np.float16(0.5), means(0.5)),
    "a float of 16 bytes": (lambda: np.longdouble(0.5), means(0.5)),
    "a decimal": (lambda: decimal.Decimal("0.5"), means(0.5)),
    "a fraction": (lambda: fractions.Fraction(1, 2), means(0.5)),
    "a number too large for int64": (lambda: 10**20, means(1e20)),
    "a list": (lambda: [0.25, 0.75], means(PAIR)),
    "a tuple": (lambda: (0.25, 0.75), means(PAIR)),
    "an array": (PAIR.copy, means(PAIR)),
    "an empty list": (list, means(np.zeros(0))),
    "a matrix": (lambda: np.full((2, 2), 0.5), means(np.full((2, 2), 0.5))),
    "five axes": (lambda: np.full((1, 1, 1, 1, 2), 0.5), means(np.full((1, 1, 1, 1, 2), 0.5))),
    "big endian": (lambda: PAIR.astype(">f8"), means(PAIR)),
    "an array of objects": (lambda: np.array([0.25, 0.75], dtype=object), means(PAIR)),
    "an array of Python": (lambda: array.array("d", PAIR), means(PAIR)),
    "NaN in an array": (lambda: np.array([0.5, np.nan]), means(np.array([0.5, np.nan]))),
    "None in a list": (lambda: [0.5, None], means(np.array([0.5, np.nan]))),
    "a column": (lambda: pd.Series(PAIR), means(PAIR)),
    "a column of nullable numbers": (lambda: pd.Series(PAIR, dtype="Float64"), means(PAIR)),
    "a column with a gap": (
        lambda: pd.array([0.5, None], dtype="Float64"),
        means(np.array([0.5, np.nan])),
    ),
    "an array of pandas": (lambda: pd.array(PAIR), means(PAIR)),
    "a table": (lambda: pd.DataFrame({"a": PAIR, "b": PAIR}), means(np.stack([PAIR, PAIR], 1))),
    "an array of xarray": (lambda: xr.DataArray(PAIR, dims="x"), means(PAIR)),
    "a table of another library": (lambda: Foreign(PAIR), means(PAIR)),
    "nothing masked": (lambda: masked(False), means(PAIR)),
    "a matrix of NumPy": (lambda: np.matrix([[0.25, 0.75]]), means(PAIR[None])),
    "a range": (lambda: range(2), means(np.arange(2))),
    # what means no numbers
    "a gap": (lambda: masked([False, True]), None),
    "all masked": (lambda: np.ma.masked, None),
    "nothing": (lambda: None, None),
    "a word": (lambda: "no", None),
    "a number in a text": (lambda: "3", None),
    "an empty text": (lambda: "", None),
    "bytes": (lambda: b"3", None),
    "words": (lambda: ["a", "b"], None),
    "numbers in texts": (lambda: np.array(["1", "2"]), None),
    "a column of texts": (lambda: pd.Series(["1", "2"]), None),
    "a table of texts": (lambda: pd.DataFrame({"a": [0.5], "b": ["x"]}), None),
    "a category": (lambda: pd.Categorical(["a", "b"]), None),
    "complex": (lambda: 1j, None),
    "complex numbers": (lambda: np.array([1j, 1.0]), None),
    "a complex tensor": (lambda: pt.zvector("z"), None),
    "a date": (lambda: datetime.date(2020, 1, 1), None),
    "a timestamp": (lambda: pd.Timestamp("2020"), None),
    "a time of NumPy": (lambda: np.datetime64("2020-01-01"), None),
    "a duration": (lambda: datetime.timedelta(1), None),
    "dates": (lambda: pd.date_range("2020", periods=2), None),
    "no time": (lambda: pd.NaT, None),
    "not available": (lambda: pd.NA, None),
    "ragged": (lambda: [[0.5], [0.25, 0.75]], None),
    "a list in itself": (endless, None),
    "an enormous number": (lambda: 10**400, None),
    "a set": (lambda: {0.5}, None),
    "a dict": (lambda: {"a": 0.5}, None),
    "an iterator": (lambda: iter([0.5]), None),
    "a function": (lambda: len, None),
    "a lambda": (lambda: lambda: 0.5, None),
    "a class": (lambda: float, None),
    "a module": (lambda: sys, None),
    "an object": (object, None),
    "an evil object": (Evil, None),
    "no length": (Sizeless, None),
    "an ellipsis": (lambda: ..., None),
    "a slice": (lambda: slice(3), None),
    "a path": (lambda: pathlib.Path("a"), None),
    "an error": (lambda: ValueError("x"), None),
    "a random generator": (lambda: np.random.default_rng(1), None),
    "a shared generator": (lambda: pytensor.shared(np.random.default_rng(1)), None),
    "a structured array": (lambda: np.zeros(2, dtype=[("a", float)]), None),
    "a sparse matrix": (lambda: sparse.eye(2), None),
    "a data set": (lambda: xr.Dataset({"a": ("x", PAIR)}), None),
    "a named tuple": (lambda: collections.namedtuple("P", "a")("x"), None),
    "not implemented": (lambda: NotImplemented, None),
}
