"""Secrets in the values of variables: which names say that there is one, and what of a value it is."""

import functools
import itertools
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SECRET_NAME = re.compile(
    r"(?:(?:PASSWORD|PASSWD|PASSPHRASE|PASSCODE|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|SECRET_?KEY|PRIVATE_?KEY)S?"
    r"|(?:^|_)(?:KEY|PASS|AUTH|AUTHORIZATION|BEARER|PAT|CREDENTIALS?|COOKIES?|DSN|CONNECTION_STRING|CONN_STR"
    r"|JWT|OAUTH)|_PWD|_PW|^[A-Z]{2,6}PW|SSHPASS|ACCESS_KEY_ID|SECRET_KEY_BASE|WEBHOOK(?:_UR[LI])?)"
    r"(?:_?\d{1,3})?$|WEBHOOK",
    re.IGNORECASE,
)
_OPEN_NAME = re.compile(
    r"(?:^|_)(?:PUBLIC|PUBLISHABLE|PRIMARY|FOREIGN|PARTITION|SORT|MAX|MIN|NUM)_?(?:API_?)?(?:KEYS?|TOKENS?)$",
    re.IGNORECASE,
)
_SECRET_WORDS = _words(
    "password passwords passwd passphrase passcode pass pwd pw secret secrets token key apikey auth "
    "authorization bearer pat credential credentials cookie cookies jwt oauth dsn"
)
_OPEN_WORDS = _words("public publishable primary foreign partition sort max min num count limit per budget")
"""Words that make a key or a token one that everybody may see, or a number of them."""
_DESCRIBING = _words(
    "alg algorithm audience backend cache class cmd command count dir directory disabled domain enabled "
    "endpoint expires expiry file folder format header helper home host hostname id issuer length level "
    "limit location manager method mode model module name namespace path plugin policy port prefix "
    "program protocol provider realm region required role rotation scope scopes seconds server service "
    "size sock socket store style suffix timeout ttl type uri url urls user username vault version"
)
"""Last words of names of what belongs to a secret and is none."""
_WORD_IN_NAME = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ADDRESS_NAME = re.compile(r"DSN$|WEBHOOK", re.IGNORECASE)
"""Names of addresses that are a secret as a whole."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,30}://", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*:){1,3}//", re.IGNORECASE)
_ORACLE = re.compile(r"jdbc:oracle:[a-z0-9]+:[^/@\s]*/([^@\s]+)@", re.IGNORECASE)
_PAIR = re.compile(
    r"(?:^|[\s;,&?{(\"'])[\w.-]{0,60}?"
    r"(?:password|passwd|pwd|passphrase|pass|accountkey|sharedaccesskey|sharedaccesssignature|secret|api_?key"
    r"|access_?key|access_?token|auth_?token|_?authtoken|client_?secret|private_?key|token)[\"']?\s*[=:]\s*"
    r"(?:\"((?:[^\"\\]|\\.)+)\"|'((?:[^'\\]|\\.)+)'|\{([^{}]+)\}|([^;&\s,\"'{}]+))",
    re.IGNORECASE,
)
_OPTION = re.compile(
    r"--[\w-]{0,40}(?:password|passwd|passphrase|token|secret|api-key)\s+([^\s-]\S*)", re.IGNORECASE
)
_HEADER = re.compile(
    r"\b(?:(?:proxy-)?authorization\s*[:=]\s*|(?=(?:bearer|basic)\s))(?:(?:bearer|basic|token|digest)\s+)?([^\s\"',;]+)",
    re.IGNORECASE,
)
_SHORTEST = 8
_SHORTEST_WORD = 16
_SHORTEST_OF_WORDS = 19
_SHORTEST_OF_DIGITS = 14
_MOST_PARTS = 200
_WORDS = re.compile(r"(?:[^\W\d_]+|\d{1,4})(?:[-_.:,/ ]+(?:[^\W\d_]+|\d{1,4}))*")
_WORD_AND_NUMBER = re.compile(r"[^\W\d_]{1,9}[-_]?\d{1,4}")
_PATH = re.compile(r"(?:~|\.{1,2})?/")
_HOST = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,40}[a-z0-9])?\.)+(?:com|org|net|io|dev|app|cloud|internal|local|localdomain|lan|corp"
    r"|example|test|svc|co|ai|gov|edu|info|[a-z]{2})(?::\d{1,5})?/?"
)
_NUMBER = re.compile(r"[-+]?\d+(?:[.,_:]\d+)*[a-z%]{0,3}")
_LONG_WORD_AND_NUMBER = re.compile(r"[A-Z]?[a-z]+\d{1,2}")
_VERSION = re.compile(r"v?\d+(?:\.\d+){1,3}(?:[-+.][a-z0-9.]+)?", re.IGNORECASE)


@functools.lru_cache(maxsize=1_000)
def secrets_in(name: str, value: str) -> tuple[str, ...]:
    """Return what is, or may be, a secret in the *value* of the variable *name*: all of it, and parts.

    In any variable that is passwords, tokens and secret parameters of all addresses in it, and the values of
    pairs such as ``password=``; in one whose name says so, also its value, without quotes and without the
    word before it, as in ``Bearer TOKEN`` and ``user:TOKEN``. Only what :func:`is_telling` should count.
    """
    parts = itertools.chain(_whole(name, value), _in_addresses(value), _in_pairs(value), _in_json(value))
    found: list[str] = []
    for secret in dict.fromkeys(itertools.islice(parts, _MOST_PARTS)):
        found.append(secret)
        if secret.endswith("="):  # base64 is often written without it
            found.append(secret.rstrip("="))
    return tuple(found)


def names_secret(name: str) -> bool:
    """Whether a variable, a parameter or a field of this *name* holds a secret, whatever its value is."""
    return _SECRET_NAME.search(name) is not None and _OPEN_NAME.search(name) is None


def _may_name_secret(name: str) -> bool:
    """Whether there is a word for a secret anywhere in *name*, and no word that says that it is none."""
    words = [word.lower() for word in _WORD_IN_NAME.findall(name) if not word.isdigit()]
    if not words or words[-1] in _DESCRIBING or not _OPEN_WORDS.isdisjoint(words):
        return False
    return words != ["pwd"] and not _SECRET_WORDS.isdisjoint(words)


def is_telling(value: str) -> bool:
    """Whether *value* is rare enough in ordinary text to be replaced there.

    ``true``, ``postgres``, ``changeme`` or ``test1234`` are not: in a file that a model edits, they would be
    replaced where they are no password, and who sees them learns nothing. Not telling are values of fewer
    than 8 characters, a word of fewer than 16 letters, with or without a number after it, words and short
    numbers of together fewer than 19 characters, numbers of fewer than 14 digits, names of hosts, and paths
    that exist or are made of words.
    """
    value = value.strip()
    if len(value) < _SHORTEST or len(set(value)) < 4:
        return False
    if value.isdigit():
        return len(value) >= _SHORTEST_OF_DIGITS
    if _HOST.fullmatch(value):
        return False
    if _PATH.match(value) and _is_path(value):
        return False
    if _WORDS.fullmatch(value):
        shortest = _SHORTEST_WORD if value.isalpha() else _SHORTEST_OF_WORDS
        return len(value) >= shortest or _is_humped(value)
    return _WORD_AND_NUMBER.fullmatch(value) is None


def _is_humped(value: str) -> bool:
    """Whether small letters are followed by capitals often: in words they are now and then."""
    humps = sum(one.islower() and other.isupper() for one, other in pairwise(value))
    return 5 * humps >= len(value)


def _is_path(value: str) -> bool:
    with suppress(OSError, ValueError):
        if Path(value).expanduser().exists():
            return True
    names = [name for name in value.split("/") if name not in ("", "~", ".", "..")]
    return len(names) > 1 and all(
        _WORDS.fullmatch(name.lstrip(".")) and not _is_humped(name) for name in names
    )


def _is_random(value: str) -> bool:
    """Whether *value* looks like nothing else than a secret: no words, number, version, path or address."""
    if not is_telling(value) or any(one.isspace() for one in value) or _SCHEME.match(value):
        return False
    if _WORDS.fullmatch(value):
        return _is_humped(value)
    if _LONG_WORD_AND_NUMBER.fullmatch(value):
        return False
    return not (_NUMBER.fullmatch(value) or _VERSION.fullmatch(value) or _PATH.match(value)) and any(
        one.isdigit() or one.isupper() for one in value
    )


def _whole(name: str, value: str) -> Iterator[str]:
    """Yield *value* as far as it is a secret because of its variable's *name*."""
    is_secret = names_secret(name)
    if not is_secret and not _may_name_secret(name):
        return
    plain = value.strip().strip("\"'").strip()
    if _ADDRESS.match(plain) is not None:
        if _ADDRESS_NAME.search(name):
            yield value
        return
    if is_secret:
        yield value
        yield plain
    elif _is_random(plain):
        yield plain
    if plain.startswith("["):
        with suppress(ValueError, RecursionError):
            yield from _in_fields(json.loads(plain))
    for part in re.split(r"[\s,;|]+", plain):
        for inner in (part, *_behind(part)):
            bare = inner.strip("\"'")
            if _is_random(bare):
                yield bare


def _behind(part: str) -> Iterator[str]:
    """Yield what is behind a name and a colon or an equals sign."""
    for sign in ":=":
        before, _, after = part.partition(sign)
        if before and after:
            yield after


def _in_fields(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(inner, str):
                yield from _in_fields(inner)
            elif names_secret(name) or (_may_name_secret(name) and _is_random(inner)):
                yield inner
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, str) and _is_random(inner):
                yield inner
            else:
                yield from _in_fields(inner)


def _in_pairs(value: str) -> Iterator[str]:
    for found in _PAIR.finditer(value):
        inner = next(one for one in found.groups() if one is not None)
        yield from dict.fromkeys((inner, unquote(inner), inner.replace("''", "'").replace("\\", "")))
    yield from _OPTION.findall(value)
    yield from filter(_is_random, _HEADER.findall(value))


def _in_json(value: str) -> Iterator[str]:
    if value.lstrip().startswith("{"):
        with suppress(ValueError, RecursionError):
            yield from _in_fields(json.loads(value))


def _in_addresses(value: str) -> Iterator[str]:
    """Yield the secrets of all addresses in *value*, as they are and decoded, and *value* if it is one."""
    starts = [(found.start(), found.end()) for found in _SCHEME.finditer(value)]
    begins = _ADDRESS.match(value) is not None
    has_one = False
    for number, (_, start) in enumerate(starts):
        end = starts[number + 1][0] if number + 1 < len(starts) else len(value)
        for inner in _in_address(value[start:end]):
            has_one = has_one or is_telling(inner)
            yield from dict.fromkeys((inner, unquote(inner)))
    yield from _ORACLE.findall(value)
    if has_one and begins:
        yield value


def _in_address(rest: str) -> Iterator[str]:
    """Yield the secrets in *rest*, an address without its scheme, and what follows it."""
    for login in dict.fromkeys(_logins(rest)):
        user, colon, password = login.partition(":")
        if re.search(r"[/?#\s]", user):
            continue
        if colon and not re.match(r"\d{1,5}(?:[/?#]|$)", password):  # else it is a port and a path
            yield password
        if len(user) >= _SHORTEST_WORD and (not password or _is_random(user)):
            yield user  # a token in place of the user's name
    for name, inner in re.findall(r"[?&;]([^=&;\s]{1,80})=([^&;#\s]+)", rest):
        if names_secret(name):
            yield inner


def _logins(rest: str) -> Iterator[str]:
    """Yield what may be the login: all before an @, of each host, and with signs that should be encoded."""
    authority = re.split(r"[/?#\s\"'<>]", rest, maxsplit=1)[0]
    for part in (*re.split("[,;]", authority), authority, re.split(r"\s", rest, maxsplit=1)[0], rest):
        login, at, _ = part.rpartition("@")
        if at:
            yield login
