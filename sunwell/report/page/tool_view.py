"""Tools that ran, and checks: their entries on a page."""

import attrs

from sunwell.journal.records import Checked, ToolFinished, ToolStarted
from sunwell.journal.tree import ToolBranch
from sunwell.report.page.page_data import CheckEntry, TextId, ToolEntry
from sunwell.report.page.page_texts import PageTexts


@attrs.define(eq=False)
class ToolView:
    """One run of a tool. Its branch has the rules of what is kept and what has failed."""

    span: str
    turn: int
    index: int
    branch: ToolBranch
    arguments: TextId = ""
    result: TextId = ""
    files: tuple[str, ...] = ()
    exit_code: int | None = None
    _entry: ToolEntry | None = attrs.field(default=None, init=False)

    def start(self, record: ToolStarted, texts: PageTexts) -> None:
        """Take note that it is about to run."""
        self.arguments, self._entry = texts.add(record.call.arguments), None
        self.files = tuple(change.path for change in record.changes)

    def finish(self, record: ToolFinished, texts: PageTexts) -> None:
        """Take note of its result."""
        self.result, self._entry = texts.add(record.result.content), None
        self.files = tuple(change.path for change in record.result.changes)
        self.exit_code = record.result.exit_code

    def touch(self) -> None:
        """Have the entry made again, since its branch has changed."""
        self._entry = None

    @property
    def has_failed(self) -> bool:
        """Whether it ran here and failed."""
        done = self.branch.finished
        return done is not None and done.result.is_error and not self.branch.is_kept

    def entry(self) -> ToolEntry:
        """Return the entry; it is made again only if something has changed."""
        if self._entry is None:
            node, done = self.branch.node(self.span, 0), self.branch.finished
            self._entry = ToolEntry(
                self.span,
                self.turn,
                self.index,
                self.branch.name,
                self.branch.subject or "",
                self.arguments,
                self.result,
                str(node.status),
                node.started_at,
                None if done is None or self.branch.is_kept else done.duration_seconds,
                self.files,
                self.exit_code,
            )
        return self._entry


def check_entry(record: Checked, texts: PageTexts) -> CheckEntry:
    """Return what checks found as a page shows it."""
    return CheckEntry(
        record.span,
        record.number,
        record.by,
        record.missed,
        record.passed,
        texts.add(record.evidence),
        record.cost_usd,
        max(0.0, record.at - record.duration_seconds),
        record.duration_seconds,
    )
