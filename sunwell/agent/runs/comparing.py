"""A recorded run against the code of today: what it asks now that was not asked then."""

from collections.abc import Iterator, Sequence
from contextlib import aclosing
from pathlib import Path

import attrs

from sunwell.agent.loop import AgentLoop
from sunwell.agent.runs.changes import changes_between
from sunwell.agent.runs.equipping import Equipment
from sunwell.agent.runs.opening import Opened, loop_config
from sunwell.agent.runs.replaying import recorded_roles, replay_of
from sunwell.agent.runs.roles import Roles
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.message import Message
from sunwell.core.task import TaskResult
from sunwell.core.tool import ToolExecutor
from sunwell.events import RunFinished
from sunwell.gateway.model_call import ModelCall
from sunwell.gateway.retry import RetryPolicy
from sunwell.journal.memory import ReplayedJournal
from sunwell.journal.records import Answer, Intent, Key, RunClosed
from sunwell.models.prices import PriceBook

_SHOWN_CHARACTERS = 400


class ReplayDifference(AssertionError):
    """The code asks something else than a journal has answers to. The text says what, call by call."""


async def replay_journal(
    path: str | Path,
    *,
    tool_executor: ToolExecutor | None = None,
    options: RunOptions | None = None,
) -> TaskResult:
    """Play the run in the journal at *path* again with the code of today, and return its result.

    Nobody is asked and nothing is done: answers and results of tools come from the journal. For
    tests of code that uses Sunwell: record a run once, and let this fail where prompts, tools or the
    flow of the work have changed since.

    Args:
        path: A ``journal.jsonl``; it is only read, and may stand anywhere.
        tool_executor: Whose tools the models are told of; ``None``: the toolbox of a workspace.
        options: Choices in place of the recorded ones.

    Raises :exc:`ReplayDifference` where a question is not the recorded one, where the code asks more
    than was answered or less, and :exc:`~sunwell.errors.JournalError` where *path* cannot be read.
    """
    journal = ReplayedJournal.read(Path(path))
    opened, session = replay_of(journal, Path(path).absolute().parent, Equipment(tool_executor), options)
    roles = recorded_roles(opened)
    seen = _Comparison(journal)
    opened = attrs.evolve(opened, compare=seen.see)
    is_closed = journal.find(RunClosed, ()) is not None
    result = await _played(opened, session, roles)
    told = [*seen.found, *seen.left_over()] if is_closed else list(seen.found)
    if is_closed and result.error.startswith("the record ends here"):
        told.append(f"more is asked than was answered: {result.error}")
    if told:
        known = list(changes_between(opened.settings or {}, opened.settings_now(session, roles)))
        raise ReplayDifference("\n".join([f"{path} was recorded by code that asked otherwise", *(
            f"known to have changed: {clause}" for clause in known), *told]))  # fmt: skip
    return result


async def _played(opened: Opened, session: SessionContext, roles: Roles) -> TaskResult:
    loop = AgentLoop(
        model=roles.own,
        executor=opened.executor,
        config=loop_config(session.options, PriceBook(), RetryPolicy()),
        smart_model=roles.smart,
        delegation_model=roles.worker,
    )
    async with aclosing(opened.events(loop, session, roles)) as events:
        async for event in events:
            if isinstance(event, RunFinished):
                return event.result
    raise AssertionError("the run ended without a result")


@attrs.define(eq=False)
class _Comparison:
    """Holds each question against the digest of the recorded one."""

    journal: ReplayedJournal
    found: list[str] = attrs.field(factory=list, init=False)
    _same: dict[str, int] = attrs.field(factory=dict, init=False)
    """For each span, how many messages its latest question had that was the recorded one."""
    _differing: set[str] = attrs.field(factory=set, init=False)
    _asked: set[Key] = attrs.field(factory=set, init=False)

    def see(self, call: ModelCall, recorded: Answer) -> None:
        path = call.span.path
        self._asked.add((path, call.number))
        if call.digest == recorded.digest:
            self._same[path] = len(call.request.messages)
        elif path not in self._differing:  # what follows in the span differs because this does
            self._differing.add(path)
            self.found.append("\n".join(self._difference(call, recorded)))

    def left_over(self) -> Iterator[str]:
        """Yield a line on recorded answers that nobody asked for."""
        answers = [record for record in self.journal.records() if isinstance(record, Answer)]
        # A run that met a limit and was given more room later has an end that nobody asks for again.
        answers = [record for record in answers if record.purpose != "closing"]
        unasked = [record for record in answers if (record.span, record.number) not in self._asked]
        if unasked:
            first = unasked[0]
            yield (
                f"{len(unasked)} of {len(answers)} recorded answers were not asked for, the first to call "
                f"{first.number} of {first.span}"
            )

    def _difference(self, call: ModelCall, recorded: Answer) -> Iterator[str]:
        request = call.request
        yield (
            f"call {call.number} of {call.span} ({call.purpose}, {call.model.name}) is not the recorded one: "
            f"digest {call.digest[:12]}…, recorded {recorded.digest[:12]}…"
        )
        intent = self.journal.find(Intent, (recorded.span, recorded.number, recorded.attempt))
        if intent is not None and intent.model != call.model.name:
            yield f"  the model was {intent.model}"
            if request.digest(intent.model) == recorded.digest:
                yield "  and nothing else differs"
                return
        same = self._same.get(call.span.path)
        if same is None:
            yield "  the difference is in the system prompt, the tools, the effort or the first messages:"
            for i, section in enumerate(request.system):
                yield f"  system {i}: {_cut(section)}"
            yield f"  tools: {', '.join(tool.name for tool in request.tools) or 'none'}"
            yield from _told(request.messages, 0)
            return
        yield f"  its first {same} messages are the recorded ones; the difference is in what follows:"
        yield from _told(request.messages, same)


def _told(messages: Sequence[Message], start: int) -> Iterator[str]:
    for number, message in enumerate(messages[start:], start):
        yield f"  message {number}: {_cut(' '.join(message.fields()))}"


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[: _SHOWN_CHARACTERS - 1]}…"
