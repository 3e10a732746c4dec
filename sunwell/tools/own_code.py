"""The places that this process loads code from: no tool writes there, even if they are in a workspace.

A file that is changed there runs with the user's keys: in this process at its next import, or in the
next process.
"""

import os
import site
import stat
import sys
import sysconfig
import unicodedata
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

import attrs

import sunwell
from sunwell.core.user_folders import settings_folder, state_folder
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.wording import quoted

_ALWAYS_TRIED = frozenset({"sitecustomize", "usercustomize", "sunwell"})
_PLUGINS = ("sunwell.models", "sunwell.tools")
_MODULE_SUFFIXES = frozenset((".py", ".pyc", ".so", ".pyd"))
"""Also preceded by the tags of other Python versions."""
_Identity = tuple[int, int]


@attrs.frozen
class OwnPlace:
    """A folder, or an archive of modules, that this process loads code from."""

    path: Path
    """Absolute, links resolved; it may not exist yet."""
    what: str
    """Description for an error sentence."""

    @property
    def anchor(self) -> tuple[_Identity | None, tuple[str, ...]]:
        """The identity of the deepest existing parent, and the names from there to the place."""
        missing: list[str] = []
        for part in (self.path, *self.path.parents):
            try:
                status = part.stat()
            except OSError:
                missing.insert(0, part.name)
                continue
            return (status.st_dev, status.st_ino), tuple(missing)
        return None, tuple(missing)


def require_not_own(root: Path, folders: Sequence[int], path: str, status: os.stat_result | None) -> None:
    """Raise :exc:`~sunwell.errors.ToolError` if a write would change code that this process loads.

    Folders are compared by identity, not by name, so links, other spellings and mounts do not matter.
    A file with several names (hard links) is written in place, so all its names count: it is looked for in
    all these folders, too.

    Args:
        root: The workspace.
        folders: Descriptors of the existing folders from the root down to the folder of *path*.
        path: Relative to the root, links resolved.
        status: Status of the file at *path*; ``None`` if there is none.
    """
    names = tuple(path.split("/"))
    inside = [_identity(os.fstat(folder)) for folder in folders]
    above = [_identity_of(parent) for parent in root.parents]
    target = None if status is None else _identity(status)
    environ = os.environ
    for place in _closed_places():
        anchor, missing = place.anchor
        if anchor is not None and _holds(anchor, missing, inside, names, target, above):
            raise _refusal(path, place)
    for place in _import_places():
        anchor, missing = place.anchor
        if not missing and anchor in (inside[0], *above):
            # The caller's own project may be below a folder of sys.path, so not all of it can be closed.
            # It is enough that none of our imports finds something else than before.
            way = names if anchor == inside[0] else (*root.parts[-1 - above.index(anchor) :], *names)
            if _shadows(way, is_new=status is None):
                raise _refusal(path, place, "a module of that name would be imported in place of another")
        elif anchor is not None and _holds(anchor, missing, inside, names, target, ()):
            raise _refusal(path, place)
    for place in _search_places(environ):
        anchor, missing = place.anchor
        if not missing and anchor == inside[0]:
            # Only the folder itself is searched. A new file is not executable, so it cannot be run by name;
            # and Sunwell starts none of its own processes by name (see sandbox, search and interpreter).
            is_program = status is not None and bool(status.st_mode & 0o111) and stat.S_ISREG(status.st_mode)
            if len(names) == 1 and is_program:
                raise _refusal(path, place, "it is a program that can be run by its name")
        elif anchor is not None and _holds(anchor, missing, inside, names, target, ()):
            raise _refusal(path, place)
    if status is not None and stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        around = {inside[0], *above}
        for place, is_deep in _linked_places(environ, around):
            if _has_name_in(status, place.path, is_deep):
                raise _refusal(path, place, "the file has another name (a hard link) in it")


def _linked_places(
    environ: Mapping[str, str], around: Container[_Identity | None]
) -> Iterator[tuple[OwnPlace, bool]]:
    """Yield the places in which a file of ours can have another name, and whether all below them counts.

    Folders *around* the file, the workspace and those above it, are left out.
    Of a whole installation, which may be all of ``/usr``, only the folders with code: looking through the
    rest would take seconds.
    """
    paths = sysconfig.get_paths()
    libraries = _places([paths["stdlib"], paths["platstdlib"]], "the Python installation")
    deep: list[Path] = []
    for place in (*libraries, *_closed_places(), *_import_places()):
        if place.what != "the Python installation" or place.path.name.startswith("python"):
            if _identity_of(place.path) not in around and not any(map(place.path.is_relative_to, deep)):
                deep.append(place.path)
                yield place, True
        else:
            for folder in ("", "bin", "lib", "lib64"):
                yield attrs.evolve(place, path=place.path / folder), False
    for place in _search_places(environ):
        if _identity_of(place.path) not in around:
            yield place, False


def _has_name_in(status: os.stat_result, folder: Path, is_deep: bool) -> bool:
    """Whether the file has a name in *folder*, or with *is_deep* below it."""
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as items:
                for item in items:
                    if item.inode() == status.st_ino and _identity(item.stat()) == _identity(status):
                        return True
                    if is_deep and item.is_dir(follow_symlinks=False):
                        waiting.append(item.path)
        except OSError:  # not a folder, gone, or not readable
            continue
    return False


def own_folders_in(root: Path, environ: Mapping[str, str]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the places of this process's code inside *root*: existing ones, and missing ones.

    Outer ones come first. A missing place inside an existing one is left out.
    """
    places = (*_closed_places(), *_import_places(), *_search_places(environ))
    found = sorted({p.path for p in places if p.path != root and p.path.is_relative_to(root)})
    there = tuple(path for path in found if path.exists())
    missing = (path for path in found if path not in there)
    return there, tuple(path for path in missing if not any(map(path.is_relative_to, there)))


def _holds(
    anchor: _Identity,
    missing: tuple[str, ...],
    inside: Sequence[_Identity],
    names: tuple[str, ...],
    target: _Identity | None,
    above: Sequence[_Identity | None],
) -> bool:
    """Whether the place, *anchor* and the *missing* names below it, is or contains the file."""
    if not missing:
        return anchor in inside or anchor in above or anchor == target
    wanted = [_folded(name) for name in missing]
    return any(
        anchor == folder and [_folded(name) for name in names[depth : depth + len(wanted)]] == wanted
        for depth, folder in enumerate(inside)
    )


def _shadows(way: tuple[str, ...], *, is_new: bool) -> bool:
    """Whether the file is a module, or makes its folder one, whose name is already used elsewhere."""
    stem = way[-1].partition(".")[0]
    if Path(way[-1]).suffix.lower() not in _MODULE_SUFFIXES:
        return False
    if len(way) == 1:
        name = stem
    elif len(way) == 2 and stem == "__init__":
        name = way[0]
    else:
        return False
    folded = _folded(name)
    # An existing module is the caller's own project, which may be installed from here.
    return folded in _standard_names() or (is_new and folded in _installed_names())


def _refusal(path: str, place: OwnPlace, why: str = "") -> ToolError:
    reason = f", and {why}" if why else ""
    return ToolError(
        f"{quoted(path)} is not open to tools: {place.path} is {place.what} of the running program{reason}; "
        "leave it alone and write elsewhere"
    )


def _closed_places() -> Iterator[OwnPlace]:
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)
    yield from _places(prefixes, "the Python installation")
    if sys.executable:
        yield from _places([str(Path(sys.executable).parent)], "the folder of the Python program")
    paths = sysconfig.get_paths()
    packages = (paths["purelib"], paths["platlib"], *site.getsitepackages(), site.getusersitepackages())
    yield from _places(packages, "a folder of installed packages")
    yield from _places([str(Path(sunwell.__file__).parent)], "the code")
    with suppress(ConfigurationError):  # this user has no home folder
        yield from _places([str(settings_folder())], "the folder of settings")
        yield from _places([str(state_folder())], "the folder of keys and outcomes")


def _import_places() -> Iterator[OwnPlace]:
    yield from _places(sys.path, "a folder that modules are imported from, on sys.path")


def _search_places(environ: Mapping[str, str]) -> Iterator[OwnPlace]:
    entries = environ.get("PATH", os.defpath).split(os.pathsep)
    yield from _places(entries, "a folder that programs are started from, on PATH")


def _places(folders: Iterable[str], what: str) -> Iterator[OwnPlace]:
    for folder in dict.fromkeys(folders):
        with suppress(OSError):  # a relative path whose base folder no longer exists
            yield OwnPlace(Path(os.path.realpath(folder or ".")), what)


def _identity_of(path: Path) -> _Identity | None:
    try:
        return _identity(path.stat())
    except OSError:
        return None


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _folded(name: str) -> str:
    """Return *name* in the form in which the most tolerant file systems compare it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


@cache
def _standard_names() -> frozenset[str]:
    return frozenset(map(_folded, (*sys.stdlib_module_names, *_ALWAYS_TRIED)))


@cache
def _installed_names() -> frozenset[str]:
    plugins = (found.module for group in _PLUGINS for found in entry_points(group=group))
    return frozenset(_folded(name.partition(".")[0]) for name in (*packages_distributions(), *plugins))
