"""The tool calls of one turn: carried out, journalled, and taken up again after a crash."""

import asyncio
import json
import logging
import traceback
from collections import Counter
from collections.abc import Awaitable, Sequence
from itertools import groupby
from typing import Any

import attrs

from sunwell.agent.conversation.compaction import repeats_a_cut
from sunwell.agent.conversation.facts_seen import seen_call
from sunwell.agent.prompts import (
    CALL_REPEATED,
    CALL_SHORTENED,
    CALL_UNKNOWN,
    CALL_WITHOUT_RESULT,
    FAILED_MARK,
    TOLD_BEGINS,
)
from sunwell.agent.run.command_calls import command_of
from sunwell.agent.run.run_context import Run
from sunwell.agent.run.toolset import Toolset
from sunwell.checks.facts import SeenCall
from sunwell.core.message import FileChange, Message, Part, ToolCall, ToolResult
from sunwell.core.span import Span
from sunwell.core.task import CommandRun
from sunwell.core.tool import Place, StagingExecutor, ToolExecutor
from sunwell.events import (
    TOOL_CALL_FINISHED,
    TOOL_CALL_STARTED,
    TOOL_CONTENT,
    ToolCallFinished,
    ToolCallStarted,
    ToolContent,
)
from sunwell.journal.records import ToolFinished, ToolStarted
from sunwell.tools.limits import as_text
from sunwell.tools.policy import GovernedExecutor

log = logging.getLogger("sunwell.agent")


def sound_result(value: Any, call: ToolCall) -> ToolResult:
    """Return *value* as the result of *call*; a list of changes becomes a tuple, and any other value text.

    Raises :exc:`TypeError`, with a sentence for the author of the executor, if a field of the
    :class:`~sunwell.core.message.ToolResult` has another type than its class says.
    """
    if not isinstance(value, ToolResult):  # what it returned is all that the model can be told
        log.error("the executor of %s returned %s, not a ToolResult", call.name, type(value).__name__)
        return ToolResult(call.id, as_text(value))
    wanted: dict[str, tuple[type, ...]] = {
        "is_error": (bool,),
        "changes": (tuple, list),
        "left_behind": (tuple, list),
        "exit_code": (int, type(None)),
        "refused": (bool,),
    }
    for name, types in wanted.items():
        given = getattr(value, name)
        if type(given) not in types:
            raise TypeError(f"{name} of a ToolResult is {types[0].__name__}, got {type(given).__name__}")
    for change in value.changes:
        if not isinstance(change, FileChange) or type(change.path) is not str:
            raise TypeError(f"changes of a ToolResult are FileChange objects, got {change!r}")
    left = tuple(map(str, value.left_behind))
    return attrs.evolve(
        value, call_id=call.id, content=as_text(value.content), changes=tuple(value.changes), left_behind=left
    )


_REASON_CHARACTERS = 300
_SUMMARY_CHARACTERS = 160
_REPEATS_NOTICED = 3


def with_sound_ids(message: Message, turn: int) -> Message:
    """Return *message* with an id of its own for each tool call.

    Some servers leave ids out or give one twice; results could then not be told apart.
    """
    ids = [part.id for part in message.parts if isinstance(part, ToolCall)]
    taken = set(ids)
    if len(taken) == len(ids) and "" not in taken:
        return message
    seen: set[str] = set()
    parts: list[Part] = []
    for index, part in enumerate(message.parts):
        if isinstance(part, ToolCall):
            if not part.id or part.id in seen:
                part = attrs.evolve(part, id=_free_id(f"call_{turn}_{index}", taken))
            seen.add(part.id)
        parts.append(part)
    return Message(message.role, tuple(parts))


def _free_id(wanted: str, taken: set[str]) -> str:
    while wanted in taken:
        wanted += "_"
    return wanted


@attrs.define(eq=False)
class CallRunner:
    """Carries out the tool calls of one span, turn by turn."""

    run: Run
    span: Span
    tools: Toolset
    called: Counter[str] = attrs.field(factory=Counter, init=False)
    """How often each tool was called; calls that were refused do not count."""
    changes: list[FileChange] = attrs.field(factory=list, init=False)
    """Changes of files in the order in which they happened."""
    commands: list[CommandRun] = attrs.field(factory=list, init=False)
    """Commands in the order in which they ended."""
    seen: list[SeenCall] = attrs.field(factory=list, init=False)
    """All calls in the order in which they ended, as facts are told by."""
    _last: tuple[str, str, str] | None = attrs.field(default=None, init=False)
    _repeats: int = attrs.field(default=0, init=False)
    _message: tuple[ToolCall, ...] = attrs.field(default=(), init=False)
    """The calls that are carried out now."""

    async def carry_out(self, calls: Sequence[ToolCall], turn: int) -> Message:
        """Return the results of *calls* in their order, as the message for the model.

        Calls to tools that allow it run side by side; all others run alone, in order. What runs, is approved
        and is recorded is the call with its arguments repaired; the model's message stays as it was.
        """
        calls = [self.tools.repaired(call) for call in calls]
        self._message = tuple(calls)
        results: list[ToolResult] = []
        for is_parallel, of_kind in groupby(enumerate(calls), lambda item: self.tools.is_parallel(item[1])):
            group = list(of_kind)
            if is_parallel and len(group) > 1:
                results += await self._side_by_side(group, turn)
            else:
                for index, call in group:
                    recorded = self._recorded(call, turn, index)
                    results.append(recorded or await self._new(call, turn, index))
        return Message("tool", tuple(self._notice_repeats(calls, results)))

    async def _side_by_side(self, group: Sequence[tuple[int, ToolCall]], turn: int) -> list[ToolResult]:
        results = {index: self._recorded(call, turn, index) for index, call in group}
        open_calls = [(index, call) for index, call in group if results[index] is None]
        if open_calls:  # what is on record takes no time: a turn that is played again cannot time out
            try:
                async with asyncio.TaskGroup() as tasks:
                    made = [tasks.create_task(self._new(call, turn, index)) for index, call in open_calls]
            except BaseExceptionGroup as errors:  # callers know errors one by one
                raise errors.exceptions[0] from None
            results |= {index: task.result() for (index, _), task in zip(open_calls, made, strict=True)}
        return [result for result in results.values() if result is not None]

    def _recorded(self, call: ToolCall, turn: int, index: int) -> ToolResult | None:
        if not self.run.resumed:  # each place is new, and nothing is on record there
            return None
        finished = self.run.journal.find(ToolFinished, (self.span.path, turn, index))
        if finished is None:
            return None
        self.tools.recall(call, Place(self.span, turn, index, self._message), finished.result)
        started = self.run.journal.find(ToolStarted, (self.span.path, turn, index))
        self._count(call, finished.result, started, finished.duration_seconds)
        key = (self.span.path, turn, index)
        self._tell_finished(call, key, finished.result, finished.duration_seconds, replayed=True)
        return finished.result

    async def _new(self, call: ToolCall, turn: int, index: int) -> ToolResult:
        key = (self.span.path, turn, index)
        if self.run.hears(TOOL_CALL_STARTED):
            told = ToolCallStarted(self.span.path, call.name, _summary(call), call.id, turn, index)
            self.run.tell(TOOL_CALL_STARTED, told)
        clock = asyncio.get_running_loop()
        begun = clock.time()
        try:
            return await self._carried_out(call, key, begun)
        except BaseException as error:
            self._tell_broken_off(call, key, error, clock.time() - begun)
            raise

    async def _carried_out(self, call: ToolCall, key: tuple[str, int, int], begun: float) -> ToolResult:
        started = self.run.journal.find(ToolStarted, key) if self.run.resumed else None
        with self.run.noting_left_behind() as seen:
            if started is not None:
                result = await self._take_up(call, key, started)
            else:
                result, started = await self._start(call, key)
        redact, left = self.run.gateway.secrets.redact, result.left_behind
        if left or seen:  # an error in place of the result has lost what its command left
            left = tuple(map(redact, left or (one.for_user for one in seen)))
        if (content := redact(result.content)) != result.content or left != result.left_behind:
            result = attrs.evolve(result, content=content, left_behind=left)
        if started is not None and not started.repeatable and not started.changes:
            # What the run's own call left of the files, so that nobody else is blamed for it.
            reads = await self.run.files.look_again()
            if reads != result.reads:
                result = attrs.evolve(result, reads=reads)
        if result.reads or result.changes:
            self.run.files.take(result)
        seconds = asyncio.get_running_loop().time() - begun
        # Durable with the intent of the next model call, which comes later in the file.
        record = ToolFinished(*key, call.name, result, seconds)
        await self.run.journal.append(record, durable=False)
        self._count(call, result, started, seconds)
        self._tell_finished(call, key, result, seconds)
        if left:
            self.run.note_left_behind(left)
        return result

    async def _start(
        self, call: ToolCall, key: tuple[str, int, int]
    ) -> tuple[ToolResult, ToolStarted | None]:
        """Return the result of *call*, and the record of its beginning if it has begun."""
        executor, staging = self.tools.executors_of(call, Place(self.span, *key[1:], self._message))
        if repeats_a_cut(call):
            return ToolResult(call.id, CALL_SHORTENED, is_error=True, refused=True), None
        if executor is None:
            return self.tools.refusal(call), None
        # A call that waits for workers must not count as writing: their checks wait until nobody writes.
        if self.tools.is_parallel(call) or not self.tools.may_write(call):
            return await self._begin(executor, staging, call, key)
        async with self.run.quiet.writing():
            return await self._begin(executor, staging, call, key)

    async def _begin(
        self,
        executor: ToolExecutor,
        staging: StagingExecutor | None,
        call: ToolCall,
        key: tuple[str, int, int],
    ) -> tuple[ToolResult, ToolStarted | None]:
        if staging is None:
            started = ToolStarted(*key, call, repeatable=False)
            await self.run.journal.append(started)
            return await self._execute(executor, call), started
        try:
            staged = await staging.stage(call)
            harmless = staged.repeatable and not staged.changes
            started = ToolStarted(*key, call, staged.repeatable, staged.changes, staged.foretold)
        except (Exception, SystemExit) as error:
            if not _is_foreign(staging):
                raise
            return self._failed(call, error), None
        await self.run.journal.append(started, durable=not harmless)
        doing = staged.finish()
        return (await self._held(call, doing) if _is_foreign(staging) else await doing), started

    async def _execute(self, executor: ToolExecutor, call: ToolCall) -> ToolResult:
        if isinstance(executor, StagingExecutor) and not _is_foreign(executor):
            return await executor.execute(call)
        return await self._held(call, executor.execute(call))

    async def _held(self, call: ToolCall, doing: Awaitable[ToolResult]) -> ToolResult:
        try:
            value = await doing
        except (Exception, SystemExit) as error:  # the caller's own code: the model is told, the run goes on
            return self._failed(call, error)
        try:
            return sound_result(value, call)
        except TypeError as error:  # the call has acted: told as a failure, the model would act again
            log.error("the executor of %s returned an invalid result: %s", call.name, error)
            return ToolResult(
                call.id, CALL_WITHOUT_RESULT.format(tool=call.name, reason=error), is_error=True
            )

    def _failed(self, call: ToolCall, error: BaseException) -> ToolResult:
        trace = self.run.gateway.redact("".join(traceback.format_exception(error)))
        log.error("the tool executor failed on %s\n%s", call.name, trace)
        return ToolResult(call.id, f"The tool failed: {type(error).__name__}: {error}", is_error=True)

    async def _take_up(self, call: ToolCall, key: tuple[str, int, int], started: ToolStarted) -> ToolResult:
        place = Place(self.span, *key[1:], self._message)
        call = attrs.evolve(started.call, id=call.id)  # as it began, whatever this version would repair
        executor, staging = self.tools.executors_of(call, place)
        if executor is None:
            return self.tools.refusal(call)
        if started.changes and staging is not None:
            return await self._decide_by_hashes(call, staging, started)
        if started.repeatable:
            return await self._execute(executor, call)
        return ToolResult(call.id, CALL_UNKNOWN, is_error=True)

    async def _decide_by_hashes(
        self, call: ToolCall, executor: StagingExecutor, started: ToolStarted
    ) -> ToolResult:
        now = await executor.hashes(tuple(change.path for change in started.changes))
        if all(change.after == found for change, found in zip(started.changes, now, strict=True)):
            if started.foretold is not None:
                return attrs.evolve(started.foretold, call_id=call.id)
            return ToolResult(call.id, "Done.", changes=started.changes)
        if all(change.before == found for change, found in zip(started.changes, now, strict=True)):
            return await self._execute(executor, call)
        paths = ", ".join(change.path for change in started.changes)
        text = f"{CALL_UNKNOWN} Changed by somebody else meanwhile: {paths}."
        return ToolResult(call.id, text, is_error=True)

    def _count(self, call: ToolCall, result: ToolResult, started: ToolStarted | None, seconds: float) -> None:
        if not result.refused:
            self.called[call.name] += 1
        self.changes += result.changes
        seen = seen_call(call, result, started)
        self.seen.append(seen)
        if seen.command is not None:
            self.commands.append(CommandRun(seen.command, result.exit_code, seconds))

    def _notice_repeats(self, calls: Sequence[ToolCall], results: Sequence[ToolResult]) -> list[ToolResult]:
        noticed = []
        for call, result in zip(calls, results, strict=True):
            this = (call.name, call.arguments, result.content)
            self._repeats = self._repeats + 1 if this == self._last else 1
            self._last = this
            if self._repeats >= _REPEATS_NOTICED:
                hint = CALL_REPEATED.format(times=self._repeats)
                result = result.with_content(result.content + hint)
            noticed.append(result)
        return noticed

    def _tell_finished(
        self,
        call: ToolCall,
        key: tuple[str, int, int],
        result: ToolResult,
        seconds: float,
        *,
        replayed: bool = False,
    ) -> None:
        if TOOL_CONTENT.receivers and not replayed:  # mostly nobody wants the texts
            self.run.tell(TOOL_CONTENT, ToolContent(*key, call.arguments, result.content))
        if not self.run.hears(TOOL_CALL_FINISHED):
            return
        changed = tuple(change.path for change in result.changes)
        event = ToolCallFinished(
            self.span.path,
            call.name,
            result.is_error,
            seconds,
            changed,
            replayed,
            command_of(call, result) or "",
            result.exit_code,
            _reason(result),
            call.id,
            *key[1:],
            "refused" if result.refused else "tool_error" if result.is_error else "",
        )
        self.run.tell(TOOL_CALL_FINISHED, event)

    def _tell_broken_off(
        self, call: ToolCall, key: tuple[str, int, int], error: BaseException, seconds: float
    ) -> None:
        is_stopped = isinstance(error, asyncio.CancelledError)
        said = (
            "it was cancelled" if is_stopped else self.run.gateway.redact(str(error) or type(error).__name__)
        )
        event = ToolCallFinished(
            self.span.path,
            call.name,
            True,
            seconds,
            error=said[:_REASON_CHARACTERS],
            call_id=call.id,
            turn=key[1],
            index=key[2],
            error_kind=type(error).__name__,
        )
        self.run.tell(TOOL_CALL_FINISHED, event)


def _reason(result: ToolResult) -> str:
    """Return why a call failed, in a line: of a script, what its error says, and not where it was."""
    if not result.is_error:
        return ""
    _, mark, after = result.content.rpartition(FAILED_MARK)
    lines = [line.strip() for line in (after if mark else result.content).splitlines() if line.strip()]
    if mark:  # what the harness adds behind the error says nothing of it
        lines = [line for line in lines if not line.startswith(TOLD_BEGINS)]
    said = lines[-1] if lines and lines[0].startswith("Traceback") else lines[0] if lines else ""
    return said[:_REASON_CHARACTERS]


def _is_foreign(executor: ToolExecutor) -> bool:
    """Whether *executor* is the caller's own code, which may raise or give anything."""
    return isinstance(executor, GovernedExecutor)


def _summary(call: ToolCall) -> str:
    try:
        arguments = json.loads(call.arguments)
        text = " ".join(f"{key}={value!r}" for key, value in arguments.items() if value is not None)
    except (ValueError, AttributeError, RecursionError):
        text = call.arguments
    text = " ".join(text.split())
    return text if len(text) <= _SUMMARY_CHARACTERS else f"{text[: _SUMMARY_CHARACTERS - 1]}…"
