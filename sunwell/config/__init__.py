"""One schema of settings from files, environment, command line and keyword arguments."""

from sunwell.config.loading import Loaded, Sources, load_config
from sunwell.config.schema import Configuration

__all__ = ["Configuration", "Loaded", "Sources", "load_config"]
