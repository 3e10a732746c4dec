"""One schema of settings from files, environment, command line and keyword arguments."""

from sunwell.config.schema import Configuration
from sunwell.config.sources import Loaded, Sources, load_config

__all__ = ["Configuration", "Loaded", "Sources", "load_config"]
