"""Journals of every version that was ever written are read for ever: tree, listing, what is finished."""

import json
import shutil
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path

import attrs
import msgspec
import pytest

from sunwell.agent import Agent
from sunwell.events import RunFinished
from sunwell.journal import FileJournal, list_runs, read_records
from sunwell.journal.codec import kinds
from sunwell.journal.exports import export_json
from sunwell.journal.ownership import adopt
from sunwell.journal.records import Answer, RunClosed, ToolFinished, Unknown
from sunwell.journal.tree import Node, tree
from sunwell.models.registry import ModelRegistry

DATA = Path(__file__).parent / "data"
JOURNALS = sorted(DATA.glob("*.jsonl"))
BOOKED = {
    "1.0": (5428, Decimal("0.006006470")),
    "1.1": (5428, Decimal("0.006006470")),
    "1.2": (5383, Decimal("0.005841970")),
    "1.3": (5366, Decimal("0.005765950")),
    "1.4": (7431, Decimal("0.005853790")),
    "1.5": (7936, Decimal("0.006720035")),
    "1.6": (7972, Decimal("0.006601815")),
}
"""Tokens and dollars that were printed when each was recorded; the words of prompts changed in between."""
ANSWER = "3 turns, 3 calls, 0 of them failed, results cbda4bc6d21070cb."


@pytest.fixture(params=BOOKED)
def version(request) -> str:
    return request.param


@pytest.fixture
def recorded(version: str, tmp_path: Path) -> Path:
    """A delegated run that met its limit on turns and was taken up with more, in a workspace of its own."""
    place = tmp_path / ".sunwell" / "runs" / "recorded" / "journal.jsonl"
    place.parent.mkdir(parents=True)
    shutil.copy(DATA / f"delegated-{version}.jsonl", place)
    return tmp_path


def test_there_is_a_journal_of_each_minor_version():
    """Whoever raises the version records one more."""
    from sunwell.journal.codec import FORMAT

    written = [path.stem.removeprefix("delegated-") for path in JOURNALS]
    assert written == list(BOOKED)
    assert written == [f"{FORMAT[0]}.{minor}" for minor in range(FORMAT[1] + 1)]


def test_every_record_is_understood(recorded: Path):
    """None is damaged, and none is of a kind that is not known."""
    [run] = list_runs(recorded)
    records = list(read_records(run.path))
    assert sum(isinstance(record, Answer) for record in records) == 6
    assert not [record for record in records if isinstance(record, Unknown)]


def test_tree_and_export_say_what_it_did_and_cost(recorded: Path, version: str):
    """The figures are those that were printed when it was recorded."""
    [run] = list_runs(recorded)
    root = tree(read_records(run.path))
    assert (root.name, root.status) == ("recorded", "ok")
    assert (root.tokens_used, root.total_cost_usd) == BOOKED[version]
    assert msgspec.convert(json.loads(export_json(root))["root"], Node) == root


async def test_the_finished_run_gives_its_result_without_a_model(recorded: Path, version: str):
    """Whatever the code of today would ask."""
    adopt(recorded, "recorded")
    agent = Agent(registry=ModelRegistry())
    async with aclosing(agent.resume("recorded", workspace=recorded)) as events:
        told = [event async for event in events]
    last = told[-1]
    assert isinstance(last, RunFinished)
    result = last.result
    assert (result.status, result.answer, result.turns) == ("ok", ANSWER, 4)
    assert (result.bill.cost_usd, result.bill.calls) == (BOOKED[version][1], 6)
    assert [change.path for change in result.files] == ["steps/000-0.txt", "steps/001-0.txt"]
    assert dict(result.tools_called) == {"read_file": 1, "write_file": 2}


async def test_it_can_be_written_on(recorded: Path):
    """Opening holds the lock and appending goes on where it ended."""
    [run] = list_runs(recorded)
    journal = FileJournal.open(run.path)
    closed = journal.find(RunClosed, ())
    assert closed is not None
    await journal.append(closed)
    journal.close()
    assert list(read_records(run.path))[-1] == closed


def test_a_field_that_came_later_has_its_default_in_an_old_journal():
    """A record of the first version lacks what came later, and reads as if it had said nothing of it."""
    first = [json.loads(line) for line in (DATA / "delegated-1.0.jsonl").read_text().splitlines()]
    started = next(line for line in first if line["kind"] == "tool")
    assert "reads" not in started["result"]
    [read] = [
        record
        for record in read_records(DATA / "delegated-1.0.jsonl")
        if isinstance(record, ToolFinished) and record.key == ("run/work", started["turn"], started["index"])
    ]
    assert read.result.reads == ()


def test_no_record_demands_a_field_that_an_old_journal_lacks():
    """Whoever adds a field gives it a default."""
    written: dict[str, set[str]] = {}
    for path in JOURNALS:
        for line in path.read_text().splitlines():
            fields = json.loads(line)
            written.setdefault(fields["kind"], set(fields)).intersection_update(fields)
    for kind, names in written.items():
        wanted = {field.name for field in attrs.fields(kinds()[kind]) if field.default is attrs.NOTHING}
        assert wanted <= names, kind
