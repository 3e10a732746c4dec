"""A connection's pace: learned from headers, shared by all, slowed once by a refusal."""

import asyncio

import attrs
import pytest

from sunwell.models.connection import Connection
from sunwell.models.rate_limits import RateLimiter, limiter_for, told_of_holds
from sunwell.testing import run_virtual


@attrs.define
class Server:
    """Lets so many requests through in a second, and says so in its headers if it is a good one."""

    per_second: float
    burst: float
    tells: bool = True
    available: float = attrs.field(init=False)
    at: float = 0.0
    served: list[float] = attrs.field(factory=list)
    refused: int = 0

    def __attrs_post_init__(self) -> None:
        self.available = self.burst

    def ask(self) -> tuple[int, dict[str, str]]:
        now = asyncio.get_running_loop().time()
        self.available = min(self.burst, self.available + (now - self.at) * self.per_second)
        self.at = now
        headers = {}
        if self.available < 1:
            self.refused += 1
            headers["retry-after"] = "1"
        else:
            self.available -= 1
            self.served.append(now)
        if self.tells:
            headers["x-ratelimit-limit-requests"] = str(int(self.per_second * 60))
            headers["x-ratelimit-remaining-requests"] = str(int(self.available))
        return (429 if "retry-after" in headers else 200), headers


async def fan_out(server: Server, limiter: RateLimiter, workers: int, calls: int) -> float:
    """Let *workers* make *calls* each through *limiter*; refused ones are made again. Return the time."""

    async def work() -> None:
        done = 0
        while done < calls:
            sent_at = await limiter.enter(100)
            status, headers = server.ask()
            await asyncio.sleep(0.3)
            limiter.heard(status, headers, sent_at)
            done += status == 200

    begun = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(workers):
            tasks.create_task(work())
    return asyncio.get_running_loop().time() - begun


@pytest.mark.parametrize(
    ("tells", "chosen", "most_refused"),
    [
        pytest.param(True, None, 10, id="told-by-headers"),
        pytest.param(False, 3000, 10, id="chosen"),
    ],
)
def test_two_hundred_workers_share_one_limit(tells, chosen, most_refused):
    """At 50 requests a second: next to nothing is refused, and the limit is used up to a tenth."""
    server = Server(50, 50, tells)

    async def run() -> float:
        limiter = RateLimiter.of(Connection("x", requests_per_minute=chosen), 0.0)
        return await fan_out(server, limiter, workers=200, calls=10)

    seconds = run_virtual(run())
    assert server.refused <= most_refused
    assert 45 <= len(server.served) / seconds <= 55


def test_a_server_that_tells_nothing_is_found_out():
    """Without headers the first refusals slow everyone, once, to less than what was refused."""
    server = Server(50, 50, tells=False)
    limiter = RateLimiter()
    seconds = run_virtual(fan_out(server, limiter, workers=200, calls=10))
    assert server.refused < 0.2 * len(server.served)
    assert len(server.served) / seconds > 20


def test_a_pace_that_was_set_too_high_is_found_out():
    """Four times what the server takes was set: it is not refused again and again, nor ever passed."""
    server = Server(50, 50, tells=False)

    async def run() -> tuple[float, float]:
        limiter = RateLimiter.of(Connection("x", requests_per_minute=12_000), 0.0)
        seconds = await fan_out(server, limiter, workers=200, calls=10)
        assert limiter.requests is not None
        return seconds, limiter.requests.per_second

    seconds, pace = run_virtual(run())
    assert server.refused < 0.2 * len(server.served)
    assert len(server.served) / seconds > 20
    assert pace <= 200


def test_what_is_under_way_counts_as_gone():
    """Ten are out, one has come back and says that nine are left: those are the nine."""
    headers = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "9"}

    async def run() -> float:
        limiter = RateLimiter()
        sent = [await limiter.enter(1) for _ in range(10)]
        limiter.heard(200, headers, sent[0])
        await limiter.enter(1)
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) == pytest.approx(1.0, abs=0.01)


def test_what_was_not_set_is_still_learned():
    """Requests were set; of tokens the server says that none are left of six thousand a minute."""
    headers = {"x-ratelimit-limit-tokens": "6000", "x-ratelimit-remaining-tokens": "0"}

    async def run(**chosen: int) -> float:
        limiter = RateLimiter.of(Connection("x", **chosen), 0.0)
        limiter.heard(200, headers, await limiter.enter(1))
        await limiter.enter(100)
        return asyncio.get_running_loop().time()

    assert run_virtual(run(requests_per_minute=60_000)) == pytest.approx(1.0, abs=0.05)
    assert run_virtual(run(tokens_per_minute=600_000_000)) == pytest.approx(0.0, abs=0.05)


def test_a_refusal_slows_all_of_them_once():
    """Ten requests that are refused together hold everyone back for one pause, not for ten."""

    async def run() -> float:
        limiter, clock = RateLimiter(), asyncio.get_running_loop()
        sent = [await limiter.enter(1) for _ in range(10)]
        await asyncio.sleep(0.5)
        for at in sent:
            limiter.heard(429, {"retry-after": "2"}, at)
            await asyncio.sleep(0.1)
        await limiter.enter(1)
        return clock.time()

    assert run_virtual(run()) == pytest.approx(2.5, abs=0.2)


def test_tokens_are_a_limit_of_their_own():
    """A hundred thousand tokens a minute let ten requests of ten thousand through in a minute."""

    async def run() -> float:
        limiter = RateLimiter.of(Connection("x", tokens_per_minute=100_000), 0.0)
        for _ in range(11):
            await limiter.enter(10_000)
        return asyncio.get_running_loop().time()

    assert 50 <= run_virtual(run()) <= 66


def test_nobody_waits_where_there_is_no_limit():
    """A server without headers that refuses nothing is asked as fast as anyone likes."""

    async def run() -> float:
        limiter = RateLimiter()
        sent = await limiter.enter(1)
        limiter.heard(200, {}, sent)
        for _ in range(1000):
            await limiter.enter(1)
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) == 0


def test_before_the_first_answer_only_some_go_out():
    """A crowd could be refused at once: fifty go first, the others follow the first answer."""

    async def run() -> tuple[int, int]:
        limiter = RateLimiter()
        tasks = [asyncio.ensure_future(limiter.enter(1)) for _ in range(1000)]
        await asyncio.sleep(0.9)
        before = sum(task.done() for task in tasks)
        limiter.unheard()
        await asyncio.sleep(0.01)
        return before, sum(task.done() for task in tasks)

    assert run_virtual(run()) == (50, 1000)


def test_a_silent_server_does_not_hold_a_crowd_up():
    """Where no answer comes for a second, the others follow all the same, some at a time."""

    async def run() -> float:
        limiter = RateLimiter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(300):
                tasks.create_task(limiter.enter(1))
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) == pytest.approx(2.0, abs=0.01)


def test_one_who_is_cancelled_blocks_nobody():
    """Whoever gives up while waiting leaves the turn to the next."""

    async def run() -> float:
        limiter = RateLimiter.of(Connection("x", requests_per_minute=60), 0.0)
        await limiter.enter(1)
        lost = asyncio.ensure_future(limiter.enter(1))
        await asyncio.sleep(0.1)
        lost.cancel()
        await limiter.enter(1)
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) == pytest.approx(1.0, abs=0.01)


def test_a_long_hold_is_told():
    """Whoever listens hears how long a request was held back: the first, and then one every ten seconds."""
    heard: list[float] = []

    async def run() -> None:
        told_of_holds.set(heard.append)
        limiter = RateLimiter.of(Connection("x", requests_per_minute=30), 0.0)
        for _ in range(8):
            await limiter.enter(1)

    run_virtual(run())
    assert heard == [pytest.approx(2.0), pytest.approx(2.0)]


def test_equal_connections_share_a_limiter():
    """The pace belongs to the connection, not to the model that asks."""

    async def run() -> bool:
        one, same = (limiter_for(Connection("openai", api_key="k")) for _ in range(2))
        return one is same and one is not limiter_for(Connection("openai", api_key="other"))

    assert run_virtual(run())


@pytest.mark.parametrize(
    "headers",
    [
        {"anthropic-ratelimit-requests-limit": "60", "anthropic-ratelimit-requests-remaining": "0"},
        {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"},
    ],
)
def test_both_spellings_of_the_headers_are_read(headers):
    """Nothing left of sixty a minute: the next goes out a second later."""

    async def run() -> float:
        limiter = RateLimiter()
        limiter.heard(200, headers, await limiter.enter(1))
        await limiter.enter(1)
        return asyncio.get_running_loop().time()

    assert run_virtual(run()) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(
    ("accepted", "refused_at", "pace"),
    [
        pytest.param([0.005 * n for n in range(20)], 0.1, 14.0, id="within-a-second"),
        pytest.param([0.2 * n for n in range(20)], 4.0, 3.5, id="over-four-seconds"),
        pytest.param([0.0] * 20 + [6.0] * 10, 6.5, 7.0, id="what-is-long-ago-does-not-count"),
        pytest.param([0.0], 0.5, 1.0, id="never-below-one"),
        pytest.param([], 0.5, 1.0, id="nothing-accepted"),
    ],
)
def test_a_guessed_pace_is_seven_tenths_of_what_was_just_let_through(accepted, refused_at, pace):
    """Counted over the time since the oldest answer of the last five seconds, a second at least."""

    async def run() -> RateLimiter:
        clock, limiter = asyncio.get_running_loop(), RateLimiter()
        begun = clock.time()
        for at in accepted:
            await asyncio.sleep(begun + at - clock.time())
            limiter.heard(200, {}, await limiter.enter(1))
        await asyncio.sleep(begun + refused_at - clock.time())
        limiter.heard(429, {}, await limiter.enter(1))
        return limiter

    requests = run_virtual(run()).requests
    assert requests is not None
    assert requests.per_second == pytest.approx(pace)
    assert requests.capacity == pytest.approx(max(1.0, pace / 10))
