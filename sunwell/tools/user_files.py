"""Protected files of the user outside of a workspace: they count where a workspace has another name of them.

These are the files that the table names in the home folder, and the folders in which Sunwell keeps settings
and what it remembers, wherever those are.
"""

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from sunwell.core.real_paths import resolved
from sunwell.core.user_folders import cache_folder, settings_folder, state_folder
from sunwell.errors import ConfigurationError
from sunwell.tools.protected import MADE_FOLDERS, PROTECTED, ProtectedKind, kind_of_name, strongest

STATE = ProtectedKind(
    "secret",
    "it is in a folder where Sunwell keeps keys, outcomes or answers and is not open to tools; leave it be",
    (),
)
SETTINGS = ProtectedKind(
    "fixed", "it is your configuration of Sunwell, which only a person changes; leave it as it is", ()
)
_STATE_NAMES = (
    "journal.key",
    *(f"{name}.sqlite3{end}" for name in ("outcomes", "lenses") for end in ("", "-wal", "-shm", "-journal")),
)
_CACHE_NAMES = tuple(f"answers.sqlite3{end}" for end in ("", "-journal"))
_SETTINGS_NAMES = ("config.toml", "config.yaml", "config.yml", "trusted.json")

_NAMED = tuple(
    (pattern.rstrip("/"), kind)
    for kind in PROTECTED
    for pattern in kind.patterns
    if "*" not in pattern and pattern.startswith(".")
)
"""What the table names from a folder on: in the home folder, a program keeps it there."""
_BY_FIRST: dict[str, list[tuple[str, str, ProtectedKind]]] = {}
"""The same by the first name of each path, in small letters, with what follows that in the path."""
for _path, _kind in _NAMED:
    _first, _, _rest = _path.partition("/")
    _BY_FIRST.setdefault(_first.casefold(), []).append((_rest, _path, _kind))
_MOST_OWN = 1_000
_MOST_ASKED = 1_000
"""Files that are looked at in a folder that may have very many: of an editor, an agent, a repository."""
_MOST_IN_HOME = 20_000
"""Files and folders of the home folder among which protected ones are looked for, upper ones first."""
_MOST_IN_FOLDER = 200
_SEARCH_SECONDS = 60.0


def _own_folder(found: Callable[[], Path]) -> str | None:
    try:
        return resolved(os.fspath(found()))
    except ConfigurationError:  # this user has no home folder
        return None


def _own_folders() -> Iterator[tuple[str, ProtectedKind, tuple[str, ...], ProtectedKind]]:
    """Yield each folder of Sunwell's own, links resolved, its kind, known files in it, and their kind."""
    settings, state = _own_folder(settings_folder), _own_folder(state_folder)
    cache = _own_folder(cache_folder)
    if settings is not None:
        yield settings, SETTINGS, _SETTINGS_NAMES, SETTINGS
    if state is not None:
        # One folder may be both, and then a model may still read the settings in it.
        yield state, SETTINGS if state == settings else STATE, _STATE_NAMES, STATE
    if cache is not None:  # the same with SUNWELL_HOME
        yield cache, SETTINGS if cache == settings else STATE, _CACHE_NAMES, STATE


def of_user_in(root: Path) -> dict[str, ProtectedKind]:
    """Return what is below *root* of the user's protected files, by relative path, whether it exists or not.

    These are the folders and files of Sunwell's own, and what links in the home folder lead to that have
    names of the table: a folder of dot files may be a workspace.
    """
    # Texts in place of paths: each run asks, and a path of an object takes longer than the look at the file.
    found: dict[str, ProtectedKind] = {}
    top = os.fspath(root)
    inside = f"{top.rstrip('/')}/"

    def note(place: str, kind: ProtectedKind) -> None:
        path = place.removeprefix(inside)
        if path and path != place:
            found[path] = strongest(found.get(path), kind) or kind

    for folder, kind, names, inner in _own_folders():
        note(folder, kind)
        is_apart = kind is not inner or folder == top
        links = _links_in(folder, names)
        for name in names if is_apart else links:
            own = f"{folder}/{name}"
            if name not in links:
                note(own, inner)
            elif (real := os.path.realpath(own)).rpartition("/")[0] != folder or is_apart:
                note(real, inner)
    for path, kind in _linked_in_home():
        if (place := os.path.realpath(path)) != path:
            note(place, kind)
    return found


def _links_in(folder: str, names: Collection[str]) -> Collection[str]:
    """Return which of *names*, in small letters, are links in *folder*; all where one cannot tell."""
    try:
        with os.scandir(folder) as items:
            return {entry.name.casefold() for entry in items if entry.is_symlink()}.intersection(names)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError:
        return names


def own_kind_of(file: Path) -> ProtectedKind | None:
    """Return the kind of *file* if it is one of Sunwell's own, or in one of its folders; else ``None``."""
    real = Path(os.path.realpath(file))
    found = []
    for folder, kind, names, inner in _own_folders():
        found += [kind] if real.is_relative_to(folder) else []
        found += [inner for name in names if str(real) == os.path.realpath(f"{folder}/{name}")]
    return strongest(*found)


def linked_of_user(device: int) -> Iterator[tuple[os.stat_result, ProtectedKind]]:
    """Yield the status and the kind of the user's protected files that have several names (hard links).

    Of files that no row of the table names from the home folder on (a ``.env`` in some project), those are
    found that are among the upper 20,000 files and folders of the home folder, on its *device* or that of the
    home folder, and in no folder whose name begins with a dot; this list is up to a minute old.
    """
    for folder, kind, names, inner in _own_folders():
        for name in names:
            with suppress(OSError):
                yield from _if_several(os.stat(f"{folder}/{name}"), inner)  # noqa: PTH116
        for status in several_names_below(folder, _MOST_OWN):
            yield status, kind
    for path, kind in _named_in_home():
        with suppress(OSError):
            status = path.stat()
            if stat.S_ISDIR(status.st_mode):
                is_small = kind.level == "secret" and path.name != ".sunwell"
                most = None if is_small else _MOST_ASKED
                for one in several_names_below(path, most):
                    yield one, kind
            else:
                yield from _if_several(status, kind)
    home = _home()
    if home is None:
        return
    for place, kind in _searched(home, device, int(time.monotonic() // _SEARCH_SECONDS)):
        with suppress(OSError):
            yield from _if_several(os.lstat(place), kind)


def why_secret_of_user(file: Path) -> str | None:
    """Return why *file* is not sent to a model: it is a secret of the user's, also under another name."""
    own = own_kind_of(file)
    if own is not None and own.level == "secret":
        return own.why
    try:
        status = file.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_nlink < 2:
        return None
    same = (kind for one, kind in linked_of_user(status.st_dev) if os.path.samestat(one, status))
    return next((kind.why for kind in same if kind.level == "secret"), None)


def _if_several(
    status: os.stat_result, kind: ProtectedKind
) -> Iterator[tuple[os.stat_result, ProtectedKind]]:
    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        yield status, kind


def _home() -> str | None:
    found = os.path.expanduser("~")  # noqa: PTH111 - as a text
    return None if found.startswith("~") else found  # this user has none


def _named_in_home() -> Iterator[tuple[Path, ProtectedKind]]:
    """Yield what there is of it in the home folder, whose own links are resolved."""
    home = _home()
    if home is None:
        return
    start = resolved(home)
    # The names are looked up in a list of the folder, for this is done for each workspace. A file system may
    # not tell capitals from small letters.
    with suppress(OSError):
        there = {name.casefold() for name in os.listdir(start)}  # noqa: PTH208 - names are enough
        for first, named in _BY_FIRST.items():
            if first in there:
                for _, name, kind in named:
                    place = f"{start}/{name}"
                    if os.path.lexists(place):
                        yield Path(place), kind


def _linked_in_home() -> Iterator[tuple[str, ProtectedKind]]:
    """Yield what there is of it that may be a link or in one: what lists of the folders do not rule out."""
    home = _home()
    if home is None:
        return
    start = resolved(home)
    try:
        with os.scandir(start) as items:
            there = [(one.name, one.is_symlink()) for one in items if one.name.casefold() in _BY_FIRST]
    except OSError:
        return
    for first, is_link in there:
        named = _BY_FIRST[first.casefold()]
        if not is_link:
            rests = {rest.casefold() for rest, _, _ in named if rest}
            links = _links_in(f"{start}/{first}", rests) if rests else ()
            named = [one for one in named if one[0].casefold() in links] if links else []
        for _, path, kind in named:
            if os.path.lexists(f"{start}/{path}"):
                yield f"{start}/{path}", kind


def several_names_below(folder: str | Path, most: int | None = None) -> Iterator[os.stat_result]:
    """Yield the status of each file below *folder* that has several names; with *most*, of so many files."""
    seen = 0
    for place, folders, files in os.walk(folder):
        # What git stores under a digest is shared between clones, and nothing is run from it.
        folders[:] = [name for name in folders if name not in ("objects", *MADE_FOLDERS)]
        seen += len(files) + len(folders)
        for name in files:
            with suppress(OSError):
                status = os.lstat(os.path.join(place, name))  # noqa: PTH118 - called for every file
                if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                    yield status
        if most is not None and seen >= most:
            return


@lru_cache(maxsize=4)
def _searched(home: str, device: int, _minute: int) -> tuple[tuple[str, ProtectedKind], ...]:
    """Return the protected files that are found in the upper folders of *home*, by path."""
    found: list[tuple[str, ProtectedKind]] = []
    waiting = deque([(home, os.path.basename(home))])  # noqa: PTH119 - paths are strings here
    seen = 0
    try:
        devices = {device, os.stat(home).st_dev}  # noqa: PTH116
    except OSError:
        return ()
    while waiting and seen < _MOST_IN_HOME:
        folder, above = waiting.popleft()
        with suppress(OSError), os.scandir(folder) as items:
            for entry in items:
                seen += 1
                kind = kind_of_name(entry.name, above)
                if not entry.is_dir(follow_symlinks=False):
                    if kind is not None:
                        found.append((entry.path, kind))
                elif kind is not None and folder != home:  # those of the home folder are looked at as a whole
                    found += ((path, kind) for path in _inner(entry.path, kind))
                elif (
                    not entry.name.startswith(".")
                    and entry.name not in MADE_FOLDERS
                    # A hard link leads to no other device, and a distant one may be slow.
                    and entry.stat(follow_symlinks=False).st_dev in devices
                ):
                    waiting.append((entry.path, entry.name))
    return tuple(found)


def _inner(folder: str, kind: ProtectedKind) -> Iterator[str]:
    """Yield the files in a protected *folder* that matter: secrets, and what a repository runs."""
    if kind.level == "repository":
        yield f"{folder}/config"
        folder = f"{folder}/hooks"
    elif kind.level == "asked":
        return
    seen = 0
    for place, _, files in os.walk(folder):
        yield from (f"{place}/{name}" for name in files)
        seen += len(files)
        if seen >= _MOST_IN_FOLDER:
            return
