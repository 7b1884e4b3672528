"""Errors that vibayes raises; each derives from the built-in exception that fits."""

__all__ = ["ImputationError", "ModelError", "ParameterError", "SamplingError", "ShapeError"]


class ModelError(ValueError):
    """A model is ill-formed: a name, a dimension or a variable does not fit the rest."""


class ShapeError(ModelError):
    """A shape does not fit the shapes that it meets."""


class ParameterError(ValueError):
    """A parameter of a distribution has a value that it can never have."""


class ImputationError(ValueError):
    """Observed data hold missing values."""


class SamplingError(ValueError):
    """The log density is not finite where a fit is to start."""
