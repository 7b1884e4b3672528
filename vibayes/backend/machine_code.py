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
from vibayes.backend.threads import cores, even_parts, threads

__all__ = ["StackInMachineCode"]

WORTH_A_THREAD = 1_000_000  # numbers: what a core makes in about half a millisecond


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
        with interrupts.shut():
            self._in_parts(stack, others, results)
        return results

    def _in_parts(
        self, stack: np.ndarray, others: Sequence[Any], results: list[np.ndarray]
    ) -> None:
        """Compute the results into given arrays, by as many threads as have enough to do."""
        pool = threads()
        count = min(self._numbers * len(stack) // WORTH_A_THREAD, len(stack), cores())
        if pool is None or count < 2:
            self._code(stack, others, results)
            return
        parts = even_parts(len(stack), count)
        first, *rest = [(stack[rows], others, [r[rows] for r in results]) for rows in parts]
        waiting = [pool.submit(self._code, *part) for part in rest]
        self._code(*first)
        for part in waiting:
            part.result()
