"""Many fits of one model, each to data of its own."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from vibayes import interrupts
from vibayes.approximations.base import Approximation
from vibayes.approximations.full_rank import FullRank
from vibayes.arguments import check_arguments
from vibayes.backend.seeds import as_seed_sequence, derived_seed, new_generator
from vibayes.context import modelcontext
from vibayes.exceptions import ApproximationWarning, ModelError
from vibayes.families.base import check_continuous
from vibayes.inference.data_sets import check_start, checked, own_data_afterwards, put
from vibayes.inference.fit import fit
from vibayes.inference.together import fitted_together
from vibayes.model.cluster import check_client
from vibayes.model.core import Model
from vibayes.model.flat import FlatLayout
from vibayes.posterior.draws import draw_values
from vibayes.progress import logger
from vibayes.records.diagnosis import Diagnosis
from vibayes.records.ending import Ending
from vibayes.search.begin import set_normal
from vibayes.search.best_normals import LARGE
from vibayes.search.normals import FittedNormal

__all__ = ["ManyFits", "fit_many"]

SHOWN = {"progressbar"}  # options that change nothing of a fit


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
        seed = derived_seed(self._seeds[i])  # those spawned from it were for the fit
        values = draw_values(self._others[i], count, seed, include_transformed=True)
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


@interrupts.Deferral(keeps_result=True)
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
        A sequence of approximations; a list of them for several models. After Ctrl-C, those of the
        first data sets or models, as many as were done.

    Raises
    ------
    KeyboardInterrupt
        If none was.
    ModelError
        If the model has minibatches, discrete variables, or no data of some name.
    SamplingError
        If the log density of a data set is not finite where fits start.
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
        alone = partial(fit, method=method, **options)
        return up_to_interruption(
            partial(alone, model=m, random_seed=s) for m, s in zip(models, seeds, strict=True)
        )
    if not data:
        raise ValueError("fit_many: data must be a sequence with one dict a data set, got none")
    check_continuous(model, model.free_RVs)
    if model.minibatches:
        raise ModelError(
            "fit_many exchanges data that are in memory: write the model without minibatches"
        )
    arrays = [checked(model, values, i) for i, values in enumerate(data)]
    return of_data_sets(model, arrays, method, random_seed, client, options)


def of_data_sets(
    model: Model,
    arrays: Sequence[Mapping[str, np.ndarray]],
    method: str,
    random_seed: Any,
    client: Any,
    options: Mapping[str, Any],
) -> ManyFits:
    """Return fits to checked data sets, all of them or, after Ctrl-C, the first ones."""
    seeds = as_seed_sequence(random_seed).spawn(len(arrays) + 1)
    found: dict[int, tuple[FittedNormal, Diagnosis]] = {}

    def alone(indices: Sequence[int]) -> dict[int, Approximation]:
        fits = up_to_interruption(
            partial(fitted_alone, model, arrays[i], method, seeds[i], options) for i in indices
        )
        return dict(zip(indices, fits, strict=False))

    with own_data_afterwards(model, list(arrays[0])):
        check_start(model, arrays)
        others = alone([0])
        try:
            together = method == "auto" and set(options) <= SHOWN and is_one_normal(others[0])
            if together and len(arrays) > 1:
                found = fitted_together(model, arrays, seeds[-1], client)
            left = [i for i in range(1, len(arrays)) if i not in found]
            if left:
                others |= alone(left)
        except KeyboardInterrupt:  # what is done is not lost
            pass
    known = {*found, *others}
    done = next((i for i in range(len(arrays)) if i not in known), len(arrays))
    if done < len(arrays):
        logger.info(f"Interrupted: {done} of {len(arrays)} data sets are fitted")
    normals = [found[i][0] if i in found else None for i in range(done)]
    verdicts = [
        found[i][1] if i in found else others[i].diagnosis or others[i].diagnose()
        for i in range(done)
    ]
    return ManyFits(model, arrays[:done], normals, verdicts, others, seeds[:done])


def up_to_interruption(fits: Iterable[Callable[[], Approximation]]) -> list[Approximation]:
    """Fit one after the other; return those that were done when Ctrl-C came.

    Raises
    ------
    KeyboardInterrupt
        If none was.
    """
    done: list[Approximation] = []
    for make in fits:
        began = time.monotonic()
        try:
            interrupts.check()
            approx = make()
        except KeyboardInterrupt:
            break
        came = interrupts.last() > began
        if came and approx.ending.is_interrupted:
            break
        done.append(approx)
        if came and approx.diagnosis is None:  # it came in the verdict
            break
    if not done:
        raise KeyboardInterrupt
    return done


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
