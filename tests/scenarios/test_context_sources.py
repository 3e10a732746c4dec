"""What is looked up for workers, over HTTP and from the command line: shown once, shared prefix, resumed."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sunwell.cli.main import cli
from sunwell.config import Sources
from sunwell.config.resolution import resolve
from sunwell.core import Text, ToolCall
from sunwell.errors import ConfigurationError
from sunwell.journal.layout import list_runs
from sunwell.simulator import Asked, Fault, FaultRule, Reply, Simulator, running_simulator

SMART, CHEAP = "claude-opus-5-5", "claude-haiku-5-5"
GUIDE = "# Tokens\n\nA token lives an hour.\n\n## Refresh\n\nAsk for a refresh twice.\n"


def boss(asked: Asked) -> Reply:
    """Ask two questions together, one with something looked up, then answer."""
    if len(asked.messages) > 1:
        return Reply((Text("All is known."),))
    queries = [
        {
            "query": "How are tokens refreshed?",
            "max_tokens": None,
            "context_query": "token refresh",
            "context_budget": 400,
        },
        {"query": "What else is there?", "max_tokens": None, "context_query": None, "context_budget": None},
    ]
    arguments = {"queries": queries, "max_parallel": None, "total_budget": None}
    return Reply((ToolCall("c1", "rlm_batch_complete", json.dumps(arguments)),))


def helper(asked: Asked) -> Reply:
    """Say how much was asked."""
    return Reply((Text(f"an answer to {len(asked.messages)} messages"),))


def command(simulator: Simulator, folder: Path, *typed: str) -> Result:
    """Run a command of the command line in *folder*."""
    env = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "key"}
    return CliRunner(env=env).invoke(cli, [*typed, "-w", str(folder)])


RUN = (
    "run",
    "Explain tokens",
    "--sub-calls",
    "--model",
    SMART,
    "--delegation-model",
    CHEAP,
    "--no-enable-delegation",
)


def texts_of(body: dict[str, Any]) -> tuple[str, str]:
    """Return the system prompt of a request, and its first message."""
    parts = body["messages"][0]["content"]
    said = parts if isinstance(parts, str) else "".join(part["text"] for part in parts)
    return json.dumps(body["system"]), said


def asked_of(simulator: Simulator, model: str) -> list[dict[str, Any]]:
    """Return the requests to *model*."""
    return [one.body for one in simulator.requests if one.body["model"] == model]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a workspace with documents."""
    made = tmp_path / "work"
    (made / "docs").mkdir(parents=True)
    (made / "docs" / "tokens.md").write_text(GUIDE)
    return made


def test_what_is_found_is_sent_behind_the_question_and_the_prefix_stays_shared(folder: Path) -> None:
    """A source in the project's own file, which needs no trust for a folder in the workspace."""
    (folder / "sunwell.toml").write_text('[context.docs]\npath = "docs"\n')
    with running_simulator(Simulator({SMART: boss, CHEAP: helper})) as simulator:
        done = command(simulator, folder, *RUN)
        assert done.exit_code == 0, done.output
        sent = [texts_of(body) for body in asked_of(simulator, CHEAP)]
        tools = [json.dumps(body["tools"]) for body in asked_of(simulator, CHEAP)]
    assert len({system for system, _ in sent}) == 1
    assert len(set(tools)) == 1
    assert "context_query" in tools[0]
    with_docs, without = sorted((said for _, said in sent), key=lambda said: "Relevant" not in said)
    assert with_docs.startswith("How are tokens refreshed?\n\n[From the harness: ")
    assert "docs/tokens.md, lines 5-7 (Tokens > Refresh):" in with_docs
    assert "Relevant documentation" not in without


def test_a_run_with_a_folder_is_resumed_with_the_same_settings(folder: Path) -> None:
    """The record grants no source: the settings give it again, or the option does."""
    faults = FaultRule(Fault(status=401), numbers=(4,), model=SMART)
    with running_simulator(Simulator({SMART: boss, CHEAP: helper}, faults=faults)) as simulator:
        done = command(simulator, folder, *RUN, "--context-source", "docs=docs")
        assert done.exit_code != 0, done.output
        (run,) = list_runs(folder)
        (folder / "docs" / "tokens.md").write_text("nothing any more")
        refused = command(simulator, folder, "resume", run.run_id)
        assert "--context-source docs=docs, which its record cannot grant" in refused.output
        again = command(simulator, folder, "resume", run.run_id, "--context-source", "docs=docs")
        assert again.exit_code == 0, again.output
        assert "All is known." in again.output
        assert len(asked_of(simulator, CHEAP)) == 2


def test_what_the_settings_name_is_given_again_by_them(folder: Path) -> None:
    """And nothing besides: a source that the run did not have is not added."""
    file = folder / "sunwell.toml"
    file.write_text('[context.docs]\npath = "docs"\n')
    faults = FaultRule(Fault(status=401), numbers=(4,), model=SMART)
    with running_simulator(Simulator({SMART: boss, CHEAP: helper}, faults=faults)) as simulator:
        assert command(simulator, folder, *RUN).exit_code != 0
        (run,) = list_runs(folder)
        file.write_text('[context.docs]\npath = "docs"\n[context.more]\npath = "."\n')
        again = command(simulator, folder, "resume", run.run_id)
        assert again.exit_code == 0, again.output
        file.write_text('[context.docs]\npath = "."\n')
        other = command(simulator, folder, *RUN)
        assert other.exit_code == 0, other.output
        assert len(asked_of(simulator, CHEAP)) == 4


def options(folder: Path, text: str, **given: Any) -> Any:
    """Return the options of a run with the project's file *text*."""
    (folder / "sunwell.toml").write_text(text)
    environ = {"SUNWELL_HOME": str(folder.parent / "home")}
    values = Sources(folder, None, environ, trust_config=True).load(**given).values
    return resolve(values, environ).options


def test_the_tables_and_the_option_come_together(folder: Path) -> None:
    """A table may say that every sub-call has its own question looked up."""
    text = 'context_sources = ["all=."]\n[context.docs]\npath = "docs"\nauto_context = true\n'
    made = options(folder, text)
    assert (made.context_sources, made.auto_context) == (("all=.", "docs=docs"), True)
    assert options(folder, '[context.docs]\nkind = "folder"\npath = "docs"\n').auto_context is False


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[context.docs]\nkind = "folder"\n', "context.docs is a folder: it needs a path"),
        ('[context.docs]\npath = "docs"\ntool = "x"\n', "context.docs is a folder: tool is for servers"),
        ('[context.docs]\nkind = "mcp"\npath = "docs"\n', "context.docs is a server, which has no path"),
        ('[context."a b"]\npath = "docs"\n', "a name has up to 32 letters"),
        (
            'context_sources = ["docs=."]\n[context.docs]\npath = "docs"\n',
            "two context sources are called 'docs'",
        ),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(folder: Path, text: str, told: str) -> None:
    """In one sentence that says where."""
    with pytest.raises(ConfigurationError, match=told):
        options(folder, text)


def test_a_project_cannot_name_a_folder_that_a_link_leads_out_to(folder: Path) -> None:
    """Its file needs no trust for a folder in the workspace, so nothing else may be one."""
    (folder.parent / "private").mkdir()
    (folder / "docs2").symlink_to(folder.parent / "private")
    (folder / "sunwell.toml").write_text('[context.docs]\npath = "docs2"\n')
    with running_simulator(Simulator({SMART: boss, CHEAP: helper})) as simulator:
        done = command(simulator, folder, *RUN)
        assert done.exit_code == 2
        assert "the context folder 'docs2'" in done.output
        assert simulator.requests == ()
