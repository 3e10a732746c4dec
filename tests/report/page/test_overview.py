"""All runs of a workspace, as a page lists them: each with its end, its cost and where it comes from."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.budget import Budget
from sunwell.context import RunOptions, SessionContext
from sunwell.core import Price, Rates
from sunwell.core.check import Checking, Verdict
from sunwell.core.task import TaskResult
from sunwell.errors import JournalError
from sunwell.journal import read_records
from sunwell.journal.codec import encode
from sunwell.journal.layout import list_runs
from sunwell.journal.ownership import adopt
from sunwell.journal.records import RunOpened
from sunwell.models.registry import ModelRegistry
from sunwell.report.page.overview import OverviewRow, overview
from sunwell.report.page.page_json import page_json
from sunwell.testing import ScriptedModel

PRICE = Price(Rates(Decimal(1), Decimal(10)), source="test", date="2026-11-01")
COST = Decimal("0.00006")
"""Of an answer: 10 tokens in, 5 out."""


def agent() -> Agent:
    """Return an agent whose model says one sentence."""
    return Agent(model=ScriptedModel("opus-x", ["Done."], PRICE), registry=ModelRegistry())


async def _result(events: Any) -> TaskResult:
    result: TaskResult = await events
    return result


def ran(workspace: Path, task: str = "Do it.", **options: Any) -> TaskResult:
    """Return the result of a run of one call."""
    session = SessionContext.build(workspace, task, options=RunOptions(**options))
    return asyncio.run(_result(agent().run(session)))


def rows(workspace: Path) -> list[OverviewRow]:
    """Return the rows of all runs, newest first."""
    return list(overview(workspace).runs.values())


async def never(checking: Checking) -> Verdict:
    """Find every work wanting."""
    return Verdict(False, "It is not enough.")


def test_a_row_says_how_a_run_ended_and_what_it_cost(tmp_path: Path) -> None:
    """Cap, calls, models and the verdict of its checks among it."""
    result = ran(tmp_path, "Write it.", budget=Budget(usd="0.50"), checks=(never,))
    [row] = rows(tmp_path)
    assert row == OverviewRow(
        result.run_id,
        result.status,
        result.journal or "",
        started_at=row.started_at,
        task="Write it.",
        verdict="not verified: never did not pass, $0.000060",
        verified=False,
        usd=COST,
        unconfirmed_usd=Decimal(0),
        cap_usd=Decimal("0.50"),
        calls=1,
        models=("opus-x",),
    )
    assert row.started_at is not None


def test_runs_say_where_they_come_from(tmp_path: Path) -> None:
    """What a fork has copied is not paid a second time; a run that goes on has a cost of its own."""
    first = ran(tmp_path)
    go_on = agent().continue_run(first.run_id, "And now?", workspace=tmp_path)
    continued = asyncio.run(_result(go_on))
    forked = asyncio.run(_result(agent().fork(continued.run_id, "run/direct:0", workspace=tmp_path)))
    found = overview(tmp_path)
    assert list(found.runs) == [forked.run_id, continued.run_id, first.run_id]
    told = [(row.continues, row.forked_from, row.calls, row.usd) for row in found.runs.values()]
    assert told == [
        (first.run_id, continued.run_id, 1, COST),
        (first.run_id, "", 1, COST),
        ("", "", 1, COST),
    ]
    assert (found.totals.runs, found.totals.calls, found.totals.usd) == (3, 3, 3 * COST)
    assert found.totals.by_status == {"ok": 3}


def test_a_damaged_run_does_not_hide_the_others(tmp_path: Path) -> None:
    """It is a row with a sentence, and the sums say that it is missing."""
    bad, good = ran(tmp_path), ran(tmp_path)
    path = Path(bad.journal or "")
    path.write_bytes(b"no record\n" + path.read_bytes())
    found = overview(tmp_path)
    row = found.runs[bad.run_id]
    assert (row.status, row.usd, row.calls) == ("damaged", None, 0)
    assert "is damaged" in row.error
    assert found.runs[good.run_id].status == "ok"
    totals = found.totals
    assert (totals.runs, totals.usd, totals.unpriced, totals.calls) == (2, COST, 1, 1)
    assert totals.by_status == {"ok": 1, "damaged": 1}


def test_a_run_that_was_killed_is_open(tmp_path: Path) -> None:
    """What was under way may be billed: that is an upper bound beside the cost."""
    path = Path(ran(tmp_path, checks=(never,)).journal or "")
    lines = path.read_bytes().splitlines(keepends=True)
    kinds = [record.kind for record in read_records(path)]
    path.write_bytes(b"".join(lines[: kinds.index("intent") + 1]))
    [row] = rows(tmp_path)
    assert (row.status, row.calls, row.usd, row.verdict) == ("open", 0, Decimal(0), "")
    assert row.unconfirmed_usd is not None
    assert row.unconfirmed_usd > 0


def test_a_run_that_others_prepared_is_foreign_until_it_is_adopted(tmp_path: Path) -> None:
    """A workspace from elsewhere may bring runs."""
    result = ran(tmp_path)
    path = Path(result.journal or "")
    records = list(read_records(path))
    path.write_bytes(b"".join(encode(record, i) + b"\n" for i, record in enumerate(records)))
    assert [row.foreign for row in rows(tmp_path)] == [True]
    adopt(tmp_path, result.run_id)
    assert [row.foreign for row in rows(tmp_path)] == [False]


@pytest.mark.parametrize(
    "cap", [None, 5, "much", "NaN", "1e999999999999", "1e-999999999999", "-1", ["1"], {"usd": "1"}]
)
def test_a_cap_that_nobody_can_have_is_none(tmp_path: Path, cap: Any) -> None:
    """Somebody else may have written the journal."""
    path = Path(ran(tmp_path).journal or "")
    opened, *others = read_records(path)
    assert isinstance(opened, RunOpened)
    settings = {**opened.settings, "options": {**opened.settings["options"], "budget_usd": cap}}
    records = [attrs.evolve(opened, settings=settings), *others]
    path.write_bytes(b"".join(encode(record, i) + b"\n" for i, record in enumerate(records)))
    [row] = rows(tmp_path)
    assert (row.status, row.cap_usd) == ("ok", None)


def test_a_long_task_is_cut(tmp_path: Path) -> None:
    """A thousand rows with their material would be a page that nobody can open."""
    ran(tmp_path, "Do it. " * 10_000)
    [row] = rows(tmp_path)
    assert (len(row.task), row.task[-1]) == (400, "…")


def test_a_folder_without_runs_has_an_empty_overview(tmp_path: Path) -> None:
    """Nothing is made there either."""
    found = overview(tmp_path)
    assert (dict(found.runs), found.totals.runs, found.note) == ({}, 0, "")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_runs_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """It could lead anywhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".sunwell").symlink_to("elsewhere")
    with pytest.raises(JournalError):
        overview(tmp_path)


def test_the_json_has_every_digit(tmp_path: Path) -> None:
    """Amounts are texts, and what is unknown is null."""
    run_id = ran(tmp_path).run_id
    values = json.loads(json.dumps(page_json(overview(tmp_path))))
    assert values["totals"]["usd"] == str(COST)
    assert values["runs"][run_id]["cap_usd"] is None
    assert len(list_runs(tmp_path)) == 1
