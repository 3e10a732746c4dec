"""The reducer: in any steps, with any records, and with texts of any length."""

import json
import tracemalloc
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.core import Completion, Text, Usage
from sunwell.errors import JournalError
from sunwell.journal.codec import decode, encode, kinds
from sunwell.journal.records import Answer, Held, Intent, Note, Paused, Record, RunOpened, Unknown
from sunwell.journal.tree import tree
from sunwell.report.page.file_view import diffs_in
from sunwell.report.page.page_data import PageData
from sunwell.report.page.page_json import page_json, patch, patched
from sunwell.report.page.page_texts import PageTexts
from sunwell.report.page.run_view import RunView
from sunwell.tools.workspace import Workspace
from tests.filled import filled
from tests.report.page.conftest import ServedRecord
from tests.report.page.sample_runs import HAIKU, HOSTILE, SAMPLES

OPENED = RunOpened("r1", "write it", 1000.0)


def page_of(*records: Record) -> PageData:
    """Return the data of a page of *records*, taken at once."""
    view = RunView()
    for record in records:
        view.take(record)
    return view.data()


@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(SAMPLES)),
    share=st.floats(0, 1),
    shares=st.lists(st.floats(0, 1), max_size=4),
)
def test_a_page_is_the_same_however_often_it_was_looked_at(
    name: str, share: float, shares: list[float], runs: Mapping[str, ServedRecord]
) -> None:
    """Cut anywhere, looked at anywhere in between; and a patch makes one page of the other."""
    records = runs[name].records
    cut = round(share * len(records))
    looks = {round(one * cut) for one in shares}
    view = RunView()
    pages = [view.data()]
    for number, record in enumerate(records[:cut]):
        view.take(record)
        if number in looks:
            pages.append(view.data())
    pages.append(view.data())
    assert pages[-1] == page_of(*records[:cut])
    for before, after in pairwise(pages):
        told = json.loads(json.dumps(patch(before, after)))
        assert patched(page_json(before), told) == json.loads(json.dumps(page_json(after)))
    assert patch(pages[-1], view.data()) == {}


@settings(max_examples=60)
@given(name=st.sampled_from(sorted(SAMPLES)), share=st.floats(0, 1))
def test_a_page_and_the_tree_of_a_run_agree_wherever_it_is_cut(
    name: str, share: float, runs: Mapping[str, ServedRecord]
) -> None:
    """What an attempt under way may cost is reserved on a page, and unconfirmed in the tree."""
    records = runs[name].records
    given_records = records[: max(1, round(share * len(records)))]
    page, root = page_of(*given_records), tree(given_records)
    assert page.cost.usd == root.total_cost_usd
    held = (page.cost.unconfirmed_usd or 0) + (page.cost.reserved_usd or 0)
    assert held == root.total_uncertain_usd
    assert page.head.status == root.status
    calls = {f"{node.span}:{node.number}": node for node in root.walk() if node.type == "call"}
    assert {key: call.status for key, call in page.calls.items()} == {
        key: node.status for key, node in calls.items()
    }
    tools = [node for node in root.walk() if node.type == "tool"]
    assert sorted(tool.status for tool in page.tools.values()) == sorted(str(one.status) for one in tools)


def test_a_patch_has_only_what_changed(runs: Mapping[str, ServedRecord]) -> None:
    """An entry of a call stands in it only if something of the call has changed."""
    view, records = RunView(), runs["batch"].records
    for record in records[:-3]:
        view.take(record)
    before = view.data()
    view.take(records[-3])
    changes = patch(before, view.data())
    assert set(changes["calls"]) == {"run/task-5:1"}
    assert set(changes["spans"]) == {"run", "run/task-5"}
    assert "lenses" not in changes


def test_parents_stand_before_children_and_siblings_in_order(pages: Mapping[str, PageData]) -> None:
    """Whatever began first."""
    for page in pages.values():
        seen = {""}
        for path, span in page.spans.items():
            assert span.parent in seen
            seen.add(path)
    tasks = [path for path, span in pages["batch"].spans.items() if span.kind == "worker"]
    assert tasks == [f"run/task-{number}" for number in range(6)]


def test_amounts_have_all_their_digits_as_text() -> None:
    """Without an exponent, and unknown is null."""
    assert page_json(Decimal("1E-10")) == "0.0000000001"
    assert page_json((Decimal("1.50"), None, 0.5, True)) == ["1.5", None, 0.5, True]


SPANS = st.sampled_from(
    [
        "run",
        "run/work",
        "run/work/cheap",
        "run/task-0",
        "run/task-0/in",
        "run/check-0",
        "else/where",
        "",
        "run/",
    ]
)
KINDS = [kind for kind in kinds().values() if kind is not RunOpened]


@st.composite
def anything(draw: st.DrawFn) -> Record:
    """Give a record of any kind, at a few places, with one text everywhere; all can be written and read."""
    made = filled(draw(st.sampled_from(KINDS)), draw(st.sampled_from(["x", HOSTILE, "-1", "", "run"])))
    names = {field.name for field in attrs.fields(type(made))}
    changed: dict[str, object] = {}
    if "span" in names:
        changed["span"] = draw(SPANS)
    for name in ("number", "attempt", "turn", "index"):
        if name in names:
            changed[name] = draw(st.integers(0, 2))
    if "at" in names:
        changed["at"] = draw(st.sampled_from([0.0, 1.5, 1000.0, 253_402_000_000.0]))
    for name in ("cost_usd", "reserved_usd", "closing_usd"):
        if name in names:
            changed[name] = draw(st.sampled_from([None, Decimal(0), Decimal("0.01"), Decimal("1E-30")]))
    if isinstance(made, Answer):
        changed["completion"] = draw(
            st.sampled_from([made.completion, attrs.evolve(made.completion, usage=None)])
        )
    if isinstance(made, Note):
        changed["name"] = draw(st.sampled_from(["query", "x", "context_query", "parent_turn"]))
        changed["value"] = draw(st.sampled_from(["x", 3, None, [], {"a": 1}]))
    return attrs.evolve(made, **changed)


def readable(record: Record) -> Record | None:
    """Return *record* as it is read back; ``None``: it cannot be written."""
    try:
        line = decode(encode(record, 1))
    except (TypeError, JournalError):
        return None
    return None if line is None else line.record


@settings(max_examples=300)
@given(st.lists(anything(), max_size=14))
def test_no_record_breaks_a_page(given_records: list[Record]) -> None:
    """In whatever order: it is shown as JSON, and the sums still add up."""
    view = RunView()
    view.take(OPENED)
    for record in map(readable, given_records):
        if record is not None:
            view.take(record)
    page = view.data()
    json.dumps(page_json(page))
    known = [call.usd for call in page.calls.values()]
    if page.cost.usd is not None:
        assert sum((usd or Decimal(0) for usd in known), Decimal(0)) == page.cost.usd
    rows = [row.calls for row in page.bill.by_purpose]
    assert sum(rows) == page.cost.calls
    points = [point for block in page.money.values() for point in block]
    for point in points:
        assert min(point.settled_usd, point.reserved_usd, point.unconfirmed_usd, point.closing_usd) >= 0


def test_every_kind_of_record_can_be_filled_and_taken() -> None:
    """So that the test above is of all kinds."""
    for kind in KINDS:
        record = readable(filled(kind, "x"))
        assert record is not None or kind is Note, kind
        view = RunView()
        view.take(OPENED)
        if record is not None:
            view.take(record)
            assert view.data().health.records == 2


def test_work_that_is_nested_too_deeply_is_damage() -> None:
    """As for the tree of a run."""
    span = "run" + "/x" * 200
    with pytest.raises(JournalError, match="work within work"):
        page_of(OPENED, Intent(span, 0, 0, "work", "m", 0, "d", 1, 1, None, 1.0))


def test_damaged_settings_are_said_and_the_rest_is_shown() -> None:
    """No cap is known then, and no command starts the run again."""
    page = page_of(RunOpened("r1", "write it", 1.0, settings={"options": {"budget_usd": -7}, "models": 3}))
    (doubt,) = page.head.notices
    assert "damaged" in page.texts[doubt].head
    assert not any("sunwell run " in step.command for step in page.reproduce)


def test_a_record_of_a_newer_version_is_counted_and_passed_over() -> None:
    """It says nothing that is understood."""
    assert page_of(OPENED, Unknown("later", {"span": "run"})).health.unknown_records == 1


def answer(text: str, number: int = 0, digest: str = "d") -> Answer:
    """Return an answer."""
    completion = Completion((Text(text),), "end", Usage(10, 5), HAIKU)
    return Answer("run/direct", number, 0, "work", 0, digest, completion, Decimal("0.0000035"), 1.0, 2.0)


def test_a_text_stands_once_however_often_it_is_said() -> None:
    """By an id that is made of it."""
    page = page_of(OPENED, answer("the same"), answer("the same", 1), answer("another", 2))
    ids = [call.answer for call in page.calls.values()]
    assert ids[0] == ids[1] != ids[2]
    assert page_of(OPENED, answer("the same")).calls["run/direct:0"].answer == ids[0]


@pytest.mark.parametrize(("length", "left_out"), [(20_000, 0), (20_001, 1), (1_000_000, 980_000)])
def test_a_long_text_shows_its_ends_and_what_is_left_out(length: int, left_out: int) -> None:
    """20,000 characters are shown in all."""
    text = "".join(chr(97 + number % 26) for number in range(length))
    page = page_of(OPENED, answer(text))
    found = page.texts[page.calls["run/direct:0"].answer]
    assert found.left_out == left_out
    assert text.startswith(found.head)
    assert text.endswith(found.tail)
    assert len(found.head) + len(found.tail) + left_out == length


def test_all_texts_together_have_a_limit() -> None:
    """After it, each further one shows 400 characters."""
    texts = PageTexts(most_bytes=50_000)
    names = [texts.add(f"{number}" + "<" * 5_000) for number in range(3)]
    shown = [len(texts.shown[name].head) + len(texts.shown[name].tail) for name in names]
    assert shown == [5_001, 400, 400]


def test_a_long_answer_is_not_kept() -> None:
    """Only what is shown of it stays in memory."""
    view = RunView()
    view.take(OPENED)
    tracemalloc.start()
    try:
        view.take(answer("x" * 20_000_000))
        view.data()
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 2_000_000
    assert peak < 70_000_000  # the text itself, its bytes for the id, and little more


def test_an_answer_that_is_asked_for_again_is_counted() -> None:
    """In the same place and with the same request; another request is another question."""
    assert page_of(OPENED, answer("a"), answer("b")).cost.paid_twice == 1
    assert page_of(OPENED, answer("a"), answer("b", digest="e")).cost.paid_twice == 0
    assert page_of(OPENED, answer("a"), answer("b", 1)).cost.paid_twice == 0


def test_a_file_is_shown_as_it_was_changed_unless_it_has_changed_since(
    runs: Mapping[str, ServedRecord],
) -> None:
    """Against the original that the run kept. Several changes come to one."""
    run = runs["escalation"]
    workspace, originals = Workspace(run.sample.workspace), run.sample.journal.parent / "originals"

    def shown() -> tuple[str, tuple[str, ...], str]:
        view = RunView(diff_of=diffs_in(workspace, originals, lambda text: text.replace("right", "[WORD]")))
        for record in run.records:
            view.take(record)
        page = view.data()
        (file,) = page.files.values()
        return file.change, file.by, page.texts[file.diff].head if file.diff else ""

    change, by, diff = shown()
    assert (change, by) == ("made", ("run/work/cheap", "run/work/second"))
    assert "+[WORD]" in diff
    path = run.sample.workspace / "items" / "00.txt"
    before = path.read_text()
    try:
        path.write_text("something else\n")
        assert shown()[2] == ""
    finally:
        path.write_text(before)


def test_waits_say_who_waited_for_what() -> None:
    """A pause is everybody's, and no time that the run took."""
    held, paused = Held("run/task-1", "ledger", 2.0, 1010.0), Paused("approval", 30.0, 1050.0)
    page = page_of(OPENED, held, paused)
    told = [(one.span, one.reason, one.from_at, one.to_at) for one in page.waits.values()]
    assert told == [("run/task-1", "ledger", 1008.0, 1010.0), ("", "approval", 1020.0, 1050.0)]
    assert page.head.seconds == 20.0


def test_an_unknown_price_is_unknown_and_no_sum_is_made_up() -> None:
    """The tokens are shown. The ledger counts what was reserved."""
    intent = Intent("run/direct", 0, 0, "work", "nobody", 0, "d", 1, 1, Decimal("0.5"), 1.0)
    unknown = attrs.evolve(
        answer("a"), cost_usd=None, completion=attrs.evolve(answer("a").completion, model="nobody")
    )
    page = page_of(OPENED, intent, unknown)
    call = page.calls["run/direct:0"]
    assert (page.cost.usd, call.usd, call.sum) == (None, None, ())
    assert (call.tokens and call.tokens.input, page.bill.whole.input_usd) == (10, None)
    assert page.money["0"][-1].unconfirmed_usd == Decimal("0.5")


def test_a_cost_that_the_price_does_not_explain_has_no_sum() -> None:
    """One that a provider stated is shown with the difference; any other as it was booked, and no parts."""
    booked = attrs.evolve(answer("a"), cost_usd=Decimal(1))
    assert page_of(OPENED, booked).calls["run/direct:0"].sum == ()
    said = attrs.evolve(booked.completion, stated_cost_usd=Decimal(1))
    lines = page_of(OPENED, attrs.evolve(booked, completion=said)).calls["run/direct:0"].sum
    assert [line.what for line in lines] == ["input", "output", "other charge"]
    assert sum(line.usd for line in lines) == 1
