"""The door: what is written and booked around each call, and what is told of it."""

import asyncio
from decimal import Decimal

import attrs
import pytest

from sunwell.budget import Amount, Budget
from sunwell.core import Consulted, Price, Rates, Span, Text, ToolCall, Usage
from sunwell.errors import BadAnswer, BadRequest, BudgetExhausted, ConfigurationError, ServerFailed
from sunwell.events import (
    BoundExceeded,
    BudgetRefused,
    BudgetWarning,
    ModelCallFinished,
    ModelCallStarted,
    ModelTextArrived,
    Warned,
)
from sunwell.gateway import RetryPolicy
from sunwell.journal.records import Answer, Held, Intent, Refused
from sunwell.journal.tree import tree
from sunwell.models.prices import PriceBook
from sunwell.testing import ScriptedModel, completion, run_virtual

ONCE = RetryPolicy(attempts=1)


def test_a_wait_for_room_is_written_down(open_door, price) -> None:
    """Two calls under a ceiling with room for one: it says what the second waited for, and how long."""
    door = open_door(Budget(usd="0.0025"))
    model = ScriptedModel("haiku", ["Yes.", "Yes."], price, seconds=50)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(door.ask(model))
            group.create_task(door.ask(model, span=Span("run/other")))

    run_virtual(main())
    held = [record for record in door.records if isinstance(record, Held)]
    assert [(one.span, one.reason, one.seconds) for one in held] == [("run/other", "ledger", 50.0)]


def test_the_worst_case_is_held_and_written_down_before_anything_is_sent(open_door, price) -> None:
    """While the model is asked, the intent stands in the journal and its numbers in the ledger."""
    door = open_door(Budget(usd=1))
    seen = []

    def answer(_):
        seen.append((door.kinds(), door.used))
        return "Here it is."

    run_virtual(door.ask(ScriptedModel("haiku", [answer], price)))
    [(kinds, used)] = seen
    assert kinds == ["intent"]
    intent = door.records[0]
    assert (intent.reserved_tokens, intent.reserved_usd) == (used.reserved_tokens, used.reserved_usd)
    assert intent.reserved_usd == Decimal(intent.reserved_tokens - 100 + 1000) / 1_000_000
    assert (intent.span, intent.depth, intent.model, intent.max_output_tokens) == (
        "run/work",
        1,
        "haiku",
        100,
    )
    assert door.kinds() == ["intent", "answer"]


def test_an_answer_is_written_and_settled_before_anybody_uses_it(open_door, price) -> None:
    """What the ask returns is in the journal by then, and booked at what it cost."""
    door = open_door(Budget(usd=1))
    said = completion("Yes.", ToolCall("a", "add", "{}"), usage=Usage(200, 30))
    got = run_virtual(door.ask(ScriptedModel("haiku", [said], price)))
    answer = door.gateway.journal.find(Answer, ("run/work", 0))
    cost = Decimal("0.0005")
    assert answer.completion == got
    assert (got.parts, got.model) == (said.parts, "haiku")
    assert (answer.cost_usd, answer.attempt, answer.purpose) == (cost, 0, "work")
    assert door.used == Amount(settled_usd=cost, settled_tokens=230, calls=1, seconds=0)
    bill = door.gateway.tally.bill()
    assert (bill.cost_usd, bill.usage, bill.calls) == (cost, Usage(200, 30), 1)


def test_each_call_is_told_when_it_starts_and_when_it_ends(open_door, price) -> None:
    """The end carries usage, cost, attempts and the time that it took."""
    door = open_door()
    model = ScriptedModel("haiku", [completion("Yes.", usage=Usage(200, 30))], price, seconds=4)
    run_virtual(door.ask(model))
    assert door.events == [
        ModelCallStarted("run/work", 0, "haiku", "work", 1),
        ModelCallFinished(
            "run/work",
            0,
            "haiku",
            "work",
            1,
            1,
            Usage(200, 30),
            Decimal("0.0005"),
            4.0,
            "end",
            booked_usd=Decimal("0.0005"),
            booked_usage=Usage(200, 30),
            reserved_usd=Decimal("0.002103"),
            max_output_tokens=100,
            answered_by="haiku",
        ),
    ]


def test_usage_that_never_came_keeps_the_worst_case_booked(open_door, price) -> None:
    """The answer is used; what it cost is uncertain, apart from what is known."""
    door = open_door(Budget(usd=1))
    silent = completion("Yes.")
    object.__setattr__(silent, "usage", None)
    run_virtual(door.ask(ScriptedModel("haiku", [silent], price)))
    intent = door.records[0]
    used = door.used
    assert (used.settled_usd, used.uncertain_usd, used.reserved_usd) == (0, intent.reserved_usd, 0)
    bill = door.gateway.tally.bill()
    assert (bill.cost_usd, bill.uncertain_usd) == (0, intent.reserved_usd)
    assert bill.models[0].uncertain_calls == 1
    assert door.records[1].cost_usd is None


def test_a_ceiling_lowers_the_output_that_is_asked_for(open_door, price) -> None:
    """The model is sent, and the intent says, what the ceiling still pays for: not what was wished."""
    door = open_door(Budget(usd="0.014"))
    model = ScriptedModel("haiku", ["Yes."], price)
    run_virtual(door.ask(model, max_output_tokens=2000))
    intent = door.records[0]
    assert model.calls[0].max_output_tokens == intent.max_output_tokens
    assert 1250 <= intent.max_output_tokens < 2000
    assert Decimal("0.01399") < intent.reserved_usd <= Decimal("0.014")


def test_a_call_without_room_is_refused_with_true_numbers(open_door, price) -> None:
    """Nothing is sent; error, event and record say what was needed, used and allowed, and where."""
    door = open_door(Budget(usd="0.0025"))
    model = ScriptedModel("haiku", [completion("Yes.", usage=Usage(200, 80))], price)
    run_virtual(door.ask(model))
    with pytest.raises(BudgetExhausted) as caught:
        run_virtual(door.ask(model))
    error = caught.value
    numbers = (error.limit, error.needed, error.used, error.ceiling, error.account)
    bound = door.records[0].reserved_tokens - 100
    least = bound * Decimal("0.000001") + 100 * Decimal("0.00001")
    assert numbers == ("usd", least, Decimal("0.001"), Decimal("0.0025"), "run")
    assert door.told(BudgetRefused) == [BudgetRefused(*numbers, str(error))]
    assert door.records[-1] == Refused("run/work", 1, *numbers, error.detail)
    assert len(model.calls) == 1
    assert door.told(ModelCallFinished)[-1].error == str(error)
    assert "$0.0025" in str(error)


@pytest.mark.parametrize(
    ("limit", "budget", "needed", "used"),
    [
        pytest.param("calls", Budget(calls=1), 1, 1, id="calls"),
        pytest.param("tokens", Budget(tokens=1300), 1101, 1000, id="tokens"),
    ],
)
def test_a_refusal_names_the_limit_that_was_met(open_door, limit, budget, needed, used) -> None:
    """Also without any price: calls and tokens are counted, not paid."""
    door = open_door(budget)
    model = ScriptedModel("unpriced", [completion("Yes.", usage=Usage(900, 100))])
    run_virtual(door.ask(model))
    with pytest.raises(BudgetExhausted) as caught:
        run_virtual(door.ask(model))
    assert (caught.value.limit, caught.value.used) == (limit, used)
    assert caught.value.needed >= needed
    assert caught.value.ceiling == getattr(budget, limit)


@pytest.mark.parametrize(
    ("output_tokens", "warned"),
    [pytest.param(59, False, id="below"), pytest.param(60, True, id="four-fifths")],
)
def test_a_warning_is_given_once_at_four_fifths(open_door, price, output_tokens, warned) -> None:
    """The warning carries limit, use, ceiling and account, and comes once."""
    door = open_door(Budget(usd="0.001"), prices=PriceBook({"haiku": price}))
    lines = [completion("Yes.", usage=Usage(200, output_tokens)), completion("Yes.", usage=Usage(1, 1))]
    own = _bounded("haiku", lines, bound=200)
    run_virtual(door.ask(own, max_output_tokens=70))
    used = Decimal(200 + 10 * output_tokens) / 1_000_000
    expected = [BudgetWarning("usd", used, Decimal("0.001"), "run")] if warned else []
    assert door.told(BudgetWarning) == expected


def _bounded(name, lines, bound):
    """Return a scripted model that states its own bound on input tokens."""

    class Bounded(ScriptedModel):
        def input_bound_tokens(self, _):
            return bound

    return Bounded(name, lines)


def test_a_bill_above_its_reservation_is_told_and_booked_in_full_and_calls_go_on(open_door, price) -> None:
    """The event has both numbers; the next call is made, since the ceiling has room."""
    door = open_door(Budget(usd=1))
    model = ScriptedModel("haiku", [completion("Yes.", usage=Usage(5000, 100)), "More."], price)
    assert run_virtual(door.ask(model)).text == "Yes."
    intent, cost = door.records[0], Decimal("0.006")
    assert door.told(BoundExceeded) == [
        BoundExceeded("haiku", intent.reserved_tokens, 5100, intent.reserved_usd, cost)
    ]
    assert door.used.settled_usd == cost
    assert run_virtual(door.ask(model)).text == "More."


def test_a_bill_above_the_ceiling_is_the_last(open_door, price) -> None:
    """No call follows, not even a closing one."""
    door = open_door(Budget(usd="0.005"))
    model = ScriptedModel("haiku", [completion("Yes.", usage=Usage(5000, 100))], price)
    assert run_virtual(door.ask(model)).text == "Yes."
    for closing in (False, True):
        with pytest.raises(BudgetExhausted, match=r"\$0\.005 is exceeded by \$0\.001: \$0\.006 spent"):
            run_virtual(door.ask(model, closing=closing))
    assert len(model.calls) == 1


def test_a_bill_exactly_at_its_reservation_is_within_bounds(open_door, price) -> None:
    """The bound is the most that may be billed, itself included."""
    door = open_door(Budget(usd=1), prices=PriceBook({"haiku": price}))
    model = _bounded("haiku", [completion("Yes.", usage=Usage(200, 100)), "More."], bound=200)
    run_virtual(door.ask(model))
    run_virtual(door.ask(model))
    assert door.told(BoundExceeded) == []


def test_a_dollar_cap_asks_no_model_without_a_price(open_door) -> None:
    """Unknown is not zero: nothing is sent, and the sentence says what to do."""
    door = open_door(Budget(usd=1))
    model = ScriptedModel("claude-haiku-5.5-giga", ["never said"])
    with pytest.raises(ConfigurationError, match="price"):
        run_virtual(door.ask(model))
    assert model.calls == []
    assert door.used.reserved_usd == 0


def test_a_token_cap_needs_no_price_and_the_cost_stays_unknown(open_door) -> None:
    """Answer, event and bill say ``None``, never 0."""
    door = open_door(Budget(tokens=5000))
    run_virtual(door.ask(ScriptedModel("claude-haiku-5.5-giga", ["Yes."])))
    assert door.records[1].cost_usd is None
    assert door.told(ModelCallFinished)[0].cost_usd is None
    bill = door.gateway.tally.bill()
    assert (bill.cost_usd, bill.usage) == (None, Usage(10, 5))


ANSWERED = [
    pytest.param("gpt-4o", "gpt-4o", "known", id="itself"),
    pytest.param("gpt-4o", "gpt-4o-2024-08-06", "known", id="with-a-date"),
    pytest.param("gpt-4o", "gpt-4o-mini-2024-07-18", "dearer", id="the-one-called-is-dearer"),
    pytest.param("gpt-4o-mini", "gpt-4o-2024-08-06", "dearer", id="the-one-that-answered-is-dearer"),
    pytest.param("claude-haiku-5-5", "claude-haiku-5.5-giga", "unknown", id="a-name-nearly-the-same"),
    pytest.param("claude-haiku-5-5", "somebody-else", "unknown", id="nobody-knows-it"),
]


@pytest.mark.parametrize(("asked", "answered", "expected"), ANSWERED)
def test_a_different_model_that_answered_is_told_and_the_dearer_price_booked(
    open_door, asked, answered, expected
) -> None:
    """An id with a date is the same model, a longer name is a different one; each is told once in a run."""
    book = PriceBook()
    door = open_door(prices=book)
    usage = Usage(1000, 100)
    model = ScriptedModel(asked, [completion("Yes.", usage=usage, model=answered)] * 2)

    async def twice() -> None:
        await door.ask(model)
        await door.ask(model)

    run_virtual(twice())
    cost, own = door.records[1].cost_usd, book.price_of(asked).cost_usd(usage)
    if expected == "known":
        assert cost == own
    elif expected == "dearer":
        assert cost == book.price_of("gpt-4o").cost_usd(usage)
    else:
        assert cost is None
    told = [event.message for event in door.told(Warned)]
    assert [f"{asked} was called, and {answered} answered" in message for message in told] == (
        [] if expected == "known" else [True]
    )
    [line] = door.gateway.tally.bill().models
    assert (line.model, line.cost_usd) == (answered, None if cost is None else cost * 2)


def test_contradictory_usage_is_told_once(open_door) -> None:
    """The most expensive meaning is booked."""
    door = open_door()
    said = attrs.evolve(completion("Yes."), usage_doubt="5 output and 99 total tokens do not fit together")
    model = ScriptedModel("haiku", [said] * 2)

    async def twice() -> None:
        await door.ask(model)
        await door.ask(model)

    run_virtual(twice())
    [told] = door.told(Warned)
    assert "haiku reports is contradictory: 5 output and 99 total" in told.message


@pytest.mark.parametrize(
    ("is_batch", "factor"), [pytest.param(False, 1, id="at-once"), pytest.param(True, "0.5", id="in-a-batch")]
)
def test_an_advisor_is_billed_at_its_own_price_and_a_batch_at_half(open_door, is_batch, factor) -> None:
    """To the last digit, in the ledger, in the record and in a line of the bill of its own."""
    book, usage, advice = PriceBook(), Usage(1000, 100), Usage(3000, 200, cache_read_tokens=1000)
    door = open_door(Budget(usd=1, tokens=50_000), prices=book)
    said = attrs.evolve(
        completion("Yes.", usage=usage, model="claude-haiku-5-5"),
        consulted=(Consulted("claude-opus-5-5", advice),),
        is_batch=is_batch,
    )
    run_virtual(door.ask(ScriptedModel("claude-haiku-5-5", [said])))
    cheap = book.price_of("claude-haiku-5-5").cost_usd(usage) * Decimal(factor)
    dear = book.price_of("claude-opus-5-5").cost_usd(advice) * Decimal(factor)
    assert door.records[1].cost_usd == cheap + dear
    assert (door.used.settled_usd, door.used.settled_tokens) == (cheap + dear, 4300)
    lines = {line.model: (line.calls, line.cost_usd) for line in door.gateway.tally.bill().models}
    assert lines == {"claude-haiku-5-5": (1, cheap), "claude-opus-5-5": (0, dear)}


def test_an_unpriced_advisor_leaves_the_cost_unknown(open_door, price) -> None:
    """Under a dollar cap all that was reserved counts as uncertain; the tokens of both are settled."""
    door = open_door(Budget(usd=1))
    said = attrs.evolve(
        completion("Yes.", usage=Usage(50, 5), model="haiku"), consulted=(Consulted("stranger", Usage(9, 1)),)
    )
    run_virtual(door.ask(ScriptedModel("haiku", [said], price)))
    assert door.gateway.tally.bill().cost_usd is None
    used = door.used
    assert (used.settled_usd, used.uncertain_usd) == (0, door.records[0].reserved_usd)
    assert used.settled_tokens == 65


def test_an_unpriced_model_that_answers_keeps_the_reserved_dollars_booked(open_door, price) -> None:
    """Under a dollar cap what it cost is unknown, so all that was reserved counts as uncertain."""
    door = open_door(Budget(usd=1))
    model = ScriptedModel("haiku", [completion("Yes.", usage=Usage(50, 5), model="stranger")], price)
    run_virtual(door.ask(model))
    used = door.used
    assert (used.settled_usd, used.uncertain_usd) == (0, door.records[0].reserved_usd)
    assert used.settled_tokens == 55


def test_a_stream_shows_its_text_and_counts_like_a_plain_answer(open_door, price) -> None:
    """Pieces are told as they come; the completion at the end is written and settled."""
    door = open_door(Budget(usd=1))
    said = completion(Text("one two"), usage=Usage(200, 30))
    got = run_virtual(door.ask(ScriptedModel("haiku", [said], price), stream=True))
    assert got.text == "one two"
    assert [event.text for event in door.told(ModelTextArrived)] == ["one", "two"]
    assert door.used.settled_usd == Decimal("0.0005")


def test_a_stream_without_its_end_is_no_answer_and_may_be_billed(open_door, price) -> None:
    """It stays booked in full; the next attempt is a new reservation."""

    class Endless(ScriptedModel):
        async def stream(self, request):
            await self.complete(request)
            return
            yield

    door = open_door(Budget(usd=1), retry=ONCE)
    with pytest.raises(BadAnswer):
        run_virtual(door.ask(Endless("haiku", ["lost"], price), stream=True))
    assert door.used.uncertain_usd == door.records[0].reserved_usd
    assert door.kinds() == ["intent", "failure"]


def test_a_closing_call_may_use_the_room_that_is_kept_for_it(open_door, price) -> None:
    """What an ordinary call is refused, the closing one gets: inside the same ceiling."""
    door = open_door(Budget(usd="0.0022"))
    door.gateway.ledger.hold_back("run", 1200, Decimal("0.0021"))
    model = ScriptedModel("haiku", ["In short: yes."], price)
    with pytest.raises(BudgetExhausted, match=r"\$0\.00022 kept for closing calls"):
        run_virtual(door.ask(model))
    assert run_virtual(door.ask(model, closing=True, purpose="closing")).text == "In short: yes."
    assert door.gateway.journal.find(Intent, ("run/work", 0, 0)).purpose == "closing"


def test_whoever_watches_holds_up_the_calls_that_are_made(open_door, price) -> None:
    """The hold comes before the reservation, so nobody who stopped looking pays for a call."""
    held = []

    async def hold() -> None:
        held.append(door.used.calls)

    door = open_door(hold=hold)
    run_virtual(door.ask(ScriptedModel("haiku", ["Yes."], price)))
    assert held == [0]


def test_prices_with_cache_rates_bill_each_part_at_its_own(open_door) -> None:
    """Reads, short and long writes and the rest of the input have four rates."""
    rates = Rates(Decimal(4), Decimal(20), Decimal("0.20"), Decimal(5), Decimal(8))
    door = open_door()
    usage = Usage(1000, 10, cache_read_tokens=500, cache_write_tokens=200, cache_write_1h_tokens=100)
    run_virtual(door.ask(ScriptedModel("opus", [completion("Yes.", usage=usage)], Price(rates))))
    # 200 plain x 4 + 500 read x 0.20 + 200 written x 5 + 100 for an hour x 8 + 10 out x 20
    assert door.records[1].cost_usd == Decimal("0.0029")


def _failed(usage: Usage | None, **fields) -> ServerFailed:
    """Return the error of a provider that failed on the way to an answer."""
    half = attrs.evolve(completion("half", model="haiku", stop="other"), usage=usage, **fields)
    return ServerFailed("haiku", "it failed on the way", may_be_billed=True, answer=half)


def test_what_came_with_an_error_is_booked_at_what_it_cost(open_door, price) -> None:
    """The usage is known, so the reservation does not stay booked in full, and nothing is asked again."""
    door = open_door(Budget(usd=1))
    with pytest.raises(ServerFailed):
        run_virtual(door.ask(ScriptedModel("haiku", [_failed(Usage(200, 30))], price)))
    assert door.used == Amount(settled_usd=Decimal("0.0005"), settled_tokens=230, calls=1, seconds=0)
    bill = door.gateway.tally.bill()
    assert (bill.cost_usd, bill.uncertain_usd, bill.usage) == (Decimal("0.0005"), 0, Usage(200, 30))
    node = next(node for node in tree(door.records).walk() if node.type == "call")
    assert (node.status, node.cost_usd, node.uncertain_usd, node.usage) == (
        "failed",
        Decimal("0.0005"),
        0,
        Usage(200, 30),
    )


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(_failed(None), id="usage-unknown"),
        pytest.param(ServerFailed("haiku", "no answer", True, answer="a text"), id="no-completion"),
        pytest.param(_failed(Usage(1, 1), stated_cost_usd=Decimal("NaN")), id="cost-is-no-number"),
    ],
)
def test_an_error_without_usable_usage_keeps_the_worst_case_booked(open_door, price, error) -> None:
    """What cannot be known is an upper bound."""
    door = open_door(Budget(usd=1))
    with pytest.raises(ServerFailed):
        run_virtual(door.ask(ScriptedModel("haiku", [error], price)))
    [intent, *_] = door.records
    assert door.used.uncertain_usd == intent.reserved_usd > 0
    assert door.used.settled_usd == 0


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        pytest.param("0.0007", "0.0007", id="dearer"),
        pytest.param("0.0001", "0.0005", id="cheaper"),
        pytest.param(None, "0.0005", id="not-stated"),
    ],
)
def test_the_dearer_of_stated_and_computed_cost_is_booked(open_door, price, stated, expected) -> None:
    """A provider's fees are in what it states; a table of prices is in what is computed."""
    said = completion("Yes.", usage=Usage(200, 30))
    said = attrs.evolve(said, stated_cost_usd=None if stated is None else Decimal(stated))
    door = open_door(Budget(usd=1))
    run_virtual(door.ask(ScriptedModel("haiku", [said], price)))
    assert door.used.settled_usd == Decimal(expected)
    assert door.gateway.tally.bill().cost_usd == Decimal(expected)


def test_a_stated_cost_is_known_where_no_table_has_a_price(open_door) -> None:
    """A gateway knows what it charges for a model that nobody else lists."""
    said = attrs.evolve(completion("Yes."), stated_cost_usd=Decimal("0.25"))
    door = open_door()
    run_virtual(door.ask(ScriptedModel("unlisted", [said])))
    assert door.gateway.tally.bill().cost_usd == Decimal("0.25")


def test_a_request_that_was_answered_is_not_sent_again_unchanged(open_door, price) -> None:
    """Whatever was wrong with the answer, asking the same again would be paid twice."""
    door = open_door()
    model = ScriptedModel("haiku", ["", "never asked"], price)

    async def main() -> None:
        await door.ask(model, "Say it.")
        await door.ask(model, "Say it.", max_output_tokens=200)  # a longer answer may be of use
        await door.ask(model, "Say it.", max_output_tokens=200)

    model.lines.append("not asked, either")
    with pytest.raises(BadRequest, match="not sent again"):
        run_virtual(main())
    assert len(model.calls) == 2


def test_a_stated_cost_above_the_worst_case_counts_without_usage(open_door, price) -> None:
    """What the provider charges is booked although nobody knows the tokens."""
    said = attrs.evolve(completion("Yes."), usage=None, stated_cost_usd=Decimal("0.25"))
    door = open_door(Budget(usd=1))
    run_virtual(door.ask(ScriptedModel("haiku", [said], price)))
    assert door.used.settled_usd + door.used.uncertain_usd == Decimal("0.25")
    assert door.gateway.tally.bill().uncertain_usd == Decimal("0.25")


def test_nothing_of_a_call_is_told_if_nobody_hears_and_all_is_on_record(open_door, price) -> None:
    """An event that nobody gets is not made; bill and record are the same as ever."""
    doors = {heard: open_door(hears=lambda _, heard=heard: heard) for heard in (True, False)}
    for door in doors.values():
        run_virtual(door.ask(ScriptedModel("haiku", ["Yes."], price)))
    assert [type(event) for event in doors[True].events] == [ModelCallStarted, ModelCallFinished]
    assert doors[False].events == []
    assert doors[False].kinds() == doors[True].kinds() == ["intent", "answer"]
    assert doors[False].gateway.tally.bill() == doors[True].gateway.tally.bill()
