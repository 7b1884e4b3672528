"""The losses of a fit as it goes."""

from __future__ import annotations

import numpy as np

__all__ = ["History", "Losses"]


class Losses(np.ndarray):
    """Losses of a fit, which format as the latest of them: ``f"{losses:.2f}"``."""

    def __format__(self, spec: str) -> str:
        if spec and self.ndim and self.size:
            return format(float(self[-1]), spec)
        return format(self[()], spec) if spec and not self.ndim else super().__format__(spec)


class History:
    """Losses that grow by chunks, without a copy of everything at each."""

    def __init__(self, earlier: np.ndarray) -> None:
        self._buffer = np.array(earlier)
        self.length = len(earlier)

    def extend(self, losses: np.ndarray) -> None:
        """Add the losses of a chunk."""
        end = self.length + len(losses)
        if end > len(self._buffer):
            grown = np.empty(max(2 * len(self._buffer), end, 1024))
            grown[: self.length] = self._buffer[: self.length]
            self._buffer = grown
        self._buffer[self.length : end] = losses
        self.length = end

    def rewind(self, length: int) -> None:
        """Forget all but the first losses."""
        self.length = min(self.length, length)

    def view(self, start: int, stop: int) -> np.ndarray:
        """Return some of the losses, without a copy."""
        return self._buffer[start:stop].view(Losses)
