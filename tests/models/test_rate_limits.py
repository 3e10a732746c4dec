"""The pace of a model: by its vendor's rule, corrected by the server's figures, told while a call waits."""

import asyncio
import random

import attrs
import pytest

from sunwell.core.model import Usage
from sunwell.models.connection import Connection
from sunwell.models.pace_rules import ANTHROPIC_PACE, ANY_PACE, AZURE_PACE, GROQ_PACE, OPENAI_PACE
from sunwell.models.rate_figures import Figure, read_figures
from sunwell.models.rate_limits import Hold, Need, RateLimiter, Ticket, limiter_for, told_of_holds
from sunwell.simulator import VendorLimits
from sunwell.testing import run_virtual
from tests.models.vendor_traffic import Traffic, limiter_of, run_traffic

SMALL = Need(100, 100)


def now() -> float:
    return asyncio.get_running_loop().time()


VENDORS = [
    pytest.param(VendorLimits("anthropic", 4000, 400_000, 80_000), Traffic(output_tokens=20), id="input"),
    pytest.param(
        VendorLimits("anthropic", 4000, 400_000, 800_000),
        Traffic(calls=20, input_tokens=8000, cached_tokens=7500, output_tokens=50),
        id="reads-do-not-count",
    ),
    pytest.param(VendorLimits("anthropic", 4000, 2_000_000, 80_000), Traffic(), id="output-as-produced"),
    pytest.param(VendorLimits("anthropic", 600, 20_000_000, 80_000_000), Traffic(calls=10), id="requests"),
    pytest.param(VendorLimits("openai", 10_000, 2_000_000), Traffic(), id="openai"),
    pytest.param(VendorLimits("azure", 10_000, 2_000_000), Traffic(), id="azure"),
    pytest.param(
        VendorLimits("groq", 14_400, 300_000), Traffic(workers=100, max_output_tokens=1000), id="groq"
    ),
    pytest.param(VendorLimits("openrouter", 600), Traffic(calls=10), id="openrouter"),
    pytest.param(VendorLimits("plain", 3000, burst_seconds=1), Traffic(calls=20, seconds=0.3), id="plain"),
    pytest.param(VendorLimits("silent", 3000, burst_seconds=1), Traffic(calls=20, seconds=0.3), id="silent"),
]


@pytest.mark.parametrize(("limits", "traffic"), VENDORS)
def test_the_limit_of_each_vendor_is_used_and_not_stormed(limits, traffic) -> None:
    """At least nine tenths of what the vendor allows are used, few requests are refused, and none fails."""
    limits = attrs.evolve(limits)
    result = run_virtual(run_traffic(limits, limiter_of(limits), traffic))
    windows = (result.seconds + limits.burst_seconds) / 60  # a full bucket at the beginning
    shares = [
        used / (limit * windows)
        for used, limit in (
            (limits.taken, limits.requests if limits.rules != "groq" else None),
            (limits.counted_tokens, limits.tokens_per_minute),
            (limits.produced_tokens, limits.output_tokens_per_minute),
        )
        if limit is not None
    ]
    assert max(shares) >= 0.9
    assert limits.refused <= 0.05 * limits.taken
    assert result.failed == 0


def test_the_servers_figure_is_the_truth() -> None:
    """200 workers of three calls; the server says all along that its two million tokens remain: no wait."""
    headers = {"x-ratelimit-limit-tokens": "2000000", "x-ratelimit-remaining-tokens": "2000000"}

    async def work(limiter: RateLimiter) -> None:
        for _ in range(3):
            ticket = await limiter.enter(Need(20_000, 8192))
            await asyncio.sleep(0.05)
            ticket.heard(200, headers)
            ticket.finished(Usage(20_000, 100))

    async def run() -> float:
        limiter = RateLimiter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(200):
                tasks.create_task(work(limiter))
        return now()

    assert run_virtual(run()) <= 0.6  # 28,192 tokens each: 70 may be under way at once


def test_seven_refusals_cost_little_more_than_their_pauses() -> None:
    """Each refused request stops everyone for a second; the pace is then what it was before."""

    async def work(limiter: RateLimiter, refused: list[float]) -> None:
        for _ in range(15):
            while True:
                ticket = await limiter.enter(SMALL)
                await asyncio.sleep(0.2)
                if refused and ticket.sent_at >= refused[0]:
                    refused.pop(0)
                    ticket.heard(429, {})
                    continue
                ticket.heard(200, {})
                break

    async def run(refused: list[float]) -> float:
        limiter = RateLimiter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(50):
                tasks.create_task(work(limiter, refused))
        return now()

    assert run_virtual(run([])) == pytest.approx(3.0, abs=0.1)
    assert run_virtual(run([0.2 + 2 * n for n in range(7)])) < 25


def test_the_pace_recovers_within_twice_the_pause() -> None:
    """A server that is overloaded for five seconds serves as many as before soon after the last pause."""
    limits = VendorLimits("silent", overloaded=(10.0, 15.0))
    traffic = Traffic(workers=50, calls=200, seconds=0.2)
    result = run_virtual(run_traffic(limits, limiter_of(limits), traffic))
    before = sum(5 <= at < 10 for at in result.sent_at) / 5
    resumed = next(at for at in result.sent_at if at >= 15)
    pause = resumed - 10
    after = sum(resumed + pause <= at < resumed + pause + 3 for at in result.sent_at) / 3
    assert after >= 0.9 * before
    assert (result.failed, limits.refused < 200) == (0, True)


@pytest.mark.parametrize("begin", [0.0, 3.0])
def test_five_seconds_of_overload_fail_no_call(begin) -> None:
    """All calls of 200 workers outlast a server that answers 529 for five seconds, in one slow-down."""
    limits = VendorLimits("anthropic", 4000, 4_000_000, 800_000, overloaded=(begin, begin + 5))
    result = run_virtual(run_traffic(limits, limiter_of(limits), Traffic(calls=3)))
    assert result.failed == 0
    assert limits.refused <= 300


def test_a_refusal_slows_all_of_them_once() -> None:
    """Ten requests that are refused together hold everyone back for one pause, not for ten."""

    async def run() -> float:
        limiter = RateLimiter()
        tickets = [await limiter.enter(SMALL) for _ in range(10)]
        await asyncio.sleep(0.5)
        for ticket in tickets:
            ticket.heard(429, {"retry-after": "2"})
            await asyncio.sleep(0.1)
        await limiter.enter(SMALL)
        return now()

    assert run_virtual(run()) == pytest.approx(2.5, abs=0.2)


def test_requests_under_way_count_as_sent() -> None:
    """Ten are out; the first comes back and says that nine are left: those are the nine."""
    headers = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "9"}

    async def run() -> float:
        limiter = RateLimiter()
        tickets = [await limiter.enter(SMALL) for _ in range(10)]
        tickets[0].heard(200, headers)
        await limiter.enter(SMALL)
        return now()

    assert run_virtual(run()) == pytest.approx(1.0, abs=0.01)


def test_a_figure_ends_a_wait() -> None:
    """A call that waits for tokens goes as soon as the server says that there are enough."""

    def headers(left: int) -> dict[str, str]:
        return {"x-ratelimit-limit-tokens": "60000", "x-ratelimit-remaining-tokens": str(left)}

    async def run() -> float:
        limiter = RateLimiter()
        first, second = await limiter.enter(SMALL), await limiter.enter(SMALL)
        first.heard(200, headers(0))
        waiting = asyncio.ensure_future(limiter.enter(Need(20_000, 1000)))
        await asyncio.sleep(2)
        second.heard(200, headers(60_000))
        await waiting
        return now()

    assert run_virtual(run()) == pytest.approx(2.0, abs=0.01)


def test_what_was_not_set_is_still_learned() -> None:
    """Requests were set; of tokens the server says that none are left of six thousand a minute."""
    headers = {"x-ratelimit-limit-tokens": "6000", "x-ratelimit-remaining-tokens": "0"}

    async def run(**chosen: int) -> float:
        limiter = RateLimiter.of(Connection("x", **chosen), 0.0)
        (await limiter.enter(Need(1, 0))).heard(200, headers)
        await limiter.enter(Need(100, 0))
        return now()

    assert run_virtual(run(requests_per_minute=60_000)) == pytest.approx(1.0, abs=0.05)
    assert run_virtual(run(tokens_per_minute=600_000_000)) == pytest.approx(0.0, abs=0.05)


def test_a_configured_limit_of_tokens_counts_what_was_used() -> None:
    """The largest answer counts until the real one is known; then the rest is given back."""

    async def run() -> float:
        limiter = RateLimiter.of(Connection("x", tokens_per_minute=60_000), 0.0)
        for _ in range(11):
            ticket = await limiter.enter(Need(500, 8192))
            ticket.heard(200, {})
            ticket.finished(Usage(500, 500))
        return now()

    assert run_virtual(run()) == pytest.approx(10, abs=1.5)


def test_without_a_limit_nobody_waits() -> None:
    """A server without headers that refuses nothing is asked as fast as anyone likes."""

    async def run() -> float:
        limiter = RateLimiter()
        (await limiter.enter(SMALL)).heard(200, {})
        for _ in range(1000):
            await limiter.enter(SMALL)
        return now()

    assert run_virtual(run()) == 0


def test_before_the_first_answer_only_some_go_out() -> None:
    """A crowd could be refused at once: fifty go first, the others follow the first answer."""

    async def run() -> tuple[int, int]:
        limiter = RateLimiter()
        tasks = [asyncio.ensure_future(limiter.enter(SMALL)) for _ in range(1000)]
        await asyncio.sleep(0.9)
        done = [task for task in tasks if task.done()]
        done[0].result().unheard()
        await asyncio.sleep(0.01)
        return len(done), sum(task.done() for task in tasks)

    assert run_virtual(run()) == (50, 1000)


def test_a_silent_server_does_not_hold_a_crowd_up() -> None:
    """If no answer comes for a second, the others follow all the same, some at a time."""

    async def run() -> float:
        limiter = RateLimiter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(300):
                tasks.create_task(limiter.enter(SMALL))
        return now()

    assert run_virtual(run()) == pytest.approx(2.0, abs=0.01)


def test_a_cancelled_wait_blocks_nobody() -> None:
    """If a waiting call gives up, the next one goes in its place."""

    async def run() -> float:
        limiter = RateLimiter.of(Connection("x", requests_per_minute=60), 0.0)
        await limiter.enter(SMALL)
        lost = asyncio.ensure_future(limiter.enter(SMALL))
        await asyncio.sleep(0.1)
        lost.cancel()
        await limiter.enter(SMALL)
        return now()

    assert run_virtual(run()) == pytest.approx(1.0, abs=0.01)


def test_every_hold_is_told_when_it_begins() -> None:
    """Each waiting call is told at once why and how long, and only the first long one is news."""
    heard: list[tuple[float, Hold]] = []

    async def run() -> None:
        told_of_holds.set(lambda hold: heard.append((now(), hold)))
        limiter = RateLimiter.of(Connection("x", requests_per_minute=30), 0.0)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(limiter.enter(SMALL))

    run_virtual(run())
    assert [at for at, _ in heard] == [0.0, 0.0, 0.0]
    assert [hold.seconds for _, hold in heard] == pytest.approx([2.0, 4.0, 6.0])
    assert [hold.is_news for _, hold in heard] == [True, False, False]
    assert {hold.reason for _, hold in heard} == {"requests_per_minute is used up"}


NONSENSE = [
    pytest.param({"x-ratelimit-limit-requests": "0.000001"}, id="less-than-one"),
    pytest.param({"x-ratelimit-limit-requests": "-5"}, id="negative-limit"),
    pytest.param({"x-ratelimit-limit-requests": "nan"}, id="no-number"),
    pytest.param({"x-ratelimit-limit-requests": "inf"}, id="infinite"),
    pytest.param({"x-ratelimit-remaining-requests": "-1"}, id="negative-rest"),
    pytest.param({"x-ratelimit-remaining-requests": "many"}, id="a-word"),
    pytest.param({"x-ratelimit-reset-requests": "9000h"}, id="a-year"),
    pytest.param({"x-ratelimit-reset-requests": "2199-01-01T00:00:00Z"}, id="a-date-far-away"),
    pytest.param({"x-ratelimit-reset-requests": "soon"}, id="no-time"),
]


@pytest.mark.parametrize("wrong", NONSENSE)
def test_a_figure_that_makes_no_sense_is_told_and_holds_nobody(wrong) -> None:
    """It is not used, and said once."""
    headers = {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "0"} | wrong
    heard: list[Hold] = []

    async def run() -> float:
        told_of_holds.set(heard.append)
        limiter = RateLimiter()
        for _ in range(2):
            (await limiter.enter(SMALL)).heard(200, headers)
        await limiter.enter(SMALL)
        return now()

    assert run_virtual(run()) <= 0.3
    [told] = [hold.reason for hold in heard if hold.seconds is None]
    assert next(iter(wrong)) in told


def test_a_figure_holds_nobody_for_longer_than_a_minute() -> None:
    """If a limit of a day is used up, a request goes after a minute: the server then says what is wrong."""
    headers = {
        "x-ratelimit-limit-requests": "1000",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "20h0m0s",
    }

    async def run() -> float:
        limiter = RateLimiter()
        (await limiter.enter(SMALL)).heard(200, headers)
        await limiter.enter(SMALL)
        return now()

    assert run_virtual(run()) == pytest.approx(60.0)


FORMS = [
    pytest.param("120ms", 0.12, id="milliseconds"),
    pytest.param("6m0s", 360.0, id="minutes"),
    pytest.param("1h2m3.5s", 3723.5, id="hours"),
    pytest.param("7.66", 7.66, id="seconds"),
    pytest.param("1800000030", 30.0, id="seconds-since-1970"),
    pytest.param("1800000030000", 30.0, id="milliseconds-since-1970"),
    pytest.param("2027-01-15T08:00:30Z", 30.0, id="a-date"),
    pytest.param("2020-01-15T08:00:30Z", 0.0, id="in-the-past"),
]


@pytest.mark.parametrize(("text", "seconds"), FORMS)
def test_resets_are_read_in_every_form(text, seconds) -> None:
    """As durations, numbers and dates; a date counts from the server's clock."""
    headers = {
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "10",
        "x-ratelimit-reset-tokens": text,
    }
    assert read_figures(headers, 1_800_000_000).by_lane["tokens"] == Figure(1000, 10, pytest.approx(seconds))
    dated = headers | {"date": "Fri, 15 Jan 2027 08:00:00 GMT"}
    assert read_figures(dated).by_lane["tokens"].reset_seconds == pytest.approx(seconds)


def test_the_separate_limits_of_anthropic_are_read() -> None:
    """Input and output have their own; the combined figure counts only without them."""
    stem = "anthropic-ratelimit"
    headers = {
        f"{stem}-{name}-{what}": text
        for name, limit in (("tokens", "9000"), ("input-tokens", "50000"), ("output-tokens", "10000"))
        for what, text in (("limit", limit), ("remaining", limit))
    }
    lanes = read_figures(headers).by_lane
    assert {lane: figure.limit for lane, figure in lanes.items()} == {"tokens": 50_000, "output": 10_000}
    combined = {name: text for name, text in headers.items() if name.startswith(f"{stem}-tokens")}
    assert read_figures(combined).by_lane["tokens"].limit == 9000


def test_equal_connections_share_a_limiter_for_each_model() -> None:
    """Vendors limit models one by one; what the user has set holds for all models of a connection."""

    async def run() -> None:
        connection, same = Connection("openai", api_key="k"), Connection("openai", api_key="k")
        assert limiter_for(connection, "a") is limiter_for(same, "a")
        assert limiter_for(connection, "a") is not limiter_for(connection, "b")
        assert limiter_for(connection, "a").chosen is limiter_for(connection, "b").chosen
        assert limiter_for(Connection("openai", api_key="other"), "a") is not limiter_for(connection, "a")

    run_virtual(run())


RULES = [
    ("anthropic", ANTHROPIC_PACE),
    ("openai", OPENAI_PACE),
    ("azure", AZURE_PACE),
    ("groq", GROQ_PACE),
    ("somebody", ANY_PACE),
]


@pytest.mark.parametrize(("provider", "rule"), RULES)
def test_the_rule_is_that_of_the_vendor(provider, rule) -> None:
    """It is data in the table of providers; an unknown server gets a careful rule."""

    async def run() -> None:
        assert limiter_for(Connection(provider), "m").rule is rule

    run_virtual(run())


def test_a_ticket_that_is_given_back_counts_nothing() -> None:
    """A call that was admitted and then stopped leaves its room to the next."""

    async def run() -> float:
        headers = {"x-ratelimit-limit-tokens": "60000", "x-ratelimit-remaining-tokens": "60000"}
        limiter = RateLimiter()
        (await limiter.enter(SMALL)).heard(200, headers)
        ticket: Ticket = await limiter.enter(Need(59_000, 0))
        ticket.drop()
        await limiter.enter(Need(59_000, 0))
        return now()

    assert run_virtual(run()) == 0


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_a_few_bare_refusals_at_any_rate_do_not_slow_a_crowd_down(share: float) -> None:
    """300 workers of three calls, each second long: they take under a minute, and not several."""
    chance = random.Random(5)

    async def main() -> float:
        limiter = RateLimiter()

        async def work() -> None:
            for _ in range(3):
                while True:
                    ticket = await limiter.enter(Need(100.0, 50))
                    if chance.random() >= share:
                        break
                    ticket.heard(429, {})
                    await asyncio.sleep(0.5)
                await asyncio.sleep(1.0)
                ticket.heard(200, {})
                ticket.finished(Usage(100, 50))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(300):
                tasks.create_task(work())
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) <= 60
