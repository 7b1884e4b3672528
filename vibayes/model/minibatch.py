"""Minibatches: tensors that show other rows of the data each time they are evaluated."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_seed, check_size
from vibayes.backend.graphs import view_as
from vibayes.backend.modes import evaluate
from vibayes.backend.seeds import as_seed_sequence
from vibayes.exceptions import ImputationError, ShapeError
from vibayes.model.rows import RowKey, RowStream, row_stream
from vibayes.streaming.sample import sample_rows
from vibayes.streaming.sources import is_streamed
from vibayes.streaming.stream import Stream, StreamedMinibatch, streamed_minibatch

__all__ = [
    "Minibatch",
    "batch_lengths",
    "check_same_rows",
    "minibatches_in",
    "sampled_data",
    "whole_lengths",
]

DEFAULT_SEED = 42


class Minibatch(TensorVariable):
    """Random rows of the data, other ones at each evaluation and at each step of a fit.

    It is a tensor like any other, for use in any expression. ``Minibatch(X, y, batch_size=500)``
    gives a tuple with one tensor an array, all of the same rows.

    Parameters
    ----------
    data : array_like or SharedVariable
        The data, at least one axis, or several such that have the same length. Whole numbers stay
        whole numbers, others become ``floatX``. Of a shared variable, such as
        :func:`vibayes.Data` makes, no copy is taken: what it is set to is seen.
    batch_size : int, list or None, default 128
        Number of rows. In a list one entry an axis, from the first on: a number, a tuple
        ``(size, seed)``, or None for an axis that is to be whole; one ``Ellipsis`` stands for all
        axes that the list does not reach. None takes all data each time. Axes are drawn
        independently of each other.
    dtype : str, optional
        Dtype to cast the data to.
    broadcastable : tuple of bool, optional
        The axes of length 1 along which the tensor broadcasts; none by default.
    name : str, default "Minibatch"
        Name of the tensor.
    random_seed : int, optional
        Seed for axes that name none. Minibatches of data of one length that have equal seed and
        size show the same rows, as far as they are evaluated together. None for rows that nothing
        else shows.
    update_shared_f : callable, optional
        Returns new data, for :meth:`update_shared`.
    in_memory_size : int, slice or list, optional
        Which part of the data to keep: the first rows, or an entry an axis, a number, a slice,
        None or ``Ellipsis``.
    replace : bool, default True
        Whether rows are drawn independently. If not, every row comes once before any comes again,
        in an order that is random and new in each such epoch.

    Attributes
    ----------
    shared : SharedVariable
        The data.
    minibatch : TensorVariable
        Rows of it. To have the whole data in an expression, replace this by ``shared``.
    batch_shape : tuple of int
        Shape of a minibatch.

    Raises
    ------
    TypeError
        If the data are not numbers, or a size is no whole number.
    ValueError
        If there are no data, or a size is less than one.
    ShapeError
        If a size is more than the data have, an axis is named that they do not have, or several
        data have different lengths.

    Notes
    -----
    An observed minibatch stands for more data than it has: tell how many by ``total_size``. The
    log density is then scaled so that its mean over minibatches is that of all data.

    A fit draws rows from its own seed, of which ``random_seed`` is a part.

    Examples
    --------
    >>> import numpy as np
    >>> import vibayes as vb
    >>> data = np.random.default_rng(1).normal(2.0, 1.0, size=(1000, 2))
    >>> x = vb.Minibatch(data, batch_size=100)
    >>> with vb.Model():
    ...     mu = vb.Normal("mu", 0, 10, shape=2)
    ...     likelihood = vb.Normal("likelihood", mu, 1, observed=x, total_size=data.shape)
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        count = number_of_arrays(args, kwargs)
        if any(map(is_streamed, args[:count])):
            return streamed_minibatch(*args[:count], **named(args[count:]), **kwargs)
        if count < 2:
            return super().__new__(cls)
        return cls._several(args[:count], *args[count:], **kwargs)

    def __init__(
        self,
        data: Any,
        batch_size: Any = 128,
        dtype: Any = None,
        broadcastable: Sequence[bool] | None = None,
        name: str = "Minibatch",
        random_seed: int | None = DEFAULT_SEED,
        update_shared_f: Callable[[], Any] | None = None,
        in_memory_size: Any = None,
        *,
        replace: bool = True,
    ) -> None:
        label = f"Minibatch({name!r})"
        if update_shared_f is not None and not callable(update_shared_f):
            raise TypeError(f"{label}: update_shared_f must be callable, got {update_shared_f!r}")
        storage = Storage(label, dtype, in_memory_size)
        shared = storage.shared(data)
        axes = sampled_axes(batch_size, random_seed, shape_of(shared), label)
        rows = [axis.rows(shared, replace) for axis in axes]
        self._assemble(storage, shared, axes, rows, name, broadcastable, update_shared_f)

    @classmethod
    def _several(
        cls,
        arrays: Sequence[Any],
        batch_size: Any = 128,
        *,
        dtype: Any = None,
        name: str = "Minibatch",
        random_seed: int | None = DEFAULT_SEED,
        in_memory_size: Any = None,
        replace: bool = True,
    ) -> tuple[Minibatch, ...]:
        """Return a minibatch of each array, all of the same rows."""
        label = f"Minibatch({name!r})"
        storage = Storage(label, dtype, in_memory_size)
        parts = [storage.shared(data) for data in arrays]
        lengths = [shape_of(shared)[0] for shared in parts]
        if len(set(lengths)) > 1:
            raise ShapeError(f"{label}: the data have different lengths, {lengths}")
        axes = sampled_axes(batch_size, random_seed, lengths[:1], label)
        rows = [axis.rows(parts[0], replace) for axis in axes]
        result = []
        for i, shared in enumerate(parts):
            part = super().__new__(cls)
            part._assemble(storage, shared, axes, rows, f"{name}_{i}")
            result.append(part)
        return tuple(result)

    def _assemble(
        self,
        storage: Storage,
        shared: SharedVariable,
        axes: Sequence[SampledAxis],
        rows: Sequence[tuple[RowStream, TensorVariable]],
        name: str,
        broadcastable: Sequence[bool] | None = None,
        update_shared_f: Callable[[], Any] | None = None,
    ) -> None:
        minibatch = gathered(shared, {a.axis: r for a, (_, r) in zip(axes, rows, strict=True)})
        self._storage = storage
        self._sizes = {axis.axis: axis.size for axis in axes}
        self._streams = {a.axis: stream for a, (stream, _) in zip(axes, rows, strict=True)}
        self._update = update_shared_f
        self.shared = shared
        if broadcastable is not None:
            fixed = broadcasting_axes(broadcastable, self.batch_shape, storage.label)
            minibatch = pt.specify_broadcastable(minibatch, *fixed) if fixed else minibatch
        minibatch.name = name
        self.minibatch = minibatch
        super().__init__(minibatch.type, None, None, name=name)
        view_as(minibatch, self)

    # -- shapes -------------------------------------------------------------------------------

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of a minibatch."""
        shape = shape_of(self.shared)
        return tuple(self._sizes.get(axis, length) for axis, length in enumerate(shape))

    @property
    def whole_shape(self) -> tuple[int, ...]:
        """Shape of the whole data."""
        return shape_of(self.shared)

    @property
    def is_sampled(self) -> bool:
        """Whether it shows a part of the data, rather than all of them."""
        return bool(self._sizes)

    # -- rows ---------------------------------------------------------------------------------

    @property
    def RNG(self) -> dict[int, list[SharedVariable]]:
        """Random generators that the rows come from, by seed."""
        found: dict[int, list[SharedVariable]] = {}
        for stream in self._streams.values():
            found.setdefault(stream.key.seed, []).append(stream.rng)
        return found

    @staticmethod
    def rslice(total: int, size: int | None, seed: int) -> TensorVariable | slice:
        """Return random rows, to index with.

        Parameters
        ----------
        total
            Number of rows that there are.
        size
            Number of rows wanted; None for all, as a slice.
        seed
            Seed.
        """
        return Minibatch.make_random_slices([total], [size], seed)[0]

    @staticmethod
    def make_random_slices(
        in_memory_shape: Sequence[int], batch_size: Any, default_random_seed: int
    ) -> list[TensorVariable | slice]:
        """Return random rows of each axis, or a slice for an axis that is whole.

        Parameters
        ----------
        in_memory_shape
            Shape of the data.
        batch_size
            As for the class.
        default_random_seed
            Seed for axes that name none.
        """
        shape = tuple(in_memory_shape)
        slices: list[TensorVariable | slice] = [slice(None)] * len(shape)
        for axis in sampled_axes(batch_size, default_random_seed, shape, "make_random_slices"):
            stream = axis.stream(shape[axis.axis], replace=True)
            slices[axis.axis] = stream.rows(pt.constant(shape[axis.axis], dtype="int64"))
        return slices

    @staticmethod
    def make_static_slices(user_size: Any) -> list[Any]:
        """Return the slices, and Ellipsis, that ``in_memory_size`` stands for.

        Parameters
        ----------
        user_size
            As ``in_memory_size`` of the class.
        """
        if user_size is None:
            return [Ellipsis]
        entries = user_size if isinstance(user_size, list | tuple) else [user_size]
        slices = []
        for entry in entries:
            if entry is None:
                entry = slice(None)
            elif entry is not Ellipsis and not isinstance(entry, slice):
                entry = slice(check_size(entry, "Minibatch", "in_memory_size"))
            slices.append(entry)
        return slices

    def sampled(
        self, count: int, chosen: dict[RowStream, np.ndarray], seed: np.random.SeedSequence
    ) -> np.ndarray:
        """Return a part of the data: random rows of each sampled axis, none of them twice.

        Parameters
        ----------
        count
            How many; all, if there are fewer.
        chosen
            The rows that were chosen so far, by their stream; those chosen here are added.
        seed
            Seed of the choice.
        """
        values = self.shared.get_value(borrow=True)
        for axis, stream in self._streams.items():
            length = values.shape[axis]
            if stream not in chosen:
                rng = np.random.default_rng([*seed.generate_state(4), *stream.key.entropy])
                chosen[stream] = np.sort(rng.permutation(length)[:count])
            values = values.take(chosen[stream], axis=axis)
        return values

    # -- other data ---------------------------------------------------------------------------

    def set_value(self, value: Any) -> None:
        """Exchange the data.

        Parameters
        ----------
        value : array_like
            New data, of any length that is not less than a batch.

        Raises
        ------
        ShapeError
            If they have another number of axes, or are too short.
        TypeError
            If they are not numbers, or not whole numbers where these are kept.
        """
        array = self._storage.array(value, self.shared.dtype)
        check_axes(array, self.shared, self._storage.label)
        for axis, size in self._sizes.items():
            check_fits(size, axis, array.shape, self._storage.label)
        self.shared.set_value(array, borrow=True)

    def update_shared(self) -> None:
        """Exchange the data for what ``update_shared_f`` returns.

        Raises
        ------
        NotImplementedError
            If there is no such function.
        """
        if self._update is None:
            raise NotImplementedError(
                f"{self._storage.label}: update_shared calls update_shared_f, which was not given"
            )
        self.set_value(self._update())

    # -- what PyTensor and pickle do with a variable ------------------------------------------

    def clone(self, **kwargs: Any) -> TensorVariable:
        """Return a new tensor variable of this name and type, which draws nothing."""
        return self.type.make_variable(name=kwargs.pop("name", self.name))


def number_of_arrays(args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """Return how many of the positional arguments are data, rather than a batch size."""
    if "batch_size" in kwargs:
        return len(args)
    return next((i for i, a in enumerate(args) if i > 0 and not is_array(a)), len(args))


def named(args: Sequence[Any]) -> dict[str, Any]:
    """Return positional arguments, those after the data, by name."""
    parameters = list(inspect.signature(Minibatch.__init__).parameters.values())[2:]
    names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    if len(args) > len(names):
        raise TypeError(f"Minibatch: too many positional arguments, {args[len(names) :]!r}")
    return dict(zip(names, args, strict=False))


def is_array(value: Any) -> bool:
    return hasattr(value, "ndim") and value.ndim > 0


# -- the data -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Storage:
    """How data are kept.

    Attributes
    ----------
    label : str
        The minibatch, as messages are to name it.
    dtype : str or None
        What to cast to.
    in_memory_size : int, slice, list or None
        Which part to keep.
    """

    label: str
    dtype: Any
    in_memory_size: Any

    def __post_init__(self) -> None:
        if self.dtype is not None and np.dtype(self.dtype).kind not in "iuf":
            raise TypeError(f"{self.label}: dtype must be one of numbers, got {self.dtype!r}")

    def shared(self, data: Any) -> SharedVariable:
        """Return data as a shared variable: as it is if it is one, else a copy."""
        if isinstance(data, Constant):
            data = data.data
        if isinstance(data, SharedVariable) and isinstance(data.type, pt.TensorType):
            self._check_shared(data)
        elif isinstance(data, Variable):
            raise TypeError(
                f"{self.label}: data must be numbers or a shared variable, got the expression "
                f"{data}"
            )
        else:
            array = self.array(data)
            data = pytensor.shared(array, name="data", shape=(None,) * array.ndim, borrow=True)
        shape = shape_of(data)
        if not shape:
            raise ShapeError(f"{self.label}: data must have at least one axis, got a number")
        if 0 in shape:
            raise ValueError(f"{self.label}: there are no data, their shape is {shape}")
        return data

    def _check_shared(self, data: SharedVariable) -> None:
        if self.in_memory_size is not None:
            raise ValueError(
                f"{self.label}: in_memory_size is for data that are copied, but {data} is a shared "
                f"variable, which is used as it is"
            )
        if self.dtype is not None and np.dtype(self.dtype) != data.dtype:
            raise TypeError(
                f"{self.label}: the shared variable {data} has dtype {data.dtype} and is used as "
                f"it is, so dtype cannot be {self.dtype!r}"
            )

    def array(self, data: Any, dtype: Any = None) -> np.ndarray:
        """Return the part of the data that is kept, as a new array whose rows are contiguous.

        Parameters
        ----------
        data
            Numbers.
        dtype
            The dtype that earlier data have.
        """
        if np.ma.isMaskedArray(data) and np.ma.getmaskarray(data).any():
            raise ImputationError(
                f"{self.label}: {np.ma.count_masked(data)} of {data.size} values are masked; leave "
                f"out their rows"
            )
        array = np.asarray(data.to_numpy() if hasattr(data, "to_numpy") else data)
        if array.dtype.kind not in "biuf":
            raise TypeError(
                f"{self.label}: data must be numbers, but their dtype is {array.dtype}; cast them "
                f"first, as in data.astype('float64')"
            )
        array = array[kept_part(self.in_memory_size, array.shape, self.label)]
        wanted = self.dtype or dtype or default_dtype(array)
        with np.errstate(invalid="ignore"):  # what the cast breaks is told below
            result = np.array(array, dtype=wanted, order="C")
        unasked = self.dtype is None and result.dtype != array.dtype
        if unasked and result.dtype.kind in "iu" and (result != array).any():
            raise TypeError(
                f"{self.label}: it holds whole numbers of dtype {result.dtype}, which cannot hold "
                f"the new value {array[result != array][0]}"
            )
        return result


def default_dtype(array: np.ndarray) -> Any:
    """Return the dtype of whole numbers, of truth values a small one, of others ``floatX``."""
    if array.dtype.kind == "b":
        return "int8"
    return array.dtype if array.dtype.kind in "iu" else pytensor.config.floatX


def shape_of(shared: SharedVariable) -> tuple[int, ...]:
    """Return the present shape of a shared variable."""
    return shared.get_value(borrow=True).shape


def kept_part(in_memory_size: Any, shape: Sequence[int], label: str) -> tuple[Any, ...]:
    """Return the slice of each axis that ``in_memory_size`` keeps."""
    slices = Minibatch.make_static_slices(in_memory_size)
    for axis, part in enumerate(one_per_axis(slices, len(shape), label, "in_memory_size")):
        if part is not None and part.start is None and part.stop is not None:
            check_fits(part.stop, axis, shape, label, "in_memory_size")
    return tuple(slices)


def check_axes(array: np.ndarray, shared: SharedVariable, label: str) -> None:
    """Raise if new data have other axes than the ones before."""
    fixed = shared.type.shape
    if array.ndim != len(fixed):
        raise ShapeError(f"{label}: the data have {len(fixed)} axes, the new ones {array.ndim}")
    for axis, (length, known) in enumerate(zip(array.shape, fixed, strict=True)):
        if known is not None and length != known:
            raise ShapeError(f"{label}: axis {axis} has length {known}, it cannot be {length}")


# -- sizes --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SampledAxis:
    """An axis of which a minibatch has a part."""

    axis: int
    size: int
    seed: int
    occurrence: int

    def stream(self, length: int, replace: bool) -> RowStream:
        """Return where the rows of an axis of some length come from."""
        return row_stream(RowKey(self.seed, self.occurrence, length, self.size, bool(replace)))

    def rows(self, shared: SharedVariable, replace: bool) -> tuple[RowStream, TensorVariable]:
        """Return a stream of rows of the data, and those that are shown."""
        stream = self.stream(shape_of(shared)[self.axis], replace)
        return stream, stream.rows(shared.shape[self.axis])


def sampled_axes(
    batch_size: Any, random_seed: int | None, shape: Sequence[int], label: str
) -> list[SampledAxis]:
    """Return the axes of which ``batch_size`` takes a part."""
    entries = batch_size if isinstance(batch_size, list | tuple) else [batch_size]
    default = check_seed(random_seed, label)
    found: list[SampledAxis] = []
    for axis, entry in enumerate(one_per_axis(entries, len(shape), label, "batch_size")):
        if entry is None:
            continue
        size, seed = size_and_seed(entry, default, label)
        check_fits(size, axis, shape, label)
        same = [f for f in found if (shape[f.axis], f.size, f.seed) == (shape[axis], size, seed)]
        found.append(SampledAxis(axis, size, seed, len(same)))
    return found


def size_and_seed(entry: Any, default: int, label: str) -> tuple[int, int]:
    """Return the size and the seed that an entry of ``batch_size`` names."""
    if isinstance(entry, list | tuple):
        if len(entry) != 2:
            raise TypeError(f"{label}: an entry of batch_size is (size, seed), got {entry!r}")
        return check_size(entry[0], label, "batch_size"), check_seed(entry[1], label)
    return check_size(entry, label, "batch_size"), default


def one_per_axis(entries: Sequence[Any], ndim: int, label: str, what: str) -> list[Any]:
    """Return one entry an axis: Ellipsis, and the end, stand for axes that are to be whole."""
    entries = list(entries)
    gaps = [i for i, entry in enumerate(entries) if entry is Ellipsis]
    if len(gaps) > 1:
        raise ValueError(f"{label}: {what} can hold one Ellipsis, got {entries!r}")
    named = len(entries) - len(gaps)
    if named > ndim:
        raise ShapeError(f"{label}: {what} {entries!r} has {named} entries, the data {ndim} axes")
    at = gaps[0] if gaps else named
    return entries[:at] + [None] * (ndim - named) + entries[at + 1 :]


def check_fits(
    size: int, axis: int, shape: Sequence[int], label: str, what: str = "batch_size"
) -> None:
    """Raise if a size is more than the data have."""
    if size > shape[axis]:
        raise ShapeError(
            f"{label}: {what} {size} is more than the {shape[axis]} that axis {axis} of the data "
            f"has"
        )


def broadcasting_axes(broadcastable: Sequence[bool], shape: Sequence[int], label: str) -> list[int]:
    """Return the axes that are to broadcast."""
    if len(broadcastable) != len(shape):
        raise ShapeError(
            f"{label}: broadcastable {tuple(broadcastable)} for data with {len(shape)} axes"
        )
    axes = [axis for axis, wanted in enumerate(broadcastable) if wanted]
    for axis in axes:
        if shape[axis] != 1:
            raise ShapeError(f"{label}: axis {axis} has length {shape[axis]}: it cannot broadcast")
    return axes


# -- graphs -------------------------------------------------------------------------------------


def gathered(shared: SharedVariable, rows: Mapping[int, TensorVariable]) -> TensorVariable:
    """Return the part of the data at the given rows of some axes, all combinations of them."""
    if not rows:
        result = shared.type()
        view_as(shared, result)
        return result
    axes = list(rows)
    order = axes + [axis for axis in range(shared.type.ndim) if axis not in rows]
    grid = [
        r.dimshuffle([0 if i == k else "x" for i in range(len(axes))])
        for k, r in enumerate(rows.values())
    ]
    if order == sorted(order):
        return shared[tuple(grid)]
    return shared.dimshuffle(order)[tuple(grid)].dimshuffle(*np.argsort(order).tolist())


def minibatches_in(graphs: Iterable[Variable]) -> list[Minibatch | StreamedMinibatch]:
    """Return the minibatches on which graphs depend."""
    return [v for v in ancestors(list(graphs)) if isinstance(v, Minibatch | StreamedMinibatch)]


def batch_lengths(lengths: Sequence[TensorVariable]) -> tuple[int, ...]:
    """Return the values of lengths that may depend on the size of minibatches."""
    parts = {m.minibatch: pt.zeros(m.batch_shape, m.dtype) for m in minibatches_in(lengths)}
    return lengths_with(parts, lengths)


def whole_lengths(lengths: Sequence[TensorVariable]) -> tuple[int, ...]:
    """Return the values of lengths on the whole data, in place of minibatches."""
    return lengths_with({m.minibatch: whole_of(m) for m in minibatches_in(lengths)}, lengths)


def whole_of(minibatch: Minibatch | StreamedMinibatch) -> TensorVariable:
    """Return the whole data, or something of their shape if they are not in memory."""
    if isinstance(minibatch, StreamedMinibatch):
        return pt.zeros(minibatch.whole_shape, minibatch.dtype)  # only its shape is computed
    return minibatch.shared


def lengths_with(
    data: Mapping[Variable, Variable], lengths: Sequence[TensorVariable]
) -> tuple[int, ...]:
    """Return the values of lengths after a replacement that leaves no rows to be drawn."""
    replaced = graph_replace(list(lengths), data) if data else lengths
    return tuple(int(length) for length in evaluate(replaced))


def sampled_data(
    minibatches: Iterable[Minibatch | StreamedMinibatch], rows: int, random_seed: Any
) -> dict[TensorVariable, SharedVariable]:
    """Return a sample of the data for each minibatch: the same rows where they show the same."""
    count = check_size(rows, "sampled_data_replacements", "rows")
    seed = as_seed_sequence(random_seed)
    streamed: dict[Stream, tuple[np.ndarray, ...]] = {}
    chosen: dict[RowStream, np.ndarray] = {}
    result = {}
    for minibatch in minibatches:
        if isinstance(minibatch, StreamedMinibatch):
            stream = minibatch.stream
            if stream not in streamed:
                streamed[stream] = sample_rows(stream, count, seed)
            values = streamed[stream][minibatch.part_number]
        else:
            values = minibatch.sampled(count, chosen, seed)
        result[minibatch.minibatch] = pytensor.shared(values, name=minibatch.name, borrow=True)
    return result


def check_same_rows(minibatches: Sequence[Minibatch | StreamedMinibatch]) -> None:
    """Raise if data that show the same rows have got different lengths."""
    seen: dict[int, tuple[Minibatch, int]] = {}
    streamed = {m.stream.key: m for m in minibatches if isinstance(m, StreamedMinibatch)}
    for minibatch in minibatches:
        if isinstance(minibatch, StreamedMinibatch):
            continue
        shape = shape_of(minibatch.shared)
        for axis, stream in minibatch._streams.items():
            other, length = seen.setdefault(id(stream), (minibatch, shape[axis]))
            if length != shape[axis]:
                raise ShapeError(
                    f"the minibatches {other.name!r} and {minibatch.name!r} show the same rows, "
                    f"but their data now have {length} and {shape[axis]}. Set the data of both, or "
                    f"give them different seeds."
                )
            key = (stream.key.length, stream.key.size, stream.key.seed)
            if key in streamed:
                raise ShapeError(
                    f"the minibatches {streamed[key].name!r} and {minibatch.name!r} have the same "
                    f"length, batch size and seed, but would show different rows: the data of one "
                    f"are not in memory. For the same rows make them together, X, y = "
                    f"vb.Minibatch(...); for different ones give them different seeds."
                )
