"""What ends a command. Everything else that is wrong with a tree is reported, and goes on."""

from __future__ import annotations


class SsotError(Exception):
    """The root of them: a command cannot run (exit code 2); its text is one line for a person."""


class ConfigError(SsotError):
    """`ssot.toml`, an option or a name that was given cannot be used."""


class GitError(SsotError):
    """Git is missing, or refuses."""


class Refused(SsotError):
    """A change that cannot be made safely is not made (exit code 1)."""
