"""The environment: what in it is secret, and what of it a command may have."""

import os
import re
from collections.abc import Mapping

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
    """Return the values of all variables whose names look like those of keys.

    Such are names that end in ``API_KEY``, ``TOKEN``, ``SECRET``, ``PASSWORD`` and the like. In
    text, each becomes its variable's name in brackets. *environ* is the process's, unless given.
    """
    secrets = Secrets()
    for name, value in (os.environ if environ is None else environ).items():
        if _SECRET_NAME.search(name):
            secrets.add(value, name)
    return secrets


def command_environment(environ: Mapping[str, str], secrets: Secrets) -> dict[str, str]:
    """Return the little of *environ* that a command gets: where programs and home are, and the language.

    Everything else stays behind, and so does what holds a known secret.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if (name in _KEPT or name.startswith("LC_")) and secrets.redact(value) == value
    }
    return {"PATH": os.defpath, **kept, **_FIXED}
