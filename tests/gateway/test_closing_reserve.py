"""What an intent says of the money that is kept for closing calls."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sunwell.budget import Budget
from sunwell.journal.records import Intent
from sunwell.testing import ScriptedModel


def kept(door: Any) -> list[Decimal | None]:
    """Return what each intent says."""
    return [record.closing_usd for record in door.records if isinstance(record, Intent)]


async def test_an_intent_says_what_the_run_keeps_for_closing_calls(
    open_door: Callable[..., Any], price: Any
) -> None:
    """As the ledger has it at that moment: as it was set, a tenth of the cap at most, and less once drawn."""
    door = open_door(Budget(usd="1"))
    ledger, model = door.gateway.ledger, ScriptedModel("m", ["a", "b", "c", "d"], price=price)
    await door.ask(model)
    ledger.open("run/work", Budget())
    ledger.hold_back("run/work", 1_000, Decimal("0.02"))
    await door.ask(model)
    ledger.hold_back("run/work", 1_000, Decimal("0.5"))
    await door.ask(model)
    ledger.hold_back("run/work", 1_000, Decimal("0.02"))
    await door.ask(model, closing=True)
    assert kept(door)[:3] == [0, Decimal("0.02"), Decimal("0.1")]
    last = kept(door)[3]
    assert last is not None
    assert last < Decimal("0.02")


async def test_without_a_cap_nothing_is_kept(open_door: Callable[..., Any], price: Any) -> None:
    """Zero, which is known."""
    door = open_door()
    door.gateway.ledger.hold_back("run", 1_000, Decimal("0.02"))
    await door.ask(ScriptedModel("m", ["a"], price=price))
    assert kept(door) == [0]
