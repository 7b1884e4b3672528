"""Every argument of every public function, each as a function of the value that is given for it.

What an argument takes follows from its annotation, or from its name where that says ``Any``; what
the other arguments are, from the tables here. A public function that these do not reach is named
by :func:`uncovered`.
"""

import inspect
import tempfile
import typing
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Constant, Variable

import vibayes as vb
from vibayes.arguments import accepts
from vibayes.backend.modes import evaluate
from vibayes.backend.seeds import random_generators
from vibayes.inference.calibration import Calibration

DATA = np.array([0.5, 1.5, 1.0, 2.0])
REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class Target:
    """An argument of a public function.

    Attributes
    ----------
    name
        Such as ``Normal.dist``.
    argument
        Name of the argument.
    kind
        What it takes: ``numbers``, or a type.
    call
        Gives the argument a value, and returns what tells results apart.
    optional
        Whether None stands for an argument that is not given.
    """

    name: str
    argument: str
    kind: object
    call: Callable
    optional: bool

    @property
    def label(self):
        return f"{self.name}({self.argument}=)"


# -- what the other arguments are -----------------------------------------------------------------


@cache
def model():
    with vb.Model(coords={"row": [1, 2, 3, 4]}) as made:
        x = vb.Normal("x", shape=2)
        vb.HalfNormal("s")
        data = vb.Data("data", DATA, dims="row")
        vb.Deterministic("twice", 2 * x)
        vb.Normal("y", x.sum() + data, 1, observed=DATA, dims="row")
    return made


@cache
def discrete_model():
    with vb.Model() as made:
        kind = vb.Bernoulli("kind", 0.5)
        vb.Normal("y", kind, 1, observed=DATA)
    return made


@cache
def covariance():
    return vb.gp.cov.ExpQuad(1, ls=1.0)


@cache
def approx():
    return vb.MeanField(model=model(), random_seed=1)


@cache
def judged():
    return vb.fit(method="auto", model=model(), random_seed=1, progressbar=False)


@cache
def calibration():
    ranks = np.random.default_rng(1).integers(0, 10, size=(20, 2))
    return Calibration(ranks, ("x[0]", "x[1]"), 9, None)


@cache
def fitted():
    return vb.Inference(vb.KL(vb.MeanField(model=model(), random_seed=1)))


@cache
def posterior():
    return approx().sample(10, random_seed=1)


@cache
def saved():
    path = Path(tempfile.mkdtemp()) / "approximation.nc"
    approx().save(path)
    return path


def shared():
    return pytensor.shared(np.array([1.0, 2.0]), name="w")


def loss_of(w):
    return (w**2).sum()


def updates_of():
    w = shared()
    return {w: w - 1.0}


def trained():
    w = shared()
    return {"loss_or_grads": loss_of(w), "params": [w]}


class Writer:
    """What TensorBoard's library writes with."""

    def add_scalar(self, tag, value, iteration): ...

    def flush(self): ...


FIT = {"n": 2, "model": model, "backend": "py", "progressbar": False, "diagnose": False}
OF_MODEL = {"model": model}
OF_APPROX = {"approx": approx}
MATRIX = np.eye(2)
GRAPH = [[0.0, 1.0], [1.0, 0.0]]
PARAMETERS = {
    "AR": [{"rho": [0.5], "sigma": 1.0, "steps": 3}, {"rho": [0.5], "tau": 1.0, "steps": 3}],
    "AsymmetricLaplace": [{"kappa": 1.0, "mu": 0.0, "b": 1.0}, {"q": 0.5}],
    "Bernoulli": [{"p": 0.5}, {"logit_p": 0.0}],
    "Beta": [{"alpha": 1.0, "beta": 1.0}, {"mu": 0.5, "sigma": 0.1}, {"mu": 0.5, "nu": 3.0}],
    "BetaBinomial": [{"alpha": 1.0, "beta": 1.0, "n": 3}],
    "Binomial": [{"n": 3, "p": 0.5}, {"n": 3, "logit_p": 0.0}],
    "Categorical": [{"p": [0.5, 0.5]}, {"logit_p": [0.0, 0.0]}],
    "Cauchy": [{"alpha": 0.0, "beta": 1.0}],
    "Censored": [{"dist": lambda: vb.Normal.dist(), "lower": -1.0, "upper": 1.0}],
    "ChiSquared": [{"nu": 3.0}],
    "CustomDist": [{"logp": lambda: lambda value: -(value**2)}],
    "Dirichlet": [{"a": [1.0, 1.0]}],
    "DirichletMultinomial": [{"n": 3, "a": [1.0, 1.0]}],
    "DiscreteUniform": [{"lower": 0, "upper": 3}],
    "ExGaussian": [{"mu": 0.0, "sigma": 1.0, "nu": 1.0}],
    "Exponential": [{"lam": 1.0}, {"scale": 1.0}],
    "Flat": [{}],
    "Gamma": [{"alpha": 1.0, "beta": 1.0}, {"mu": 1.0, "sigma": 1.0}],
    "GaussianRandomWalk": [{"mu": 0.0, "sigma": 1.0, "steps": 3}],
    "Geometric": [{"p": 0.5}],
    "Gumbel": [{"mu": 0.0, "beta": 1.0}],
    "HalfCauchy": [{"beta": 1.0}],
    "HalfFlat": [{}],
    "HalfNormal": [{"sigma": 1.0}, {"tau": 1.0}],
    "HalfStudentT": [{"nu": 3.0, "sigma": 1.0}, {"nu": 3.0, "lam": 1.0}],
    "HyperGeometric": [{"N": 9, "k": 3, "n": 3}],
    "InverseGamma": [{"alpha": 3.0, "beta": 1.0}, {"mu": 1.0, "sigma": 1.0}],
    "Kumaraswamy": [{"a": 1.0, "b": 1.0}],
    "LKJCholeskyCov": [{"eta": 1.0, "n": 2, "sd_dist": lambda: vb.Exponential.dist(1.0)}],
    "Laplace": [{"mu": 0.0, "b": 1.0}],
    "LogNormal": [{"mu": 0.0, "sigma": 1.0}, {"tau": 1.0}],
    "Logistic": [{"mu": 0.0, "s": 1.0}],
    "LogitNormal": [{"mu": 0.0, "sigma": 1.0}, {"tau": 1.0}],
    "Mixture": [{"w": [0.5, 0.5], "comp_dists": lambda: [vb.Normal.dist(), vb.Normal.dist()]}],
    "Moyal": [{"mu": 0.0, "sigma": 1.0}],
    "Multinomial": [{"n": 3, "p": [0.5, 0.5]}],
    "CAR": [{"mu": [0.0, 0.0], "W": GRAPH, "alpha": 0.5, "tau": 1.0}],
    "ICAR": [{"W": GRAPH}],
    "EulerMaruyama": [
        {"dt": 0.1, "sde_fn": lambda: lambda x, *a: (-x, 1.0), "sde_pars": [0.5], "steps": 3}
    ],
    "RandomWalk": [
        {
            "init_dist": lambda: vb.Normal.dist(),
            "innovation_dist": lambda: vb.Normal.dist(),
            "steps": 3,
        }
    ],
    "MvGaussianRandomWalk": [
        {"mu": [0.0, 0.0], "cov": MATRIX, "steps": 3},
        {"mu": [0.0, 0.0], "tau": MATRIX, "steps": 3},
        {"mu": [0.0, 0.0], "chol": MATRIX, "steps": 3},
    ],
    "MvStudentTRandomWalk": [
        {"nu": 5.0, "mu": [0.0, 0.0], "scale": MATRIX, "steps": 3},
        {"nu": 5.0, "mu": [0.0, 0.0], "cov": MATRIX, "steps": 3},
        {"nu": 5.0, "mu": [0.0, 0.0], "tau": MATRIX, "steps": 3},
        {"nu": 5.0, "mu": [0.0, 0.0], "chol": MATRIX, "steps": 3},
    ],
    "DiracDelta": [{"c": 1.0}],
    "DiscreteWeibull": [{"q": 0.5, "beta": 1.0}],
    "GenExtreme": [{"mu": 0.0, "sigma": 1.0, "xi": 0.1}],
    "GARCH11": [{"omega": 1.0, "alpha_1": 0.1, "beta_1": 0.1, "initial_vol": 1.0, "steps": 2}],
    "HurdleGamma": [{"psi": 0.5, "alpha": 1.0, "beta": 1.0}],
    "HurdleLogNormal": [{"psi": 0.5, "mu": 0.0, "sigma": 1.0}],
    "HurdleNegativeBinomial": [{"psi": 0.5, "mu": 1.0, "alpha": 1.0}],
    "HurdlePoisson": [{"psi": 0.5, "mu": 1.0}],
    "Interpolated": [{"x_points": [0.0, 1.0, 2.0], "pdf_points": [0.0, 1.0, 0.0]}],
    "KroneckerNormal": [{"mu": [0.0] * 4, "covs": [MATRIX, MATRIX]}],
    "LKJCorr": [{"n": 2, "eta": 1.0}],
    "MatrixNormal": [{"mu": MATRIX, "rowcov": MATRIX, "colcov": MATRIX}],
    "PolyaGamma": [{"h": 1.0, "z": 0.0}],
    "Skellam": [{"mu1": 1.0, "mu2": 2.0}],
    "SkewStudentT": [{"a": 1.0, "b": 1.0}],
    "StickBreakingWeights": [{"alpha": 1.0, "K": 3}],
    "Wishart": [{"nu": 3, "V": MATRIX}],
    "OrderedMultinomial": [{"eta": 0.0, "cutpoints": [-1.0, 1.0], "n": 3}],
    "MvNormal": [{"mu": [0.0, 0.0], "cov": MATRIX}, {"tau": MATRIX}, {"chol": MATRIX}],
    "MvStudentT": [
        {"nu": 3.0, "mu": [0.0, 0.0], "scale": MATRIX},
        {"nu": 3.0, "Sigma": MATRIX},
        {"nu": 3.0, "tau": MATRIX},
        {"nu": 3.0, "chol": MATRIX},
    ],
    "NegativeBinomial": [{"mu": 1.0, "alpha": 1.0}, {"p": 0.5, "n": 1.0}],
    "Normal": [{"mu": 0.0, "sigma": 1.0}, {"tau": 1.0}],
    "NormalMixture": [
        {"w": [0.5, 0.5], "mu": [0.0, 1.0], "sigma": 1.0},
        {"w": [0.5, 0.5], "mu": [0.0, 1.0], "tau": 1.0},
    ],
    "OrderedLogistic": [{"eta": 0.0, "cutpoints": [0.0, 1.0]}],
    "OrderedProbit": [{"eta": 0.0, "cutpoints": [0.0, 1.0], "sigma": 1.0}],
    "Pareto": [{"alpha": 1.0, "m": 1.0}],
    "Poisson": [{"mu": 1.0}],
    "Rice": [{"nu": 1.0, "sigma": 1.0}, {"b": 1.0, "sigma": 1.0}],
    "SkewNormal": [{"alpha": 1.0, "mu": 0.0, "sigma": 1.0}, {"tau": 1.0}],
    "StudentT": [{"nu": 3.0, "mu": 0.0, "sigma": 1.0}, {"nu": 3.0, "lam": 1.0}],
    "Triangular": [{"lower": 0.0, "upper": 1.0, "c": 0.5}],
    "Truncated": [{"dist": lambda: vb.Normal.dist(), "lower": -1.0, "upper": 1.0}],
    "TruncatedNormal": [
        {"mu": 0.0, "sigma": 1.0, "lower": -1.0, "upper": 1.0},
        {"tau": 1.0, "lower": 0.0},
    ],
    "Uniform": [{"lower": 0.0, "upper": 1.0}],
    "VonMises": [{"mu": 0.0, "kappa": 1.0}],
    "Wald": [{"mu": 1.0, "lam": 1.0, "alpha": 0.0}, {"mu": 1.0, "phi": 1.0}],
    "Weibull": [{"alpha": 1.0, "beta": 1.0}],
    "ZeroInflatedBinomial": [{"psi": 0.5, "n": 3, "p": 0.5}],
    "ZeroInflatedNegativeBinomial": [
        {"psi": 0.5, "mu": 1.0, "alpha": 1.0},
        {"psi": 0.5, "p": 0.5, "n": 1.0},
    ],
    "ZeroInflatedPoisson": [{"psi": 0.5, "mu": 1.0}],
    "ZeroSumNormal": [{"sigma": 1.0, "support_shape": 3}],
}
"""Parameters of each distribution: the ways to state them."""

FUNCTIONS = {
    "ADVI": OF_MODEL,
    "ASVGD": OF_MODEL,
    "Approximation": {
        "groups": lambda: [vb.Group(None, vfam="mean_field", model=model())],
        "model": model,
    },
    "AutoDelta": OF_MODEL,
    "AutoVI": OF_MODEL,
    "Data": {"name": "v", "value": DATA, "model": vb.Model},
    "Deterministic": {"name": "v", "var": 1.0, "model": vb.Model},
    "Empirical": {"size": 3, "model": model},
    "FullRank": OF_MODEL,
    "FullRankADVI": OF_MODEL,
    "GaussianMixture": OF_MODEL,
    "Group": {"group": None, "vfam": "mean_field", "model": model},
    "IWELBO": OF_APPROX,
    "ImplicitGradient": OF_MODEL,
    "Inference": {"objective": lambda: vb.KL(approx())},
    "KL": OF_APPROX,
    "KLqp": OF_MODEL,
    "KSD": OF_APPROX,
    "LaplaceVI": OF_MODEL,
    "LowRank": OF_MODEL,
    "LowRankADVI": OF_MODEL,
    "MeanField": OF_MODEL,
    "Minibatch": {"data": DATA, "batch_size": 2},
    "MixtureVI": OF_MODEL,
    "Model": {},
    "NFVI": OF_MODEL,
    "NormalizingFlow": OF_MODEL,
    "ObjectiveFunction": {"op": lambda: vb.KL(approx())},
    "Operator": OF_APPROX,
    "PathfinderVI": OF_MODEL,
    "Potential": {"name": "v", "var": 1.0, "model": vb.Model},
    "R2D2M2CP": {
        "name": "v",
        "output_sigma": 1.0,
        "input_sigma": 1.0,
        "dims": "side",
        "r2": 0.5,
        "model": lambda: vb.Model(coords={"side": [0, 1]}),
    },
    "Renyi": OF_APPROX,
    "SVGD": {"n_particles": 3, "model": model},
    "Stein": OF_APPROX,
    "at_rng": {},
    "tt_rng": {},
    "compute_deterministics": {"dataset": posterior, "model": model},
    "do": {"model": model, "vars_to_interventions": lambda: {"x": 1.0}},
    "find_MAP": {"model": model},
    "find_constrained_prior": {
        "distribution": lambda: vb.Gamma,
        "lower": 0.5,
        "upper": 1.0,
        "init_guess": lambda: {"alpha": 1.0, "beta": 1.0},
    },
    "get_data": {"filename": "kidiq.csv"},
    "marginalize": {"model": discrete_model, "rvs_to_marginalize": "kind"},
    "observe": {"model": model, "vars_to_observations": lambda: {"x": [1.0, 2.0]}},
    "to_inference_data": {"trace": posterior, "model": model},
    "vectorize_over_posterior": {
        "outputs": lambda: [model()["x"]],
        "posterior": posterior,
        "input_rvs": lambda: [model()["x"]],
    },
    "compute_log_likelihood": {"idata": posterior, "model": model, "extend_inferencedata": False},
    "compute_log_prior": {"idata": posterior, "model": model, "extend_inferencedata": False},
    "draw": {"vars": lambda: vb.Normal.dist()},
    "calibrate": {"model": model, "draws": 2, "method": "laplace"},
    "fit": FIT,
    "fit_many": {"model": model, "data": [{}], "method": "laplace"},
    "floatX": {"value": DATA},
    "from_pymc": {"model": None},
    "linear_response": {"approx": approx},
    "load": {"path": saved, "model": model},
    "icdf": {"rv": lambda: vb.Normal.dist(), "value": 0.5},
    "logcdf": {"rv": lambda: vb.Normal.dist(), "value": 0.0},
    "logccdf": {"rv": lambda: vb.Normal.dist(), "value": 0.0},
    "logp": {"rv": lambda: vb.Normal.dist(), "value": 0.0},
    "model_to_graphviz": OF_MODEL,
    "model_to_mermaid": OF_MODEL,
    "model_to_networkx": OF_MODEL,
    "modelcontext": OF_MODEL,
    "norm_constraint": {"tensor": lambda: pt.ones((2, 2)), "max_norm": 1.0},
    "plot_approximation": {"approx": approx, "draws": 100},
    "plot_families": {"approx": judged},
    "plot_loss": {"approx": DATA},
    "plot_posterior": {"data": posterior},
    "plot_ranks": {"calibration": calibration},
    "plot_verdict": {"approx": judged},
    "sample": {"draws": 2, "tune": 2, "chains": 1, "model": model, "backend": "py"},
    "sample_approx": {"approx": approx, "draws": 2},
    "sample_fits": {"approximations": lambda: [approx(), approx()], "draws": 2},
    "sample_posterior_predictive": {
        "trace": posterior,
        "model": model,
        "extend_inferencedata": False,
    },
    "sample_prior_predictive": {"draws": 2, "model": model},
    "set_data": {"new_data": lambda: {"data": DATA}, "model": model},
    "total_norm_constraint": {"tensor_vars": lambda: [pt.ones(2)], "max_norm": 1.0},
    "apply_momentum": {"updates": updates_of},
    "apply_nesterov_momentum": {"updates": updates_of},
    "cosine_decay": {"start": 0.1, "steps": 10},
    "exponential_decay": {"start": 0.1, "steps": 10},
    "warm_restarts": {"start": 0.1, "steps": 10},
    "callbacks.CheckParametersConvergence": {},
    "callbacks.EarlyStopping": {"log_density": lambda: lambda approx: 0.0},
    "callbacks.StopAtPlateau": {},
    "callbacks.TensorBoard": {"writer": Writer},
    "callbacks.TimeLimit": {"seconds": 1.0},
    "callbacks.Tqdm": {"bar": lambda: lambda total=None: None},
    "callbacks.Tracker": {"i": lambda: lambda: 0},
    "datasets.load": {"name": "kidiq"},
    "gp.HSGP": {"m": [3], "c": 1.5, "cov_func": covariance},
    "gp.HSGPPeriodic": {"m": 3, "cov_func": lambda: vb.gp.cov.Periodic(1, 1.0, ls=1.0)},
    "gp.Latent": {"cov_func": covariance},
    "gp.Marginal": {"cov_func": covariance},
    "gp.MarginalApprox": {"cov_func": covariance},
    "gp.MarginalSparse": {"cov_func": covariance},
    "gp.SVGP": {"cov_func": covariance},
    "updates.get_or_compute_grads": trained,
    "updates.Optimizer": {"function": lambda: vb.adam.function, "hyper": {}},
    "updates.optimizer": {"function": lambda: vb.adam.function},
}
"""The other arguments of functions and classes."""

OBJECTS = {
    "Approximation.sample": (approx, {"draws": 2}),
    "Approximation.sample_vp": (approx, {"draws": 2}),
    "Approximation.sample_node": (approx, {"node": lambda: model()["x"] * 2}),
    "Approximation.apply_replacements": (approx, {"node": lambda: model()["x"] * 2}),
    "Approximation.to_flat_input": (approx, {"node": lambda: model()["x"] * 2}),
    "Approximation.rslice": (approx, {"name": "x"}),
    "Approximation.diagnose": (approx, {"draws": 100}),
    "Approximation.flat_draws": (approx, {"draws": 2}),
    "Approximation.save": (approx, {"path": saved}),
    "Empirical.sample": (lambda: vb.Empirical(size=3, model=model()), {"draws": 2}),
    "Empirical.evaluate_over_trace": (
        lambda: vb.Empirical(size=3, model=model()),
        {"node": lambda: model()["x"] * 2},
    ),
    "Inference.fit": (fitted, {"n": 2, "backend": "py", "progressbar": False}),
    "Inference.refine": (
        lambda: fitted_once(),
        {"n": 2, "progressbar": False},
    ),
    "LaplaceVI.fit": (lambda: vb.LaplaceVI(model=model(), random_seed=1), {}),
    "Model.logp": (model, {}),
    "Model.dlogp": (model, {}),
    "Model.point_logps": (model, {}),
    "Model.initial_point": (model, {}),
    "Model.add_coord": (vb.Model, {"name": "g", "values": [1, 2]}),
    "Model.add_coords": (vb.Model, {"coords": {"g": [1, 2]}}),
    "ObjectiveFunction.step": (lambda: vb.ObjectiveFunction(vb.KL(approx())), {}),
    "ObjectiveFunction.__call__": (lambda: vb.ObjectiveFunction(vb.KL(approx())), {}),
}
"""Methods: an object, and the other arguments."""

MATH = {
    "arange": (2,),
    "argsort": ([0.5, 0.25],),
    "arctan2": (0.5, 0.5),
    "betainc": (0.5, 0.5, 0.5),
    "block_diag": (MATRIX, MATRIX),
    "broadcast_to": ([0.5, 0.5], (2, 2)),
    "cho_solve": (None, None),
    "clip": (0.5, 0.0, 1.0),
    "concatenate": ([[0.5], [0.5]],),
    "cartesian": ([0.5, 0.25], [0.5]),
    "dot": (MATRIX, MATRIX),
    "expand_dims": ([0.5], 0),
    "expand_packed_triangular": (2, [1.0, 2.0, 3.0]),
    "eye": (2,),
    "flat_outer": ([0.5], [0.5]),
    "flatten_list": ([[0.5], [0.5]],),
    "full": ((2,), 0.5),
    "full_like": ([0.5], 0.5),
    "kron_dot": ([MATRIX, MATRIX], np.ones(4)),
    "kron_solve_lower": ([MATRIX, MATRIX], np.ones(4)),
    "kron_solve_upper": ([MATRIX, MATRIX], np.ones(4)),
    "linspace": (0.0, 1.0),
    "log_softmax": ([0.5, 0.25],),
    "matmul": (MATRIX, MATRIX),
    "moveaxis": (MATRIX, 0, 1),
    "ones": ((2,),),
    "reshape": ([0.5, 0.5], (2, 1)),
    "repeat": ([0.5], 2),
    "solve": (MATRIX, MATRIX),
    "solve_triangular": (MATRIX, MATRIX),
    "softmax": ([0.5, 0.25],),
    "stack": ([0.5, 0.5],),
    "swapaxes": (MATRIX, 0, 1),
    "switch": (True, 0.5, 0.5),
    "take": ([0.5], 0),
    "tile": ([0.5], (2,)),
    "where": (True, 0.5, 0.5),
    "zeros": ((2,),),
    "batched_diag": (MATRIX,),
    "broadcast_arrays": ([0.5], [0.5]),
    "logbern": (-0.5,),
    "polygamma": (1, 0.5),
}
"""Arguments of functions of tensors; those of two numbers, and of one, follow from their names."""

OF_TWO = [
    "and_",
    "or_",
    "eq",
    "neq",
    "ge",
    "gt",
    "le",
    "lt",
    "maximum",
    "minimum",
    "logaddexp",
    "logdiffexp",
    "gammainc",
    "gammaincc",
    "iv",
    "kv",
    "kron",
    "kronecker",
    "kron_diag",
]
OF_MATRICES = "cholesky det diag eigh logdet matrix_inverse norm slogdet trace transpose tril triu"

EXEMPT = {
    "Config": "its attributes are what it takes",
    "Continuous": "a base class",
    "Discrete": "a base class",
    "Distribution": "a base class",
    "SingleGroupApproximation": "a base class",
    "LinearResponse": "made by the library",
    "MultiTrace": "made by the library",
    "TestFunction": "a base class without arguments",
    "Calibration": "made by the library",
    "Diagnosis": "made by the library",
    "ManyFits": "made by the library",
    "callbacks.Callback": "a base class without arguments",
    "updates.Schedule": "a base class without arguments",
    "math.cho_solve": "takes a pair",
    "math.unique": "has no graph of one type",
}
"""Public names that take nothing of a user's."""


def fitted_once():
    inference = fitted()
    if inference.last_run.loop is None:
        inference.fit(2, backend="py", progressbar=False)
    return inference


def made(arguments):
    """Return arguments with the objects that functions in the tables make."""
    arguments = arguments() if callable(arguments) else arguments
    return {k: v() if callable(v) else v for k, v in arguments.items()}


# -- results --------------------------------------------------------------------------------------


def result_of(value):
    """Return plain numbers that tell a result from another one, None if nothing is known of it."""
    dist = getattr(getattr(value, "tag", None), "distribution", None)
    if dist is not None:
        found = [p.data.tolist() for p in dist.params.values() if isinstance(p, Constant)]
        return [*found, tuple(value.type.shape)]
    if isinstance(value, Variable) and hasattr(value.type, "ndim"):
        if random_generators([value]):
            return str(value.type)
        with warnings.catch_warnings(), pytensor.config.change_flags(on_opt_error="ignore", cxx=""):
            warnings.simplefilter("ignore")
            try:
                return np.asarray(evaluate([value])[0]).tolist()
            except Exception as error:  # a singular matrix, say
                return type(error).__name__
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [result_of(v) for v in value]
    if isinstance(value, vb.updates.Optimizer):
        return repr(value)
    return None


# -- targets --------------------------------------------------------------------------------------

IMPUTED = "missing values that became free variables"
OBSERVED_ONLY = "DiracDelta", "HurdleGamma", "HurdleLogNormal"  # they cannot be free
NUMBERS = "numbers"
TENSOR = "numbers, complex ones too"
SEED = "seed"
FREE = "anything"
PATH = "path"
BY_NAME = {
    "W": FREE,
    "output_sigma": NUMBERS,
    "input_sigma": NUMBERS,
    "r2": NUMBERS,
    "r2_std": NUMBERS,
    "variables_importance": NUMBERS,
    "variance_explained": NUMBERS,
    "importance_concentration": NUMBERS,
    "positive_probs": NUMBERS,
    "positive_probs_std": NUMBERS,
    "random_seed": SEED,
    "seed": SEED,
    "writer": FREE,
    "value": NUMBERS,
    "var": NUMBERS,
    "path": PATH,
    "checkpoint": PATH,
    "save": PATH,
    "cost_part_grad_scale": float,
    "ord": float,
    "data": NUMBERS,
    "against": vb.Model,
    "calibration": vb.Model,
    "client": vb.Model | bool,
    "columns": vb.Model,
    "dataset": vb.Model,
    "idata": vb.Model,
    "posterior": vb.Model,
    "rvs_to_marginalize": FREE,
    "scale": NUMBERS,
    "trace": vb.Model,
    "loss_or_grads": Variable,
    "params": list,
    "ax": vb.Model,
    "approx": NUMBERS,
    "model": vb.Model,
    "node": Variable,
    "tensor": NUMBERS,
    "mode": FREE,
    "batch_size": FREE,
    "dtype": str,
    "in_memory_size": FREE,
    "support_shape": FREE,
    "steps": int,
    "rv": Variable,
    "deterministic": bool,
    "size": int,
    "vfam": str,
    "device": str,
    "devices": str,
}
"""What arguments take that are annotated as ``Any``."""

COMMON = {
    "name": str,
    "dims": str | list[str],
    "observed": NUMBERS,
    "total_size": FREE,
    "transform": vb.distributions.transforms.Transform,
    "default_transform": vb.distributions.transforms.Transform,
    "initval": NUMBERS,
    "testval": NUMBERS,
    "shape": FREE,
    "size": FREE,
}
"""Arguments that all distributions have in a model."""


def public():
    """Return every public function and class by its name."""
    found = {}
    for name in vb.__all__:
        value = getattr(vb, name)
        if isinstance(value, ModuleType):
            if name == "distributions":
                continue
            for inner in value.__all__:
                if inner not in vb.__all__ and callable(getattr(value, inner)):
                    found[f"{name}.{inner}"] = getattr(value, inner)
        elif callable(value) and not (
            isinstance(value, type) and issubclass(value, Exception | Warning)
        ):
            found[name] = value
    return found


def uncovered():
    """Return the public names, and their arguments, of which nothing is known here."""
    missing = []
    for name, function in public().items():
        try:
            list(targets_of(name, function))
        except KeyError as error:
            missing.append(f"{name}: {error}")
    return missing


def targets():
    """Return all arguments of all public functions, in a fixed order."""
    found = []
    for name, function in public().items():
        found += targets_of(name, function)
    for name, (make, others) in OBJECTS.items():
        method = name.partition(".")[2]
        function = inspect.unwrap(getattr(type(make()), method))
        found += targets_of_function(
            name, function, others, lambda m=method, make=make: getattr(make(), m)
        )
    return found


def targets_of(name, function):
    if name in EXEMPT:
        return
    if isinstance(function, type) and issubclass(function, vb.Distribution):
        yield from targets_of_distribution(function)
    elif name.startswith("math."):
        yield from targets_of_math(name, function)
    elif isinstance(function, vb.updates.Optimizer):
        yield from targets_of_function(name, function.function, trained, lambda: function)
    elif name in FUNCTIONS:
        inner = function.__init__ if isinstance(function, type) else function
        yield from targets_of_function(name, inner, FUNCTIONS[name], lambda: function)
    else:
        raise KeyError("no arguments in the table")


def targets_of_function(name, function, others, get):
    """Return an argument after the other, the others as in a table."""
    parameters = inspect.signature(function).parameters
    hints = typing.get_type_hints(inspect.unwrap(function))
    keys = list(made(others))
    for argument, parameter in parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if argument == "self":
            continue
        hint = hints.get(argument, typing.Any)
        kind = BY_NAME[argument] if hint is typing.Any else hint
        if argument in ("model", "approx") and hint is not typing.Any:
            kind = vb.Model

        def call(value, argument=argument):
            return get()(**{**made(others), argument: value})

        optional = parameter.default is None or accepts(hint, None)
        yield Target(name, argument, kind, call, optional)
    absent = [k for k in keys if k not in parameters and "kwargs" not in "".join(parameters)]
    if absent and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise KeyError(f"no argument {absent[0]!r} any more")


def targets_of_distribution(cls):
    ways = PARAMETERS[cls.__name__]
    hints = typing.get_type_hints(cls.__init__)
    for argument, parameter in list(inspect.signature(cls.__init__).parameters.items())[1:]:
        if parameter.kind is parameter.VAR_POSITIONAL:
            continue
        way = next((w for w in ways if argument in w), ways[0])
        kind = NUMBERS if argument in cls.constraints else hints[argument]
        if kind is typing.Any:
            kind = BY_NAME[argument]

        def call(value, argument=argument, way=way):
            return cls.dist(**{**made(way), argument: value})

        optional = parameter.default is None
        yield Target(f"{cls.__name__}.dist", argument, kind, call, optional)
    for argument, kind in COMMON.items():

        def in_model(value, argument=argument):
            given = {"name": "v", **made(ways[0]), argument: value}
            if cls.__name__ in OBSERVED_ONLY:
                given.setdefault("observed", 1.0)
            with vb.Model(coords={"row": [1, 2]}) as made_in:
                rv = cls(given.pop("name"), **given)
            if argument != "observed":
                return None
            return made_in.rvs_to_values.get(rv, IMPUTED)

        yield Target(cls.__name__, argument, kind, in_model, argument != "name")


def targets_of_math(name, function):
    short = name.removeprefix("math.")
    if short in MATH:
        arguments = MATH[short]
    elif short in OF_TWO:
        arguments = (MATRIX, MATRIX) if short.startswith("kron") else (0.5, 0.25)
    elif short in OF_MATRICES.split():
        arguments = (MATRIX,)
    else:
        arguments = ([0.5, 0.25],)
    for i, _ in enumerate(arguments):

        def call(value, i=i):
            return function(*arguments[:i], value, *arguments[i + 1 :])

        tensors = isinstance(arguments[i], float | np.ndarray) or (
            isinstance(arguments[i], list) and short not in ("concatenate", "stack")
        )
        kind = TENSOR if tensors and not short.startswith(("kron_", "flatten_list")) else FREE
        yield Target(name, f"argument {i + 1}", kind, call, False)


__all__ = [
    "FREE",
    "NUMBERS",
    "PATH",
    "SEED",
    "TENSOR",
    "Target",
    "public",
    "result_of",
    "targets",
    "uncovered",
]
