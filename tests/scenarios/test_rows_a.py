"""One model thinks and another does the work: rows of the plan for two models that cross the rooms."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from sunwell.agent import Agent
from sunwell.agent.lifecycle.model_roles import Choices, resolve_roles
from sunwell.agent.request import RunOptions
from sunwell.cli.main import cli
from sunwell.config import load_config
from sunwell.config.shape import leaves
from sunwell.core.model import Request, Usage
from sunwell.core.price import Price, Rates
from sunwell.core.task import TaskResult
from sunwell.journal.layout import list_runs
from sunwell.journal.reading import read_records
from sunwell.journal.records import RunOpened
from sunwell.journal.tree import Node, tree
from sunwell.models.prices import PriceBook
from sunwell.models.providers import Environment
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Simulator, echo, running_simulator
from sunwell.testing import ScriptedModel, completion, task_in

LENS = '{"task_scope": "CRUD", "heuristics": ["Models first."]}'
RATES = {
    "opus-1": Price(Rates(Decimal(5), Decimal(25)), date="2026-11"),
    "haiku-1": Price(Rates(Decimal(1), Decimal(5)), date="2026-11"),
}
MILLION = completion("Done.", usage=Usage(1_000_000, 100_000))


def model(name: str, *lines: Any) -> ScriptedModel:
    """Return a model that says *lines* at its own rates."""
    return ScriptedModel(name, lines, RATES.get(name))


async def batch_of(agent: Agent, folder: Path, tasks: Sequence[str], **options: Any) -> TaskResult:
    """Return the result of a batch as a whole."""
    done = await agent.batch(tasks, workspace=folder, options=RunOptions(**options))
    return done.run


def workers_in(result: TaskResult) -> tuple[Node, list[Node]]:
    """Return the root of the run's trace, and its workers."""
    root = tree(read_records(Path(str(result.journal))))
    return root, [node for node in root.walk() if node.type == "sub_completion"]


async def test_children_run_on_the_child_model_and_the_parent_on_its_own(tmp_path: Path) -> None:
    """The trace names the model of each depth, and each is booked at its own rates."""
    opus, haiku = model("opus-1", completion(LENS, usage=Usage(200_000, 0))), model("haiku-1", *[MILLION] * 3)
    agent = Agent(model=opus, delegation_model=haiku)
    result = await batch_of(agent, tmp_path, ["a", "b", "c"], enable_delegation=True)
    root, workers = workers_in(result)
    assert (root.depth, root.children[0].model) == (0, "opus-1")
    assert [(node.depth, node.model, node.status) for node in workers] == [(1, "haiku-1", "ok")] * 3
    assert [node.total_cost_usd for node in workers] == [1.5] * 3
    assert root.total_cost_usd == result.bill.cost_usd == 1 + 3 * 1.5
    assert [total.cost_usd for _, total in result.bill.split("depth")] == [1, 4.5]


async def test_without_a_child_model_children_run_on_the_parents(tmp_path: Path) -> None:
    """Nothing changes for who names one model."""
    opus = model("opus-1", MILLION, MILLION)
    result = await batch_of(Agent(model=opus), tmp_path, ["a", "b"])
    assert {node.model for node in workers_in(result)[1]} == {"opus-1"}
    opus.assert_finished()


async def test_a_child_has_a_conversation_of_its_own_under_the_parents_instructions(tmp_path: Path) -> None:
    """It sees the caller's system prompt, its own task, and nothing that was said elsewhere."""
    seen: list[Request] = []

    def said(request: Request) -> str:
        seen.append(request)
        return f"secret of {task_in(request)}"

    await batch_of(
        Agent(model=model("haiku-1", said, said)),
        tmp_path,
        ["a", "b"],
        system_prompt="Never delete anything.",
        max_concurrent=1,
    )
    assert [(request.system[0], len(request.messages)) for request in seen] == [
        ("Never delete anything.", 1),
        ("Never delete anything.", 1),
    ]
    assert [task_in(request) for request in seen] == ["a", "b"]


def test_nobody_named_means_the_default_smart_model() -> None:
    """The loop's own model is then the smart one of the alias table."""
    registry = ModelRegistry(Environment({"ANTHROPIC_API_KEY": "key"}))
    roles = resolve_roles(Choices(), Choices(), registry)
    assert (roles.own.name, roles.smart, roles.worker) == ("claude-opus-5-5", None, None)


@pytest.mark.parametrize("name", ["claude-opus-4-6", "claude-opus-4.6"])
def test_the_plans_model_has_the_plans_price(name: str) -> None:
    """5 dollars in and 25 out for a million tokens, with a hyphen or a dot."""
    price = PriceBook().price_of(name, "anthropic")
    assert price is not None
    assert (price.rates.input_usd, price.rates.output_usd) == (5, 25)


def test_nothing_sets_a_temperature() -> None:
    """Neither a request nor a setting has one: the provider's default holds."""
    names = [field.name for field in (*attrs.fields(Request), *attrs.fields(RunOptions))]
    names += [part for path, _ in leaves() for part in path]
    assert not [name for name in names if "temperature" in name]


def test_a_configuration_is_a_value(tmp_path: Path) -> None:
    """A changed copy leaves the original as it was, and nothing in it can be set."""
    first = load_config(workspace=tmp_path, environ={"SUNWELL_HOME": str(tmp_path)})
    other = attrs.evolve(first, run=attrs.evolve(first.run, effort="high"))
    assert (first.run.effort, other.run.effort) == (None, "high")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        first.run = other.run  # type: ignore[misc]


def test_the_depth_that_is_typed_is_the_runs(tmp_path: Path) -> None:
    """``--max-depth`` stands in the record of the run; without it the depth is 1."""
    with running_simulator(Simulator({"claude-haiku-5-5": echo})) as simulator:
        env = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "key"}
        for typed in ((), ("--max-depth", "2")):
            words = ["run", "Say hello", "-m", "haiku", "--sub-calls", "-w", str(tmp_path), *typed]
            assert CliRunner(env=env).invoke(cli, words).exit_code == 0
    first = [next(iter(read_records(run.path))) for run in list_runs(tmp_path)]
    assert [record.settings["options"]["max_depth"] for record in first if isinstance(record, RunOpened)] == [
        1,
        2,
    ]


def test_the_variables_of_the_plan_choose_models_and_manner(tmp_path: Path) -> None:
    """Model, child model and verbosity of a question come from them alone; of Nix it is said what holds."""
    with running_simulator(Simulator({"claude-opus-5-5": echo})) as simulator:
        env = {
            "ANTHROPIC_BASE_URL": simulator.url,
            "ANTHROPIC_API_KEY": "key",
            "RLM_MODEL": "opus",
            "RLM_CHILD_MODEL": "haiku",
            "RLM_VERBOSE": "true",
            "RLM_USE_NIX": "true",
        }
        done = CliRunner(env=env).invoke(
            cli, ["run", "-q", "What is it?", "--sub-calls", "-w", str(tmp_path)]
        )
    assert done.exit_code == 0
    lines = done.stderr.splitlines()
    assert "Model: claude-opus-5-5" in lines
    assert "Child model: claude-haiku-5-5" in lines
    assert any("use_nix is not carried over" in line for line in lines)
