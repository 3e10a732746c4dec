"""Converts a file's bytes to text and back, without changing parts that were not edited."""

import attrs

from sunwell.errors import ToolError
from sunwell.tools.wording import counted, quoted

_MAGIC = (
    (b"\x89PNG", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF8", "GIF image"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"\x7fELF", "ELF program"),
    (b"SQLite format 3", "SQLite database"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
)
_PROBE_BYTES = 8_192


def binary_kind(data: bytes) -> str | None:
    """Return the kind of binary file; ``None`` if *data* is text."""
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    return "binary" if b"\0" in data[:_PROBE_BYTES] else None


@attrs.frozen
class TextFile:
    """A text file. ``text`` has ``\\n`` line endings if all lines of the file have the same ending."""

    text: str
    encoding: str = "utf-8"
    """``utf-8``, ``utf-8-sig`` or ``latin-1``, which preserves any byte."""
    crlf: bool = False
    """Whether every line ends with CR LF."""

    def encode(self, text: str) -> bytes:
        """Return *text* in the file's encoding; raises ``UnicodeEncodeError`` if that is impossible."""
        return (text.replace("\n", "\r\n") if self.crlf else text).encode(self.encoding)

    @property
    def remarks(self) -> str:
        """Remarks about the file for its reader, each after a semicolon."""
        not_utf8 = "; not UTF-8, shown as Latin-1" if self.encoding == "latin-1" else ""
        return not_utf8 + ("; lines end with CR LF, which is kept" if self.crlf else "")


def text_of(path: str, data: bytes) -> TextFile:
    """Return the file at *path* as text; raises :exc:`~sunwell.errors.ToolError` if it is binary."""
    kind = binary_kind(data)
    if kind is not None:
        raise ToolError(f"{quoted(path)} is no text ({kind}, {counted(len(data), 'byte')})")
    encoding = "utf-8-sig" if data.startswith(b"\xef\xbb\xbf") else "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        encoding, text = "latin-1", data.decode("latin-1")
    ends = text.count("\r\n")
    crlf = ends > 0 and ends == text.count("\n") == text.count("\r")
    return TextFile(text.replace("\r\n", "\n") if crlf else text, encoding, crlf)


def lines_of(text: str) -> list[str]:
    """Return the lines of *text* with their endings; also an unfinished last one, but none for empty text."""
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]
