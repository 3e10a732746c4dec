"""Where the user keeps what belongs to no workspace: settings, what Sunwell remembers, what it made."""

import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from sunwell.errors import ConfigurationError


def settings_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of the user's own settings; it may not exist.

    It is ``SUNWELL_HOME`` if that is set, otherwise where the platform has it. Raises
    :exc:`~sunwell.errors.ConfigurationError` if there is neither that nor a home.
    """
    return _folder(environ, "XDG_CONFIG_HOME", ".config")


def state_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the user's folder for what programs remember, found as :func:`settings_folder`."""
    return _folder(environ, "XDG_STATE_HOME", ".local/state")


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the user's folder for what can be made again, found as :func:`settings_folder`."""
    return _folder(environ, "XDG_CACHE_HOME", ".cache", "Caches")


def _folder(
    environ: Mapping[str, str] | None, variable: str, default: str, on_mac: str = "Application Support"
) -> Path:
    read = os.environ if environ is None else environ
    if chosen := read.get("SUNWELL_HOME", "").strip():
        return Path(chosen)
    try:
        home = read.get("HOME") or str(Path.home())
    except RuntimeError:  # in a container, a user may be a number alone
        raise ConfigurationError(
            "this user has no home folder: name a folder for what Sunwell remembers with SUNWELL_HOME"
        ) from None
    return _folder_in(home, read.get(variable, "").strip(), default, on_mac)


@lru_cache(maxsize=16)  # each run asks, and mostly for the same
def _folder_in(home: str, chosen: str, default: str, on_mac: str) -> Path:
    if sys.platform == "darwin":
        return Path(home) / "Library" / on_mac / "sunwell"
    above = Path(chosen) if chosen.startswith("/") else Path(home) / default  # a relative one is none
    return above / "sunwell"
