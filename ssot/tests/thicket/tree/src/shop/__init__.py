"""Backend of the web shop."""

__version__ = "3.2.0"
