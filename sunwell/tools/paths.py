"""Checks which paths a model may use, before any file is accessed."""

import re
import unicodedata

from sunwell.errors import ToolError
from sunwell.tools.wording import on_one_line

_MOST_CHARS = 4_096
_MOST_NAME_BYTES = 255
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_TEMPORARY = re.compile(r"\.sunwell-[0-9a-f]+\.tmp")
PRIVATE_FOLDERS = (".git", ".sunwell")


def parts_of(path: str) -> tuple[str, ...]:
    """Return the names in the relative *path*; ``..`` is kept, ``.`` and double slashes are removed.

    Raises :exc:`~sunwell.errors.ToolError` if it cannot be the path of a file in a workspace.
    """
    shown = quoted(path)
    if _CONTROLS.search(path):
        raise ToolError(f"the path {shown} contains control characters; write a plain relative path")
    if path.startswith("/"):
        raise ToolError(f"the path {shown} is absolute; write it relative to the workspace")
    try:
        names = [part.encode() for part in path.split("/")]
    except UnicodeEncodeError:
        raise ToolError(f"the path {shown} is not valid text; write a plain relative path") from None
    if len(path) > _MOST_CHARS or max(map(len, names)) > _MOST_NAME_BYTES:
        raise ToolError(f"the path {shown} is too long for a file system; write a shorter one")
    return tuple(part for part in path.split("/") if part not in ("", "."))


def quoted(path: str) -> str:
    """Return *path* for a sentence: one line of limited length, in quotes."""
    line = on_one_line(path)
    return f"'{line[:200]}…'" if len(line) > 200 else f"'{line}'"


def why_private(name: str) -> str | None:
    """Return why tools may not access a file or folder called *name*; ``None`` if they may.

    Names are compared as the most tolerant file systems do: ignoring case and invisible characters.
    """
    seen = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    folded = seen.casefold()
    if folded in PRIVATE_FOLDERS:
        return f"{folded} is not open to tools"
    if folded == ".env" or folded.startswith(".env."):
        return "files named .env hold secrets and are not open to tools"
    if _TEMPORARY.fullmatch(folded):
        return "it is a temporary file of a write"
    return None


def as_stored(wanted: str, names: list[str]) -> str:
    """Return the name in *names* that equals *wanted* on a case-insensitive file system."""
    if wanted in names:
        return wanted
    key = unicodedata.normalize("NFC", wanted).casefold()
    same = (name for name in names if unicodedata.normalize("NFC", name).casefold() == key)
    return next(same, wanted)
