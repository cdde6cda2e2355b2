"""The version of this package, one string."""

__version__ = "0.1.0"
