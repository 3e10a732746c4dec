"""Marks that Sunwell puts into texts for models, and a guard against texts of others that look like one.

A mark stands at the start of a line. A line of a file, of a command's output or of a tool's text that would
look like one gets a backslash before it, so that a line without one is Sunwell's. So does, for
people, a line of an answer that would look like a line of Sunwell's report.
"""

import re
import unicodedata
from collections.abc import Callable

_BREAKS = "\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029"
"""What Python, a terminal or a model may take for the end of a line."""
_AT_START = f"(?<![^{_BREAKS}])"
_ANSI = r"\x1b\[[0-?]*+[ -/]*+[@-~]"
_UNSEEN = (
    "\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_BLANK = " \t\xa0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000"
_NOTHING = f"(?:{_ANSI}|[{_UNSEEN}{_BLANK}])*"
"""What may stand before a mark, and within it, so that who reads it sees a mark all the same."""
_BRACKETS = "[(\uff3b\uff08\ufe59\u207d\u208d\ufe47"
_LINE = re.compile(rf"{_AT_START}(\\*+)(?={_NOTHING}[\{_BRACKETS}])")
"""The backslashes before a line that begins with a bracket."""
_REST = re.compile(f"[^{_BREAKS}]*+")
_LEFT_OUT = re.compile(f"[{_UNSEEN}{_BLANK}]")
_CODES = re.compile(_ANSI)
_BETWEEN_LINES = re.compile(f"(\r\n|[{_BREAKS}])")
_LONGEST_MARK = 400
_MARK = re.compile(  # what a mark begins with: without blanks, in small letters
    r"\[(?:about)?[\d,]++[^\]]{0,120}"
    r"(?:cutouthere|cutoffhere|leftouthere|leftoutofthiscall|leftoutlater)"
    r"|\[(?:(?:status,|coverage,)?fromtheharness:|itfailed\]|thisanswerwasputtogetherbysunwell)"
    r"|\((?:otherworkers:|youhavenowmadethissamecall|earlierstepsareleftouthere"
    r"|theresultsofmoreworkersareleftouthere|therestoftheworkspaceisleftouthere)"
)


def guarded(text: str) -> str:
    """Return *text* with one more backslash before each line that looks like a mark.

    A line begins after whatever Python or a terminal breaks lines at. It looks like a mark whatever its
    capitals and blanks are, with invisible characters before or in it, and with wide forms of its letters.
    Nothing may split or cut the lines of a text afterwards; see :func:`guarded_part` if it must be cut.
    Different texts stay different: :func:`unguarded` gives the same text again.
    """
    return _with_backslashes(text, lambda backslashes: f"{backslashes}\\")


def unguarded(text: str) -> str:
    """Return *text* without the backslashes that :func:`guarded` puts before lines."""
    return _with_backslashes(text, lambda backslashes: backslashes[:-1])


def guarded_part(text: str, start: int) -> str:
    """Return the part of the guarded *text* from *start* on.

    It begins a line where it is put, so it gets a backslash if it looks like a mark from there.
    """
    part = text[start:]
    if not 0 < start < len(text) or _BETWEEN_LINES.match(text, start - 1):
        return part
    found = _LINE.match(part)
    return f"\\{part}" if found is not None and _is_mark(part, found.end()) else part


def _with_backslashes(text: str, changed: Callable[[str], str]) -> str:
    if text.isascii() and "[" not in text and "(" not in text:
        return text
    return _LINE.sub(lambda found: changed(found[1]) if _is_mark(text, found.end()) else found[1], text)


def _is_mark(text: str, start: int) -> bool:
    """Whether the line that goes on at *start* of *text*, with a bracket, looks like a mark."""
    found = _REST.match(text, start)
    assert found is not None  # it may be empty
    line = text[start : start + _LONGEST_MARK]
    if (
        found.end() > start + _LONGEST_MARK
        and len(_LEFT_OUT.sub("", _CODES.sub("", line))) < _LONGEST_MARK // 2
    ):
        line = found[0]  # much of it is not seen
    else:
        line = line[: found.end() - start]
    if "\x1b" in line and _begins_mark(_CODES.sub("", line)):
        return True
    return _begins_mark(line)


def _begins_mark(line: str) -> bool:
    seen = _LEFT_OUT.sub("", line)[:_LONGEST_MARK]
    if not seen.isascii():
        seen = _LEFT_OUT.sub("", unicodedata.normalize("NFKC", seen))
    return _MARK.match(seen.casefold()) is not None


def as_in_file(text: str, content: str) -> str:
    """Return *text*, which a model wrote from what it was shown, as it is in a file with this *content*.

    A line that :func:`guarded` shows of the file is taken for the file's own line.
    """
    if "\\" not in text:
        return text
    lines = _BETWEEN_LINES.split(guarded(content))[::2]
    shown = {line: plain for line in lines if (plain := unguarded(line)) != line}
    return "".join([shown.get(part, part) for part in _BETWEEN_LINES.split(text)])


_BEFORE_BRACKET = re.compile(rf"{_AT_START}\\(?=\\*+{_NOTHING}[\{_BRACKETS}])")


def piece_of_file(piece: str, content: str) -> str | None:
    """Return *piece*, copied from what was shown of a file with this *content*, as it is in the file.

    ``None`` if the file has it both as it is written and as it was shown, so that either may be meant.
    """
    plain = as_in_file(piece, content)
    if plain == piece and piece not in content:
        plain = _BEFORE_BRACKET.sub("", piece)  # the end of a line that looks like a mark may be missing
    if plain == piece or not _begins_line(plain, content):
        return piece
    return None if piece in content else plain


def _begins_line(piece: str, content: str) -> bool:
    return re.search(_AT_START + re.escape(piece), content) is not None


_COLUMNS = (
    "adopted|bill|cancelled|changed|commands|cost|created|decided|done|error|files|incomplete|journal|kept|lens"
    "|next|note|quoted|removed|restored|restores|resume|sandbox|skipped|total|unchanged|warning|workers|written"
)
"""What stands in the first or second column of a report, before two blanks."""
_REPORT = re.compile(
    r"^(\\*+)(?=[ \t]*+(?:"  # without going back: a text may be one long run of either
    r"(?i:verdict\b|(?:not )?verified(?: by\b|:)|approved\b)"
    rf"|(?i:{_COLUMNS})(?: {{2}}| *\t)"
    r"|(?:incomplete|cancelled|error) [^\n]{0,200}after \d+ turns?\b"
    r"|(?:exit -?\d+|killed)(?:, \d[\d.]* (?:s|min \d\d s))? {2,}|commands (?:exit|killed)\b"
    r"|[^\n]{1,400}: (?:exit -?\d+|killed), \d[\d.]* (?:s|min \d\d s)[ \t]*$"
    r"|not saved |adopted [0-9a-f-]{8,36}$"
    r"|by (?:provider|depth|purpose|rung) {2}|(?:by provider|by purpose) \S|prices of \d{4}-"
    r"|sandbox: |sunwell: |conflict over |note: |warning: |budget: |time: \S+ \S+ of \S"
    r"|unresolved: |unconfirmed: "
    r"|(?:target files|left out|continues|the last run): |continue sunwell "
    r"|(?:the )?run [0-9a-f-]{3,36}\b|the run had finished: |ceilings: |checks of the record: "
    r"|compared with [^\n]{1,200} alone\b"
    r"|(?:task-\d+(?: without the lens)?: )?(?:check (?:passed|failed|could not tell): "
    r"|rung (?:cheap|cheap_again|lens|second|smart): )"
    r"|delegating to [^\n]{1,200}: |not delegating: |no lens: |lens (?:given )?by |lens given: "
    r"|(?:lens )?not tested: |(?:lens )?tested on [\d,]+ items?\b"
    r"|(?:lens )?taken from the store, |written anew: |changed from a kept one, "
    r"|[^\n]{1,200} (?:explores, and may ask [^\n]{1,200} about parts|answers in one direct call): "
    r"|[\d,]+ answers? about parts from the journal$"
    r"|using \S+ instead of "
    r"|waiting for [^\n]{1,200}, \d+ s$|stopping; press |asked (?:by|because) "
    r"|Completed in [\d.]+s$|Tokens: [\d,]+ in \+ |Estimated cost: (?:\$|unknown)"
    r"|[^\n]{0,400}\? (?:\(y, n, all, details, \?\)|\[y/N\])"
    r"))",
    re.MULTILINE,
)


def guarded_from_report(text: str) -> str:
    """Return *text* with one more backslash before each line that looks like one of Sunwell's report.

    Such a line says how a run ended, what was verified or approved, what was paid, or asks for approval.
    Different texts stay different.
    """
    return _REPORT.sub(lambda found: f"{found[1]}\\", text)
