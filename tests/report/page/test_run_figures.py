"""Every figure of a page is that of the ledger, of the result, and of the other side's bill."""

import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.core.model import Usage
from sunwell.journal import read_records
from sunwell.journal.power import missing_calls
from sunwell.journal.records import Answer, Leeway, RunResumed
from sunwell.journal.tree import tree
from sunwell.report.page.page_data import BillRow, PageData, TokenCounts
from sunwell.report.page.run_view import RunView
from sunwell.report.summary import compare_with_smart_model
from sunwell.report.verdict_text import verdict_line
from tests.report.page.conftest import ServedRecord
from tests.report.page.sample_runs import HAIKU, OPUS, SAMPLES

ENDED = [name for name in SAMPLES if name != "dead"]
UNCERTAIN = {"delegated", "resumed", "lost", "dead"}
OLD = sorted((Path(__file__).parents[2] / "data" / "journals").glob("*/runs/*/journal.jsonl"))
OLD += sorted((Path(__file__).parents[2] / "journal" / "data").glob("delegated-1.[0-5].jsonl"))


def counts(usage: Usage) -> TokenCounts:
    """Return *usage* as a page counts it."""
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    return TokenCounts(
        usage.input_tokens, written, usage.cache_read_tokens, usage.output_tokens, usage.reasoning_tokens
    )


def added(amounts: Iterable[Decimal | None]) -> Decimal:
    """Return the sum of *amounts*, all of which are known."""
    return sum((amount for amount in amounts if amount is not None), Decimal(0))


@pytest.mark.parametrize("name", ENDED)
def test_the_figures_are_those_of_the_result(
    name: str, runs: Mapping[str, ServedRecord], pages: Mapping[str, PageData]
) -> None:
    """Cost, unconfirmed, tokens, calls, time and verdict, and each model and purpose by itself."""
    result, page = runs[name].sample.result, pages[name]
    assert result is not None
    bill = result.bill
    assert (page.cost.usd, page.cost.unconfirmed_usd) == (bill.cost_usd, bill.uncertain_usd)
    assert (page.cost.tokens, page.cost.calls) == (counts(bill.usage), bill.calls)
    assert (page.head.status, page.head.stop_reason) == (result.status, result.stop_reason)
    assert page.head.seconds == pytest.approx(result.duration_seconds, abs=0.001)
    assert page.head.verdict == verdict_line(result)
    assert [(row.name, row.usd, row.calls, row.tokens) for row in page.bill.by_model] == [
        (one.model, one.cost_usd, one.calls, counts(one.usage)) for one in bill.models
    ]
    for rows, by in ((page.bill.by_purpose, "purpose"), (page.bill.by_depth, "depth")):
        assert [(row.name, row.usd, row.unconfirmed_usd, row.tokens) for row in rows] == [
            (str(part), total.cost_usd, total.uncertain_usd, counts(total.usage))
            for part, total in bill.split(by)  # type: ignore[arg-type]
        ]
    rungs = {row.name: row.usd for row in page.bill.by_rung}
    assert rungs == {part: total.cost_usd for part, total in bill.split("rung") if part}
    compared = compare_with_smart_model(result)
    assert (page.cost.alone is None) is (compared is None)
    if compared is not None and page.cost.alone is not None:
        alone = page.cost.alone
        assert (alone.usd, alone.saved_usd) == (compared.estimated_usd, compared.saved_usd)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_other_side_billed_what_the_page_says(
    name: str, runs: Mapping[str, ServedRecord], pages: Mapping[str, PageData]
) -> None:
    """To the last digit; what no usage came for is at most what is unconfirmed or reserved."""
    cost = pages[name].cost
    billed = runs[name].sample.billing.total_usd()
    assert cost.usd is not None
    if name not in UNCERTAIN:
        assert (cost.usd, cost.unconfirmed_usd, cost.reserved_usd) == (billed, 0, 0)
    else:
        assert cost.usd < billed <= cost.usd + added((cost.unconfirmed_usd, cost.reserved_usd))


@pytest.mark.parametrize("name", SAMPLES)
def test_rows_add_up_to_the_whole(name: str, pages: Mapping[str, PageData]) -> None:
    """Each way to divide the bill, the spans below the run, the calls, and the attempts of each call."""
    page = pages[name]
    whole = page.bill.whole
    assert (whole.usd, whole.unconfirmed_usd, whole.tokens) == (
        page.cost.usd, page.cost.unconfirmed_usd, page.cost.tokens,
    )  # fmt: skip
    tables = page.bill
    for rows in (tables.by_model, tables.by_purpose, tables.by_depth, tables.by_rung or (whole,)):
        for part in BillRow.__match_args__[1:]:
            if part == "tokens":
                inputs = sum(row.tokens.input for row in rows), sum(row.tokens.output for row in rows)
                assert inputs == (whole.tokens.input, whole.tokens.output)
            else:
                assert added(getattr(row, part) for row in rows) == (getattr(whole, part) or 0), part
    parts = (
        whole.input_usd, whole.cache_write_usd, whole.cache_read_usd, whole.output_usd, whole.other_usd,
    )  # fmt: skip
    assert added(parts) == whole.usd
    assert page.spans["run"].usd == whole.usd
    tops = [span for span in page.spans.values() if span.parent == "run"]
    assert added(span.usd for span in tops) == whole.usd
    assert added(call.usd for call in page.calls.values()) == whole.usd
    for call in page.calls.values():
        assert added(line.usd for line in call.sum) == call.usd
        assert added(attempt.usd for attempt in call.attempts) == call.usd
        assert added(attempt.unconfirmed_usd for attempt in call.attempts) == call.unconfirmed_usd


@pytest.mark.parametrize("name", SAMPLES)
def test_the_money_never_passes_the_cap_and_ends_at_the_cost(
    name: str, pages: Mapping[str, PageData]
) -> None:
    """Settled, reserved, unconfirmed and kept for closing calls, at each point."""
    page = pages[name]
    points = [point for block in page.money.values() for point in block]
    assert all(len(block) <= 256 for block in page.money.values())
    last = points[-1]
    assert (last.settled_usd, last.unconfirmed_usd) == (page.cost.usd, page.cost.unconfirmed_usd)
    assert (last.reserved_usd, last.closing_usd) == (page.cost.reserved_usd, page.cost.closing_usd or 0)
    for point in points:
        held = point.settled_usd + point.reserved_usd + point.unconfirmed_usd + point.closing_usd
        assert page.cost.cap_usd is None or held <= page.cost.cap_usd


def test_what_the_record_may_lack_is_unconfirmed_and_told(
    runs: Mapping[str, ServedRecord], pages: Mapping[str, PageData]
) -> None:
    """As in the bill of the result, in the tree and in the list of runs, also before the run is taken up."""
    page, sample = pages["lost"], runs["lost"].sample
    records = list(read_records(sample.journal))
    [leeway] = [one for one in records if isinstance(one, Leeway) and one.boot == "an-earlier-start"]
    assert sample.result is not None
    in_flight = added(call.unconfirmed_usd for call in page.calls.values())
    assert page.cost.unconfirmed_usd == sample.result.bill.uncertain_usd == in_flight + leeway.usd
    assert tree(records).total_uncertain_usd == page.spans["run"].unconfirmed_usd == page.cost.unconfirmed_usd
    notices = [page.texts[name].head for name in page.head.notices]
    assert [said for said in notices if "started anew" in said] == [missing_calls(leeway)]
    taken_up = next(at for at, record in enumerate(records) if isinstance(record, RunResumed))
    view = RunView(sample.journal)
    for record in records[:taken_up]:
        view.take(record)
    assert view.data().cost.unconfirmed_usd == leeway.usd


def test_a_worker_has_the_figures_of_its_result(
    runs: Mapping[str, ServedRecord], pages: Mapping[str, PageData]
) -> None:
    """Status, cost, tokens and files of each worker."""
    for name in ("batch", "failing_worker", "conflict"):
        result, spans = runs[name].sample.result, pages[name].spans
        assert result is not None
        assert result.workers
        for worker in result.workers:
            span = spans[worker.span]
            assert (span.kind, span.status, span.usd) == ("worker", worker.status, worker.bill.cost_usd)
            assert (span.tokens, span.calls) == (counts(worker.bill.usage), worker.bill.calls)
            assert set(span.files) == {change.path for change in worker.files}


def test_a_rung_costs_what_its_calls_and_checks_cost(
    runs: Mapping[str, ServedRecord], pages: Mapping[str, PageData]
) -> None:
    """As the verdict of the run says of each attempt."""
    result = runs["escalation"].sample.result
    assert result is not None
    assert result.verification is not None
    tried = {one.rung: one.cost_usd for one in result.verification.attempts}
    climbed = {one.rung: one.usd for one in pages["escalation"].rungs.values() if one.rung}
    assert climbed == tried
    assert len(climbed) >= 3
    assert all(one.rung for key, one in pages["escalation"].calls.items() if key.startswith("run/work/"))


def test_what_is_kept_for_closing_calls_is_shown_until_the_run_ends(pages: Mapping[str, PageData]) -> None:
    """Each intent says it; at most a tenth of the cap is kept."""
    page = pages["failing_worker"]
    kept = {point.closing_usd for block in page.money.values() for point in block}
    assert 0 < max(kept) <= (page.cost.cap_usd or 0) / 10
    assert page.cost.closing_usd == 0


def test_a_batch_reads_its_prefix_once_for_each_further_call(
    runs: Mapping[str, ServedRecord], pages: Mapping[str, PageData]
) -> None:
    """One call writes it and the others read it; that is the least that the provider's rules allow."""
    (prefix,) = pages["batch"].prefixes.values()
    entries = runs["batch"].sample.billing.entries()
    rates = runs["batch"].sample.billing.price_of(HAIKU).rates
    assert (prefix.model, prefix.readers, prefix.written, prefix.read) == (HAIKU, 6, 1, len(entries) - 1)
    assert rates.write_usd is not None
    assert rates.read_usd is not None
    least = prefix.tokens * (rates.write_usd + prefix.read * rates.read_usd) / 1_000_000
    assert (prefix.usd, prefix.least_usd) == (least, least)
    assert prefix.plan.startswith("after-first is the cheapest")


def test_a_prefix_of_which_an_earlier_run_left_a_part_is_written_by_one_worker(
    runs: Mapping[str, ServedRecord], pages: Mapping[str, PageData]
) -> None:
    """The first worker reads what was there and writes the rest; the cost of the prefix has both."""
    (before,) = pages["batch"].prefixes.values()
    rates = runs["batch"].sample.billing.price_of(HAIKU).rates
    assert rates.write_usd is not None
    assert rates.read_usd is not None
    left, view = 1000, RunView()
    less_usd = left * (rates.write_usd - rates.read_usd) / 1_000_000
    for record in runs["batch"].records:
        if isinstance(record, Answer) and not record.completion.usage.cache_read_tokens:
            usage = record.completion.usage
            written = usage.cache_write_tokens - left
            usage = attrs.evolve(usage, cache_read_tokens=left, cache_write_tokens=written)
            done = attrs.evolve(record.completion, usage=usage)
            record = attrs.evolve(record, completion=done, cost_usd=record.cost_usd - less_usd)
        view.take(record)
    (prefix,) = view.data().prefixes.values()
    assert (prefix.readers, prefix.written, prefix.read) == (6, 1, before.read)
    assert (prefix.usd, prefix.least_usd) == (before.usd - less_usd, before.usd - less_usd)


def test_work_without_siblings_shares_nothing(pages: Mapping[str, PageData]) -> None:
    """A conversation that reads its own beginning again is no shared prefix."""
    for name in ("small", "delegated", "escalation", "resumed"):
        assert pages[name].prefixes == {}


def test_a_killed_process_leaves_a_wait_and_an_unconfirmed_attempt(
    runs: Mapping[str, ServedRecord], pages: Mapping[str, PageData]
) -> None:
    """Nothing is paid twice; what the first process had answered is taken over."""
    page = pages["resumed"]
    first, second = page.health.processes
    assert (first.end, second.end) == ("killed", "closed")
    assert (first.answers, second.taken_over) == (3, 3)
    assert first.answers + second.answers == page.cost.calls
    assert page.cost.paid_twice == 0
    assert [wait.reason for wait in page.waits.values() if not wait.span] == ["stopped"]
    assert page.cost.attempts == page.cost.calls + 1
    (open_,) = [one for call in page.calls.values() for one in call.attempts if one.outcome == "open"]
    assert (open_.ended_at, open_.unconfirmed_usd) == (None, page.cost.unconfirmed_usd)


def test_an_attempt_under_way_is_reserved_and_not_unconfirmed(pages: Mapping[str, PageData]) -> None:
    """Until another process takes the run up, or it ends. The torn line is counted, not shown."""
    page = pages["dead"]
    assert page.head.status == "open"
    assert page.cost.unconfirmed_usd == 0
    assert page.cost.reserved_usd
    assert (page.health.torn_bytes, page.health.processes[-1].end) == (21, "open")


def test_a_fork_counts_only_what_it_paid_itself(
    runs: Mapping[str, ServedRecord], pages: Mapping[str, PageData]
) -> None:
    """Kept calls have no cost and no time; their answers are taken over, and the money begins anew."""
    page = pages["forked"]
    kept = [call for call in page.calls.values() if call.status == "kept"]
    assert len(kept) == 2
    assert all((call.usd, call.seconds, call.attempts) == (0, None, ()) for call in kept)
    assert page.health.processes[0].taken_over == 2
    assert len(page.health.processes) == 1
    assert page.money["0"][0].settled_usd == 0
    assert page.head.forked_from
    assert page.waits == {}


def test_a_continued_run_names_the_other_one(pages: Mapping[str, PageData]) -> None:
    """Its bill is its own."""
    assert pages["continued"].head.continues
    assert pages["continued"].cost.calls == 1


def test_what_failed_is_counted_where_it_failed_and_above(pages: Mapping[str, PageData]) -> None:
    """Failed and refused calls, failed tools and failed checks."""
    assert pages["failed"].cost.failed == 1
    assert pages["failed"].spans["run/direct"].failures == 1
    assert pages["capped"].cost.refused == 3
    assert pages["escalation"].spans["run"].failures == 3
    assert pages["small"].spans["run"].failures == 0
    refused = [call for call in pages["capped"].calls.values() if call.status == "refused"]
    assert all(call.refusal for call in refused)


def test_a_conflict_stands_at_both_workers_and_at_the_file(pages: Mapping[str, PageData]) -> None:
    """The second one wanted what the first one had changed; both are called by their names."""
    page = pages["conflict"]
    (name,) = page.files["a.txt"].conflicts
    at = [path for path, span in page.spans.items() if name in span.conflicts]
    assert at == ["run/orchestrator/task-0-0-0", "run/orchestrator/task-2-0-0"]
    assert page.texts[name].head.startswith("task-2-0-0 wanted to replace 'a.txt', which task-0-0-0 had")


def test_a_lens_has_its_writer_its_price_and_its_readers(pages: Mapping[str, PageData]) -> None:
    """A given lens has no price here."""
    written = pages["delegated"].lenses["run/lens"]
    assert (written.generated_by, written.readers) == (OPUS, ("run/work",))
    assert written.usd == pages["delegated"].spans["run/lens"].usd
    given = pages["batch"].lenses["run"]
    assert given.usd is None
    assert given.readers == tuple(f"run/task-{number}" for number in range(6))
    assert len(dict(given.parts)["heuristics"]) == 300


def test_an_answer_knows_the_tools_that_it_called(pages: Mapping[str, PageData]) -> None:
    """By the keys of their entries."""
    for page in pages.values():
        called = [key for call in page.calls.values() for key in call.asked_for]
        assert sorted(called) == sorted(page.tools)


@pytest.mark.parametrize(
    "journal", OLD, ids=lambda path: f"{path.parent.parent.parent.name}-{path.stem[:14]}"
)
def test_an_old_run_has_the_figures_that_its_export_had(journal: Path) -> None:
    """What was kept for closing calls is not known of it."""
    view = RunView(journal)
    for record in read_records(journal):
        view.take(record)
    page = view.data()
    assert page.cost.closing_usd is None
    assert page.bill.whole.usd == added(call.usd for call in page.calls.values())
    exported = journal.parents[2] / f"{journal.parent.name}.json"
    if not exported.exists():
        assert page.cost.calls == 6
        return
    root = json.loads(exported.read_text())["root"]
    assert page.head.status == root["status"]
    calls = [node for node in below(root) if node["type"] == "call"]
    assert page.cost.usd == added(Decimal(node["cost_usd"]) for node in calls if node["cost_usd"])
    unconfirmed = added((page.cost.unconfirmed_usd, page.cost.reserved_usd))
    assert unconfirmed == added(Decimal(node["uncertain_usd"]) for node in calls)
    assert page.cost.tokens.input + page.cost.tokens.output == root["tokens_used"]
    assert {key: call.status for key, call in page.calls.items()} == {
        f"{node['span']}:{node['number']}": node["status"] for node in calls
    }
    kinds = {"sub_completion": "worker", "part": "part", "run": "run"}
    assert {path: (span.kind, span.depth) for path, span in page.spans.items()} == {
        node["span"]: (kinds[node["type"]], node["depth"]) for node in below(root) if node["type"] in kinds
    }


def below(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield *node* of an exported run and all below it."""
    yield node
    for child in node["children"]:
        yield from below(child)
