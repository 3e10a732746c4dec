"""Retries: what is made again, how long that waits, and what each failed attempt leaves booked."""

import asyncio
from decimal import Decimal

import pytest

from sunwell.budget import Budget
from sunwell.errors import (
    BadAnswer,
    BadRequest,
    BudgetExhausted,
    ConnectionFailed,
    ModelError,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
    Unauthorized,
)
from sunwell.events import ModelCallFinished, ModelRetried
from sunwell.gateway import RetryPolicy
from sunwell.journal.records import Failure, Held
from sunwell.testing import ScriptedModel, run_virtual


def limited(seconds: float | None = None) -> RateLimited:
    return RateLimited("haiku", "slow down", retry=True, retry_after_seconds=seconds)


WAITS = [
    pytest.param(limited(), (0.5, 0.75), id="usual-wait"),
    pytest.param(limited(7.0), (7.0, 7.0), id="as-the-provider-asks"),
    pytest.param(limited(0), (0.0, 0.0), id="at-once"),
    pytest.param(limited(-3), (0.0, 0.0), id="in-the-past-is-at-once"),
    pytest.param(limited(60.0), (60.0, 60.0), id="at-the-cap"),
    pytest.param(limited(60.1), None, id="longer-than-the-cap-ends-it"),
    pytest.param(ServerFailed("haiku", "down", retry=True), (0.5, 0.75), id="server"),
    pytest.param(BadRequest("haiku", "no prompt"), None, id="bad-request"),
    pytest.param(QuotaExhausted("haiku", "insufficient_quota"), None, id="no-credit"),
    pytest.param(Unauthorized("haiku", "wrong key"), None, id="key"),
]


@pytest.mark.parametrize(("error", "bounds"), WAITS)
def test_what_is_tried_again_and_after_how_long(error, bounds) -> None:
    """None is never; else the seconds lie in the bounds, and the last attempt waits for nothing."""
    policy = RetryPolicy()
    got = policy.wait_seconds(0, error)
    assert (bounds is not None) == (got is not None)
    assert got is None or bounds[0] <= got <= bounds[1]
    is_refusal = isinstance(error, RateLimited)
    most = policy.refused_attempts if is_refusal else policy.attempts
    assert policy.wait_seconds(most - 1, error) is None
    assert not is_refusal or bounds is None or policy.wait_seconds(most - 2, error) is not None
    assert RetryPolicy(attempts=1).wait_seconds(0, error) is None


def test_a_bug_is_never_tried_again() -> None:
    """Only a model's failure can pass."""
    assert RetryPolicy().wait_seconds(0, ValueError("a bug")) is None


def test_attempts_without_a_refused_field_do_not_count_as_repetitions(open_door) -> None:
    """A server that refuses six fields one by one is asked seven times although four attempts are allowed."""
    refusals = [BadRequest("haiku", f"no field {n}", retry=True, is_changed=True) for n in range(6)]
    door = open_door()
    completion = run_virtual(door.ask(ScriptedModel("haiku", [*refusals, limited(), "Yes."])))
    assert completion.text == "Yes."
    [finished] = door.told(ModelCallFinished)
    assert finished.attempts == 8


def test_changes_without_end_end(open_door) -> None:
    """A model that says each time that the next request is another one is not asked for ever."""
    refusals = [BadRequest("haiku", "no", retry=True, is_changed=True) for _ in range(99)]
    model = ScriptedModel("haiku", refusals)
    with pytest.raises(BadRequest):
        run_virtual(open_door().ask(model))
    assert len(model.calls) < 40


def test_a_slip_of_the_model_is_repeated_once(open_door) -> None:
    """The second one in a row is final: each may be billed."""
    slips = [BadAnswer("haiku", "tool_use_failed", True, True, most_repeats=1) for _ in range(5)]
    model = ScriptedModel("haiku", slips)
    with pytest.raises(BadAnswer):
        run_virtual(open_door().ask(model))
    assert len(model.calls) == 2


@pytest.mark.parametrize("seconds", [0, 7, 60])
def test_the_providers_own_wait_is_kept_to_the_second(open_door, seconds) -> None:
    """Neither shorter nor longer, and told."""
    door = open_door()
    model = ScriptedModel("haiku", [limited(seconds), "Yes."])
    run_virtual(door.ask(model))
    [finished] = door.told(ModelCallFinished)
    assert (finished.duration_seconds, finished.attempts) == (pytest.approx(seconds), 2)
    [retried] = door.told(ModelRetried)
    assert (retried.attempt, retried.wait_seconds, retried.error) == (1, seconds, "haiku: slow down")


def test_usual_waits_double_with_jitter_up_to_their_cap(open_door) -> None:
    """Half a second, one, two, and so on, each with up to half of itself on top; told as waited."""
    failures = [ServerFailed("haiku", "down", retry=True)] * 9
    policy = RetryPolicy(attempts=10, longest_wait_seconds=8)
    door = open_door(retry=policy)
    run_virtual(door.ask(ScriptedModel("haiku", [*failures, "Yes."])))
    told = [event.wait_seconds for event in door.told(ModelRetried)]
    assert all(low <= wait <= 8 for wait, low in zip(told, [0.5, 1, 2, 4, 8, 8, 8, 8, 8], strict=True))
    [finished] = door.told(ModelCallFinished)
    assert finished.duration_seconds == pytest.approx(sum(told))
    assert len({wait % 0.5 for wait in told[:4]}) == 4


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(QuotaExhausted("haiku", "insufficient_quota"), id="no-credit"),
        pytest.param(BadRequest("haiku", "no prompt"), id="bad-request"),
        pytest.param(limited(61), id="asked-to-wait-too-long"),
    ],
)
def test_what_cannot_help_is_not_tried_again(open_door, price, error) -> None:
    """One attempt, given back, and written down as the last."""
    door = open_door(Budget(usd=1))
    with pytest.raises(ModelError) as caught:
        run_virtual(door.ask(ScriptedModel("haiku", [error], price)))
    assert caught.value is error
    assert door.kinds() == ["intent", "failure"]
    failure = door.records[-1]
    assert (failure.error, failure.final, failure.may_be_billed) == (type(error).__name__, True, False)
    assert (door.used.reserved_usd, door.used.uncertain_usd, door.used.calls) == (0, 0, 0)


def test_attempts_are_bounded_and_the_last_error_is_raised(open_door) -> None:
    """Each attempt has its own intent and failure; only the last is final."""
    door = open_door(retry=RetryPolicy(attempts=3))
    model = ScriptedModel("haiku", [ServerFailed("haiku", f"down {i}", retry=True) for i in range(3)])
    with pytest.raises(ServerFailed, match="down 2"):
        run_virtual(door.ask(model))
    assert door.kinds() == ["intent", "failure", "held"] * 2 + ["intent", "failure"]
    attempts = [record for record in door.records if not isinstance(record, Held)]
    assert [record.attempt for record in attempts] == [0, 0, 1, 1, 2, 2]
    assert [record.final for record in attempts[1::2]] == [False, False, True]
    assert {record.reason for record in door.records if isinstance(record, Held)} == {"rate"}
    assert len(door.told(ModelRetried)) == 2
    model.assert_finished()


def test_attempts_that_may_be_billed_stay_booked_and_the_others_do_not(open_door, price) -> None:
    """A cut answer counts in full, as uncertain; a refused request is given back."""
    cut = BadAnswer("haiku", "cut off", may_be_billed=True, retry=True)
    broken = ConnectionFailed("haiku", "reset", may_be_billed=True, retry=True)
    door = open_door(Budget(usd=1))
    run_virtual(door.ask(ScriptedModel("haiku", [cut, limited(1), broken, "Yes."], price)))
    first = door.records[0].reserved_usd
    used = door.used
    assert (used.uncertain_usd, used.settled_usd, used.reserved_usd) == (2 * first, Decimal("0.00006"), 0)
    assert used.calls == 3
    bill = door.gateway.tally.bill()
    assert (bill.calls, bill.models[0].uncertain_calls, bill.uncertain_usd) == (1, 2, 2 * first)


def test_a_failed_attempt_does_not_hold_room_while_the_next_waits(open_door, price) -> None:
    """In the wait between two attempts nothing is reserved: others may use it."""
    door = open_door(Budget(usd="0.0022"))
    model = ScriptedModel("haiku", [limited(9), "Yes."], price)
    seen = []

    async def main() -> None:
        import asyncio

        asking = asyncio.ensure_future(door.ask(model))
        await asyncio.sleep(5)
        seen.append(door.used.reserved_usd)
        await asking

    run_virtual(main())
    assert seen == [0]


def test_an_attempt_for_which_no_room_is_left_is_refused(open_door, price) -> None:
    """What the first attempt may have cost is gone; the second finds no room and nothing is sent."""
    cut = BadAnswer("haiku", "cut off", may_be_billed=True, retry=True)
    door = open_door(Budget(usd="0.0022"))
    model = ScriptedModel("haiku", [cut, "never said"], price)
    with pytest.raises(BudgetExhausted) as caught:
        run_virtual(door.ask(model))
    assert caught.value.used == door.records[0].reserved_usd
    assert door.kinds() == ["intent", "failure", "held", "refused"]
    assert len(model.calls) == 1


def test_an_error_of_no_known_kind_may_have_been_billed_and_passes_through(open_door, price) -> None:
    """A bug in an adapter is no reason to give money back, nor to hide it."""
    door = open_door(Budget(usd=1))
    with pytest.raises(ZeroDivisionError):
        run_virtual(door.ask(ScriptedModel("haiku", [ZeroDivisionError("a bug")], price)))
    failure = door.records[-1]
    assert (failure.error, failure.may_be_billed, failure.final) == ("ZeroDivisionError", True, True)
    assert door.used.uncertain_usd == door.records[0].reserved_usd


@pytest.mark.parametrize(
    ("seconds", "attempts"),
    [
        pytest.param(600, 1, id="ten-minutes-once"),
        pytest.param(180, 2, id="three-minutes-twice"),
        pytest.param(10, 4, id="short-ones-as-any-failure"),
    ],
)
def test_silence_is_not_waited_for_again_and_again(open_door, seconds: int, attempts: int) -> None:
    """Attempts that ended at a time limit are made again only while they lasted less than four minutes.

    Each may have been billed, and stays booked at its bound.
    """
    door = open_door()
    silent = [ConnectionFailed("haiku", "gave no answer", True, True, silent=True)] * 4
    model = ScriptedModel("haiku", silent, seconds=seconds)
    with pytest.raises(ConnectionFailed):
        run_virtual(door.ask(model))
    assert len(model.calls) == attempts
    assert door.kinds().count("intent") == attempts
    [*_, last] = [record for record in door.records if isinstance(record, Failure)]
    assert (last.final, last.may_be_billed) == (True, True)


@pytest.mark.parametrize("asked", [None, 0.0, 1.0])
def test_a_server_that_is_overloaded_for_half_a_minute_fails_no_call(open_door, asked) -> None:
    """It refuses again and again and always asks for a second or less: later waits grow all the same."""

    class Overloaded(ScriptedModel):
        async def complete(self, request):
            if asyncio.get_running_loop().time() < 30:
                raise limited(asked)
            return await super().complete(request)

    door = open_door()
    run_virtual(door.ask(Overloaded("haiku", ["Yes."])))
    assert door.used.reserved_usd == 0
    assert len(door.told(ModelRetried)) < 8
