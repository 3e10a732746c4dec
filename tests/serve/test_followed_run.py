"""A run that is followed: what following it costs, and that it shows what a fresh report would."""

import asyncio
import time
from pathlib import Path

import attrs

from sunwell.journal.codec import encode
from sunwell.journal.records import Note, RunOpened
from sunwell.report.page.page_data import PageData
from sunwell.report.page.run_view import RunView
from sunwell.serve.followed_run import FollowedRun, PageVersions

RECORDS = [RunOpened("r1", "write it", 1000.0), *(Note("run", str(i), i) for i in range(1, 30))]
LINES = [encode(record, seq, synced=seq) + b"\n" for seq, record in enumerate(RECORDS)]


@attrs.define(eq=False)
class SlowView(RunView):
    """Takes a while to say what a page shows."""

    used_seconds: float = 0.0

    def data(self) -> PageData:
        began = time.thread_time()
        while time.thread_time() < began + 0.03:
            pass
        self.used_seconds += time.thread_time() - began
        return super().data()


async def test_following_a_run_that_writes_fast_takes_a_fifth_of_a_core(tmp_path: Path) -> None:
    """However often the page is asked for: after each step it rests."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(LINES[0])
    view = SlowView()
    run = FollowedRun.at(path, lambda: view)
    used_before, began = view.used_seconds, asyncio.get_running_loop().time()
    for line in LINES[1:9]:
        with path.open("ab") as file:
            file.write(line)
        before = run.versions.version
        await asyncio.gather(*[run.newer(before, 60) for _ in range(5)])
        assert run.versions.version == before + 1
    took = asyncio.get_running_loop().time() - began
    assert view.used_seconds - used_before <= 0.25 * took


def test_a_version_is_only_counted_if_something_changed() -> None:
    """An empty patch is none."""
    versions = PageVersions()
    versions.add({})
    assert (versions.version, versions.since(0)) == (0, {})
    versions.add({"head": {"status": "open"}, "calls": {"a": {"usd": "1"}, "b": {"usd": "2"}}})
    versions.add({"calls": {"c": {"usd": "3"}}})
    versions.add({"calls": {"a": None}})
    assert versions.since(1) == {"calls": {"c": {"usd": "3"}, "a": None}}
    assert versions.since(2) == {"calls": {"a": None}}
    assert versions.since(3) == {}
    whole = {"head": {"status": "open"}, "calls": {"b": {"usd": "2"}, "c": {"usd": "3"}, "a": None}}
    for unknown in (0, -1, 4, 10**9):
        assert versions.since(unknown) == whole
    assert list(versions.since(0)["calls"]) == ["b", "c", "a"]
