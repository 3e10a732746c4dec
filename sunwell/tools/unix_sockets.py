"""Unix sockets in the file system: a read-only mount does not keep a command from connecting to one."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TABLE = Path("/proc/net/unix")


def listening_sockets() -> Iterator[str]:
    """Yield the name of each Unix socket of this machine that is bound to an absolute path."""
    with suppress(OSError), _TABLE.open("rb") as table:
        for line in table:
            fields = line.rstrip(b"\n").split(None, 7)
            if len(fields) == 8 and fields[7].startswith(b"/"):
                yield os.fsdecode(fields[7])


def sockets_in(folder: Path) -> tuple[Path, ...]:
    """Return the Unix sockets below *folder*, whoever listens; links are not followed."""
    found, waiting = [], [os.fspath(folder)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as items:
            for item in items:
                if item.is_dir(follow_symlinks=False):
                    waiting.append(item.path)
                elif not item.is_file(follow_symlinks=False) and is_socket(item.path):
                    found.append(Path(item.path))
    return tuple(sorted(found))


def is_socket(path: str) -> bool:
    """Whether *path* is a Unix socket, and no link to one."""
    try:
        return stat.S_ISSOCK(Path(path).lstat().st_mode)
    except (OSError, ValueError):
        return False
