import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from vibayes.backend.modes import evaluate
from vibayes.backend.seeds import (
    KEY_KIND,
    as_seed_sequence,
    derived_seed,
    is_generator_state,
    new_generator,
    random_generators,
    reseeded,
)


def random_number(seed):
    """Return a random number whose generator advances."""
    rng = pytensor.shared(np.random.default_rng(seed), name=f"rng_{seed}")
    rng.default_update, number = pt.random.normal(rng=rng).owner.outputs
    return rng, number


def test_equal_seeds_give_equal_numbers():
    first, second = (new_generator(as_seed_sequence(7)).normal(size=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, np.random.default_rng(7).normal(size=3))
    assert as_seed_sequence(np.random.default_rng(1)).entropy != as_seed_sequence(None).entropy


def test_a_seed_sequence_is_begun_anew():
    sequence = np.random.SeedSequence(3, pool_size=8).spawn(2)[1]
    sequence.spawn(2)
    new = as_seed_sequence(sequence)
    assert (new.n_children_spawned, sequence.n_children_spawned) == (0, 2)
    np.testing.assert_array_equal(new.generate_state(4), sequence.generate_state(4))
    new.spawn(1)
    assert sequence.n_children_spawned == 2


@pytest.mark.parametrize("seed", [-1, "one", 2.5, True])
def test_what_is_no_seed(seed):
    with pytest.raises(ValueError, match="random_seed must be a whole number of at least 0, got"):
        as_seed_sequence(seed)


def test_several_numbers_that_are_no_seeds():
    with pytest.raises(ValueError, match="random_seed must be None, a whole number of at least 0"):
        as_seed_sequence([1, "two"])


def test_generators_are_found_up_to_known_parts():
    (a, x), (b, y) = random_number(1), random_number(2)
    assert set(random_generators([x + y])) == {a, b}
    assert random_generators([x + y], blockers=[y]) == [a]


def test_new_seeds_leave_the_generators_as_they_are():
    rng, x = random_number(1)
    before = rng.get_value().bit_generator.state
    (again,), updates = reseeded([x], 5)
    assert random_generators([again]) == list(updates) != [rng]
    assert evaluate([again]) == evaluate(reseeded([x], 5)[0])
    assert rng.get_value().bit_generator.state == before
    assert evaluate([again]) != evaluate([x])


def test_a_derived_seed_takes_nothing_from_the_one_it_follows_from():
    seeds = np.random.SeedSequence(3)
    first, other = derived_seed(seeds), derived_seed(np.random.SeedSequence(4))
    spawned = seeds.spawn(2)
    assert seeds.n_children_spawned == 2
    numbers = [new_generator(s).normal() for s in (first, derived_seed(seeds), other, *spawned)]
    assert numbers[0] == numbers[1]
    assert len(set(numbers)) == 4


def test_states_of_generators_are_told_from_others():
    own = new_generator(1).bit_generator.state
    assert is_generator_state(own)
    assert is_generator_state({"bit_generator": KEY_KIND, "key": [1, 2**32 - 1]})
    for key in ([1], [1, 2**32], [1, -1], [1.0, 2], "ab", None):
        assert not is_generator_state({"bit_generator": KEY_KIND, "key": key})
    assert not is_generator_state({"bit_generator": "MT19937", "state": own["state"]})
    assert not is_generator_state({**own, "uinteger": -1})
