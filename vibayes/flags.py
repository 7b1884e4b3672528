"""What holds for all fits of a process that say nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from vibayes.arguments import shown

__all__ = ["BACKENDS", "BACKEND_VARIABLE", "Config", "config", "known_backend"]

BACKENDS = "jax", "numba", "c", "py"
"""What runs the steps of a fit."""
BACKEND_VARIABLE = "VIBAYES_BACKEND"


class Config:
    """Choices for all fits of a process, as ``vibayes.config``.

    Attributes
    ----------
    backend : {"jax", "numba", "c", "py"}, optional
        What runs the steps of a fit, and with JAX its searches and verdicts, unless ``backend=`` of
        a fit says otherwise. It is what was assigned last; without that, the environment variable
        ``VIBAYES_BACKEND``; None if neither was: the rule of :meth:`vibayes.Inference.fit` then
        chooses. Assign None to go back to that.

    Examples
    --------
    >>> import vibayes as vb
    >>> vb.config.backend = "jax"
    >>> with vb.config.change_flags(backend="py"):
    ...     print(vb.config.backend)
    py
    >>> vb.config.backend
    'jax'
    >>> vb.config.backend = None
    """

    __slots__ = ("_backend",)

    def __init__(self) -> None:
        self._backend: str | None = None

    @property
    def backend(self) -> str | None:
        if self._backend is not None:
            return self._backend
        found = os.environ.get(BACKEND_VARIABLE) or None
        return None if found is None else known_backend(BACKEND_VARIABLE, found)

    @backend.setter
    def backend(self, value: str | None) -> None:
        self._backend = None if value is None else known_backend("vb.config.backend", value)

    @contextmanager
    def change_flags(self, *, backend: str | None = None) -> Iterator[None]:
        """Choose something else for the time of a block, in all threads.

        Parameters
        ----------
        backend : {"jax", "numba", "c", "py"}, optional
            As the attribute; with None, what holds anyway.

        Raises
        ------
        ValueError
            If it is none of them.
        """
        before = self._backend
        if backend is not None:
            self.backend = backend
        try:
            yield
        finally:
            self._backend = before

    def __repr__(self) -> str:
        return f"<Config: backend={self.backend!r}>"


def known_backend(name: str, value: object) -> str:
    """Return the name of a backend, which it has to be."""
    if not isinstance(value, str) or value not in BACKENDS:
        known = ", ".join(map(repr, BACKENDS))
        raise ValueError(f"{name} must be one of {known}, got {shown(value)}")
    return value


config = Config()
