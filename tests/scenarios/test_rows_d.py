"""A subagent with a model of its own: rows of the decision on providers that no room's tests hold."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sunwell.agent import Agent
from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.agent.request import RunOptions
from sunwell.config import Sources
from sunwell.config.resolution import Resolved, resolve
from sunwell.context.session import SessionContext
from sunwell.core.message import ToolCall, ToolResult, user
from sunwell.core.model import Request
from sunwell.errors import ConfigurationError, MissingKeyError
from sunwell.models.connection import client_for
from sunwell.simulator import ModelPrice, ModelRates, Simulator, echo, running_simulator
from sunwell.simulator.scripts import DEMO_MODELS
from sunwell.testing import ScriptedModel, completion, task_in

_PRICES = {name: ModelPrice(ModelRates(1, 2)) for name in ("deep", "plain")}
KEYS = {"ANTHROPIC_API_KEY": "sk-a", "OPENAI_API_KEY": "sk-o", "XAI_API_KEY": "xai-k"}


def resolved(folder: Path, text: str, **keys: str) -> Resolved:
    """Return what a configuration of the user's own means."""
    file = folder / "config.yaml"
    file.write_text(text)
    environ = {"SUNWELL_HOME": str(folder / "home")}
    return resolve(Sources(folder, file, environ, trust_config=True).load().values, keys or KEYS)


def model(made: Resolved, role: str) -> Any:
    """Return the model of a role."""
    return made.registry.get(made.names[role])


def test_an_unknown_provider_is_named(tmp_path: Path) -> None:
    """It is refused by its name before anything is asked, with what is known."""
    with pytest.raises(ConfigurationError, match=r"unsupported provider: nosuch; known: .*anthropic"):
        resolved(tmp_path, "provider: nosuch\nmodel: m\n")


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        pytest.param("provider: openai\nmodel: gpt-4o\n", "OPENAI_API_KEY", id="openai"),
        pytest.param("provider: anthropic\nmodel: claude-sonnet-4\n", "ANTHROPIC_API_KEY", id="anthropic"),
        pytest.param("model: opus\nsubagent: {provider: xai, model: grok-3}\n", "XAI_API_KEY", id="subagent"),
    ],
)
def test_each_provider_needs_its_own_key(tmp_path: Path, text: str, variable: str) -> None:
    """The sentence names the environment variable; keys of others do not count."""
    keys = {name: key for name, key in KEYS.items() if name != variable}
    made = resolved(tmp_path, text, **keys)
    with pytest.raises(MissingKeyError, match=f"environment variable {variable}"):
        model(made, "delegation_model" if "subagent" in text else "model")


def test_empty_values_of_a_subagent_override_nothing(tmp_path: Path) -> None:
    """An empty text and a zero are "not set": what is left is what is there without them."""
    empty = "subagent: {provider: '', model: '', max_tokens: 0, thinking_budget: 0, reasoning_effort: ''}\n"
    parent = "provider: anthropic\nmodel: claude-sonnet-4\n"
    assert resolved(tmp_path, parent + empty).names == resolved(tmp_path, parent).names


SUBAGENTS = [
    pytest.param("{model: gpt-4o-mini}", True, id="another-model"),
    pytest.param("{provider: openai, model: gpt-4o-mini}", True, id="same-provider-named"),
    pytest.param("{model: m, openai: {base_url: 'https://lab.test/v1'}}", False, id="another-address"),
    pytest.param("{model: grok-3, openai: {preset: grok}}", False, id="another-preset"),
    pytest.param("{provider: anthropic, model: claude-haiku-4-5}", False, id="another-provider"),
]


@pytest.mark.parametrize(("subagent", "shared"), SUBAGENTS)
async def test_a_client_is_shared_exactly_where_the_connection_is(
    tmp_path: Path, subagent: str, shared: bool
) -> None:
    """The same provider, address and key have one client; any other has its own."""
    made = resolved(tmp_path, f"provider: openai\nmodel: gpt-4o\nsubagent: {subagent}\n")
    parent, child = model(made, "model").connection, model(made, "delegation_model").connection
    assert (parent == child) is shared
    assert parent.api_key == "sk-o"
    if child.api_key is not None:
        kind = "anthropic" if child.provider == "anthropic" else "openai"
        assert (await client_for("openai", parent) is await client_for(kind, child)) is shared


def test_prices_of_a_subagent_stand_for_single_tokens(tmp_path: Path) -> None:
    """Input, cached input, output and window, each as written."""
    made = resolved(
        tmp_path,
        "model: opus\nsubagent:\n  provider: openai\n  model: own\n  openai:\n"
        "    base_url: 'https://lab.test/v1'\n    pricing:\n      own:\n"
        "        {input: 0.00005, cached_input: 0.000005, output: 0.00015, context_window: 64000}\n",
    )
    price = made.prices.price(model(made, "delegation_model"))
    assert price is not None
    assert (price.rates.input_usd, price.rates.cache_read_usd, price.rates.output_usd) == (50, 5, 150)
    assert price.context_window == 64_000


async def test_models_that_do_not_reason_are_asked_without_effort(tmp_path: Path) -> None:
    """The two lists of a provider say which of its models take an effort."""
    with running_simulator(Simulator({"deep": echo, "plain": echo}, prices=_PRICES)) as simulator:
        for name in ("deep", "plain"):
            made = resolved(
                tmp_path,
                f"model: opus\nsubagent:\n  provider: openai\n  model: {name}\n  reasoning_effort: high\n"
                f"  openai:\n    base_url: {simulator.openai_url}\n    api_key_env: OPENAI_API_KEY\n"
                "    models: {reasoning: [deep], non_reasoning: [plain]}\n",
            )
            await model(made, "delegation_model").complete(Request([user("Hi")], max_output_tokens=9))
        assert ["reasoning_effort" in request.body for request in simulator.requests] == [True, False]


async def test_providers_of_one_run_are_billed_apart(tmp_path: Path) -> None:
    """A lens from one provider and the work from another: each at its own price, in one bill."""
    with running_simulator(Simulator(DEMO_MODELS)) as simulator:
        made = resolved(
            tmp_path,
            "smart_model: opus\nprovider: anthropic\nmodel: claude-opus-5-5\n"
            f"providers:\n  anthropic: {{base_url: '{simulator.url}', api_key_env: ANTHROPIC_API_KEY}}\n"
            f"  openai: {{base_url: '{simulator.openai_url}', api_key_env: OPENAI_API_KEY}}\n"
            "subagent: {provider: openai, model: gpt-6-luna}\n",
        )
        agent = Agent(registry=made.registry, prices=made.prices)
        task = "Generate CRUD endpoints for 5 entities"
        session = SessionContext.build(tmp_path, task, options=made.options)
        result = await agent.result(session)
        parts = dict(result.bill.split("provider"))
        assert set(parts) == {"anthropic", "openai"}
        billed = {name: total.usd for name, total in simulator.bill.by_model().items()}
        assert parts["anthropic"].cost_usd == billed["claude-opus-5-5"]
        assert parts["openai"].cost_usd == billed["gpt-6-luna"]
        assert result.bill.cost_usd == sum(billed.values(), Decimal(0))


def test_a_worker_cannot_be_told_which_model_to_use() -> None:
    """Neither options of a task nor tools of the house have a model in them: only the caller names one."""
    from sunwell.core.task import Task
    from sunwell.tools import Toolbox

    with pytest.raises(TypeError, match="model"):
        Task("Do it", model="opus")  # type: ignore[call-arg]
    for spec in Toolbox().specs():
        assert not {"model", "provider", "profile"} & set(spec.parameters["properties"]), spec.name
    assert RunOptions().delegation_model is None


def asking(arguments: str) -> Any:
    """Return an answer that calls ``subagent`` with these arguments."""
    return completion(ToolCall("c1", "subagent", arguments))


async def answered(*lines: Any, **options: Any) -> tuple[ScriptedModel, ScriptedModel, str]:
    """Return parent and child of a run with the tool, and what the first call gave the parent."""
    parent, child = ScriptedModel("parent", lines), ScriptedModel("child", ["In auth.py."])
    config = LoopConfig(delegation_tools="subagent", **options)
    loop = AgentLoop(parent, config=config, delegation_model=child)
    async for _ in loop.run("Find out", ()):
        pass
    parts = [part for message in parent.calls[1].messages for part in message.parts]
    (given,) = [part for part in parts if isinstance(part, ToolResult)]
    assert given.is_error is (child.calls == [])
    return parent, child, given.content


async def test_a_subagents_answer_comes_back_with_its_question() -> None:
    """It is asked once, on the model that was configured for it."""
    _, child, given = await answered(asking('{"question": "Where are tokens checked?"}'), "Done.")
    assert task_in(child.calls[0]) == "Where are tokens checked?"
    assert "Where are tokens checked?" in given
    assert "In auth.py." in given


@pytest.mark.parametrize(
    ("arguments", "word"),
    [('{"question": "Wh', "JSON"), ("{}", "question"), ('{"question": " "}', "empty")],
    ids=["no-json", "no-question", "empty"],
)
async def test_a_malformed_question_is_an_error_of_the_tool(arguments: str, word: str) -> None:
    """The model is told what is wrong, and nobody is asked."""
    assert word in (await answered(asking(arguments), "Done."))[2]


async def test_a_subagent_that_may_not_be_asked_is_an_error_of_the_tool() -> None:
    """The run goes on, and the model can answer by itself."""
    arguments = '{"question": "Where are tokens checked?"}'
    assert "recursion depth" in (await answered(asking(arguments), "Done.", max_depth=0))[2]
