"""A run as its journal tells of it, for those who serve it to other programs."""

from collections.abc import Sequence
from decimal import Decimal
from functools import cached_property
from typing import Self

import attrs

from sunwell.agent.lifecycle.run_settings import latest_settings, options_from
from sunwell.core.message import FileChange, net_changes
from sunwell.errors import BadRequest, QuotaExhausted, RequestTooLong, Unauthorized
from sunwell.journal.layout import RunFile
from sunwell.journal.reading import read_records
from sunwell.journal.records import Failure, Record, RunClosed, RunOpened, RunResumed, ToolFinished
from sunwell.journal.retention import is_running
from sunwell.journal.tree import Node, tree

_LASTING = frozenset(each.__name__ for each in (BadRequest, QuotaExhausted, RequestTooLong, Unauthorized))


@attrs.frozen(slots=False)
class ServedRecord:
    """The records of a run, read once."""

    run: RunFile
    records: Sequence[Record] = attrs.field(repr=False)

    @classmethod
    def read(cls, run: RunFile) -> Self:
        """Return the run in the file of *run*. Raises :exc:`~sunwell.errors.JournalError`."""
        return cls(run, list(read_records(run.path)))

    @cached_property
    def closed(self) -> RunClosed | None:
        """How it ended; ``None``: it has not, or it was taken up again since."""
        ends = [each for each in self.records if isinstance(each, RunOpened | RunResumed | RunClosed)]
        return ends[-1] if ends and isinstance(ends[-1], RunClosed) else None

    @cached_property
    def tree(self) -> Node:
        """The whole run, with what it has cost."""
        return tree(self.records)

    @cached_property
    def changes(self) -> tuple[FileChange, ...]:
        """Files that have changed, each once."""
        found = (each.result.changes for each in self.records if isinstance(each, ToolFinished))
        return net_changes([change for changes in found for change in changes])

    @property
    def is_refused(self) -> bool:
        """Whether the last call that came to nothing was refused for a reason that no wait removes: the key,
        the account's credit, or the request itself."""
        failures = [each for each in self.records if isinstance(each, Failure)]
        return bool(failures) and failures[-1].error in _LASTING

    @property
    def status(self) -> str:
        """How it ended, or ``running`` or ``open``."""
        return self.closed.status if self.closed else "running" if is_running(self.run) else "open"

    @property
    def cap_usd(self) -> Decimal | None:
        """The cap that held last; ``None``: none is recorded."""
        settings = latest_settings(self.records)
        return options_from(settings).budget.usd if settings else None

    @property
    def most_spent_usd(self) -> Decimal | None:
        """What it has cost so far at most, what is uncertain included; ``None``: not known."""
        cost, besides = self.tree.total_cost_usd, self.tree.total_uncertain_usd
        return None if cost is None or besides is None else cost + besides
