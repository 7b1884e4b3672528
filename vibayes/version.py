"""The version of vibayes."""

__version__ = "0.1.0"
