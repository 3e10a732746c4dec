"""A result is within what hosts take, whatever stands in it; what does not fit is counted or cut out."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.serve.mcp_server.outcome_models import (
    ChangedPath,
    ModelCost,
    RefusedUndo,
    RunOutcome,
    TaskOutcome,
    UndoOutcome,
)
from sunwell.serve.mcp_server.result_bounds import (
    MOST_BYTES,
    lines_within,
    run_within,
    text_of,
    text_within,
    undo_within,
)

SIGNS = ("a", "\u4e2d", "\u202e", "\U000e0041", '"', "\ud800")
"""One byte as JSON, two, three, and up to twelve; half of a pair, too."""


def run_of(sign: str = "a", count: int = 1, length: int = 10, **given: Any) -> RunOutcome:
    """Return the outcome of a run in which *count* of each are named with *length* of a *sign*."""
    text = sign * length
    task = TaskOutcome(
        id=text, task=text, status=text, answer=text, error=text, cost_usd="0.1",
        files=[f"{number}{text}" for number in range(count)], files_left_out=0,
    )  # fmt: skip
    model = ModelCost(model=text, calls=1, input_tokens=1, output_tokens=1, cost_usd="0.1")
    root = sign * (240 // len(sign.encode("utf-8", "surrogatepass")))
    plain: dict[str, Any] = {
        "run_id": "0199", "root": "".join(one for one in root if one != "\ud800"), "status": "ok",
        "stop_reason": text, "answer": text, "answer_is_cut": False, "error": text, "next": f"root {root}",
        "cap_usd": "1", "cost_usd": "0.1", "uncertain_usd": "0", "input_tokens": 1, "output_tokens": 1,
        "by_model": [model] * min(count, 100),
        "files": [ChangedPath(path=f"{number}{text}", change="made") for number in range(count)],
        "files_left_out": 0, "verified": True, "verdict": text, "unresolved": [text] * count,
        "tasks": [task] * min(count, 1_000), "tasks_left_out": 0, "warnings": [text] * count, "more_at": [],
    }  # fmt: skip
    return RunOutcome(**(plain | given))


def size_of(outcome: Any) -> int:
    return len(text_of(outcome).encode())


@attrs.frozen
class Much:
    """How much of what."""

    count: int
    length: int


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("much", [Much(5_000, 60), Much(20, 3_000)], ids=str)
def test_a_run_of_which_there_is_much_to_tell_fits(sign: str, much: Much) -> None:
    """What is left out is counted; each path that is named is whole, and there is room for the answer."""
    given = run_of(sign, much.count, much.length, answer=sign * 80_000)
    found = run_within(given)
    assert size_of(found) <= MOST_BYTES
    assert found.answer_is_cut
    assert len(found.answer) > 250
    assert len(found.files) + found.files_left_out == len(given.files)
    assert found.files == given.files[: len(found.files)]
    assert len(found.tasks) + found.tasks_left_out == len(given.tasks)
    for task in found.tasks:
        assert len(task.files) + task.files_left_out == much.count
    assert [uri.rpartition("/")[2] for uri in found.more_at] == ["answer", "report"]


def test_what_fits_is_told_whole() -> None:
    """Nothing is changed but the resource that is named."""
    given = run_of(count=5)
    assert run_within(given) == given.model_copy(
        update={"more_at": ["sunwell://" + "a" * 240 + "/runs/0199/report"]}
    )


def test_many_reports_are_cut_before_tasks_are_left_out() -> None:
    """All of them are shown as long as they fit."""
    task = run_of().tasks[0].model_copy(update={"answer": "a" * 5_000})
    found = run_within(run_of(tasks=[task] * 40))
    assert (len(found.tasks), found.tasks_left_out) == (40, 0)
    assert all(300 < size_of(one) < 800 for one in found.tasks)


@pytest.mark.parametrize("sign", SIGNS)
def test_an_undo_of_many_files_fits(sign: str) -> None:
    """What is left out is counted."""
    paths = [f"{number}{sign * 40}" for number in range(5_000)]
    given = UndoOutcome(
        run_id="0199", restored=paths, removed=paths, unchanged=paths,
        skipped=[RefusedUndo(path=path, reason=sign * 2_000) for path in paths], not_saved=paths, left_out=0,
    )  # fmt: skip
    found = undo_within(given)
    assert size_of(found) <= MOST_BYTES
    lists = [found.restored, found.removed, found.unchanged, found.skipped, found.not_saved]
    assert all(lists)
    assert found.left_out == 25_000 - sum(map(len, lists))
    few = UndoOutcome(
        run_id="0199", restored=["a"], removed=[], unchanged=["b"], skipped=given.skipped[:1],
        not_saved=[], left_out=0,
    )  # fmt: skip
    assert undo_within(few).restored == ["a"]
    assert undo_within(few).left_out == 0


@given(st.text(st.sampled_from("".join(SIGNS) + "\n\\é"), max_size=400), st.integers(100, 900))
def test_a_text_is_whole_or_within_its_bytes(text: str, most: int) -> None:
    """As JSON, with all escapes."""
    wrapped = run_of(answer=text_within(text, most), tasks=[])
    bare = run_of(answer="", tasks=[])
    size = size_of(wrapped) - size_of(bare)
    assert size <= most
    is_small = size_of(run_of(answer=text, tasks=[])) - size_of(bare) <= most
    assert (wrapped.answer == text) is is_small


def test_lines_that_are_left_out_are_counted() -> None:
    """In a line of its own."""
    assert lines_within(["one", "two"]) == ["one", "two"]
    assert lines_within(["line"] * 50) == [*["line"] * 40, "and 10 more"]
