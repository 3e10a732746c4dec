"""The gate in batches: what is withheld, what it costs, and that order, caps and kills change nothing."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.agent.batches.task_batch import BatchResult
from sunwell.agent.policy.lens_trial import GROUP, MOST_PAIRS
from sunwell.core import Budget, Task
from sunwell.core.check import Checking, Verdict
from sunwell.core.verdict import LensTest
from sunwell.errors import ConnectionFailed
from sunwell.events import LensTested, WorkerFinished
from sunwell.journal import read_records
from sunwell.journal.codec import encode
from sunwell.journal.records import Answer, Note, RunClosed
from sunwell.memory.outcome_store import OutcomeStore, outcomes_file
from tests.agent.batches.gate_parts import COUNT, RIGHT, Pupil, School, is_right, order_of, questions


def never(number: int) -> bool:
    """Answer nothing rightly."""
    return False


@pytest.fixture
def school(tmp_path: Path) -> School:
    """Return a school with a pupil who knows everything."""
    return School(tmp_path, Pupil())


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Return a folder for all examples of a property."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_a_lens_that_harms_is_withheld_from_the_other_items(school: School) -> None:
    """After four pairs: the extra runs are the results of these, and the rest never sees the lens."""
    school.pupil = Pupil(right_with=never)
    done = school.batch()
    found = done.run.lens_test
    assert found is not None
    assert (found.finding, found.withheld, found.reason) == ("harms", True, "")
    assert (found.pairs, found.better, found.worse, found.unknown) == (GROUP, 0, GROUP, 0)
    assert found.without_lens == COUNT - GROUP
    paired = order_of(questions())[:GROUP]
    assert sorted(number for number, with_lens in school.pupil.asked if with_lens) == sorted(paired)
    assert school.pupil.without() == list(range(COUNT))
    assert [result.task for result in done] == [task.text for task in questions()]
    assert {result.answer for result in done} == {RIGHT}
    assert done.run.status == "ok"
    ids = [f"no-lens/task-{at}" if at in paired else f"task-{at}" for at in range(COUNT)]
    assert [result.task_id for result in done] == ids


def test_outcomes_of_items_that_climb_say_which_of_them_had_the_lens(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From those that it was withheld from, nothing is learnt of work under a lens."""
    monkeypatch.setenv("SUNWELL_OUTCOMES", "on")
    monkeypatch.setenv("SUNWELL_HOME", str(school.workspace / "home"))
    school.pupil, school.teacher = Pupil(right_with=never), Pupil(name="teacher", usd=5)
    found = school.batch(escalate=True, worth_usd=100).run.lens_test
    assert found is not None
    assert (found.finding, found.withheld) == ("harms", True)
    rows = list(OutcomeStore(outcomes_file(), warn=pytest.fail).rows())
    first = [(one.has_lens, one.passed) for one in rows if one.rung == "cheap" and one.model == "pupil"]
    assert first.count((True, False)) == GROUP
    assert first.count((False, True)) == COUNT
    assert len(first) == COUNT + GROUP


def test_a_lens_that_helps_is_kept(school: School) -> None:
    """The extra runs are in the bill of the batch, and of no item."""
    school.pupil = Pupil(right_without=never)
    done = school.batch()
    found = done.run.lens_test
    assert found is not None
    assert (found.finding, found.withheld, found.better, found.without_lens) == ("helps", False, GROUP, 0)
    assert sorted(school.pupil.without()) == sorted(order_of(questions())[:GROUP])
    assert len(school.pupil.asked) == COUNT + GROUP
    assert found.extra_usd == Decimal("0.000150") * GROUP
    of_items = sum(result.bill.cost_usd or Decimal(0) for result in done)
    assert done.run.bill.cost_usd == of_items + found.extra_usd
    assert done.run.bill.calls == COUNT + GROUP


def test_a_lens_that_costs_more_without_a_gain_is_withheld(school: School) -> None:
    """After all pairs. Both runs of a pair passed, and the one with the lens counts."""
    done = school.batch()
    found = done.run.lens_test
    assert found is not None
    assert (found.finding, found.withheld) == ("no gain", True)
    assert (found.pairs, found.without_lens) == (MOST_PAIRS, COUNT - MOST_PAIRS)
    assert {result.task_id for result in done} == {f"task-{at}" for at in range(COUNT)}
    assert len(school.pupil.asked) == COUNT + MOST_PAIRS


def test_a_lens_that_costs_less_is_kept_without_a_gain(school: School) -> None:
    """It may make answers shorter."""
    school.pupil = Pupil(tokens={True: 100, False: 200})
    found = school.batch().run.lens_test
    assert found is not None
    assert (found.finding, found.withheld, found.without_lens) == ("no gain", False, 0)


async def knows_nothing(checking: Checking) -> Verdict:
    """Check nothing."""
    return Verdict(None, "who knows")


@pytest.mark.parametrize(
    ("tasks", "options", "said"),
    [
        pytest.param(questions(39), {}, "39 of 39 items have a check, and a test takes 40", id="few"),
        pytest.param(questions(), {"checks": ()}, "no item has a check", id="unchecked"),
        pytest.param(
            [*questions(39, check=(is_right,)), *questions(9)],
            {"checks": ()},
            "39 of 48 items have a check",
            id="few-checked",
        ),
        pytest.param(
            questions(), {"tools": ("read_file", "write_file")}, "may change it: write_file", id="one-folder"
        ),
        pytest.param(questions(), {"lens_gate": False}, "it was switched off", id="off"),
    ],
)
def test_elsewhere_the_lens_is_not_tested_and_the_report_says_why(
    school: School, tasks: list[Task], options: dict[str, Any], said: str
) -> None:
    """Nothing runs twice then, and all items have the lens."""
    done = school.batch(tasks, **options)
    found = done.run.lens_test
    assert found is not None
    assert found.finding == "not tested"
    assert said in found.reason
    assert not found.withheld
    assert school.pupil.without() == []
    assert len(school.pupil.asked) == len(tasks)


def test_tools_that_only_read_leave_a_folder_as_it_is(school: School) -> None:
    """So an item that lists no other tool is on its own."""
    tasks = questions(tools=("read_file", "search_files"))
    found = school.batch(tasks, tools=("read_file", "search_files", "write_file")).run.lens_test
    assert found is not None
    assert found.pairs


def test_without_a_lens_there_is_nothing_to_test(school: School) -> None:
    """Nor anything to say of it."""
    assert school.batch(lens=None).run.lens_test is None


def test_items_without_a_check_follow_what_the_others_show(school: School) -> None:
    """They are no evidence, and a lens that harms is withheld from them, too."""
    school.pupil = Pupil(right_with=never)
    checked = questions(40, check=(is_right,))
    done = school.batch([Task("Question 100"), *checked, Task("Question 101")], checks=())
    found = done.run.lens_test
    assert found is not None
    assert (found.finding, found.without_lens) == ("harms", 42 - GROUP)
    assert {100, 101} <= set(school.pupil.without())


def test_a_run_that_breaks_off_is_no_evidence(school: School) -> None:
    """The other one is the item's result; where both broke off, the item has failed."""

    def fails(number: int, with_lens: bool) -> BaseException | None:
        is_hit = number in paired[:2] and (with_lens or number == paired[1])
        return ConnectionFailed("pupil", "it is down", False, False) if is_hit else None

    paired = order_of(questions())
    school.pupil = Pupil(right_with=never, fails=fails)
    done = school.batch()
    found = done.run.lens_test
    assert found is not None
    assert (found.finding, found.pairs, found.worse, found.unknown) == ("harms", 2 * GROUP, 6, 2)
    assert done[paired[0]].success
    assert done[paired[1]].status == "error"


def test_checks_that_cannot_tell_show_nothing(school: School) -> None:
    """After two groups no more pairs are begun, and a lens that nobody can judge is kept."""
    found = school.batch(checks=(knows_nothing,)).run.lens_test
    assert found is not None
    assert (found.finding, found.withheld) == ("undecided", False)
    assert (found.pairs, found.unknown) == (2 * GROUP, 2 * GROUP)
    assert found.reason == "of 0 of 8 pairs it is known how both runs went"
    assert len(school.pupil.asked) == COUNT + 2 * GROUP


def test_a_record_of_the_older_rule_goes_on_by_it(school: School) -> None:
    """There, unknown pairs count as equal ones: else a replay would look for work that was not done."""
    school.stop_at = 3
    run_id = school.batch(checks=(knows_nothing,)).run.run_id
    school.stop_at = None
    lines = school.journal.read_bytes().splitlines(keepends=True)
    records = list(read_records(school.journal))
    at = next(at for at, one in enumerate(records) if isinstance(one, Note) and one.name == "lens-trial")
    older = attrs.evolve(records[at], value={"places": records[at].value["places"]})
    school.journal.write_bytes(b"".join([*lines[:at], encode(older, at) + b"\n"]))
    found = school.resume(run_id, checks=(knows_nothing,)).run.lens_test
    assert found is not None
    assert (found.finding, found.pairs, found.unknown) == ("no gain", MOST_PAIRS, MOST_PAIRS)


def test_the_journal_the_event_and_the_results_file_hold_what_was_found(
    school: School, tmp_path: Path
) -> None:
    """The event comes before the other items begin."""
    school.pupil = Pupil(right_with=never)
    out = tmp_path / "out.jsonl"
    done = school.batch(results=out)
    (closed,) = school.records(RunClosed)
    assert closed.lens_test == done.run.lens_test
    (place,) = [at for at, event in enumerate(school.events) if isinstance(event, LensTested)]
    event = school.events[place]
    assert isinstance(event, LensTested)
    assert (event.test, event.left) == (done.run.lens_test, COUNT - GROUP)
    before = [event for event in school.events[:place] if isinstance(event, WorkerFinished)]
    assert len(before) == 2 * GROUP
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["index"], line["answer"]) for line in lines] == [(at, RIGHT) for at in range(COUNT)]
    assert sum(line["task_id"].startswith("no-lens/") for line in lines) == GROUP


CAPS = [Budget(usd="0.0140"), Budget(tokens=COUNT * 210 + 2_000), Budget(calls=COUNT + 2)]


@pytest.mark.parametrize("budget", CAPS, ids=["usd", "tokens", "calls"])
def test_near_the_cap_no_pairs_are_begun_and_no_item_is_lost(school: School, budget: Budget) -> None:
    """The cap holds all items, and little more."""
    done = school.batch(budget=budget)
    found = done.run.lens_test
    assert found is not None
    assert (found.finding, found.pairs) == ("not tested", 0)
    assert "near the cap" in found.reason
    assert {result.answer for result in done} == {RIGHT}
    assert school.pupil.without() == []


def test_a_test_that_comes_near_the_cap_stops(school: School) -> None:
    """What was seen until then does not decide."""
    done = school.batch(budget=Budget(calls=75))
    found = done.run.lens_test
    assert found is not None
    assert found.finding == "undecided"
    assert "near the cap" in found.reason
    assert 0 < found.pairs < MOST_PAIRS
    assert not found.withheld
    assert {result.answer for result in done} == {RIGHT}
    assert done.run.bill.calls <= 75


@settings(max_examples=8)
@given(
    caps=st.sampled_from(["usd", "tokens", "calls"]),
    share=st.floats(1.0, 2.5),
    slots=st.integers(1, 20),
    harms=st.booleans(),
)
def test_the_extra_runs_are_under_the_cap(
    place: Path, caps: str, share: float, slots: int, harms: bool
) -> None:
    """Whatever it is, it holds, and no item is lost for a test."""
    folder = Path(tempfile.mkdtemp(dir=place))
    school = School(folder, Pupil(right_with=never) if harms else Pupil(right_without=never))
    amounts: dict[str, Any] = {
        "usd": Decimal(round(COUNT * 2.5e-4 * share, 6)).quantize(Decimal("1e-6")) + Decimal("0.002"),
        "tokens": round(COUNT * 210 * share) + 2_000,
        "calls": round(COUNT * share),
    }
    done = school.batch(budget=Budget(**{caps: amounts[caps]}), max_concurrent=slots)
    bill = done.run.bill
    spent = {"usd": bill.cost_usd, "tokens": bill.usage.total_tokens, "calls": bill.calls}
    assert spent[caps] <= amounts[caps]
    assert all(result.status != "error" and not result.stop_reason.startswith("budget") for result in done)
    shutil.rmtree(folder)


MASKS = st.lists(st.booleans(), min_size=COUNT, max_size=COUNT)
PACES = st.lists(st.sampled_from([0.0, 1.0, 2.0, 5.0]), min_size=COUNT, max_size=COUNT)


def outcome(done: Any) -> tuple[LensTest | None, list[tuple[str, str]]]:
    """Return what was found of the lens, and which result each item has."""
    return done.run.lens_test, [(result.task_id, result.answer) for result in done]


@settings(max_examples=6)
@given(with_lens=MASKS, without=MASKS, paces=PACES, slots=st.integers(1, COUNT))
def test_the_order_in_which_calls_come_back_changes_nothing(
    place: Path, with_lens: list[bool], without: list[bool], paces: list[float], slots: int
) -> None:
    """Neither what is found of the lens nor any result."""
    found = []
    for number, (pace, limit) in enumerate([((0.0,) * COUNT, COUNT), (tuple(paces), slots)]):
        folder = Path(tempfile.mkdtemp(dir=place)) / str(number)
        folder.mkdir()
        pupil = Pupil(with_lens.__getitem__, without.__getitem__, seconds=pace.__getitem__)
        found.append(outcome(School(folder, pupil).batch(max_concurrent=limit)))
        shutil.rmtree(folder.parent)
    assert found[0] == found[1]


@pytest.fixture(scope="module")
def uneven(place: Path) -> School:
    """Return a school whose batch was tested with three looks, and has ended."""
    folder = Path(tempfile.mkdtemp(dir=place)) / "whole"
    folder.mkdir()
    paired = order_of(questions())
    worse, better = {*paired[:2], *paired[8:12]}, {paired[5]}
    school = School(folder, Pupil(lambda at: at not in worse, lambda at: at not in better))
    school.done = school.batch(max_concurrent=3)
    return school


def whole_of(school: School) -> BatchResult:
    """Return what the one batch of *school* came to."""
    assert school.done is not None
    return school.done


@settings(max_examples=8)
@given(data=st.data())
def test_cut_after_any_record_it_comes_to_the_same_and_asks_nothing_again(
    uneven: School, data: st.DataObject
) -> None:
    """What is answered is on record, and only the rest is asked: together it is what one run asked."""
    lines = uneven.journal.read_bytes().splitlines(keepends=True)
    kept = data.draw(st.integers(2, len(lines) - 2), label="records that are left")
    folder = Path(tempfile.mkdtemp(dir=uneven.workspace.parent))
    shutil.copytree(uneven.workspace, folder / "copy", ignore=shutil.ignore_patterns("*.lock"))
    cut = School(folder / "copy", Pupil(uneven.pupil.right_with, uneven.pupil.right_without))
    cut.journal.write_bytes(b"".join(lines[:kept]))
    answered = len(cut.records(Answer))
    done = cut.resume(whole_of(uneven).run.run_id)
    assert outcome(done) == outcome(whole_of(uneven))
    assert len(cut.pupil.asked) == len(uneven.pupil.asked) - answered
    assert len(cut.records(Answer)) == len(uneven.records(Answer))
    assert done.run.bill.calls == whole_of(uneven).run.bill.calls
    shutil.rmtree(folder)


def test_three_looks_were_needed(uneven: School) -> None:
    """Else the test above would say little."""
    found = whole_of(uneven).run.lens_test
    assert found is not None
    assert (found.finding, found.pairs, found.better, found.worse) == ("harms", 12, 1, 6)


@settings(max_examples=6)
@given(stop_at=st.integers(3, 120))
def test_stopped_at_any_event_it_goes_on_to_the_same(uneven: School, stop_at: int) -> None:
    """Also where pairs were cancelled half-way."""
    folder = Path(tempfile.mkdtemp(dir=uneven.workspace.parent))
    school = School(folder, Pupil(uneven.pupil.right_with, uneven.pupil.right_without), stop_at=stop_at)
    done = school.batch(max_concurrent=3)
    if done.run.status == "cancelled":
        school.stop_at = None
        done = school.resume(done.run.run_id)
    assert outcome(done) == outcome(whole_of(uneven))
    answers = [(record.span, record.number) for record in school.records(Answer)]
    assert len(answers) == len(set(answers)) == len(uneven.records(Answer))
    shutil.rmtree(folder)


def test_it_is_played_again_as_it_was(uneven: School) -> None:
    """Without a call, and with the same words on its lens."""
    before = len(uneven.pupil.asked)
    assert outcome(uneven.replay(whole_of(uneven).run.run_id)) == outcome(whole_of(uneven))
    assert len(uneven.pupil.asked) == before


def test_switched_off_when_it_goes_on_no_more_pairs_are_begun(school: School) -> None:
    """The pairs so far are told, and decide nothing."""
    school.pupil = Pupil(right_with=lambda at: at % 2 > 0, right_without=lambda at: at % 2 > 0)
    school.stop_at = 30
    done = school.batch()
    assert done.run.status == "cancelled"
    school.stop_at = None
    looks = [note for note in school.records(Note) if note.name.startswith("lens-look:")]
    found = school.resume(done.run.run_id, lens_gate=False).run.lens_test
    assert found is not None
    assert (found.finding, found.reason) in (
        ("undecided", "it was switched off"),
        ("not tested", "it was switched off"),
    )
    assert found.pairs // GROUP - len(looks) in (0, 1)  # what had begun is finished


def test_a_run_of_before_there_was_a_gate_goes_on_without_one(school: School) -> None:
    """Its record has no word of a test, and work that was paid for under the lens."""
    school.stop_at = 30
    done = school.batch(lens_gate=False)
    school.stop_at = None
    found = school.resume(done.run.run_id, lens_gate=True).run.lens_test
    assert found is not None
    assert (found.finding, found.reason) == ("not tested", "the run began before lenses were tested")


def test_a_record_that_names_items_that_are_not_there_is_damaged(school: School) -> None:
    """Others may have written it."""
    from sunwell.errors import JournalError
    from sunwell.journal import FileJournal, find_run
    from sunwell.testing import run_virtual

    school.stop_at = 3
    run_id = school.batch(lens_gate=False).run.run_id

    async def forge() -> None:
        journal = FileJournal.open(find_run(school.workspace, run_id).path, threaded=False)
        await journal.append(Note("run", "lens-trial", {"places": [0, COUNT]}))
        journal.close()

    run_virtual(forge())
    school.stop_at = None
    with pytest.raises(JournalError, match="items that are not there"):
        school.resume(run_id, lens_gate=True)


def test_where_items_climb_the_first_rung_is_compared_and_the_extra_runs_stay_on_it(school: School) -> None:
    """The dear model is asked for no item twice, nor for one that passed without the lens."""
    teacher = Pupil(name="teacher", usd=10)
    school.pupil, school.teacher = Pupil(right_with=never), teacher
    ladder = {"escalate": True, "ladder": ("cheap", "smart"), "worth_usd": 100}
    done = school.batch(**ladder)
    found = done.run.lens_test
    assert found is not None
    assert (found.finding, found.pairs, found.worse) == ("harms", GROUP, GROUP)
    assert {result.status for result in done} == {"ok"}
    assert sorted(number for number, _ in teacher.asked) == sorted(order_of(questions())[:GROUP])
    assert {result.task_id for result in done} == {f"task-{at}" for at in range(COUNT)}


def test_in_a_batch_that_ends_at_the_first_failure_the_test_ends_with_it(school: School) -> None:
    """An item of which one of two runs failed has not failed."""
    paired = order_of(questions())

    def fails(number: int, with_lens: bool) -> BaseException | None:
        is_hit = number == paired[GROUP] or (number, with_lens) in ((paired[0], False), (paired[1], True))
        return ConnectionFailed("pupil", "it is down", False, False) if is_hit else None

    school.pupil = Pupil(fails=fails)
    done = school.batch(fail_fast=True)
    found = done.run.lens_test
    assert found is not None
    assert (found.finding, found.pairs, found.unknown) == ("undecided", GROUP, 2)
    assert found.reason == "an item failed, which ends the batch"
    assert len(done) == COUNT
    assert {result.status for result in done} == {"ok", "error", "cancelled"}
