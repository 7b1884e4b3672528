"""Minibatches of which each device draws its share from rows of its own.

Of n rows, D devices have blocks that begin at row floor(d n / D). Device d takes its draws at
floor((d + u) n / D) for uniform u: from block d, and from the row that it shares with the next
block by as much as it reaches into it. So every row has the same expected number of draws, whether
or not D divides n, and estimates by a sum over the minibatch keep their mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op

from vibayes.backend.jax.devices import JaxDevices
from vibayes.backend.jax.versions import jax_version

__all__ = ["RowsOfBlocks", "block_length", "in_blocks"]


def block_length(rows: int, count: int) -> int:
    """Return of how many rows a block is: its own ones, and those that it shares."""
    return rows // count + 2


def in_blocks(data: Any, rows: int, count: int, numpy: Any = np) -> Any:
    """Return rows, with any padding after them, as blocks (count, length, ...)."""
    length = block_length(rows, count)
    missing = max(0, (count - 1) * rows // count + length - len(data))
    filled = numpy.pad(data, [(0, missing), *[(0, 0)] * (data.ndim - 1)])
    begins = [d * rows // count for d in range(count)]
    return numpy.stack([filled[at : at + length] for at in begins])


class RowsOfBlocks(Op):
    """Random rows of each of several blocks.

    The inputs are the blocks (D, length, ...), uniform numbers (b,), of which each block has b / D,
    and the number n of rows in all.

    Parameters
    ----------
    count : int
        Number D of blocks.
    devices : JaxDevices
        One for each block; or one that has all.
    """

    __props__ = ("count", "devices")

    def __init__(self, count: int, devices: JaxDevices | None = None) -> None:
        self.count = count
        self.devices = devices or JaxDevices()

    def make_node(self, blocks: Variable, uniform: Variable, rows: Variable) -> Apply:
        shape = uniform.type.shape[0], *blocks.type.shape[2:]
        output = pt.tensor(dtype=blocks.type.dtype, shape=shape)
        return Apply(self, [blocks, uniform, rows], [output])

    def infer_shape(self, *args: Any) -> list[Any]:
        blocks, uniform, _ = args[-1]  # shapes of the inputs
        return [(uniform[0], *blocks[2:])]

    def perform(self, node: Apply, inputs: list[Any], outputs: list[list[Any]]) -> None:
        blocks, uniform, rows = inputs
        shares = uniform.reshape(self.count, -1)
        parts = [
            block[place_in_block(d, share, rows, self.count, np)]
            for d, (block, share) in enumerate(zip(blocks, shares, strict=True))
        ]
        outputs[0][0] = np.concatenate(parts)


def place_in_block(d: Any, uniform: Any, rows: Any, count: int, numpy: Any) -> Any:
    """Return where in block d its draws lie."""
    drawn = numpy.floor((d + uniform) * rows / count).astype("int64")
    return numpy.clip(drawn, 0, rows - 1) - d * rows // count


@jax_version(RowsOfBlocks)
def jax_rows_of_blocks(op: RowsOfBlocks, node: Apply) -> Any:
    import jax
    import jax.numpy as jnp
    from jax.sharding import PartitionSpec

    def own(block: Any, uniform: Any, d: Any, rows: Any) -> Any:
        return block[place_in_block(d, uniform, rows, op.count, jnp)]

    def on_one(blocks: Any, uniform: Any, rows: Any) -> Any:
        shares = uniform.reshape(op.count, -1)
        drawn = jax.vmap(own, (0, 0, 0, None))(blocks, shares, jnp.arange(op.count), rows)
        return drawn.reshape(-1, *drawn.shape[2:])

    def on_each(blocks: Any, uniform: Any, rows: Any) -> Any:
        return own(blocks[0], uniform, jax.lax.axis_index("rows"), rows)

    if len(op.devices.devices) < op.count:
        return on_one
    shared, whole = PartitionSpec("rows"), PartitionSpec()
    mesh = op.devices.sharding().mesh
    return jax.shard_map(
        on_each, mesh=mesh, in_specs=(shared, shared, whole), out_specs=shared, check_vma=False
    )
