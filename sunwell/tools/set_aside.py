"""Takes out of a workspace what a command left there for other programs to run."""

import os
import stat
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path

import attrs

from sunwell.errors import JournalError
from sunwell.journal.folders import FOLDER, SET_ASIDE, open_folder
from sunwell.tools.folder_walk import TOP, give_owner_rights, open_below
from sunwell.tools.guarded_files import BARE, GuardedFile, guarded_in
from sunwell.tools.protected import kind_of_path
from sunwell.tools.wording import quoted

_SET_ASIDE = f"{FOLDER}/{SET_ASIDE}"


@attrs.frozen
class LeftFile:
    """A protected file that a command left in the workspace, and what became of it."""

    path: str
    did: str
    """What the command did, and what Sunwell did then: the middle of a sentence, whose first ``{}`` is the
    command."""
    why: str
    """The end of the sentence: why it matters."""
    advice: str = ""
    """What a model should do about it."""

    @property
    def for_model(self) -> str:
        """A sentence for the model that gave the command."""
        return f"{quoted(self.path)}{self.did.replace('{}', 'this command', 1)} {self.why}{self.advice}"

    @property
    def for_user(self) -> str:
        """A sentence for the user, who reads it apart from the command."""
        return f"{quoted(self.path)}{self.did.replace('{}', 'a command', 1)} {self.why}"


_seen: ContextVar["list[LeftFile] | None"] = ContextVar("left_behind", default=None)


class SeenLeftBehind:
    """Gives a list that gets all that commands in the body leave behind, also those that are cancelled.

    *tell* is called with it if the body is cancelled or fails: a command that is cancelled has no result that
    could tell of it. Each tool call has such a body: so this is a class, which takes less time than a
    generator.
    """

    __slots__ = ("_tell", "_token", "seen")

    def __init__(self, tell: Callable[[list[LeftFile]], None]) -> None:
        self._tell = tell

    def __enter__(self) -> list[LeftFile]:
        self.seen: list[LeftFile] = []
        self._token = _seen.set(self.seen)
        return self.seen

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        _seen.reset(self._token)
        if kind is not None:
            self._tell(self.seen)


def left_behind(
    root: Path,
    before: Mapping[str, GuardedFile],
    allows: Callable[[str], bool],
    *,
    may_move: bool = True,
    most_entries: int | None = None,
) -> tuple[LeftFile, ...]:
    """Set aside the protected files that were made since *before*; return what became of each.

    They are moved to ``.sunwell/set-aside``, or, unless *may_move*, only named. Secret files may be made, and
    so may runs: those of others are not used, and one may be the user's, started meanwhile. A file that was
    there *before* and has changed is only named: what it was is not known. *most_entries* is that of
    :func:`guarded_in`.
    """

    def matters(one: GuardedFile) -> bool:
        return one.kind.level != "secret" and not (one.kind.level == "asked" and allows(one.path))

    known = {one.identity for one in before.values() if matters(one)}
    tops = {one.top for one in before.values()}
    said: dict[str, LeftFile] = {}
    found = guarded_in(root, most_entries, opens_all=may_move)
    fresh = [one for one in found.values() if one.is_link and one.identity not in known and matters(one)]
    ends = tuple(os.path.realpath(root / one.path) for one in fresh)
    for path, one in sorted(found.items()):
        was = before.get(path)
        if not matters(one):
            continue
        if kind_of_path(path, root.name) is None and one.kind is not BARE:
            place = str(root / path)
            if not one.is_link and any(place == end or place.startswith(f"{end}/") for end in ends):
                continue  # protected by nothing but a link that is set aside
        if was is not None and was.identity == one.identity:
            if not one.is_folder and was.changed_ns != one.changed_ns and was.names == one.names:
                said[path] = LeftFile(path, " was changed by {}, and", one.kind.why)
        elif one.identity not in known:
            place = one.top if one.top not in tops else path
            if one.kind is BARE:  # without it the rest is ordinary files
                place = f"{path}/HEAD".lstrip("/")
            if place in said or not os.path.lexists(root / place):
                continue
            if may_move:
                said[place] = _set_aside(root, place, one.kind.why)
            else:  # its rights are the user's, and so may be what appeared meanwhile
                said[place] = LeftFile(place, " was made while {} ran, and", one.kind.why)
    left = tuple(said.values())
    if (seen := _seen.get()) is not None:  # here, in the thread: who waits for it may be cancelled
        seen += left
    return left


def _set_aside(root: Path, path: str, why: str) -> LeftFile:
    above, _, name = path.rpartition("/")
    kept = f"{time.time_ns():x}-{path.replace('/', '%')[-150:]}"
    top = os.open(root, TOP)
    try:
        room, folder = open_folder(root / _SET_ASIDE, make=True), open_below(top, above, opens_all=True)
        try:
            _move(name, folder, kept, room)
        finally:
            os.close(room)
            os.close(folder)
    except (OSError, JournalError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        return LeftFile(path, f", which {{}} made, could not be set aside ({said}) and is still there:", why)
    finally:
        os.close(top)
    moved = quoted(f"{_SET_ASIDE}/{kept}")
    advice = "; do not make it again, and say at the end that it is wanted"
    return LeftFile(path, f", which {{}} made, was moved to {moved}:", why, advice)


def _move(name: str, folder: int, kept: str, room: int) -> None:
    try:
        os.rename(name, kept, src_dir_fd=folder, dst_dir_fd=room)
    except PermissionError:  # a folder must be writable to be moved, and so must the one that it is in
        mode = stat.S_IMODE(os.fstat(folder).st_mode)
        os.fchmod(folder, mode | stat.S_IRWXU)
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            give_owner_rights(folder, name)
        os.rename(name, kept, src_dir_fd=folder, dst_dir_fd=room)
