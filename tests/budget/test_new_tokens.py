"""A ceiling of new tokens: output, and input that was not counted before."""

from decimal import Decimal

import pytest

from sunwell.budget import Amount, Budget, Claim, TreeLedger
from sunwell.errors import BudgetExhausted

PATH = "run/sub-calls"


def ledger_of(new_tokens: int) -> TreeLedger:
    """Return a ledger with a ceiling of new tokens on one part of its tree."""
    ledger = TreeLedger()
    ledger.open("run", Budget())
    ledger.open(PATH, Budget(), new_tokens=new_tokens)
    return ledger


def claim(new: int | None, output: int = 100, *, closing: bool = False, least: int = 1) -> Claim:
    """Return a claim of 5,000 tokens of input, of which *new* are new."""
    return Claim(5_000, output, least, closing=closing, new_input_tokens=new)


async def test_only_what_is_new_counts() -> None:
    """A prompt far longer than the ceiling fits; all of the input counts if nobody says what is new."""
    ledger = ledger_of(1_000)
    held = await ledger.reserve(f"{PATH}/a", claim(200))
    assert (held.tokens, held.new_tokens) == (5_100, 300)
    assert ledger.new_tokens_left(PATH) == 700
    assert ledger.settle(held, 5_050, None, 250) is False
    used = ledger.used(PATH)
    assert (used.settled_tokens, used.settled_new_tokens) == (5_050, 250)
    with pytest.raises(BudgetExhausted, match="budget of 1,000 new tokens"):
        await ledger.reserve(f"{PATH}/a", claim(None))


async def test_it_holds_however_calls_end() -> None:
    """What is kept or settled without a figure counts in full, what is released not at all."""
    ledger = ledger_of(10_000)
    ledger.keep(await ledger.reserve(PATH, claim(200)))
    ledger.release(await ledger.reserve(PATH, claim(200)))
    ledger.settle(await ledger.reserve(PATH, claim(200)), 2_000, None)
    used = ledger.used(PATH)
    assert (used.uncertain_new_tokens, used.settled_new_tokens, used.reserved_new_tokens) == (300, 2_000, 0)
    assert ledger.new_tokens_left(PATH) == 7_700


async def test_an_answer_is_shortened_to_the_room_but_not_below_its_least() -> None:
    """As under every other ceiling."""
    ledger = ledger_of(1_000)
    assert (await ledger.reserve(PATH, claim(700, 500))).max_output_tokens == 300
    with pytest.raises(BudgetExhausted) as refused:
        await ledger_of(1_000).reserve(PATH, claim(700, 500, least=400))
    assert refused.value.limit == "new_tokens"


async def test_a_tenth_is_kept_for_closing_calls() -> None:
    """Ordinary calls leave it, and a closing call takes it."""
    ledger = ledger_of(1_000)
    ledger.hold_back(PATH, 5_000, None)
    assert ledger.new_tokens_left(PATH) == 900
    with pytest.raises(BudgetExhausted):
        await ledger.reserve(PATH, claim(850, 100, least=100))
    assert (await ledger.reserve(PATH, claim(850, 100, closing=True, least=100))).new_tokens == 950


async def test_a_passed_ceiling_has_no_room() -> None:
    """Neither for ordinary calls nor for closing ones."""
    ledger = ledger_of(1_000)
    ledger.settle(await ledger.reserve(PATH, claim(100)), 9_000, None, 1_001)
    for closing in (False, True):
        with pytest.raises(BudgetExhausted):
            await ledger.reserve(PATH, claim(0, 1, closing=closing))


async def test_what_earlier_processes_used_is_under_the_ceiling() -> None:
    """Also if the ceiling is opened after it was restored; reserved counts as uncertain."""
    ledger = TreeLedger()
    ledger.open("run", Budget())
    amount = Amount(settled_tokens=9_000, settled_new_tokens=400, reserved_new_tokens=100)
    ledger.restore(f"{PATH}/a", amount)
    ledger.open(PATH, Budget(usd=Decimal(1)), new_tokens=1_000)
    assert ledger.new_tokens_left(PATH) == 500
    assert ledger.used(PATH).uncertain_new_tokens == 100
    assert ledger.new_tokens_left("run") is None
