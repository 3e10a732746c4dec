"""Environment variables: which are secret, and which a command gets."""

import os
from collections.abc import Mapping
from typing import Any

from sunwell.core.passed_on import passed_variables
from sunwell.core.secrets import Secrets, without_credentials
from sunwell.tools.secret_values import is_telling, secrets_in

_KEPT = frozenset(
    ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV")
)
_FIXED = {"TERM": "dumb", "PAGER": "cat", "GIT_PAGER": "cat", "GIT_TERMINAL_PROMPT": "0"}


def told_safely(message: str) -> str:
    """Return *message*, of an error, without known secrets and what looks like a credential."""
    return without_credentials(secrets_from_environment().redact(message))


def secrets_from_environment(environ: Mapping[str, str] | None = None) -> Secrets:
    """Return the values of all variables that look like secrets.

    These are the variables whose names end in ``KEY``, ``TOKEN``, ``SECRET``, ``PASSWORD``, ``DSN`` or
    similar, those with such a word elsewhere in the name whose value looks like nothing else, and the
    passwords in addresses and in pairs such as ``password=`` in any variable. In text, each value is replaced
    by its variable's name in brackets. Values that occur in ordinary text are left out, see
    :func:`~sunwell.tools.secret_values.is_telling`. *environ* is by default the process's.
    """
    secrets = Secrets()
    for secret, name in _of_process() if environ is None else _telling_in(environ):
        secrets.add(secret, name)
    return secrets


def _telling_in(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return each secret with the name of its variable."""
    found = ((secret, name) for name, value in environ.items() for secret in secrets_in(name, value))
    return [(secret, name) for secret, name in found if is_telling(secret)]


_Found = tuple[dict[Any, Any] | None, list[tuple[str, str]]]
_latest: list[_Found] = [(None, [])]
"""The process's environment when it was last looked at, and what was found: each run asks."""


def _of_process() -> list[tuple[str, str]]:
    raw = getattr(os.environ, "_data", None)  # as it is: reading it as text takes most of the time
    known, found = _latest[0]
    if raw is None or known != raw:
        found = _telling_in(os.environ)
        _latest[0] = (None if raw is None else dict(raw), found)
    return found


def command_environment(environ: Mapping[str, str], secrets: Secrets) -> dict[str, str]:
    """Return the part of *environ* that a command gets: paths of programs and home, and the locale.

    All other variables are removed, and so is every variable that contains a known secret; what an observer
    of the run passes on is added, see :mod:`sunwell.core.passed_on`. Of ``PATH``, only
    absolute folders are kept: any other one is in the workspace, where a model writes files.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if (name in _KEPT or name.startswith("LC_")) and secrets.redact(value) == value
    }
    folders = [folder for folder in kept.get("PATH", "").split(os.pathsep) if folder.startswith("/")]
    return {**kept, "PATH": os.pathsep.join(folders) or os.defpath, **_FIXED, **passed_variables()}


def bare_environment() -> dict[str, str]:
    """Return the environment of a program that needs nothing of the user's."""
    return {"LC_ALL": "C.UTF-8"}


def desktop_environment(environ: Mapping[str, str], secrets: Secrets) -> dict[str, str]:
    """Return the part of *environ* that a program of the user's desktop gets, such as a browser.

    That is all but variables that contain a known secret, and those by which a program loads other code.
    """
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(_LOADING) and secrets.redact(value) == value
    }


_LOADING = ("LD_", "DYLD_", "PYTHON")
