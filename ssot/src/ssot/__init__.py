"""Finds every second implementation in a Python code base, and keeps it at one."""

__version__ = "0.1.0"
