"""The tool run_checks: a worker runs the checks of its task before it ends, as often as it likes."""

from collections.abc import Iterator

import attrs

from sunwell.checks.suite import ChosenChecks
from sunwell.core.check import Check, Checking, name_of
from sunwell.core.message import FileChange, ToolCall, ToolResult, net_changes
from sunwell.core.model import ToolSpec
from sunwell.core.secrets import Secrets
from sunwell.core.tool import Place, RepeatableCall, Staged
from sunwell.journal.protocol import Journal
from sunwell.journal.records import ToolFinished
from sunwell.tools.arguments import closed

RUN_CHECKS = "run_checks"
_SPEC = ToolSpec(
    RUN_CHECKS,
    "Run the checks that decide whether your work counts as done, on the files as they are now. Gives the "
    "verdict of each, with what it saw. They run again after your last message.",
    closed({}),
)
_SAID = {
    True: "All checks passed.",
    False: "A check failed. Repair the work, not what checks it.",
    None: "The checks could not tell whether the work is right.",
}
_PASSED_SO_FAR = "All checks that can run now passed. What is left decides after your last message:"
_NAMED = 20
_CODES = {True: 0, False: 1, None: None}


@attrs.define(eq=False)
class RunChecksTool:
    """The tool as a :class:`~sunwell.core.tool.PlacedExecutor`: whose work it is decides which checks run."""

    chosen: ChosenChecks
    journal: Journal
    task: str
    secrets: Secrets
    place: Place | None = None

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the one tool."""
        return (_SPEC,)

    def is_parallel(self, name: str) -> bool:
        """Whether calls may run side by side: they change nothing, and wait until nobody writes."""
        return True

    async def hashes(self, paths: tuple[str, ...]) -> tuple[str | None, ...]:
        """Look at no file: nothing is touched here."""
        return tuple(None for _ in paths)

    def at(self, place: Place) -> "RunChecksTool":
        """Return the tool for a call at *place*."""
        return attrs.evolve(self, place=place)

    def recall(self, call: ToolCall, place: Place) -> None:
        """Do nothing: a recorded call has left nothing behind."""

    async def stage(self, call: ToolCall) -> Staged:
        """Return *call* to be carried out. Checks may run again."""
        return RepeatableCall(self, call)

    async def execute(self, call: ToolCall) -> ToolResult:
        """Run the checks; the exit code is 0 if they passed and 1 if they did not."""
        if self.place is None:
            raise RuntimeError(f"{call.name} is carried out at a place in a run, and none was given")
        checks, later = self._checks(self.place)
        if not checks:
            return ToolResult(call.id, "There is no check that can run before your last message.")
        async with self.chosen.quiet():
            verdict = await self.chosen.verdict_of(checks, self._checking(self.place))
        head = _PASSED_SO_FAR if verdict.passed and later else _SAID[verdict.passed]
        others = _named(self._others(self.place)) if verdict.passed is False else ""
        said = "\n\n".join(part for part in (head, others, verdict.evidence, later) if part)
        left = verdict.left_behind
        return ToolResult(call.id, said, exit_code=_CODES[verdict.passed], left_behind=left)

    def _others(self, place: Place) -> tuple[str, ...]:
        return self.chosen.at_work(self.chosen.owner(place.span.path))

    def _checks(self, place: Place) -> tuple[tuple[Check, ...], str]:
        """Return the checks that can run now, and a sentence on those that cannot."""
        checks = self.chosen.for_task(self.chosen.own.get(self.chosen.owner(place.span.path), ()))
        later = [getattr(check, "told", "") or name_of(check) for check in checks if not is_midway(check)]
        said = f"Not run before your last message: {'; '.join(later)}".rstrip(".") + "." if later else ""
        return tuple(check for check in checks if is_midway(check)), said

    def _checking(self, place: Place) -> Checking:
        changes = net_changes(tuple(self._changes(self.chosen.owner(place.span.path))))
        return Checking(
            task=self.task,
            answer="",
            files=changes,
            workspace=self.chosen.root,
            unfinished=self._others(place),
            secrets=self.secrets,
        )

    def _changes(self, path: str) -> Iterator[FileChange]:
        for record in self.journal.records():
            if isinstance(record, ToolFinished) and (
                record.span == path or record.span.startswith(f"{path}/")
            ):
                yield from record.result.changes


def _named(others: tuple[str, ...]) -> str:
    """Return a sentence on workers whose half-done files the checks may have seen; empty without any."""
    if not others:
        return ""
    more = f" and {len(others) - _NAMED:,} more" if len(others) > _NAMED else ""
    return (
        f"Other workers are still at work in this folder: {', '.join(others[:_NAMED])}{more}. If what failed "
        "is not part of your task, leave it: your work is checked again when they pause."
    )


def is_midway(check: Check) -> bool:
    """Whether *check* can look at work that is not finished: it needs no answer, and costs nothing."""
    return getattr(check, "midway", False) is True
