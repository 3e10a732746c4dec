"""Which files git would ignore, decided entry by entry as git does."""

import struct
from collections.abc import Iterable, Iterator
from functools import cached_property
from os import fsdecode, fsencode, fspath, geteuid, stat
from os.path import lexists
from pathlib import Path

import attrs

from sunwell.tools.ignore_lines import BYTE_ORDER_MARK, IgnoreLines
from sunwell.tools.workspace import FolderEntry, read_beside

GIT_FILE = ".gitignore"
OWN_FILES = (".ignore", ".sunwellignore")
"""Read after ``.gitignore`` in every folder; later lines override earlier ones."""
IGNORE_FILES = (GIT_FILE, *OWN_FILES)
MOST_BYTES = 1_000_000
"""A larger ignore file is not read."""
_MOST_INDEX_BYTES = 200_000_000


@attrs.frozen
class _Layer:
    """An ignore file in its folder."""

    before: str
    """Put before a path of the workspace if the folder is above it."""
    folder: str
    """The folder in the workspace; empty if it is the workspace itself or above it."""
    rules: IgnoreLines
    is_gits: bool


@attrs.frozen
class Ignores:
    """The ignore files of a folder and its parents, the nearest last."""

    _layers: tuple[_Layer, ...] = ()
    _tracked: "Tracked | None" = None
    _is_inside: bool = False
    """Whether the folder is ignored: then all in it is, except what git tracks."""

    def below(self, folder: str, texts: Iterable[tuple[str, bytes]], *, before: str = "") -> "Ignores":
        """Return these rules plus those of *folder*; *texts* are the names and texts of its ignore files."""
        there = {name: text.removeprefix(BYTE_ORDER_MARK) for name, text in texts}
        own = b"\n".join(there[name] for name in OWN_FILES if name in there)
        added = [
            _Layer(before, folder, IgnoreLines.of(text), is_gits)
            for text, is_gits in ((there.get(GIT_FILE, b""), True), (own, False))
            if text
        ]
        return attrs.evolve(self, layers=(*self._layers, *added)) if added else self

    def inside(self, folder: str) -> "Ignores":
        """Return the rules for what is in *folder*, an entry that these rules may hide."""
        is_inside = self._is_inside or self._hides(folder, is_folder=True)
        return attrs.evolve(self, is_inside=True) if is_inside else self

    def in_repository(self, folder: str, exclude: bytes) -> "Ignores":
        """Return these rules for another repository in *folder*: git's rules from outside end there."""
        kept = tuple(layer for layer in self._layers if not layer.is_gits)
        added = (_Layer("", folder, IgnoreLines.of(exclude), True),) if exclude else ()
        return Ignores((*added, *kept), is_inside=self._is_inside)

    def hidden(self, entries: Iterable[FolderEntry]) -> frozenset[str]:
        """Return the paths of those among *entries*, all of one folder, that are ignored."""
        if not self._layers and not self._is_inside:
            return frozenset()
        return frozenset(
            [one.path for one in entries if self.hides(one.path, is_folder=one.kind == "folder")]
        )

    def hides(self, path: str, *, is_folder: bool) -> bool:
        """Whether *path* is ignored. Files that git tracks, and folders with such files, are not."""
        if not (self._is_inside or self._hides(path, is_folder=is_folder)):
            return False
        return self._tracked is None or not self._tracked.has(path, is_folder=is_folder)

    def _hides(self, path: str, *, is_folder: bool) -> bool:
        """Whether the nearest ignore file with a matching line says that *path* is ignored."""
        name = fsencode(path[path.rfind("/") + 1 :])
        for layer in reversed(self._layers):
            if layer.folder and not path.startswith(layer.folder + "/"):
                continue
            relative = b""
            if layer.rules.has_paths:
                relative = fsencode(layer.before + (path[len(layer.folder) + 1 :] if layer.folder else path))
            said = layer.rules.hides(relative, name, is_folder)
            if said is not None:
                return said
        return False


@attrs.define(eq=False, slots=False)
class Tracked:
    """The files of a workspace that git tracks: ignore rules do not hold for them. Read on first use."""

    index: Path
    before: str
    """Path of the workspace in the repository: empty, or with a slash at its end."""

    def has(self, path: str, *, is_folder: bool) -> bool:
        """Whether git tracks the file *path*, or any file in the folder *path*."""
        return path in (self._folders if is_folder else self._files)

    @cached_property
    def _files(self) -> frozenset[str]:
        data = read_beside(self.index, _MOST_INDEX_BYTES) or b""
        start = fsencode(self.before)
        try:
            names = [name[len(start) :] for name in _names_in(data) if name.startswith(start)]
        except (struct.error, ValueError, IndexError):  # damaged, or written at this moment
            return frozenset()
        return frozenset(map(fsdecode, names))

    @cached_property
    def _folders(self) -> frozenset[str]:
        found: set[str] = set()
        for path in self._files:
            while (at := path.rfind("/")) > 0 and (path := path[:at]) not in found:
                found.add(path)
        return frozenset(found)


def _names_in(data: bytes) -> Iterator[bytes]:
    """Yield the paths in a git index (versions 2 to 4, names of 20 bytes)."""
    if data[:4] != b"DIRC":
        return
    version, count = struct.unpack_from(">II", data, 4)
    at, name = 12, b""
    for _ in range(count):
        (flags,) = struct.unpack_from(">H", data, at + 60)
        start = at + (64 if version > 2 and flags & 0x4000 else 62)
        if version == 4:
            cut, start = _number(data, start)
            end = data.index(b"\0", start)
            name = name[: len(name) - cut] + data[start:end]
            at = end + 1
        else:
            end = data.index(b"\0", start)
            name = data[start:end]
            at += (end - at + 8) // 8 * 8
        yield name


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return the number of variable length at *at*, and where it ends."""
    value = data[at] & 0x7F
    while data[at] & 0x80:
        at += 1
        value = ((value + 1) << 7) | (data[at] & 0x7F)
    return value, at + 1


def ignores_above(root: Path) -> Ignores:
    """Return the rules that hold in *root* from outside: ``info/exclude``, and the folders above it.

    These are the folders up to the root of the git repository that *root* is in; without a repository
    there are none. A repository of another user does not count. The user's own list for all repositories
    (``core.excludesFile``) is not read: a run must see the same files on every machine.
    """
    found = _repository_of(root)
    if found is None:
        return Ignores()
    top, folder, common = found
    names = root.relative_to(top).parts
    before = "".join(f"{name}/" for name in names)
    exclude = read_beside(common / "info" / "exclude", MOST_BYTES, follow=True)
    rules = Ignores(tracked=Tracked(folder / "index", before))
    if exclude:
        rules = rules.below("", [(GIT_FILE, exclude)], before=before)
    for depth in range(len(names)):
        place = top.joinpath(*names[:depth])
        texts = [(name, read_beside(place / name, MOST_BYTES)) for name in IGNORE_FILES]
        rules = rules.below(
            "", [(name, text) for name, text in texts if text], before="".join(f"{n}/" for n in names[depth:])
        )
    return rules


def exclude_of(folder: Path) -> bytes | None:
    """Return the text of ``info/exclude`` of the repository in *folder*; ``None`` if there is none."""
    found = _git_folders(folder)
    if found is None:
        return None
    return read_beside(found[1] / "info" / "exclude", MOST_BYTES, follow=True) or b""


def _repository_of(root: Path) -> tuple[Path, Path, Path] | None:
    try:
        status = of_root = root.stat()
        place = fspath(root)
        # Texts in place of paths: each run asks, and mostly there is none.
        while status.st_dev == of_root.st_dev:
            if lexists(f"{place}/.git") and (found := _git_folders(Path(place or "/"))) is not None:
                is_trusted = status.st_uid in (of_root.st_uid, geteuid(), 0)
                return (Path(place or "/"), *found) if is_trusted else None
            if not place.strip("/"):
                return None
            place = place.rpartition("/")[0]
            status = stat(place or "/")  # noqa: PTH116
    except OSError:
        return None
    return None


def _git_folders(folder: Path) -> tuple[Path, Path] | None:
    """Return git's folder for the working tree *folder*, and the one that its working trees share."""
    git = folder / ".git"
    said = read_beside(git, 4_096)
    if said is not None and said.startswith(b"gitdir:"):
        git = folder / fsdecode(said.removeprefix(b"gitdir:").strip(b" \n"))
    shared = read_beside(git / "commondir", 4_096)
    common = git / fsdecode(shared.strip(b"\n")) if shared else git
    try:
        is_one = (git / "HEAD").exists() and (common / "objects").is_dir()
    except (OSError, ValueError):  # the file .git may contain anything
        return None
    return (git, common) if is_one else None
