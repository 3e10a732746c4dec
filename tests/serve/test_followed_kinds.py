"""Runs of many kinds that are followed: at each moment the page is that of a fresh report."""

import asyncio
import json
import random
from collections.abc import Iterable
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.budget import Budget
from sunwell.core.task import TaskResult
from sunwell.errors import JournalError
from sunwell.journal import read_records
from sunwell.journal.layout import list_runs
from sunwell.journal.records import Record
from sunwell.report.page.page_data import PageData
from sunwell.report.page.page_json import page_json, patched
from sunwell.report.page.run_view import RunView
from sunwell.serve.followed_run import FollowedRun
from sunwell.simulator.scripts import steps
from tests.report.page.sample_runs import SAMPLES, DyingJournals, Place

NOTHING: dict[str, Any] = {field.name: {} for field in attrs.fields(PageData)}


def shown_of(path: Path, records: Iterable[Record], torn_bytes: int) -> Any:
    """Return what a report of *records* shows."""
    view = RunView(path)
    for record in records:
        view.take(record)
    data = page_json(view.data())
    data["health"]["torn_bytes"] = torn_bytes
    return json.loads(json.dumps(data))


@attrs.define(eq=False)
class Follower:
    """Follows a run, and keeps what its page shows."""

    run: FollowedRun
    path: Path
    shown: Any = attrs.field(factory=lambda: NOTHING)
    version: int = 0

    @classmethod
    def at(cls, path: Path) -> "Follower":
        """Begin to follow the run whose journal is at *path*."""
        run = FollowedRun.at(path, lambda: RunView(path))
        run.least_rest_seconds = 0.0
        return cls(run, path)

    async def ask(self) -> None:
        """Take what changed, and compare the page with a report of as many records."""
        await self.run.newer(self.version, 0.02)
        self.shown = patched(self.shown, json.loads(json.dumps(self.run.versions.since(self.version))))
        self.version = self.run.versions.version
        health = self.shown["health"]
        records = islice(read_records(self.path), health["records"])
        assert self.shown == shown_of(self.path, records, health["torn_bytes"])


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "dead"])
async def test_a_journal_that_grows_byte_by_byte(name: str, tmp_path: Path) -> None:
    """At forty random moments, whole lines or not."""
    sample = await SAMPLES[name](tmp_path / "made")
    content, path = sample.journal.read_bytes(), tmp_path / "journal.jsonl"
    first = content.index(b"\n") + 1
    cuts = sorted(random.Random(name).sample(range(first, len(content)), 40))
    path.write_bytes(content[:first])
    follower = Follower.at(path)
    for cut in [*cuts, len(content)]:
        with path.open("ab") as file:
            file.write(content[file.tell() : cut])
        await follower.run.look(60)
        await follower.ask()
    whole = list(read_records(sample.journal))
    assert follower.shown == shown_of(path, whole, 0)


async def test_a_run_that_goes_on_is_killed_and_resumed(tmp_path: Path) -> None:
    """One page follows it over both processes; the end of what was killed is cut off in between."""
    place = Place(tmp_path, cheap=steps(6), latency_seconds=0.01)
    dying = asyncio.create_task(
        place.run("Write six steps down", DyingJournals(left=14), budget=Budget(usd="0.50"))
    )
    follower = await begun(tmp_path)
    asked = await followed(follower, dying)
    assert isinstance(dying.exception(), JournalError)
    with follower.path.open("ab") as file:
        file.write(b'{"seq":14,"kind":"ans')
    await follower.run.look(60)
    await follower.ask()
    assert follower.shown["health"]["torn_bytes"] == 21
    assert follower.shown["head"]["status"] == "open"
    run_id = follower.path.parent.name

    async def resume() -> TaskResult:
        return await place.agent().resume(run_id, workspace=tmp_path)

    resumed = asyncio.create_task(resume())
    asked += await followed(follower, resumed)
    result = await resumed
    await follower.run.look(60)
    await follower.ask()
    assert follower.shown == shown_of(follower.path, read_records(follower.path), 0)
    assert follower.shown["head"]["status"] == "ok"
    assert Decimal(follower.shown["cost"]["usd"]) == result.bill.cost_usd
    assert asked > 10


async def begun(workspace: Path) -> Follower:
    """Return a follower of the run in *workspace* as soon as it has its first record."""
    while True:
        await asyncio.sleep(0)
        for run in list_runs(workspace):
            try:
                return Follower.at(run.path)
            except JournalError:  # its first record is not there yet
                continue


async def followed(follower: Follower, running: "asyncio.Task[Any]") -> int:
    """Ask again and again until *running* has ended; return how often."""
    asked = 0
    while not running.done():
        await follower.ask()
        asked += 1
    return asked
