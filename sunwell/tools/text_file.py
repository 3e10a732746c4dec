"""Converts a file's bytes to text and back, without changing parts that were not edited."""

import codecs
import re
from functools import cache

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
)
_PROBE_BYTES = 8_192
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks. The one of UTF-16 is the start of the one of UTF-32."""
_DECLARED = (
    re.compile(r"\A[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)"),  # Python, Ruby; also the first line of a script
    re.compile(r"\A[^\n]*\n[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)"),
    re.compile(r"\A(?:[^\n]*\n)?[^\n]*-\*-.{0,200}?coding:[ \t]*([-\w.]{1,40}).{0,200}?-\*-"),  # Emacs
    re.compile(r"""\A<\?xml[^>]*?\bencoding[ \t]*=[ \t]*["']([-\w.]+)"""),
    re.compile(r"""\A@charset "([-\w.]+)";"""),
    re.compile(
        r"""(?is)\A\s*(?=<(?:!doctype html|html|head|meta)\b).*?<meta[^>]{0,400}?\bcharset=["']?([-\w.]+)"""
    ),
)
_KNOWN = re.compile(
    r"ascii|iso8859-\d+|cp\d+|koi8-[rtu]|mac-\w+|shift_jis\w*|euc_\w+|gb2312|gbk|gb18030|big5\w*|johab|tis-620"
    r"|hp-roman8|ptcp154|kz1048|utf-8"
)
"""Encodings that a text may declare, as Python names them: in each, a character is always the same bytes."""


def binary_kind(data: bytes) -> str | None:
    """Return the kind of binary file; ``None`` if *data* is text."""
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    if b"\0" not in data[:_PROBE_BYTES]:
        return None
    return "binary" if _wide(data) is None else None


@attrs.frozen
class TextFile:
    """A text file. ``text`` has ``\\n`` line endings if all lines of the file have the same ending."""

    text: str
    encoding: str = "utf-8"
    """Name of the encoding, without the mark."""
    crlf: bool = False
    """Whether every line ends with CR LF."""
    mark: bytes = b""
    """The byte order mark at the start of the file, which is not in ``text``."""
    is_guessed: bool = False
    """Whether nothing says what the encoding is: bytes are kept, but letters may be others than shown."""

    def encode(self, text: str) -> bytes:
        """Return *text* in the file's encoding; raises ``UnicodeEncodeError`` if that is impossible."""
        if self.mark:
            text = text.removeprefix("\ufeff")
        return self.mark + (text.replace("\n", "\r\n") if self.crlf else text).encode(self.encoding)

    @property
    def form(self) -> str:
        """Name of the encoding for a reader."""
        shown = {"iso8859-1": "Latin-1", "cp1252": "Windows-1252"}
        name = shown.get(self.encoding, self.encoding.upper().replace("_", "-"))
        return f"{name} with a byte order mark" if self.mark else name

    @property
    def remarks(self) -> str:
        """Remarks about the file for its reader, each after a semicolon."""
        said = ""
        if self.is_guessed:
            said = f"; not UTF-8, encoding unknown, shown as {self.form}: letters may be wrong"
        elif self.encoding != "utf-8":
            said = f"; encoding {self.form}, which is kept"
        if self.crlf:
            return f"{said}; lines end with CR LF, which is kept"
        if "\r\n" in self.text:
            return f"{said}; line ends are mixed, CR LF and LF; edit_file takes \\n for each"
        return said


def text_of(path: str, data: bytes) -> TextFile:
    """Return the file at *path* as text; raises :exc:`~sunwell.errors.ToolError` if it is binary.

    The encoding is what a byte order mark says; else UTF-8, if the bytes are; else what the text declares
    about itself, as a line ``coding:`` or ``charset=`` does. Without any of these it is a guess.
    """
    kind = binary_kind(data)
    if kind is not None:
        raise ToolError(f"{quoted(path)} is no text ({kind}, {counted(len(data), 'byte')})")
    file = _decoded(data)
    ends = file.text.count("\r\n")
    crlf = ends > 0 and ends == file.text.count("\n") == file.text.count("\r")
    return attrs.evolve(file, text=file.text.replace("\r\n", "\n"), crlf=True) if crlf else file


def _decoded(data: bytes) -> TextFile:
    wide = _wide(data)
    if wide is not None:
        return wide
    mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
    declared = None if mark else declared_encoding(data[:_PROBE_BYTES].decode("latin-1"))
    if declared is not None and not data.isascii() and _text_in(data, "utf-8") is not None:
        declared = None  # what was declared is not what was done
    for encoding in (declared or "utf-8", "utf-8") if declared or mark or data.isascii() else ("utf-8",):
        text = _text_in(data[len(mark) :], encoding)
        if text is not None:
            return TextFile(text, encoding, mark=mark)
    # Latin-1 keeps every byte. Where it has control characters, Windows has quotes and dashes.
    windows = _text_in(data, "cp1252") if re.search(rb"[\x80-\x9f]", data) else None
    if windows is not None:
        return TextFile(windows, "cp1252", is_guessed=True)
    return TextFile(data.decode("latin-1"), "iso8859-1", is_guessed=True)


def _wide(data: bytes) -> TextFile | None:
    """Return a text in UTF-16 or UTF-32; ``None`` if it is neither."""
    for mark, encoding in _MARKS[1:]:
        if data.startswith(mark):
            text = _text_in(data[len(mark) :], encoding)
            if text is not None and "\0" not in text:
                return TextFile(text, encoding, mark=mark)
    encoding = unmarked_wide(data)
    text = _text_in(data, encoding) if encoding else None
    return None if text is None or "\0" in text else TextFile(text, encoding)


def unmarked_wide(data: bytes) -> str:
    """Return the encoding of UTF-16 text without a mark, most of which is ASCII; empty if it is none."""
    probe = data[:_PROBE_BYTES]
    if len(data) % 2 or len(probe) < 4:
        return ""
    for encoding, zeros, letters in (("utf-16-le", 1, 0), ("utf-16-be", 0, 1)):
        if b"\0" not in probe[letters::2] and probe[zeros::2].count(0) * 10 > len(probe) // 2 * 9:
            return encoding
    return ""


def _text_in(data: bytes, encoding: str) -> str | None:
    """Return *data* as text if it is valid in *encoding*, and the text gives the same bytes again."""
    try:
        text = data.decode(encoding)
        return text if encoding == "utf-8" or text.encode(encoding) == data else None
    except UnicodeError:
        return None


def declared_encoding(text: str) -> str | None:
    """Return the encoding that *text* says it is in, as Python names it; ``None`` if it says nothing.

    An unknown name, and an encoding that is not a superset of ASCII, count as nothing.
    """
    head = text[:2_048]
    if "coding" not in head and "charset" not in head.lower():
        return None
    for expression in _DECLARED:
        found = expression.search(head)
        if found is not None:
            return _python_name(found[1])
    return None


@cache
def _python_name(name: str) -> str | None:
    try:
        found = codecs.lookup(re.sub(r"-(?:unix|dos|mac)$", "", name)).name
    except (LookupError, ValueError):
        return None
    found = "utf-8" if found == "utf-8-sig" else found
    every = "".join(map(chr, range(1, 0x5C)))  # some Asian encodings have a sign of money behind it
    return found if _KNOWN.fullmatch(found) and every.encode(found, "replace") == every.encode() else None


def encoded(path: str, file: TextFile, text: str) -> bytes:
    """Return the new *text* of *file* as bytes; raises :exc:`~sunwell.errors.ToolError` if it cannot be kept.

    The encoding stays, unless it is known and the new text declares another one: then the whole file is
    converted to that.
    """
    before, after = declared_encoding(file.text), declared_encoding(text)
    if after is not None and after != file.encoding and not file.is_guessed and not file.mark:
        if before != after or file.text.isascii():
            file = attrs.evolve(file, encoding=after)
    elif before == file.encoding != "utf-8" and after is None and not text.isascii():
        raise ToolError(
            f"{quoted(path)} is in {file.form} because a line in it says so, and the new text has no such "
            "line; nothing was changed; keep that line, or let it say utf-8"
        )
    if file.is_guessed:
        # A letter of the file keeps its bytes whatever they mean; for any other one they would be a guess.
        new = next((sign for sign in text if not sign.isascii() and sign not in file.text), None)
        if new is not None:
            raise ToolError(_guessing(path, file, new))
    try:
        return file.encode(text)
    except UnicodeEncodeError as error:
        raise ToolError(_cannot(path, file, error.object[error.start])) from None


def _guessing(path: str, file: TextFile, sign: str) -> str:
    return (
        f"{quoted(path)} is not UTF-8, its encoding is unknown (it is shown as {file.form}), and {sign!r} "
        f"(U+{ord(sign):04X}) is not in it yet: its bytes would be a guess; nothing was changed; write the "
        "text without that character, or with an escape of the file's language"
    )


def _cannot(path: str, file: TextFile, sign: str) -> str:
    lacks = f"{file.form}, which has no {sign!r} (U+{ord(sign):04X})"
    return (
        f"{quoted(path)} is in {lacks}; nothing was changed, because another encoding would spoil the file "
        "for its readers; write the text without that character, or with an escape of the file's language"
    )


def lines_of(text: str) -> list[str]:
    """Return the lines of *text* with their endings; also an unfinished last one, but none for empty text."""
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]
