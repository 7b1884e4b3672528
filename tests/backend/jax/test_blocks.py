import numpy as np
import pytensor.tensor as pt
import pytest
from helpers.in_jax import in_jax

from vibayes.backend.jax import RowsOfBlocks
from vibayes.backend.jax.blocks import in_blocks

pytest.importorskip("jax")

CASES = [(41, 2), (40, 4), (7, 3), (2, 2), (3, 4)]


def drawn(rows, count, uniform):
    data = np.arange(rows)
    op, outputs = RowsOfBlocks(count), [[None]]
    op.perform(None, [in_blocks(data, rows, count), uniform, np.int64(rows)], outputs)
    return outputs[0][0]


@pytest.mark.parametrize(("rows", "count"), CASES)
def test_each_row_is_expected_as_often(rows, count):
    steps = 1000 * rows  # of a grid in the place of random numbers
    grid = np.tile((np.arange(steps) + 0.5) / steps, count)
    counts = np.bincount(drawn(rows, count, grid), minlength=rows)
    np.testing.assert_allclose(counts, steps * count / rows, atol=2 * count)


@pytest.mark.parametrize(("rows", "count"), CASES)
def test_no_draw_lies_outside(rows, count):
    ends = np.tile([0.0, np.nextafter(1.0, 0.0)], count)
    found = drawn(rows, count, ends)
    assert found[0] == 0
    assert found[-1] == rows - 1


def test_blocks_are_of_one_length_and_padding_is_no_row():
    data = np.arange(1.0, 12.0)
    padded = np.concatenate([data, np.zeros(5)])
    blocks = in_blocks(data, 11, 3)
    assert blocks.shape == (3, 5)
    np.testing.assert_array_equal(blocks[:, 0], [1, 4, 8])
    np.testing.assert_array_equal(in_blocks(padded, 11, 3), blocks)


def test_jax_draws_the_same_rows():
    rng = np.random.default_rng(1)
    data, uniform = rng.normal(size=(11, 2)), rng.random(9)
    blocks, u, rows = pt.tensor3("blocks"), pt.vector("u", shape=(9,)), pt.lscalar("rows")
    values = {blocks: in_blocks(data, 11, 3), u: uniform, rows: np.int64(11)}
    (found,) = in_jax([RowsOfBlocks(3)(blocks, u, rows)], values)
    expected = data[((np.repeat([0, 1, 2], 3) + uniform) * 11 / 3).astype(int)]
    np.testing.assert_array_equal(found, expected)
