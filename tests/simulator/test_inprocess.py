"""A simulated model without a wire, on a virtual clock."""

import asyncio
from contextlib import aclosing
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.core import (
    Caching,
    Message,
    Request,
    ResponseSchema,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
    user,
)
from sunwell.errors import (
    BadAnswer,
    BadRequest,
    ConfigurationError,
    ConnectionFailed,
    ModelError,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
    Unauthorized,
)
from sunwell.simulator import Billing, Fault, FaultRule, InProcessModel, Reply, Script
from sunwell.testing import run_virtual

HAIKU = "claude-haiku-5-5"
DATED = "claude-haiku-5-5-20261001"
LENS = "x" * 4000


def says(text: str, **more) -> Script:
    return lambda asked: Reply((Text(text),), **more)


def model(**fields) -> InProcessModel:
    return InProcessModel(HAIKU, **fields)


def request(text: str = "hello", **fields) -> Request:
    return Request([user(text)], **fields)


def test_a_completion_carries_what_is_billed():
    """Text, stop, model and usage come back; the bill says the same."""
    asked = model(script=says("hello there", reasoning_tokens=7))
    got = run_virtual(asked.complete(request("hi", system=(LENS,))))
    assert (got.text, got.stop, got.model) == ("hello there", "end", HAIKU)
    assert got.usage == Usage(1007, 12, 0, 1007, 0, 7)
    assert [(e.write_tokens, e.output_tokens, e.why) for e in asked.billing.entries()] == [
        (1007, 12, "answered")
    ]


def test_a_stream_ends_with_the_same_completion():
    """The deltas make up the text, and only the last one carries the completion."""

    async def collect() -> list:
        return [delta async for delta in model(script=says("word " * 30)).stream(request())]

    *deltas, last = run_virtual(collect())
    assert "".join(delta.text for delta in deltas) == "word " * 30 == last.completion.text
    assert {delta.completion for delta in deltas} == {None}


@pytest.mark.parametrize(
    ("offsets", "writers"),
    [
        pytest.param([0, 0, 0, 0], 4, id="at-once-all-pay"),
        pytest.param([0, 0.9, 0.9, 0.9], 4, id="before-the-first-has-begun"),
        pytest.param([0, 1.1, 1.1, 1.1], 1, id="after-the-first-has-begun"),
    ],
)
def test_siblings_pay_for_a_shared_prefix(offsets, writers):
    """A prefix is paid once where the siblings wait until the first answer has begun, else by all."""
    shared = model(latency_seconds=1.0)

    async def sibling(i: int, offset: float) -> None:
        await asyncio.sleep(offset)
        await shared.complete(request(f"task {i}", system=(LENS,)))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for i, offset in enumerate(offsets):
                group.create_task(sibling(i, offset))

    run_virtual(main())
    reads = [entry.read_tokens for entry in shared.billing.entries()]
    assert sorted(reads) == [0] * writers + [1000] * (4 - writers)


@pytest.mark.parametrize(
    ("change", "read"),
    [
        pytest.param({}, 1000, id="same"),
        pytest.param({"effort": "low"}, 0, id="effort"),
        pytest.param({"tools": (ToolSpec("t", "", {}),)}, 0, id="tools"),
        pytest.param({"response_schema": ResponseSchema("s", {"type": "object"})}, 0, id="schema"),
        pytest.param({"max_output_tokens": 9}, 1000, id="limit"),
    ],
)
def test_what_breaks_the_prefix_of_a_request(change, read):
    """Effort, tools and schema stand before the system prompt; a limit does not."""
    asked = model()

    async def twice() -> None:
        await asked.complete(request("first", system=(LENS,)))
        await asked.complete(request("second", system=(LENS,), **change))

    run_virtual(twice())
    assert asked.billing.entries()[-1].read_tokens == read


def test_no_caching_writes_nothing():
    """Where a request asks for no entries, its input is plain."""
    asked = model()
    run_virtual(asked.complete(request(system=(LENS,), caching=Caching(None, conversation=False))))
    assert asked.billing.entries()[0].write_tokens == 0


@pytest.mark.parametrize(
    ("limit", "text", "stop", "output"),
    [
        pytest.param(5, "hello there", "end", 5, id="just-fits"),
        pytest.param(4, "hello th", "length", 4, id="one-too-few"),
        pytest.param(2, "", "length", 2, id="nothing-fits"),
    ],
)
def test_a_limit_cuts_the_answer(limit, text, stop, output):
    """At its limit an answer stops in the middle of a word, and that much is billed."""
    got = run_virtual(model(script=says("hello there")).complete(request(max_output_tokens=limit)))
    assert (got.text, got.stop, got.usage.output_tokens) == (text, stop, output)


@pytest.mark.parametrize(
    ("fault", "error", "retry"),
    [
        pytest.param(Fault(status=429, retry_after_seconds=3), RateLimited, True, id="429"),
        pytest.param(Fault(status=429, quota=True), QuotaExhausted, False, id="quota"),
        pytest.param(Fault(status=529), RateLimited, True, id="529"),
        pytest.param(Fault(status=503), RateLimited, True, id="503"),
        pytest.param(Fault(status=500), ServerFailed, True, id="500"),
        pytest.param(Fault(status=400), BadRequest, False, id="400"),
        pytest.param(Fault(echo_key=True), Unauthorized, False, id="401"),
    ],
)
def test_a_refusal_is_not_billed(fault, error, retry):
    """A request that is refused before generation costs nothing, and the error says so."""
    asked = model(faults=[FaultRule(fault)])
    with pytest.raises(error) as caught:
        run_virtual(asked.complete(request()))
    seen = caught.value
    assert (seen.may_be_billed, seen.retry, seen.retry_after_seconds) == (
        False,
        retry,
        fault.retry_after_seconds,
    )
    assert asked.billing.total_usd() == 0


@pytest.mark.parametrize(
    ("cut", "error", "output"),
    [
        pytest.param("before", ConnectionFailed, 0, id="before"),
        pytest.param("dropped", ConnectionFailed, 14, id="dropped"),
        pytest.param("after-tool", BadAnswer, 14, id="after-tool"),
        pytest.param("no-end", BadAnswer, 27, id="no-end"),
    ],
)
def test_a_cut_answer_is_billed_as_far_as_it_came(cut, error, output):
    """Input is owed in any case, output up to the break, and the error says that it may be billed."""
    asked = model(script=says("x" * 100), faults=[FaultRule(Fault(cut=cut))])
    with pytest.raises(error) as caught:
        run_virtual(asked.complete(request()))
    (entry,) = asked.billing.entries()
    assert caught.value.may_be_billed
    assert entry.why == "cut"
    assert abs(entry.output_tokens - output) <= 4


def test_an_answer_that_a_gateway_loses_is_billed_in_full():
    """The model has worked to the end; the error says that it may be billed."""
    asked = model(script=says("x" * 100), faults=[FaultRule(Fault(gateway_status=502))])
    with pytest.raises(ServerFailed) as caught:
        run_virtual(asked.complete(request()))
    (entry,) = asked.billing.entries()
    assert (caught.value.may_be_billed, caught.value.retry, entry.output_tokens) == (True, True, 27)


@pytest.mark.parametrize(
    ("seconds", "output"),
    [
        pytest.param(0.5, 0, id="before-the-answer"),
        pytest.param(2.5, 13, id="half-way"),
    ],
)
def test_a_cancelled_call_is_billed_as_far_as_it_came(seconds, output):
    """Cancelling saves the output that was not generated yet, nothing else."""
    asked = model(script=says("x" * 80), latency_seconds=1.0, chunk_seconds=1.0)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await asked.complete(request())

    run_virtual(main())
    (entry,) = asked.billing.entries()
    assert (entry.why, entry.output_tokens, entry.input_tokens) == ("cancelled", 11 if output else 0, 8)


def test_a_stream_that_is_left_is_billed_as_far_as_it_came():
    """A caller who closes the stream early still owes what was generated."""
    asked = model(script=says("x" * 80))

    async def main() -> None:
        async with aclosing(asked.stream(request())) as deltas:
            async for _ in deltas:
                break

    run_virtual(main())
    assert [(e.why, e.output_tokens) for e in asked.billing.entries()] == [("cancelled", 11)]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        pytest.param({"latency_seconds": 9.0}, None, id="latency"),
        pytest.param({}, Fault(stall_before_seconds=9), id="stall-before"),
        pytest.param({}, Fault(stall_midway_seconds=9), id="stall-midway"),
    ],
)
def test_the_requests_own_time_limit_holds(fields, fault):
    """Where nothing comes in time the call fails, may be billed, and is."""
    asked = model(faults=None if fault is None else [FaultRule(fault)], **fields)
    with pytest.raises(ConnectionFailed) as caught:
        run_virtual(asked.complete(request(timeout_seconds=8)))
    assert caught.value.may_be_billed
    assert asked.billing.total_usd() > 0


def test_a_refusal_that_comes_too_late_was_not_billed_either():
    """Where the time limit ends the wait for a refusal, nothing was charged."""
    asked = model(faults=[FaultRule(Fault(status=529, stall_before_seconds=9))])
    with pytest.raises(ConnectionFailed) as caught:
        run_virtual(asked.complete(request(timeout_seconds=8)))
    assert (caught.value.may_be_billed, asked.billing.entries()) == (False, ())


@pytest.mark.parametrize(
    ("fault", "usage", "shown"),
    [
        pytest.param(Fault(hidden_input_tokens=50), Usage(58, 4, 0, 0), HAIKU, id="hidden-input"),
        pytest.param(Fault(usage="wrong"), Usage(16, 8), HAIKU, id="wrong-usage"),
        pytest.param(Fault(usage="missing"), None, HAIKU, id="missing-usage"),
        pytest.param(Fault(answering_model=DATED), Usage(8, 4), DATED, id="dated-model"),
    ],
)
def test_faults_in_what_is_reported(fault, usage, shown):
    """The bill stays true, whatever the answer says of its usage and model."""
    asked = model(faults=[FaultRule(fault)])
    got = run_virtual(asked.complete(request("hello")))
    (entry,) = asked.billing.entries()
    assert (got.usage, got.model) == (usage, shown)
    assert (entry.input_tokens, entry.output_tokens, entry.model) == (8 + fault.hidden_input_tokens, 4, HAIKU)


def test_a_plan_picks_its_calls():
    """Rules match by number, model and key; the first that matches decides."""
    plan = [FaultRule(Fault(status=500), numbers=[2]), FaultRule(Fault(status=529), key="other")]
    asked = model(faults=plan)

    async def outcomes() -> list[bool]:
        seen = []
        for _ in range(3):
            try:
                seen.append(bool(await asked.complete(request())))
            except ServerFailed:
                seen.append(False)
        return seen

    assert run_virtual(outcomes()) == [True, False, True]


def test_a_model_without_a_price_is_refused():
    """A model that cannot be billed is not made."""
    with pytest.raises(ConfigurationError, match="no price"):
        InProcessModel("nameless")


def test_the_price_that_is_told_is_the_price_that_is_billed():
    """Rates, tiers and window are those of the billing's table."""
    told = model().price
    assert (told.rates.output_usd, told.tiers[0].above_input_tokens) == (Decimal("0.50"), 100_000)
    assert told.tiers[0].rates.cache_write_1h_usd == Decimal(1)


CALLS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 1.5, 400.0]),
        st.sampled_from([None, 0.7, 2.2]),
        st.integers(0, 300),
        st.sampled_from(
            [Fault(), Fault(status=529), Fault(cut="before"), Fault(cut="dropped"), Fault(cut="no-end")]
        ),
        st.booleans(),
    ),
    max_size=8,
)  # when it starts, when it is cancelled, length of the answer, what is wrong, whether it streams


@settings(max_examples=80, deadline=None)
@given(CALLS)
def test_every_outcome_says_truly_whether_it_was_billed(calls):
    """However calls overlap, fail and are cancelled, usage and errors agree with the bill, line by line."""
    bill = Billing(clock=lambda: asyncio.get_running_loop().time())
    told = [Usage() for _ in calls]

    async def one(i: int, start: float, limit: float | None, length: int, fault: Fault, stream: bool) -> bool:
        """Return whether the caller must count with a bill."""
        asked = model(
            script=says("x" * length), billing=bill, faults=[FaultRule(fault)], key=str(i),
            latency_seconds=1.0, chunk_seconds=0.3,
        )  # fmt: skip
        await asyncio.sleep(start)
        try:
            async with asyncio.timeout(limit):
                if stream:
                    async with aclosing(asked.stream(request(system=(LENS,)))) as deltas:
                        last = [delta async for delta in deltas][-1].completion
                else:
                    last = await asked.complete(request(system=(LENS,)))
        except TimeoutError:
            return fault.status is None
        except ModelError as error:
            return error.may_be_billed
        told[i] = last.usage
        return True

    async def main() -> list[bool]:
        return await asyncio.gather(*(one(i, *call) for i, call in enumerate(calls)))

    billed = run_virtual(main())
    for i, (expected, usage) in enumerate(zip(billed, told, strict=True)):
        lines = bill.entries(key=str(i))
        assert bool(lines) == expected
        assert all(line.why != "open" for line in lines)
        if usage.input_tokens:
            (line,) = lines
            assert (line.input_tokens, line.output_tokens) == (usage.input_tokens, usage.output_tokens)
            assert line.usd > 0


@pytest.mark.parametrize("calls", [2, 30])
def test_a_message_with_many_calls_is_billed_as_over_http(calls):
    """The adapter for Anthropic's format marks the end of the last request; here it counts, too."""
    begun = user("Look around. " * 2_000)
    asked = Message("assistant", tuple(ToolCall(f"c{n}", "look", "{}") for n in range(calls)))
    results = Message("tool", tuple(ToolResult(f"c{n}", "nothing") for n in range(calls)))

    async def both():
        asks = model(script=says("I see."))
        return [(await asks.complete(Request(sent))).usage for sent in ([begun], [begun, asked, results])]

    first, again = run_virtual(both())
    assert again.cache_read_tokens >= 0.98 * first.input_tokens
