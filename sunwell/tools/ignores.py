"""Ignore files, nested as git nests them."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILES = (".gitignore", ".ignore", ".sunwellignore")
"""Read in this order in every folder; the later line wins."""
MOST_BYTES = 100_000
_MOST_LINES = 2_000
_MOST_STARS = 3  # each further star multiplies the time that a hostile pattern can take
# Python warns of these, and may read them otherwise one day.
_ODD_SET = re.compile(r"\[.*(?:\[|--|&&|~~|\|\|)")


def pattern_spec(lines: Iterable[str]) -> "GitIgnoreSpec":
    """Return *lines* of an ignore file as one spec; lines that are malformed or costly are left out."""
    import pathspec

    kept: list[Any] = []
    for line in lines:
        if not _is_usable(line):
            continue
        try:
            kept += pathspec.GitIgnoreSpec.from_lines([line], backend="simple").patterns
        except (ValueError, re.error):
            continue
    return pathspec.GitIgnoreSpec(kept, backend="simple")


def _is_usable(line: str) -> bool:
    deep = line.count("**")
    stars = max(re.sub(r"\*+", "*", part).count("*") for part in line.split("/"))
    cheap = len(line) <= 500 and deep <= _MOST_STARS and stars <= _MOST_STARS
    return cheap and not _ODD_SET.search(line)


@attrs.frozen
class Ignores:
    """The ignore files of a folder and of those above it, the nearest last."""

    _layers: "tuple[tuple[str, GitIgnoreSpec], ...]" = ()

    def below(self, folder: str, texts: Iterable[str]) -> "Ignores":
        """Return the rules with those of *folder* added; *texts* are its ignore files."""
        lines = [line for text in texts for line in text.splitlines()[:_MOST_LINES]]
        return Ignores((*self._layers, (folder, pattern_spec(lines)))) if lines else self

    def hides(self, path: str, *, is_folder: bool) -> bool:
        """Whether *path* is ignored. The nearest ignore file that says anything decides."""
        for folder, spec in reversed(self._layers):
            if folder and not path.startswith(folder + "/"):
                continue
            relative = path[len(folder) + 1 :] if folder else path
            said = spec.check_file(relative + "/" if is_folder else relative).include
            if said is not None:
                return said
        return False
