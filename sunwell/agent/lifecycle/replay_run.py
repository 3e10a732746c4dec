"""A run played again from its record alone, and what differs if the code of today asks something else."""

from collections.abc import AsyncIterator, Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import attrs

from sunwell.agent.lifecycle.drift import changes_between
from sunwell.agent.lifecycle.equipment import Equipment
from sunwell.agent.lifecycle.model_roles import Roles
from sunwell.agent.lifecycle.open_run import RunStart, chosen_checks
from sunwell.agent.lifecycle.run_settings import batch_in, latest_settings, options_from
from sunwell.agent.loop import AgentLoop
from sunwell.agent.run.asked_contexts import AskedContexts
from sunwell.agent.run.loop_config import LoopConfig
from sunwell.agent.run.recorded_tools import RecordedTools
from sunwell.agent.run.run_context import Run
from sunwell.context.options import MODEL_ROLES, RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.message import Message
from sunwell.core.model import Completion, Delta, Request
from sunwell.core.price import Price, Rates
from sunwell.core.secrets import Secrets
from sunwell.core.task import TaskResult
from sunwell.core.tool import ToolExecutor
from sunwell.errors import JournalError
from sunwell.events import RunFinished
from sunwell.gateway.model_call import ModelCall
from sunwell.journal.memory import ReplayedJournal
from sunwell.journal.places import Journals
from sunwell.journal.protocol import Journal
from sunwell.journal.records import Answer, Intent, Key, RunClosed, RunOpened
from sunwell.models.prices import PriceBook


@attrs.frozen
class RecordedModel:
    """Stands for a model of a recorded run. It has a name and a price, and nothing to say."""

    name: str
    price: Price | None = None

    async def complete(self, request: Request) -> Completion:
        """Never called: a run that is played again asks nobody."""
        raise AssertionError(f"{self.name} was asked in a run that is only played again: {request!r}")

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Never called either."""
        yield Delta(completion=await self.complete(request))


def open_replay(
    journals: Journals, workspace: Path, run_id: str, equipment: Equipment
) -> tuple[RunStart, SessionContext]:
    """Read the journal of a run for playing it again, and return it with the session that it recorded."""
    return replay_of(journals.read(workspace, run_id), workspace, equipment)


def replay_of(
    journal: Journal, workspace: Path, equipment: Equipment, options: RunOptions | None = None
) -> tuple[RunStart, SessionContext]:
    """Return the run of *journal* ready to be played again, with *options* in place of the recorded ones."""
    recorded = journal.find(RunOpened, ())
    if recorded is None:
        raise JournalError(f"{journal.path} does not begin with a run: it cannot be played again")
    settings = latest_settings(journal.records())
    equipment = equipment.recorded(settings)
    options = options or equipment.playable(options_from(settings), settings)
    session = SessionContext.build(workspace, recorded.task, options)
    tools = equipment.described(session)
    batch = batch_in(settings)
    if batch is not None:
        batch = attrs.evolve(batch, results=None)  # nothing is written
    return RunStart(
        journal,
        RecordedTools(tools),
        Secrets(),
        equipment,
        settings=settings,
        batch=batch,
        lens_only=bool(settings.get("lens_only")),
        recorded_only=True,
        asked=AskedContexts.again(settings.get("asked"), workspace),
        checks=chosen_checks(session, batch, Secrets(), settings),
    ), session


def played_again(start: RunStart, *, accept_changes: bool) -> RunStart:
    """Return *start* for playing it again; its journal is read into memory and given up."""
    journal = start.journal
    copy = ReplayedJournal.copy_of(journal.path, journal.records())
    journal.close()
    return attrs.evolve(
        start,
        journal=copy,
        executor=RecordedTools(start.executor),
        recorded_only=True,
        heed_refusals=True,
        accept_changes=accept_changes,
    )


def recorded_roles(start: RunStart) -> Roles:
    """Return stand-ins for the models that the run was recorded with."""
    named = (start.settings or {})["models"]
    smart, worker, second, judge = (
        _stand_in(named[role]) if named.get(role) else None for role in MODEL_ROLES if role != "model"
    )
    return Roles(_stand_in(named["model"]), smart, worker, second=second, judge=judge)


def _stand_in(name: str) -> RecordedModel:
    model = RecordedModel(name)
    if PriceBook().price(model) is None:  # a cap in dollars wants a price, and here nothing is paid
        return attrs.evolve(model, price=Price(Rates(Decimal(0), Decimal(0)), source="replay", date=""))
    return model


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
    start, session = replay_of(journal, Path(path).absolute().parent, Equipment(tool_executor), options)
    roles = recorded_roles(start)
    seen = _Comparison(journal)
    start = attrs.evolve(start, compare=seen.see)
    is_closed = journal.find(RunClosed, ()) is not None
    result = await _played(start, session, roles)
    told = [*seen.found, *seen.left_over()] if is_closed else list(seen.found)
    if is_closed and result.error.startswith("the record ends here"):
        told.append(f"more is asked than was answered: {result.error}")
    if told:
        known = list(changes_between(start.settings or {}, start.settings_now(session, roles)))
        raise ReplayDifference("\n".join([f"{path} was recorded by code that asked otherwise", *(
            f"known to have changed: {clause}" for clause in known), *told]))  # fmt: skip
    return result


async def _played(start: RunStart, session: SessionContext, roles: Roles) -> TaskResult:
    _, result = await played_run(start, session, roles)
    return result


async def played_run(start: RunStart, session: SessionContext, roles: Roles) -> tuple[Run, TaskResult]:
    """Play the run of *start* again to the end of its record, and return it with its result."""
    loop = AgentLoop(
        model=roles.own,
        config=LoopConfig.of(session.options),
        smart_model=roles.smart,
        delegation_model=roles.worker,
        second_model=roles.second,
    )
    loop.check(start.batch, lens_only=start.lens_only, is_replay=start.recorded_only)
    run = await start.begin(loop, loop.config, session, roles)
    async with loop.events_of(run, start.batch, lens_only=start.lens_only) as events:
        async for event in events:
            if isinstance(event, RunFinished):
                return run, event.result
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

    def see(self, call: ModelCall, recorded: Answer | None) -> None:
        if recorded is None:
            return
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
        # What a check found is on record, so its judge is not asked again.
        # What scripts asked is not asked again either: their results are on record, and the context is not.
        answers = [record for record in answers if record.purpose not in ("closing", "check", "read")]
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
