"""What a task would be, before anything is asked."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.agent.prompts import work_prompt
from sunwell.agent.run.decision import (
    Candidates,
    LensOutlook,
    PricedModel,
    decide,
    expected_output,
    quote_once,
)
from sunwell.budget.ledger_protocol import Budget
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.price import DelegationDecision, OutputEstimate, Price, Quote, Rates
from sunwell.errors import ConfigurationError, UnknownModelError
from sunwell.events import RunFinished
from sunwell.models.prices import PriceBook
from sunwell.models.registry import ModelRegistry
from sunwell.report import forecast
from sunwell.testing import ScriptedModel, completion
from sunwell.tools.function_tool import tool

CRUD = "Generate CRUD endpoints for 5 entities"
DEAR, CHEAP = Price(Rates(Decimal(10), Decimal(50))), Price(Rates(Decimal("0.1"), Decimal("0.5")))


def foretold(workspace: Path, registry: ModelRegistry, goal: str = CRUD, **options):
    """Return the forecast for *goal* with the smart model dear and the cheap one cheap."""
    chosen = {
        "smart_model": ScriptedModel("smart", [], price=DEAR),
        "delegation_model": ScriptedModel("cheap", [], price=CHEAP),
        **options,
    }
    return forecast(SessionContext.build(workspace, goal, RunOptions(**chosen)), registry=registry)


def test_the_way_that_is_taken_is_the_decisions(tmp_path: Path, registry: ModelRegistry) -> None:
    """A large task is delegated and quoted so; a small one is not."""
    large = foretold(tmp_path, registry)
    assert large.decision
    assert large.chosen is large.quote.delegated
    assert (large.smart_model, large.own_model, large.delegation_model) == ("smart", "smart", "cheap")
    small = foretold(tmp_path, registry, "Fix a typo in user profiles page")
    assert not small.decision
    assert small.without_lens == "cheap"
    assert small.chosen is small.quote.cheap
    assert small.chosen in small.quote.sides


def test_without_a_delegation_model_there_is_no_cheap_way(tmp_path: Path, registry: ModelRegistry) -> None:
    """The loop's own model alone is one way, and is not shown twice."""
    made = foretold(tmp_path, registry, delegation_model=None)
    assert made.quote.cheap is None
    assert [side.name for side in made.quote.sides] == ["delegated", "direct", "smart-low-effort"]


def test_a_delegation_model_that_is_dearer_does_not_do_what_is_not_delegated(
    tmp_path: Path, registry: ModelRegistry
) -> None:
    """It was named by mistake, and must not get the small tasks besides."""
    dear, cheap = ScriptedModel("dear", [], price=DEAR), ScriptedModel("cheap", [], price=CHEAP)
    made = foretold(
        tmp_path, registry, "Fix a typo in user profiles page", smart_model=cheap, delegation_model=dear
    )
    assert (made.decision.without_lens, made.without_lens) == ("model", "cheap")
    assert made.chosen is made.quote.direct


def test_names_need_no_key(tmp_path: Path, registry: ModelRegistry) -> None:
    """Built-in names are priced without a key; a registered name stands for its own model."""
    registry.register("haiku-at-home", ScriptedModel("home", [], price=CHEAP))
    made = foretold(tmp_path, registry, smart_model="opus", delegation_model="haiku-at-home")
    assert (made.smart_model, made.delegation_model) == ("claude-opus-5-5", "home")
    assert made.quote.delegated.expected_usd is not None
    assert not (tmp_path / ".sunwell").exists()


def test_a_registered_name_goes_before_an_alias(tmp_path: Path, registry: ModelRegistry) -> None:
    """``opus`` is whatever the user made of it, here as in a run."""
    registry.register("opus", ScriptedModel("my-opus", [], price=DEAR))
    assert foretold(tmp_path, registry, smart_model="opus").smart_model == "my-opus"


def test_one_model_does_not_delegate_to_itself(tmp_path: Path, registry: ModelRegistry) -> None:
    """Without a delegation model the reason names what is missing."""
    made = foretold(tmp_path, registry, delegation_model=None)
    assert not made.decision
    assert "name a cheaper delegation model" in made.decision.reason


def test_an_unknown_price_leaves_the_sides_unknown(tmp_path: Path, registry: ModelRegistry) -> None:
    """A side with a model without a price has no figures."""
    made = foretold(tmp_path, registry, delegation_model=ScriptedModel("mystery", []))
    assert made.quote.delegated.expected_usd is None
    assert made.quote.direct.expected_usd is not None


def test_the_budget_counts(tmp_path: Path, registry: ModelRegistry) -> None:
    """A budget that does not hold a lens vetoes delegation."""
    made = foretold(tmp_path, registry, budget=Budget(tokens=500))
    assert not made.decision
    assert made.decision.budget_remaining == 500


def test_a_name_that_means_nothing_is_an_error(tmp_path: Path, registry: ModelRegistry) -> None:
    """It lists what is known."""
    with pytest.raises(UnknownModelError, match="haiku"):
        foretold(tmp_path, registry, smart_model="gigamind")


@tool
def look_up(word: str) -> str:
    """Return what *word* means, from the dictionary of the house."""
    return word


def count_words(text: str) -> int:
    """Count the words of *text*."""
    return len(text.split())


@pytest.mark.parametrize(
    ("options", "own"),
    [
        pytest.param({}, (), id="plain"),
        pytest.param({"budget": Budget(turns=7)}, (), id="turns"),
        pytest.param({"budget": Budget(tokens=300_000)}, (), id="tokens"),
        pytest.param({"max_output_tokens": 900}, (), id="output-tokens"),
        pytest.param({"delegation_threshold_tokens": 100}, (), id="threshold"),
        pytest.param({"system_prompt": "Write as the house does. " * 40}, (), id="system-prompt"),
        pytest.param({"tools": ("read_file", "list_files")}, (), id="tools"),
        pytest.param({"tools": ()}, (), id="no-tools"),
        pytest.param({"tools": (look_up,)}, (), id="tools-of-the-options"),
        pytest.param({}, (count_words,), id="tools-of-the-agent"),
        pytest.param({"tools": ("read_file", look_up)}, (count_words,), id="all-tools"),
        pytest.param({"allow_shell": True, "sandbox": "off"}, (), id="shell"),
        pytest.param({"split": True}, (), id="split"),
        pytest.param({"max_lens_tokens": 300}, (), id="lens-tokens"),
        pytest.param({"estimator": lambda task: 9_000}, (), id="estimator"),
        pytest.param({"delegation_tools": "delegate"}, (), id="delegation-tools"),
    ],
)
async def test_a_run_decides_as_its_forecast(
    tmp_path: Path, options: dict[str, Any], own: tuple[Any, ...], request: pytest.FixtureRequest
) -> None:
    """The run gives the same decision, in the same words and figures, and takes the quote as it is."""
    chosen = {
        "enable_delegation": True,
        "smart_model": ScriptedModel("smart", ["It is there already."], price=CHEAP),
        "delegation_model": ScriptedModel("dear", [], price=DEAR),
        **options,
    }
    goal = f"{CRUD} of {request.node.name}"  # a quote of its own
    session = SessionContext.build(tmp_path, goal, RunOptions(**chosen))
    agent = Agent(tools=own)
    made = forecast(session, equipment=agent.equipment)
    computed = quote_once.cache_info().misses
    result = await agent.result(session)
    assert result.decision == made.decision
    assert "delegating would cost about $" in made.decision.reason
    assert quote_once.cache_info().misses == computed


async def test_the_loop_quotes_with_its_own_limits() -> None:
    """The longest lens that a loop allows bounds the worst case of its quote."""
    smart, dear = (
        ScriptedModel("smart", ["It is there already."], price=CHEAP),
        ScriptedModel("dear", [], price=DEAR),
    )
    config = LoopConfig(enable_delegation=True, max_lens_tokens=300)
    prices = PriceBook()

    events = [event async for event in AgentLoop(smart, None, config, delegation_model=dear).run(CRUD)]
    computed = quote_once.cache_info().misses
    assert isinstance(events[-1], RunFinished)
    made = events[-1].result.decision
    assert made is not None

    def decided(config: LoopConfig) -> tuple[DelegationDecision, Quote]:
        models = [PricedModel.of(model, prices, config) for model in (smart, smart, dear)]
        return decide(
            CRUD,
            expected_output(CRUD, config),
            config,
            Candidates(*models),
            system=(work_prompt(()),),
            lens=LensOutlook(input_tokens=made.lens_input_tokens),
        )

    decision, short = decided(config)
    assert made == attrs.evolve(decision, kind=made.kind)
    assert quote_once.cache_info().misses == computed
    _, long = decided(LoopConfig(max_lens_tokens=3_000))
    assert short.delegated.worst_usd is not None
    assert long.delegated.worst_usd is not None
    assert short.delegated.worst_usd < long.delegated.worst_usd


@pytest.mark.parametrize("budget", [None, "5"], ids=["no-cap", "cap"])
async def test_a_decision_asks_the_callers_estimator_once(tmp_path: Path, budget: str | None) -> None:
    """It may be slow, or give another figure each time; a forecast asks it once, too."""
    asked: list[str] = []

    def estimator(task: str) -> int:
        asked.append(task)
        return 900 * len(asked)

    smart, cheap = (
        ScriptedModel("smart", [], price=DEAR),
        ScriptedModel("cheap", ["It is there already."], price=CHEAP),
    )
    options = RunOptions(
        enable_delegation=True,
        smart_model=smart,
        delegation_model=cheap,
        estimator=estimator,
        budget=Budget(usd=budget),
    )
    session = SessionContext.build(tmp_path, CRUD.replace("endpoints", "words"), options)
    assert forecast(session).decision.estimated_tokens == 900
    result = await Agent().result(session)
    assert len(asked) == 2
    assert result.decision is not None
    assert result.decision.estimated_tokens == 1_800


def test_a_tool_that_nobody_offers_is_an_error(tmp_path: Path, registry: ModelRegistry) -> None:
    """The run would not begin, so there is nothing to forecast."""
    with pytest.raises(ConfigurationError, match="no tool is called 'teleport'"):
        foretold(tmp_path, registry, tools=("teleport",))


def test_the_parent_takes_the_part_of_a_model_that_is_unknown(
    tmp_path: Path, registry: ModelRegistry
) -> None:
    """With the fallback ``parent`` the forecast has the model that the run would have."""
    made = foretold(tmp_path, registry, delegation_model="gigamind", fallback="parent")
    assert made.delegation_model == "smart"
    assert not made.decision


def test_the_estimator_is_replaceable(tmp_path: Path, registry: ModelRegistry) -> None:
    """Any function from a task to a number of tokens decides in its place."""
    made = foretold(tmp_path, registry, estimator=len)
    assert (made.decision.estimated_tokens, bool(made.decision)) == (len(CRUD), False)


def test_an_estimator_may_give_a_range_of_its_own(tmp_path: Path, registry: ModelRegistry) -> None:
    """Its figures are those of the quote; a number alone gets an assumed range."""
    own = OutputEstimate(3_000, 2_900, 3_100, ("two pages: 2 x 1,500 tokens",))
    assert foretold(tmp_path, registry, estimator=lambda task: own).quote.output == own
    assert foretold(tmp_path, registry, estimator=lambda task: 3_000.4).quote.output.high_tokens == 6_000


@pytest.mark.parametrize("wrong", ["many", None, -1, float("nan"), float("inf"), True, (1, 2, 3)])
def test_an_estimator_that_returns_no_number_is_an_error(tmp_path, registry, wrong) -> None:
    """The sentence says what came back and what must."""
    with pytest.raises(ConfigurationError, match="it must return a number of tokens, 0 or more"):
        foretold(tmp_path, registry, estimator=lambda task: wrong)


def test_the_quote_has_the_range_of_the_task(tmp_path: Path, registry: ModelRegistry) -> None:
    """Two hundred descriptions are delegated to the cheap model, and the ends of the quote differ widely."""
    made = foretold(tmp_path, registry, "Write 200 product descriptions")
    assert made.decision
    assert made.quote.output.counted == ("200 product descriptions: 200 x 120 tokens",)
    assert made.chosen.high_usd > 2 * made.chosen.low_usd


@pytest.mark.parametrize("task", ["Say yes", "Say yes to this: " + "words and more words " * 400])
async def test_the_least_cap_of_a_forecast_is_the_one_with_which_a_run_begins(tmp_path, task) -> None:
    """With a cent of a cent less the run is refused, and names the cap that the forecast has named."""
    model = ScriptedModel("m", [completion("Yes.")], DEAR)

    def session(usd: Decimal) -> SessionContext:
        return SessionContext.build(tmp_path, task, RunOptions(model=model, tools=(), budget=Budget(usd=usd)))

    least = forecast(session(Decimal(1))).least_usd
    assert least is not None
    with pytest.raises(ConfigurationError, match=f"--budget-usd {least:f}"):
        await Agent().result(session(least - Decimal("0.000001")))
    assert not model.calls
    assert (await Agent().result(session(least))).status == "ok"


@pytest.mark.parametrize("lines", [0, 100, 10_000])
async def test_the_quote_rests_on_what_the_smart_model_really_reads(tmp_path: Path, lines: int) -> None:
    """The size of the request for the lens, to the token: the same in forecast, decision and call."""
    (tmp_path / "entities.py").write_text("".join(f"entity_{n} = {n}\n" for n in range(lines)))
    smart = ScriptedModel("smart", ["no lens"] * 2 + ["It is there already."], price=DEAR)
    options = RunOptions(
        smart_model=smart,
        delegation_model=ScriptedModel("cheap", ["It is there already."], price=CHEAP),
        enable_delegation=True,
        scout=False,
    )
    session = SessionContext.build(tmp_path, CRUD, options)
    made = forecast(session)
    result = await Agent().result(session)
    read = -(-smart.calls[0].size_bytes // 4)
    assert (made.decision.lens_input_tokens, result.decision.lens_input_tokens) == (read, read)
    assert any(f"The lens takes {read:,} tokens to read" in said for said in made.quote.assumptions)


async def test_the_quote_says_what_looking_would_cost(tmp_path: Path) -> None:
    """If what is shown is not enough, expected and worst cost of the lens are higher, and a line says why."""
    (tmp_path / "entities.py").write_text("".join(f"entity_{n} = {n}\n" for n in range(10_000)))

    def made_with(**more: object) -> Any:
        models = {"smart_model": ScriptedModel("smart", [], price=DEAR)}
        models["delegation_model"] = ScriptedModel("cheap", [], price=CHEAP)
        return forecast(SessionContext.build(tmp_path, CRUD, RunOptions(**models, **more)))  # type: ignore[arg-type]

    scouted, plain = made_with(), made_with(scout=False)
    assert (scouted.decision.scout_turns, plain.decision.scout_turns) == (3, 0)
    for figure in ("expected_usd", "worst_usd"):
        assert getattr(scouted.quote.delegated, figure) > getattr(plain.quote.delegated, figure)
    assert scouted.quote.delegated.low_usd == plain.quote.delegated.low_usd
    said = "it looks for itself first, in 2 turns and at most 3"
    assert [said in " ".join(each.quote.assumptions) for each in (scouted, plain)] == [True, False]


async def test_what_is_not_delegated_reads_no_workspace(tmp_path: Path) -> None:
    """A small task gives the same decision with and without a size, and nothing is measured."""
    options = RunOptions(
        smart_model=ScriptedModel("smart", [], price=DEAR),
        delegation_model=ScriptedModel("cheap", ["It is there already."], price=CHEAP),
        enable_delegation=True,
    )
    session = SessionContext.build(tmp_path, "Fix a typo in user profiles page", options)
    result = await Agent().result(session)
    assert result.decision == forecast(session).decision
    assert result.decision.lens_input_tokens is None
