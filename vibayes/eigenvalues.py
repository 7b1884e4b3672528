"""Eigenvalues of symmetric matrices, by a routine that comes to an end."""

from __future__ import annotations

import numpy as np
from scipy import linalg

__all__ = ["eigh"]


def eigh(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues and eigenvectors as :func:`numpy.linalg.eigh` does, of any numbers.

    NumPy divides and conquers, which LAPACK does not bring to an end for some matrices that are in
    no way odd. Their eigenvalues are had by QR iterations, which take longer.

    Parameters
    ----------
    matrix
        Symmetric, (..., n, n).

    Raises
    ------
    numpy.linalg.LinAlgError
        If elements are infinite or NaN, for which LAPACK finds none.
    """
    try:
        values, vectors = np.linalg.eigh(matrix)
        return values, vectors
    except np.linalg.LinAlgError:
        if not np.isfinite(matrix).all():
            raise
    each = matrix.reshape(-1, *matrix.shape[-2:])
    pairs = zip(*(linalg.eigh(m, driver="ev") for m in each), strict=True)
    values, vectors = (np.array(part) for part in pairs)
    return values.reshape(matrix.shape[:-1]), vectors.reshape(matrix.shape)
