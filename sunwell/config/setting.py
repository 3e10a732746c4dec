"""A setting with the place that it was written in."""

from typing import Any

import attrs

from sunwell.context.spellings import SettingPath

__all__ = ["Origin", "Setting", "SettingPath", "dotted"]


def dotted(path: SettingPath) -> str:
    """Return *path* as a key is written in a file, on one line."""
    return ".".join(name if _is_bare(name) else f'"{_printable(name)}"' for name in path)


def _is_bare(name: str) -> bool:
    return bool(name) and all(c.isalnum() or c in "-_" for c in name)


def _printable(name: str) -> str:
    return name if name.isprintable() else repr(name)[1:-1]


@attrs.frozen
class Origin:
    """Where a setting was written."""

    source: str
    """A file's path, or ``environment``, ``option``, ``default``."""
    key: str
    """The key as it was written there."""
    line: int | None = None
    rank: int = 0
    """Higher ranks win."""
    is_project: bool = False
    """Whether it comes from a project's file, which holds in part only once it is trusted."""

    def __str__(self) -> str:
        if self.source in ("environment", "option"):
            return f"{self.source} {self.key}"
        return self.source if self.line is None else f"{self.source}:{self.line}"


@attrs.frozen
class Setting:
    """One value under its name in the schema, and where it comes from."""

    path: SettingPath
    value: Any
    origin: Origin
    switch: SettingPath | None = None
    """The switch of an older file that it was written as."""
