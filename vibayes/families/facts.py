"""What a family says of its distribution, and which of it a subclass inherits."""

from __future__ import annotations

__all__ = ["distribution_of_class", "forget_facts"]

DISTRIBUTION = frozenset(
    {
        "draw",
        "initial_params",
        "log_density",
        "log_density_at",
        "noise_size",
        "param_names",
        "param_shapes",
        "transform",
    }
)
"""What makes the distribution of a family: whoever overrides one of these has another one."""
FACTS = (
    "center_name",
    "is_diagonal",
    "is_normal",
    "log_density_at",
    "param_scales",
    "params_near",
    "several_modes",
)
"""What holds for one distribution, and is not inherited by a class that has another one."""


def forget_facts(cls: type, base: type) -> None:
    """Reset what a class would inherit, but does not say for its own distribution.

    Parameters
    ----------
    cls
        A family, which may override what makes the distribution.
    base
        The class whose values say nothing.
    """
    if DISTRIBUTION & vars(cls).keys():
        for fact in FACTS:
            if fact not in vars(cls):
                setattr(cls, fact, vars(base)[fact])


def distribution_of_class(cls: type) -> type:
    """Return the class that makes the distribution of a family: it, or the parent it is left to."""
    return next(c for c in cls.__mro__ if DISTRIBUTION & vars(c).keys())
