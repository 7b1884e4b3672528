import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from helpers.numpy_functions import PLAIN

from vibayes.backend.numpy_linker import numpy_mode


def drawn(make, mode, seed=1):
    """Return two draws one after the other, from a generator that the function advances."""
    rng = pytensor.shared(np.random.default_rng(seed))
    next_rng, draw = make(rng).owner.outputs
    f = pytensor.function([], draw, updates={rng: next_rng}, mode=mode)
    return f(), f()


NORMALS = {
    "size": lambda rng: pt.random.normal(3, [2.0, 5.0], size=(4, 2), rng=rng),
    "none": lambda rng: pt.random.normal([[1.0], [2.0]], [1.0, 5.0, 7.0], rng=rng),
    "scalar": lambda rng: pt.random.normal(rng=rng),
}


@pytest.mark.parametrize("make", NORMALS.values(), ids=NORMALS)
def test_normal_draws(make):
    """The same numbers as NumPy's, up to rounding."""
    for mine, theirs in zip(drawn(make, numpy_mode()), drawn(make, PLAIN), strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=1e-14)


def test_bernoulli_draws():
    p = np.array([0.0, 0.2, 0.7, 1.0])
    first, second = drawn(
        lambda rng: pt.random.bernoulli(p, size=(20_000, 4), rng=rng), numpy_mode()
    )
    assert first.dtype == "int64"
    assert not np.array_equal(first, second)
    error = 5 * np.sqrt(p * (1 - p) / 20_000)
    assert (np.abs(first.mean(axis=0) - p) <= error).all()


def test_draws_of_bad_parameters():
    with pytest.raises(ValueError, match="scale < 0"):
        drawn(lambda rng: pt.random.normal(0, [1.0, -1.0], rng=rng), numpy_mode())
    for p in (1.5, -0.1, np.nan):
        with pytest.raises(ValueError, match="p < 0"):
            drawn(lambda rng, p=p: pt.random.bernoulli([0.5, p], rng=rng), numpy_mode())


def test_draws_of_scipy_with_constants():
    """SciPy writes to the flags of the parameters' memory, which is locked."""
    make = lambda rng: pt.random.t(np.float64(4.0), 1.0, 2.0, size=(1000,), rng=rng)  # noqa: E731
    np.testing.assert_array_equal(drawn(make, numpy_mode())[0], drawn(make, PLAIN)[0])
