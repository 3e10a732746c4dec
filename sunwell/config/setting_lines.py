"""Settings for people to read: value, where it comes from, nothing secret in it."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import attrs

from sunwell.config.schema import Configuration
from sunwell.config.setting import SettingPath, dotted
from sunwell.config.shape import leaves, options_by_path
from sunwell.config.sources import Loaded, Trust

_MASK = "********"
_SECRET = frozenset({"api_key", "headers"})


@attrs.frozen
class SettingRow:
    """One setting, ready to be shown."""

    key: str
    value: str
    origin: str
    is_trusted: bool = True


@attrs.frozen
class FileRow:
    """One file that was read, and whether all of it holds."""

    file: str
    trust: Literal["yours", "trusted", "trusted this once", "not trusted"]
    """A file that is not trusted may only narrow; ``yours`` is your own, which needs no trust."""


def file_rows(loaded: Loaded) -> tuple[FileRow, ...]:
    """Return the files that were read, the user's own first."""
    words: dict[Trust, Any] = {"none": "not trusted", "recorded": "trusted", "once": "trusted this once"}
    return tuple(
        FileRow(str(file), words[loaded.trust] if file == loaded.project else "yours")
        for file in loaded.files
    )


def rows(loaded: Loaded, *, everything: bool = False) -> tuple[SettingRow, ...]:
    """Return what is set, by key; with *everything* also the defaults."""
    untrusted = {setting.path for setting in loaded.untrusted}
    found = [
        SettingRow(
            dotted(path), _shown_or_not_set(path, setting.value), str(setting.origin), path not in untrusted
        )
        for path, setting in loaded.settings.items()
    ]
    if everything:
        found += _defaults(loaded)
    return tuple(sorted(found, key=lambda row: row.key))


def _defaults(loaded: Loaded) -> Iterator[SettingRow]:
    options = options_by_path()
    for path, _ in leaves():
        if path in loaded.settings:
            continue
        spec = options.get(path)
        value: Any = Configuration()
        if spec is not None:
            value = None if spec.is_open or path[0] == "budget" else getattr(value.run, spec.name)
        else:
            for name in path:
                value = getattr(value, name)
        yield SettingRow(dotted(path), _shown_or_not_set(path, value), "default")


def _shown_or_not_set(path: SettingPath, value: Any) -> str:
    return "not set" if value is None else shown(path, value)


def shown(path: SettingPath, value: Any) -> str:
    """Return *value* as a file would write it; secrets are masked, and logins in addresses left out."""
    if _SECRET & set(path):
        if isinstance(value, dict):
            return "{" + ", ".join(f"{name} = {_MASK}" for name in value) + "}"
        return _MASK
    if path[-1] == "base_url" and isinstance(value, str):
        return f'"{_without_login(value)}"'
    match value:
        case bool():
            return "true" if value else "false"
        case tuple() | list():
            return "[" + ", ".join(f'"{item}"' for item in value) + "]"
        case Decimal():
            return f"{value.normalize():f}"
        case float():
            return f"{value:g}"
        case str():
            return f'"{value}"' if value.isprintable() else repr(value)
    return str(value)


def _without_login(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return _MASK
    host = parts.netloc.rpartition("@")[2]
    query = f"?{_MASK}" if parts.query else ""
    return urlunsplit((parts.scheme, host, parts.path, "", "")) + query
