"""Which files git would ignore, decided entry by entry as git does."""

import re
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache
from os import fsdecode, fsencode, geteuid
from os.path import lexists
from pathlib import Path

import attrs

from sunwell.tools.workspace import FolderEntry, read_beside

GIT_FILE = ".gitignore"
OWN_FILES = (".ignore", ".sunwellignore")
"""Read after ``.gitignore`` in every folder; later lines override earlier ones."""
IGNORE_FILES = (GIT_FILE, *OWN_FILES)
MOST_BYTES = 1_000_000
"""A larger ignore file is not read."""
_MOST_EXPRESSIONS = 2_000
"""Lines with special characters, other than ``*.py``, that count in one ignore file: the last ones."""
_MOST_INDEX_BYTES = 200_000_000
_MARK = b"\xef\xbb\xbf"
_SPECIAL = re.compile(rb"[*?\[\\]")
_CLASSES: dict[bytes, Callable[[int], bool]] = {
    b"alnum": lambda byte: chr(byte).isalnum(),
    b"alpha": lambda byte: chr(byte).isalpha(),
    b"blank": lambda byte: byte in b" \t",
    b"cntrl": lambda byte: byte < 32 or byte == 127,
    b"digit": lambda byte: byte in b"0123456789",
    b"graph": lambda byte: 32 < byte < 127,
    b"lower": lambda byte: chr(byte).islower(),
    b"print": lambda byte: 32 <= byte < 127,
    b"punct": lambda byte: 32 < byte < 127 and not chr(byte).isalnum(),
    b"space": lambda byte: byte in b" \t\n\r\v\f",
    b"upper": lambda byte: chr(byte).isupper(),
    b"xdigit": lambda byte: byte in b"0123456789abcdefABCDEF",
}


@lru_cache(maxsize=4_096)
def glob_expression(glob: bytes, *, is_path: bool, whole_letters: bool = False) -> "re.Pattern[bytes] | None":
    """Return *glob*, as in a line of an ignore file, as an expression for ``fullmatch``.

    ``None`` if it matches nothing. With *is_path* it is matched with a whole path, and the rules for ``**``
    hold; otherwise with one name. The time of a match is bounded: the part up to the next star is matched
    once, at its first possible place, and never again. For git, ``?`` is one byte; with *whole_letters* it
    is one letter in UTF-8.
    """
    rest = b"[\x80-\xbf]*" if whole_letters else b""
    # git compares the part before the first special character by itself; a ``**`` right after it counts as
    # if it stood behind a slash.
    found = _SPECIAL.search(glob)
    at = start = found.start() if found else len(glob)
    groups, pieces = [b""], [re.escape(glob[:at])]
    while at < len(glob):
        sign = glob[at : at + 1]
        if sign == b"*":
            end = at + len(glob[at:]) - len(glob[at:].lstrip(b"*"))
            after_slash = at == start or glob[at - 1 : at] == b"/"
            if is_path and end - at > 1 and after_slash and glob[end : end + 1] in (b"", b"/"):
                groups += [_joined(pieces), b".*?" if end == len(glob) else b"(?:|.*?/)"]
                pieces = [b""]
                end += 1
            else:
                pieces.append(b"[^/]*?")
            at = end
            continue
        if sign == b"?":
            made, at = b"[^/]" + rest, at + 1
        elif sign == b"[":
            made, at = _class(glob, at + 1)
            made += rest if made else b""
        else:
            at += sign == b"\\"
            made, at = re.escape(glob[at : at + 1]), at + 1
        if not made:
            return None
        pieces[-1] += made
    groups.append(_joined([*pieces[:-1], pieces[-1] + rb"\Z"]))
    return re.compile(_nested(groups), re.DOTALL)


def _joined(pieces: list[bytes]) -> bytes:
    return pieces[0] + b"".join(b"(?>" + piece + b")" for piece in pieces[1:])


def _nested(groups: list[bytes]) -> bytes:
    pairs = zip(groups[::2], groups[1::2], strict=True)
    return b"".join(b"(?>" + star + rest + b")" for star, rest in pairs)


def _class(glob: bytes, at: int) -> tuple[bytes, int]:
    """Return the set that starts at *at*, behind its bracket, and where it ends; empty if it is malformed."""
    negated = glob[at : at + 1] in (b"!", b"^")
    at += negated
    members: set[int] = set()
    before, is_first = -1, True
    while True:
        if at >= len(glob):
            return b"", at
        byte = glob[at]
        if byte == 0x5D and not is_first:  # a closing bracket
            break
        is_first = False
        if byte == 0x5B and glob[at + 1 : at + 2] == b":" and (end := glob.find(b"]", at + 2)) >= 0:
            name = glob[at + 2 : end - 1]
            if end > at + 2 and glob[end - 1 : end] == b":":
                if name not in _CLASSES:
                    return b"", at
                members.update(filter(_CLASSES[name], range(128)))
                before, at = -1, end + 1
                continue
        elif byte == 0x5B and glob[at + 1 : at + 2] == b":":
            return b"", at
        is_range = byte == 0x2D and before >= 0 and glob[at + 1 : at + 2] not in (b"", b"]")
        at += is_range
        if glob[at] == 0x5C:
            at += 1
            if at >= len(glob):
                return b"", at
        members.update(range(before, glob[at] + 1) if is_range else (glob[at],))
        before, at = -1 if is_range else glob[at], at + 1
    chosen = (set(range(256)) - members if negated else members) - {0x2F}
    return b"[" + b"".join(b"\\x%02x" % one for one in sorted(chosen)) + b"]" if chosen else b"(?!)", at + 1


@attrs.frozen
class _Line:
    """A pattern of an ignore file."""

    glob: bytes
    shows: bool
    """Whether it takes back what an earlier line ignores."""
    only_folders: bool
    is_path: bool
    """Whether it is matched with the path from the ignore file's folder, not only with the name."""


def _lines(text: bytes) -> Iterator[_Line]:
    for line in text.removeprefix(_MARK).split(b"\n"):
        line = _trimmed(line.removesuffix(b"\r").split(b"\0")[0]) if line[:1] not in (b"", b"#") else b""
        shows = line.startswith(b"!")
        glob = line[shows:]
        only_folders = glob.endswith(b"/")
        glob = glob[: len(glob) - only_folders]
        is_path = b"/" in glob
        glob = glob.removeprefix(b"/")
        if glob:
            yield _Line(glob, shows, only_folders, is_path)


def _trimmed(line: bytes) -> bytes:
    """Return *line* without the spaces at its end; one behind a backslash stays."""
    left = line.rstrip(b" ")
    is_escaped = (len(left) - len(left.rstrip(b"\\"))) % 2
    return left + b" " if is_escaped and len(left) < len(line) else left


@attrs.frozen(eq=False)
class _Rules:
    """The lines of one ignore file. The last one that matches decides."""

    names: dict[bytes, list[tuple[int, _Line]]]
    """Lines without special characters, by name or path, and their numbers, last first."""
    endings: dict[bytes, list[tuple[int, _Line]]]
    """Lines such as ``*.py``, by what stands behind the star."""
    others: list[tuple[int, _Line, "re.Pattern[bytes]"]]
    """All other lines, last first."""
    has_paths: bool

    @classmethod
    def of(cls, text: bytes) -> "_Rules":
        names: dict[bytes, list[tuple[int, _Line]]] = {}
        endings: dict[bytes, list[tuple[int, _Line]]] = {}
        others: list[tuple[int, _Line, re.Pattern[bytes]]] = []
        lines = list(enumerate(_lines(text)))
        for number, line in reversed(lines):
            if not _SPECIAL.search(line.glob):
                key = b"/" + line.glob if line.is_path else line.glob
                names.setdefault(key, []).append((number, line))
            elif not line.is_path and re.fullmatch(rb"\*\.[^.*?\[\\]+", line.glob):
                endings.setdefault(line.glob[1:], []).append((number, line))
            elif len(others) == _MOST_EXPRESSIONS:  # compiling a million bytes of them takes half a minute
                continue
            elif (expression := glob_expression(line.glob, is_path=line.is_path)) is not None:
                others.append((number, line, expression))
        return cls(names, endings, others, any(line.is_path for _, line in lines))

    def hides(self, path: bytes, name: bytes, is_folder: bool) -> bool | None:
        """Whether the entry is ignored; ``None`` if no line matches."""
        best, shows = -1, False
        found = [self.names.get(name, ())]
        if self.has_paths:
            found.append(self.names.get(b"/" + path, ()))
        if self.endings:
            found.append(self.endings.get(name[max(name.rfind(b"."), 0) :], ()))
        for lines in found:
            for number, line in lines:
                if is_folder or not line.only_folders:
                    if number > best:
                        best, shows = number, line.shows
                    break
        for number, line, expression in self.others:
            if number < best:
                break
            if (is_folder or not line.only_folders) and expression.match(path if line.is_path else name):
                best, shows = number, line.shows
                break
        return None if best < 0 else not shows


@attrs.frozen
class _Layer:
    """An ignore file in its folder."""

    before: str
    """Put before a path of the workspace if the folder is above it."""
    folder: str
    """The folder in the workspace; empty if it is the workspace itself or above it."""
    rules: _Rules
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
        there = {name: text.removeprefix(_MARK) for name, text in texts}
        own = b"\n".join(there[name] for name in OWN_FILES if name in there)
        added = [
            _Layer(before, folder, _Rules.of(text), is_gits)
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
        added = (_Layer("", folder, _Rules.of(exclude), True),) if exclude else ()
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
        device, owner = root.stat().st_dev, root.stat().st_uid
        for folder in (root, *root.parents):
            status = folder.stat()
            if status.st_dev != device:
                return None
            found = _git_folders(folder)
            if found is not None:
                return (folder, *found) if status.st_uid in (owner, geteuid(), 0) else None
    except OSError:
        return None
    return None


def _git_folders(folder: Path) -> tuple[Path, Path] | None:
    """Return git's folder for the working tree *folder*, and the one that its working trees share."""
    git = folder / ".git"
    if not lexists(git):  # as in most folders above a workspace
        return None
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
