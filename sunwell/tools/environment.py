"""Environment variables: which are secret, and which a command gets."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from sunwell.core.secrets import Secrets

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:API_?KEY|ACCESS_?KEY|SECRET_?KEY|PRIVATE_?KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$",
    re.IGNORECASE,
)
_KEPT = frozenset(
    ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV")
)
_FIXED = {"TERM": "dumb", "PAGER": "cat", "GIT_PAGER": "cat", "GIT_TERMINAL_PROMPT": "0"}


def secrets_from_environment(environ: Mapping[str, str] | None = None) -> Secrets:
    """Return the values of all variables whose names look like secrets.

    These are names that end in ``API_KEY``, ``TOKEN``, ``SECRET``, ``PASSWORD`` or similar. In text, each
    value is replaced by its variable's name in brackets. *environ* is by default the process's.
    """
    secrets = Secrets()
    found = os.environ if environ is None else environ
    for name in found:  # few values are wanted, and the process's are decoded on each reading
        if _SECRET_NAME.search(name):
            secrets.add(found[name], name)
    return secrets


def command_environment(environ: Mapping[str, str], secrets: Secrets) -> dict[str, str]:
    """Return the part of *environ* that a command gets: paths of programs and home, and the locale.

    All other variables are removed, and so is every variable that contains a known secret.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if (name in _KEPT or name.startswith("LC_")) and secrets.redact(value) == value
    }
    return {"PATH": os.defpath, **kept, **_FIXED}


def user_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of the user's own settings, where the platform has it; it may not exist."""
    read = os.environ if environ is None else environ
    if chosen := read.get("SUNWELL_HOME", "").strip():
        return Path(chosen)
    home = Path(read.get("HOME") or Path.home())
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "sunwell"
    chosen = read.get("XDG_CONFIG_HOME", "").strip()
    return (Path(chosen) if chosen.startswith("/") else home / ".config") / "sunwell"
