"""Mixtures of normal distributions with all covariances, in the unconstrained space."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Variable
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_whole
from vibayes.distributions.dist_math import LOG_SQRT_2PI
from vibayes.families.base import Group
from vibayes.families.mean_field import DEFAULT_SIGMA

__all__ = ["GaussianMixtureGroup"]

DEFAULT_COMPONENTS = 2


class GaussianMixtureGroup(Group):
    r"""A mixture of K normal distributions of all variables, each with all covariances.

    .. math:: q(z) = \sum_k w_k N(z \mid \mu_k, L_k L_k^T), \qquad w = \mathrm{softmax}(\ell)

    ``log_weights`` holds :math:`\ell`, ``mu`` the means (K, d) and ``L`` the lower triangular
    factors (K, d, d). A draw chooses a component at random: no gradient goes through that
    choice, so that ``method="mixture"`` fits it by adaptive importance sampling.

    Parameters
    ----------
    options : dict, optional
        ``components``: the number K, 2 by default.
    group : sequence of TensorVariable, optional
        Free random variables; by default those of the model that no other group of the
        approximation has.
    vfam : str, optional
        Name of the family; a class of its own needs none.
    params : dict, optional
        Parameters by name, as numbers or as expressions, in the place of the group's own.
    random_seed : int, optional
        Seed of everything random in the fit.
    model : Model, optional
        The model; by default the one of the ``with`` block.
    start : dict, optional
        Where to start, by variable name.
    start_sigma : dict, optional
        Standard deviations to start from, by variable name, in the unconstrained space.
    """

    short_name: ClassVar[str] = "gaussian_mixture"
    aliases: ClassVar[tuple[str, ...]] = ("gm",)
    param_names: ClassVar[frozenset[str]] = frozenset({"log_weights", "mu", "L"})
    option_names: ClassVar[frozenset[str]] = frozenset({"components"})
    several_modes: ClassVar[bool] = True

    def wanted_components(self) -> int:
        """Return the number of components asked for, or the default one."""
        count = self.options.get("components", DEFAULT_COMPONENTS)
        return check_whole(count, "components", least=1)

    def param_shapes(self) -> dict[str, tuple[int | None, ...]]:
        d = self.ddim
        return {"log_weights": (None,), "mu": (None, d), "L": (None, d, d)}

    def initial_params(self, start: np.ndarray, sigma: np.ndarray | None) -> dict[str, np.ndarray]:
        count = self.wanted_components()
        sigma = np.full(self.ddim, DEFAULT_SIGMA) if sigma is None else sigma
        sigma = np.where(np.isnan(sigma), DEFAULT_SIGMA, sigma)
        # components that begin as one would stay one
        offsets = np.linspace(-1, 1, count)[:, None] if count > 1 else np.zeros((1, 1))
        return {
            "log_weights": np.zeros(count),
            "mu": start + offsets * sigma,
            "L": np.array([np.diag(sigma)] * count),
        }

    def param_scales(self, sd: np.ndarray) -> dict[str, np.ndarray]:
        count = self.wanted_components()
        return {
            "mu": np.repeat(sd[None], count, axis=0),
            "L": np.repeat(np.repeat(sd[:, None], self.ddim, axis=1)[None], count, axis=0),
        }

    def draw(
        self, rng: Variable, size: Any = None, deterministic: Any = False
    ) -> tuple[Variable, TensorVariable, TensorVariable]:
        lead = () if size is None else (size,)
        rng, noise = pt.random.normal(size=(*lead, self.ddim), rng=rng).owner.outputs
        rng, uniform = pt.random.uniform(size=lead, rng=rng).owner.outputs
        ends = pt.cumsum(self.weights)
        k = (uniform[..., None] > ends[:-1]).sum(axis=-1)
        noise = noise.astype(pytensor.config.floatX)
        z = self.params_dict["mu"][k] + (self.params_dict["L"][k] * noise[..., None, :]).sum(-1)
        if deterministic is True:
            z = pt.broadcast_to(self.mean, z.shape)
        elif deterministic is not False:
            z = pt.switch(deterministic, self.mean, z)
        return rng, noise, z

    def log_density(self, noise: TensorVariable, z: TensorVariable) -> TensorVariable:
        return self.log_density_at(z)

    def log_density_at(self, z: TensorVariable) -> TensorVariable:
        mu, L = self.params_dict["mu"], self.params_dict["L"]
        centred = z[..., None, :] - mu
        inverse = pt.linalg.inv(L)
        e = (inverse * centred[..., None, :]).sum(axis=-1)
        log_det = pt.log(pt.abs(pt.diagonal(L, axis1=-2, axis2=-1))).sum(axis=-1)
        component = -0.5 * (e**2).sum(axis=-1) - log_det - self.ddim * LOG_SQRT_2PI
        return pt.logsumexp(component + pt.log(self.weights), axis=-1)

    @property
    def weights(self) -> TensorVariable:
        """Weights of the components, which sum to 1."""
        return pt.special.softmax(self.params_dict["log_weights"])

    @property
    def mean(self) -> TensorVariable:
        return self.weights @ self.params_dict["mu"]

    @property
    def std(self) -> TensorVariable:
        return pt.sqrt(pt.diagonal(self.cov))

    @property
    def cov(self) -> TensorVariable:
        L, centred = self.params_dict["L"], self.params_dict["mu"] - self.mean
        within = L @ L.transpose(0, 2, 1)
        return pt.tensordot(self.weights, within, 1) + (centred * self.weights[:, None]).T @ centred
