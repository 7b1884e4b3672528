import numpy as np
import pytest

from vibayes.eigenvalues import eigh


@pytest.fixture
def unfinished(monkeypatch):
    """Let LAPACK's usual routine not come to an end."""

    def fail(*args):
        raise np.linalg.LinAlgError("Eigenvalues did not converge")

    monkeypatch.setattr(np.linalg, "eigh", fail)


@pytest.mark.parametrize("stack", [(), (3,), (2, 3)])
def test_another_routine_comes_to_an_end(unfinished, rng, stack):
    matrix = rng.normal(size=(*stack, 4, 4))
    matrix = matrix + matrix.mT
    values, vectors = eigh(matrix)
    assert values.shape == (*stack, 4)
    assert (np.diff(values) >= 0).all()
    np.testing.assert_allclose((vectors * values[..., None, :]) @ vectors.mT, matrix, atol=1e-12)
    np.testing.assert_allclose(vectors.mT @ vectors - np.eye(4), 0, atol=1e-12)


def test_what_is_no_number_has_none(unfinished):
    with pytest.raises(np.linalg.LinAlgError, match="did not converge"):
        eigh(np.array([[1.0, np.nan], [np.nan, 1.0]]))


def test_the_usual_routine_comes_first(rng):
    matrix = rng.normal(size=(5, 3, 3))
    matrix = matrix + matrix.mT
    for found, known in zip(eigh(matrix), np.linalg.eigh(matrix), strict=True):
        np.testing.assert_array_equal(found, known)
