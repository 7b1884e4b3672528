"""Callbacks that end a fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pytensor.graph.basic import Variable
from scipy.special import logsumexp

from vibayes import interrupts
from vibayes.arguments import check_arguments, check_real, check_whole, is_real, shown
from vibayes.backend.shared import flat_values, set_flat_values
from vibayes.callbacks.base import Callback
from vibayes.numeric import checked_tensor
from vibayes.posterior.draws import node_draws

__all__ = ["CheckParametersConvergence", "EarlyStopping", "StopAtPlateau", "TimeLimit"]


RELATIVE_EPSILON = 1e-12


def check_order_of_norm(order: Any) -> None:
    """Raise if NumPy knows no norm of vectors of that order."""
    try:
        known = is_real(order) and order != 0 and np.isfinite(np.linalg.norm(np.ones(2), order))
    except Exception:  # NumPy raises errors of many kinds
        known = False
    if not known:
        raise ValueError(f"ord must be a number other than 0, or inf or -inf, got {shown(order)}")


class CheckParametersConvergence(Callback):
    """End the fit when the variational parameters have stopped moving.

    Parameters
    ----------
    every : int, default 100
        Number of iterations between checks.
    tolerance : float, default 1e-3
        The fit ends when the norm of the difference between two checks is below it.
    diff : {"relative", "absolute"}, default "relative"
        Whether each difference is divided by the parameter's magnitude. Relative differences of
        parameters near zero are always large.
    ord : {non-zero int, inf, -inf}, default inf
        Order of the norm; see :func:`numpy.linalg.norm`.

    Examples
    --------
    >>> import vibayes as vb
    >>> check = vb.callbacks.CheckParametersConvergence(every=50, diff="absolute")
    >>> approx = vb.fit(10000, callbacks=[check])  # doctest: +SKIP
    """

    @check_arguments
    def __init__(
        self, every: int = 100, tolerance: float = 1e-3, diff: str = "relative", ord: Any = np.inf
    ) -> None:
        if diff not in ("relative", "absolute"):
            raise ValueError(f"diff must be 'relative' or 'absolute', got {diff!r}")
        tolerance = check_real(tolerance, "tolerance", above=0, finite=False)
        check_order_of_norm(ord)
        self.every = check_whole(every, "every", least=1)
        self.tolerance = tolerance
        self.diff = diff
        self.ord = ord
        self._previous: np.ndarray | None = None

    flatten_shared = staticmethod(flat_values)

    def start(self, approx: Any) -> None:
        self._previous = self.flatten_shared(approx.params)

    def state(self) -> dict[str, Any]:
        return {"previous": self._previous}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        previous, now = np.asarray(state["previous"]), np.asarray(self._previous)
        if previous.shape != now.shape or previous.dtype.kind != "f":
            raise ValueError(
                f"parameters of dtype {previous.dtype} and shape {previous.shape}, where the fit "
                f"has {now.shape}"
            )
        self._previous = previous

    def __call__(self, approx: Any, losses: np.ndarray, i: int) -> None:
        before = self._previous
        if before is not None and i % self.every:
            return
        self._previous = current = self.flatten_shared(approx.params)
        if before is None or before.shape != current.shape:  # the first look, or another fit
            return
        change = np.abs(current - before)
        if self.diff == "relative":
            change = change / (np.abs(before) + RELATIVE_EPSILON)
        norm = change.max() if self.ord == np.inf else np.linalg.norm(change, self.ord)
        if norm < self.tolerance:
            raise StopIteration(f"Convergence achieved at {i}")


class StopAtPlateau(Callback):
    """End the fit when the loss has stopped falling.

    The loss, which is the negative ELBO, is averaged over ``every`` iterations at a time. The fit
    ends after ``patience`` averages in a row of which none was below the lowest before, by more
    than ``tolerance``.

    Parameters
    ----------
    every : int, default 500
        Number of iterations of an average, between checks. The loss is noisy: many are better.
    patience : int, default 5
        Number of averages without a fall after which the fit ends.
    tolerance : float, default 0.01
        Falls of the loss that are not worth waiting for, in nats.

    Notes
    -----
    A loss that falls no more may still have parameters on their way that hardly matter for it;
    :meth:`vibayes.Approximation.diagnose` tells whether the result is to be trusted.

    Examples
    --------
    >>> import vibayes as vb
    >>> stop = vb.callbacks.StopAtPlateau(every=1000)
    >>> approx = vb.fit(100_000, callbacks=[stop])  # doctest: +SKIP
    """

    @check_arguments
    def __init__(self, every: int = 500, patience: int = 5, tolerance: float = 0.01) -> None:
        self.every = check_whole(every, "StopAtPlateau: every", least=1)
        self.tolerance = check_real(tolerance, "StopAtPlateau: tolerance", least=0)
        self._course = Course(check_whole(patience, "StopAtPlateau: patience", least=1))

    def start(self, approx: Any) -> None:
        self._course.begin()

    def state(self) -> dict[str, Any]:
        return self._course.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self._course.restore(state)

    def __call__(self, approx: Any, losses: np.ndarray, i: int) -> None:
        if not len(losses):
            raise ValueError(
                "StopAtPlateau: this fit has no loss to look at: its objective has none, or it "
                "was asked for none (score=False)"
            )
        loss = float(np.mean(losses[-self.every :]))
        if not self._course.is_better(-loss, self.tolerance) and self._course.is_over:
            raise StopIteration(
                f"The loss has not fallen below {-self._course.best:,.5g} for "
                f"{self._course.waited * self.every:,} iterations"
            )


class TimeLimit(Callback):
    """End the fit when its time is up.

    Parameters
    ----------
    seconds : float
        The time, from the first step on: compilation is not included. A fit that goes on from a
        checkpoint has what its earlier runs have left of it; ``refine`` has all of it again.
    every : int, default 10
        Number of iterations between looks at the clock.

    Notes
    -----
    A fit without a number of iterations has ``max_seconds`` instead, which includes everything.
    Which iteration is the last one depends on the machine: results are not reproduced by a seed.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     approx = vb.fit(
    ...         10**9, callbacks=[vb.callbacks.TimeLimit(0.1)], backend="py", diagnose=False
    ...     )
    """

    @check_arguments
    def __init__(self, seconds: float, every: int = 10) -> None:
        self.seconds = check_real(seconds, "TimeLimit: seconds", above=0, finite=False)
        self.every = check_whole(every, "TimeLimit: every", least=1)
        self._earlier, self._began = 0.0, time.perf_counter()

    @property
    def used(self) -> float:
        """Seconds that the fit has taken so far."""
        return self._earlier + time.perf_counter() - self._began

    def start(self, approx: Any) -> None:
        self._earlier, self._began = 0.0, time.perf_counter()

    def state(self) -> dict[str, Any]:
        return {"used": self.used}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._earlier = check_real(state["used"], "used", least=0)

    def __call__(self, approx: Any, losses: np.ndarray, i: int) -> None:
        if self.used >= self.seconds:
            raise StopIteration(f"The {self.seconds:g} seconds of the fit are over")


class EarlyStopping(Callback):
    r"""End the fit when what it says of held-out data gets no better, and go back to the best.

    With draws :math:`z_s` of the approximation and held-out observations :math:`y_i` the score is
    the log density that it predicts for them [1]_,

    .. math:: \sum_i \log \frac{1}{S} \sum_{s=1}^{S} p(y_i \mid z_s)

    Parameters
    ----------
    log_density : TensorVariable or callable
        Log densities of held-out observations, an expression of the model's variables, such as
        ``vb.logp(vb.Normal.dist(X_held @ beta, sigma), y_held)``. Or a function of the
        approximation that returns a score, the higher the better.
    every : int, default 500
        Number of iterations between looks.
    patience : int, default 5
        Number of looks without a better score after which the fit ends.
    tolerance : float, default 0
        By how much a score has to be higher to be a better one.
    draws : int, default 200
        Number of draws :math:`S`.
    random_seed : int, default 0
        Seed of the draws, the same at each look, so that scores differ by what the approximation
        has learned.

    Attributes
    ----------
    best : float
        The highest score so far, minus infinity before the first look.

    Notes
    -----
    If it ends the fit, the parameters of the approximation are those of the best score. Shared
    variables that the fit changes beside them (``more_obj_params``) stay as they are.

    References
    ----------
    .. [1] A. Gelman, J. Hwang, A. Vehtari (2014). Understanding predictive information criteria for
       Bayesian models. Statistics and Computing 24, 997-1016. https://arxiv.org/abs/1307.5928

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     mu = vb.Normal("mu", 0, 10)
    ...     y = vb.Normal("y", mu, 1, observed=[1.0, 2.0, 1.5])
    ...     held_out = vb.logp(vb.Normal.dist(mu, 1), [1.2, 1.9])
    ...     stop = vb.callbacks.EarlyStopping(held_out, every=100)
    ...     approx = vb.fit(1000, callbacks=[stop], random_seed=1, backend="py", diagnose=False)
    >>> stop.best > -5
    True
    """

    @check_arguments
    def __init__(
        self,
        log_density: Variable | Callable[..., Any],
        every: int = 500,
        patience: int = 5,
        tolerance: float = 0.0,
        draws: int = 200,
        random_seed: int = 0,
    ) -> None:
        if isinstance(log_density, Variable):
            log_density = checked_tensor(log_density, "EarlyStopping: log_density")
        self.log_density = log_density
        self.every = check_whole(every, "EarlyStopping: every", least=1)
        self.tolerance = check_real(tolerance, "EarlyStopping: tolerance", least=0)
        self.draws = check_whole(draws, "EarlyStopping: draws", least=1)
        self.random_seed = check_whole(random_seed, "EarlyStopping: random_seed", least=0)
        self._course = Course(check_whole(patience, "EarlyStopping: patience", least=1))
        self._score: Callable[[Any], float] = self._by_function
        self._params: np.ndarray | None = None
        self._size = 0

    @property
    def best(self) -> float:
        """The highest score so far."""
        return self._course.best

    def start(self, approx: Any) -> None:
        self._course.begin()
        self._params, self._size = None, len(flat_values(approx.params))
        self._score = self._by_function
        if isinstance(self.log_density, Variable):
            of_draws = node_draws(approx, self.log_density)
            self._score = lambda approx: predicted(of_draws(self.draws, self.random_seed))

    def state(self) -> dict[str, Any]:
        return {**self._course.state(), "params": self._params}

    def restore(self, state: Mapping[str, Any]) -> None:
        params = state["params"]
        if params is not None:
            params = np.asarray(params)
            if params.shape != (self._size,) or not np.isfinite(params).all():
                raise ValueError(f"{params.size} parameters, where the fit has {self._size}")
        self._course.restore(state)
        self._params = params

    def __call__(self, approx: Any, losses: np.ndarray, i: int) -> None:
        if self._course.is_better(self._score(approx), self.tolerance):
            self._params = flat_values(approx.params)
        elif self._course.is_over:
            if self._params is not None:
                set_flat_values(approx.params, self._params)
            raise StopIteration(
                f"Held-out data were predicted best {self._course.waited * self.every:,} "
                f"iterations ago (score {self.best:,.5g}), and the approximation is the one of then"
            )

    def _by_function(self, approx: Any) -> float:
        with interrupts.user_code():
            score = self.log_density(approx)
        return check_score(score)


def check_score(score: Any) -> float:
    """Return a score of the user's as a float, which may be NaN or not finite, or raise."""
    if not is_real(score):
        raise TypeError(f"EarlyStopping: log_density must return a number, got {shown(score)}")
    return float(score)


def predicted(log_densities: np.ndarray) -> float:
    """Return the log density predicted by draws, the first axis, of all observations together."""
    log_densities = log_densities.astype("float64")
    return float(np.sum(logsumexp(log_densities, axis=0) - np.log(len(log_densities))))


class Course:
    """A score that rises, or has stopped to.

    Parameters
    ----------
    patience : int
        Number of scores to wait for a better one.

    Attributes
    ----------
    best : float
        The last score that was better than the best before.
    waited : int
        Number of scores since.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.begin()

    def begin(self) -> None:
        """Forget all scores."""
        self.best, self.waited = -np.inf, 0

    def is_better(self, score: float, tolerance: float) -> bool:
        """Take a score in, and tell whether it is better by more than a tolerance."""
        if score > self.best + tolerance:
            self.best, self.waited = score, 0
            return True
        self.waited += 1
        return False

    @property
    def is_over(self) -> bool:
        """Whether patience has come to an end."""
        return self.waited >= self.patience

    def state(self) -> dict[str, Any]:
        """Return what there is to remember."""
        return {"best": self.best, "waited": self.waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what was remembered."""
        best = check_real(state["best"], "best", finite=False)
        self.waited = check_whole(state["waited"], "waited", least=0)
        self.best = best
