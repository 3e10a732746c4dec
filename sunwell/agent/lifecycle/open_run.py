"""A run is opened: journal, toolbox and settings, for a new run or one that is taken up again."""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import attrs

import sunwell
from sunwell.agent.batches.task_batch import Batch
from sunwell.agent.lens.lens_parser import without_secrets
from sunwell.agent.lifecycle.authority import CallerTerms, batch_now, options_now, require_task_checks
from sunwell.agent.lifecycle.continuation import Continuation
from sunwell.agent.lifecycle.drift import changes_between, code_of, digests_of, files_clause
from sunwell.agent.lifecycle.equipment import Equipment
from sunwell.agent.lifecycle.model_roles import Roles, dearer_worker
from sunwell.agent.lifecycle.run_settings import (
    batch_in,
    latest_settings,
    lens_fields_of,
    options_from,
    own_checks,
    settings_of,
    settings_of_last_end,
)
from sunwell.agent.prompts import ASK_PROMPT_VERSION, CLASSIFY_PROMPT_VERSION
from sunwell.agent.run.asked_contexts import AskedContexts, GivenAgain
from sunwell.agent.run.context_lookup import ContextLookup, with_context_query
from sunwell.agent.run.files_seen import FilesSeen, Hashes
from sunwell.agent.run.guidance import Guidance, surroundings_of
from sunwell.agent.run.ladder_terms import LadderTerms
from sunwell.agent.run.lens_shelf import LensShelf
from sunwell.agent.run.loop_config import LoopConfig
from sunwell.agent.run.run_context import Run, came_to_its_end, left_behind_in
from sunwell.agent.run.toolset import Toolset
from sunwell.budget.ledger_protocol import Amount
from sunwell.budget.tally import BilledCall
from sunwell.context.excerpts import Shown, gather
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.confinement import Confinement
from sunwell.core.lens import EphemeralLens
from sunwell.core.model import Completion
from sunwell.core.secrets import Secrets
from sunwell.core.threads import in_thread
from sunwell.core.tool import StagingExecutor, ToolExecutor, has_methods_of
from sunwell.errors import ConfigurationError, JournalError, ToolError
from sunwell.events import MODEL_FELL_BACK, WARNED, Warned
from sunwell.gateway.model_call import ModelCall
from sunwell.journal.file import FileJournal
from sunwell.journal.layout import new_run_id
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.places import Journals
from sunwell.journal.power import PowerLosses, missing_calls
from sunwell.journal.protocol import Journal
from sunwell.journal.records import (
    Answer,
    Continued,
    Failure,
    Forked,
    Intent,
    Leeway,
    NewTokensCounted,
    Note,
    Record,
    RunOpened,
    RunResumed,
    ToolFinished,
)
from sunwell.journal.worked_time import WorkedTime
from sunwell.memory.answer_memory import AnswerMemory, answers_file
from sunwell.memory.lens_store import LensStore, lenses_file
from sunwell.memory.outcome_store import outcomes_file
from sunwell.models.connection import Connection
from sunwell.tools.environment import secrets_from_environment
from sunwell.tools.originals import Originals
from sunwell.tools.policy import approver_of, is_dry_run, keep_originals
from sunwell.tools.sandbox import OFF_WARNING
from sunwell.tools.toolbox import Toolbox
from sunwell.tools.workspace import Workspace

if TYPE_CHECKING:
    from sunwell.checks.suite import ChosenChecks

_Attempt = tuple[str, int, int]


def restore(run: Run) -> Leeway | None:
    """Book every answer of *run*'s journal, and the reservation of each intent that came to none.

    An intent without an answer may have been billed: its whole reservation counts, as uncertain. So does the
    leeway for intents that a loss of power may have taken.
    If a ceiling is passed with that, no call under it is made. No amount is below zero, which would raise a
    ceiling: a record with such a one cannot be read. Raises :exc:`~sunwell.errors.JournalError` for work that
    is not the run's.

    Returns what a loss of power may have taken since the run was last taken up; ``None``: nothing.
    """
    open_intents: dict[_Attempt, Intent] = {}
    answered: set[tuple[str, int]] = set()
    worked, losses = WorkedTime(), PowerLosses()
    is_copied = run.journal.find(Forked, ()) is not None  # up to that record, another run has paid
    for record in run.journal.records():
        run.files.see(record)
        run.left_behind += left_behind_in([record])
        _require_own_span(run, record)
        if is_copied:
            if isinstance(record, Answer):
                answered.add((record.span, record.number))
            if isinstance(record, Forked):
                run.gateway.accepted |= answered
                is_copied = False
            continue
        worked.see(record)
        losses.see(record)
        match record:
            case Intent():
                open_intents[record.span, record.number, record.attempt] = record
            case Answer():
                answered.add((record.span, record.number))
                intent = open_intents.pop((record.span, record.number, record.attempt), None)
                _book_answer(run, record, intent)
            case Failure(completion=Completion() as completion):
                intent = open_intents.pop((record.span, record.number, record.attempt), None)
                if intent is not None:
                    _book_answer(run, _as_answer(intent, completion, record), intent)
            case Failure(may_be_billed=False):
                open_intents.pop((record.span, record.number, record.attempt), None)
            case RunResumed(accepted=True):
                run.gateway.accepted |= answered
    for intent in open_intents.values():
        _book_uncertain(run, intent)
    lost = losses.until(run.journal.boot)
    for leeway in lost:
        _book_lost(run, leeway)
    run.ledger.restore(run.root.path, Amount(seconds=worked.seconds))
    return lost[-1] if len(lost) > len(losses.lost) else None


def _require_own_span(run: Run, record: Record) -> None:
    root = run.root.path
    span: str = getattr(record, "span", root)
    if span != root and not span.startswith(f"{root}/"):
        raise JournalError(
            f"the journal is damaged: a record of the kind {record.kind} is of work that is not the run's; "
            "restore it from a copy, or start the task again"
        )


def _book_answer(run: Run, answer: Answer, intent: Intent | None) -> None:
    if answer.remembered:
        run.tally.add_remembered(answer.span)
        return
    billed = answer.completion.billed_tokens
    if billed is None:
        if intent is not None:
            _book_uncertain(run, intent, answer.completion.stated_cost_usd)
        return
    new = run.journal.find(NewTokensCounted, (answer.span, answer.number, answer.attempt))
    run.ledger.restore(answer.span, _spent(answer, billed, new.tokens if new else billed, intent))
    provider = intent.provider if intent else ""
    entry = BilledCall(answer.span, answer.depth, answer.purpose, provider, answer.completion.model)
    run.tally.add_answer(entry, answer.completion, answer.cost_usd)


def _as_answer(intent: Intent, completion: Completion, failure: Failure) -> Answer:
    """Return what came with an error as the answer to *intent*: it was billed alike."""
    return Answer(
        intent.span,
        intent.number,
        intent.attempt,
        intent.purpose,
        intent.depth,
        intent.digest,
        completion,
        failure.cost_usd,
        0.0,
        failure.at,
    )


def _spent(answer: Answer, tokens: int, new_tokens: int, intent: Intent | None) -> Amount:
    spent = Amount(settled_tokens=tokens, settled_new_tokens=new_tokens, calls=1)
    if answer.cost_usd is not None:
        return attrs.evolve(spent, settled_usd=answer.cost_usd)
    reserved = intent.reserved_usd if intent else None  # the price is unknown: all that was held counts
    return attrs.evolve(spent, uncertain_usd=reserved or Decimal(0))


def _book_uncertain(run: Run, intent: Intent, stated_usd: Decimal | None = None) -> None:
    tokens, usd = intent.reserved_tokens, intent.reserved_usd
    if stated_usd is not None and (usd is None or stated_usd > usd):  # the provider charges more
        usd = stated_usd
    new = tokens if intent.reserved_new_tokens is None else intent.reserved_new_tokens
    spent = Amount(
        uncertain_usd=usd or Decimal(0), uncertain_tokens=tokens, uncertain_new_tokens=new, calls=1
    )
    run.ledger.restore(intent.span, spent)
    entry = BilledCall(intent.span, intent.depth, intent.purpose, intent.provider, intent.model)
    run.tally.add_uncertain(entry, tokens, usd)


def _book_lost(run: Run, leeway: Leeway) -> None:
    root = run.root
    spent = Amount(
        uncertain_usd=leeway.usd,
        uncertain_tokens=leeway.tokens,
        uncertain_new_tokens=leeway.new_tokens,
        calls=leeway.calls,
    )
    run.ledger.restore(root.path, spent)
    entry = BilledCall(root.path, root.depth, leeway.purpose, leeway.provider, leeway.model)
    run.tally.add_uncertain(entry, leeway.tokens, leeway.usd, leeway.calls)


_CONTEXT_TOKENS = 12_000
"""Most of the workspace that the smart model is shown for a lens."""


@attrs.frozen
class RunStart:
    """What a run starts from: an open journal, and how the run goes on from it. Gone once it has begun."""

    journal: Journal
    executor: ToolExecutor
    secrets: Secrets
    equipment: Equipment
    recalled: str = ""
    settings: Mapping[str, Any] | None = None
    """What held when the run was left that is taken up again; ``None`` for a new one."""
    heed_refusals: bool = True
    accept_changes: bool = False
    batch: Batch | None = None
    """The tasks of a run that is a batch; ``None`` for a run with one task."""
    lens_only: bool = False
    """Whether the run ends with its lens."""
    notes: tuple[str, ...] = ()
    """What was cut off the end of the journal, and the like: a sentence for each."""
    recorded_only: bool = False
    """Whether the run is only played again: nobody is asked and nothing is done."""
    compare: Callable[[ModelCall, Answer | None], None] | None = None
    """Gets each question of a run that is played again, with the recorded answer if there is one."""
    checks: "ChosenChecks | None" = None
    """What says whether results stand; ``None`` if nothing does."""
    continuation: Continuation | None = None
    """The conversation of another run that this one goes on with, unless its journal has it already."""
    is_told: bool = True
    """Whether receivers of the signals hear of the run."""
    workspace: Workspace | None = None
    """That of the session, if it is known already."""
    tools: Toolset | None = None
    """Those of the executor, if they are known already."""
    asked: AskedContexts | None = None
    """The long contexts that the task is a question about; ``None``: it is none."""

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its proper end and was not taken up since."""
        return came_to_its_end(self.journal.records())

    async def check(self, session: SessionContext, roles: Roles) -> None:
        """Raise :exc:`~sunwell.errors.JournalError` where the run would not go on as it was left.

        Raises :exc:`~sunwell.errors.ConfigurationError` if nobody approves, or if there is no sandbox.
        The sentence names what has changed: a model, an option, a tool, the words of a prompt, or a
        file that the run had seen. Accepted changes raise nothing.
        """
        if self.settings is None:
            return
        if not self.recorded_only:
            require_approver(self.settings, self.executor)
            self.equipment.require_sandbox(session)
            if self.checks is not None:
                self.checks.require_sandbox()
        if self.accept_changes:
            return
        changes = list(changes_between(self.settings, self.settings_now(session, roles)))
        files = FilesSeen(hashes_of(self.executor))
        for record in self.journal.records():
            files.see(record)
        if not self.recorded_only and (changed := await files.changed_since()):
            changes.append(files_clause(changed))
        if changes:
            raise JournalError(f"{'; '.join(changes)}: undo that, or keep the answers with --accept-changes")

    def settings_now(
        self, session: SessionContext, roles: Roles, tools: Toolset | None = None
    ) -> dict[str, Any]:
        """Return what holds for *session* today, as the first record says it.

        *tools* are those of the run, if they are known already.
        """
        tools = tools or self._tools(session)
        recalled = (
            self.secrets.redact(self.recalled) if self.settings is None else self.settings.get("recalled", "")
        )
        settings = settings_of(session.options, roles, recalled)
        settings |= {"code": code_of(tools), "version": sunwell.__version__}
        if self.settings is None and self.continuation is not None:
            settings |= self.continuation.settings()
        elif self.settings is None:
            settings["surroundings"] = surroundings_of(session, tools.granted, self.secrets, self.workspace)
        else:  # as they were when the run opened: what follows must begin with the same bytes
            settings["surroundings"] = self.settings.get("surroundings", "")
        own = self.equipment.own_tools(session.options)
        if own:
            settings["own_tools"] = digests_of(tool.spec for tool in own)
        if self.equipment.served:
            told = [tool.spec for tool in self.equipment.served]
            settings["served_tools"] = [[one.name, one.description, one.schema_text] for one in told]
        if not self.recorded_only:  # what a toolbox of the caller's says itself must hold on resume, too
            settings["asks"] = approver_of(self.executor) is not None
            settings["options"]["dry_run"] = is_dry_run(self.executor)
        if self.batch is not None:
            settings["batch"] = self.batch.settings()
        if self.lens_only:
            settings["lens_only"] = True
        if self.asked is not None:
            settings["asked"] = self.asked.settings()
            settings["code"]["prompts"]["ask"] = ASK_PROMPT_VERSION
        if session.options.decide == "classifier":
            settings["code"]["prompts"]["classifier"] = CLASSIFY_PROMPT_VERSION
        if self.checks is not None and (schema := self.checks.schema_text):
            settings["answer_schema"] = schema
        if foreign := own_checks(session.options):
            settings["own_checks"] = foreign
        confinement = self._confinement(session)
        if confinement.sandbox != "none":
            settings["confinement"] = attrs.asdict(confinement)
        for name in ("watched", "continues"):
            if self.settings is not None and name in self.settings:
                settings[name] = self.settings[name]
        if (lens := self.given_lens(session)) is not None:
            clean, replaced = without_secrets(lens, self.secrets)
            settings["lens"] = lens_fields_of(clean)
            before = (self.settings or {}).get("lens_left_out", [])
            if replaced or before:
                settings["lens_left_out"] = list(replaced) or before
        for name in ("system_prompt", "work_prompt"):
            if text := getattr(session.options, name):
                settings["options"][name] = self.secrets.redact(text)
        return self.secrets.cleaned_in_json(settings)

    def _confinement(self, session: SessionContext) -> Confinement:
        """Return how commands are confined; of a run that is played again, how they were."""
        if self.recorded_only:
            return Confinement.read((self.settings or {}).get("confinement"))
        if self.lens_only:
            return Confinement()
        names, box = self.equipment.names(session.options), self.executor
        found = box.confinement(names) if isinstance(box, Toolbox) else Confinement()
        return found if self.checks is None else found.joined(self.checks.confinement)

    def given_lens(self, session: SessionContext) -> EphemeralLens | None:
        """Return the lens that the run is given; older records have that of a batch beside its tasks."""
        return session.options.lens or (self.batch.lens if self.batch is not None else None)

    def _lookup(self, session: SessionContext) -> ContextLookup | None:
        if self.recorded_only:  # what a folder holds by now is not what was found
            return ContextLookup.recorded(session.options.context_sources)
        return lookup_of(session, self.secrets)

    def _tools(self, session: SessionContext, lookup: ContextLookup | None = None) -> Toolset:
        """Return the tools of the run, which ask *lookup*; ``None``: they are only described."""
        tools = self.tools or Toolset.of(self.equipment.names(session.options), self.executor)
        if self.recorded_only:  # as it was, whoever plays it again
            had = [name for name, _ in (self.settings or {}).get("code", {}).get("tools", ())]
            offers = "run_checks" in had
        else:
            offers = bool(tools.granted) and not is_dry_run(self.executor)
        tools = with_context_query(tools, session.options, lookup)
        if self.checks is None or not offers or not self.checks.has_midway():
            return tools
        from sunwell.checks.run_checks_tool import RunChecksTool  # most runs have no checks

        goal = self.secrets.redact(session.goal)
        return tools.joined(RunChecksTool(self.checks, self.journal, goal, self.secrets))

    def _ladder_terms(self, session: SessionContext) -> LadderTerms:
        kept = Originals.of_run(self.journal.path) if self.journal.path else None
        return LadderTerms(
            workspace=(self.workspace or Workspace(session.workspace)).hiding(session.options.ignore),
            secrets=self.secrets,
            originals=kept,
            allow_write=session.options.allow_write,
            # What a run is played again from must not depend on what happened since.
            outcomes=None if self.recorded_only else outcomes_file(),
        )

    async def begin(self, sender: object, config: LoopConfig, session: SessionContext, roles: Roles) -> Run:
        """Return the run, with its first record written, or with what it spent before booked."""
        if isinstance(self.journal, FileJournal | MemoryJournal):
            self.journal.secrets = self.secrets
        lookup = self._lookup(session)
        tools = self._tools(session, lookup)
        settings = self.settings_now(session, roles, tools)
        if self.checks is not None:
            place = self.journal.path
            self.checks.originals = None if place is None else place.parent / "originals"
            self.checks.judges = roles.judges
            self.checks.recorded_only = self.recorded_only
            if self.batch is not None:
                self.checks.recorded_states = self._states
        if self.checks is not None and not self.recorded_only:
            watched = await in_thread(self.checks.watch, session.workspace, settings.get("watched"))
            settings |= {} if watched is None else {"watched": watched}
        run = Run(
            sender,
            self.journal,
            config.ceilings if self.batch is None and self.asked is None else config.budget,
            config,
            task=_with_recalled(self.secrets.redact(session.goal), settings["recalled"]),
            tools=tools,
            guidance=Guidance.of(
                session.options.system_prompt,
                session.options,
                tools.granted,
                secrets=self.secrets,
                surroundings=settings["surroundings"],
                checks=() if self.checks is None else self.checks.told(),
            ),
            context=partial(shown_for_lens, session, self.secrets),
            gather=partial(shown_for_task, session, self.secrets),
            ladder_terms=self._ladder_terms(session),
            given_lens=EphemeralLens(**settings["lens"]) if "lens" in settings else None,
            lens_left_out=tuple(settings.get("lens_left_out", ())),
            checks=self.checks,
            lookup=lookup,
            resumed=self.settings is not None,
            confinement=Confinement.read(settings.get("confinement")),
            is_told=self.is_told,
            asked=self.asked,
        )
        if self.checks is not None:
            self.checks.quiet = run.quiet.checking
        self._set_gateway(run, session.options)
        run.shelf = self._shelf(run, session)
        run.files.hashes = hashes_of(self.executor)
        lost = None
        if self.settings is None:
            # Durable with the first record that must be: nothing is asked, changed or paid before that.
            await run.journal.append(self.first_record(session, settings), durable="soon")
        else:
            lost = restore(run)
            new = {} if settings == self.settings else settings
            await run.journal.append(RunResumed(time.time(), new, self.accept_changes, run.journal.boot))
        await self._take_conversation(run)
        await self._tell_findings(run, session, roles, lost)
        return run

    def _set_gateway(self, run: Run, options: RunOptions) -> None:
        run.gateway.accept_changes = self.accept_changes
        run.gateway.heed_refusals = self.heed_refusals
        run.gateway.recorded_only = self.recorded_only
        run.gateway.secrets = self.secrets
        run.gateway.compare = self.compare
        run.gateway.memory = self._answer_memory(run, options)

    def _answer_memory(self, run: Run, options: RunOptions) -> AnswerMemory | None:
        """Return the answers of earlier runs for a run that asks about long contexts."""
        if self.asked is None or self.recorded_only or not options.answer_memory:
            return None
        loop = asyncio.get_running_loop()

        def warn(sentence: str) -> None:  # from any thread
            loop.call_soon_threadsafe(run.tell, WARNED, Warned(sentence))

        try:
            return AnswerMemory(answers_file(options.cache_dir), warn=warn)
        except ConfigurationError as error:  # this user has no home folder
            warn(f"{error}; answers are not remembered")
            return None

    def _shelf(self, run: Run, session: SessionContext) -> LensShelf | None:
        """Return the store of lenses for a run that may have one written."""
        if self.recorded_only or self.asked is not None or not session.options.lens_store:
            return None
        loop = asyncio.get_running_loop()

        def warn(sentence: str) -> None:  # from a thread
            loop.call_soon_threadsafe(run.tell, WARNED, Warned(sentence))

        try:
            file = lenses_file()
        except ConfigurationError:  # this user has no home folder, so that there is nothing to take either
            return None
        return None if file is None else shelf_of(session, LensStore(file, warn=warn))

    async def _take_conversation(self, run: Run) -> None:
        """Have *run* go on with the conversation of another one, if it does: the recorded one counts."""
        run.begun = run.journal.find(Continued, ())
        if run.begun is None and self.continuation is not None:
            await run.journal.append(self.continuation.record(run.guidance, run.tools.specs))
            run.begun = run.journal.find(Continued, ())
            assert run.begun is not None
            run.files.see(run.begun)

    def _states(self) -> set[tuple[str, str | None]]:
        """Return each file with each hash that a recorded call has left it with."""
        records = (record for record in self.journal.records() if isinstance(record, ToolFinished))
        return {(change.path, change.after) for record in records for change in record.result.changes}

    def first_record(self, session: SessionContext, settings: Mapping[str, Any]) -> RunOpened:
        """Return the record with which the journal begins."""
        goal, place = self.secrets.redact(session.goal), self.secrets.redact(str(session.workspace))
        return RunOpened(self.journal.run_id, goal, time.time(), place, dict(settings))

    async def _tell_findings(
        self, run: Run, session: SessionContext, roles: Roles, lost: Leeway | None
    ) -> None:
        """Warn of what was found on the way, and say that another model takes a part if one does.

        *lost* is what a loss of power may have taken from the record.
        """
        options = session.options
        dearer = roles.worker and dearer_worker(roles.worker, roles.smart or roles.own, run.gateway.prices)
        is_off = run.confinement.sandbox == "off" and not self.recorded_only
        unconfined = OFF_WARNING if is_off else ""
        unused = "" if self.batch or self.lens_only or self.recorded_only else _unused_worker(options, roles)
        unmarked = self.journal.unmarked if isinstance(self.journal, FileJournal) else ""
        missing = "" if lost is None or self.recorded_only else missing_calls(lost)
        found = [said for said in (*self.notes, missing, unmarked, dearer, unconfined, unused) if said]
        found += [*roles.warnings, *self.equipment.plugged(options).problems, *self.equipment.problems]
        for warning in found:
            run.tell(WARNED, Warned(warning))
        if roles.fell_back is not None:
            key = (run.root.path, "model_fell_back")
            if run.journal.find(Note, key) is None:
                await run.journal.append(Note(*key, attrs.asdict(roles.fell_back)))
            run.tell(MODEL_FELL_BACK, roles.fell_back)


def lookup_of(session: SessionContext, secrets: Secrets) -> ContextLookup | None:
    """Return the sources of context of a run of *session*; ``None`` if it has none.

    Raises :exc:`~sunwell.errors.ConfigurationError` for a folder that cannot be one.
    """
    options = session.options
    return ContextLookup.of(options.context_sources, session.workspace, secrets, ignore=options.ignore)


def _unused_worker(options: RunOptions, roles: Roles) -> str:
    """Return a warning if a delegation model is named that nothing will use; empty if it is used."""
    if roles.worker is None or options.enable_delegation or options.orchestrate or options.delegation_tools:
        return ""
    if options.lens is not None:
        return ""
    name = roles.worker.name
    return f"{name} is the delegation model, but delegation is off: set enable_delegation=True to use it"


def chosen_checks(
    session: SessionContext,
    batch: Batch | None,
    secrets: Secrets,
    recorded: Mapping[str, Any] | None = None,
) -> "ChosenChecks | None":
    """Return the checks of a run of *session*, or of *batch*; ``None`` if there are none.

    *recorded* are the settings of a run that goes on: the schema in them counts, not the file that it came
    from, which the record could name.
    """
    options = session.options
    of_tasks = () if batch is None else batch.checks
    if not (of_tasks or options.has_checks):
        return None
    from sunwell.checks.suite import ChosenChecks  # most runs have none

    schema = ""
    if recorded is not None and options.answer_schema == recorded["options"].get("answer_schema"):
        schema = recorded.get("answer_schema", "")
        if options.answer_schema is not None and not schema:
            raise JournalError("the settings in the journal are damaged: they have no schema of the answer")
    return ChosenChecks.of(options, session.workspace, secrets, of_tasks, schema)


def open_new(
    journals: Journals,
    session: SessionContext,
    roles: Roles,
    recalled: str,
    equipment: Equipment,
    batch: Batch | None = None,
    *,
    lens_only: bool = False,
    asked: AskedContexts | None = None,
) -> RunStart:
    """Make the journal of a new run in the session's workspace.

    Raises :exc:`~sunwell.errors.ConfigurationError` for a tool that nobody offers, for a source of context
    that is none, and if commands are allowed and there is no sandbox for them; there is no journal then.
    """
    workspace = Workspace(session.workspace)
    secrets = learn_keys(secrets_from_environment(), roles)
    executor = equipment.executor_for(session, None, secrets, workspace)
    equipment.require_sandbox(session, executor)
    tools = Toolset.of(equipment.names(session.options), executor)
    lookup_of(session, secrets)
    if (checks := chosen_checks(session, batch, secrets)) is not None:
        checks.require_sandbox()
    journal = journals.create(session.workspace, new_run_id())
    if journal.path is not None:
        keep_originals(executor, Originals.of_run(journal.path), workspace)
    if batch is not None:
        batch = batch.redacted(secrets.redact)
    return RunStart(
        journal,
        executor,
        secrets,
        equipment,
        recalled,
        batch=batch,
        lens_only=lens_only,
        checks=checks,
        workspace=workspace,
        tools=tools,
        asked=asked,
    )


def reopen(
    journals: Journals,
    workspace: Path,
    run_id: str,
    terms: CallerTerms,
    equipment: Equipment,
    again: GivenAgain | None = None,
) -> tuple[RunStart, SessionContext]:
    """Open the journal of a run for going on, and return it with the session that it recorded.

    What the record may not decide is the caller's, by *terms*. A run that is finished is only played again,
    so it keeps its recorded options. *again* is what its caller gives again of a question.
    """
    journal = journals.open(workspace, run_id)
    try:
        recorded = journal.find(RunOpened, ())
        if recorded is None:
            raise JournalError(f"{journal.path} does not begin with a run: it cannot be resumed")
        if "forked" in recorded.settings and journal.find(Forked, ()) is None:
            raise JournalError(f"the fork {recorded.run_id} was cut off while it was made: fork again")
        settings = latest_settings(journal.records())
        is_finished = came_to_its_end(journal.records())
        if is_finished:
            equipment = equipment.recorded(settings)
        before = equipment.playable(options_from(settings), settings)
        chosen = before if is_finished else options_now(settings, terms, equipment)
        batch, left = batch_now(batch_in(settings), workspace, terms.results, is_finished=is_finished)
        if not is_finished:
            require_task_checks(settings, batch, terms)
        session = SessionContext.build(workspace, recorded.task, chosen)
        secrets = secrets_from_environment()
        tools = equipment.executor_for(session, journal, secrets)
        start = RunStart(
            journal,
            tools,
            secrets,
            equipment,
            settings=settings,
            heed_refusals=chosen.budget == options_from(settings_of_last_end(journal.records())).budget,
            accept_changes=terms.accept_changes,
            batch=batch,
            lens_only=bool(settings.get("lens_only")),
            asked=AskedContexts.again(settings.get("asked"), workspace, again),
            notes=tuple(said for said in (_cut_off(journal), left) if said),
            checks=chosen_checks(session, batch, secrets, settings),
        )
        return start, session
    except BaseException:
        journal.close()
        raise


def _cut_off(journal: Journal) -> str:
    repair = journal.repair if isinstance(journal, FileJournal) else None
    if repair is None or journal.path is None:
        return ""
    return f"{repair}; they are kept in {journal.path.with_suffix('.torn')}"


def shown_for_lens(session: SessionContext, secrets: Secrets) -> Shown:
    """Return what a smart model is shown of the workspace of *session* when it writes a lens."""
    return shown_for_task(session, secrets, session.goal)


def shown_for_task(session: SessionContext, secrets: Secrets, task: str) -> Shown:
    """Return what a smart model is shown of the workspace of *session* when it writes a lens for *task*."""
    return gather(
        session.workspace,
        secrets.redact(task),
        limit_tokens=_CONTEXT_TOKENS,
        secrets=secrets,
        ignore=session.options.ignore,
    )


def shelf_of(session: SessionContext, store: LensStore) -> LensShelf:
    """Return *store* as a run of *session* uses it."""
    workspace = Workspace(session.workspace, ignore=session.options.ignore)

    def sha256_of(path: str) -> str | None:
        try:
            return workspace.sha256(path)
        except ToolError:
            return None

    root = hashlib.sha256(os.fsencode(os.path.realpath(session.workspace))).hexdigest()
    return LensShelf(store, root, lambda paths: [sha256_of(path) for path in paths])


def hashes_of(executor: ToolExecutor) -> Hashes | None:
    return cast(StagingExecutor, executor).hashes if has_methods_of(executor, StagingExecutor) else None


def require_approver(settings: Mapping[str, Any], executor: ToolExecutor) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` if the recorded run asked and *executor* does not."""
    if settings.get("asks") and approver_of(executor) is None:
        raise ConfigurationError(
            "the run asked before each write and command: add --approve (in Python give approve=, as in "
            "given={'approve': …})"
        )


def learn_keys(secrets: Secrets, roles: Roles) -> Secrets:
    """Add the keys that the models were given to *secrets*, and return them."""
    values: dict[str, None] = {}
    for model in (roles.own, roles.smart, roles.worker, roles.second, roles.judge):
        connection = None if model is None else getattr(model, "connection", None)
        if isinstance(connection, Connection):
            values |= dict.fromkeys(connection.secret_values())
    for value in values:
        secrets.add(value, "API key")
    return secrets


def _with_recalled(task: str, recalled: str) -> str:
    if not recalled.strip():
        return task
    return f"{task}\n\nKnown from before:\n{recalled}"
