"""Names of PyMC that there are not here, and what is in their place.

They are what errors say of a name that is asked for, and what the page for PyMC's users says.
"""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["OF_MODELS", "OF_OLDER_MODELS", "OF_OLDER_PYMC", "OF_PYMC", "of_package", "told"]

SAMPLER = "not here: `vb.sample` draws by NUTS, and there is no sampler of discrete variables"
ARVIZ = "ArviZ's, on the results as they are: "
OF_PYTENSOR = "not here: PyTensor's own, as `pytensor.grad`"

OF_PYMC = {
    "BaseModel": "`vb.Model`",
    "BinaryGibbsMetropolis": SAMPLER,
    "BinaryMetropolis": SAMPLER,
    "CategoricalGibbsMetropolis": SAMPLER,
    "DEMetropolis": SAMPLER,
    "DEMetropolisZ": SAMPLER,
    "FrozenModel": "not here: `vb.Model.copy` gives a model that nothing else changes",
    "HamiltonianMC": SAMPLER,
    "Metropolis": SAMPLER,
    "NUTS": "`vb.sample`",
    "Point": "a dict of values by name",
    "Simulator": "not here: it has no density",
    "Slice": SAMPLER,
    "SymbolicRandomVariable": "`vb.CustomDist` with `dist=`, or a subclass of `vb.Distribution`",
    "WishartBartlett": "`vb.Wishart`, or `vb.LKJCholeskyCov`",
    "compile": "`vb.Model.compile_fn`",
    "compile_fn": "`vb.Model.compile_fn`",
    "compile_forward_sampling_function": "`vb.sample_prior_predictive`",
    "find_hessian": "`vb.Model.compile_d2logp`",
    "init_nuts": "`vb.sample` with `init=`",
    "predictions_to_inference_data": "`vb.sample_posterior_predictive` with `predictions=True`",
    "sample_smc": 'not here: `vb.fit` with `method="auto"` finds several modes',
}
"""Functions and classes of PyMC 6."""

OF_OLDER_PYMC = {
    "AR1": "`vb.AR`",
    "Bound": "`vb.Truncated`, `vb.TruncatedNormal`, or a `transform=` and a `vb.Potential`",
    "Constant": "`vb.DiracDelta`",
    "ConstantData": "`vb.Data`",
    "ConstantDist": "`vb.DiracDelta`",
    "GLM": "Bambi, whose models `vb.fit` takes",
    "GeneratorAdapter": "`vb.Minibatch` of a function that yields blocks",
    "InferenceData": ARVIZ + "`az.InferenceData`, or xarray's `DataTree`",
    "LKJCholeskyCovRV": "`vb.LKJCholeskyCov`",
    "MutableData": "`vb.Data`",
    "NoDistribution": "`vb.CustomDist`",
    "align_minibatches": "`vb.Minibatch` of several arrays, whose variables show the same rows",
    "autocorr": ARVIZ + "`az.autocorr`",
    "autocorrplot": ARVIZ + "`az.plot_autocorr`",
    "backends": "not here: results are ArviZ's, and `vb.MultiTrace`",
    "bfmi": ARVIZ + "`az.bfmi`",
    "compare": ARVIZ + "`az.compare`",
    "cont_inputs": OF_PYTENSOR,
    "densityplot": ARVIZ + "`az.plot_dist`",
    "ess": ARVIZ + "`az.ess`",
    "expand_packed_triangular": "`vb.math.expand_packed_triangular`",
    "fast_sample_posterior_predictive": "`vb.sample_posterior_predictive`",
    "forestplot": ARVIZ + "`az.plot_forest`",
    "generator": "`vb.Minibatch` of a function that yields blocks",
    "glm": "Bambi, whose models `vb.fit` takes",
    "gradient": OF_PYTENSOR,
    "hdi": ARVIZ + "`az.hdi`",
    "hessian": "`vb.Model.compile_d2logp`",
    "hpd": ARVIZ + "`az.hdi`",
    "inputvars": OF_PYTENSOR,
    "intX": "`numpy.asarray(x, dtype=int)`",
    "invlogit": "`vb.math.invlogit`",
    "invprobit": "`vb.math.invprobit`",
    "jacobian": OF_PYTENSOR,
    "join_nonshared_inputs": "`vb.Model.logp_dlogp_function`",
    "load_trace": "ArviZ's `az.from_netcdf`, or `vb.load` of an approximation",
    "logaddexp": "`vb.math.logaddexp`",
    "logit": "`vb.math.logit`",
    "logsumexp": "`vb.math.logsumexp`",
    "loo": "`vb.compute_log_likelihood`, then ArviZ's `az.loo`",
    "make_shared_replacements": "`more_replacements=` of `vb.fit`",
    "mcse": ARVIZ + "`az.mcse`",
    "ode": "not here: a solver that is an operation of PyTensor, or `pytensor.scan`",
    "opvi": "`vb.variational.opvi`",
    "pairplot": ARVIZ + "`az.plot_pair`",
    "plot_forest": ARVIZ + "`az.plot_forest`",
    "plot_trace": ARVIZ + "`az.plot_trace`",
    "probit": "`vb.math.probit`",
    "r2_score": ARVIZ + "`az.r2_score`",
    "remove_minibatched_nodes": "not needed: draws and verdicts are of the whole data",
    "rhat": ARVIZ + "`az.rhat`",
    "sample_blackjax_nuts": "`vb.sample`",
    "sample_numpyro_nuts": "`vb.sample`",
    "sample_posterior_predictive_w": "`vb.sample_posterior_predictive` of each fit",
    "sample_ppc": "`vb.sample_posterior_predictive`",
    "save_trace": "`to_netcdf` of the result, or `vb.Approximation.save`",
    "set_at_rng": "`random_seed=` of each function",
    "set_tt_rng": "`random_seed=` of each function",
    "stats": ARVIZ + "`az.summary` and others",
    "summary": ARVIZ + "`az.summary`",
    "trace_to_dataframe": ARVIZ + "`az.extract(result).to_dataframe()`",
    "traceplot": ARVIZ + "`az.plot_trace`",
    "transforms": "`vb.distributions.transforms`",
    "waic": "`vb.compute_log_likelihood`, then ArviZ's `az.loo`",
}
"""Functions and classes of PyMC3 to 5 that PyMC 6 lacks, or has elsewhere."""

OF_MODELS = {
    "check_start_vals": "`vb.Model.debug`",
    "create_value_var": "not here: distributions make them",
    "get_context": "`vb.modelcontext`",
    "make_obs_var": "`observed=` of a distribution",
    "name_of": "`variable.name`",
    "prefix": "`model.name`",
    "profile": "not here",
    "shape_from_dims": "`dims=` of a distribution",
}
"""Attributes of PyMC's models."""

OF_OLDER_MODELS = {
    "RV_dims": "`model.named_vars_to_dims`",
    "bijection": "`approx.bij`",
    "check_test_point": "`vb.Model.point_logps`",
    "cont_vars": "`vb.Model.continuous_value_vars`",
    "d2logpt": "`vb.Model.d2logp`",
    "datalogpt": "`vb.Model.datalogp`",
    "disc_vars": "`vb.Model.discrete_value_vars`",
    "dlogpt": "`vb.Model.dlogp`",
    "fastdlogp": "`vb.Model.compile_dlogp`",
    "fastlogp": "`vb.Model.compile_logp`",
    "logp_array": "`vb.Model.logp_dlogp_function`",
    "logpt": "`vb.Model.logp`",
    "test_point": "`vb.Model.initial_point`",
    "varlogpt": "`vb.Model.varlogp`",
    "vars": "`vb.Model.value_vars`",
}
"""Attributes of models of PyMC3 to 5."""


def told(owner: str, name: str, places: dict[str, str]) -> NoReturn:
    """Raise the error of an attribute that there is not.

    Parameters
    ----------
    owner
        Whose attribute it would be, such as ``"module 'vibayes'"``.
    name
        The attribute.
    places
        What is in the place of a name.

    Raises
    ------
    AttributeError
        Always.
    """
    message = f"{owner} has no attribute {name!r}"
    if name in places:
        message += f": {places[name].replace('`', '')}"
    raise AttributeError(message)


def of_package(name: str) -> Any:
    """Raise the error of a name that the package has not."""
    told("module 'vibayes'", name, OF_PYMC | OF_OLDER_PYMC)
