"""Environment variables: which are secret, and which a command gets."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from sunwell.core.secrets import Secrets

_SECRET_NAME = re.compile(
    r"(?:(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|SECRET_?KEY|PRIVATE_?KEY)S?"
    r"|(?:^|_)(?:KEY|PASS|AUTH|PAT|CREDENTIALS?|COOKIES?|DSN|CONNECTION_STRING|CONN_STR|JWT|OAUTH)|_PWD|_PW"
    r"|SSHPASS|ACCESS_KEY_ID|SECRET_KEY_BASE|WEBHOOK(?:_UR[LI])?)(?:_?\d{1,3})?$|WEBHOOK",
    re.IGNORECASE,
)
_OPEN_NAME = re.compile(
    r"(?:^|_)(?:PUBLIC|PUBLISHABLE|PRIMARY|FOREIGN|PARTITION|SORT|MAX|MIN|NUM)_?(?:API_?)?(?:KEYS?|TOKENS?)$",
    re.IGNORECASE,
)
_ADDRESS_NAME = re.compile(r"DSN$|WEBHOOK", re.IGNORECASE)
"""Names of addresses that are a secret as a whole."""
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*:){1,3}//", re.IGNORECASE)
_IN_PAIRS = re.compile(r"(?:password|pwd|accountkey|sharedaccesskey|secret)\s*=\s*([^;&\s]+)", re.IGNORECASE)
_SHORTEST = 8
_SHORTEST_WORD = 16
_SHORTEST_OF_WORDS = 19
_SHORTEST_OF_DIGITS = 14
_WORDS = re.compile(r"(?:[^\W\d_]+|\d{1,4})(?:[-_.:,/ ]+(?:[^\W\d_]+|\d{1,4}))*")
_WORD_AND_NUMBER = re.compile(r"[^\W\d_]{1,9}[-_]?\d{1,4}")
_PATH = re.compile(r"(?:~|\.{1,2})?/")

_KEPT = frozenset(
    ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV")
)
_FIXED = {"TERM": "dumb", "PAGER": "cat", "GIT_PAGER": "cat", "GIT_TERMINAL_PROMPT": "0"}


def secrets_from_environment(environ: Mapping[str, str] | None = None) -> Secrets:
    """Return the values of all variables that look like secrets.

    These are the variables whose names end in ``KEY``, ``TOKEN``, ``SECRET``, ``PASSWORD``, ``DSN`` or
    similar, and the passwords in addresses in any variable. In text, each value is replaced by its variable's
    name in brackets. Values that occur in ordinary text are left out, see :func:`is_telling`. *environ* is by
    default the process's.
    """
    secrets = Secrets()
    found = os.environ if environ is None else environ
    for name, value in found.items():
        for secret in _secrets_in(name, value):
            if is_telling(secret):
                secrets.add(secret, name)
    return secrets


def is_telling(value: str) -> bool:
    """Whether *value* is rare enough in ordinary text to be replaced there.

    ``true``, ``postgres``, ``changeme`` or ``test1234`` are not: in a file that a model edits, they would be
    replaced where they are no password, and who sees them learns nothing. Not telling are values of fewer
    than 8 characters, a word of fewer than 16 letters, with or without a number after it, words and short
    numbers of together fewer than 19 characters, numbers of fewer than 14 digits, and paths of files that
    exist.
    """
    value = value.strip()
    if len(value) < _SHORTEST or len(set(value)) < 4:
        return False
    if value.isdigit():
        return len(value) >= _SHORTEST_OF_DIGITS
    if _WORDS.fullmatch(value):
        # In words, small letters are followed by capitals now and then; in random letters, often.
        humps = sum(one.islower() and other.isupper() for one, other in pairwise(value))
        shortest = _SHORTEST_WORD if value.isalpha() else _SHORTEST_OF_WORDS
        return len(value) >= shortest or 5 * humps >= len(value)
    if _PATH.match(value):
        with suppress(OSError, ValueError):
            return not Path(value).expanduser().exists()
    return _WORD_AND_NUMBER.fullmatch(value) is None


def _secrets_in(name: str, value: str) -> Iterator[str]:
    is_secret = _SECRET_NAME.search(name) is not None and _OPEN_NAME.search(name) is None
    if (address := _ADDRESS.match(value)) is not None:
        inside = list(_in_address(value))
        yield from inside
        if inside or (is_secret and _ADDRESS_NAME.search(name)):
            yield value
    if not is_secret:
        return
    if address is None:
        yield value
    yield from _IN_PAIRS.findall(value)
    if value.lstrip().startswith("{"):
        with suppress(ValueError, RecursionError):
            fields = json.loads(value)
            for field, inner in fields.items():
                if isinstance(inner, str) and _SECRET_NAME.search(field):
                    yield inner


def _in_address(value: str) -> Iterator[str]:
    """Yield the password in an address, as it is and decoded, and secrets among its parameters."""
    try:
        parts = urlsplit(value[value[: value.index("//") - 1].rfind(":") + 1 :])  # without jdbc:
        password = parts.netloc.rpartition("@")[0].partition(":")[2]
        given = parse_qsl(parts.query)
    except ValueError:
        return
    user = parts.netloc.rpartition("@")[0]
    if not password and len(user) >= _SHORTEST_WORD:  # a token in place of the user's name
        password = user
    if password:
        yield from dict.fromkeys((password, unquote(password)))
    for name, inner in given:
        if _SECRET_NAME.search(name):
            yield inner


def command_environment(environ: Mapping[str, str], secrets: Secrets) -> dict[str, str]:
    """Return the part of *environ* that a command gets: paths of programs and home, and the locale.

    All other variables are removed, and so is every variable that contains a known secret. Of ``PATH``, only
    absolute folders are kept: any other one is in the workspace, where a model writes files.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if (name in _KEPT or name.startswith("LC_")) and secrets.redact(value) == value
    }
    folders = [folder for folder in kept.get("PATH", "").split(os.pathsep) if folder.startswith("/")]
    return {**kept, "PATH": os.pathsep.join(folders) or os.defpath, **_FIXED}


def bare_environment() -> dict[str, str]:
    """Return the environment of a program that needs nothing of the user's."""
    return {"LC_ALL": "C.UTF-8"}
