"""What users hold: an approximate posterior, to draw from, to judge and to keep."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

import numpy as np
from pytensor.tensor.variable import TensorVariable

from vibayes import progress
from vibayes.approximations.prior import prior_of
from vibayes.arguments import check_arguments, check_whole, shown
from vibayes.backend.evaluation import evaluating_as
from vibayes.backend.modes import resolve_devices
from vibayes.backend.seeds import derived_seed
from vibayes.exceptions import ApproximationWarning
from vibayes.families.base import Group
from vibayes.model.core import Model
from vibayes.posterior.display import approximation_html, approximation_text
from vibayes.posterior.draws import FlatDraws, flat_draws
from vibayes.posterior.pymc_nodes import PyMCNodes
from vibayes.predictive.samples import draws_of_fits, samples_of
from vibayes.records.diagnosis import Diagnosis
from vibayes.records.ending import Ending
from vibayes.records.outcome import Outcome
from vibayes.storage.saving import save
from vibayes.verdict.judge import diagnose, draws_to_judge

__all__ = ["Approximation", "judge", "sample_approx", "sample_fits"]


DELAY = 1.0  # seconds that a judgement may take before anything is shown


class Approximation(PyMCNodes):
    """An approximate posterior, made of groups that cover the free variables of a model.

    Parameters
    ----------
    groups : sequence of Group
        Every free variable belongs to exactly one of them.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    random_seed : int, optional
        Seed of the noise that a fit draws.
    cost_part_grad_scale : float or scalar variable, default 1
        Factor of the part of the gradient that comes from the derivative of log q by the
        parameters at a fixed draw. Its expectation is zero: 0 leaves it out (the path derivative
        of Roeder et al. 2017), and a shared variable can go from 1 to 0 during a fit.
    scale_cost_to_minibatch : bool, default True
        Whether the loss is divided by the largest factor by which ``total_size`` scales a
        variable, so that it is of the size of the minibatch: rates of optimizers such as
        :func:`vibayes.sgd` then do not depend on the number of rows. The optimum is the same.

    Attributes
    ----------
    hist : numpy.ndarray
        Loss at each iteration: the negative ELBO, by one Monte Carlo estimate; divided as
        ``scale_cost_to_minibatch`` says.
    ending : Ending
        Why the last fit ended.
    diagnosis : Diagnosis or None
        The last judgement since then; see :meth:`diagnose`.
    outcome : Outcome
        These three, and where the steps of the last fit stand.
    """

    known: ClassVar[list[type[Approximation]]] = []
    """Every class of approximations: files name the one that they hold."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Approximation.known.append(cls)

    @check_arguments
    def __init__(
        self,
        groups: Sequence[Group],
        *,
        model: Model | None = None,
        random_seed: Any = None,
        cost_part_grad_scale: Any = 1.0,
        scale_cost_to_minibatch: bool = True,
    ) -> None:
        super().__init__(
            groups,
            model=model,
            random_seed=random_seed,
            cost_part_grad_scale=cost_part_grad_scale,
            scale_cost_to_minibatch=scale_cost_to_minibatch,
        )
        self.outcome: Outcome = Outcome()

    @property
    def hist(self) -> np.ndarray:
        """Loss at each iteration."""
        return self.outcome.hist

    @hist.setter
    def hist(self, losses: np.ndarray) -> None:
        self.outcome.hist = losses

    @property
    def ending(self) -> Ending:
        """Why the last fit ended."""
        return self.outcome.ending

    @ending.setter
    def ending(self, ending: Ending) -> None:
        self.outcome.ending = ending

    @property
    def diagnosis(self) -> Diagnosis | None:
        """The last judgement since then."""
        return self.outcome.diagnosis

    @diagnosis.setter
    def diagnosis(self, diagnosis: Diagnosis | None) -> None:
        self.outcome.diagnosis = diagnosis

    @check_arguments
    def sample(
        self,
        draws: int = 1000,
        random_seed: Any = None,
        include_transformed: bool = False,
        importance: bool = False,
        *,
        chains: int = 1,
        return_inferencedata: bool = True,
        var_names: str | Collection[str] | None = None,
    ) -> Any:
        """Draw from the approximate posterior.

        Parameters
        ----------
        draws
            Number of draws of each chain.
        random_seed
            Seed of the draws. True or False in its place is ``include_transformed``, as in PyMC3's
            order of arguments.
        include_transformed
            Whether to add the unconstrained values, under names such as ``sigma_log__``.
        importance
            Whether to correct the draws towards the posterior: they are resampled from four times
            as many by Pareto-smoothed importance weights. The attribute ``pareto_k`` of the
            posterior tells how far that can be relied on: up to about 0.7.
        chains
            Number of chains that the draws are dealt to, for functions that want several. Draws of
            one approximation are independent, so that r_hat is about 1 whatever they are of; of
            particles each chain has some that no other has. For chains of independent fits there
            is :func:`vibayes.sample_fits`.
        return_inferencedata
            Whether to return an object of ArviZ's kind, rather than a :class:`MultiTrace`.
        var_names
            Names of what to return; by default the free variables and all Deterministics. The
            others are not computed, and there is no group ``log_likelihood``.

        Returns
        -------
        arviz.InferenceData or xarray.DataTree
            As the installed ArviZ has it: groups ``posterior`` (dims ``chain``, ``draw`` and
            those of the variables; Deterministics included), ``observed_data`` and
            ``constant_data``. Up to a million numbers, also ``log_likelihood``: for more, and
            for models with minibatches, there is :func:`vibayes.compute_log_likelihood`.
        """
        draws = check_whole(draws, "draws", least=1)
        if isinstance(random_seed, bool | np.bool_):
            random_seed, include_transformed = None, bool(random_seed)
        chains = check_whole(chains, "chains", least=1)
        return samples_of(
            self,
            draws,
            random_seed,
            include_transformed,
            importance,
            chains,
            return_inferencedata,
            var_names,
        )

    @check_arguments
    def sample_vp(
        self,
        draws: int = 1000,
        hide_transformed: bool = True,
        random_seed: Any = None,
    ) -> Any:
        """Draw from the approximate posterior: another name of :meth:`sample`.

        Parameters
        ----------
        draws
            Number of draws.
        hide_transformed
            Whether to leave out the unconstrained values.
        random_seed
            Seed of the draws.
        """
        return self.sample(draws, random_seed, include_transformed=not hide_transformed)

    @check_arguments
    def diagnose(
        self,
        draws: int | None = None,
        random_seed: Any = None,
        progressbar: bool = True,
        *,
        backend: str | None = None,
        device: Any = None,
        devices: Any = None,
    ) -> Diagnosis:
        """Judge the approximation by importance weights of its own draws.

        Minibatches stand for the whole data.

        Parameters
        ----------
        draws
            Number of draws; by default 1,000, and fewer, down to 200, if there are more than
            400,000 observations.
        random_seed
            Seed of the draws; by default one that the approximation's own seed determines, so that
            the same fit has one verdict.
        progressbar
            Whether to show what is being done, if it takes more than a moment, and there is a
            terminal or a notebook to show it in.
        backend, device, devices
            What evaluates the log density: ``"jax"``, or NumPy for any other backend; as for
            :meth:`vibayes.Inference.fit`. A fit judges on what it ran on; one of steps, on up to
            1,000 observed values and parameters, by NumPy.

        Returns
        -------
        Diagnosis
            Evidence lower bound, Pareto k-hat, effective size, the variables at fault, and a
            verdict in words. ``print`` it, or let a notebook show it.
        """
        if backend is not None or device is not None or devices is not None:
            with evaluating_as(resolve_devices(backend, device, devices)):
                return self.diagnose(draws, random_seed, progressbar)
        draws = draws_to_judge(self.model) if draws is None else draws
        draws = check_whole(draws, "draws", least=100)
        if random_seed is None:
            random_seed = derived_seed(self.noise_seeds)
        with progress.shown(progressbar, "judging the result", delay=DELAY):
            self.diagnosis = diagnose(self, self.ending, draws, random_seed)
        return self.diagnosis

    @check_arguments
    def as_prior(
        self,
        var_names: str | Collection[str] | None = None,
        name: str = "prior",
        random_seed: Any = None,
    ) -> dict[str, TensorVariable]:
        """Add what was learned of variables to the open model, as the prior of new data.

        The unconstrained values of the variables become one normal variable of the open model, with
        the mean and the covariance that they have here; the variables are its deterministics. So
        data can come in portions, or one model can go on from another.

        Parameters
        ----------
        var_names
            Names of free variables; all by default.
        name
            Name of the normal variable.
        random_seed
            Seed of the draws by which mean and covariance are estimated, where they are not known.

        Returns
        -------
        dict of str to TensorVariable
            The variables in the open model, by name.

        Raises
        ------
        TypeError
            If no model is open.
        KeyError
            If there is no free variable of a name.
        ModelError
            If the open model is the one that was fitted, or has variables of these names.

        Examples
        --------
        >>> import vibayes as vb
        >>> with vb.Model():
        ...     rate = vb.Gamma("rate", 2, 1)
        ...     y = vb.Poisson("y", rate, observed=[3, 5, 2])
        ...     first = vb.fit(method="fullrank_advi", random_seed=1)
        >>> with vb.Model():
        ...     rate = first.as_prior()["rate"]
        ...     y = vb.Poisson("y", rate, observed=[4, 6])
        ...     second = vb.fit(method="fullrank_advi", random_seed=1)
        """
        return prior_of(self, var_names, name, random_seed)

    @check_arguments
    def flat_draws(self, draws: int, random_seed: Any = None) -> FlatDraws:
        """Return draws of the flat unconstrained vector, and their log densities.

        Parameters
        ----------
        draws
            Number of draws.
        random_seed
            Seed of the draws.

        Returns
        -------
        FlatDraws
            ``values`` (draws, d), in the order of ``model.value_vars``; ``logp`` and ``logq``
            (draws,), of the whole data where the model has minibatches.

        Raises
        ------
        NotImplementedError
            If the approximation has no density, or the model's cannot be had for the whole data.
        """
        return flat_draws(self, check_whole(draws, "draws", least=1), random_seed)

    def save(self, path: Any) -> None:
        """Write the approximation to a file, from which :func:`vibayes.load` reads it.

        Parameters
        ----------
        path
            Where to: a name that ends with ``.nc`` (netCDF) or ``.zarr`` (a folder, which needs
            the extra ``streaming``). What is there is replaced once the new file is whole.

        Raises
        ------
        ValueError
            If the name ends otherwise.
        FileNotFoundError
            If the folder does not exist.
        StorageError
            If parameters are expressions of the user's code, as those of local variables are.

        Notes
        -----
        The file holds the family with its options and parameters, ``hist``, ``ending`` and
        ``diagnosis``, the random state, the memory of the optimizer, the names, shapes and
        transforms of the model's variables, and the versions of what wrote it: arrays of numbers
        and JSON, no code.
        """
        save(self, self.outcome, path)

    def __str__(self) -> str:
        return approximation_text(self, self.outcome)

    def _repr_html_(self) -> str:
        return approximation_html(self, self.outcome)


def judge(approx: Approximation, stacklevel: int) -> None:
    """Judge a fit and warn; what cannot be judged costs nobody the fit."""
    try:
        diagnosis = approx.diagnose()
    except Exception as error:
        progress.conclude()
        warnings.warn(
            f"The fit could not be judged: {type(error).__name__}: {error}",
            ApproximationWarning,
            stacklevel=stacklevel + 1,
        )
    else:
        progress.conclude(diagnosis.headline)
        diagnosis.warn(stacklevel=stacklevel + 1)


@check_arguments
def sample_approx(
    approx: Approximation,
    draws: int = 1000,
    include_transformed: bool = True,
    random_seed: Any = None,
) -> Any:
    """Draw from an approximate posterior; see :meth:`Approximation.sample`.

    Parameters
    ----------
    approx
        The approximation.
    draws
        Number of draws.
    include_transformed
        Whether to add the unconstrained values.
    random_seed
        Seed of the draws.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x", shape=2)
    ...     approx = vb.MeanField()
    >>> vb.sample_approx(approx, draws=100)["x"].shape
    (100, 2)
    """
    return approx.sample(draws, random_seed, include_transformed)


@check_arguments
def sample_fits(
    approximations: Sequence[Approximation], draws: int = 1000, random_seed: Any = None
) -> Any:
    """Draw from several fits of one model, a chain each.

    Fits from different seeds or starts that came to the same posterior have r_hat near 1 for all
    variables; where one has missed a mode, or has not arrived, ``az.summary`` and
    ``az.plot_rank`` show it as they do for chains of a sampler.

    Parameters
    ----------
    approximations
        Two or more, of one model.
    draws
        Number of draws of each.
    random_seed
        Seed of the draws.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        What :meth:`Approximation.sample` returns, with as many chains as there are fits.

    Raises
    ------
    ValueError
        If there are fewer than two, or of different models.

    Examples
    --------
    >>> import vibayes as vb
    >>> with vb.Model():
    ...     x = vb.Normal("x")
    ...     fits = [vb.fit(random_seed=seed, progressbar=False) for seed in range(4)]
    >>> vb.sample_fits(fits, draws=100, random_seed=1).posterior["x"].shape
    (4, 100)
    """
    fits = list(approximations)
    if len(fits) < 2 or not all(isinstance(fit, Approximation) for fit in fits):
        raise ValueError(
            f"approximations must be two or more, such as fits from several seeds, got "
            f"{shown(approximations)}"
        )
    if any(fit.model is not fits[0].model for fit in fits):
        raise ValueError("approximations must be of one model")
    return draws_of_fits(fits, check_whole(draws, "draws", least=1), random_seed)
