"""Minibatches: tensors that show other rows of the data each time they are evaluated."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import behind_new, check_arguments
from vibayes.backend.graphs import view_as
from vibayes.exceptions import ShapeError
from vibayes.model.kept_data import KeptData, check_axes, static_slices
from vibayes.model.rows import IndependentRows, RowStream
from vibayes.model.sizes import (
    SampledAxis,
    broadcasting_axes,
    check_fits,
    sampled_axes,
    shape_of,
)
from vibayes.streaming.batch import BatchVariable, ShownRows
from vibayes.streaming.kinds import is_streamed
from vibayes.streaming.stream import streamed_minibatch

__all__ = ["Minibatch"]

DEFAULT_SEED = 42


class Minibatch(BatchVariable):
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
        If the data are not numbers.
    ValueError
        If there are no data, or a size is no whole number of at least 1.
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

    in_memory = True

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        count = number_of_arrays(args, kwargs)
        if any(map(is_streamed, args[:count])):
            return streamed_minibatch(*args[:count], **named(args[count:]), **kwargs)
        if count < 2:
            return super().__new__(cls)
        return cls._several(args[:count], *args[count:], **kwargs)

    @behind_new
    @check_arguments
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
        kept = KeptData(label, dtype, in_memory_size)
        shared = kept.shared(data)
        axes = sampled_axes(batch_size, random_seed, shape_of(shared), label)
        rows = [axis.rows(shared, replace) for axis in axes]
        self._assemble(kept, shared, axes, rows, name, broadcastable, update_shared_f)

    @classmethod
    @check_arguments
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
        kept = KeptData(label, dtype, in_memory_size)
        parts = [kept.shared(data) for data in arrays]
        lengths = [shape_of(shared)[0] for shared in parts]
        if len(set(lengths)) > 1:
            raise ShapeError(f"{label}: the data have different lengths, {lengths}")
        axes = sampled_axes(batch_size, random_seed, lengths[:1], label)
        rows = [axis.rows(parts[0], replace) for axis in axes]
        result = []
        for i, shared in enumerate(parts):
            part = super().__new__(cls)
            part._assemble(kept, shared, axes, rows, f"{name}_{i}")
            result.append(part)
        return tuple(result)

    def _assemble(
        self,
        kept: KeptData,
        shared: SharedVariable,
        axes: Sequence[SampledAxis],
        rows: Sequence[tuple[RowStream, TensorVariable]],
        name: str,
        broadcastable: Sequence[bool] | None = None,
        update_shared_f: Callable[[], Any] | None = None,
    ) -> None:
        minibatch = gathered(shared, {a.axis: r for a, (_, r) in zip(axes, rows, strict=True)})
        self._kept = kept
        self._sizes = {axis.axis: axis.size for axis in axes}
        self._streams = {a.axis: stream for a, (stream, _) in zip(axes, rows, strict=True)}
        self._update = update_shared_f
        self.shared = shared
        if broadcastable is not None:
            fixed = broadcasting_axes(broadcastable, self.batch_shape, kept.label)
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
            Number of rows; in a list one entry an axis, as the class takes it.
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
        return static_slices(user_size, "Minibatch")

    def shown_rows(self) -> list[ShownRows]:
        shape = self.whole_shape
        keys = {axis: stream.key for axis, stream in self._streams.items()}
        return [
            ShownRows(self._streams[axis], shape[axis], (key.length, key.size, key.seed))
            for axis, key in keys.items()
        ]

    def uniform_rows(self) -> TensorVariable | None:
        stream = self._streams.get(0)
        if list(self._streams) != [0] or 1 in self.minibatch.type.shape:
            return None
        return stream.uniform if isinstance(stream, IndependentRows) else None

    def sampled(
        self, count: int, chosen: dict[Hashable, Any], seed: np.random.SeedSequence
    ) -> np.ndarray:
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
        array = self._kept.array(value, self.shared.dtype)
        check_axes(array, self.shared, self._kept.label)
        for axis, size in self._sizes.items():
            check_fits(size, axis, array.shape, self._kept.label)
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
                f"{self._kept.label}: update_shared calls update_shared_f, which was not given"
            )
        self.set_value(self._update())


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
