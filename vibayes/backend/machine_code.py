"""Functions of the rows of matrices in machine code, which threads share."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from vibayes import interrupts
from vibayes.backend.numba import checked_passes
from vibayes.backend.numba_linker import StackCode
from vibayes.backend.threads import threads

__all__ = ["StackInMachineCode"]

WORTH_THREADS = 2_000_000  # numbers: what a core makes in about a millisecond


class StackInMachineCode:
    """A graph of a vector as a function of the rows of a matrix, in machine code.

    Its results do not depend on how many threads there are: each row is computed by itself.

    Parameters
    ----------
    vector : TensorVariable
        The vector, of known length.
    others
        Further inputs, the same for all rows.
    outputs
        The graph.
    numbers
        How many numbers it makes of a row: parts of large stacks are left to threads.

    Raises
    ------
    Exception
        What PyTensor and Numba raise for graphs that they cannot compile.
    """

    def __init__(
        self,
        vector: TensorVariable,
        others: Sequence[Variable],
        outputs: Sequence[Variable],
        numbers: int,
    ) -> None:
        with interrupts.interruptible(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTensor, of loops that become two
            self._code = StackCode(vector, others, outputs)
        self._is_compiled, self._numbers = False, numbers

    def __call__(self, stack: np.ndarray, *others: Any) -> list[np.ndarray]:
        """Return the results at the rows of a matrix, (n, ...) each."""
        results = self._code.empty(len(stack))
        if not self._is_compiled:
            with checked_passes():
                self._code(stack[:1], others, [result[:1] for result in results])
            self._is_compiled = True
        pool = threads() if self._numbers * len(stack) > WORTH_THREADS else None
        with interrupts.shut():
            if pool is None or len(stack) == 1:
                self._code(stack, others, results)
                return results
            half = len(stack) // 2
            ours, other = [
                [a[rows] for a in (stack, *results)]
                for rows in (slice(None, half), slice(half, None))
            ]
            rest = pool.submit(self._code, other[0], others, other[1:])
            self._code(ours[0], others, ours[1:])
            rest.result()
        return results
