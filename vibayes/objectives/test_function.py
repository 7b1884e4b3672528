"""Test functions: what an operator holds against the draws of an approximation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.tensor.variable import TensorVariable

from vibayes.families.joint import Joint

__all__ = ["TestFunction"]


class TestFunction:
    """Base of the functions that an operator takes the worst case over, kernels included.

    One that has :attr:`params` is trained against the approximation: a fit makes the loss large
    over them, while it makes it small over the approximation.
    """

    __test__ = False  # not a test, whatever the name says

    @property
    def params(self) -> Sequence[SharedVariable]:
        """Shared variables to be trained; none by default."""
        return []

    def setup(self, approx: Joint) -> None:
        """Make the parameters for an approximation, of ``approx.ddim`` dimensions."""

    def __call__(self, z: TensorVariable) -> Any:
        """Return the values of the function at flat unconstrained draws (n, d)."""
        raise NotImplementedError

    @classmethod
    def from_function(cls, function: Callable[[TensorVariable], Any]) -> TestFunction:
        """Return the test function without parameters that a callable is."""
        if not callable(function):
            raise TypeError(f"a test function must be callable, got {function!r}")
        return PlainFunction(function)


class PlainFunction(TestFunction):
    def __init__(self, function: Callable[[TensorVariable], Any]) -> None:
        self.function = function

    def __call__(self, z: TensorVariable) -> Any:
        return self.function(z)
