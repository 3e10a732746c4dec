"""Finds the names in a workspace that a misspelled path may mean."""

import difflib
import re
from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Literal

from sunwell.tools.workspace import FolderEntry

_MOST_SHOWN = 3
_MOST_ENTRIES = 100_000
_LONGEST_SECONDS = 0.3
"""The search runs on the event loop, where other workers wait for it."""
_ALIKE = 0.75


def near_names(
    entries: Iterable[FolderEntry], path: str, kind: Literal["file", "folder", "any"]
) -> list[str]:
    """Return up to three paths of *entries* that *path* may mean, the most likely first.

    Those of the same name, in other capitals or in another folder, come before those of a similar name.
    *entries* are taken until 0.3 seconds have passed.
    """
    path = path.replace("\\", "/").strip("/ ")
    name = path.rpartition("/")[2]
    if not name or len(path) > 1_000:
        return []
    stems = {_plain(name), _plain(_LINE_BEHIND.sub("", name))}
    matcher = difflib.SequenceMatcher(None, "", _plain(name), autojunk=False)
    same: list[str] = []
    close: list[tuple[float, str]] = []
    for entry in _in_time(entries):
        if entry.kind not in (("file", "folder") if kind == "any" else (kind,)):
            continue
        plain = _plain(entry.path.rpartition("/")[2])
        if plain in stems:
            same.append(entry.path)
        elif abs(len(plain) - len(name)) * 2 <= len(name):
            matcher.set_seq1(plain)
            if matcher.real_quick_ratio() >= _ALIKE and matcher.quick_ratio() >= _ALIKE:
                ratio = matcher.ratio()
                if ratio >= _ALIKE:
                    close.append((ratio, entry.path))
    ranked = sorted(same, key=lambda one: (-_shared_folders(one, path), one.count("/"), one))
    if len(ranked) < _MOST_SHOWN and len(ranked) != 1:
        close.sort(key=lambda item: (-_shared_folders(item[1], path), -item[0], item[1].count("/"), item[1]))
        ranked += [one for _, one in close]
    return ranked[:_MOST_SHOWN]


_LINE_BEHIND = re.compile(r"(?::\d+)+:?$")
"""A line number, as search_files puts it behind a path."""


def _in_time(entries: Iterable[FolderEntry]) -> Iterator[FolderEntry]:
    until = monotonic() + _LONGEST_SECONDS
    for count, entry in enumerate(entries):
        if count == _MOST_ENTRIES or (count % 50 == 49 and monotonic() > until):
            return
        yield entry


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_").replace(" ", "_")


def _shared_folders(one: str, path: str) -> int:
    """Return how many folders the two paths have in common, wherever they are in them."""
    return len(set(one.casefold().split("/")[:-1]) & set(path.casefold().split("/")[:-1]))
