"""What a loss of power may take from a run's record is limited beforehand, and counts when it goes on."""

import asyncio
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.budget import Budget, Tally, TreeLedger
from sunwell.core import Completion, Price, Rates, Request, Span, Usage, user
from sunwell.errors import BudgetExhausted, JournalError
from sunwell.gateway import Gateway
from sunwell.journal import FileJournal
from sunwell.journal.disk import PosixDisk
from sunwell.journal.power import PowerLosses, boot_id, named
from sunwell.journal.records import Forked, Intent, Leeway, Record, RunClosed, RunOpened, RunResumed
from sunwell.journal.tree import tree
from sunwell.models.prices import PriceBook
from sunwell.testing import ScriptedModel, completion, run_virtual

PRICE = Price(Rates(Decimal(1), Decimal(10)), source="test", date="2026-11-01")
OPENED = RunOpened("r1", "write it", 1000.0)
FIRST, SECOND, THIRD = "first", "second", "third"


def leeway(boot: str = FIRST, usd: str = "0.25") -> Leeway:
    return Leeway(boot, 16, 5000, 5000, Decimal(usd), "work", "", "haiku")


def resumed(boot: str) -> RunResumed:
    return RunResumed(2000.0, boot=boot)


CLOSED = RunClosed("incomplete", "budget", "", "", 1, 1.0, 1500.0)


class Telling(ScriptedModel):
    """A model that tells when it is asked, before it answers."""

    tell: Callable[[], None]

    async def complete(self, request: Request) -> Completion:
        self.tell()
        return await super().complete(request)


@attrs.define(eq=False)
class Watched:
    """A gateway on a disk that may lose power, and which of its calls were sent."""

    disk: Any
    budget: Budget = attrs.field(factory=Budget)
    price: Price | None = PRICE
    new_tokens: int | None = None
    sent: list[str] = attrs.field(factory=list)
    """The spans of the calls that reached the model."""
    durable: dict[str, bool] = attrs.field(factory=dict)
    """Whether the disk had all records when the call of a span reached the model."""
    journal: FileJournal = attrs.field(init=False)
    ledger: TreeLedger = attrs.field(factory=TreeLedger, init=False)
    door: Gateway = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.journal = FileJournal.create(Path("anywhere"), "r1", disk=self.disk)
        self.ledger.open("run", self.budget, new_tokens=self.new_tokens)
        self.door = Gateway(self.journal, self.ledger, Tally(), PriceBook(), lambda *_: None)

    async def begin(self) -> None:
        await self.journal.append(OPENED, durable="soon")

    async def ask(self, name: str, output_tokens: int = 100, seconds: float = 0.0) -> None:
        """Ask one question in a span of its own."""

        def tell() -> None:
            self.sent.append(name)
            self.durable[name] = self.disk.durable_size == self.disk.size()

        request = Request([user("Say it.")], max_output_tokens=output_tokens)
        model = Telling("haiku", [completion("Yes.", usage=Usage(20, 5))], self.price, seconds)
        model.tell = tell
        await self.door.ask(Span(name), model, request, purpose="work")


def of_kind(records: Iterable[Record], kind: type) -> list[Any]:
    return [record for record in records if isinstance(record, kind)]


CALLS = st.tuples(st.sampled_from((10, 100, 1000, 4000)), st.sampled_from((0.0, 0.004, 0.05)))
STEPS = st.lists(st.lists(CALLS, min_size=1, max_size=5), min_size=1, max_size=12)
BUDGETS = st.sampled_from(
    (Budget(), Budget(usd=1), Budget(usd=Decimal("0.2")), Budget(usd=1, tokens=40_000), Budget(calls=60))
)


@settings(max_examples=300, deadline=None)
@given(STEPS, BUDGETS, st.integers(2, 60), st.floats(0, 1), st.sets(st.integers(0, 40), max_size=4))
def test_no_more_is_missing_than_the_leeway_on_record(
    fake_disk: Any, steps: Any, budget: Budget, operations: int, share_of_tail: float, lost_blocks: set[int]
) -> None:
    """Wherever the power fails: what was sent and is not on record fits into the last leeway that is, and
    the cost on record with what is uncertain is at least what was billed."""
    world = Watched(fake_disk(operations_left=operations), budget)
    sent_intents: dict[str, Intent] = {}

    async def main() -> None:
        await world.begin()
        for at, step in enumerate(steps):
            asked = (world.ask(f"run/{at}-{i}", *call) for i, call in enumerate(step))
            for failure in await asyncio.gather(*asked, return_exceptions=True):
                if failure is not None and not isinstance(failure, BudgetExhausted):
                    raise failure

    with suppress(JournalError):
        run_virtual(main())
    for intent in of_kind(world.journal.records(), Intent):
        sent_intents[intent.span] = intent
    disk = world.disk
    length = round((disk.size() - disk.durable_size) * share_of_tail)
    if not disk.durable_size:
        assert world.sent == []
        return
    found = list(FileJournal.open(Path("r1"), disk=disk.survivor(length, lost_blocks)).records())
    kept = {intent.span for intent in of_kind(found, Intent)}
    missing = [sent_intents[span] for span in world.sent if span not in kept]
    given = of_kind(found, Leeway)
    if missing:
        assert len(missing) <= given[-1].calls
        assert sum(intent.reserved_tokens for intent in missing) <= given[-1].tokens
        assert sum(intent.reserved_usd for intent in missing) <= given[-1].usd
    root = tree(found)  # on another start of the machine than that of the fake disk
    billed = len(world.sent) * PRICE.cost_usd(Usage(20, 5))
    assert root.total_cost_usd <= billed <= root.total_cost_usd + root.total_uncertain_usd
    for ceiling, each in ((budget.usd, "usd"), (budget.tokens, "tokens"), (budget.calls, "calls")):
        assert ceiling is None or all(getattr(one, each) * 10 <= ceiling for one in given)


@pytest.mark.parametrize(
    ("given", "budget", "durable"),
    [
        pytest.param({}, Budget(), [True, False, False], id="without-a-ceiling"),
        pytest.param({}, Budget(usd=1), [True, False, False], id="well-below-a-ceiling"),
        pytest.param({}, Budget(usd=Decimal("0.02")), [True, True, True], id="near-a-ceiling-in-dollars"),
        pytest.param({}, Budget(tokens=10_000), [True, True, True], id="near-a-ceiling-in-tokens"),
        pytest.param({}, Budget(calls=10), [True, True, True], id="near-a-ceiling-on-calls"),
        pytest.param({}, Budget(calls=15), [True, False, True], id="a-tenth-of-the-calls"),
        pytest.param({"new_tokens": 10_000}, Budget(), [True, True, True], id="near-a-ceiling-in-new-tokens"),
        pytest.param({"price": None}, Budget(), [True, True, True], id="at-an-unknown-price"),
    ],
)
def test_a_call_waits_for_the_disk_unless_there_is_a_leeway_for_it(
    fake_disk: Any, given: Any, budget: Budget, durable: list[bool]
) -> None:
    """The first call of a process always does."""
    world = Watched(fake_disk(), budget, **given)

    async def main() -> None:
        await world.begin()
        for name in ("run/a", "run/b", "run/c"):
            await world.ask(name)

    run_virtual(main())
    assert list(world.durable.values()) == durable


def test_a_ceiling_of_a_part_holds_to_the_last_call(fake_disk: Any) -> None:
    """What a loss of power takes counts for the run as a whole: under an inner ceiling nothing is."""
    world = Watched(fake_disk(), Budget(usd=1))

    async def main() -> None:
        await world.begin()
        world.ledger.open("run/part", Budget(usd=Decimal("0.5")))
        for name in ("run/part/a", "run/part/b", "run/c", "run/part/d", "run/e"):
            await world.ask(name)

    run_virtual(main())
    assert list(world.durable.values()) == [True, True, True, True, False]


def test_where_the_system_does_not_name_its_start_every_call_waits(fake_disk: Any) -> None:
    """Nobody could tell a loss of power from a killed process."""
    world = Watched(fake_disk(boot=""))

    async def main() -> None:
        await world.begin()
        await world.ask("run/a")
        await world.ask("run/b")

    run_virtual(main())
    assert list(world.durable.values()) == [True, True]
    assert not of_kind(world.journal.records(), Leeway)


def test_intents_that_did_not_wait_are_durable_soon(fake_disk: Any) -> None:
    """20 ms later, although nothing else is written."""
    world = Watched(fake_disk())

    async def main() -> None:
        await world.begin()
        await world.ask("run/a")
        asking = asyncio.ensure_future(world.ask("run/b", seconds=1.0))
        await asyncio.sleep(0.03)
        assert world.sent[-1] == "run/b"
        assert world.disk.durable_size == world.disk.size()
        await asking

    run_virtual(main())
    assert world.durable["run/b"] is False


def test_a_quick_disk_has_each_intent_of_calls_that_take_their_time(fake_disk: Any) -> None:
    """One sync for an answer and the intent after it, and nobody is woken for another."""
    world = Watched(fake_disk())

    async def main() -> None:
        await world.begin()
        for number in range(5):
            await world.ask(f"run/{number}", seconds=0.03)
            assert world.disk.syncs == number + 1

    run_virtual(main())
    assert set(world.durable.values()) == {True}


def test_more_calls_at_once_than_the_leeway_has_share_a_sync(fake_disk: Any) -> None:
    """A crowd does not wait one after another, and larger calls get a larger leeway."""
    world = Watched(fake_disk())

    async def main() -> None:
        await world.begin()
        await world.ask("run/a")
        before = world.disk.syncs
        await asyncio.gather(*(world.ask(f"run/b{i}") for i in range(40)))
        assert world.disk.syncs - before <= 3
        await world.ask("run/c", output_tokens=4000)
        await world.ask("run/d", output_tokens=4000)

    run_virtual(main())
    first, larger = of_kind(world.journal.records(), Leeway)
    assert larger.usd > 4 * first.usd
    assert [world.durable[name] for name in ("run/a", "run/c", "run/d")] == [True, True, False]


CASES = [
    pytest.param([leeway()], FIRST, [], id="the-same-start"),
    pytest.param([leeway()], SECOND, ["0.25"], id="another-start"),
    pytest.param([leeway()], "", ["0.25"], id="a-start-that-is-not-known"),
    pytest.param([leeway(), leeway(usd="0.5")], SECOND, ["0.5"], id="the-last-one-counts"),
    pytest.param([leeway(), CLOSED], SECOND, [], id="it-had-ended"),
    pytest.param([leeway(), resumed(FIRST)], SECOND, [], id="taken-up-before-the-machine-stopped"),
    pytest.param([leeway(), resumed("")], FIRST, ["0.25"], id="taken-up-by-an-older-version"),
    pytest.param([leeway(), resumed(SECOND), CLOSED], SECOND, ["0.25"], id="lost-and-then-ended"),
    pytest.param([leeway(), resumed(SECOND), leeway(SECOND, "0.5")], THIRD, ["0.25", "0.5"], id="lost-twice"),
    pytest.param(
        [leeway(), resumed(SECOND), Forked("r0", "run", 0, 1.0)], SECOND, [], id="lost-by-the-other-run"
    ),
    pytest.param(
        [leeway(), Forked("r0", "run", 0, 1.0), leeway(usd="0.5")], SECOND, ["0.5"], id="copied-from-another"
    ),
]


@pytest.mark.parametrize(("records", "boot", "lost"), CASES)
def test_what_may_be_missing(records: list[Record], boot: str, lost: list[str]) -> None:
    """By which start of the machine each process worked on."""
    losses = PowerLosses()
    for record in (OPENED, *records):
        losses.see(record)
    assert [each.usd for each in losses.until(boot)] == [Decimal(usd) for usd in lost]


def test_the_start_of_this_machine_has_a_name() -> None:
    """On Linux, the same one for every process."""
    if not Path("/proc/sys/kernel/random/boot_id").exists():
        pytest.skip("this system does not say when it was started")
    assert len(boot_id()) == 16
    assert boot_id.__wrapped__() == boot_id()


@pytest.mark.parametrize(
    "said", [b"", b"\n", b"unknown\n", b"00000000-0000-0000-0000-000000000000\n", b"\xff" * 36]
)
def test_what_names_no_start_is_no_name(said: bytes) -> None:
    """Else two starts would have the same one, and no loss would count."""
    assert named(said) == ""
    assert named(b"81a39c2b-1056-4134-9211-a1694faff419\n") != named(
        b"91a39c2b-1056-4134-9211-a1694faff419\n"
    )


def test_a_disk_that_failed_in_a_sync_is_not_trusted_again(tmp_path: Path) -> None:
    """The machine goes on, but what was sent under the leeway may be gone: it counts, and every later call
    waits for the disk."""
    (tmp_path / "runs").mkdir(mode=0o700)
    path = tmp_path / "runs" / "journal.jsonl"
    disk = PosixDisk.create(path, threaded=False)
    end, other = os.pipe()
    os.dup2(end, disk._file)  # a pipe cannot be synced
    with pytest.raises(OSError, match="Invalid argument"):
        disk.sync()
    disk.close()
    again = PosixDisk.open(path)
    assert (disk.boot, again.boot) == (boot_id(), "")
    again.close()
    os.close(end)
    os.close(other)


def test_many_losses_take_no_more_time_each() -> None:
    """Somebody may have written a journal that has nothing else."""
    losses = PowerLosses()
    for _ in range(200_000):
        losses.see(leeway())
        losses.see(resumed(SECOND))
    assert len(losses.until(SECOND)) == 200_000
