"""The normals of many data sets of one model, all fitted together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.replace import graph_replace, vectorize_graph

from vibayes.backend.plain import PlainFunction
from vibayes.backend.seeds import new_generator
from vibayes.importance import has_good_tail
from vibayes.inference.data_sets import known_data
from vibayes.model.cluster import as_it_is
from vibayes.model.core import Model
from vibayes.model.flat import FlatLayout
from vibayes.model.gradients import gradient_of
from vibayes.records.diagnosis import Diagnosis
from vibayes.search.batched import BatchedNormals, fitted_normals
from vibayes.search.noise import matched_normals
from vibayes.search.normals import FittedNormal

__all__ = ["fitted_together"]

BLOCK_NUMBERS = 2**15  # observed values times vectors that are evaluated at once, about
WEIGHED = 400  # draws of each normal
FEWEST_NOISE = 32
EVEN = 0.9  # share of effective draws at which a normal is the posterior
TOGETHER = 64  # data sets that move together


def fitted_together(
    model: Model,
    arrays: Sequence[Mapping[str, np.ndarray]],
    seed: Any,
    client: Any = None,
) -> dict[int, tuple[FittedNormal, Diagnosis]]:
    """Return the normals of all data sets but the first, those that hold the posterior, by number.

    Parameters
    ----------
    model
        The model.
    arrays
        The data sets, checked.
    seed
        Seed of the draws that normals are fitted to, and weighed at.
    client
        A Dask cluster, if that is to do it.
    """
    names = tuple(sorted(arrays[0]))
    function = model.compiled(("many", names), lambda: function_of_data(model, names))
    layout = FlatLayout(model.value_vars)
    start = layout.join(model.initial_point()).astype("float64")
    rng = new_generator(seed)
    noise = matched_normals(max(FEWEST_NOISE, 2 * layout.size + 2), layout.size, rng)
    drawn = rng.standard_normal((WEIGHED, layout.size))
    parts = of_one_shape(arrays, names)
    stacked = [[np.stack([arrays[i][n] for i in part]) for n in names] for part in parts]
    if client is None:
        results = [normals_of(function, data, start, noise, drawn) for data in stacked]
    else:
        sent = client.submit(as_it_is, function, pure=False)
        futures = [
            client.submit(normals_of, sent, data, start, noise, drawn, pure=False)
            for data in stacked
        ]
        results = client.gather(futures)
    return {
        i: (
            FittedNormal(found.mean[k], found.root[k], float(found.elbo[k]), True),
            diagnosis_of(found, k),
        )
        for part, found in zip(parts, results, strict=True)
        for k, i in enumerate(part)
        if is_right(found, k)
    }


def is_right(found: BatchedNormals, k: int) -> bool:
    """Tell whether a normal holds its posterior, by the weights of its draws."""
    even = found.ess[k] > EVEN * found.draws
    fine = found.converged[k] and found.close[k]
    return bool(fine and even and has_good_tail(found.khat[k], found.ess[k], WEIGHED))


def of_one_shape(
    arrays: Sequence[Mapping[str, np.ndarray]], names: Sequence[str]
) -> list[list[int]]:
    """Return the numbers of data sets that can move together, without the first."""
    groups: dict[Any, list[int]] = {}
    for i in range(1, len(arrays)):
        groups.setdefault(tuple(arrays[i][n].shape for n in names), []).append(i)
    return [g[at : at + TOGETHER] for g in groups.values() for at in range(0, len(g), TOGETHER)]


def normals_of(
    function: PlainFunction,
    data: Sequence[np.ndarray],
    start: np.ndarray,
    noise: np.ndarray,
    drawn: np.ndarray,
) -> BatchedNormals:
    """Return the best normals of some data sets of the same shapes."""
    dtype = pytensor.config.floatX
    numbers = sum(a[0].size for a in data)

    def evaluate(rows: np.ndarray, Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        step = max(1, BLOCK_NUMBERS // max(1, numbers * Z.shape[1]))
        found = [
            function(
                Z[at : at + step].astype(dtype), *(a[rows[at : at + step], None] for a in data)
            )
            for at in range(0, len(rows), step)
        ]
        logp, gradient = (np.concatenate(p).astype("float64") for p in zip(*found, strict=True))
        bad = ~(np.isfinite(logp) & np.isfinite(gradient).all(axis=2))
        return np.where(bad, -np.inf, logp), np.where(bad[:, :, None], 0.0, gradient)

    return fitted_normals(evaluate, len(data[0]), start, noise, drawn)


def function_of_data(model: Model, names: Sequence[str]) -> PlainFunction:
    """Return log densities and gradients at vectors (b, k, d), of data (b, 1, ...)."""
    layout = FlatLayout(model.value_vars)
    flat = pt.vector("flat", dtype=pytensor.config.floatX, shape=(layout.size,))
    (logp,) = graph_replace([model.logp()], layout.split(flat), strict=False)
    gradient = gradient_of(logp, flat, model)
    stack = pt.tensor3("stack", dtype=flat.dtype, shape=(None, None, layout.size))
    variables = [known_data(model, name) for name in names]
    batched = [pt.tensor(v.name, dtype=v.dtype, shape=(None, 1, *v.type.shape)) for v in variables]
    stand_ins = {v: v.type() for v in variables}
    own = graph_replace([logp, gradient], stand_ins, strict=False)
    replaced = {flat: stack} | dict(zip(stand_ins.values(), batched, strict=True))
    results = vectorize_graph(own, replaced)
    results[0] = results[0] + pt.zeros_like(stack[:, :, 0])
    results[1] = results[1] + pt.zeros_like(stack)
    return PlainFunction([stack, *batched], results)


def diagnosis_of(found: BatchedNormals, k: int) -> Diagnosis:
    """Return the verdict on a normal whose draws all count."""
    return Diagnosis(
        family="FullRank",
        elbo=float(found.elbo[k]),
        elbo_mcse=float(found.elbo_error[k]),
        khat=float(found.khat[k]),
        ess=float(found.ess[k]),
        draws=found.draws,
        converged=True,
        stopped="the steps came to an end",
        checked_by="its own draws, importance weighted",
    )
