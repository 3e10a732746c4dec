"""Marks that Sunwell puts into texts for models, and a guard against texts of others that look like one.

A mark stands at the start of a line. A line of a file, of a command's output or of a tool's text that would
look like one gets a backslash before it, so that a line without one is Sunwell's. So does, for
people, a line of an answer that would look like a line of Sunwell's report.
"""

import re

_MARK = re.compile(
    r"^(\\*)(?="
    r"[ \t]*\[(?:about )?[\d,]+ [^\]\n]{0,120}"
    r"(?:cut out here|cut off here|left out here|left out of this call|left out later)"
    r"|[ \t]*\[(?:Status, from the harness:|From the harness: |it failed\]"
    r"|This answer was put together by Sunwell)"
    r"|[ \t]*\((?:Other workers: |You have now made this same call |Earlier steps are left out here"
    r"|The results of more workers are left out here|The rest of the workspace is left out here))",
    re.MULTILINE,
)


def guarded(text: str) -> str:
    """Return *text* with one more backslash before each line that looks like a mark.

    Different texts stay different: :func:`unguarded` gives the same text again.
    """
    if "[" not in text and "(" not in text:
        return text
    return _MARK.sub(lambda found: f"{found[1]}\\", text)


def unguarded(text: str) -> str:
    """Return *text* without the backslashes that :func:`guarded` puts before lines."""
    return _MARK.sub(lambda found: found[1][:-1], text)


def as_in_file(text: str, content: str) -> str:
    """Return *text*, which a model wrote from what it was shown, as it is in a file with this *content*.

    A line that :func:`guarded` shows of the file is taken for the file's own line.
    """
    if "\\" not in text:
        return text
    shown = {line: unguarded(line) for line in guarded(content).split("\n") if unguarded(line) != line}
    return "\n".join(shown.get(line, line) for line in text.split("\n"))


_BEFORE_BRACKET = re.compile(r"^\\(?=\\*[ \t]*[\[(])", re.MULTILINE)


def piece_of_file(piece: str, content: str) -> str | None:
    """Return *piece*, copied from what was shown of a file with this *content*, as it is in the file.

    ``None`` if the file has it both as it is written and as it was shown, so that either may be meant.
    """
    plain = as_in_file(piece, content)
    if plain == piece and piece not in content:
        plain = _BEFORE_BRACKET.sub("", piece)  # the end of a line that looks like a mark may be missing
    if plain == piece or f"\n{plain}" not in f"\n{content}":
        return piece
    return None if piece in content else plain


_REPORT = re.compile(
    r"^(\\*+)(?=[ \t]*+(?:"  # without going back: a text may be one long run of either
    r"(?i:verdict\b|(?:not )?verified(?: by\b|:)|approved\b)"
    r"|(?:done|error|incomplete|cancelled|bill|cost|files|commands|sandbox|journal|lens|note|quoted)"
    r"(?: {2}| *\t)"
    r"|(?:incomplete|cancelled) [^\n]{0,200}after \d+ turns?\b"
    r"|commands exit\b|sandbox: |sunwell: |run [0-9a-f-]{8,36} |unresolved: |conflict over |unconfirmed: "
    r"|continue sunwell "
    r"|compared with [^\n]{1,200} alone\b|check (?:passed|failed|could not tell): "
    r"|[^\n]{0,400}\? \(y, n, all, details, \?\)"
    r"))",
    re.MULTILINE,
)


def guarded_from_report(text: str) -> str:
    """Return *text* with one more backslash before each line that looks like one of Sunwell's report.

    Such a line says how a run ended, what was verified or approved, what was paid, or asks for approval.
    Different texts stay different.
    """
    return _REPORT.sub(lambda found: f"{found[1]}\\", text)
