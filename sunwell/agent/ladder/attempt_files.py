"""The files of an attempt that failed: what it changed, as a diff, and how they are put back."""

import difflib
from collections import Counter
from collections.abc import Sequence

import attrs

from sunwell.agent.run.ladder_terms import LadderTerms
from sunwell.agent.run.run_context import Ending, Run, Work
from sunwell.core.message import FileChange, ToolCall, ToolResult
from sunwell.core.span import Span
from sunwell.core.task import CommandRun, Status, StopReason
from sunwell.errors import ToolError
from sunwell.events import WARNED, Warned
from sunwell.journal.records import ToolFinished, ToolStarted
from sunwell.tools.originals import kept_original, undo

_MOST_DIFF_BYTES = 24_000
_MOST_FILE_BYTES = 400_000
_TOOL = "restore_files"


def diff_text(terms: LadderTerms, changes: Sequence[FileChange]) -> str:
    """Return *changes* as one unified diff, from the files as they were before to what stands there now.

    A file that is too long, is no text or cannot be read is only named. The end is cut off beyond 24,000
    bytes, and says so. Known secrets are replaced.
    """
    text = "\n".join([_diff_of(terms, change) for change in changes])
    data = terms.secrets.redact(text).encode("utf-8", "replace")
    if len(data) <= _MOST_DIFF_BYTES:
        return data.decode()
    kept = data[:_MOST_DIFF_BYTES].decode("utf-8", "ignore").rpartition("\n")[0]
    return f"{kept}\n({len(data) - len(kept.encode()):,} more bytes of the diff are left out here)"


def _diff_of(terms: LadderTerms, change: FileChange) -> str:
    before = _text(_before(terms, change))
    after = _text(_now(terms, change))
    if before is None or after is None:
        return f"{change.path}: {change.verb} (no diff can be shown)"
    lines = difflib.unified_diff(
        before.splitlines(),
        after.splitlines(),
        f"a/{change.path}" if change.before else "/dev/null",
        f"b/{change.path}" if change.after else "/dev/null",
        lineterm="",
    )
    return "\n".join(lines)


def _before(terms: LadderTerms, change: FileChange) -> bytes | None:
    if change.before is None:
        return b""
    return None if terms.originals is None else kept_original(terms.originals.folder, change.before)


def _now(terms: LadderTerms, change: FileChange) -> bytes | None:
    if change.after is None:
        return b""
    if terms.workspace is None:
        return None
    try:
        found = terms.workspace.read(change.path, _MOST_FILE_BYTES + 1)
    except ToolError:
        return None
    return None if found is None else found.data


def _text(data: bytes | None) -> str | None:
    if data is None or len(data) > _MOST_FILE_BYTES or b"\0" in data:
        return None
    return data.decode("utf-8", "replace")


async def restore_files(run: Run, span: Span, changes: Sequence[FileChange]) -> tuple[FileChange, ...]:
    """Put the files of *changes* back as they were before the run; return what that changed.

    It is recorded like a call of a tool at *span*, before and after it is done. A file that somebody else
    has changed since stays as it is, with a warning.
    """
    key, terms = (span.path, 0, 0), run.ladder_terms
    recorded = run.journal.find(ToolFinished, key)
    if recorded is not None:
        return recorded.result.changes
    wanted = tuple(FileChange(change.path, change.after, change.before) for change in changes)
    if not wanted or terms.originals is None or terms.workspace is None:
        return ()
    call = ToolCall("restore", _TOOL, "{}")
    if run.journal.find(ToolStarted, key) is None:
        await run.journal.append(ToolStarted(*key, call, repeatable=False, changes=wanted))
    async with run.quiet.writing():
        report = undo(terms.originals.folder, terms.workspace, only={change.path for change in wanted})
    for refused in report.refused:
        run.tell(WARNED, Warned(f"not restored before the next rung: {refused.reason}"))
    left = {refused.path for refused in report.refused}
    done = tuple(change for change in wanted if change.path not in left)
    for change in done:  # a later undo of the whole run must know this content as its own
        if change.after is not None:
            terms.originals.expect(change.path, change.after)
    result = ToolResult(call.id, f"{len(done)} files restored", changes=done)
    await run.journal.append(ToolFinished(*key, _TOOL, result, 0.0))
    run.files.take(result)
    return done


@attrs.define(eq=False)
class PutBackCalls:
    """What putting files back has changed, in the place of tool calls."""

    changes: list[FileChange]
    called: Counter[str] = attrs.field(factory=Counter)
    commands: list[CommandRun] = attrs.field(factory=list)


@attrs.define(eq=False)
class PutBack:
    """Files that the harness has put back between two attempts, as a piece of work without turns."""

    changes: tuple[FileChange, ...]
    before: Work
    """The attempt whose files they were: if the run stops here, it has the last word."""
    turns: int = 0
    last_output_tokens: int | None = None
    calls: PutBackCalls = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.calls = PutBackCalls(list(self.changes))

    def composed_end(self, status: Status, reason: StopReason, sentence: str) -> Ending:
        """Return the end of the attempt before."""
        return self.before.composed_end(status, reason, sentence)
