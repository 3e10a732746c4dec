"""The next question in the conversation of a run that has ended: a new run, and the other stays as it is."""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from sunwell.agent.conversation.conversation import Conversation
from sunwell.agent.conversation.final_call import with_words
from sunwell.agent.lifecycle.authority import CallerTerms, options_now
from sunwell.agent.lifecycle.continuation import Continuation, GoesOn, Place
from sunwell.agent.lifecycle.drift import changes_between, files_clause
from sunwell.agent.lifecycle.equipment import Equipment
from sunwell.agent.lifecycle.model_roles import Roles
from sunwell.agent.lifecycle.open_run import (
    RunStart,
    chosen_checks,
    hashes_of,
    learn_keys,
    require_approver,
)
from sunwell.agent.lifecycle.replay_run import played_run, recorded_roles, replay_of
from sunwell.agent.lifecycle.run_settings import latest_settings, options_from
from sunwell.agent.prompts import CALL_OF_ENDED_RUN, STATUS_BEGINS, WAIT_OF_ENDED_RUN, continued_text
from sunwell.agent.run.files_seen import FilesSeen
from sunwell.agent.run.recorded_tools import RecordedTools
from sunwell.agent.run.run_context import Run
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.message import History, Message, Part, Text, ToolResult, user
from sunwell.core.model import ModelProtocol
from sunwell.core.tool import ToolExecutor
from sunwell.errors import ConfigurationError, JournalError
from sunwell.journal.layout import RunFile, new_run_id
from sunwell.journal.places import Journals
from sunwell.journal.protocol import Journal
from sunwell.journal.records import (
    Note,
    Record,
    RunClosed,
    RunOpened,
    RunResumed,
    ToolFinished,
    ToolStarted,
    WorkerClosed,
)
from sunwell.journal.retention import is_running
from sunwell.memory.scratchpad import IDS_NOTE, TaskIds, entries_of
from sunwell.tools.environment import secrets_from_environment


@attrs.frozen
class NextQuestion:
    """What the user says next, and to which run."""

    workspace: Path
    run_id: str
    """The run, or a beginning of its id."""
    words: str
    terms: CallerTerms = CallerTerms()


@attrs.frozen
class _ToolsOfEndedRun(RecordedTools):
    """The tools of a run that has ended. What it left under way is judged by the files as they are."""

    files: ToolExecutor | None = None

    async def hashes(self, paths: tuple[str, ...]) -> tuple[str | None, ...]:
        """Return how the files are now."""
        look = None if self.files is None else hashes_of(self.files)
        return tuple(None for _ in paths) if look is None else await look(paths)


async def open_continued(
    journals: Journals,
    asked: NextQuestion,
    equipment: Equipment,
    resolve: Callable[[RunOptions], Roles],
) -> tuple[RunStart, SessionContext, Roles]:
    """Make the journal of a new run that goes on with the conversation of another one.

    Raises :exc:`~sunwell.errors.JournalError` if there is no such run, or if files have changed since and
    that is not accepted; :exc:`~sunwell.errors.ConfigurationError` if the run has no conversation, or has
    not ended.
    """
    source = _ended(journals, asked)
    asked = attrs.evolve(asked, run_id=source.run_id)
    settings = latest_settings(source.records())
    options = options_now(settings, asked.terms, equipment)
    SessionContext.build(asked.workspace, asked.words, options)  # an empty question is refused first
    continuation = await earlier_conversation(journals, asked, equipment)
    options = _options_of(options, continuation)
    _require_used(options_from(settings), options, continuation, asked.terms)
    session = SessionContext.build(asked.workspace, asked.words, options)
    roles = resolve(options)
    secrets = learn_keys(secrets_from_environment(), roles)
    require_approver(settings, equipment.executor_for(session, source, secrets))
    equipment.require_sandbox(session)
    checks = chosen_checks(session, None, secrets, settings)
    if checks is not None:
        checks.require_sandbox()
    start = RunStart(
        source,
        equipment.executor_for(session, source, secrets),
        secrets,
        equipment,
        checks=checks,
        continuation=continuation,
    )
    told = _changes_told(settings, start.settings_now(session, roles), asked.terms)
    if options_from(settings).escalate:
        told.append("the run had climbed a ladder; its last conversation goes on, and climbs no further")
    journal = journals.create(asked.workspace, new_run_id())  # last: what is refused leaves no run behind
    tools = equipment.executor_for(session, journal, secrets)
    return attrs.evolve(start, journal=journal, executor=tools, notes=tuple(told)), session, roles


async def earlier_conversation(journals: Journals, asked: NextQuestion, equipment: Equipment) -> Continuation:
    """Return the conversation of the run that *asked* names, with the user's words at its end.

    The run is played again from its record, without a model, a tool or an event: so the messages are those
    that were sent, byte for byte, as long as the prompts of the installed version are those of the run.
    """
    source = _ended(journals, asked)
    records = list(source.records())
    opened = records[0]
    assert isinstance(opened, RunOpened)
    settings = latest_settings(records)
    start, session = replay_of(source, asked.workspace, equipment)
    executor = equipment.executor_for(session, source, secrets_from_environment())
    files, changed = await _files_since(records, executor, asked.terms)
    tools = _ToolsOfEndedRun(start.executor, CALL_OF_ENDED_RUN, executor)
    start = attrs.evolve(start, executor=tools, accept_changes=True, is_told=False)
    roles = recorded_roles(start)
    run, _ = await played_run(start, session, roles)
    if run.workers and not run.works:
        raise ConfigurationError(_many(source.run_id, "the task was split, and each of its parts"))
    work = next((one for one in reversed(run.works) if isinstance(one, Conversation)), None)
    reason, shown = _end_of(records)
    history = _as_left(work, run, records)
    said = continued_text(
        asked.words,
        reason=reason,
        shown="" if _has(history, shown) else shown,
        changed=changed,
        unfinished=_unfinished(run, records),
    )
    place = _place_of(work, session.options, roles.worker)
    return Continuation(
        run_id=source.run_id,
        place=place,
        role=_role_of(work, place, roles),
        system=() if work is None else work.given.system,
        messages=tuple(with_words(history, said)),
        tokens_per_byte=None if work is None else work.measured_tokens_per_byte,
        guidance=run.guidance,
        tools=run.tools.specs,
        surroundings=settings.get("surroundings", ""),
        lens=run.lens,
        files=files,
        entries=entries_of(records),
    )


def _ended(journals: Journals, asked: NextQuestion) -> Journal:
    """Return the journal of the run that *asked* names. Raises an error if it can have no next question."""
    source = journals.read(asked.workspace, asked.run_id)
    run_id = source.run_id
    if source.path is not None and is_running(RunFile(run_id, source.path)):
        raise ConfigurationError(
            f"the run {run_id} is running in another process: wait until it ends, or stop it (Ctrl-C), and "
            "continue it then"
        )
    settings = latest_settings(source.records())
    if not settings:
        raise JournalError(f"{source.path} does not record how the run was started: start a new run")
    if "asked" in settings:
        again = _ask_again(settings["asked"])
        raise ConfigurationError(
            f"the run {run_id} answered a question about long contexts, and its session is gone: ask the "
            f"next question with {again} (Agent.ask in Python); parts that were asked "
            "the same before are answered from memory"
        )
    if "batch" in settings:
        raise ConfigurationError(_many(run_id, "it is a batch, and each of its tasks"))
    if settings.get("lens_only"):
        raise ConfigurationError(
            f"the run {run_id} only wrote a lens, so there is no conversation to continue: do a task under "
            "the lens with sunwell run TASK --lens LENS.json"
        )
    return source


def _ask_again(asked: Mapping[str, Any]) -> str:
    names = [str(name) for name, _ in asked["contexts"]]
    given = "".join(f" -c {shlex.quote(name)}" for name in names if name != "standard input")
    return f'sunwell ask "QUESTION"{given}'


def _many(run_id: str, what: str) -> str:
    return (
        f"the run {run_id} has no single conversation to continue: {what} had one of its own; a new run "
        f"reads their results with sunwell run TASK --orchestrate --after {run_id}"
    )


async def _files_since(
    records: Iterable[Record], executor: ToolExecutor, terms: CallerTerms
) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Return the files that the conversation rests on as they are, and those that others have changed."""
    files = FilesSeen(hashes_of(executor))
    for record in records:
        files.see(record)
    changed = await files.changed_since()
    if changed and not terms.accept_changes:
        raise JournalError(
            f"{files_clause(changed)}: undo that, or continue with --accept-changes; the model is then told "
            "which files have changed"
        )
    return await files.look_again(), changed


def _end_of(records: Iterable[Record]) -> tuple[str, str]:
    """Return how the run of *records* ended, and the answer that its model gave then.

    What the harness puts together in place of an answer says nothing that the conversation does not have.
    """
    last: Record | None = None
    for record in records:
        if isinstance(record, RunOpened | RunResumed | RunClosed):
            last = record
    if not isinstance(last, RunClosed):
        return "interrupted", ""
    answer = last.answer.strip() if last.answer_by == "model" else ""
    return "end" if last.status == "ok" else last.stop_reason, answer


def _as_left(work: Conversation | None, run: Run, records: Sequence[Record]) -> History:
    """Return the conversation of *work* as the run left it; what never ran says so."""
    if work is None:
        return History([user(run.task)])
    history = work.until_now(CALL_OF_ENDED_RUN)
    if not run.gateway.ran_out or history[-1].role != "tool":
        return history
    span, turn = work.given.span.path, work.turns - 1
    begun = {one.key for one in records if isinstance(one, ToolStarted)}
    ended = {one.key for one in records if isinstance(one, ToolFinished)}
    own = {spec.name for spec in run.tools.specs}
    names = {call.id: call.name for call in history[-2].tool_calls}
    parts: list[Part] = []
    for index, part in enumerate(history[-1].parts):
        if isinstance(part, Text) and part.text.startswith(STATUS_BEGINS):
            continue  # it was never sent
        key = (span, turn, index)
        # The workers of a run that is played again come to nothing: that is no result.
        if isinstance(part, ToolResult) and key not in ended and names.get(part.call_id) not in own:
            said = WAIT_OF_ENDED_RUN if key in begun else CALL_OF_ENDED_RUN
            part = ToolResult(part.call_id, said, is_error=True)
        parts.append(part)
    return History([*history[:-1], Message("tool", tuple(parts))])


def _has(history: History, answer: str) -> bool:
    """Whether the model itself has said *answer* at the end of *history*, or nothing was answered."""
    last = next((message for message in reversed(history) if message.role == "assistant"), None)
    if not answer or last is None:
        return not answer
    text = last.text.strip()
    if text and answer.endswith(text):
        return True
    return any(_content(call.arguments) == answer for call in last.tool_calls)


def _content(arguments: str) -> str:
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return ""
    return str(value.get("content", "")).strip() if isinstance(value, dict) else ""


def _unfinished(run: Run, records: Iterable[Record]) -> tuple[str, ...]:
    """Return the ids of the workers of a model that had not ended, those that had not begun among them."""
    ids: TaskIds | None = None
    ended: set[str] = set()
    for record in records:
        if isinstance(record, Note) and record.name == IDS_NOTE:
            ids = TaskIds.from_json(record.value)
        elif isinstance(record, WorkerClosed) and ids is not None:
            ended.add(ids.of(record.span))
    return tuple(one.task_id for one in run.workers if one.task_id not in ended)


def _place_of(work: Conversation | None, options: RunOptions, worker: ModelProtocol | None) -> Place:
    if options.orchestrate:
        return "orchestrator"
    if work is None or work.given.span.path.split("/")[1] != "work":
        return "direct"
    return "work" if worker is None or work.given.model.name == worker.name else "direct"


def _role_of(work: Conversation | None, place: Place, roles: Roles) -> GoesOn:
    """Return the role of the model that *work* asked."""
    if place == "orchestrator":
        return "smart_model"
    if work is None:
        return "model"
    named: dict[GoesOn, Any] = {"model": roles.own, "delegation_model": roles.worker}
    named |= {"second_model": roles.second, "smart_model": roles.smart}
    if place == "work":
        return "delegation_model" if roles.worker is not None else "model"
    name = work.given.model.name
    return next((role for role, one in named.items() if one is not None and one.name == name), "model")


def _options_of(options: RunOptions, continuation: Continuation) -> RunOptions:
    """Return *options* for going on: nothing is decided, split or climbed any more."""
    if options.orchestrate != (continuation.place == "orchestrator"):
        raise ConfigurationError(
            "a conversation goes on as it began: with orchestrate if it was an orchestrator's, else without"
        )
    lens = options.lens or continuation.lens
    return attrs.evolve(options, lens=lens, split=False, escalate=False, earlier_runs=())


def _require_used(
    recorded: RunOptions, options: RunOptions, continuation: Continuation, terms: CallerTerms
) -> None:
    """Refuse a model that is named and that nobody would ask."""
    used = {continuation.role}
    used |= {"delegation_model"} if options.orchestrate or options.delegation_tools else set()
    for role in ("model", "smart_model", "delegation_model", "second_model"):
        name = terms.given.get(role)
        if isinstance(name, str) and name != getattr(recorded, role) and role not in used:
            wrong, right = (f"--{one.replace('_', '-')}" for one in (role, continuation.role))
            raise ConfigurationError(
                f"{wrong} {name} would not be asked: the model that goes on is the one that {right} names"
            )


def _changes_told(recorded: Mapping[str, Any], now: Mapping[str, Any], terms: CallerTerms) -> list[str]:
    """Return a warning for what differs from the earlier run, other than what the caller asked for."""
    before = {**recorded, "lens": now.get("lens")}
    clauses = [one for one in changes_between(before, now) if one.split(" ", 1)[0] not in terms.given]
    if not clauses:
        return []
    return [f"{'; '.join(clauses)}: the conversation goes on, but the provider's cache may not have it"]
