"""What workers cost that a model starts together: the prompt that they share is written to the cache once."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

import attrs
import pytest

from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.core import Completion, Text
from sunwell.events import BatchPlanned, RunFinished
from sunwell.simulator import Asked, BillEntry, Billing, InProcessModel, Reply, loop_time
from sunwell.simulator.simulated_prices import PRICES
from sunwell.testing import ScriptedModel, run_virtual
from sunwell.tools import tool
from tests.agent.orchestrated import call, calls

SYSTEM = "Say what the function gives back, in one plain sentence. " * 220
WORKER = "claude-haiku-5-5"
LATENCY_SECONDS = 2.0
WAIT = call("await_results", task_ids=None, timeout_seconds=None)
Way = Literal["delegate_batch", "delegate", "rlm_batch_complete", "rlm_sub_complete", "subagent"]
WAYS: tuple[Way, ...] = ("delegate_batch", "delegate", "rlm_batch_complete", "rlm_sub_complete", "subagent")


@tool(parallel=True, repeatable=True)
async def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


@tool(parallel=True, repeatable=True)
async def listen(place: str) -> str:
    """Listen somewhere."""
    return f"silence at {place}"


def _answer(asked: Asked) -> Reply:
    return Reply((Text("It gives back the price."),))


def asking(way: Way, count: int, tools: Sequence[list[str] | None] = (None,)) -> Completion:
    """Return one message that asks *count* workers; their lists of tools take turns."""
    texts = [f"What does function {number} give back?" for number in range(count)]
    granted = [tools[number % len(tools)] for number in range(count)]
    tasks = [{"task": text, "tools": its} for text, its in zip(texts, granted, strict=True)]
    match way:
        case "delegate_batch":
            return call("delegate_batch", tasks=tasks)
        case "delegate":
            return calls(*[("delegate", task) for task in tasks])
        case "subagent":
            return calls(*[("subagent", {"question": text}) for text in texts])
        case "rlm_sub_complete":
            return calls(
                *[("rlm_sub_complete", {"query": one["task"], "tools": one["tools"]}) for one in tasks]
            )
    queries = [{"query": text, "max_tokens": 500} for text in texts]
    return call("rlm_batch_complete", queries=queries, max_parallel=100, total_budget=100_000)


@attrs.frozen
class Paid:
    """What workers came to on the provider's own bill."""

    entries: tuple[BillEntry, ...]
    plans: tuple[BatchPlanned, ...]
    seconds: float

    @property
    def prefix_tokens(self) -> int:
        """The longest prefix that several of them read."""
        return max(one.read_tokens for one in self.entries)

    @property
    def writers(self) -> int:
        """How many calls did not find their prompt in the cache."""
        return sum(one.read_tokens == 0 for one in self.entries)

    def shared(self) -> tuple[Decimal, Decimal]:
        """Return what the shared prefix cost, and the least that the rules allow: one write, then reads."""
        rates, prefix = PRICES[WORKER].rates, self.prefix_tokens
        assert rates.write_usd is not None
        assert rates.read_usd is not None
        paid = Decimal(0)
        for one in self.entries:
            written = min(prefix, one.write_tokens + one.write_1h_tokens) if not one.read_tokens else 0
            plain = prefix - one.read_tokens - written
            paid += one.read_tokens * rates.read_usd + written * rates.write_usd + plain * rates.input_usd
        return paid, prefix * (rates.write_usd + (len(self.entries) - 1) * rates.read_usd)

    def whole(self) -> tuple[Decimal, Decimal]:
        """Return what all input cost, and the least: the shared part as above, and the rest once, plain."""
        rates = PRICES[WORKER].rates
        assert rates.read_usd is not None
        paid = Decimal(0)
        for one in self.entries:
            written = one.write_tokens + one.write_1h_tokens
            paid += one.uncached_tokens * rates.input_usd + one.read_tokens * rates.read_usd
            paid += written * (rates.write_usd or rates.input_usd)
        own = sum(one.input_tokens - self.prefix_tokens for one in self.entries)
        return paid, self.shared()[1] + own * rates.input_usd


def paid(lines: Sequence[Completion | str], tools: tuple[object, ...] = (), **settings: Any) -> Paid:
    """Return what the workers came to of a run whose model says *lines*."""
    kinds = {"rlm_batch_complete": "rlm", "rlm_sub_complete": "rlm", "subagent": "subagent"}
    named = [one.name for line in lines if isinstance(line, Completion) for one in line.tool_calls]
    kind: Any = next((kinds[name] for name in named if name in kinds), "delegate")
    given: dict[str, Any] = {"max_concurrent": 10, "sub_calls_max_per_turn": 100} | settings

    async def main() -> Paid:
        billing = Billing(clock=loop_time)
        worker = InProcessModel(WORKER, _answer, billing, latency_seconds=LATENCY_SECONDS)
        config = LoopConfig(delegation_tools=kind, sub_calls_max_total_tokens=None, **given)
        loop = AgentLoop(ScriptedModel("boss", list(lines)), config=config, delegation_model=worker)
        plans: list[BatchPlanned] = []
        async for event in loop.run("Describe functions", tools=tools, system_prompt=SYSTEM):
            if isinstance(event, BatchPlanned):
                plans.append(event)
            if isinstance(event, RunFinished):
                assert event.result.success
                assert {one.status for one in event.result.workers} == {"ok"}
        return Paid(tuple(billing.entries()), tuple(plans), loop_time())

    return run_virtual(main())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("tools", "most"), [((), Decimal("1.01")), ((look,), Decimal("1.03"))], ids=["bare", "tools"]
)
def test_five_workers_of_one_message_pay_for_their_prompt_once(way: Way, tools, most) -> None:
    """With tools, the tasks of the first are written, too: nobody knows yet that one turn is enough."""
    found = paid([asking(way, 5), WAIT, "Done."] if "delegate" in way else [asking(way, 5), "Done."], tools)
    cost, least = found.whole()
    assert least <= cost <= least * most, cost / least
    assert (len(found.entries), found.writers) == (5, 1)


@pytest.mark.parametrize(
    ("way", "count"),
    [("delegate_batch", 100), ("rlm_batch_complete", 100), ("delegate", 20), ("subagent", 20)],
    ids=["delegate-batch", "rlm-batch", "delegate-calls", "subagent-calls"],
)
@pytest.mark.parametrize("tools", [(), (look,)], ids=["bare", "tools"])
@pytest.mark.parametrize("slots", [5, 10, 100])
def test_the_shared_part_of_many_costs_the_least_within_one_percent(way: Way, count, tools, slots) -> None:
    """However many calls ask for them and however many work at once; all are held once, for one answer."""
    lines = [asking(way, count), WAIT, "Done."] if "delegate" in way else [asking(way, count), "Done."]
    found = paid(lines, tools, max_concurrent=slots)
    cost, least = found.shared()
    assert len(found.entries) == count
    assert least <= cost <= least * Decimal("1.01"), cost / least
    (planned,) = found.plans
    assert (planned.workers, planned.choice) == (count, "after-first")
    at_once = math.ceil(count / min(slots, 100)) * LATENCY_SECONDS
    assert found.seconds <= at_once + LATENCY_SECONDS


def test_calls_of_several_tools_in_one_message_are_one_group() -> None:
    """Two batches and two single calls of one message: one plan for eight workers, one write."""
    tasks = [{"task": f"Describe {number}.", "tools": None} for number in range(3)]
    one = {"task": "Describe one more.", "tools": None}
    message = calls(
        ("delegate", one), ("delegate_batch", {"tasks": tasks}), ("delegate", one),
        ("delegate_batch", {"tasks": tasks}),
    )  # fmt: skip
    found = paid([message, WAIT, "Done."])
    assert [plan.workers for plan in found.plans] == [8]
    assert found.writers == 1


def test_workers_with_other_tools_share_the_prompt_and_those_with_none_have_their_own() -> None:
    """Lists narrow what is carried out; without tools, the prompt is another one, and is planned apart."""
    lists: list[list[str] | None] = [None, ["look"], ["listen", "look"], []]
    found = paid([asking("delegate_batch", 20, lists), WAIT, "Done."], (look, listen))
    assert sorted(plan.workers for plan in found.plans) == [5, 15]
    assert found.writers == 2
    lengths = {one.input_tokens for one in found.entries if not one.read_tokens}
    assert len(lengths) == 2


def test_the_next_batch_finds_the_prompt_in_the_cache_and_nobody_is_held() -> None:
    """Its workers read what the first batch has written."""
    found = paid([asking("delegate_batch", 5), WAIT, asking("delegate", 5), WAIT, "Done."])
    assert [plan.choice for plan in found.plans] == ["after-first", "at-once"]
    assert "the cache holds it already" in found.plans[1].reason
    assert found.writers == 1
    assert found.seconds == pytest.approx(3 * LATENCY_SECONDS)


@pytest.mark.parametrize("way", ["delegate", "delegate_batch"])
def test_a_single_worker_warms_the_cache_for_those_that_come_later(way: Way) -> None:
    """One call that starts one worker is held up by nothing, and what it wrote is known."""
    found = paid([asking(way, 1), WAIT, asking("delegate_batch", 5), WAIT, "Done."])
    assert [plan.choice for plan in found.plans] == ["at-once"]
    assert found.writers == 1


def test_workers_of_the_next_message_wait_for_the_first_of_the_message_before() -> None:
    """It still thinks when they are asked for: they would else write the same prompt once more."""
    found = paid([asking("delegate_batch", 5), asking("delegate_batch", 5), WAIT, "Done."])
    assert found.writers == 1
    assert found.seconds == pytest.approx(2 * LATENCY_SECONDS)


def test_a_way_that_is_asked_for_holds_for_them_as_well() -> None:
    """All at once, whatever it costs."""
    found = paid([asking("delegate", 5), WAIT, "Done."], cache_choice="at-once")
    assert [(plan.choice, plan.reason) for plan in found.plans] == [("at-once", "at-once was asked for")]
    assert found.writers == 5


def test_nobody_waits_for_a_prompt_that_is_too_short_to_be_worth_it() -> None:
    """Two workers on a prompt of some 600 tokens: two seconds would save a fraction of a tenth of a cent."""
    config: dict[str, Any] = {"max_concurrent": 10}

    async def main() -> tuple[list[BatchPlanned], float]:
        worker = InProcessModel(WORKER, _answer, Billing(clock=loop_time), latency_seconds=LATENCY_SECONDS)
        boss = ScriptedModel("boss", [asking("delegate", 2), WAIT, "Done."])
        loop = AgentLoop(
            boss, config=LoopConfig(delegation_tools="delegate", **config), delegation_model=worker
        )
        events = [event async for event in loop.run("Describe", tools=(look,), system_prompt=SYSTEM[:2_600])]
        return [event for event in events if isinstance(event, BatchPlanned)], loop_time()

    (planned,), seconds = run_virtual(main())
    assert planned.choice == "at-once"
    assert "waiting 2 s would save only" in planned.reason
    assert seconds == pytest.approx(LATENCY_SECONDS)
