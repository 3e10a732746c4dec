"""What a task costs if a model hands it out itself: the arithmetic, and what it is told."""

from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.agent.policy.cost_model import Shape
from sunwell.agent.policy.handed_out_cost import (
    ASSUMED,
    HandedOutShape,
    Lead,
    orchestrated_side,
    with_workers_side,
    workers_of,
)
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.price import OutputEstimate, Price, Rates, Side
from sunwell.events import Warned
from sunwell.journal.places import JournalFiles
from sunwell.journal.records import Quoted
from sunwell.models.registry import ModelRegistry
from sunwell.report import forecast
from sunwell.testing import ScriptedModel
from tests.agent import orchestrated

DEAR = Price(Rates(Decimal(10), Decimal(50), Decimal(1), Decimal("12.5")))
CHEAP = Price(Rates(Decimal("0.1"), Decimal("0.5"), Decimal("0.01"), Decimal("0.125")))
LEAD = Lead(price=DEAR, prompt_tokens=1_500, max_turns=20)
OUTPUT = OutputEstimate(800, 400, 1_600)


def side(output: OutputEstimate = OUTPUT, lead: Lead = LEAD, assumed: HandedOutShape = ASSUMED) -> Side:
    """Return the orchestrated side at prices of a dear and a cheap model."""
    return orchestrated_side(output, lead, DEAR, CHEAP, Shape(), assumed)


def test_the_range_ascends_and_nothing_bounds_the_worst_case() -> None:
    """Low, expected and high in order; a worst case that nobody can know is unknown."""
    made = side()
    assert made.low_usd is not None
    assert made.low_usd < made.expected_usd < made.high_usd
    assert made.worst_usd is None


@pytest.mark.parametrize(
    ("tokens", "workers"),
    [
        pytest.param(0, 4, id="nothing"),
        pytest.param(8_000, 4, id="four-shares"),
        pytest.param(8_001, 5, id="one-more"),
        pytest.param(1_000_000, 30, id="most"),
    ],
)
def test_workers_follow_the_output_between_their_bounds(tokens: int, workers: int) -> None:
    """One for each share of the output, at least four and at most thirty are expected."""
    assert workers_of(OutputEstimate(tokens, tokens, tokens), ASSUMED)[1] == workers


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"workers": (8, 8, 8)}, id="workers"),
        pytest.param({"lead_turns": (3, 9, 9)}, id="turns"),
        pytest.param({"report_tokens": (20, 900, 1_000)}, id="reports"),
        pytest.param({"answer_tokens": (40, 900, 1_500)}, id="answer"),
        pytest.param({"worker_turns": (1, 5, 6)}, id="worker-turns"),
        pytest.param({"redone_share": (0, 0.5, 0.5)}, id="redone"),
    ],
)
def test_each_assumption_has_its_price(more) -> None:
    """More of it costs more."""
    assert side(assumed=HandedOutShape(**more)).expected_usd > side().expected_usd


def test_the_conversation_is_read_from_the_cache_where_there_is_one() -> None:
    """Without a rate for that, every turn pays for all of it again."""
    plain = Price(Rates(Decimal(10), Decimal(50)))
    without = side(lead=attrs.evolve(LEAD, price=plain))
    assert side(lead=attrs.evolve(LEAD, prompt_tokens=5_000)).expected_usd < (
        side(lead=attrs.evolve(LEAD, prompt_tokens=5_000, price=plain)).expected_usd
    )
    assert without.expected_usd > Decimal(0)


def test_a_lens_that_is_written_first_is_in_expected_and_high() -> None:
    """Not in low: it may come to none."""
    plain, first = side(), side(lead=attrs.evolve(LEAD, writes_lens=True))
    assert first.expected_usd - plain.expected_usd > Decimal("0.08")  # 8,000 tokens to read, at least
    assert first.high_usd > plain.high_usd
    assert first.low_usd == plain.low_usd


@pytest.mark.parametrize("missing", ["lead", "worker"])
def test_an_unknown_price_makes_the_side_unknown(missing: str) -> None:
    """It is never 0."""
    lead = attrs.evolve(LEAD, price=None) if missing == "lead" else LEAD
    worker = None if missing == "worker" else CHEAP
    base = Side("direct", Decimal(1), Decimal(2), Decimal(9), Decimal(3))
    for made in (
        orchestrated_side(OUTPUT, lead, DEAR, worker, Shape(), ASSUMED),
        with_workers_side(OUTPUT, base, lead, worker, Shape(), ASSUMED),
    ):
        assert (made.low_usd, made.expected_usd, made.high_usd) == (None, None, None)


def test_a_model_with_tools_may_hand_out_nothing() -> None:
    """Then it costs what it costs without them."""
    base = Side("direct", Decimal("0.001"), Decimal("0.01"), Decimal(9), Decimal("0.02"))
    made = with_workers_side(OUTPUT, base, LEAD, CHEAP, Shape(), ASSUMED)
    assert made.low_usd == base.low_usd
    assert made.expected_usd > base.expected_usd * Decimal("0.5")


def test_wrong_assumptions_are_refused() -> None:
    """Three figures, none of them negative."""
    with pytest.raises(ValueError, match="lead_turns must be three numbers"):
        HandedOutShape(lead_turns=(1, 2))
    with pytest.raises(ValueError, match="workers must be three numbers"):
        HandedOutShape(workers=(1, 2, -3))


def pair(*lines) -> dict[str, ScriptedModel]:
    """Return a dear orchestrator that says *lines*, and a cheap worker."""
    return {
        "smart_model": ScriptedModel("boss", list(lines), price=DEAR),
        "delegation_model": ScriptedModel("worker", [], price=CHEAP),
    }


def test_assumptions_can_be_given_in_python(tmp_path: Path) -> None:
    """A forecast takes all of them."""
    session = SessionContext.build(tmp_path, "Say what it does", RunOptions(orchestrate=True, **pair()))
    usual = forecast(session, registry=ModelRegistry())
    many = forecast(session, registry=ModelRegistry(), assumed=HandedOutShape(report_tokens=(20, 999, 1_000)))
    assert many.chosen.expected_usd > usual.chosen.expected_usd
    assert usual.is_orchestrated


async def test_a_run_warns_before_a_model_is_asked_and_writes_its_quote_down_once(tmp_path: Path) -> None:
    """A resumed run finds its quote, with other assumptions or not, and does not warn again."""
    models = pair(orchestrated.answer("It does things."))
    boss = models["smart_model"]
    options = RunOptions(orchestrate=True)
    session = SessionContext.build(tmp_path, "Say what it does", options)
    asked: list[int] = []
    last = None
    async for event in Agent(**models, registry=ModelRegistry()).run(session):
        if isinstance(event, Warned) and "times the smart model alone" in event.message:
            asked.append(len(boss.calls))
        last = event
    result = last.result
    assert asked == [0]
    assert result.quote.handed_out.name == "orchestrated"
    again = await Agent(**pair(), registry=ModelRegistry()).resume(result.run_id, workspace=tmp_path)
    assert again.quote == result.quote
    records = list(JournalFiles().read(tmp_path, result.run_id).records())
    assert [one.quote for one in records if isinstance(one, Quoted)] == [result.quote]
