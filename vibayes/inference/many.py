"""Many fits of one model, each to data of its own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.replace import graph_replace, vectorize_graph

from vibayes import interrupts
from vibayes.approximations.base import Approximation
from vibayes.approximations.full_rank import FullRank
from vibayes.arguments import check_arguments
from vibayes.backend.plain import PlainFunction
from vibayes.backend.seeds import as_seed_sequence, new_generator
from vibayes.context import modelcontext
from vibayes.exceptions import ApproximationWarning, ModelError, ShapeError
from vibayes.families.base import check_continuous
from vibayes.importance import has_good_tail
from vibayes.inference.fit import fit
from vibayes.model.cluster import as_it_is, check_client
from vibayes.model.core import Model
from vibayes.model.data import set_data
from vibayes.model.exchange import as_data_array
from vibayes.model.flat import FlatLayout
from vibayes.model.gradients import gradient_of
from vibayes.posterior.draws import draw_values
from vibayes.records.diagnosis import Diagnosis
from vibayes.records.ending import Ending
from vibayes.search.batched import BatchedNormals, fitted_normals
from vibayes.search.begin import set_normal
from vibayes.search.explore import LARGE
from vibayes.search.normals import FittedNormal, matched_normals

__all__ = ["ManyFits", "fit_many"]

BLOCK_NUMBERS = 2**15  # observed values times vectors that are evaluated at once, about
WEIGHED = 400  # draws of each normal
FEWEST_NOISE = 32
EVEN = 0.9  # share of effective draws at which a normal is the posterior
TOGETHER = 64  # data sets that move together


class ManyFits(Sequence[Approximation]):
    """Approximations of the posteriors that many data sets have.

    ``fits[i]`` is the approximation of data set ``i``. It is made when it is asked for, and puts
    its data into the model, so that predictions and verdicts are of these.

    Attributes
    ----------
    good : numpy.ndarray
        Whether the verdict of each is Good, (n,).
    element_names : tuple of str
        Names of the d dimensions.
    """

    def __init__(
        self,
        model: Model,
        data: Sequence[Mapping[str, np.ndarray]],
        normals: Sequence[FittedNormal | None],
        diagnoses: Sequence[Diagnosis],
        others: Mapping[int, Approximation],
        seeds: Sequence[Any],
    ) -> None:
        layout = FlatLayout(model.value_vars)
        self.element_names = tuple(layout.element(i) for i in range(layout.size))
        self._model, self._data, self._normals = model, list(data), list(normals)
        self._diagnoses, self._others, self._seeds = list(diagnoses), dict(others), list(seeds)
        self.good = np.array([d.good for d in diagnoses], dtype=bool)
        moments = [self._moments(i) for i in range(len(self))]
        d = layout.size
        self._mean = np.array([m for m, _ in moments]).reshape(len(self), d)
        self._cov = np.array([c for _, c in moments]).reshape(len(self), d, d)

    @property
    def mean(self) -> np.ndarray:
        """Means in the unconstrained space, in model order, (n, d)."""
        return self._mean

    @property
    def cov(self) -> np.ndarray:
        """Covariances in the unconstrained space, in model order, (n, d, d)."""
        return self._cov

    def _moments(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        q = self._normals[i]
        if q is not None:
            return q.mean, q.root @ q.root.T
        draws = self.draws(i, 2000)
        return draws.mean(axis=0), np.cov(draws.T).reshape(draws.shape[1], draws.shape[1])

    def draws(self, i: int, count: int) -> np.ndarray:
        """Return draws of the flat unconstrained vector given data set ``i``, (count, d)."""
        q = self._normals[i]
        if q is not None:
            rng = new_generator(self._seeds[i])
            return q.at(rng.standard_normal((count, len(q.mean))))
        values = draw_values(self._others[i], count, self._seeds[i], include_transformed=True)
        layout = FlatLayout(self._model.value_vars)
        return np.concatenate([values[s.name].reshape(count, -1) for s in layout.slots], axis=1)

    def diagnosis(self, i: int) -> Diagnosis:
        """Return the verdict on data set ``i``."""
        return self._diagnoses[i]

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Approximation]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        i = range(len(self))[i]
        put(self._model, self._data[i])
        q, known = self._normals[i], self._others.get(i)
        if known is not None or q is None:
            return known
        approx = FullRank(model=self._model, random_seed=self._seeds[i])
        set_normal(approx, q)
        approx.ending = Ending(True, "the steps came to an end")
        approx.diagnosis = replace(self._diagnoses[i], family=repr(approx))
        return approx

    def __repr__(self) -> str:
        return f"<ManyFits: {len(self)} data sets, {int(self.good.sum())} good>"


@check_arguments
def fit_many(
    model: Any,
    data: Sequence[Mapping[str, Any]] | None = None,
    method: str = "auto",
    random_seed: Any = None,
    *,
    client: Any = None,
    **options: Any,
) -> ManyFits | list[Approximation]:
    """Fit one model to many data sets, or many models, and judge each fit.

    Parameters
    ----------
    model : Model or sequence of Model
        A model whose data are exchanged, or models that are fitted one after the other.
    data : sequence of dict
        For each data set the values, by the names of :func:`vibayes.Data` or of observed variables.
    method
        Name of a method, one that :func:`vibayes.fit` takes.
    random_seed
        Seed of everything random.
    client : distributed.Client, optional
        A Dask cluster, among whose workers the data sets are divided.
    **options
        Further arguments of :func:`vibayes.fit`.

    Returns
    -------
    ManyFits
        A sequence of approximations; a list of them for several models.

    Raises
    ------
    ModelError
        If the model has minibatches, discrete variables, or no data of some name.
    ShapeError
        If the values of a data set have other axes than the model's.

    Notes
    -----
    With ``method="auto"`` the first data set is fitted as :func:`vibayes.fit` would. If it has
    one mode, and one normal holds its posterior, the normals of all others are fitted together: by
    Newton's method from the model's start and natural gradients, with 400 draws each to judge
    them. Where the weights of these are not nearly even, a data set is fitted by itself. That a
    later data set has several modes would not be seen.

    Examples
    --------
    >>> import numpy as np
    >>> import vibayes as vb
    >>> rng = np.random.default_rng(1)
    >>> with vb.Model() as model:
    ...     mu = vb.Normal("mu", 0, 10)
    ...     y = vb.Normal("y", mu, 1, observed=np.zeros(20))
    >>> fits = vb.fit_many(model, [{"y": rng.normal(i, 1, 20)} for i in range(5)], random_seed=1)
    >>> fits
    <ManyFits: 5 data sets, 5 good>
    >>> fits.mean[:, 0].round()
    array([0., 1., 2., 3., 4.])
    """
    check_client(client)
    if not isinstance(model, Model):
        models = list(model) if isinstance(model, list | tuple) else [model]
        if not models:
            raise ValueError("fit_many: model must be a model, or a list of them, got an empty one")
        models = [modelcontext(m) for m in models]
        seeds = as_seed_sequence(random_seed).spawn(len(models))
        pairs = zip(models, seeds, strict=True)
        return [fit(method=method, model=m, random_seed=s, **options) for m, s in pairs]
    if not data:
        raise ValueError("fit_many: data must be a sequence with one dict a data set, got none")
    check_continuous(model, model.free_RVs)
    if model.minibatches:
        raise ModelError(
            "fit_many exchanges data that are in memory: write the model without minibatches"
        )
    arrays = [checked(model, values, i) for i, values in enumerate(data)]
    seeds = as_seed_sequence(random_seed).spawn(len(arrays) + 1)
    others: dict[int, Approximation] = {}
    normals: list[FittedNormal | None] = [None] * len(arrays)
    diagnoses: list[Diagnosis | None] = [None] * len(arrays)
    before = {name: known_data(model, name).get_value() for name in arrays[0]}
    try:
        others[0] = fitted_alone(model, arrays[0], method, seeds[0], options)
        together = method == "auto" and not options and is_one_normal(others[0])
        if together and len(arrays) > 1:
            fitted_together(model, arrays, seeds, normals, diagnoses, client)
        for i in range(1, len(arrays)):
            interrupts.check()
            if normals[i] is None:
                others[i] = fitted_alone(model, arrays[i], method, seeds[i], options)
    finally:
        put(model, before)
    verdicts = [d or others[i].diagnosis or others[i].diagnose() for i, d in enumerate(diagnoses)]
    return ManyFits(model, arrays, normals, verdicts, others, seeds[:-1])


def fitted_alone(
    model: Model, values: Mapping[str, np.ndarray], method: str, seed: Any, options: Any
) -> Approximation:
    """Return the approximation of one data set, as :func:`fit` finds it."""
    put(model, values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ApproximationWarning)
        return fit(method=method, model=model, random_seed=seed, **options)


def is_one_normal(approx: Approximation) -> bool:
    """Tell whether a fit has found that the posterior is one normal."""
    diagnosis = approx.diagnosis
    return bool(approx.is_normal and diagnosis is not None and diagnosis.good) and (
        approx.ddim <= LARGE and diagnosis is not None and diagnosis.modes == 1
    )


# -- data -----------------------------------------------------------------------------------------


def known_data(model: Model, name: str) -> SharedVariable:
    """Return the shared variable that holds some data of a model.

    Raises
    ------
    ModelError
        If there is none of that name.
    """
    for variable in model.data_vars:
        if variable.name == name:
            return variable
    for rv in model.observed_RVs:
        value = model.rvs_to_values[rv]
        if rv.name == name and isinstance(value, SharedVariable):
            return value
    known = [v.name for v in (*model.data_vars, *model.observed_RVs)]
    raise ModelError(
        f"fit_many: the model has no data named {name!r} that can be exchanged, only {known}"
    )


def checked(model: Model, values: Mapping[str, Any], number: int) -> dict[str, np.ndarray]:
    """Return the arrays of a data set, of the dtypes of the model's data."""
    found = {}
    for name, value in values.items():
        variable, label = known_data(model, name), f"fit_many: {name!r} of data set {number}"
        array = as_data_array(value, label)
        fixed = [n for n in variable.type.shape if n is not None]
        if array.ndim != variable.type.ndim or (fixed and array.shape != variable.type.shape):
            raise ShapeError(
                f"{label} has shape {array.shape}, the model's data {variable.type.shape} (None "
                f"is any length; write data of other lengths as vb.Data with dims)"
            )
        new = array.astype(variable.dtype)
        if new.dtype.kind in "iu" and (new != array).any():
            raise TypeError(f"{label} must be whole numbers, got {array[new != array][0]}")
        if new.dtype.kind == "f" and np.isnan(new).any():
            raise ValueError(f"{label} has missing values")
        found[name] = new
    return found


def put(model: Model, values: Mapping[str, np.ndarray]) -> None:
    """Put a data set into a model."""
    names = {v.name for v in model.data_vars}
    of_data = {name: value for name, value in values.items() if name in names}
    if of_data:
        set_data(of_data, model)
    for name, value in values.items():
        if name not in names:
            known_data(model, name).set_value(value)


# -- together -------------------------------------------------------------------------------------


def fitted_together(
    model: Model,
    arrays: Sequence[Mapping[str, np.ndarray]],
    seeds: Sequence[Any],
    normals: list[FittedNormal | None],
    diagnoses: list[Diagnosis | None],
    client: Any,
) -> None:
    """Fit the normals of all data sets but the first, and keep those that hold the posterior."""
    names = tuple(sorted(arrays[0]))
    function = model.compiled(("many", names), lambda: function_of_data(model, names))
    layout = FlatLayout(model.value_vars)
    start = layout.join(model.initial_point()).astype("float64")
    rng = new_generator(seeds[-1])
    noise = matched_normals(max(FEWEST_NOISE, 2 * layout.size + 2), layout.size, rng)
    drawn = rng.standard_normal((WEIGHED, layout.size))
    groups: dict[Any, list[int]] = {}
    for i in range(1, len(arrays)):
        groups.setdefault(tuple(arrays[i][n].shape for n in names), []).append(i)
    parts = [g[at : at + TOGETHER] for g in groups.values() for at in range(0, len(g), TOGETHER)]
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
    for part, found in zip(parts, results, strict=True):
        for k, i in enumerate(part):
            even = found.ess[k] > EVEN * found.draws
            fine = found.converged[k] and found.close[k]
            if fine and even and has_good_tail(found.khat[k], found.ess[k], WEIGHED):
                q = FittedNormal(found.mean[k], found.root[k], float(found.elbo[k]), True)
                normals[i], diagnoses[i] = q, diagnosis_of(found, k)


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
