"""Approximations out of files: ``vb.load(path)``."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from vibayes.approximations.base import Approximation
from vibayes.approximations.saved import approximation_from
from vibayes.arguments import check_arguments
from vibayes.context import modelcontext
from vibayes.exceptions import StorageError
from vibayes.model.core import Model
from vibayes.storage.approximations import check_record
from vibayes.storage.files import read_file, understood
from vibayes.storage.models import check_saved_model

__all__ = ["load"]


MOST_BYTES = 2**30


@check_arguments
def load(
    path: Any, model: Model | None = None, *, max_bytes: int | None = MOST_BYTES
) -> Approximation:
    """Return the approximation of a file that :meth:`Approximation.save` or a checkpoint wrote.

    Nothing in a file can execute code. It may come from another Python, another version of ArviZ,
    and another ``floatX``, to which parameters are then cast.

    Parameters
    ----------
    path
        A ``.nc`` file or a ``.zarr`` folder.
    model
        The model that it was fitted to, made by the same code; by default the one of the ``with``
        block.
    max_bytes
        How many bytes the file, and the arrays that it declares, may have; None for any number.

    Returns
    -------
    Approximation
        Of the family that was saved, with its parameters, ``hist``, ``ending``, ``diagnosis``,
        and random state.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    StorageError
        If the file is truncated, damaged, or none of vibayes; if the model's variables are not
        those of the file; if the parameters are expressions of the user's code.

    Notes
    -----
    To go on with the fit call it again with ``checkpoint=path`` and a larger ``n``; see
    :meth:`vibayes.Inference.fit`.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model() as model:
    ...     x = vb.Normal("x")
    ...     approx = vb.fit(progressbar=False)
    >>> approx.save("approximation.nc")  # doctest: +SKIP
    >>> approx = vb.load("approximation.nc", model=model)  # doctest: +SKIP
    """
    model = modelcontext(model)

    def check(header: dict[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Collection[str]:
        check_saved_model(header["model"], model, path)
        if why := header.get("not_loadable"):
            raise StorageError(f"{str(path)!r} holds a fit that cannot be loaded by itself: {why}")
        check_record(header["approximation"], shapes, model, path)
        return [name for name in shapes if name == "hist" or name.startswith("parameter_")]

    header, arrays = read_file(path, max_bytes, check)
    with understood(path):
        return approximation_from(header["approximation"], arrays, model, path)
