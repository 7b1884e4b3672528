"""What all searches have in common: a model goes in, and the best that was found comes out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from vibayes import interrupts, progress
from vibayes.approximations.base import Approximation
from vibayes.arguments import check_arguments
from vibayes.backend.evaluation import evaluating_as
from vibayes.backend.jax import JaxDevices
from vibayes.backend.modes import resolve_devices
from vibayes.backend.seeds import as_seed_sequence
from vibayes.context import modelcontext
from vibayes.exceptions import ModelError
from vibayes.families.base import check_continuous
from vibayes.inference.base import Method, make_budget
from vibayes.inference.checkpoints import approximation_in, find_kept
from vibayes.inference.runs import among_processes
from vibayes.inference.searches.run import SearchRun
from vibayes.model.by_rows import check_goes_by_rows
from vibayes.model.core import Model
from vibayes.model.passes import computing_now
from vibayes.model.target import is_deterministic
from vibayes.search.budget import Budget
from vibayes.storage.calls import describe_seeds
from vibayes.storage.checkpoint import Checkpoint

__all__ = ["SearchMethod"]


class SearchMethod(Method):
    """A fit that searches the posterior itself, in place of taking steps of an optimizer.

    Parameters
    ----------
    model : Model, optional
        The model; by default the one of the ``with`` block. Minibatches stand for the whole data.
    random_seed : int, optional
        Seed of everything random in the fit.
    start : dict, optional
        Where to start, by variable name.

    Attributes
    ----------
    approx : Approximation
        The result of the last fit.
    """

    takes_steps = False

    @check_arguments
    def __init__(
        self,
        model: Model | None = None,
        random_seed: Any = None,
        start: Mapping[str, Any] | None = None,
    ) -> None:
        self.model: Model = modelcontext(model)
        self.start: dict[str, Any] = dict(start or {})
        self._seeds = as_seed_sequence(random_seed)
        self._is_seeded = random_seed is not None
        self.approx: Approximation | None = None

    @interrupts.Deferral(keeps_result=True)
    @check_arguments
    def fit(
        self,
        n: int | None = None,
        callbacks: Sequence[Callable[..., None]] | None = None,
        progressbar: bool = True,
        *,
        diagnose: bool = False,
        max_seconds: float | None = None,
        max_steps: int | None = None,
        checkpoint: Any = None,
        backend: str | None = None,
        device: Any = None,
        devices: Any = None,
        **options: Any,
    ) -> Approximation:
        """Search, and return the approximation.

        Parameters
        ----------
        n
            Not to be given: the search ends by itself.
        callbacks, **options
            Not to be given: there are no steps of an approximation to be called after.
        progressbar
            Whether to show what is being done, if there is a terminal or a notebook to show it in.
        diagnose
            Whether to judge the result and warn if it is not good.
        max_seconds, max_steps
            Budget, 600 seconds and 100,000 steps by default: the search ends with the best that it
            has found, and says so.
        checkpoint
            Path of a ``.nc`` file in which to keep the result. If the file is there, the result
            is what it holds. A search that was interrupted begins anew.
        backend : {"jax"}, optional
            What evaluates the log density: JAX, by default what
            :class:`vibayes.config <vibayes.Config>` says, else NumPy. Of small models NumPy is the
            quicker.
        device, devices
            Where JAX runs, as for :meth:`vibayes.Inference.fit`.

        Raises
        ------
        ModelError
            If the whole data are not in memory, or the model has no continuous free variables.
        TypeError
            If ``n``, ``callbacks`` or options of steps are given.
        SamplingError
            If the log density is not finite wherever the search begins.
        StorageError
            If ``checkpoint`` is the file of another model or of another call, or is not whole.
        """
        began = time.perf_counter()
        given = {"n": n, "callbacks": callbacks, **options}
        self._check(given if backend == "jax" else given | {"backend": backend})
        mode = resolve_devices(backend, device, devices)
        budget = make_budget(max_seconds, max_steps)
        among_processes(self.model, mode, budget)
        call = self._call(budget.steps, mode)
        with (
            progress.shown(progressbar, "looking at the model", budget.seconds),
            evaluating_as(mode),
        ):
            keeping = find_kept(call, Checkpoint.wanted(checkpoint, None), self.model)
            if keeping.found is None:
                approx = self._searched(budget)
                keeping.finish_search(approx)
            else:
                approx = self.approx = approximation_in(keeping.found, self.model)
            return self.result(approx, diagnose, began)

    def _check(self, given: Mapping[str, Any]) -> None:
        """Raise if there are options of steps, or the model is none that can be searched."""
        for name, value in given.items():
            if value is not None:
                raise TypeError(
                    f'{name} has no effect on method="{self.short_name}", which ends by itself; '
                    f"max_seconds and max_steps limit it"
                )
        check_continuous(self.model, self.model.free_RVs)
        if not is_deterministic(self.model):
            raise ModelError(
                f'method="{self.short_name}" evaluates the log density of the whole data, which '
                "are other ones at each evaluation: fit a family by steps, such as "
                'method="fullrank_advi"'
            )
        self.model.check_shapes()
        if self.model.has_streams or computing_now().is_asked:
            check_goes_by_rows(self.model, f'method="{self.short_name}"')

    def _call(self, max_steps: int, mode: Any) -> dict[str, Any]:
        """Return what the search is told to do; see :mod:`vibayes.storage.calls`."""
        call = {
            "method": type(self).__qualname__,
            "settings": self._settings(),
            "max_steps": max_steps,
            "random_seed": describe_seeds(self._seeds, self._is_seeded),
        }
        if isinstance(mode, JaxDevices):  # whose numbers are others in the last digits
            call["backend"] = "jax"
        return call

    def _settings(self) -> dict[str, Any]:
        """Return the settings of the search as what JSON can hold."""
        return {"start": {name: np.asarray(v).tolist() for name, v in self.start.items()}}

    def _searched(self, budget: Budget) -> Approximation:
        """Search, and take note of the losses on the way."""
        run = SearchRun(self.model, self.start, self._seeds, budget)
        approx = self.approx = self._search(run)
        if not len(approx.hist):
            approx.hist = np.array(run.losses)
        return approx

    def _search(self, run: SearchRun) -> Approximation:
        """Return the best that is found within the budget of a run, with its ending."""
        raise NotImplementedError
