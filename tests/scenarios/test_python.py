"""A sub-call that runs Python: from the command line in each wire format, and cut off at each record."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sunwell.agent import Agent
from sunwell.cli.main import cli
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import Text, ToolCall
from sunwell.core.task import TaskResult
from sunwell.journal.layout import list_runs
from sunwell.journal.ownership import adopt
from sunwell.journal.places import JournalFiles
from sunwell.journal.records import Answer, ToolFinished
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, InProcessModel, Reply, Simulator, running_simulator
from sunwell.simulator.scripts.conversation_state import ScriptedConversation

CODE = "print(sum(int(n) for n in read_file('numbers.txt').split()), 'in all')"
QUERY = {"query": "What is the sum?", "max_tokens": None, "system": None, "tools": None}


def primary(asked: Asked) -> Reply:
    """Ask one sub-call, and answer with what it said."""
    talk = ScriptedConversation.of(asked)
    if not talk.attempts:
        return Reply((ToolCall("c1", "rlm_sub_complete", json.dumps(QUERY)),))
    return Reply((Text(f"They said: {talk.results()}"),))


def sub_call(asked: Asked) -> Reply:
    """Run a script, and answer with what it printed."""
    talk = ScriptedConversation.of(asked)
    if not talk.attempts:
        return Reply((ToolCall("c1", "execute_python", json.dumps({"code": CODE})),))
    return Reply((Text(talk.results()),))


def in_workspace(folder: Path) -> Path:
    folder.mkdir()
    (folder / "numbers.txt").write_text("7 13 22")
    return folder


PAIRS = {
    "anthropic": ("claude-opus-5-5", "claude-haiku-5-5"),
    "openai": ("gpt-6.1-sol", "gpt-6-luna"),
    "chat": ("gpt-6.1-sol", "gpt-6-luna"),
}


@pytest.mark.parametrize(
    ("wire", "switch"), [*[(wire, "--allow-python") for wire in PAIRS], ("anthropic", "--no-allow-python")]
)
def test_a_sub_call_runs_python_where_that_is_allowed(tmp_path: Path, wire: str, switch: str) -> None:
    """A script of the sub-call reads the workspace; without the option there is no such tool."""
    smart, cheap = PAIRS[wire]
    config = tmp_path / "settings.toml"
    with running_simulator(Simulator({smart: primary, cheap: sub_call})) as simulator:
        chat = f'[providers.openai]\napi = "chat"\nbase_url = "{simulator.openai_url}"\n'
        config.write_text(f'{chat}api_key_env = "OPENAI_API_KEY"\n' if wire == "chat" else "")
        env = {
            "ANTHROPIC_BASE_URL": simulator.url,
            "ANTHROPIC_API_KEY": "key-of-a-test",
            "OPENAI_BASE_URL": simulator.openai_url,
            "OPENAI_API_KEY": "key-of-a-test",
            "SUNWELL_HOME": str(tmp_path / "home"),
        }
        models = ("-m", smart, "--delegation-model", cheap, "--no-delegate", "--sub-calls")
        where = ("-w", str(in_workspace(tmp_path / "work")), "--config", str(config), "--trust-config")
        ran = CliRunner(env=env).invoke(cli, ["run", "Add them", *models, switch, *where, "--json"])
    assert ran.exit_code == 0, ran.output
    answer = json.loads(ran.stdout)["answer"]
    assert ("42 in all" in answer) is (switch == "--allow-python")
    assert ("There is no tool 'execute_python'" in answer) is (switch == "--no-allow-python")


def test_without_the_extra_a_sentence_says_what_to_install(tmp_path: Path) -> None:
    """Before anything is asked of anybody: nobody listens at the address that is given."""
    code = (
        "import sys; sys.modules['pydantic_monty'] = None; from sunwell.cli.main import main; "
        f"sys.argv = ['sunwell', 'run', 'x', '-m', 'haiku', '--allow-python', '-w', {str(tmp_path)!r}]; "
        "main()"
    )
    env = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "ANTHROPIC_API_KEY": "key-of-a-test"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip().endswith(
        "execute_python needs an extra package: run pip install 'sunwell[python]'"
    )
    assert not list_runs(tmp_path)


def agent() -> Agent:
    return Agent(
        model=InProcessModel("claude-opus-5-5", primary),
        delegation_model=InProcessModel("claude-haiku-5-5", sub_call),
        registry=ModelRegistry(),
    )


async def taken_up(run_id: str, folder: Path) -> TaskResult:
    adopt(folder, run_id)  # it was copied here
    events = [event async for event in agent().resume(run_id, workspace=folder, given={"allow_python": True})]
    result = getattr(events[-1], "result", None)
    assert isinstance(result, TaskResult)
    return result


async def test_a_run_with_scripts_is_taken_up_after_any_of_its_records(tmp_path: Path) -> None:
    """The same answer wherever it was cut off; what a script printed stands once and is not computed anew."""
    whole = in_workspace(tmp_path / "whole")
    options = RunOptions(delegation_tools="rlm", allow_python=True)
    first = await agent().result(SessionContext.build(whole, "Add the numbers", options))
    assert "42 in all" in first.answer
    lines = Path(str(first.journal)).read_bytes().splitlines(keepends=True)
    for length in range(1, len(lines) + 1):
        folder = tmp_path / str(length)
        shutil.copytree(whole, folder)
        journal = folder / Path(str(first.journal)).relative_to(whole)
        journal.write_bytes(b"".join(lines[:length]))
        result = await taken_up(first.run_id, folder)
        assert (length, result.status) == (length, first.status)
        assert "42 in all" in result.answer
        records = list(JournalFiles().read(folder, first.run_id).records())
        scripts = [one for one in records if isinstance(one, ToolFinished) and one.tool == "execute_python"]
        answers = [(one.span, one.number) for one in records if isinstance(one, Answer)]
        assert (len(scripts), len(answers), len(set(answers))) == (1, 4, 4)
