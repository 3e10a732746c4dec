"""Sub-calls that a model makes itself: names, parameters, limits and texts, as they were asked for."""

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.budget.ledger_protocol import Budget
from sunwell.cli.main import cli
from sunwell.config import Sources
from sunwell.config.resolution import resolve
from sunwell.context.options import RunOptions, SubCallLimits
from sunwell.core import Price, Rates, Request, TaskResult, ToolCall, ToolResult, Usage
from sunwell.errors import SubCallBudgetExhausted, SubCallCostExceeded, SubCallDepthExceeded, ToolError
from sunwell.events import BudgetUsedUp, RunFinished, WorkerQueued
from sunwell.journal.layout import list_runs
from sunwell.journal.reading import read_records
from sunwell.journal.records import RunOpened
from sunwell.simulator import Simulator, running_simulator
from sunwell.simulator import echo as simply_echo
from sunwell.testing import ScriptedModel, completion, run_virtual, task_in
from sunwell.tools import tool

SEEDS = Path(__file__).parents[1] / "config" / "seeds"
PRICE = Price(Rates(Decimal(1), Decimal(10)), source="test", date="2026-11-01")
SENTENCE = "Maximum recursion depth reached. Summarize with available context."


@tool(parallel=True, repeatable=True)
async def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


@attrs.define(eq=False)
class Answering:
    """A worker's model that answers each question by a rule, and counts how many it has at once."""

    rule: Callable[[Request], Any]
    seconds: Callable[[str], float] = lambda _: 1.0
    name: str = "worker"
    price: Price | None = PRICE
    asked: list[Request] = attrs.field(factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def complete(self, request: Request) -> Any:
        self.asked.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.seconds(task_in(request)))
        self.at_once -= 1
        said = self.rule(request)
        made = completion(said) if isinstance(said, str) else said
        return attrs.evolve(made, model=self.name)

    def stream(self, request: Request) -> Any:
        raise NotImplementedError


def echo(request: Request) -> str:
    """Answer with the question."""
    return f"about {task_in(request)}"


def called(name: str, **arguments: Any) -> Any:
    """Return an answer that calls one tool."""
    return completion(ToolCall("c1", name, json.dumps(arguments)))


def asked_once(query: str, **more: Any) -> Any:
    """Return a call of ``rlm_sub_complete``."""
    return called(
        "rlm_sub_complete", **{"query": query, "max_tokens": None, "system": None, "tools": None} | more
    )


def asked_all(*queries: Any, **more: Any) -> Any:
    """Return a call of ``rlm_batch_complete``."""
    texts = [{"query": one, "max_tokens": None} if isinstance(one, str) else one for one in queries]
    return called(
        "rlm_batch_complete", **{"queries": texts, "max_parallel": None, "total_budget": None} | more
    )


def ran(
    boss: ScriptedModel, worker: Any, tools: Any = (look,), **config: Any
) -> tuple[TaskResult, list[Any]]:
    """Return the result of a run whose model has the sub-call tools, and its events."""
    settings = LoopConfig(delegation_tools="rlm", **{"max_depth": 3} | config)
    loop = AgentLoop(boss, config=settings, delegation_model=worker)

    async def main() -> list[Any]:
        return [event async for event in loop.run("The task", tools, "Never delete anything.")]

    events = run_virtual(main())
    assert isinstance(events[-1], RunFinished)
    return events[-1].result, events


def told(boss: ScriptedModel, turn: int = 1) -> ToolResult:
    """Return the newest tool result that *boss* was given in a turn."""
    parts = [part for message in boss.calls[turn].messages for part in message.parts]
    return [part for part in parts if isinstance(part, ToolResult)][-1]


def test_a_model_asks_a_fresh_one_and_puts_the_answers_together() -> None:
    """4,000 tokens by default, the parent's tools, a history of its own; the parent has the last word."""
    boss = ScriptedModel("boss", [asked_once("What is a?"), "a is what was said"], PRICE)
    worker = Answering(echo)
    result, _ = ran(boss, worker)
    assert (result.status, result.answer) == ("ok", "a is what was said")
    (request,) = worker.asked
    assert request.max_output_tokens == 4000
    assert request.system[0] == "Never delete anything."
    assert len(request.messages) == 1
    assert task_in(request) == "What is a?"
    assert [spec.name for spec in request.tools if spec.name == "look"] == ["look"]
    assert "about What is a?" in told(boss).content
    offered = {spec.name for spec in boss.calls[0].tools}
    assert offered == {"rlm_sub_complete", "rlm_batch_complete", "inspect", "look"}


def test_the_parameters_are_those_that_were_asked_for() -> None:
    """Names, and which of them may be left to a default."""
    boss = ScriptedModel("boss", ["Done."], PRICE)
    ran(boss, Answering(echo))
    specs = {spec.name: spec.parameters["properties"] for spec in boss.calls[0].tools}
    one, many = specs["rlm_sub_complete"], specs["rlm_batch_complete"]
    assert one["query"]["type"] == "string"
    assert {name for name in one if '"null"' in json.dumps(one[name])} == {"max_tokens", "system", "tools"}
    assert "4000" in one["max_tokens"]["description"]
    assert {"query", "max_tokens"} <= set(many["queries"]["items"]["properties"])
    assert "3" in many["max_parallel"]["description"]
    assert "8000" in many["total_budget"]["description"]


def test_limit_system_and_tools_of_a_sub_call_are_its_own() -> None:
    """The limit is really sent, the system prompt stands after the parent's, other tools are refused."""

    def rule(request: Request) -> Any:
        if len(request.messages) == 1:
            return called("look", place="here")
        return str(request.messages[-1].parts[0].content)  # type: ignore[union-attr]

    boss = ScriptedModel(
        "boss", [asked_once("Look", max_tokens=900, system="Be brief.", tools=[]), "Done."], PRICE
    )
    worker = Answering(rule)
    ran(boss, worker)
    assert worker.asked[0].max_output_tokens == 900
    (first, *_, last) = worker.asked[0].system
    assert (first, last) == ("Never delete anything.", "Be brief.")
    assert "nothing at here" not in told(boss).content
    assert "no tool" in told(boss).content


def test_a_sub_call_may_use_the_tools_of_its_parent() -> None:
    """It looks something up by itself before it answers."""

    def rule(request: Request) -> Any:
        return called("look", place="the shelf") if len(request.messages) == 1 else "It is empty."

    boss = ScriptedModel("boss", [asked_once("What is on the shelf?"), "Nothing."], PRICE)
    result, _ = ran(boss, Answering(rule))
    assert dict(result.tools_called) == {"look": 1, "rlm_sub_complete": 1}


def test_the_answers_of_a_batch_stand_in_the_order_of_the_questions() -> None:
    """Each under its own heading, apart by a rule, whoever was first; two share 8,000 tokens evenly."""
    boss = ScriptedModel("boss", [asked_all("slow", "quick"), "Done."], PRICE)
    worker = Answering(echo, lambda text: 9.0 if text == "slow" else 1.0)
    ran(boss, worker)
    first, rule, second = told(boss).content.partition("\n\n---\n\n")
    assert first.startswith("## Result for: slow\n")
    assert (rule, second.partition("\n")[0]) == ("\n\n---\n\n", "## Result for: quick")
    assert "about slow" in first
    assert "about quick" in second
    assert [request.max_output_tokens for request in worker.asked] == [4000, 4000]


def test_a_question_of_a_batch_gets_no_more_than_its_even_share() -> None:
    """9,000 for three are 3,000 each; who asks for less gets less."""
    queries = [{"query": text, "max_tokens": most} for text, most in (("a", 100), ("b", 5000), ("c", None))]
    boss = ScriptedModel("boss", [asked_all(*queries, total_budget=9000), "Done."], PRICE)
    worker = Answering(echo)
    ran(boss, worker)
    sent = {task_in(request): request.max_output_tokens for request in worker.asked}
    assert sent == {"a": 100, "b": 3000, "c": 3000}


@pytest.mark.parametrize(("given", "most"), [(None, 3), (2, 2), (5, 4)], ids=["default", "two", "the-tree's"])
def test_so_many_questions_of_a_batch_are_asked_at_once(given: int | None, most: int) -> None:
    """Three unless it says otherwise, and never more than the whole tree may have."""
    boss = ScriptedModel("boss", [asked_all(*"abcde", max_parallel=given), "Done."], PRICE)
    worker = Answering(echo)
    ran(boss, worker)
    assert (worker.most_at_once, len(worker.asked)) == (most, 5)


def test_the_limits_have_the_defaults_that_were_asked_for() -> None:
    """Depth 3, five in a turn, 50,000 tokens, a dollar, half of what is left."""
    limits = SubCallLimits()
    assert (limits.max_depth, limits.max_sub_calls_per_turn, limits.max_total_tokens) == (3, 5, 50_000)
    assert (limits.max_cost_per_session, limits.budget_inheritance) == (1, 0.5)
    assert LoopConfig().sub_call_limits == RunOptions().sub_call_limits == limits


def test_a_turn_may_make_five_sub_calls() -> None:
    """The sixth is a tool's error that says so; nothing is asked, and the run goes on."""
    boss = ScriptedModel("boss", [asked_all(*"abcdef"), asked_all(*"abcde"), "Done."], PRICE)
    worker = Answering(echo)
    result, _ = ran(boss, worker)
    assert told(boss).is_error
    assert "5 sub-calls" in told(boss).content
    assert not told(boss, 2).is_error
    assert (result.status, len(worker.asked)) == ("ok", 5)


def spending(request: Request) -> Any:
    """Answer with a bill of 1,500 tokens, eleven thousandths of a dollar."""
    return completion("Much.", usage=Usage(500, 1000))


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        pytest.param({"sub_calls_max_total_tokens": 0}, "tokens", id="tokens"),
        pytest.param({"sub_calls_max_cost_per_session": 0}, "cost", id="dollars"),
    ],
)
def test_where_nothing_is_left_a_sub_call_is_an_error_of_the_tool(limits: dict[str, Any], word: str) -> None:
    """Nobody is asked, and the parent itself goes on."""
    boss = ScriptedModel("boss", [asked_once("a"), "Done."], PRICE)
    worker = Answering(echo)
    result, _ = ran(boss, worker, **limits)
    assert told(boss).is_error
    assert f"sub-calls have {'used' if word == 'tokens' else 'cost'}" in told(boss).content
    assert (result.answer, worker.asked) == ("Done.", [])


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param({"sub_calls_max_total_tokens": 20_000}, id="tokens"),
        pytest.param({"sub_calls_max_cost_per_session": Decimal("0.10")}, id="dollars"),
    ],
)
def test_all_sub_calls_share_a_ceiling_of_tokens_and_one_of_dollars(limits: dict[str, Any]) -> None:
    """Asked for again and again they stay below it, and who finds no room is told of as failed."""
    asking = [asked_once("again", max_tokens=1000) for _ in range(20)]
    boss = ScriptedModel("boss", [*asking, "Done."], PRICE)
    worker = Answering(spending)
    result, _ = ran(boss, worker, **limits)
    below = dict(result.bill.split("depth"))[1]
    assert below.calls == len(worker.asked) >= 2
    assert below.usage.output_tokens <= limits.get("sub_calls_max_total_tokens", 50_000)
    assert below.cost_usd is not None
    assert below.cost_usd <= limits.get("sub_calls_max_cost_per_session", 1)
    assert told(boss, 20).is_error
    assert result.answer == "Done."


def test_one_sub_call_may_take_half_of_what_is_left() -> None:
    """Its own ceiling, below the parent's, is the half; it ends there, and the parent goes on."""

    def endless(request: Request) -> Any:
        if request.tool_choice == "none":
            return completion("Half-way.", usage=Usage(300, 20))
        return attrs.evolve(called("look", place="on"), usage=Usage(1500, 100))

    boss = ScriptedModel("boss", [asked_once("Look for ever", max_tokens=200), "I go on."], PRICE)
    result, events = ran(boss, Answering(endless), budget=Budget(tokens=40_000))
    (met,) = [event for event in events if isinstance(event, BudgetUsedUp)]
    assert met.account == met.span != "run"
    assert 10_000 < met.ceiling <= 20_000
    assert "budget_tokens" in told(boss).content
    assert (result.status, result.answer) == ("ok", "I go on.")


def test_at_the_greatest_depth_a_sub_call_is_told_to_summarise() -> None:
    """No exception: a sentence for the model, which then answers with what it has."""

    def deeper(request: Request) -> Any:
        if len(request.messages) > 1:
            part = request.messages[-1].parts[0]
            return str(part.content)  # type: ignore[union-attr]
        return asked_once("deeper still")

    boss = ScriptedModel("boss", [asked_once("go"), "Done."], PRICE)
    worker = Answering(deeper)
    limits: dict[str, Any] = dict.fromkeys(("sub_calls_max_total_tokens", "sub_calls_max_cost_per_session"))
    _, events = ran(boss, worker, max_depth=9, **limits)
    assert max(event.depth for event in events if isinstance(event, WorkerQueued)) == 3
    assert SENTENCE in told(boss).content


def test_the_limits_are_errors_of_a_tool() -> None:
    """Each has a class of its own, and its sentence goes to the model."""
    for kind in (SubCallBudgetExhausted, SubCallCostExceeded, SubCallDepthExceeded):
        assert issubclass(kind, ToolError)
    assert str(SubCallDepthExceeded()) == SENTENCE


def test_the_sources_own_configuration_is_what_a_run_gets(tmp_path: Path) -> None:
    """Each of its keys reaches the options that the tools go by."""
    environ = {"SUNWELL_HOME": str(tmp_path), "OPENAI_API_KEY": "key"}
    options = resolve(Sources(tmp_path, SEEDS / "002.toml", environ, trust_config=True).load().values).options
    limits = options.sub_call_limits
    assert (options.delegation_tools, options.max_depth, options.budget.tokens) == ("rlm", 3, 50_000)
    assert (limits.max_sub_calls_per_turn, limits.budget_inheritance) == (5, 0.5)
    assert limits.max_cost_per_session == Decimal("1.0")
    file = tmp_path / "off.toml"
    file.write_text(
        "[rlm]\nmax_depth = 2\n[rlm.sub_calls]\nenabled = false\nmax_per_turn = 2\n"
        "budget_inheritance = 0.25\nmax_cost_per_session = 0.3\n"
    )
    off = resolve(Sources(tmp_path, file, environ, trust_config=True).load().values).options
    other = off.sub_call_limits
    assert (off.delegation_tools, off.max_depth, other.max_sub_calls_per_turn) == (None, 2, 2)
    assert (other.budget_inheritance, other.max_cost_per_session) == (0.25, Decimal("0.3"))


@pytest.mark.parametrize(
    ("words", "variables", "kind", "most"),
    [
        pytest.param((), {}, None, 5, id="off-by-default"),
        pytest.param(("--sub-calls",), {}, "rlm", 5, id="option"),
        pytest.param(("--sub-calls", "--max-sub-calls", "2"), {}, "rlm", 2, id="most"),
        pytest.param((), {"RLM_SUB_CALLS_ENABLED": "true"}, "rlm", 5, id="variable"),
        pytest.param(("--no-sub-calls",), {"RLM_SUB_CALLS_ENABLED": "true"}, None, 5, id="option-first"),
        pytest.param(
            ("--sub-calls",), {"RLM_SUB_CALLS_MAX_PER_TURN": "3"}, "rlm", 3, id="variable-for-the-most"
        ),
    ],
)
def test_sub_calls_are_switched_on_by_option_or_variable(
    tmp_path: Path, words: tuple[str, ...], variables: dict[str, str], kind: str | None, most: int
) -> None:
    """The record of the run says what holds; an option goes before a variable."""
    with running_simulator(Simulator({"claude-haiku-5-5": simply_echo})) as simulator:
        env = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "key", **variables}
        typed = ["run", "Say hello", "-m", "haiku", "-w", str(tmp_path), *words]
        assert CliRunner(env=env).invoke(cli, typed).exit_code == 0
    (run,) = list_runs(tmp_path)
    opened = next(iter(read_records(run.path)))
    assert isinstance(opened, RunOpened)
    chosen = opened.settings["options"]
    assert chosen["delegation_tools"] == kind
    assert chosen["sub_calls_max_per_turn"] == most


def test_the_variables_of_sub_calls_reach_the_limits(tmp_path: Path) -> None:
    """Share and dollars have variables of their own, too."""
    environ = {
        "SUNWELL_HOME": str(tmp_path),
        "RLM_SUB_CALLS_BUDGET_INHERITANCE": "0.25",
        "RLM_SUB_CALLS_MAX_COST_PER_SESSION": "0.3",
    }
    limits = resolve(Sources(tmp_path, None, environ).load().values, environ).options.sub_call_limits
    assert (limits.budget_inheritance, limits.max_cost_per_session) == (0.25, Decimal("0.3"))
