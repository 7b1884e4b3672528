"""Draws at random, from the generators of NumPy."""

from __future__ import annotations

from pytensor.graph.basic import Apply
from pytensor.tensor.random import basic as rv
from pytensor.tensor.random.op import RandomVariableWithCoreShape

from vibayes.backend.graphs import is_none
from vibayes.backend.numba_linker.convert import write, write_call
from vibayes.backend.numba_linker.scalars import as_dtype
from vibayes.backend.numba_linker.writer import Value, Writer

__all__: list[str] = []

# those that a method of a generator draws, of the same name and arguments
METHODS = (
    rv.BetaRV,
    rv.BinomialRV,
    rv.ExponentialRV,
    rv.GammaRV,
    rv.GeometricRV,
    rv.IntegersRV,
    rv.LaplaceRV,
    rv.LogisticRV,
    rv.LogNormalRV,
    rv.NegBinomialRV,
    rv.NormalRV,
    rv.PoissonRV,
    rv.TriangularRV,
    rv.UniformRV,
    rv.WaldRV,
    rv.WeibullRV,
)


@write.register(RandomVariableWithCoreShape)
def random_variable(op: RandomVariableWithCoreShape, w: Writer, node: Apply) -> None:
    (inner,) = op.fgraph.apply_nodes
    _, rng, size, *params = node.inputs
    next_rng, v = node.outputs
    if type(inner.op) not in METHODS or not inner.op.inplace:
        write_call(op, w, node)
        return
    generator = w.value(rng).name
    values = [w.readable(p) for p in params]
    shapes = [value.lengths for value in values]
    if not is_none(size):
        shapes.append(w.elements(size))
    lengths = w.broadcast(shapes, v.type.ndim)
    w.values[next_rng] = Value(generator)
    is_number = all(n == "1" for n in lengths)
    result = None if is_number else w.new_array(v.type.dtype, lengths, v)
    with w.loops(lengths) as index:
        arguments = [value.at(index[len(index) - len(value.lengths) :]) for value in values]
        draw = f"{generator}.{inner.op.name}({', '.join(arguments)})"
        if isinstance(inner.op, rv.NormalRV) and arguments == ["0.0", "1.0"]:
            draw = f"standard_normal({generator})"
        if result is None:
            number = w.assigned("t", as_dtype(draw, "", v.type.dtype))
            w.values[v] = Value(number, lengths, (None,) * len(lengths))
        else:
            w.line(f"{result.at(index)} = {draw}")
            w.values[v] = result
