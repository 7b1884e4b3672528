"""What holds variables on behalf of a distribution."""

__all__ = ["Holder"]


class Holder:
    """Base of objects that distributions have for their variables: copies of models copy them."""
