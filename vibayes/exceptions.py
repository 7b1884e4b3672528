"""Errors that vibayes raises; each derives from the built-in exception that fits."""

__all__ = [
    "AEVBInferenceError",
    "ApproximationWarning",
    "BatchedGroupError",
    "ConvergenceWarning",
    "DimensionMismatchError",
    "ExplicitInferenceError",
    "GroupError",
    "ImplicitFreezeWarning",
    "ImputationError",
    "ImputationWarning",
    "LocalGroupError",
    "ModelError",
    "NotImplementedInference",
    "ParameterError",
    "ParametrizationError",
    "ProcessError",
    "SamplingError",
    "ShapeError",
    "StorageError",
    "StorageWarning",
    "StreamError",
    "UnknownDataError",
    "UnknownNameError",
    "VariationalInferenceError",
]


class ModelError(ValueError):
    """A model is ill-formed: a name, a dimension or a variable does not fit the rest."""


class ShapeError(ModelError):
    """A shape does not fit the shapes that it meets."""


class ParameterError(ValueError):
    """A parameter of a distribution has a value that it can never have."""


class ImputationError(ValueError):
    """Observed data hold missing values."""


class VariationalInferenceError(ValueError):
    """A variational inference is not possible as it was asked for."""


class NotImplementedInference(VariationalInferenceError, NotImplementedError):  # noqa: N818
    """Something that a family, or an objective, does not have."""


class ParametrizationError(VariationalInferenceError):
    """No family has these parameters."""


class UnknownNameError(ParametrizationError, KeyError, TypeError):
    """There is no method, family or flow of a name."""

    def __str__(self) -> str:
        return ValueError.__str__(self)  # a KeyError would put it in quotes


class DimensionMismatchError(ShapeError, VariationalInferenceError):
    """A parameter of a family does not have the length that its variables have."""


class ExplicitInferenceError(VariationalInferenceError, TypeError):
    """Parameters are given where a family has to have its own."""


class AEVBInferenceError(VariationalInferenceError, TypeError):
    """Local variables do not fit the rest."""


class GroupError(ModelError, VariationalInferenceError, TypeError):
    """Groups do not cover the continuous free variables of a model, each once."""


class BatchedGroupError(GroupError):
    """A group of variables of the rows of a minibatch does not fit the rest."""


class LocalGroupError(BatchedGroupError, AEVBInferenceError):
    """A group of local variables lacks what it is to be a function of."""


class UnknownDataError(KeyError, TypeError):
    """A model has no data variable of a name."""


class SamplingError(ValueError):
    """The log density is not finite where a fit is to start."""


class ProcessError(RuntimeError):
    """Another process, which takes part in the same fit, has ended or cannot be reached."""


class StorageError(ValueError):
    """A saved file is not whole, not of vibayes, or not of this model or this fit."""


class StreamError(RuntimeError):
    """Data that are read while a fit runs cannot be read, or are not what they should be.

    Parameters
    ----------
    source : str
        Where the data come from.
    block : int
        Number of the block, counted from 0.
    row : int
        Number of the row in the source, counted from 0.
    what : str
        What is wrong.
    """

    def __init__(self, source: str, block: int, row: int, what: str) -> None:
        super().__init__(source, block, row, what)
        self.source = source
        self.block = block
        self.row = row
        self.what = what

    def __str__(self) -> str:
        return f"{self.source}, block {self.block}, row {self.row}: {self.what}"


class ConvergenceWarning(UserWarning):
    """A fit ended before it had converged."""


class ApproximationWarning(UserWarning):
    """A fit converged, but its family does not hold the posterior."""


class ImplicitFreezeWarning(UserWarning):
    """Predictive draws keep draws of a variable although something above it has changed."""


class ImputationWarning(UserWarning):
    """Missing values in observed data become free variables."""


class StorageWarning(UserWarning):
    """A fit goes on, but its state cannot be written to its file."""
