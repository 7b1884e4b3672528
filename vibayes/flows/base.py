"""What a flow is: a bijection with parameters, and the log determinant of its Jacobian.

Rezende and Mohamed (2015), Variational Inference with Normalizing Flows,
https://arxiv.org/abs/1505.05770
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from vibayes.arguments import check_whole
from vibayes.registry import Registry
from vibayes.settings import ComparedBySettings

__all__ = ["Flow", "Params"]

Params = Mapping[str, TensorVariable]


class Flow(ComparedBySettings):
    """A bijection of the d-dimensional space onto itself.

    A flow holds no parameters: it says which it has, and computes with those that it is given. So
    one object can stand at several places of a formula.

    A subclass implements :meth:`initial_params`, :meth:`forward`, and :meth:`inverse` where there
    is one. Formulas know it by its ``short_name`` and its ``aliases`` from the moment it is
    defined. Flows of one class with the same attributes are equal, and have to compute the same.
    """

    short_name: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()
    known: ClassVar[Registry[Flow]] = Registry("flow")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Flow.known.add(cls)

    def initial_params(self, d: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Return the parameters to start from, by name.

        They make a flow that is close to the identity, but where no gradient vanishes for all
        draws.

        Parameters
        ----------
        d
            Number of dimensions.
        rng
            Source of the values that are drawn.
        """
        raise NotImplementedError

    def forward(self, z: TensorVariable, params: Params) -> tuple[TensorVariable, TensorVariable]:
        r"""Return :math:`z' = f(z)` and :math:`\log |\det \partial f / \partial z|`.

        Parameters
        ----------
        z
            Shape (d,) or (n, d), d known.
        params
            The parameters by name.

        Returns
        -------
        z : TensorVariable
            The shape of ``z``.
        log_det : TensorVariable
            Shape () or (n,); always () where the Jacobian is the same everywhere.
        """
        raise NotImplementedError

    def inverse(self, z: TensorVariable, params: Params) -> TensorVariable:
        """Return the point that :meth:`forward` maps to ``z``.

        Raises
        ------
        NotImplementedError
            If the flow has no inverse in closed form.
        """
        raise NotImplementedError(f"{type(self).__name__} has no inverse in closed form")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def dimension(z: TensorVariable) -> int:
    """Return the length of the last axis, which has to be known."""
    d = z.type.shape[-1]
    if d is None:
        raise ValueError(f"The number of dimensions of {z} must be known: use pt.specify_shape")
    return d


def soft_clip(x: TensorVariable, bound: float) -> TensorVariable:
    """Return x near zero, and never more than ``bound`` from it."""
    return bound * pt.tanh(x / bound)


def set_whole(flow: Flow, name: str, least: int) -> None:
    """Make an option of a flow, which is frozen, an int, or raise if it is no whole number."""
    value = check_whole(getattr(flow, name), f"{type(flow).__name__}: {name}", least)
    object.__setattr__(flow, name, value)
