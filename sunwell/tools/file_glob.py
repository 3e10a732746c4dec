"""Selects files by a glob as a model writes it."""

import re
from collections.abc import Callable, Iterable, Iterator
from os import fsencode

import attrs

from sunwell.errors import ToolError
from sunwell.tools.ignore_lines import glob_expression
from sunwell.tools.workspace import same_letters

_MOST_PATTERNS = 1_000
_LONGEST_GLOB = 2_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_COMMA_IN_CLASS = re.compile(r"(?![^\[\]]*\])")


@attrs.frozen
class _Pattern:
    text: str
    only_folders: bool
    is_path: bool
    expression: "re.Pattern[bytes] | None"

    @classmethod
    def of(cls, text: str) -> "_Pattern":
        only_folders = text.endswith("/")
        plain = text.rstrip("/")
        is_path = "/" in plain
        plain = plain.lstrip("/")
        made = glob_expression(fsencode(plain), is_path=is_path, whole_letters=True)
        return cls(plain, only_folders, is_path, made)

    def takes(self, path: str, *, is_folder: bool) -> bool:
        if self.only_folders and not is_folder:
            return False
        part = path if self.is_path else path[path.rfind("/") + 1 :]
        # A name such as ``[id].ts`` is also meant as it is written.
        return part == self.text or bool(self.expression and self.expression.match(fsencode(part)))


@attrs.define(eq=False)
class FileGlob:
    """The files that a glob selects.

    A glob without a slash is compared with the name, one with a slash with the whole path; ``**`` stands
    for any folders. What is in a selected folder is selected. Braces hold alternatives; a comma, or a space
    between patterns with a star, separates globs; one with ``!`` before it takes files out.
    """

    _taken: tuple[_Pattern, ...]
    _left_out: tuple[_Pattern, ...]
    _folders: dict[str, bool] = attrs.field(factory=dict, init=False)

    @classmethod
    def of(cls, glob: str, inside: Callable[[str], str] = str) -> "FileGlob":
        """Return the meaning of *glob*; raises :exc:`~sunwell.errors.ToolError` if it has none.

        *inside* makes an absolute path in the workspace relative to it.
        """
        if len(glob) > _LONGEST_GLOB:
            raise ToolError(f"glob is longer than {_LONGEST_GLOB:,} characters; write a shorter one")
        parts = [part for part in map(str.strip, _split(same_letters(glob))) if part]
        words = [word for part in parts for word in part.split()]
        if len(words) > len(parts) and all("*" in word for word in words):
            parts += words
        if glob.strip() not in parts and "," in glob:  # a name may have a comma in it
            parts.append(glob.strip())
        wanted = list(_variants(part for part in parts if not part.startswith("!")))
        unwanted = list(_variants(part[1:] for part in parts if part.startswith("!")))
        if not wanted and not unwanted:
            raise ToolError(
                f"glob {glob!r} selects nothing; write one such as '*.py' or 'src/**/*.{{ts,tsx}}'"
            )
        return cls(
            tuple(_Pattern.of(_relative(one, inside)) for one in wanted),
            tuple(_Pattern.of(_relative(one, inside)) for one in unwanted),
        )

    def takes(self, path: str) -> bool:
        """Whether the file *path*, relative to the workspace, is selected."""
        path = same_letters(path)
        if self._any(self._left_out, path):
            return False
        return not self._taken or self._any(self._taken, path)

    def _any(self, patterns: tuple[_Pattern, ...], path: str) -> bool:
        if any(one.takes(path, is_folder=False) for one in patterns):
            return True
        folder = path.rpartition("/")[0]
        return bool(folder) and self._any_folder(patterns, folder)

    def _any_folder(self, patterns: tuple[_Pattern, ...], folder: str) -> bool:
        key = f"{patterns is self._taken}/{folder}"
        said = self._folders.get(key)
        if said is None:
            above = folder.rpartition("/")[0]
            said = any(one.takes(folder, is_folder=True) for one in patterns)
            said = said or (bool(above) and self._any_folder(patterns, above))
            self._folders[key] = said
        return said


@attrs.define(eq=False)
class GlobSet:
    """The files that any of several globs selects."""

    globs: tuple[str, ...]
    _compiled: tuple[FileGlob, ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._compiled = tuple(FileGlob.of(glob) for glob in self.globs)

    def takes(self, path: str) -> bool:
        """Whether the file *path* is selected."""
        return any(glob.takes(path) for glob in self._compiled)

    def names(self, path: str) -> bool:
        """Whether a glob without wildcards is *path*."""
        return any(glob.lstrip("/").removeprefix("./") == path for glob in self.globs)

    def enters(self, folder: str) -> bool:
        """Whether a glob has the name of *folder*, the last part of a path, in it."""
        return any(folder in glob.split("/") for glob in self.globs)


def _split(glob: str) -> list[str]:
    """Return the globs between the commas of *glob* that are outside of braces and brackets."""
    parts, depth, start = [], 0, 0
    for at, sign in enumerate(glob):
        if sign == "{":
            depth += 1
        elif sign == "}":
            depth = max(depth - 1, 0)
        elif sign == "," and not depth and _COMMA_IN_CLASS.match(glob, at):
            parts.append(glob[start:at])
            start = at + 1
    if depth:  # a brace that is never closed holds nothing
        return re.split(r",(?![^\[\]]*\])", glob)
    return [*parts, glob[start:]]


def _relative(pattern: str, inside: Callable[[str], str]) -> str:
    """Return *pattern* from the root of the workspace on, if it is an absolute path in it."""
    plain = inside(pattern)
    return pattern if plain == pattern else f"/{plain}"


def _variants(parts: Iterable[str]) -> Iterator[str]:
    """Yield the patterns that are meant by *parts*: braces written out, ``./`` taken away."""
    count = 0
    waiting = list(parts)
    while waiting:
        part = waiting.pop()
        found = _BRACES.search(part)
        if found is not None and "," in found[1]:
            head, tail = part[: found.start()], part[found.end() :]
            waiting += [head + one.strip() + tail for one in found[1].split(",")]
        else:
            spellings = {part, part.replace("\\", "/")}  # a path may be written as on Windows
            for spelling in spellings:
                plain = re.sub(r"^(?:\./+)+", "", spelling)
                if plain.strip("/"):
                    yield plain if plain == spelling else f"/{plain}" if "/" not in plain else plain
        count += 1
        if count > _MOST_PATTERNS or len(waiting) > _MOST_PATTERNS:
            raise ToolError("glob has too many alternatives; write a shorter one")
