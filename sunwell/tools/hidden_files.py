"""Files that the setting ``ignore`` hides from models."""

from collections.abc import Iterable
from functools import lru_cache
from os import fsencode
from typing import Self

import attrs

from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.ignore_lines import IgnoreLines, lines_in
from sunwell.tools.wording import quoted

_MOST_PATTERNS = 1_000
"""Fewer than the lines of an ignore file that count, so that no pattern pushes out another."""
_MOST_CHARACTERS = 20_000
"""Of all patterns together: sets such as ``[!a]`` take a second for each 10,000 to be made ready."""


@attrs.frozen
class HiddenFiles:
    """The files and folders that patterns of ignore files select, whatever any ignore file says of them.

    Git's index does not matter either. Of the patterns given together the last one that matches decides, so
    one with ``!`` takes back what earlier ones hide, and nothing else.
    """

    _groups: tuple[IgnoreLines, ...] = ()
    """Patterns that were given together; what any group hides is hidden."""

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Self:
        """Return what *patterns* hide.

        Raises :exc:`~sunwell.errors.ConfigurationError` for one that cannot match anything.
        """
        if isinstance(patterns, str):
            raise TypeError(f"expected several patterns, got the single string {patterns!r}")
        return cls(_groups_of(tuple(patterns)))

    def __bool__(self) -> bool:
        return bool(self._groups)

    def joined(self, other: "HiddenFiles") -> "HiddenFiles":
        """Return what either hides: no pattern of one takes back what the other hides."""
        return HiddenFiles((*self._groups, *other._groups))

    def hides(self, path: str, *, is_folder: bool, is_link: bool = False) -> bool:
        """Whether the entry at *path* is hidden by its own name or path; folders above it are not looked at.

        A link is hidden, too, if a folder of its name would be.
        """
        where, name = fsencode(path), fsencode(path[path.rfind("/") + 1 :])
        kinds = (True, False) if is_link else (is_folder,)
        return any(group.hides(where, name, kind) for group in self._groups for kind in kinds)


@lru_cache(maxsize=64)  # options are checked again each time a copy of them is made
def _groups_of(patterns: tuple[str, ...]) -> tuple[IgnoreLines, ...]:
    if len(patterns) > _MOST_PATTERNS:
        raise ConfigurationError(f"ignore has {len(patterns):,} patterns: {_MOST_PATTERNS:,} are the most")
    if sum(map(len, patterns)) > _MOST_CHARACTERS:
        raise ConfigurationError(
            f"ignore is longer than {_MOST_CHARACTERS:,} characters: write fewer patterns"
        )
    for line in patterns:
        if wrong := _wrong(line):
            raise ConfigurationError(f"ignore cannot have the pattern {line[:100]!r}: {wrong}")
    return (IgnoreLines.of(fsencode("\n".join(patterns))),) if patterns else ()


def _wrong(line: str) -> str:
    """Return why the pattern *line* matches nothing, in words; empty if it may match something."""
    if any(sign in line for sign in "\n\r\0"):
        return "it has a line end in it: give each line as a pattern of its own"
    if line.startswith("#"):
        return "with # it is a comment: write \\# for a name that begins so"
    try:
        found = list(lines_in(fsencode(line)))
    except UnicodeEncodeError:
        return "it is not valid text"
    if not found:
        return "it names nothing: write one such as 'data/' or '*.csv'"
    if {b".", b".."} & set(found[0].glob.split(b"/")):
        return "no path has . or .. in it: write it from the workspace on, such as '/data/'"
    if found[0].expression is None:
        return "it ends within brackets or behind a backslash: write \\[ or \\\\ for the letter itself"
    return ""


def hidden_from_models(path: str) -> ToolError:
    """Return the error that *path* is, or is in, what the user hides."""
    return ToolError(f"{quoted(path)} is hidden by the user (setting ignore); do the work without it")
