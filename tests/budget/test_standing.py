"""Every sentence about a budget gives parts that add up to it."""

import random
from contextlib import aclosing
from decimal import Decimal

import pytest

from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.budget import Budget, Claim, TreeLedger
from sunwell.budget.standing import Standing
from sunwell.core import Price, Rates, Text, ToolCall, Usage
from sunwell.errors import BudgetExhausted
from sunwell.events import RunFinished
from sunwell.report.event_lines import line_of
from sunwell.report.summary import summarize, summary_text
from sunwell.testing import ScriptedModel, completion, run_virtual
from sunwell.tools import tool
from tests.money_sentences import told_budgets

PRICE = Price(Rates(Decimal(1), Decimal(10)), source="test", date="2026-11-01")


def _amount(rng, limit, most):
    return (
        Decimal(str(round(rng.uniform(0, most), rng.choice([2, 4, 7, 11]))))
        if limit == "usd"
        else rng.randrange(most)
    )


@pytest.mark.parametrize("limit", ["usd", "tokens", "new_tokens", "calls", "turns"])
def test_the_parts_of_any_budget_add_up(limit):
    """Dollars of any size and number of digits, counts, and budgets that are exceeded."""
    rng = random.Random(limit)
    for _ in range(1_000):
        size = rng.choice([2, 40, 9_000])
        ceiling = _amount(rng, limit, size) + (Decimal("0.000001") if limit == "usd" else 1)
        most = max(1, int(ceiling) // rng.choice([1, 4]) + 1)
        standing = Standing(
            limit, ceiling, *(Decimal(_amount(rng, limit, most)) for _ in range(4)), "run/a-1"
        )
        needed = standing.left + Decimal("0.0000001" if limit == "usd" else 1)
        (told,) = told_budgets(standing.refusal(needed))
        assert told.cap == ceiling
        assert told_budgets(f"of {standing.amount(ceiling)}: {standing.parts()}")


@pytest.mark.parametrize("seed", range(20))
def test_every_refusal_of_a_ledger_adds_up(seed):
    """Whatever was settled, unconfirmed, reserved and held back before, here and in the accounts above."""

    async def scene():
        rng, refused = random.Random(seed), 0
        ledger = TreeLedger()
        ledger.open("run", Budget(usd=Decimal("0.5"), tokens=rng.choice([None, 60_000])))
        ledger.open("run/a", Budget(usd=Decimal("0.3")))
        for _ in range(60):
            path, size = rng.choice(["run", "run/a"]), rng.randrange(100, 20_000)
            ledger.hold_back(path, rng.randrange(2_000), _amount(rng, "usd", 0.04))
            claim = Claim(size, 500, 500, size * Decimal("0.000005"), Decimal("0.000025"), rng.random() < 0.2)
            try:
                held = await ledger.reserve(path, claim)
            except BudgetExhausted as error:
                refused += len(told_budgets(str(error)))
                continue
            if rng.random() < 0.2:
                ledger.keep(held)
            else:
                ledger.settle(held, held.tokens // 3, (held.usd or Decimal(0)) / 3)
        assert refused

    run_virtual(scene())


@tool(parallel=True, repeatable=True)
async def add(first: int, second: int) -> str:
    """Add two numbers."""
    return str(first + second)


@pytest.mark.parametrize("orchestrate", [False, True], ids=["direct", "orchestrated"])
@pytest.mark.parametrize(
    "budget", [{"usd": Decimal("0.05")}, {"tokens": 30_000}, {"calls": 5}, {"usd": 1, "turns": 4}]
)
def test_every_sentence_of_a_run_adds_up(budget, orchestrate):
    """Events, lines on the terminal, status lines that the model reads, the report and its JSON."""
    call = completion(Text("On."), ToolCall("c", "add", '{"first": 1, "second": 2}'), usage=Usage(2_000, 300))
    model = ScriptedModel("m", [call] * 60, PRICE)
    config = LoopConfig(budget=Budget(**budget), orchestrate=orchestrate, orchestrator_max_turns=30)

    async def main():
        said = []
        async with aclosing(AgentLoop(model, None, config).run("Add", (add,))) as events:
            async for event in events:
                said += [line_of(event, verbose=True) or "", getattr(event, "sentence", "")]
                if isinstance(event, RunFinished):
                    said += [summary_text(event.result), str(summarize(event.result))]
        return said

    said = run_virtual(main())
    said += [str(request.messages) for request in model.calls]
    assert sum(len(told_budgets(text)) for text in said)
