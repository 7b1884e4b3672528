"""Which variables and groups the results of a sampler have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vibayes.model.core import Model
from vibayes.predictive.choices import named_variables
from vibayes.predictive.densities import density_group, small_log_likelihood
from vibayes.predictive.results import relabelled
from vibayes.predictive.trace import posterior_of

if TYPE_CHECKING:
    import xarray

__all__ = ["Extras"]

OF_IDATA = {"log_likelihood", "log_prior", "include_transformed", "save_warmup", "dims", "coords"}


@dataclass(frozen=True)
class Extras:
    """What results have besides draws of all variables, or instead of them.

    Attributes
    ----------
    names : list of str or None
        Variables of the posterior, unconstrained ones too; None for all.
    transformed, warmup : bool
        Whether there are unconstrained values, and draws that adapted the sampler.
    log_likelihood : bool or None
        Whether there is this group; None where it has few numbers.
    log_prior : bool
        Whether there is this group.
    labels : dict
        ``dims`` and ``coords`` of the posterior.
    """

    names: list[str] | None = None
    transformed: bool = False
    warmup: bool = False
    log_likelihood: bool | None = None
    log_prior: bool = False
    labels: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls,
        model: Model,
        var_names: str | Collection[str] | None,
        idata_kwargs: Mapping[str, Any] | None,
        transformed: bool,
        discard_tuned_samples: bool,
    ) -> Extras:
        """Return what arguments of ``sample`` ask for.

        Raises
        ------
        KeyError
            If there is no variable of a name.
        TypeError
            If ``idata_kwargs`` has something else.
        """
        asked = dict(idata_kwargs or {})
        if unknown := sorted(asked.keys() - OF_IDATA):
            raise TypeError(f"idata_kwargs takes {', '.join(sorted(OF_IDATA))}, got {unknown[0]!r}")
        transformed = bool(asked.get("include_transformed", transformed))
        names = None
        if var_names is not None:
            found = named_variables(model, var_names, model.unobserved_RVs, "var_names")
            values = [model.rvs_to_values[v] for v in found if v in model.free_RVs]
            names = [str(v.name) for v in [*found, *(values if transformed else [])]]
        return cls(
            names=names,
            transformed=transformed,
            warmup=bool(asked.get("save_warmup", not discard_tuned_samples)),
            log_likelihood=asked.get("log_likelihood"),
            log_prior=bool(asked.get("log_prior", False)),
            labels={name: asked[name] for name in ("dims", "coords") if name in asked},
        )

    def densities(self, model: Model, posterior: xarray.Dataset) -> dict[str, xarray.Dataset]:
        """Return the groups of log densities at draws of all variables."""
        trace, groups = posterior_of(posterior), dict[str, Any]()
        if self.log_likelihood is None:
            groups |= small_log_likelihood(model, posterior)
        elif self.log_likelihood and model.observed_RVs:
            label = "log_likelihood"
            groups[label] = density_group(model, model.observed_RVs, trace, label)
        if self.log_prior:
            groups["log_prior"] = density_group(model, model.free_RVs, trace, "log_prior")
        return groups

    def shown(self, posterior: xarray.Dataset) -> xarray.Dataset:
        """Return the part of draws of all variables that is asked for, with its labels."""
        if self.names is not None:
            posterior = posterior[list(dict.fromkeys(self.names))]
        return relabelled(posterior, self.labels)
