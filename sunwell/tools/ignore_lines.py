"""The lines of one ignore file, and what they match, in time that is bounded."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

import attrs

_MOST_EXPRESSIONS = 2_000
"""Lines with special characters, other than ``*.py``, that count in one ignore file: the last ones."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPECIAL = re.compile(rb"[*?\[\\]")
_CLASSES: dict[bytes, Callable[[int], bool]] = {
    b"alnum": lambda byte: chr(byte).isalnum(),
    b"alpha": lambda byte: chr(byte).isalpha(),
    b"blank": lambda byte: byte in b" \t",
    b"cntrl": lambda byte: byte < 32 or byte == 127,
    b"digit": lambda byte: byte in b"0123456789",
    b"graph": lambda byte: 32 < byte < 127,
    b"lower": lambda byte: chr(byte).islower(),
    b"print": lambda byte: 32 <= byte < 127,
    b"punct": lambda byte: 32 < byte < 127 and not chr(byte).isalnum(),
    b"space": lambda byte: byte in b" \t\n\r\v\f",
    b"upper": lambda byte: chr(byte).isupper(),
    b"xdigit": lambda byte: byte in b"0123456789abcdefABCDEF",
}


@lru_cache(maxsize=4_096)
def glob_expression(glob: bytes, *, is_path: bool, whole_letters: bool = False) -> "re.Pattern[bytes] | None":
    """Return *glob*, as in a line of an ignore file, as an expression for ``fullmatch``.

    ``None`` if it matches nothing. With *is_path* it is matched with a whole path, and the rules for ``**``
    hold; otherwise with one name. The time of a match is bounded: the part up to the next star is matched
    once, at its first possible place, and never again. For git, ``?`` is one byte; with *whole_letters* it
    is one letter in UTF-8.
    """
    rest = b"[\x80-\xbf]*" if whole_letters else b""
    # git compares the part before the first special character by itself; a ``**`` right after it counts as
    # if it stood behind a slash.
    found = _SPECIAL.search(glob)
    at = start = found.start() if found else len(glob)
    groups, pieces = [b""], [re.escape(glob[:at])]
    while at < len(glob):
        sign = glob[at : at + 1]
        if sign == b"*":
            end = at + len(glob[at:]) - len(glob[at:].lstrip(b"*"))
            after_slash = at == start or glob[at - 1 : at] == b"/"
            if is_path and end - at > 1 and after_slash and glob[end : end + 1] in (b"", b"/"):
                groups += [_joined(pieces), b".*?" if end == len(glob) else b"(?:|.*?/)"]
                pieces = [b""]
                end += 1
            else:
                pieces.append(b"[^/]*?")
            at = end
            continue
        if sign == b"?":
            made, at = b"[^/]" + rest, at + 1
        elif sign == b"[":
            made, at = _class(glob, at + 1)
            made += rest if made else b""
        else:
            at += sign == b"\\"
            made, at = re.escape(glob[at : at + 1]), at + 1
        if not made:
            return None
        pieces[-1] += made
    groups.append(_joined([*pieces[:-1], pieces[-1] + rb"\Z"]))
    return re.compile(_nested(groups), re.DOTALL)


def _joined(pieces: list[bytes]) -> bytes:
    return pieces[0] + b"".join(b"(?>" + piece + b")" for piece in pieces[1:])


def _nested(groups: list[bytes]) -> bytes:
    pairs = zip(groups[::2], groups[1::2], strict=True)
    return b"".join(b"(?>" + star + rest + b")" for star, rest in pairs)


def _class(glob: bytes, at: int) -> tuple[bytes, int]:
    """Return the set that starts at *at*, behind its bracket, and where it ends; empty if it is malformed."""
    negated = glob[at : at + 1] in (b"!", b"^")
    at += negated
    members: set[int] = set()
    before, is_first = -1, True
    while True:
        if at >= len(glob):
            return b"", at
        byte = glob[at]
        if byte == 0x5D and not is_first:  # a closing bracket
            break
        is_first = False
        if byte == 0x5B and glob[at + 1 : at + 2] == b":" and (end := glob.find(b"]", at + 2)) >= 0:
            name = glob[at + 2 : end - 1]
            if end > at + 2 and glob[end - 1 : end] == b":":
                if name not in _CLASSES:
                    return b"", at
                members.update(filter(_CLASSES[name], range(128)))
                before, at = -1, end + 1
                continue
        elif byte == 0x5B and glob[at + 1 : at + 2] == b":":
            return b"", at
        is_range = byte == 0x2D and before >= 0 and glob[at + 1 : at + 2] not in (b"", b"]")
        at += is_range
        if glob[at] == 0x5C:
            at += 1
            if at >= len(glob):
                return b"", at
        members.update(range(before, glob[at] + 1) if is_range else (glob[at],))
        before, at = -1 if is_range else glob[at], at + 1
    chosen = (set(range(256)) - members if negated else members) - {0x2F}
    return b"[" + b"".join(b"\\x%02x" % one for one in sorted(chosen)) + b"]" if chosen else b"(?!)", at + 1


@attrs.frozen
class IgnoreLine:
    """A pattern of an ignore file."""

    glob: bytes
    shows: bool
    """Whether it takes back what an earlier line ignores."""
    only_folders: bool
    is_path: bool
    """Whether it is matched with the path from the ignore file's folder, not only with the name."""

    @property
    def expression(self) -> "re.Pattern[bytes] | None":
        """What matches the path or the name; ``None`` if nothing does."""
        return glob_expression(self.glob, is_path=self.is_path)


def lines_in(text: bytes) -> Iterator[IgnoreLine]:
    """Yield the patterns in *text*, without comments and empty lines."""
    for line in text.removeprefix(BYTE_ORDER_MARK).split(b"\n"):
        line = _trimmed(line.removesuffix(b"\r").split(b"\0")[0]) if line[:1] not in (b"", b"#") else b""
        shows = line.startswith(b"!")
        glob = line[shows:]
        only_folders = glob.endswith(b"/")
        glob = glob[: len(glob) - only_folders]
        is_path = b"/" in glob
        glob = glob.removeprefix(b"/")
        if glob:
            yield IgnoreLine(glob, shows, only_folders, is_path)


def _trimmed(line: bytes) -> bytes:
    """Return *line* without the spaces at its end; one behind a backslash stays."""
    left = line.rstrip(b" ")
    is_escaped = (len(left) - len(left.rstrip(b"\\"))) % 2
    return left + b" " if is_escaped and len(left) < len(line) else left


@attrs.frozen(eq=False)
class IgnoreLines:
    """All lines of one ignore file. The last one that matches decides."""

    names: dict[bytes, list[tuple[int, IgnoreLine]]]
    """Lines without special characters, by name or path, and their numbers, last first."""
    endings: dict[bytes, list[tuple[int, IgnoreLine]]]
    """Lines such as ``*.py``, by what stands behind the star."""
    others: list[tuple[int, IgnoreLine, "re.Pattern[bytes]"]]
    """All other lines, last first."""
    has_paths: bool

    @classmethod
    def of(cls, text: bytes) -> "IgnoreLines":
        names: dict[bytes, list[tuple[int, IgnoreLine]]] = {}
        endings: dict[bytes, list[tuple[int, IgnoreLine]]] = {}
        others: list[tuple[int, IgnoreLine, re.Pattern[bytes]]] = []
        lines = list(enumerate(lines_in(text)))
        for number, line in reversed(lines):
            if not _SPECIAL.search(line.glob):
                key = b"/" + line.glob if line.is_path else line.glob
                names.setdefault(key, []).append((number, line))
            elif not line.is_path and re.fullmatch(rb"\*\.[^.*?\[\\]+", line.glob):
                endings.setdefault(line.glob[1:], []).append((number, line))
            elif len(others) == _MOST_EXPRESSIONS:  # compiling a million bytes of them takes half a minute
                continue
            elif (expression := line.expression) is not None:
                others.append((number, line, expression))
        return cls(names, endings, others, any(line.is_path for _, line in lines))

    def hides(self, path: bytes, name: bytes, is_folder: bool) -> bool | None:
        """Whether the entry is ignored; ``None`` if no line matches."""
        best, shows = -1, False
        found = [self.names.get(name, ())]
        if self.has_paths:
            found.append(self.names.get(b"/" + path, ()))
        if self.endings:
            found.append(self.endings.get(name[max(name.rfind(b"."), 0) :], ()))
        for lines in found:
            for number, line in lines:
                if is_folder or not line.only_folders:
                    if number > best:
                        best, shows = number, line.shows
                    break
        for number, line, expression in self.others:
            if number < best:
                break
            if (is_folder or not line.only_folders) and expression.match(path if line.is_path else name):
                best, shows = number, line.shows
                break
        return None if best < 0 else not shows
