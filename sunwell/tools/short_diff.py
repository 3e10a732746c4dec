"""Short diffs: what changed in files, in so many lines that a model reads it beside a report."""

from collections.abc import Callable, Iterable
from pathlib import Path

from sunwell.core.marks import guarded
from sunwell.core.message import FileChange
from sunwell.errors import ToolError
from sunwell.tools.file_tools import Plan, difference
from sunwell.tools.originals import original_of
from sunwell.tools.text_file import lines_of, text_of
from sunwell.tools.wording import counted, on_one_line
from sunwell.tools.workspace import Workspace

FILE_LINES = 40
"""Most lines that are shown of one file."""
FILE_CHARACTERS = 1_500
ALL_CHARACTERS = 4_000
"""Most characters that are shown of all files together, besides the line that says how many are left out."""
_LEAST_CHARACTERS = 200
_MOST_READ_BYTES = 256_000
_MOST_NAMED = 20

Redact = Callable[[str], str]


def short_diffs(
    changes: Iterable[FileChange], workspace: Workspace, originals: Path | None, redact: Redact
) -> str:
    """Return *changes* of files in *workspace* as diffs within the limits above; empty without changes.

    New files show their beginning. A file whose content before was not kept in *originals*, as after a
    command, is only named. *redact* replaces known secrets; lines that look like Sunwell's own
    notes are guarded.
    """
    given, parts, room = list(changes), [], ALL_CHARACTERS
    for number, change in enumerate(given):
        if room < _LEAST_CHARACTERS or number == _MOST_NAMED:
            parts.append(f"… {counted(len(given) - number, 'more file')}")
            break
        part = first_lines(_told(change, workspace, originals, redact), min(FILE_CHARACTERS, room))
        room -= len(part)
        parts.append(part)
    return "\n".join(parts)


def short_difference(plan: Plan, redact: Redact) -> str:
    """Return what *plan* changes as one diff within the limits of one file; empty if it cannot be shown."""
    try:
        return first_lines(guarded(redact(difference(plan, redact))))
    except ToolError:
        return ""


def first_lines(text: str, most_characters: int = FILE_CHARACTERS, most_lines: int = FILE_LINES) -> str:
    """Return the first lines of *text* within the limits, and then how many lines more there are.

    If the first line alone is too long, its beginning stays, with the number of characters that are left out.
    """
    lines = text.rstrip("\n").split("\n")
    kept: list[str] = []
    room = most_characters
    for line in lines[:most_lines]:
        if len(line) > room:
            break
        kept.append(line)
        room -= len(line) + 1
    if not kept:
        kept.append(f"{lines[0][:most_characters]} (… {len(lines[0]) - most_characters:,} more characters)")
    left_out = len(lines) - len(kept)
    return "\n".join([*kept, *([f"… {counted(left_out, 'more line')}"] if left_out else [])])


def _told(change: FileChange, workspace: Workspace, originals: Path | None, redact: Redact) -> str:
    named = on_one_line(redact(change.path))
    if change.after is None:
        return f"{named}: deleted"
    try:
        found = workspace.read(change.path, _MOST_READ_BYTES)
        if found is None:
            return f"{named}: {change.verb}, and deleted since by somebody else"
        since = "" if found.sha256 == change.after else " (it was changed since by somebody else, too)"
        if change.before is None:
            return guarded(_beginning(named, since, redact(text_of(change.path, found.data).text)))
        old = original_of(originals, change.path, change.before)
        shown = redact(difference(Plan(change.path, old, found.data, ""), redact))
        return guarded(f"{named}: changed{since}\n{shown}" if since else shown)
    except ToolError as error:
        return f"{named}: {change.verb}; it cannot be shown ({on_one_line(redact(error.sentence))})"


def _beginning(named: str, since: str, text: str) -> str:
    lines = lines_of(text)
    head = f"{named}: new file, {counted(len(lines), 'line')}{since}"
    return "\n".join([head, *(f"+{line}" for line in text.split("\n")[: len(lines)])])
