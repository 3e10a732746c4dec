"""The scratchpad: every entry whole and addressable, within its bound, and readable by a later run."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.core import FileChange
from sunwell.core.task import CommandRun, Receipts
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.records import Note, RunOpened, WorkerClosed
from sunwell.memory import Scratchpad, ScratchpadEntry, entries_of
from sunwell.memory.scratchpad import ENTRY_NOTE, IDS_NOTE, PAGE_CHARACTERS, TaskIds

CROCKFORD = set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


def closed(span: str = "run/orchestrator/task-0-0-0", **given: object) -> WorkerClosed:
    known: dict[str, object] = {
        "span": span, "depth": 1, "query": "Count the moons", "status": "ok", "stop_reason": "end",
        "answer": "95 moons.\nMore follows.", "error": "", "turns": 2, "tokens_used": 120,
        "cost": Decimal("0.0142"), "duration_ms": 3200, "tools_called": ("read_file", "grep", "read_file"),
        "result_tokens": 9, "files": (FileChange("a.txt", None, "ab"),),
        "commands": (CommandRun("make test", 2),), "conflicts": (), "at": 1.0,
    }  # fmt: skip
    return WorkerClosed(**(known | given))  # type: ignore[arg-type]


def entry(key: str, run_id: str = "this", kind: str = "analysis") -> ScratchpadEntry:
    return ScratchpadEntry(key, kind, key, {"output": key}, run_id=run_id)  # type: ignore[arg-type]


def test_a_workers_entry_has_type_summary_raw_result_and_receipts() -> None:
    """Everything that is known of the result is in the entry, the worker's words apart from what was seen."""
    made = ScratchpadEntry.of_worker(closed(), "ID", "r1")
    assert (made.key, made.type, made.summary, made.run_id) == ("task:ID", "analysis", "95 moons.", "r1")
    assert made.raw["output"] == "95 moons.\nMore follows."
    assert made.raw["done"] is True
    assert made.raw["success"] is True
    assert made.raw["task"] == "Count the moons"
    assert made.raw["duration_seconds"] == 3.2
    assert made.raw["tool_calls"] == 3
    assert made.receipts.files == (FileChange("a.txt", None, "ab"),)
    assert made.receipts.commands == (CommandRun("make test", 2),)
    assert made.receipts.tools_called == (("grep", 1), ("read_file", 2))


def test_a_failed_worker_has_its_entry_too() -> None:
    """A failure is written down as one: no success, its error, and a summary that begins with Failed."""
    made = ScratchpadEntry.of_worker(
        closed(status="error", stop_reason="model_error", error="it broke"), "ID", "r1"
    )
    assert made.raw["success"] is False
    assert made.raw["error"] == "it broke"
    assert made.summary == "Failed: it broke"


@settings(max_examples=60)
@given(st.text(max_size=40), st.integers(0, 3))
def test_pages_are_the_text_and_nothing_else(text: str, repeats: int) -> None:
    """All pages together give the text back, and none is longer than a page."""
    whole = text + "x" * (PAGE_CHARACTERS * repeats)
    made = ScratchpadEntry("k", "analysis", "", {"output": whole})
    pages = [made.page(number) for number in range(1, made.pages + 1)]
    assert "".join(pages) == whole
    assert all(len(page) <= PAGE_CHARACTERS for page in pages)
    assert made.page(made.pages + 1) == ""


@pytest.mark.parametrize(
    ("characters", "pages"),
    [
        pytest.param(0, 1, id="empty"),
        pytest.param(PAGE_CHARACTERS, 1, id="one-page"),
        pytest.param(PAGE_CHARACTERS + 1, 2, id="one-more"),
    ],
)
def test_a_text_has_as_many_pages_as_it_needs(characters: int, pages: int) -> None:
    """A page more begins just past the length of a page."""
    assert ScratchpadEntry("k", "analysis", "", {"output": "x" * characters}).pages == pages


def test_what_earlier_runs_left_gives_way_first_then_decisions_then_the_oldest() -> None:
    """Never more than the bound; the run's own findings stay longest."""
    pad = Scratchpad("this", max_entries=3)
    for one in (entry("old", "that"), entry("d", kind="decision"), entry("a"), entry("b")):
        pad.put(one)
    assert [one.key for one in pad.entries()] == ["d", "a", "b"]
    pad.put(entry("c"))
    assert [one.key for one in pad.entries()] == ["a", "b", "c"]
    pad.put(entry("e"))
    assert [one.key for one in pad.entries()] == ["b", "c", "e"]
    assert pad.get("a") is None


def test_an_entry_replaces_the_earlier_one_of_its_key() -> None:
    """A key names one entry."""
    pad = Scratchpad("this")
    pad.put(entry("a"))
    pad.put(ScratchpadEntry("a", "analysis", "new", {}))
    assert [one.summary for one in pad.entries()] == ["new"]


def test_an_entry_comes_back_from_its_json() -> None:
    """What is noted in a journal is the entry, receipts included."""
    made = ScratchpadEntry.of_worker(closed(), "ID", "r1")
    assert ScratchpadEntry.from_json(made.as_json()) == made


async def test_a_later_run_finds_the_entries_of_a_recorded_one() -> None:
    """Workers under the ids that the run gave them, decisions, and what it had read from others itself."""
    ids = TaskIds("r1", 1_700_000_000_000)
    other = ScratchpadEntry("task:OTHER", "analysis", "from before", {"output": "x"}, Receipts(), "r0")
    journal = MemoryJournal("r1")
    await journal.append(RunOpened("r1", "a task", 1.0))
    await journal.append(Note("run", IDS_NOTE, ids.as_json()))
    await journal.append(Note("run", f"{ENTRY_NOTE}{other.key}", other.as_json()))
    await journal.append(closed())
    found = {one.key: one for one in entries_of(journal.records())}
    assert set(found) == {"task:OTHER", f"task:{ids.of('run/orchestrator/task-0-0-0')}"}
    assert found["task:OTHER"] == other


@settings(max_examples=60)
@given(st.text(max_size=20), st.text(max_size=20), st.integers(0, 2**48 - 1))
def test_ids_are_ulids_that_depend_on_the_place_alone(one: str, other: str, milliseconds: int) -> None:
    """26 characters that any reader of ULIDs takes, the same for the same place, others for others."""
    ids = TaskIds("run-1", milliseconds)
    made = ids.of(one)
    assert len(made) == 26
    assert set(made) <= CROCKFORD
    assert made[0] <= "7"
    assert TaskIds.from_json(ids.as_json()).of(one) == made
    assert (ids.of(other) == made) == (one == other)
    assert TaskIds("run-2", milliseconds).of(one) != made
    high = 0
    for letter in made[:10]:
        high = high * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(letter)
    assert high == milliseconds
