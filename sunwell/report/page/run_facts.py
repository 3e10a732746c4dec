"""What the records of a run say of it as a whole: its task, settings, decision, price expectation and end."""

from collections.abc import Mapping
from typing import Any

import attrs

from sunwell.agent.lifecycle.run_settings import options_from
from sunwell.context.options import MODEL_ROLES, RunOptions
from sunwell.core.confinement import Confinement
from sunwell.core.price import DelegationDecision, Quote
from sunwell.core.task import AnswerBy, StopReason
from sunwell.core.verdict import LensTest, Verification
from sunwell.errors import JournalError
from sunwell.journal.records import (
    Checked,
    Continued,
    Decided,
    Forked,
    Note,
    Quoted,
    Record,
    RunClosed,
    RunOpened,
    RunResumed,
    ToolFinished,
)
from sunwell.memory.scratchpad import IDS_NOTE, TaskIds
from sunwell.report.page.page_data import ExpectedCost, TextId
from sunwell.report.page.page_texts import PageTexts

_LENS_OUTCOME = "lens-outcome"


@attrs.frozen
class RunEnd:
    """How a run ended."""

    status: str
    stop_reason: StopReason
    answer: TextId
    answer_by: AnswerBy
    error: TextId
    seconds: float
    unresolved: tuple[TextId, ...]
    verification: Verification | None
    lens_test: LensTest | None = None


@attrs.define(eq=False)
class RunFacts:
    """Takes all records of a run in order."""

    texts: PageTexts
    run_id: str = ""
    task: str = ""
    task_id: TextId = ""
    workspace: str = ""
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    options: RunOptions | None = None
    """``None``: not recorded, or they cannot be read."""
    doubt: TextId = ""
    """Why the settings cannot be read; empty: they can."""
    sandbox: TextId = ""
    """How commands were kept apart; empty: none could run."""
    continues: str = ""
    forked_from: str = ""
    decision: DelegationDecision | None = None
    quote: Quote | None = None
    no_lens: str = ""
    """Why there was no lens although one was to be written."""
    ids: TaskIds | None = None
    end: RunEnd | None = None
    """``None``: the run has not ended, or goes on."""
    left_behind: dict[TextId, None] = attrs.field(factory=dict)
    unknown_records: int = 0
    _is_opened: bool = False

    def take(self, record: Record) -> None:
        """Take note of *record*."""
        match record:
            case RunOpened() if not self._is_opened:
                self._is_opened = True
                self.run_id, self.task, self.workspace = record.run_id, record.task, record.workspace or ""
                self.task_id = self.texts.add(record.task)
                self.continues = record.continues
                self._set(record.settings)
            case RunResumed():
                self.end = None
                if record.settings:
                    self._set(record.settings)
            case Forked():
                self.forked_from = record.run_id
            case Continued():
                self.continues = record.run_id
            case Decided():
                self.decision, self.quote = record.decision, record.quote or self.quote
            case Quoted():
                self.quote = record.quote
            case Note() if record.name == IDS_NOTE:
                self.ids = TaskIds.from_json(record.value)
            case Note() if record.name == _LENS_OUTCOME and record.span == "run/lens":
                self.no_lens = record.value["reason"]
            case ToolFinished():
                self._leave_behind(record.result.left_behind)
            case Checked():
                self._leave_behind(record.left_behind)
            case RunClosed():
                self._leave_behind(record.left_behind)
                self._end(record)

    @property
    def models(self) -> tuple[tuple[str, str], ...]:
        """The roles, and the names of the models that play them."""
        named = self.settings.get("models")
        given = named if isinstance(named, Mapping) else {}
        return tuple((role, given[role]) for role in MODEL_ROLES if isinstance(given.get(role), str))

    @property
    def delegation(self) -> str:
        """Why the task was delegated or not; empty: nothing was decided."""
        if self.no_lens:
            return f"no lens: {self.no_lens}"
        return "" if self.decision is None else self.decision.reason

    @property
    def is_delegated(self) -> bool:
        """Whether the task was decided to be done under a lens, and there was one."""
        return bool(self.decision) and not self.no_lens

    @property
    def expected(self) -> ExpectedCost | None:
        """What the run was expected to cost as it began."""
        if self.quote is None:
            return None
        decision = self.decision
        if decision is not None and self.no_lens:
            decision = attrs.evolve(decision, delegate=False)
        side = self.quote.chosen(decision)
        return ExpectedCost(side.name, side.low_usd, side.expected_usd, side.high_usd)

    def _set(self, settings: Mapping[str, Any]) -> None:
        self.settings, self.options, self.doubt = settings, None, ""
        confined = Confinement.read(settings.get("confinement"))
        self.sandbox = "" if confined.sandbox == "none" else self.texts.add(f"sandbox: {confined.sentence}")
        if "options" not in settings:
            return
        try:
            self.options = options_from(settings)
        except JournalError as error:  # the run can still be looked at
            self.doubt = self.texts.add(error.sentence)

    def _leave_behind(self, sentences: tuple[str, ...]) -> None:
        self.left_behind.update(dict.fromkeys(map(self.texts.add, sentences)))

    def _end(self, record: RunClosed) -> None:
        self.end = RunEnd(
            record.status,
            record.stop_reason,
            self.texts.add(record.answer),
            record.answer_by,
            self.texts.add(record.error),
            record.duration_seconds,
            tuple(map(self.texts.add, record.unresolved)),
            record.verification,
            record.lens_test,
        )
