"""Finds the protected files of a workspace: what a command must not see or change."""

import functools
import os
import re
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Literal

import attrs

from sunwell.tools.folder_walk import walk
from sunwell.tools.protected import (
    JUDGED_ENDINGS,
    ProtectedKind,
    is_git_folder,
    kind_of_name,
    kinds_below,
    secret_in,
    strongest,
)
from sunwell.tools.user_files import SETTINGS, STATE, linked_of_user, of_user_in, several_names_below

_COARSE_NS = 100_000_000
_MOST_JUDGED_BYTES = 64_000
_ACCOUNT_WORDS = ("account", "credential", "secret", "firebase", "google", "gcp", "key", "sa.")
_MOST_MOUNTS = 1_000  # bubblewrap takes 9,000 words
BARE = ProtectedKind("repository", "git takes it for a repository and runs what its files name", ())
"""A folder that is a repository without being called ``.git``."""
_MOST_LINKED_IN = 5_000
"""Files and folders among which links are looked for: protected ones are near the root."""
_LINKS_SECONDS = 1.0
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
Identity = tuple[int, int]


@attrs.frozen
class GuardedFile:
    """A protected file or folder of a workspace."""

    path: str
    """Relative to the root; empty for the root itself."""
    kind: ProtectedKind
    is_folder: bool
    identity: Identity
    changed_ns: int
    """When its content or status changed last, by the clock of the file system."""
    names: int
    """How many names it has (hard links)."""
    top: str
    """The protected folder that it was found in, else its own path."""
    is_link: bool = False


def guarded_in(
    root: Path, most_entries: int | None = None, *, opens_all: bool = False
) -> dict[str, GuardedFile]:
    """Return the protected files and folders below *root* by path, as they are now.

    With *most_entries*, the search ends after so many files and folders, and leaves out other names. With
    *opens_all*, folders of this user that cannot be looked into are opened to their owner first.

    Folders of secrets and of repositories are returned as one; of other folders each file. Links are not
    followed, and folders that package managers fill are not entered. Other names (hard links) of protected
    files, and of those of the user, are returned with them; of all names of a file, the strongest counts.
    """
    found = {one.path: one for one in _scan(root, most_entries, opens_all=opens_all)}
    linked = _linked(root, found.values()) if most_entries is None else {}
    if linked:
        has_secret = any(kind.level == "secret" for kind in linked.values())
        for path, status in _files_of(root, linked, in_repositories=has_secret):
            kind, was = linked.get((status.st_dev, status.st_ino)), found.get(path)
            if kind is None or (was is not None and was.kind.strength >= kind.strength):
                continue
            if kind.level == "secret" or not _is_in_repository(path):  # which is read-only as a whole
                found[path] = _guarded(path, kind, status, path)
    return found


def _is_in_repository(path: str) -> bool:
    return ".git" in path.split("/")


def _guarded(path: str, kind: ProtectedKind, status: os.stat_result, top: str) -> GuardedFile:
    return GuardedFile(
        path,
        kind,
        stat.S_ISDIR(status.st_mode),
        (status.st_dev, status.st_ino),
        status.st_ctime_ns,
        status.st_nlink,
        top,
        stat.S_ISLNK(status.st_mode),
    )


_NAMED = ProtectedKind("asked", "the configuration of git names it, so git runs or reads it by itself", ())
_MOST_CONFIG_BYTES = 1_000_000
_PATH_IN_CONFIG = re.compile(
    r'^\s*(hookspath|path|attributesfile)\s*=\s*"?([^"\n#;]+)', re.IGNORECASE | re.MULTILINE
)


def named_by_git(root: Path) -> dict[str, ProtectedKind]:
    """Return the files and folders below *root* that the configuration of its repository names, by path.

    These are the folder of hooks (``core.hooksPath``), files that it includes, and its attributes. The
    repository is the one that *root* is in.
    """
    top = next((folder for folder in (root, *root.parents) if os.path.lexists(folder / ".git")), None)
    if top is None:
        return {}
    git = top / ".git"
    try:
        if git.is_file():
            git = top / git.read_text("utf-8", "replace")[:4_096].removeprefix("gitdir:").strip()
        shared = git / "commondir"
        if shared.is_file():
            git = git / shared.read_text("utf-8", "replace")[:4_096].strip()
    except (OSError, ValueError):  # the file .git may contain anything
        return {}
    text = ""
    with suppress(OSError, ValueError), (git / "config").open("rb") as file:
        text = file.read(_MOST_CONFIG_BYTES).decode("utf-8", "replace")
    found = {}
    with suppress(OSError):
        for hook in (git / "hooks").iterdir():
            target = Path(os.path.realpath(hook))
            if hook.is_symlink() and target != root and target.is_relative_to(root):
                found[target.relative_to(root).as_posix()] = _NAMED
    for key, value in _PATH_IN_CONFIG.findall(text):
        # A folder of hooks is relative to the working tree, an included file to the one that includes it.
        base = git if key.lower() == "path" else top
        named = value.strip()
        place = Path(os.path.realpath(Path.home() / named[2:] if named.startswith("~/") else base / named))
        if place != root and place.is_relative_to(root):
            found[place.relative_to(root).as_posix()] = _NAMED
    return found


def _named_by_links(root: Path) -> dict[str, ProtectedKind]:
    """Return what protected links lead to below *root*: it is run, or read, under the name of the link."""
    found: dict[str, ProtectedKind] = {}
    for folder, above, entries, _ in walk(root, _MOST_LINKED_IN):
        for entry in entries:
            if not entry.is_symlink():
                continue
            way = f"{folder}/{entry.name}" if folder else entry.name
            target = Path(os.path.realpath(root / way))
            if target == root or not target.is_relative_to(root):
                continue
            path = target.relative_to(root).as_posix()
            kind = kind_of_name(entry.name, above)
            if kind is not None:
                found[path] = strongest(found.get(path), kind) or kind
            for name, inner in kinds_below(entry.name).items():
                below = f"{path}/{name}"
                found[below] = strongest(found.get(below), inner) or inner
    return found


@attrs.define(eq=False)
class NamedKinds:
    """Knows which files and folders of a workspace are protected by what names them, not by their own names.

    That is the configuration of git (see :func:`named_by_git`), and protected links. Files of the user's are
    among them, see :func:`~sunwell.tools.user_files.of_user_in`.
    """

    root: Path
    _by_links: dict[str, ProtectedKind] = attrs.field(factory=dict, init=False)
    _looked_at: float = attrs.field(default=-inf, init=False)

    @functools.cached_property
    def of_user(self) -> dict[str, ProtectedKind]:
        """The user's files and folders, as they were when this was first asked for.

        Most short runs never ask, and looking takes longer than one of their calls. Whatever may lead a link
        elsewhere asks before it does so.
        """
        return of_user_in(self.root)

    def found(self) -> dict[str, ProtectedKind]:
        """Return all of them by path. Links are looked for again after a second: writes come in a row."""
        now = time.monotonic()
        if now > self._looked_at + _LINKS_SECONDS:
            self._by_links, self._looked_at = _named_by_links(self.root), now
        found = self._by_links | named_by_git(self.root)
        for path, kind in self.of_user.items():
            found[path] = strongest(found.get(path), kind) or kind
        return found

    def kind_of(self, path: str) -> ProtectedKind | None:
        """Return the kind of *path*, relative to the root, or of a folder that it is in."""
        found = self.found()
        parts = path.split("/") if found else []
        ways = ("/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
        return strongest(*(found[way] for way in ways if way in found))


def _scan(root: Path, most_entries: int | None = None, *, opens_all: bool = False) -> Iterator[GuardedFile]:
    names = NamedKinds(root)
    named = names.found()
    inside: dict[str, tuple[ProtectedKind, str]] = {}
    for folder, above, entries, opened in walk(root, most_entries, opens_all=opens_all):
        within, top = inside.pop(folder, (None, ""))
        if is_git_folder(entry.name for entry in entries):
            entries.clear()
            yield _guarded(folder, BARE, os.fstat(opened), folder)
            continue
        left: list[os.DirEntry[str]] = []
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            kind = kind_of_name(entry.name, above)
            if within is not None or path in named:
                kind = strongest(within, kind, named.get(path))
            if kind is None and entry.is_symlink():
                kind = next(iter(kinds_below(entry.name).values()), None)
            is_folder = entry.is_dir(follow_symlinks=False)
            if kind is None and not is_folder and _ending(entry.name) in JUDGED_ENDINGS:
                kind = _judged(entry.name, opened)
            if is_folder and (kind is None or kind.level == "asked"):
                left.append(entry)
                if kind is not None:
                    inside[path] = (kind, top or path)
            elif kind is not None:
                with suppress(OSError):  # gone
                    yield _guarded(path, kind, entry.stat(follow_symlinks=False), top or path)
        entries[:] = left
    for path, kind in names.of_user.items():
        if kind.level == "secret":  # it may lie in a folder that is not entered
            with suppress(OSError):
                yield _guarded(path, kind, (root / path).lstat(), path)


def _ending(name: str) -> str:
    return name[name.rfind(".") :].lower()


def _judged(name: str, folder: int) -> ProtectedKind | None:
    """Return the kind of a file that its content decides on, if that is a secret."""
    small = name.lower()
    if small.endswith(".json") and not any(word in small for word in _ACCOUNT_WORDS):
        return None
    try:
        file = os.open(name, _READ, dir_fd=folder)
        try:
            data = os.read(file, _MOST_JUDGED_BYTES) if stat.S_ISREG(os.fstat(file).st_mode) else b""
        finally:
            os.close(file)
    except OSError:
        return None
    why = secret_in(name, data)
    return None if why is None else ProtectedKind("secret", why, ())


def _linked(root: Path, guarded: Iterable[GuardedFile]) -> dict[Identity, ProtectedKind]:
    """Return the kinds of protected files with several names: those *guarded*, and the user's own.

    Of all names of a file, the one that forbids most counts.
    """
    linked: dict[Identity, ProtectedKind] = {}

    def note(identity: Identity, kind: ProtectedKind) -> None:
        linked[identity] = strongest(linked.get(identity), kind) or kind

    for one in guarded:
        if one.is_folder:
            for status in several_names_below(root / one.path):
                note((status.st_dev, status.st_ino), one.kind)
        elif one.names > 1 and not one.is_link:
            note(one.identity, one.kind)
    with suppress(OSError):
        for status, kind in linked_of_user(root.stat().st_dev):
            note((status.st_dev, status.st_ino), kind)
    return linked


def _files_of(
    root: Path, wanted: Iterable[Identity], *, in_repositories: bool
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files below *root* that are among those *wanted*, until all names that they have are found.

    The files in ``.git`` are left out unless *in_repositories*.
    """
    left: dict[Identity, int | None] = dict.fromkeys(wanted)
    numbers = {number for _, number in left}
    waiting = [""]
    while waiting and left:
        folder = waiting.pop()
        try:
            with os.scandir(root / folder) as items:
                for entry in items:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name != ".sunwell" and (in_repositories or entry.name != ".git"):
                            waiting.append(path)
                    elif entry.inode() in numbers:
                        status = entry.stat(follow_symlinks=False)
                        identity = status.st_dev, status.st_ino
                        if identity not in left:
                            continue
                        yield path, status
                        known = left[identity]
                        left[identity] = names = (status.st_nlink if known is None else known) - 1
                        if names <= 0:
                            del left[identity]
        except OSError:  # gone, or not readable
            continue


def _several_names_in(root: Path) -> Iterator[Identity]:
    """Yield each file below *root* that has several names, once for each name that is there."""
    waiting = [os.fspath(root)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as items:
            for entry in items:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif (status := entry.stat(follow_symlinks=False)).st_nlink > 1:
                    yield status.st_dev, status.st_ino


@attrs.define(eq=False)
class LinkedKinds:
    """Knows which files of a workspace are protected under another of their names (hard links)."""

    root: Path
    _kinds: dict[Identity, ProtectedKind] = attrs.field(factory=dict, init=False)
    _looked_ns: int = attrs.field(default=0, init=False)
    _inside: Counter[Identity] = attrs.field(init=False)
    _counted_ns: int = attrs.field(default=0, init=False)

    def kind_of(self, status: os.stat_result) -> ProtectedKind | None:
        """Return the kind of the file with *status* if another name of it is protected."""
        if status.st_nlink < 2 or not stat.S_ISREG(status.st_mode):
            return None
        # A new name is a change of status, so what was found before the last one may be out of date.
        if status.st_ctime_ns > self._looked_ns - _COARSE_NS:
            now = time.time_ns()
            self._kinds = _linked(self.root, _scan(self.root))
            self._looked_ns = now
        return self._kinds.get((status.st_dev, status.st_ino))

    def has_other_names(self, status: os.stat_result) -> bool:
        """Whether the file with *status* has a name outside of the workspace, which nobody knows."""
        if status.st_ctime_ns > self._counted_ns - _COARSE_NS:
            now = time.time_ns()
            self._inside = Counter(_several_names_in(self.root))  # once for all: there may be very many
            self._counted_ns = now
        return self._inside[status.st_dev, status.st_ino] < status.st_nlink


def mounts_for(
    guarded: Iterable[GuardedFile], root: Path, allows: Callable[[str], bool], *, any_allowed: bool
) -> Iterator[tuple[Literal["empty file", "empty folder", "read-only"], Path]]:
    """Yield what is mounted over protected files in the sandbox of a command, outer folders first.

    Of very many files only the upper ones are mounted; what a command does to the others is noticed when it
    has ended. *allows* says whether a file may be written that needs a person's word.
    """
    by_place: dict[Path, Literal["empty file", "empty folder", "read-only"]] = {}

    def order(one: GuardedFile) -> tuple[bool, int, str]:
        is_linked = one.kind.level == "secret" and not one.is_folder and one.names > 1
        is_of_user = is_linked or one.kind in (STATE, SETTINGS)
        return not is_of_user, one.path.count("/"), one.path  # no number of other files leaves it out

    for one in sorted(guarded, key=order):
        place = root / one.path
        if one.is_link:
            place = Path(os.path.realpath(place))
            if one.kind.level != "secret" or not place.is_relative_to(root) or not place.is_file():
                continue  # what it leads to is protected by what that is
        if one.kind.level == "secret":
            by_place[place] = "empty folder" if one.is_folder else "empty file"
        elif one.kind.level != "asked" or not any_allowed:
            by_place.setdefault(place if one.kind.level != "asked" else root / one.top, "read-only")
        elif not allows(one.path):
            by_place.setdefault(place, "read-only")
        if len(by_place) >= _MOST_MOUNTS:
            break
    for place in sorted(by_place):
        yield by_place[place], place
