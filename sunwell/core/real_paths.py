"""Where a path leads once ``~`` and links in it are resolved."""

import os
import stat
from pathlib import Path


def real_path(given: str | os.PathLike[str]) -> Path:
    """Return where *given* leads, as :meth:`pathlib.Path.resolve` does; ``~`` is the user's home.

    A path that leads to itself is returned as it is: each run asks, mostly with such a one, and to make
    another path takes longer than to look at the folders. A name that cannot be one stays as it is.
    """
    text = os.path.expanduser(os.fspath(given))  # noqa: PTH111 - as texts
    try:
        real = resolved(text)
    except ValueError:
        real = text
    return given if isinstance(given, Path) and real == str(given) else Path(real)


def resolved(path: str) -> str:
    """Return what :func:`os.path.realpath` does, which takes longer if *path* is plain and has no link."""
    ended = f"{path}/"
    if not path.startswith("/") or "//" in ended or "/./" in ended or "/../" in ended:
        return os.path.realpath(path)
    at = 0
    try:
        while at >= 0:
            at = path.find("/", at + 1)
            # The last time, that is the whole path.
            if stat.S_ISLNK(os.lstat(path[:at] if at >= 0 else path).st_mode):
                return os.path.realpath(path)
    except OSError:  # what is not there, or cannot be looked at, is no link
        pass
    return path
