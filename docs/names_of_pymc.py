"""The table of PyMC's names in ``coming_from_pymc.md``: which are here, and what is in their place.

``python docs/names_of_pymc.py`` writes the table; with ``--list``, where PyMC is installed, first
the list of its names, ``names_of_pymc.txt``.
"""

import importlib
import inspect
import sys
import warnings
from pathlib import Path
from types import ModuleType

from vibayes.elsewhere import OF_MODELS, OF_OLDER_MODELS, OF_OLDER_PYMC, OF_PYMC

HERE = Path(__file__).parent
PAGE, NAMES = HERE / "coming_from_pymc.md", HERE / "names_of_pymc.txt"
BEGIN, END = "<!-- names of PyMC: begin -->\n", "<!-- names of PyMC: end -->\n"

SECTIONS = {  # by the first part of a name: title, and where it is here
    "": ("Functions and classes", "vibayes"),
    "Model": ("Models", "vibayes"),
    "Approximation": ("Approximations", "vibayes"),
    "Empirical": ("Particles", "vibayes"),
    "Group": ("Groups", "vibayes"),
    "Operator": ("Operators", "vibayes"),
    "ObjectiveFunction": ("Objectives", "vibayes"),
    "Inference": ("Inferences", "vibayes"),
    "opvi": ("`pymc.variational.opvi`", "vibayes.variational.opvi"),
    "approximations": ("`pymc.variational.approximations`", "vibayes.variational.approximations"),
    "inference": ("`pymc.variational.inference`", "vibayes.variational.inference"),
    "callbacks": ("`pymc.variational.callbacks`", "vibayes.callbacks"),
    "updates": ("`pymc.variational.updates`", "vibayes.variational.updates"),
    "math": ("`pymc.math`", "vibayes.math"),
    "transforms": ("`pymc.distributions.transforms`", "vibayes.distributions.transforms"),
    "gp": ("`pymc.gp`", "vibayes.gp"),
}

OF_OBJECTS = {
    "Approximation": {"hist", "model", "scale_cost_to_minibatch"},
    "Empirical": {"hist", "model", "scale_cost_to_minibatch"},
    "Group": {"params_dict", "shared_params", "model"},
    "Inference": {"approx", "objective"},
    "Model": {"basic_RVs", "parent", "named_vars", "data_vars"},
    "Operator": {
        "datalogp",
        "datalogp_norm",
        "logp",
        "logp_norm",
        "logq",
        "logq_norm",
        "model",
        "varlogp",
        "varlogp_norm",
    },
}
"""Attributes that objects have, and not their class."""

OF_OWN = "of variables that distributions of vibayes make; no `warn_rvs`"
OF_APPROX = "that of the approximation that the group is part of"

OTHERWISE = {
    **OF_PYMC,
    **{f"Model.{name}": place for name, place in OF_MODELS.items()},
    "Approximation.get_optimization_replacements": "`vb.Model.whole_data_replacements`",
    "Approximation.make_size_and_deterministic_replacements": (
        "`vb.Approximation.set_size_and_deterministic`"
    ),
    "Approximation.replacements": "`vb.Approximation.rslice`",
    "Group.alias_names": "`aliases`",
    "Group.get_param_spec_for": "`vb.Group.param_shapes`",
    "Group.initial_dist_map": "`vb.Group.draw`",
    "Group.initial_dist_name": "`vb.Group.draw`",
    "Group.input": "`vb.Approximation.inputs`",
    "Group.logq": OF_APPROX,
    "Group.logq_norm": OF_APPROX,
    "Group.make_size_and_deterministic_replacements": (
        "`vb.Approximation.set_size_and_deterministic`"
    ),
    "Group.mean_data": OF_APPROX,
    "Group.ndim": "`ddim`",
    "Group.replacements": "`vb.Approximation.rslice`",
    "Group.set_size_and_deterministic": OF_APPROX,
    "Group.state": "`shared_params`",
    "Group.std_data": OF_APPROX,
    "Group.symbolic_initial": "`vb.Group.draw`, which returns noise and values",
    "Group.symbolic_logq": OF_APPROX,
    "Group.symbolic_logq_not_scaled": OF_APPROX,
    "Group.symbolic_normalizing_constant": OF_APPROX,
    "Group.symbolic_random": "`vb.Approximation.symbolic_randoms`",
    "Group.symbolic_sample_over_posterior": OF_APPROX,
    "Group.symbolic_single_sample": OF_APPROX,
    "Group.to_flat_input": OF_APPROX,
    "Group.var_to_data": "`vb.Approximation.mean_data`, `vb.Approximation.std_data`",
    "Operator.T": "not here",
    "Operator.has_test_function": "`vb.Operator.test_params`, which is empty without one",
    "Operator.inputs": "`approx.inputs`",
    "Operator.objective_class": "`vb.ObjectiveFunction`",
    "Operator.require_logq": "`has_logq` of the approximation",
    "Operator.returns_loss": "an operator without a loss implements `gradients`",
    "Operator.supports_aevb": "every operator takes local groups",
    "ObjectiveFunction.add_obj_updates": "`vb.ObjectiveFunction.step`",
    "ObjectiveFunction.add_test_updates": "`vb.ObjectiveFunction.step`",
    "gp.LatentKron": "not here",
    "gp.MarginalKron": "not here: `vb.KroneckerNormal`",
    "gp.TP": "not here",
    "gp.cov.Coregion": "not here",
    "gp.cov.Gibbs": "not here",
    "gp.cov.Kron": "not here",
    "gp.cov.ScaledCov": "not here",
    "gp.cov.WarpedInput": "not here: warp the inputs",
    "gp.cov.WrappedPeriodic": "not here",
}
"""What is in the place of a name that there is not."""

DIFFERENT = {
    "fit": (
        "ends by itself if `n` is not given, and judges itself; no `progressbar_theme`, "
        "`include_transformed`"
    ),
    "sample": "by nutpie alone, see above",
    "sample_prior_predictive": "`samples=` is taken, too",
    "sample_posterior_predictive": "what comes after `model` is given by name; no `samples`",
    "logp": OF_OWN,
    "logcdf": OF_OWN,
    "logccdf": OF_OWN,
    "icdf": OF_OWN,
    "draw": "no `backend`",
    "CustomDist": "`logp=` is needed where `dist=` returns an expression of a variable",
    "DensityDist": "another name of `vb.CustomDist`",
    "Truncated": "no `max_n_steps`",
    "sample_approx": "1,000 draws by default",
    "get_data": "the data sets of this package; nothing is downloaded",
    "find_MAP": "no `vars`; `maxeval` counts iterations",
    "to_inference_data": "log likelihoods by `vb.compute_log_likelihood`",
    "model_to_networkx": "attributes of nodes are `kind`, `label` and `cluster`",
    "model_to_graphviz": "no `figsize`, `dpi`, `formatting`: `graph_attr`",
    "compute_deterministics": "no `group`, `extend_dataset`",
    "Model.table": "no arguments",
    "Model.add_coords": "no `lengths`: `vb.Model.add_coord` has `length`",
    "Model.add_named_variable": "takes the name second, and always dims",
    "Model.register_data_var": "takes dims always",
    "Model.register_rv": "returns the model's variable, not the one that is given",
    "Model.set_dim": "calls its arguments `length` and `values`",
    "Model.to_graphviz": "no `figsize`, `dpi`, `formatting`: `graph_attr`",
    "transforms.Interval": "of numbers or expressions, not of a function `bounds_fn`",
    "Model.logp_dlogp_function": "returns a function of a flat vector; no `tempered`",
    "Approximation.sample": "`include_transformed` is False by default",
    "Empirical.sample": "`include_transformed` is False by default",
    "PolyaGamma": "with gradients, and in need of no other package; no log CDF",
    "Wishart": "as a free variable, too",
    "Minibatch": "also of one array, with attributes, and of streams",
}
"""What differs in a name that there is."""


def names_in_pymc() -> list[str]:
    """Return the public names of the PyMC that is installed."""
    import pymc as pm
    from pymc.distributions import transforms
    from pymc.variational import approximations, callbacks, inference, opvi, updates

    found = [n for n in public(pm) if not isinstance(getattr(pm, n), ModuleType)]
    classes = {
        "Model": pm.Model,
        "Approximation": opvi.Approximation,
        "Empirical": approximations.Empirical,
        "Group": opvi.Group,
        "Operator": opvi.Operator,
        "ObjectiveFunction": opvi.ObjectiveFunction,
        "Inference": inference.Inference,
    }
    found += [f"{name}.{n}" for name, cls in classes.items() for n in public(cls)]
    modules = {
        "opvi": opvi,
        "approximations": approximations,
        "inference": inference,
        "callbacks": callbacks,
        "updates": updates,
        "math": pm.math,
        "transforms": transforms,
        "gp": pm.gp,
        "gp.cov": pm.gp.cov,
        "gp.mean": pm.gp.mean,
    }
    for name, module in modules.items():
        for n in getattr(module, "__all__", None) or public(module):
            thing = getattr(module, n)
            own = inspect.isclass(thing) and thing.__module__.startswith("pymc.gp")
            if isinstance(thing, ModuleType) or (name.startswith("gp") and not own):
                continue
            found.append(f"{name}.{n}")
    return list(dict.fromkeys(found))


def public(thing: object) -> list[str]:
    """Return the names without an underscore that can be had."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [n for n in sorted(dir(thing)) if not n.startswith("_") and hasattr(thing, n)]


def is_here(name: str) -> bool:
    """Tell whether vibayes has a name in the place that PyMC has it."""
    first, _, rest = name.partition(".")
    module = SECTIONS.get(first if rest else "", ("", "vibayes"))[1]
    value = importlib.import_module(module)
    path = (rest if module != "vibayes" and rest else name).split(".")
    for part in path:
        if part in OF_OBJECTS.get(getattr(value, "__name__", ""), ()):
            return True
        if not hasattr(value, part):
            return False
        value = getattr(value, part)
    return True


def table() -> str:
    """Return the table, as Markdown.

    Raises
    ------
    ValueError
        If nothing is said of a name that is not here.
    """
    version, *names = NAMES.read_text().split()
    unknown = [n for n in names if not is_here(n) and entry(n, OTHERWISE) is None]
    if unknown:
        raise ValueError(f"nothing is said of {', '.join(unknown)}")
    lines = [f"## Every name of PyMC {version}", ""]
    for first, (title, _) in SECTIONS.items():
        own = [n for n in names if n.partition(".")[0 if "." in n else 1] == first]
        here = [n for n in own if is_here(n)]
        lines += [f"### {title}", ""]
        if here:
            lines += [
                "Here under the same name: " + ", ".join(f"`{short(n)}`" for n in here) + ".",
                "",
            ]
        rows = [(n, "the same", entry(n, DIFFERENT)) for n in here if entry(n, DIFFERENT)]
        rows += [(n, entry(n, OTHERWISE), "") for n in own if n not in here]
        if rows:
            lines += ["| there | here | what differs |", "| --- | --- | --- |"]
            lines += [f"| `{short(n)}` | {there} | {how} |" for n, there, how in rows]
            lines.append("")
    return "\n".join([*lines, *older_names()])


def older_names() -> list[str]:
    """Return the lines of the table of what PyMC 6 lacks, or has elsewhere, itself."""
    older = {f"pm.{n}": place for n, place in OF_OLDER_PYMC.items()}
    older |= {f"Model.{n}": place for n, place in OF_OLDER_MODELS.items()}
    rows = [f"| `{name}` | {place} |" for name, place in older.items()]
    title = "### Names of PyMC3 to 5 that PyMC 6 has elsewhere, or no more"
    return [title, "", "| there | here |", "| --- | --- |", *rows, ""]


def entry(name: str, said: dict[str, str]) -> str | None:
    """Return what is said of a name; of particles the same as of all approximations."""
    return said.get(name, said.get(name.replace("Empirical.", "Approximation.")))


def short(name: str) -> str:
    """Return a name as users write it."""
    return f"pm.{name}" if "." not in name else name


def page() -> str:
    """Return the page with the table as it should be."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    if "--list" in sys.argv:
        import pymc

        NAMES.write_text("\n".join([pymc.__version__, *names_in_pymc()]) + "\n")
    PAGE.write_text(page())
