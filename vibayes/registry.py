"""Classes that can be named: what a class statement says of its name, and who has it already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Generic, Protocol, TypeVar

__all__ = ["Registry"]


class Named(Protocol):
    """What says by which names its class is known."""

    short_name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]]


T = TypeVar("T", bound=Named)


class Registry(Mapping[str, type[T]], Generic[T]):
    """Classes of one kind by their ``short_name`` and ``aliases``.

    Parameters
    ----------
    kind : str
        What the classes are, for messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._classes: dict[str, type[T]] = {}

    def add(self, cls: type[T]) -> None:
        """Take on a class under the names that it has in its own namespace.

        A subclass that names itself in no way has no name: it does not take over its parent's. A
        class that is defined again, as a cell of a notebook is that runs twice, takes the place of
        its former self.

        Raises
        ------
        TypeError
            If another class has one of the names.
        """
        for attribute, none in {"short_name": "", "aliases": ()}.items():
            if attribute not in vars(cls):
                setattr(cls, attribute, none)
        names = [name.lower() for name in (cls.short_name, *cls.aliases) if name]
        for name in names:
            other = self._classes.get(name)
            if other is not None and place_of(other) != place_of(cls):
                raise TypeError(
                    f"{described(cls)} and {described(other)} both have the name {name!r}, by "
                    f"which a {self.kind} is found: give {cls.__name__} another short_name, or "
                    f"aliases that are its own"
                )
        self._classes |= dict.fromkeys(names, cls)

    def remove(self, cls: type) -> None:
        """Forget a class."""
        self._classes = {name: known for name, known in self._classes.items() if known is not cls}

    def name_of(self, cls: type) -> str:
        """Return the name by which a class is found, empty if it has none."""
        name = getattr(cls, "short_name", "")
        return name if name and self._classes.get(name.lower()) is cls else ""

    def __getitem__(self, name: str) -> type[T]:
        return self._classes[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


def place_of(cls: type) -> tuple[str, str]:
    """Return where a class is defined."""
    return cls.__module__, cls.__qualname__


def described(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
