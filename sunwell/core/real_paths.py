"""Where a path leads once ``~`` and links in it are resolved."""

import os
from pathlib import Path


def real_path(given: str | os.PathLike[str]) -> Path:
    """Return where *given* leads, as :meth:`pathlib.Path.resolve` does; ``~`` is the user's home.

    A path that leads to itself is returned as it is: each run asks, mostly with such a one, and to make
    another path takes longer than to look at the folders. A name that cannot be one stays as it is.
    """
    text = os.path.expanduser(os.fspath(given))  # noqa: PTH111 - as texts
    try:
        real = os.path.realpath(text)
    except ValueError:
        real = text
    return given if isinstance(given, Path) and real == str(given) else Path(real)
