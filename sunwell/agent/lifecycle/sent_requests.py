"""The requests of a recorded run as they were sent, made again from its journal alone."""

import asyncio
import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from sunwell.agent.lifecycle.drift import changes_between
from sunwell.agent.lifecycle.equipment import Equipment
from sunwell.agent.lifecycle.replay_run import played_run, recorded_roles, replay_of
from sunwell.agent.lifecycle.run_settings import latest_settings
from sunwell.agent.run.toolset import Toolset
from sunwell.core.model import Caching, Request
from sunwell.errors import JournalError, SunwellError
from sunwell.gateway.model_call import ModelCall
from sunwell.journal.memory import ReplayedJournal
from sunwell.journal.records import Answer, Intent, Record, RunResumed
from sunwell.plugins import Plugins
from sunwell.tools.tool_plugins import ToolPlugins

log = logging.getLogger("sunwell.agent")

CallPlace = tuple[str, int]
"""Span and number of a call."""

_MOST_SECONDS = 120.0
"""Of one play: a journal that somebody has changed may tell of work that waits for ever."""
_MOST_PLAYS = 8
"""A run that was resumed a hundred times, and that this version plays otherwise, is not played a hundred
times."""


@attrs.frozen
class SentCall:
    """A call of a recorded run, and what was sent for it."""

    span: str
    number: int
    model: str
    """Who was asked, by name."""
    request: Request
    """With the limit of the answer that the latest attempt had, and with secrets replaced, as they were.

    Without what to cache and without a time limit: each process decides on them anew, and no record has them.
    """
    agrees: bool
    """Whether its digest is the one that was recorded before it was sent."""


@attrs.frozen
class SentCalls:
    """What was sent in a recorded run, as far as it could be made again."""

    calls: Mapping[CallPlace, SentCall] = attrs.field(repr=False)  # asyncio makes the text of a task's result
    """In the order in which the calls were begun; calls that were refused are not among them."""
    missing: str = ""
    """Why some are not there or do not agree, in a sentence or more; empty: all are there and agree."""


@attrs.define(eq=False)
class _Player:
    """Plays a run again and keeps what is asked."""

    records: Sequence[Record]
    equipment: Equipment
    intents: dict[CallPlace, list[tuple[int, Intent]]] = attrs.field(init=False)
    """The attempts of each call, with the number of their record."""
    found: dict[CallPlace, SentCall] = attrs.field(factory=dict, init=False)
    reasons: dict[str, None] = attrs.field(factory=dict, init=False)
    """Why the run could not be played to its end, or what has changed since: clauses, in order."""

    def __attrs_post_init__(self) -> None:
        self.intents = {}
        for at, record in enumerate(self.records):
            if isinstance(record, Intent):
                self.intents.setdefault((record.span, record.number), []).append((at, record))

    def open_places(self) -> list[CallPlace]:
        """Return the calls that have no request that agrees."""
        return [place for place in self.intents if place not in self.found or not self.found[place].agrees]

    async def play(self, end: int) -> None:
        """Play the first *end* records again, to where they end, and keep the requests of their calls."""
        try:
            # No file of the workspace is looked at, which may be elsewhere or gone: not even by mistake.
            with tempfile.TemporaryDirectory(prefix="sunwell-") as empty:
                async with asyncio.timeout(_MOST_SECONDS):
                    await self._play(self.records[:end], Path(empty))
        except TimeoutError:
            self.reasons[f"it was not played to its end in {_MOST_SECONDS:.0f} s"] = None
        except SunwellError as error:
            self.reasons[str(error)] = None
        except Exception as error:  # a record of another version: what was got until then counts
            log.exception("a run could not be played again")
            self.reasons[f"it cannot be played further: {type(error).__name__}: {error}"] = None

    async def _play(self, records: Sequence[Record], workspace: Path) -> None:
        journal = ReplayedJournal.copy_of(None, records)
        settings = latest_settings(records)
        if not settings:
            raise JournalError("the journal does not record how the run was started")
        start, session = replay_of(journal, workspace, self.equipment)
        offered = Toolset.of(None, start.executor).granted
        gone = [name for name in session.options.tool_names or () if name not in offered]
        if gone:  # a plugin that is not there any more: the results of its tools are in the record
            kept = tuple(one for one in session.options.tools or () if one not in gone)
            options = attrs.evolve(session.options, tools=kept)
            start, session = replay_of(journal, workspace, self.equipment, options)
        start = attrs.evolve(start, compare=self._see, is_told=False)
        roles = recorded_roles(start)
        for clause in changes_between(settings, start.settings_now(session, roles)):
            self.reasons[clause] = None
        await played_run(start, session, roles)

    def _see(self, call: ModelCall, _: Answer | None) -> None:
        place = (call.span.path, call.number)
        attempts = [intent for _, intent in self.intents.get(place, ())]
        if not attempts or (place in self.found and self.found[place].agrees):
            return
        # The model of the attempt: a fork may go on with another one than its copied calls were made to.
        alike = [one for one in attempts if call.request.digest(one.model) == one.digest]
        intent = (alike or attempts)[-1]
        request = attrs.evolve(
            call.request,
            max_output_tokens=intent.max_output_tokens,
            caching=Caching(prefix=None, conversation=False),
            timeout_seconds=None,
        )
        self.found[place] = SentCall(*place, intent.model, request, bool(alike))

    def result(self) -> SentCalls:
        """Return what was found, in the order of the calls."""
        calls = {place: self.found[place] for place in self.intents if place in self.found}
        return SentCalls(calls, self._missing())

    def _missing(self) -> str:
        gone = [place for place in self.intents if place not in self.found]
        other = [place for place, call in self.found.items() if not call.agrees]
        said = []
        if gone:
            said.append(f"{len(gone):,} of {len(self.intents):,} requests could not be made again.")
        if other:
            said.append(f"{len(other):,} of {len(self.intents):,} requests differ from what was sent.")
        if not said:
            return ""
        is_judged = any(self.intents[place][0][1].purpose == "check" for place in gone)
        if is_judged:
            said.append("What a judge was shown depends on files, which the journal does not hold.")
        if self.reasons:
            said.append(f"Known reasons: {'; '.join(self.reasons).removesuffix('.')}.")
        elif not is_judged:
            said.append(
                "The journal does not say why. It has neither limits of models that are not in the catalog, "
                "nor the caller's own checks."
            )
        return " ".join(said)


def _own_equipment() -> Equipment:
    return Equipment(plugins=ToolPlugins(Plugins("sunwell.tools", allowed=())))


async def sent_calls(records: Iterable[Record], equipment: Equipment | None = None) -> SentCalls:
    """Return what was sent for each call in *records*, which are those of a run from its first on.

    The run may have ended or not. It is played again in memory: no model is asked, no tool is run, nobody is
    told, and no file of its workspace is needed. *equipment* has the tools that the models were told of;
    ``None``: those of Sunwell alone, so that no journal has a plugin imported. Where the installed version
    or its tools ask something else, the requests do not agree, and :attr:`SentCalls.missing` says what is
    known of it.
    """
    player = _Player(tuple(records), equipment or _own_equipment())
    if not player.intents:
        return SentCalls({})
    await player.play(len(player.records))
    # Where a run was resumed on other terms, its earlier processes asked in their own way, and ended in it.
    ends = [at for at, record in enumerate(player.records) if isinstance(record, RunResumed)]
    starts = [0, *ends]
    for begun, end in [*zip(starts, ends, strict=False)][: -_MOST_PLAYS - 1 : -1]:
        latest = (player.intents[place][-1][0] for place in player.open_places())
        if any(begun <= at < end for at in latest):
            await player.play(end)
    return player.result()


async def sent_call(
    records: Iterable[Record], place: CallPlace, equipment: Equipment | None = None
) -> SentCalls:
    """Return what was sent for the call at *place* alone; the rest is as in :func:`sent_calls`.

    The run is played only as far as the call, so this takes less time for an early one. A call that was never
    sent has no request.
    """
    kept: list[Record] = []
    end = 0
    for record in records:
        kept.append(record)
        if isinstance(record, Intent) and (record.span, record.number) == place:
            end = len(kept)
    player = _Player(kept[:end], equipment or _own_equipment())
    if end:
        player.intents = {place: player.intents[place]}
        await player.play(end)
    return player.result()
