"""``sunwell doctor``: what each configured model can do, and what finding that out cost."""

import json
import re
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from sunwell.core.message import Text, ToolCall
from sunwell.simulator import Asked, Reply, Simulator, minimal, running_simulator
from sunwell.simulator.scripts import DEMO_MODELS


def obedient(asked: Asked) -> Reply:
    """A model that does what it is asked."""
    if asked.schema is not None:
        return Reply((Text(json.dumps(minimal(asked.schema))),))
    last = asked.messages[-1]
    if asked.tools and "Call the tool" in last.text:
        return Reply((ToolCall("", "look_up", '{"key": "alpha"}'),))
    return Reply((Text(last.text or "seventeen"),))


@pytest.fixture
def simulator():
    """A provider whose cheap model is obedient, and whose smart one says nothing of use."""
    scripts = {"claude-haiku-5-5": obedient, "claude-opus-5-5": lambda asked: Reply((Text("…"),))}
    with running_simulator(Simulator(scripts)) as running:
        yield running


def test_a_sound_model_passes(sunwell, tmp_path, simulator):
    """A line for each thing, and the cost to the last digit."""
    done = sunwell("doctor", "-w", tmp_path, "--model", "haiku", "--suite", "--json")
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)["models"]
    assert told["passes"] is True
    assert Decimal(told["cost_usd"]) == simulator.bill.total_usd()
    assert {check["verdict"] for check in told["checks"]} == {"yes"}


def test_a_model_that_cannot_is_named(sunwell, tmp_path):
    """Exit code 1, and the reason for people to read."""
    done = sunwell("doctor", "-w", tmp_path, "--model", "opus", "--delegation-model", "xai/grok-3")
    assert done.exit_code == 1
    assert "– calls tools: no tool was called" in done.stdout
    assert "✗ xai needs a key: set the environment variable XAI_API_KEY" in done.stdout


def test_people_read_what_it_came_to(sunwell, tmp_path, simulator):
    """Tokens and dollars of each model, what is optional, and whether all that is needed is there."""
    told = sunwell("doctor", "-w", tmp_path, "--model", "haiku").stdout.splitlines()
    assert re.fullmatch(r"  \d+ calls, [\d,]+ tokens reported, \$0\.\d+", told[-3])
    assert told[-1] == "everything that Sunwell needs works"
    told = sunwell("doctor", "-w", tmp_path, "--model", "opus").stdout
    assert told.splitlines()[-1] == "something that Sunwell needs does not work: opus"


def test_a_server_without_a_price_costs_nobody_knows_what(sunwell, keys, tmp_path, simulator):
    """Any server can be examined by its address alone; nothing is called free that has no price."""
    env = {"LAB_BASE_URL": simulator.openai_url}
    told = sunwell("doctor", "-w", tmp_path, "--model", "lab/nothing-like-it", env=env).stdout
    assert "✗ streams: not tried, since no answer comes" in told
    assert "  1 call, 0 tokens reported; the price is unknown, so the cost is unknown" in told
    assert "✗ caches: not tried, since no answer comes (optional)" in told


@pytest.mark.parametrize("model", sorted(DEMO_MODELS))
def test_the_models_of_sunwell_simulate_pass(sunwell, tmp_path, model):
    """Whoever tries the product on its own simulator sees all checks done, the rarer ones, too."""
    with running_simulator(Simulator(DEMO_MODELS)) as running:
        env = {"ANTHROPIC_BASE_URL": running.url, "ANTHROPIC_API_KEY": "x"}
        env |= {"OPENAI_BASE_URL": running.openai_url, "OPENAI_API_KEY": "x"}
        done = sunwell("doctor", "-w", tmp_path, "-m", model, "--suite", "--json", env=env)
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)["models"]
    assert {check["name"]: check["detail"] for check in told["checks"] if check["verdict"] != "yes"} == {}


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        pytest.param(
            "usd = 0.0001", "budget.usd: a cap of $0.0001 holds no answer of a named model", id="dollars"
        ),
        pytest.param("tokens = 20", "budget.tokens: a cap of 20 tokens holds no answer", id="tokens"),
    ],
)
def test_a_cap_that_holds_no_answer_is_told_before_a_run_refuses_it(
    sunwell, tmp_path, simulator, budget, said
):
    """`config check`, `doctor` and `run` judge it alike; nothing is asked for it."""
    (tmp_path / "sunwell.toml").write_text(f"[budget]\n{budget}\n")
    checked = sunwell("config", "check", "-w", tmp_path, "--config", tmp_path / "sunwell.toml")
    assert checked.exit_code == 2
    assert said in " ".join(checked.stdout.split())
    examined = sunwell("doctor", "-w", tmp_path, "--model", "haiku", "--json")
    assert examined.exit_code == 1
    (finding,) = json.loads(examined.stdout)["settings"]
    assert (finding["is_error"], said in finding["sentence"]) == (True, True)
    words = sunwell("doctor", "-w", tmp_path, "--model", "haiku").stdout
    assert said in " ".join(words.split())
    assert words.splitlines()[-1] == "something that Sunwell needs does not work: settings"
    spent = simulator.bill.total_usd()
    refused = sunwell("run", "Say hello.", "-w", tmp_path, "--model", "haiku")
    assert refused.exit_code == 2
    assert "does not hold the first call, and nothing was spent" in " ".join(refused.stderr.split())
    assert simulator.bill.total_usd() == spent


def test_a_cap_that_holds_an_answer_is_no_finding(sunwell, tmp_path, simulator):
    """Whether it holds the first call of a task depends on the task: the run says that."""
    (tmp_path / "sunwell.toml").write_text("[budget]\nusd = 0.01\ntokens = 3000\n")
    examined = sunwell("doctor", "-w", tmp_path, "--model", "haiku", "--json")
    assert (examined.exit_code, json.loads(examined.stdout)["settings"]) == (0, [])


SERVER = Path(__file__).parents[1] / "tools" / "servers" / "everything.py"


def served(folder: Path, tools: str) -> str:
    """Return the settings of a server with *tools* granted, and of one that is not there."""
    return (
        f'[mcp.some]\ncommand = "{sys.executable}"\nargs = ["{SERVER}", "{folder}"]\nsandbox = "off"\n'
        f'tools = {tools}\n[mcp.gone]\ncommand = "no-such-program"\n'
    )


def test_what_each_mcp_server_offers_is_told(sunwell, tmp_path, simulator):
    """Which of it models may call, and why a server cannot be used."""
    pytest.importorskip("mcp")
    config = tmp_path / "servers.toml"
    config.write_text(served(tmp_path, '["add"]'))
    done = sunwell("doctor", "-w", tmp_path, "-m", "haiku", "--config", config, "--trust-config", "--json")
    assert done.exit_code == 1
    some, gone = json.loads(done.stdout)["mcp"]
    assert (some["name"], some["granted"], some["problem"]) == ("some", ["add"], "")
    assert "write_note" in some["offers"]
    assert "the program no-such-program is not found on PATH" in gone["problem"]
    told = sunwell("doctor", "-w", tmp_path, "-m", "haiku", "--config", config, "--trust-config").stdout
    words = " ".join(told.split())
    assert "mcp ✓ some (2026-07-28) offers add, write_note" in words
    assert "models may call: add" in words
    assert told.splitlines()[-1] == "something that Sunwell needs does not work: mcp.gone"


def test_no_server_of_an_untrusted_file_is_started(sunwell, tmp_path, simulator):
    """A project's file starts nothing before the user has trusted it."""
    mark = tmp_path / "started"
    (tmp_path / "sunwell.toml").write_text(
        f'[mcp.evil]\ncommand = "/usr/bin/touch"\nargs = ["{mark}"]\nsandbox = "off"\ntools = ["x"]\n'
    )
    for command in (["doctor"], ["run", "Say hello."]):
        done = sunwell(*command, "-w", tmp_path, "-m", "haiku")
        assert done.exit_code == 2
        assert "mcp.evil.command" in done.stderr
    assert not mark.exists()
