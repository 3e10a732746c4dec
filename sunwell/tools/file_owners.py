"""Who can change a file: whoever owns it or may write it, and whoever can replace a name on the way to it."""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import attrs

_MOST_LINKS = 40
_ROOT = 0
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0)
_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)  # a pipe must not block us
_HELD = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_ACL = "system.posix_acl_access"


@attrs.frozen
class PathStep:
    """One name on the way to a file: a folder, a link, or the file itself."""

    path: Path
    user: int
    group: int
    mode: int
    has_acl: bool = False
    """Whether the bits of the group stand for a list of more users and groups."""

    @property
    def is_link(self) -> bool:
        """Whether it leads on to another place."""
        return stat.S_ISLNK(self.mode)


def open_with_steps(file: Path) -> tuple[int, tuple[PathStep, ...]]:
    """Open *file* for reading; return its descriptor, and every step of the way from the root to it.

    Folders are opened one after the other and links are followed by hand, so the steps are those of the very
    file that was opened, whatever becomes of its name. There are none on a system without user ids. Raises
    :exc:`OSError`.
    """
    if not hasattr(os, "geteuid"):
        return os.open(file, _FILE), ()
    steps: list[PathStep] = []
    left = list(reversed((Path.cwd() / file).parts[1:]))
    place, folder = Path("/"), os.open("/", _FOLDER | _HELD)
    try:
        steps.append(_step(place, os.fstat(folder), folder))
        links = 0
        while True:
            name = left.pop() if left else "."
            state = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISLNK(state.st_mode):
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(f"it leads over more than {_MOST_LINKS} links")
                # Only who can write the folder can change the link after this, and the folder is a step.
                target = os.readlink(name, dir_fd=folder)
                steps.append(_step(place / name, state))
                left += reversed(Path(target).parts)
                if not target.startswith("/"):
                    continue
                left.pop()
                place, name = Path("/"), "/"
            else:
                place /= name
            opened = os.open(name, (_FOLDER if left else _FILE) | _HELD, dir_fd=folder)
            if not left and name != "/":
                steps.append(_step(place, os.fstat(opened), opened))
                return opened, tuple(steps)
            os.close(folder)
            folder = opened
            steps.append(_step(place, os.fstat(folder), folder))
    finally:
        os.close(folder)


def _step(path: Path, state: os.stat_result, descriptor: int | None = None) -> PathStep:
    may_write = bool(state.st_mode & stat.S_IWGRP)
    has_acl = may_write and descriptor is not None and _has_acl(descriptor)
    return PathStep(path, state.st_uid, state.st_gid, state.st_mode, has_acl)


def _has_acl(descriptor: int) -> bool:
    if not hasattr(os, "getxattr"):
        return False
    try:  # by name, since a descriptor of O_PATH has no attributes
        return bool(os.getxattr(f"/proc/self/fd/{descriptor}", _ACL))
    except OSError as error:  # if it cannot be told, there may be one
        return error.errno not in (errno.ENODATA, errno.ENOTSUP, errno.ENOSYS)


def doubt(steps: tuple[PathStep, ...], owners: frozenset[int]) -> str:
    """Return who else than *owners* and root can change what *steps* lead to, in words; empty: nobody.

    A folder that only root can change ends what is above it, as nobody else can replace it from there.
    """
    told = found = ""
    for step in steps:
        if step.is_link:
            told, found = told or found or _why(step, owners, step is steps[-1]), ""
        elif step.user == _ROOT and step is not steps[-1] and not _others_write(step, owners):
            found = ""
        else:
            found = found or _why(step, owners, step is steps[-1])
    return told or found


def _why(step: PathStep, owners: frozenset[int], is_last: bool) -> str:
    what = "it" if is_last else f"{'the link' if step.is_link else 'the folder'} {step.path}"
    if step.user not in owners | {_ROOT}:
        return f"{what} belongs to {user_name(step.user)}"
    if step.is_link or not (who := _others_write(step, owners)):
        return ""
    return f"{who} can write {what}"


def _others_write(step: PathStep, owners: frozenset[int]) -> str:
    """Return who else may write *step*, in words; empty: nobody who could change or replace what is there."""
    if stat.S_ISDIR(step.mode) and step.mode & stat.S_ISVTX:
        return ""  # others may add names, but neither remove nor replace those of somebody else
    if step.mode & stat.S_IWOTH:
        return "every user"
    if not step.mode & stat.S_IWGRP:
        return ""
    if step.has_acl:
        return "who its access list names"
    is_private = any(_is_private(step.group, user) for user in owners | {_ROOT})
    return "" if is_private else f"the group {_group_name(step.group)}"


@cache
def _is_private(group: int, user: int) -> bool:
    """Whether *group* is the one that was made for *user* alone, as many systems do for each user."""
    import grp
    import pwd

    try:
        entry, whose = grp.getgrgid(group), pwd.getpwuid(user)
    except KeyError:
        return False
    if whose.pw_gid != group or entry.gr_name != whose.pw_name or set(entry.gr_mem) - {whose.pw_name}:
        return False
    return all(each.pw_uid == user for each in pwd.getpwall() if each.pw_gid == group)


def user_name(user: int) -> str:
    """Return what to call the user with this id in a sentence."""
    import pwd

    try:
        return f"the user {pwd.getpwuid(user).pw_name} ({user})"
    except KeyError:
        return f"the user {user}"


def _group_name(group: int) -> str:
    import grp

    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)


def own_user() -> frozenset[int]:
    """Return the id of the user whose process this is; nobody's on a system without ids."""
    return frozenset({os.geteuid()} if hasattr(os, "geteuid") else ())


def users_behind(environ: Mapping[str, str]) -> frozenset[int]:
    """Return the user's id and, for root, that of the user who became root by ``sudo``, as git does it."""
    return own_user() | frozenset(_sudo_user(environ))


def _sudo_user(environ: Mapping[str, str]) -> Iterator[int]:
    written = environ.get("SUDO_UID", "")
    if own_user() == {_ROOT} and written.isascii() and written.isdigit() and len(written) < 11:
        yield int(written)
