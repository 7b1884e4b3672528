"""Operations on single numbers as expressions of Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pytensor import scalar as ps
from pytensor.graph.basic import Constant
from pytensor.scalar.basic import Composite, Identity
from pytensor.scalar.math import Erf, Erfc, GammaLn, Log1mexp, Psi, Sigmoid, Softplus

from vibayes.backend.numba_linker.elementary import SIMD_LIMITS

__all__ = ["as_dtype", "divisors", "has_calls", "has_limits", "literal", "scalar_lines"]

# of the inputs {0}, {1}, ..., which have the dtype of the result where that is a float
EXPRESSIONS: dict[type, str] = {
    ps.Sub: "{0} - {1}",
    ps.TrueDiv: "{0} / {1}",
    ps.Neg: "-{0}",
    ps.Abs: "abs({0})",
    ps.Sqr: "{0} * {0}",
    ps.Reciprocal: "{one} / {0}",
    ps.Pow: "{0} ** {1}",
    ps.Maximum: "{0} if {0} > {1} or {0} != {0} else {1}",
    ps.Minimum: "{0} if {0} < {1} or {0} != {0} else {1}",
    ps.Clip: "{1} if {0} < {1} else {2} if {0} > {2} else {0}",
    ps.Second: "{1}",
    Identity: "{0}",
    ps.Cast: "{0}",
    ps.Switch: "{1} if {0} else {2}",
    Sigmoid: "{one} / ({one} + math.exp(-{0}))",
    Softplus: "math.exp({0}) if {0} < -37.0 else math.log1p(math.exp({0})) if {0} < 18.0"
    " else {0} + math.exp(-{0}) if {0} < 33.3 else {0}",
    Log1mexp: "math.log1p(-math.exp({0})) if {0} < -0.6931471805599453"
    " else math.log(-math.expm1({0}))",
}
BETWEEN: dict[type, str] = {ps.Add: "+", ps.Mul: "*", ps.AND: "&", ps.OR: "|", ps.XOR: "^"}
OF_INTEGERS: dict[type, str] = {ps.Mod: "{0} % {1}", ps.IntDiv: "{0} // {1}"}
COMPARISONS: dict[type, str] = {
    ps.LT: "{0} < {1}",
    ps.GT: "{0} > {1}",
    ps.LE: "{0} <= {1}",
    ps.GE: "{0} >= {1}",
    ps.EQ: "{0} == {1}",
    ps.NEQ: "{0} != {1}",
    ps.IsNan: "{0} != {0}",
    ps.IsInf: "abs({0}) == np.inf",
}
FUNCTIONS: dict[type, str] = {
    ps.Exp: "math.exp",
    ps.Expm1: "math.expm1",
    ps.Log: "math.log",
    ps.Log1p: "math.log1p",
    ps.Sqrt: "math.sqrt",
    ps.Sin: "math.sin",
    ps.Cos: "math.cos",
    ps.Tan: "math.tan",
    ps.ArcSin: "math.asin",
    ps.ArcCos: "math.acos",
    ps.ArcTan: "math.atan",
    ps.ArcTan2: "math.atan2",
    ps.Sinh: "math.sinh",
    ps.Cosh: "math.cosh",
    ps.Tanh: "math.tanh",
    ps.ArcSinh: "math.asinh",
    ps.ArcCosh: "math.acosh",
    ps.ArcTanh: "math.atanh",
    Erf: "math.erf",
    Erfc: "math.erfc",
    GammaLn: "math.lgamma",
    ps.Exp2: "np.exp2",
    ps.Log2: "np.log2",
    ps.Log10: "np.log10",
    ps.Ceil: "np.ceil",
    ps.Floor: "np.floor",
    ps.Trunc: "np.trunc",
    ps.Sign: "np.sign",
}
# functions of ``elementary``, in loops
IN_LOOPS: dict[type, str] = {
    ps.Cos: "simd_cos",
    Erf: "simd_erf",
    ps.Exp: "simd_exp",
    ps.Expm1: "simd_expm1",
    GammaLn: "simd_gammaln",
    ps.Log: "simd_log",
    Log1mexp: "simd_log1mexp",
    ps.Log1p: "simd_log1p",
    Psi: "simd_digamma",
    Sigmoid: "simd_sigmoid",
    ps.Sin: "simd_sin",
    Softplus: "simd_softplus",
    ps.Tanh: "simd_tanh",
}
# functions that keep the loop around them from being vectorized, with those that are not known here
CALLS = (Erfc, ps.ArcTan2, ps.ArcSinh, ps.ArcCosh, ps.ArcTanh)
WHOLE = ("bool", "int64", "float64")  # what Python's numbers are, when compiled


def literal(value: Any, dtype: str) -> str:
    """Return a number as an expression of its dtype."""
    number = np.asarray(value).item()
    if isinstance(number, float) and not np.isfinite(number):
        text = "np.nan" if np.isnan(number) else "np.inf" if number > 0 else "(-np.inf)"
    elif isinstance(number, bool) or str(number)[0] != "-":
        text = repr(number)
    else:
        text = f"({number!r})"
    return text if dtype in WHOLE else f"np.{dtype}({text})"


def as_dtype(expression: str, given: str, wanted: str) -> str:
    """Return an expression of one dtype as one of another."""
    if given == wanted:
        return expression
    return f"({expression} != 0)" if wanted == "bool" else f"np.{wanted}({expression})"


def has_calls(op: Any) -> bool:
    """Tell whether an operation keeps the loop around it from being vectorized."""
    if isinstance(op, Composite):
        return any(has_calls(node.op) for node in op.fgraph.toposort())
    known = {*EXPRESSIONS, *BETWEEN, *COMPARISONS, *FUNCTIONS, *IN_LOOPS, ps.Invert} - set(CALLS)
    return type(op) not in known


def has_limits(op: Any) -> bool:
    """Tell whether functions of loops are part of an operation that do not hold everywhere."""
    if isinstance(op, Composite):
        return any(has_limits(node.op) for node in op.fgraph.toposort())
    return IN_LOOPS.get(type(op)) in SIMD_LIMITS


def divisors(op: Any, dtypes: Sequence[str]) -> set[int]:
    """Return which inputs of an operation are floats that others of their dtype are divided by."""
    if isinstance(op, Composite):
        places = {v: i for i, v in enumerate(op.fgraph.inputs)}
        return {
            places[v]
            for node in op.fgraph.toposort()
            for i in divisors(node.op, [v.type.dtype for v in node.inputs])
            if (v := node.inputs[i]) in places
        }
    is_division = isinstance(op, ps.TrueDiv) and dtypes[0] == dtypes[1]
    return {1} if is_division and dtypes[1] in ("float32", "float64") else set()


def scalar_lines(
    op: Any,
    names: Sequence[str],
    dtypes: Sequence[str],
    new_name: Callable[[], str],
    unknown: Callable[[Any, Any], str],
    in_loop: bool = False,
    flag: str = "",
    reciprocals: Mapping[str, str] | None = None,
) -> tuple[list[str], list[str]]:
    """Return the lines that do an operation on numbers, and the names of its results.

    Parameters
    ----------
    op
        A scalar operation, one made of others among them.
    names, dtypes
        Its inputs.
    new_name
        Returns a name that is not yet used.
    unknown
        Returns the name of a function that does an operation, given that and its node.
    in_loop
        Whether they are the body of a long loop, which a compiler should vectorize.
    flag
        Name of a number that the lines set to 1 where functions of such loops do not hold for an
        argument. Without it there are none that do not hold for all.
    reciprocals
        For names of some numbers, those of one over them: what they divide is multiplied by that.
    """
    inner = [ps.get_scalar_type(dtype)() for dtype in dtypes]
    if not isinstance(op, Composite):
        node = op.make_node(*inner)
        results = [new_name() for _ in node.outputs]
        return node_lines(node, names, results, unknown, in_loop, flag, reciprocals), results
    known = dict(zip(op.fgraph.inputs, names, strict=True))
    lines: list[str] = []

    def name(v: Any) -> str:
        return literal(v.data, v.type.dtype) if isinstance(v, Constant) else known[v]

    for node in op.fgraph.toposort():
        given = [name(v) for v in node.inputs]
        if isinstance(node.op, Composite):
            more, results = scalar_lines(
                node.op,
                given,
                [v.type.dtype for v in node.inputs],
                new_name,
                unknown,
                in_loop,
                flag,
                reciprocals,
            )
            lines += more
        else:
            results = [new_name() for _ in node.outputs]
            lines += node_lines(node, given, results, unknown, in_loop, flag, reciprocals)
        known.update(zip(node.outputs, results, strict=True))
    return lines, [name(v) for v in op.fgraph.outputs]


def node_lines(
    node: Any,
    names: Sequence[str],
    results: Sequence[str],
    unknown: Callable[[Any, Any], str],
    in_loop: bool,
    flag: str,
    reciprocals: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the lines that do one operation."""
    reciprocal = (reciprocals or {}).get(names[-1])
    if reciprocal and divisors(node.op, [v.type.dtype for v in node.inputs]):
        return [f"{results[0]} = {names[0]} * {reciprocal}"]
    simd = simd_name(node) if in_loop else None
    lines = []
    if simd in SIMD_LIMITS and not flag:
        simd = None
    elif simd in SIMD_LIMITS:
        lines.append(f"{flag} = {SIMD_LIMITS[simd]}({flag}, {names[0]})")
    expression = scalar_expression(node, names, simd) if len(results) == 1 else None
    if expression is None:
        expression = f"{unknown(node.op, node)}({', '.join(names)})"
    return [*lines, f"{', '.join(results)} = {expression}"]


def simd_name(node: Any) -> str | None:
    """Return which function of ``elementary`` an operation is."""
    dtypes = [v.type.dtype for v in node.inputs]
    if node.outputs[0].type.dtype not in ("float32", "float64") or "float16" in dtypes:
        return None
    return IN_LOOPS.get(type(node.op))


def scalar_expression(node: Any, names: Sequence[str], simd: str | None) -> str | None:
    """Return one operation as an expression, None if there is none."""
    kind, dtypes = type(node.op), [v.type.dtype for v in node.inputs]
    dtype = node.outputs[0].type.dtype
    if any(d.startswith("complex") or d == "float16" for d in (*dtypes, dtype)):
        return None
    if kind in COMPARISONS:
        return COMPARISONS[kind].format(*names)
    if kind is ps.Cast:
        return as_dtype(names[0], dtypes[0], dtype)
    if kind is ps.Invert:
        return f"not {names[0]}" if dtype == "bool" else as_dtype(f"~{names[0]}", "", dtype)
    if dtype.startswith("float"):
        first = int(kind is ps.Switch)  # the condition stays as it is
        names = [
            name if i < first else as_dtype(name, dtypes[i], dtype) for i, name in enumerate(names)
        ]
    if simd:
        expression = f"{simd}({names[0]})"
    elif kind in FUNCTIONS:
        expression = f"{FUNCTIONS[kind]}({', '.join(names)})"
    elif kind in BETWEEN:
        expression = f" {BETWEEN[kind]} ".join(names)
    elif kind in OF_INTEGERS and {dtype, *dtypes} == {"int64"}:
        expression = OF_INTEGERS[kind].format(*names)
    elif kind in EXPRESSIONS:
        expression = EXPRESSIONS[kind].format(*names, one=literal(1, dtype))
    else:
        return None
    given = dtypes[1:] if kind is ps.Switch else dtypes
    is_natural = dtype in WHOLE and all(d == dtype for d in given)
    if is_natural and (dtype != "bool" or kind in (ps.AND, ps.OR, ps.XOR)):
        return expression
    return as_dtype(f"({expression})", "", dtype)
