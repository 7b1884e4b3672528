import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

from vibayes.backend.jax import as_key, double_precision, jax_function, key_of, key_state
from vibayes.backend.seeds import new_generator

jax = pytest.importorskip("jax")


def drawn(outputs, rng, seed=1):
    """Return expressions that draw from a generator, in JAX."""
    with double_precision():
        key = as_key(key_of(key_state(new_generator(seed))))
        return jax_function([rng], outputs, [None])(key)


def test_a_key_is_that_of_the_generator_which_is_not_advanced():
    generator = new_generator(1)
    before = generator.bit_generator.state
    state = key_state(generator)
    assert generator.bit_generator.state == before
    np.testing.assert_array_equal(key_of(before), key_of(state))
    assert key_state(new_generator(1)) == state != key_state(new_generator(2))


def test_draws_have_their_distributions():
    rng = pytensor.shared(new_generator(0))
    draws = [
        pt.random.normal(2.0, 3.0, size=(5000,), rng=rng),
        pt.random.uniform(-1.0, 2.0, size=(5000,), rng=rng),
        pt.random.gamma(2.0, 1.0, size=(5000,), rng=rng),
    ]
    expected = [stats.norm(2, 3), stats.uniform(-1, 3), stats.gamma(2)]
    for values, law in zip(drawn(draws, rng), expected, strict=True):
        assert stats.kstest(np.asarray(values), law.cdf).pvalue > 1e-3


def test_what_is_drawn_does_not_depend_on_other_draws_of_the_same_generator():
    rng = pytensor.shared(new_generator(0))
    normal = pt.random.normal(size=(3,), rng=rng)
    other = pt.random.uniform(size=(2,), rng=rng)
    (alone,) = drawn([normal], rng)
    *_, beside = drawn([other, normal], rng)
    np.testing.assert_array_equal(alone, beside)


def test_a_generator_that_has_moved_draws_other_numbers():
    rng = pytensor.shared(new_generator(0))
    moved, first = pt.random.normal(size=(100,), rng=rng).owner.outputs
    second = pt.random.normal(size=(100,), rng=moved)
    a, b = drawn([first, second], rng)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.4


def test_a_distribution_without_a_version_is_named():
    rng = pytensor.shared(new_generator(0))
    with pytest.raises(NotImplementedError, match=r"backend='jax' cannot run .*hypergeometric"):
        drawn([pt.random.hypergeometric(3, 4, 2, size=(2,), rng=rng)], rng)
