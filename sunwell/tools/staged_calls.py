"""Tool calls that have been checked, and how they are executed."""

import asyncio
import copy
import json
import logging
import math
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from contextvars import ContextVar
from inspect import isawaitable, iscoroutine
from typing import Any, Protocol

import attrs

from sunwell.core.alarms import Within
from sunwell.core.marks import guarded
from sunwell.core.message import FileChange, ToolCall, ToolResult
from sunwell.core.secrets import Secrets
from sunwell.core.tool import Proposal
from sunwell.errors import ToolError
from sunwell.tools.file_tools import Plan, counts_in, difference
from sunwell.tools.limits import Approve, Outcome, ToolLimits, as_text
from sunwell.tools.originals import Keeper, Originals
from sunwell.tools.wording import cut, on_one_line, refusal_of
from sunwell.tools.workspace_view import WorkspaceView

_LONGEST_SUMMARY = 200
log = logging.getLogger("sunwell.tools")
while_asking: ContextVar[Callable[[], AbstractAsyncContextManager[None]]] = ContextVar(
    "while_asking", default=nullcontext
)
"""Entered while an approval is pending: this time does not count as working time."""
asking_for: ContextVar[str] = ContextVar("asking_for", default="")
"""The worker whose calls are executed, with its task; empty outside workers."""


@attrs.define(eq=False)
class CallNotApproved(ToolError):
    """A call was not made, because nobody approved it. The sentence goes to the model."""


class Runnable(Protocol):
    """The function of a tool: a user's tool returns text, a built-in tool may return more."""

    @property
    def repeatable(self) -> bool: ...

    def run(self, arguments: Mapping[str, Any]) -> Awaitable[object]: ...


@attrs.define(eq=False)
class CallTerms:
    """Settings for every call of a toolbox."""

    limits: ToolLimits
    secrets: Secrets
    dry_run: bool = False
    approve: Approve | None = None
    originals: Keeper | None = None
    view: WorkspaceView | None = None
    allow_write: tuple[str, ...] = ()
    """Globs of files that may be written although other programs run them by themselves."""
    _asking: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    def in_turn_with(self, other: "CallTerms") -> "CallTerms":
        """Return a copy that shares the queue of approval questions with *other*."""
        made = copy.copy(self)
        made._asking = other._asking
        return made

    def result(self, call: ToolCall, outcome: Outcome, changes: tuple[FileChange, ...] = ()) -> ToolResult:
        """Return *outcome* for the model: known secrets replaced, cut to the limit."""
        text = self.secrets.redact(outcome.text.encode("utf-8", "replace").decode())
        text = cut(text, self.limits.output_chars)
        left = tuple(map(self.secrets.redact, outcome.left_behind))
        return ToolResult(call.id, text, outcome.is_error, changes, outcome.exit_code, outcome.reads, left)

    def failure(self, call: ToolCall, sentence: str) -> ToolResult:
        """Return *sentence*, which may repeat lines of a file, as a result with ``is_error``."""
        return self.result(call, Outcome(guarded(sentence), is_error=True))

    def refusal(self, call: ToolCall, sentence: str) -> ToolResult:
        """Return *sentence* as the result of a call that was refused before it began."""
        return attrs.evolve(self.failure(call, sentence), refused=True)

    def failed(self, call: ToolCall, error: ToolError) -> ToolResult:
        """Return what the model is told of *error*: a failure, or a refusal if nobody approved the call."""
        is_refused = isinstance(error, CallNotApproved)
        return (self.refusal if is_refused else self.failure)(call, error.sentence)

    async def require_approval(
        self, tool: str, summary: str, details: str, *, path: str = "", conditions: str = "", reason: str = ""
    ) -> None:
        """Ask for approval, one question at a time; raise :exc:`CallNotApproved` unless it is given.

        With a *reason* it is always asked, whatever was approved before.
        """
        if self.approve is None:
            return
        redact = self.secrets.redact
        line = on_one_line(redact(summary))
        if len(line) > _LONGEST_SUMMARY:  # the details are complete
            line = line[: _LONGEST_SUMMARY - 1] + "…"
        proposal = Proposal(
            tool,
            line,
            redact(details),
            path=redact(path),
            conditions=redact(conditions),
            asked_by=redact(asking_for.get()),
            reason=reason,
            always=bool(reason),
        )
        async with self._asking, while_asking.get()():
            try:
                said = self.approve(proposal)
                approved = await said if isawaitable(said) else said
            except Exception as error:
                log.exception("approve failed on a call to %s; the call was not made", tool)
                sentence = f"{tool} could not be approved ({type(error).__name__}); not done"
                raise CallNotApproved(sentence) from None
        if approved is not True:  # the string "no" is true in a condition
            raise CallNotApproved(refusal_of(tool))


@attrs.frozen
class StagedAnswer:
    """A call whose result is already known: it is invalid, or there is nothing to do."""

    result: ToolResult
    changes: tuple[FileChange, ...] = ()
    repeatable: bool = True
    foretold: ToolResult | None = None

    async def finish(self) -> ToolResult:
        return self.result


@attrs.frozen
class StagedWrite:
    """A file that is about to be changed."""

    call: ToolCall
    plan: Plan
    terms: CallTerms
    view: WorkspaceView
    holds: bool = False
    """Whether the content before is kept although it is not that of before the run: a worker wrote it."""

    changes: tuple[FileChange, ...] = attrs.field(init=False)
    """The change of the file; nothing in a dry run."""

    @changes.default
    def _changes(self) -> tuple[FileChange, ...]:
        return () if self.terms.dry_run else self.plan.changes

    @property
    def repeatable(self) -> bool:
        """True if no file changes; otherwise the file's hash shows whether the call was executed."""
        return not self.changes

    foretold: ToolResult | None = attrs.field(init=False)
    """The result if the call succeeds."""

    @foretold.default
    def _foretell(self) -> ToolResult | None:
        return self._done() if self.changes else None

    async def finish(self) -> ToolResult:
        """Ask for approval, keep the original, write."""
        if self.terms.dry_run:
            return self._planned()
        if not self.plan.changes:
            return self._done()
        try:
            if self.terms.approve is not None:
                whole = self._whole_difference()
                summary = f"{self._verb()} {self.plan.path} ({counts_in(whole)})"
                await self.terms.require_approval(
                    self.call.name, summary, whole, path=self.plan.path, reason=self.plan.asked
                )
            self._write()
        except ToolError as error:
            return self.terms.failed(self.call, error)
        return self.foretold or self._done()

    def _done(self) -> ToolResult:
        return self.terms.result(self.call, Outcome(self.plan.done), self.plan.changes)

    def _planned(self) -> ToolResult:
        self.view.planned[self.plan.path] = self.plan.new
        said = f"dry run, nothing was changed on disk; planned: {self.plan.done}\n{self._difference()}"
        return self.terms.result(self.call, Outcome(said))

    def _difference(self) -> str:
        return difference(self.plan, self.view.secrets.redact)

    def _whole_difference(self) -> str:
        return difference(self.plan, self.view.secrets.redact, whole=True)

    def _verb(self) -> str:
        return "make" if self.plan.old is None else "change"

    def _write(self) -> None:
        plan, change = self.plan, self.plan.change
        if self.view.workspace.sha256(plan.path) == change.before and self.terms.originals is not None:
            assert change.after is not None
            try:
                if self.holds and isinstance(self.terms.originals, Originals):
                    self.terms.originals.hold(plan.old)
                self.terms.originals.keep(plan.path, change.before, plan.old)
                self.terms.originals.expect(plan.path, change.after)
            except OSError as error:
                raise ToolError(
                    f"the original of {plan.path} cannot be kept ({error}); it was not changed"
                ) from None
        allowed = bool(plan.asked and self.terms.approve is not None) or self.view.allows(plan.path)
        self.view.workspace.write(plan.path, plan.new, change.before, allowed=allowed)


@attrs.frozen
class StagedRun:
    """A tool call that is not known to change any file of the workspace."""

    call: ToolCall
    tool: Runnable
    arguments: Mapping[str, Any]
    terms: CallTerms
    changes: tuple[FileChange, ...] = ()
    foretold: ToolResult | None = None

    @property
    def repeatable(self) -> bool:
        """As the tool says; a call that a dry run skips does nothing and may be repeated."""
        return self.tool.repeatable or (self._asks and self.terms.dry_run)

    @property
    def _asks(self) -> bool:
        ask = getattr(self.tool, "ask", None)
        if ask is None:  # it may have side effects, unless it says otherwise
            return not (self.tool.repeatable or getattr(self.tool, "parallel", False))
        return bool(ask)

    async def finish(self) -> ToolResult:
        """Ask for approval if the tool requires it, and run it within its time limit."""
        try:
            if self._asks:
                summary, details = self._proposed()
                if self.terms.dry_run:
                    # A summary is one line and may be cut.
                    exactly = "" if details in summary else f"\n{details}"
                    return self.terms.result(self.call, Outcome(f"dry run, not done: {summary}{exactly}"))
                if self.terms.approve is None and getattr(self.tool, "needs_approver", False):
                    raise CallNotApproved(
                        f"{self.call.name} was not done: each call needs approval, and nobody is asked in "
                        "this run; the user can allow that with --approve"
                    )
                conditions = getattr(self.tool, "conditions", None)
                how = conditions(self.arguments) if callable(conditions) else ""
                await self.terms.require_approval(self.call.name, summary, details, conditions=how)
            return self.terms.result(self.call, await self._run())
        except ToolError as error:
            return self.terms.failed(self.call, error)

    def _proposed(self) -> tuple[str, str]:
        summary = getattr(self.tool, "summary", None)
        details = getattr(self.tool, "details", None)
        if callable(summary) and callable(details):
            return summary(self.arguments), details(self.arguments)
        # The parsed arguments: the model's JSON may have been repaired.
        return f"run the tool {self.call.name}", json.dumps(dict(self.arguments), ensure_ascii=False)

    async def _run(self) -> Outcome:
        seconds = getattr(self.tool, "timeout_seconds", None) or self.terms.limits.call_seconds
        # Not every event loop accepts an infinite delay.
        limit = Within(None if math.isinf(seconds) else seconds)
        try:
            doing = self.tool.run(self.arguments)
            if iscoroutine(doing):
                gave = await limit.over(doing)
            else:
                with limit:
                    gave = await doing
            return gave if isinstance(gave, Outcome) else Outcome(guarded(as_text(gave)))
        except ToolError:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise self._broken(error) from None
        except SystemExit as error:  # it would end the caller's whole program
            raise ToolError(f"{self.call.name} failed: it called sys.exit({error.code!r})") from None
        except Exception as error:
            if limit.expired():
                raise ToolError(
                    f"{self.call.name} took more than {seconds:g} seconds and was stopped"
                ) from None
            raise self._broken(error) from None

    def _broken(self, error: BaseException) -> ToolError:
        redact = self.terms.secrets.redact
        log.error(
            "the tool %s failed\n%s", self.call.name, redact("".join(traceback.format_exception(error)))
        )
        return ToolError(f"{self.call.name} failed: {type(error).__name__}: {error}")
