"""The files of an attempt that failed: what it changed, as a diff, and how they are put back."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

import attrs

from sunwell.agent.run.ladder_terms import LadderTerms
from sunwell.agent.run.run_context import Ending, Run, Work
from sunwell.core.message import FileChange, ToolCall, ToolResult
from sunwell.core.span import Span
from sunwell.core.task import CommandRun, Status, StopReason
from sunwell.events import WARNED, Warned
from sunwell.journal.records import ToolFinished, ToolStarted
from sunwell.tools.file_glob import GlobSet
from sunwell.tools.originals import UndoStep, undo, work_diff

_MOST_DIFF_CHARACTERS = 24_000
_TOOL = "restore_files"


def diff_text(terms: LadderTerms, changes: Sequence[FileChange]) -> str:
    """Return *changes* as diffs from the files as they were before to what stands there now.

    Known secrets are replaced, and what is too long is cut in the middle.
    """
    if terms.workspace is None:
        return "\n".join(f"{change.path}: {change.verb}" for change in changes)
    folder = None if terms.originals is None else terms.originals.folder
    return work_diff(changes, terms.workspace, folder, terms.secrets.redact, _MOST_DIFF_CHARACTERS)


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
        report = undo(
            terms.originals.folder,
            terms.workspace,
            only={change.path for change in wanted},
            refuses=partial(_refusal, GlobSet(terms.allow_write)),
        )
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


def _refusal(allowed: GlobSet, step: UndoStep) -> str:
    """Return why the file of *step* is not put back: the originals of a run lie where others may write."""
    return "" if not step.reason or allowed.takes(step.path) else f"{step.reason}: put it back yourself"


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
    calls: PutBackCalls = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.calls = PutBackCalls(list(self.changes))

    def composed_end(self, status: Status, reason: StopReason, sentence: str) -> Ending:
        """Return the end of the attempt before."""
        return self.before.composed_end(status, reason, sentence)
