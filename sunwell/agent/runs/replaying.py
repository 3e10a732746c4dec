"""A run played again from its journal: nobody is asked, and nothing is done."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import attrs

from sunwell.agent.runs.equipping import Equipment
from sunwell.agent.runs.opening import Opened
from sunwell.agent.runs.roles import Roles
from sunwell.agent.runs.settings import batch_in, latest_settings, options_from
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.message import FileChange, ToolCall, ToolResult
from sunwell.core.model import Completion, Delta, Request, ToolSpec
from sunwell.core.price import Price, Rates
from sunwell.core.secrets import Secrets
from sunwell.core.tool import Staged, StagingExecutor, ToolExecutor
from sunwell.errors import JournalError
from sunwell.journal.memory import ReplayedJournal
from sunwell.journal.places import Journals
from sunwell.journal.protocol import Journal
from sunwell.journal.records import RunOpened
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


@attrs.frozen
class RecordedTools:
    """The tools of a run as a model is told of them. What has no recorded result is not carried out."""

    inner: ToolExecutor

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the tools on offer."""
        specs = getattr(self.inner, "specs", None)
        return tuple(specs()) if callable(specs) else ()

    def is_parallel(self, name: str) -> bool:
        """Whether calls to the tool *name* may run side by side."""
        return isinstance(self.inner, StagingExecutor) and self.inner.is_parallel(name)

    async def hashes(self, paths: tuple[str, ...]) -> tuple[str | None, ...]:
        """Look at no file."""
        return tuple(None for _ in paths)

    async def stage(self, call: ToolCall) -> Staged:
        """Return a call that is not carried out."""
        return _NotDone(call)

    async def execute(self, call: ToolCall) -> ToolResult:
        """Carry nothing out."""
        return await _NotDone(call).finish()


@attrs.frozen
class _NotDone:
    call: ToolCall
    changes: tuple[FileChange, ...] = ()
    repeatable: bool = True
    foretold: ToolResult | None = None

    async def finish(self) -> ToolResult:
        await asyncio.sleep(0)  # a recorded time-out comes now
        return ToolResult(self.call.id, "The record of the run ends here.", is_error=True)


def open_replay(
    journals: Journals, workspace: Path, run_id: str, equipment: Equipment
) -> tuple[Opened, SessionContext]:
    """Read the journal of a run for playing it again, and return it with the session that it recorded."""
    return replay_of(journals.read(workspace, run_id), workspace, equipment)


def replay_of(
    journal: Journal, workspace: Path, equipment: Equipment, options: RunOptions | None = None
) -> tuple[Opened, SessionContext]:
    """Return the run of *journal* ready to be played again, with *options* in place of the recorded ones."""
    recorded = journal.find(RunOpened, ())
    if recorded is None:
        raise JournalError(f"{journal.path} does not begin with a run: it cannot be played again")
    settings = latest_settings(journal.records())
    session = SessionContext.build(workspace, recorded.task, options or options_from(settings))
    tools = equipment.described(session)
    batch = batch_in(settings)
    if batch is not None:
        batch = attrs.evolve(batch, results=None)  # nothing is written
    return Opened(
        journal,
        RecordedTools(tools),
        Secrets(),
        equipment,
        settings=settings,
        batch=batch,
        lens_only=bool(settings.get("lens_only")),
        recorded_only=True,
    ), session


def played_again(opened: Opened, *, accept_changes: bool) -> Opened:
    """Return *opened* for playing it again; its journal is read into memory and given up."""
    journal = opened.journal
    copy = ReplayedJournal.copy_of(journal.path, journal.records())
    journal.close()
    return attrs.evolve(
        opened,
        journal=copy,
        executor=RecordedTools(opened.executor),
        recorded_only=True,
        heed_refusals=True,
        accept_changes=accept_changes,
    )


def recorded_roles(opened: Opened) -> Roles:
    """Return stand-ins for the models that the run was recorded with."""
    named = (opened.settings or {})["models"]
    own, smart, worker = (named[role] for role in ("model", "smart_model", "delegation_model"))
    return Roles(_stand_in(own), _stand_in(smart) if smart else None, _stand_in(worker) if worker else None)


def _stand_in(name: str) -> RecordedModel:
    model = RecordedModel(name)
    if PriceBook().price(model) is None:  # a cap in dollars wants a price, and here nothing is paid
        return attrs.evolve(model, price=Price(Rates(Decimal(0), Decimal(0)), source="replay", date=""))
    return model
