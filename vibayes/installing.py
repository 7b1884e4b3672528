"""What to install where a package is missing that not everybody needs."""

from __future__ import annotations

__all__ = ["how_to_install", "missing"]


def how_to_install(packages: str, extra: str = "") -> str:
    """Return the command that installs packages, and the extra of vibayes that brings them.

    The packages by their names, as that works wherever vibayes came from: an extra is named
    differently in a copy of the repository.
    """
    command = f"pip install {packages}"
    return f"{command} (the extra {extra} of vibayes brings it)" if extra else command


def missing(what: str, packages: str, extra: str = "") -> ImportError:
    """Return the error that says what is missing, and how it can be had.

    Parameters
    ----------
    what
        What is wanted.
    packages
        Names of packages, as pip takes them.
    extra
        The extra of vibayes that brings them.
    """
    return ImportError(f"{what} needs {packages}: {how_to_install(packages, extra)}")
