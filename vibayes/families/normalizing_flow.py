"""Normalizing flows: standard normal noise, bent by a chain of bijections.

Rezende and Mohamed (2015), Variational Inference with Normalizing Flows,
https://arxiv.org/abs/1505.05770
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from vibayes.backend.seeds import as_seed_sequence
from vibayes.distributions.dist_math import LOG_SQRT_2PI
from vibayes.families.base import Group
from vibayes.flows import Flow, LocFlow, as_flows, as_formula
from vibayes.model.core import Model

__all__ = ["NormalizingFlowGroup"]

DEFAULT_FLOW = "scale-loc"


class NormalizingFlowGroup(Group):
    r"""Standard normal noise that goes through a chain of flows.

    .. math:: z = f_K \circ \dots \circ f_1(\epsilon), \qquad
        \log q(z) = \log N(\epsilon; 0, I) - \sum_k \log |\det J_k|

    The option ``flow`` is a formula, a flow or a list of flows; see
    :func:`vibayes.flows.as_flows`. The flows start close to the identity. If the last one is not
    a ``loc``, one is added: it starts at the start point and lets the whole move freely. Flows
    work best around zero, where noise is, so that the shift comes after them.

    Parameters have the names ``"{place}_{flow}_{parameter}"``, such as ``"0_planar_u"``.
    """

    short_name: ClassVar[str] = "flow"
    aliases: ClassVar[tuple[str, ...]] = ("nf", "normalizing_flow")
    option_names: ClassVar[frozenset[str]] = frozenset({"flow"})
    derived_names: ClassVar[frozenset[str]] = frozenset({"flows"})
    several_modes: ClassVar[bool] = True

    def __init__(
        self,
        group: Sequence[TensorVariable] | None = None,
        vfam: str | None = None,
        params: Mapping[str, Any] | None = None,
        random_seed: Any = None,
        model: Model | None = None,
        options: Mapping[str, Any] | None = None,
        local: bool = False,
        **kwargs: Any,
    ) -> None:
        options = dict(options or {})
        if vfam is not None and vfam.lower() not in self.families():
            options.setdefault("flow", vfam)
        super().__init__(group, vfam, params, random_seed, model, options, local, **kwargs)

    @classmethod
    def accepts(cls, vfam: str) -> bool:
        """Tell whether a string is a formula of flows."""
        try:
            return bool(as_flows(vfam))
        except ValueError:
            return False

    def attach(self, variables: Sequence[TensorVariable]) -> None:
        flows = as_flows(self.options.get("flow", DEFAULT_FLOW))
        self.flows = flows if isinstance(flows[-1], LocFlow) else (*flows, LocFlow())
        self.options["flow"] = self.flows
        super().attach(variables)

    @property
    def formula(self) -> str:
        """The flows as a formula."""
        return as_formula(self.flows)

    @property
    def param_names(self) -> frozenset[str]:  # type: ignore[override]
        """Names of the parameters, which depend on the flows."""
        return frozenset(self.param_shapes())

    def param_shapes(self) -> dict[str, tuple[int | None, ...]]:
        values = self._initial_values(np.random.default_rng(0))
        return {name: value.shape for name, value in values.items()}

    def initial_params(self, start: np.ndarray, sigma: np.ndarray | None) -> dict[str, np.ndarray]:
        seed = as_seed_sequence(self.random_seed)
        values = self._initial_values(np.random.default_rng(seed))
        values[self.center_name] = start
        if sigma is not None:
            scale = next((name for name in values if name.endswith("_log_scale")), None)
            if scale is None:
                raise ValueError(
                    f"start_sigma has no effect on the flow {self.formula!r}; let it begin with "
                    f"a scale: 'scale-{self.formula}'"
                )
            values[scale] = np.log(np.where(np.isnan(sigma), 1.0, sigma))
        return values

    @property
    def center_name(self) -> str:  # type: ignore[override]
        """Name of the last shift."""
        return f"{len(self.flows) - 1}_loc_loc"

    def params_near(self, mean: np.ndarray, root: np.ndarray) -> dict[str, np.ndarray]:
        values = {name: shared.get_value() for name, shared in self.shared_params.items()}
        values[self.center_name] = mean
        scale = next((name for name in values if name.endswith("_log_scale")), None)
        if scale is not None:
            sd = root if root.ndim == 1 else np.sqrt((root**2).sum(axis=1))
            values[scale] = np.log(sd)
        return values

    def _initial_values(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {
            param_name(i, flow, name): np.asarray(value)
            for i, flow in enumerate(self.flows)
            for name, value in flow.initial_params(self.ddim, rng).items()
        }

    # -- the chain ----------------------------------------------------------------------------

    def forward(self, noise: TensorVariable) -> tuple[TensorVariable, TensorVariable]:
        """Return flat unconstrained values, and the log determinant of the way to them."""
        z, log_det = pt.specify_shape(noise, (*noise.type.shape[:-1], self.ddim)), 0.0
        for i, flow in enumerate(self.flows):
            prefix = param_name(i, flow, "")
            params = {
                name.removeprefix(prefix): param
                for name, param in self.params_dict.items()
                if name.startswith(prefix)
            }
            z, step = flow.forward(z, params)
            log_det = log_det + step
        return z, log_det

    def transform(self, noise: TensorVariable) -> TensorVariable:
        return self.forward(noise)[0]

    def draw(
        self, rng: Variable, size: Any = None, deterministic: Any = False
    ) -> tuple[Variable, Pass, TensorVariable]:
        """Return the generator's next state, noise with its log determinant, and flat values.

        Two passes, one for the values and one for their density, would become one when they are
        compiled, but not the gradients that go back through the two.
        """
        next_rng, noise, _ = super().draw(rng, size, deterministic)
        z, log_det = self.forward(noise)
        return next_rng, Pass(noise, log_det), z

    def log_density(self, noise: TensorVariable | Pass, z: TensorVariable) -> TensorVariable:
        if not isinstance(noise, Pass):
            noise = Pass(noise, self.forward(noise)[1])
        return (-0.5 * noise.noise**2 - LOG_SQRT_2PI).sum(axis=-1) - noise.log_det


class Pass(NamedTuple):
    """Noise that has gone through the flows, and the log determinant of its way."""

    noise: TensorVariable
    log_det: TensorVariable


def param_name(place: int, flow: Flow, name: str) -> str:
    return f"{place}_{flow.short_name or type(flow).__name__}_{name}"
