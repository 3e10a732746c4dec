"""One budget for a host: what is spent and what may be spent are together never above it."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="sunwell[pydantic-ai] is not installed")

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai import Agent as Host
from pydantic_ai import BinaryContent, ImageUrl, UsageLimitExceeded
from pydantic_ai.capabilities import NativeTool
from pydantic_ai.exceptions import AgentRunError, ModelAPIError, ModelHTTPError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.native_tools import WebSearchTool
from pydantic_ai.usage import RequestUsage

from sunwell import BudgetExhausted, Price, PriceBook, Rates, RunOptions
from sunwell.adapters.pydantic_ai import (
    BudgetedModel,
    Delegation,
    PydanticAIModel,
    SharedBudget,
    SharedBudgetExhausted,
)
from sunwell.core.message import Text, ToolCall
from sunwell.errors import ConfigurationError
from sunwell.simulator import Asked, Fault, FaultRule, Reply, Simulator
from tests.adapters.pydantic_ai.hosting import CHEAP, agent_at, answer, host_model, scripted

DEAR = PriceBook({"function/host": Price(Rates(Decimal(0), Decimal(100)))})
"""A thousand tokens of output are ten cents, and input is free, so that a bound is a round number."""
WIRES = ("messages", "chat", "responses")


def wordy(_: Asked) -> Reply:
    """A model that writes as much as it may be billed for."""
    return Reply((Text("Done."),), output_tokens=1_000)


async def until(holds: Callable[[], bool]) -> None:
    """Let the other tasks go on until something holds."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)


def ending(finish: asyncio.Event) -> FunctionModel:
    """Return a model that answers with a thousand tokens once *finish* is set."""

    async def reply(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        await finish.wait()
        return answer("Done.", used=(10, 1_000))

    return FunctionModel(reply, model_name="host")


async def test_a_hundred_clients_at_ten_cents_on_a_dollar() -> None:
    """Ten are sent at once and use what they hold; the others are refused in a sentence, and not sent."""
    budget, finish = SharedBudget(1, prices=DEAR), asyncio.Event()
    hosts = [Host(BudgetedModel(ending(finish), budget, max_output_tokens=1_000)) for _ in range(100)]
    ends: Counter[str] = Counter()
    sentences: set[str] = set()

    async def client(host: Host[None, str], number: int) -> None:
        try:
            ends[(await host.run(f"Say something, {number}.")).output] += 1
        except SharedBudgetExhausted as error:
            ends["refused"] += 1
            sentences.add(re.sub(r"\$[\d.]+ was spent(, \$[\d.]+ is held by others)?", "SPENT", str(error)))

    clients = [asyncio.ensure_future(client(host, number)) for number, host in enumerate(hosts)]
    await until(lambda: budget.out_usd == 1)
    assert budget.left_usd == 0
    finish.set()
    await asyncio.gather(*clients)
    assert ends == {"Done.": 10, "refused": 90}
    [sentence] = sentences
    assert sentence == (
        "not sent, and nothing was spent: this request to function/host may cost up to $0.10, and of the "
        "shared budget of $1.00, SPENT; raise the budget, or ask for less (max_tokens, a shorter prompt)"
    )
    assert (budget.spent_usd, budget.out_usd) == (1, 0)


@pytest.mark.parametrize("wire", WIRES)
async def test_a_hundred_clients_over_http(wire: str) -> None:
    """With pydantic-ai's own models: the provider's bill is what is booked, and never above the dollar."""
    async with Simulator({CHEAP: wordy, "gpt-6-luna": wordy}) as sim, host_model(sim, wire) as wrapped:
        model = wrapped
        priced = PriceBook({model.model_name: Price(Rates(Decimal("0.001"), Decimal(90)))})
        budget = SharedBudget(1, prices=priced)
        host = Host(BudgetedModel(model, budget, max_output_tokens=1_000))
        most = Decimal(0)

        async def client(number: int) -> int:
            nonlocal most
            try:
                await host.run(f"Say something, {number}.")
            except UsageLimitExceeded:
                return 0
            finally:
                most = max(most, budget.spent_usd + budget.out_usd)
            return 1

        sent = sum(await asyncio.gather(*(client(number) for number in range(100))))
        assert sent == len(sim.requests) == 11
        assert Decimal("0.99") < budget.spent_usd <= most <= 1
        assert budget.used.uncertain_usd == 0


async def test_a_hundred_agents_that_ask_and_delegate(tmp_path: Path) -> None:
    """Some delegate at ten cents, the others ask themselves, all at once: the dollar holds for all of it."""

    def endless(_: Asked) -> Reply:
        return Reply((ToolCall("", "list_files", '{"path": ".", "depth": null}'),), output_tokens=9_000)

    async with Simulator({CHEAP: endless, "gpt-6-luna": wordy}) as sim, host_model(sim, "chat") as wrapped:
        free = {"function/host": Price(Rates(Decimal(0), Decimal(0)))}
        budget, most = SharedBudget(1, prices=PriceBook(free)), Decimal(0)
        options = RunOptions(model=agent_at(sim).delegation_model)
        capability = Delegation[None](tmp_path, budget, options=options, max_cost_usd="0.1")

        async def client(number: int) -> None:
            nonlocal most
            call = ToolCallPart("delegate", {"task": f"Look around, {number}."})
            own = wrapped if number % 4 else scripted(answer(call), answer("Done."))
            host = Host(BudgetedModel(own, budget), capabilities=() if number % 4 else [capability])
            with suppress(SharedBudgetExhausted):
                await host.run(f"Go on, {number}.")
            most = max(most, budget.spent_usd + budget.out_usd)

        await asyncio.gather(*(client(number) for number in range(100)))
        assert Decimal("0.9") < sim.bill.total_usd() == budget.spent_usd <= most <= 1
        assert (budget.out_usd, budget.waiting) == (0, 0)


@pytest.mark.parametrize("wire", WIRES)
async def test_what_is_booked_is_what_the_provider_bills(wire: str) -> None:
    """To the last digit, by the tables' prices; and no request is billed for more input than its bound."""

    def brief(asked: Asked) -> Reply:
        return Reply((Text(f"There are {len(asked.messages)} messages, naïve „Ä“ 漢字 🎈."),))

    async with Simulator({CHEAP: brief, "gpt-6-luna": brief}) as sim, host_model(sim, wire) as wrapped:
        budget = SharedBudget(1)
        host = Host(BudgetedModel(wrapped, budget), instructions="Be brief.\n" * 40)

        @host.tool_plain
        def look(path: str, depths: dict[str, int]) -> str:
            """Look at a folder."""
            return path

        first = await host.run('Wie viele Wörter? „漢字“ 🎈\n\t"quoted" \\ back')
        second = await host.run("And now?", message_history=first.all_messages())
        async with host.run_stream("Again?", message_history=second.all_messages()) as streamed:
            await streamed.get_output()
        assert len(sim.requests) == 3
        assert budget.spent_usd == budget.used.settled_usd == sim.bill.total_usd() > 0


FAULTS = {
    "429": (Fault(status=429), "released"),
    "400": (Fault(status=400), "released"),
    "401": (Fault(status=401), "released"),
    "500": (Fault(status=500), "uncertain"),
    "502": (Fault(gateway_status=502), "uncertain"),
    "cut": (Fault(cut="dropped"), "uncertain"),
    "missing": (Fault(usage="missing"), "uncertain"),
}


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_failed_request_is_booked_by_what_is_known(wire: str, kind: str) -> None:
    """Sent once, whatever the client would do by itself; what may have been billed stays at its bound."""
    fault, booked = FAULTS[kind]
    if kind == "missing" and wire != "chat":
        pytest.skip("only in Chat Completions may usage be left out")
    for streams in (False, True):
        scripts = {CHEAP: wordy, "gpt-6-luna": wordy}
        faults = [FaultRule(fault)]
        async with Simulator(scripts, faults=faults) as sim, host_model(sim, wire) as wrapped:
            budget = SharedBudget(1)
            model = BudgetedModel(wrapped, budget, max_output_tokens=2_000)
            request: list[ModelMessage] = [ModelRequest([UserPromptPart("Say something.")])]
            with nullcontext() if kind == "missing" else pytest.raises(AgentRunError):
                if streams:
                    async with model.request_stream(request, None, ModelRequestParameters()) as stream:
                        async for _ in stream:
                            pass
                else:
                    await model.request(request, None, ModelRequestParameters())
            assert len(sim.requests) == 1
            assert (budget.out_usd, budget.used.settled_usd) == (0, 0)
            assert (budget.used.uncertain_usd > 0) is (booked == "uncertain")
            assert sim.bill.total_usd() <= budget.spent_usd


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("pieces", [1, 10_000])
async def test_a_stream_that_is_left_is_uncertain_unless_its_usage_came(wire: str, pieces: int) -> None:
    """Whoever leaves after the first piece pays for what nobody reports; whoever reads all of it does not."""

    def long(_: Asked) -> Reply:
        return Reply((Text("word " * 200),))

    async with Simulator({CHEAP: long, "gpt-6-luna": long}) as sim, host_model(sim, wire) as wrapped:
        budget = SharedBudget(1)
        model = BudgetedModel(wrapped, budget)
        request: list[ModelMessage] = [ModelRequest([UserPromptPart("Say something.")])]
        async with model.request_stream(request, None, ModelRequestParameters()) as stream:
            left = pieces
            async for _ in stream:
                left -= 1
                if not left:
                    break
        used = budget.used
        assert used.reserved_usd == 0
        if pieces == 1:
            assert (used.settled_usd, used.uncertain_usd > 0) == (0, True)
        else:
            assert (used.settled_usd, used.uncertain_usd) == (sim.bill.total_usd(), 0)


async def test_a_request_that_is_cancelled_stays_at_its_bound() -> None:
    """In flight it is uncertain; one that still waited for room holds nothing."""
    budget = SharedBudget("0.15", prices=DEAR)
    host = Host(BudgetedModel(ending(asyncio.Event()), budget, max_output_tokens=1_000))
    sent, waits = (asyncio.ensure_future(host.run(f"Say {number}.")) for number in range(2))
    await until(lambda: budget.out_usd > 0 and budget.waiting == 1)
    for task in (waits, sent):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    used = budget.used
    assert (used.settled_usd, used.uncertain_usd, used.reserved_usd) == (0, Decimal("0.1"), 0)
    assert used.calls == 1


async def test_an_error_that_cannot_be_read_leaves_nothing_held() -> None:
    """Whatever goes wrong while a request is booked, its bound stays booked as uncertain."""

    class Unreadable(ModelAPIError):
        def __str__(self) -> str:
            raise ValueError("no words")

    async def fails(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        raise Unreadable("host", "odd")

    budget = SharedBudget(1, prices=DEAR)
    model = BudgetedModel(FunctionModel(fails, model_name="host"), budget, max_output_tokens=1_000)
    with pytest.raises(ValueError, match="no words"):
        await model.request([ModelRequest([UserPromptPart("Go.")])], None, ModelRequestParameters())
    assert (budget.out_usd, budget.used.uncertain_usd) == (0, Decimal("0.1"))


OUTCOMES = st.sampled_from(["answers", "fails", "refused", "breaks", "cancelled", "unmeasured"])


@settings(max_examples=25)
@given(
    st.lists(st.tuples(OUTCOMES, st.integers(0, 1_000), st.integers(1, 1_000)), min_size=1, max_size=25),
    st.integers(1, 40),
)
def test_no_order_of_ends_passes_the_budget(drawn: list[tuple[str, int, int]], tenths: int) -> None:
    """Whatever becomes of each request, and in whatever order: what is booked is all that may be billed."""
    budget = SharedBudget(Decimal(tenths) / 20, prices=DEAR)
    billed, unknown = Decimal(0), Decimal(0)

    async def client(number: int, outcome: str, used: int, limit: int) -> None:
        nonlocal billed, unknown
        used = min(used, limit)

        async def reply(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
            nonlocal billed, unknown
            assert budget.spent_usd + budget.out_usd <= budget.usd
            await asyncio.sleep(number % 3 / 1_000)
            if outcome == "refused":
                body = {"type": "invalid_request_error", "message": "no"}
                raise ModelHTTPError(400, "host", {"error": body})
            if outcome in ("fails", "breaks", "cancelled", "unmeasured"):
                unknown += Decimal(limit) / 10_000
            if outcome == "fails":
                raise ModelHTTPError(500, "host", None)
            if outcome == "breaks":
                raise RuntimeError("a bug")
            if outcome == "cancelled":
                raise asyncio.CancelledError
            if outcome == "unmeasured":
                return ModelResponse([TextPart("Done.")], usage=RequestUsage(unmeasured_requests=1))
            billed += Decimal(used) / 10_000
            return answer("Done.", used=(1, used))

        model = BudgetedModel(FunctionModel(reply, model_name="host"), budget, max_output_tokens=limit)
        with suppress(SharedBudgetExhausted, ModelHTTPError, RuntimeError, asyncio.CancelledError):
            await model.request([ModelRequest([UserPromptPart("Go.")])], None, ModelRequestParameters())

    async def main() -> None:
        await asyncio.gather(*(client(number, *one) for number, one in enumerate(drawn)))

    asyncio.run(main())
    assert budget.out_usd == 0
    assert (budget.used.settled_usd, budget.used.uncertain_usd) == (billed, unknown)
    assert budget.spent_usd <= budget.usd


async def test_agents_and_delegated_runs_share_it(shop: Path) -> None:
    """The host's own requests, two delegated runs, another agent: one sum, which is the provider's bill."""

    def brief(_: Asked) -> Reply:
        return Reply((Text("There is a shop."),))

    async with Simulator({CHEAP: brief, "gpt-6-luna": brief}) as sim, host_model(sim, "chat") as wrapped:
        budget = SharedBudget(1)
        capability: Delegation[None] = Delegation(
            shop, budget, options=RunOptions(model=agent_at(sim).delegation_model), max_cost_usd="0.4"
        )
        calls = [ToolCallPart("delegate", {"task": f"Say {word}."}) for word in ("one", "two")]
        free = PriceBook({"function/host": Price(Rates(Decimal(0), Decimal(0)))})
        budget.prices = free
        other = Host(BudgetedModel(wrapped, budget))
        host = Host(
            BudgetedModel(scripted(answer(*calls), answer("Done.")), budget), capabilities=[capability]
        )
        await asyncio.gather(host.run("Go on."), other.run("Say three."))
        assert len(sim.requests) == 3
        assert budget.spent_usd == sim.bill.total_usd() > 0
        assert budget.out_usd == 0


async def test_a_run_gets_what_is_left(shop: Path) -> None:
    """Its cap is lower then, and it says so; once nothing is left, it is refused and nothing is spent."""
    async with Simulator({CHEAP: wordy}) as sim:
        budget = SharedBudget("0.5", prices=DEAR)
        capability: Delegation[None] = Delegation(
            shop, budget, options=RunOptions(model=agent_at(sim).delegation_model), max_cost_usd="0.5"
        )
        call = ToolCallPart("delegate", {"task": "Say one."})
        said: list[Any] = []

        def told(messages: list[ModelMessage]) -> ModelResponse:
            said.append(messages[-1].parts[0].content)  # type: ignore[union-attr]
            return answer("Done.", used=(0, 0) if len(said) > 1 else (1, 1_000))

        lines = [answer(call, used=(1, 1_000)), told]
        host = Host(
            BudgetedModel(scripted(*lines), budget, max_output_tokens=1_000), capabilities=[capability]
        )
        await host.run("Go on.")
        assert said[0].status == "ok"
        assert said[0].warnings == [
            "only $0.40 was left of the shared budget of $0.50, so the cap of this run was lower"
        ]
        assert budget.spent_usd == Decimal("0.2") + sim.bill.total_usd()


async def test_a_tool_gets_its_room_while_its_stream_is_still_open(shop: Path) -> None:
    """A stream that has ended gives back what it did not use before it is left: no run waits for itself."""

    async def pieces(messages: list[ModelMessage], _: AgentInfo) -> AsyncIterator[str]:
        yield "Done."

    budget = SharedBudget("0.1", prices=DEAR)
    model = BudgetedModel(
        FunctionModel(stream_function=pieces, model_name="host"), budget, max_output_tokens=1_000
    )
    request: list[ModelMessage] = [ModelRequest([UserPromptPart("Say something.")])]
    async with model.request_stream(request, None, ModelRequestParameters()) as stream:
        async for _ in stream:
            pass
        async with asyncio.timeout(5), budget.portion(Decimal("0.05")) as portion:
            assert portion.usd == Decimal("0.05")
            portion.spent_usd = Decimal("0.01")
    assert budget.used.uncertain_usd == 0
    assert Decimal("0.01") < budget.spent_usd < Decimal("0.02")


async def test_a_large_run_waits_for_requests_in_flight(shop: Path) -> None:
    """It takes what they give back, and small ones that came later do not pass it."""
    budget, finish = SharedBudget(1, prices=DEAR), asyncio.Event()
    host = Host(BudgetedModel(ending(finish), budget, max_output_tokens=9_000))
    first = asyncio.ensure_future(host.run("Say one."))
    await until(lambda: budget.out_usd > 0)

    async def run() -> Decimal:
        async with budget.portion(Decimal(1)) as portion:
            portion.spent_usd = Decimal("0.3")
            return portion.usd

    large = asyncio.ensure_future(run())
    await until(lambda: budget.waiting == 1)
    small = asyncio.ensure_future(host.run("Say two."))
    finish.set()
    await first
    assert await large == Decimal("0.9")
    with pytest.raises(SharedBudgetExhausted, match=r"may cost up to \$0\.90"):
        await small
    assert budget.spent_usd == Decimal("0.4")


BOUNDLESS: list[tuple[dict[str, Any], str]] = [
    ({"settings": {"extra_body": {"n": 5}}}, "the setting extra_body"),
    ({"settings": {"service_tier": "priority"}}, "the setting service_tier"),
    ({"settings": {"openai_service_tier": "priority"}}, "the setting openai_service_tier"),
    ({"settings": {"anthropic_speed": "fast"}}, "the setting anthropic_speed"),
    ({"settings": {"cache": "12h"}}, "cache entries for 12h"),
    ({"settings": {"cache": {"retention": "12h"}}}, "cache entries for 12h"),
    ({"settings": {"openai_previous_response_id": "auto"}}, "the setting openai_previous_response_id"),
    ({"prompt": ["Look.", BinaryContent(b"x", media_type="image/png")]}, "say media_tokens"),
    ({"prompt": ["Look.", ImageUrl("https://example.org/a.png")]}, "say media_tokens"),
]


@pytest.mark.parametrize(("odd", "sentence"), BOUNDLESS, ids=range(len(BOUNDLESS)))
@pytest.mark.parametrize("wire", WIRES)
async def test_what_has_no_bound_is_refused(wire: str, odd: dict[str, Any], sentence: str) -> None:
    """In a sentence, and nothing is sent; nothing is held afterwards."""
    async with Simulator({CHEAP: wordy, "gpt-6-luna": wordy}) as sim, host_model(sim, wire) as wrapped:
        budget = SharedBudget(1)
        host = Host(BudgetedModel(wrapped, budget))
        with pytest.raises(
            ConfigurationError, match="not sent: nobody can say what the request costs"
        ) as raised:
            await host.run(odd.get("prompt", "Look."), model_settings=odd.get("settings"))
        assert sentence in str(raised.value)
        assert not sim.requests
        assert (budget.spent_usd, budget.out_usd) == (0, 0)


async def test_tools_of_the_provider_are_refused() -> None:
    """They are billed besides tokens."""
    async with Simulator({CHEAP: wordy}) as sim, host_model(sim, "messages") as wrapped:
        host = Host(
            BudgetedModel(wrapped, SharedBudget(1)),
            capabilities=[NativeTool(WebSearchTool())],
        )
        with pytest.raises(ConfigurationError, match="the provider's own tool 'web_search'"):
            await host.run("Look.")
        assert not sim.requests


async def test_files_count_with_what_the_program_says() -> None:
    """*media_tokens* for each, so a budget that cannot hold them refuses."""
    lines = [answer("Done.")]
    budget = SharedBudget(1, prices=PriceBook({"function/host": Price(Rates(Decimal(100), Decimal(0)))}))
    host = Host(BudgetedModel(scripted(*lines), budget, media_tokens=2_000))
    two = [BinaryContent(b"x", media_type="image/png"), BinaryContent(b"y", media_type="image/png")]
    await host.run(["Look.", *two])
    with pytest.raises(SharedBudgetExhausted):
        await host.run(["Look.", *two * 4])


async def test_a_model_without_a_price_is_refused() -> None:
    """No dollar holds for it; the sentence says how to give one."""
    with pytest.raises(
        ConfigurationError, match=r"the price of function/host is unknown.*'function/host': Price"
    ):
        await Host(BudgetedModel(scripted(answer("Done.")), SharedBudget(1))).run("Go.")


async def test_what_sends_more_than_a_request_is_refused() -> None:
    """Several models behind one, batches, summaries, and a model that is booked already."""
    budget = SharedBudget(1, prices=DEAR)
    model = BudgetedModel(scripted(answer("Done.")), budget)
    with pytest.raises(ConfigurationError, match="wrap each of its models by itself"):
        BudgetedModel(FallbackModel(scripted(), scripted()), budget)
    with pytest.raises(ConfigurationError, match="books the calls of its models itself"):
        BudgetedModel(model, budget)
    with pytest.raises(ConfigurationError, match="books the calls of its models itself"):
        PydanticAIModel(model)
    with pytest.raises(ConfigurationError, match="a batch is answered when"):
        await model.batch_create([])
    with pytest.raises(ConfigurationError, match="shorten it in the program"):
        await model.compact_messages(None)  # type: ignore[arg-type]


async def test_models_behind_a_fallback_are_booked_one_by_one() -> None:
    """The first fails and may be billed; the second answers: both are in the budget."""

    async def fails(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        raise ModelHTTPError(500, "host", None)

    budget = SharedBudget(1, prices=DEAR)
    first = BudgetedModel(FunctionModel(fails, model_name="host"), budget, max_output_tokens=1_000)
    second = BudgetedModel(scripted(answer("Done.", used=(1, 500))), budget, max_output_tokens=1_000)
    await Host(FallbackModel(first, second)).run("Go.")
    assert (budget.used.uncertain_usd, budget.used.settled_usd) == (Decimal("0.1"), Decimal("0.05"))


def test_loops_one_after_the_other_share_it_but_not_at_once() -> None:
    """A loop for each run is fine, as ``run_sync`` has; calls in flight keep the budget to their loop."""
    budget = SharedBudget(1, prices=DEAR)
    host = Host(
        BudgetedModel(scripted(*[answer("Done.", used=(1, 100))] * 3), budget, max_output_tokens=1_000)
    )
    for _ in range(2):
        asyncio.run(host.run("Go."))

    async def main() -> None:
        async with budget.portion(Decimal("0.1")):
            with pytest.raises(ConfigurationError, match="in use in another event loop"):
                await asyncio.to_thread(lambda: asyncio.run(host.run("Go.")))

    asyncio.run(main())
    assert budget.used.settled_usd == Decimal("0.02")
    assert budget.used.uncertain_usd == 0


@pytest.mark.parametrize("usd", [0, -1, "nan", None])
def test_a_budget_needs_dollars(usd: Any) -> None:
    """Above nothing, and a number."""
    with pytest.raises(ConfigurationError):
        SharedBudget(usd)


def test_the_error_is_one_of_both_houses() -> None:
    """Who handles limits of pydantic-ai, or budgets of ours, catches it."""
    assert issubclass(SharedBudgetExhausted, BudgetExhausted)
    assert issubclass(SharedBudgetExhausted, UsageLimitExceeded)
