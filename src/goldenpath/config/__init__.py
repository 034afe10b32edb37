"""Configuration: one table of settings, read from flags, environment and `goldenpath.toml`."""

from goldenpath.config.load import add_flags, application_options, load_settings
from goldenpath.config.settings import SETTINGS, Setting, Settings

__all__ = ["SETTINGS", "Setting", "Settings", "add_flags", "application_options", "load_settings"]
