"""``sunwell run -q``: a question about a context, with the output that the seed describes."""

import json
import os
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sunwell.core import Text, ToolCall
from sunwell.simulator import Asked, Reply, Simulator, echo, running_simulator
from sunwell.simulator.scripts.conversation_state import ScriptedConversation
from sunwell.simulator.scripts.scripted_orchestrator import orchestrator, part_worker
from tests.cli.beginner import done


@pytest.fixture
def simulator():
    """A provider whose models repeat what they are asked."""
    with running_simulator(Simulator({"claude-opus-5-5": echo, "claude-haiku-5-5": echo})) as running:
        yield running


def test_a_question_about_a_file(sunwell, tmp_path: Path, simulator) -> None:
    """The context is given whole, and cannot close the fence that it stands in."""
    (tmp_path / "c.txt").write_text("one\n```\ntwo")
    done = sunwell("run", "-q", "What is it?", "-c", tmp_path / "c.txt", "-m", "opus", "-w", tmp_path)
    assert done.exit_code == 0, done.output
    assert "````\none\n```\ntwo\n````" in done.stdout
    (request,) = simulator.requests
    assert (request.model, "tools" in request.body) == ("claude-opus-5-5", False)


def test_what_is_piped_in_is_the_context(sunwell, tmp_path: Path) -> None:
    """Without ``-c`` standard input is read, unless it is a terminal."""
    done = sunwell("run", "-q", "What is it?", "-m", "opus", "-w", tmp_path, said="piped text")
    assert (done.exit_code, "piped text" in done.stdout) == (0, True)


@pytest.mark.parametrize(
    "child", [(), ("--child-model", "haiku", "--sub-calls")], ids=["alone", "with-child"]
)
def test_the_verbose_output_is_the_seeds(sunwell, tmp_path: Path, child) -> None:
    """Model, child model only where one is set, length of the context, time, tokens, cost."""
    (tmp_path / "c.txt").write_text("x" * 12345)
    arguments = ("run", "-q", "Q", "-c", tmp_path / "c.txt", "-m", "opus", *child, "-v", "-w", tmp_path)
    lines = sunwell(*arguments).stderr.splitlines()
    assert "Model: claude-opus-5-5" in lines
    assert ("Child model: claude-haiku-5-5" in lines) == bool(child)
    assert "Context: 12,345 chars" in lines
    assert any(re.fullmatch(r"Completed in \d+\.\ds", line) for line in lines)
    assert any(re.fullmatch(r"Tokens: [\d,]+ in \+ [\d,]+ out = [\d,]+ total", line) for line in lines)
    assert any(re.fullmatch(r"Estimated cost: \$\d+\.\d{4}", line) for line in lines)


def test_nothing_of_it_is_said_without_verbose(sunwell, tmp_path: Path) -> None:
    """The answer alone."""
    done = sunwell("run", "-q", "Q", "-m", "opus", "-w", tmp_path)
    assert (done.stdout, done.stderr) == ("Q\n", "")


def test_the_trace_is_one_tree(sunwell, tmp_path: Path) -> None:
    """``--trace`` writes the nested JSON of the run."""
    trace = tmp_path / "trace.json"
    sunwell("run", "-q", "Q", "-m", "opus", "--trace", trace, "-w", tmp_path)
    tree = json.loads(trace.read_text())
    assert "claude-opus-5-5" in json.dumps(tree)
    assert tree


def test_a_context_that_does_not_fit_is_refused(sunwell, tmp_path: Path, simulator) -> None:
    """Before anything is sent, with both numbers, if the model has tools and needs it in its prompt."""
    (tmp_path / "c.txt").write_text("word " * 1_000_000)
    done = sunwell("run", "-q", "Q", "-c", tmp_path / "c.txt", "-m", "opus", "--sub-calls", "-w", tmp_path)
    assert done.exit_code == 2
    assert "does not fit into the 1,000,000 tokens" in done.stderr
    assert simulator.requests == ()


def test_a_short_question_fits_into_a_small_window(sunwell, tmp_path: Path, simulator) -> None:
    """The room for the answer is the model's own, and not larger than the window."""
    settings = tmp_path / "settings.toml"
    settings.write_text('[models.small]\nmodel = "haiku"\ncontext_window = 8_192\n')
    (tmp_path / "c.txt").write_text("word " * 30)
    done = sunwell(
        "run",
        "-q",
        "Q",
        "-c",
        tmp_path / "c.txt",
        "-m",
        "small",
        "--config",
        settings,
        "--trust-config",
        "-w",
        tmp_path,
    )
    assert done.exit_code == 0, done.output
    (request,) = simulator.requests
    assert request.body["max_tokens"] == 2_048


def test_a_limit_of_the_model_makes_room_for_a_longer_context(sunwell, tmp_path: Path, simulator) -> None:
    """What is kept for the answer is what may be answered, also if it was set for the role."""
    settings = tmp_path / "settings.toml"
    settings.write_text(
        '[models.small]\nmodel = "haiku"\ncontext_window = 8_192\n[model]\nmodel = "small"\n'
        "max_output_tokens = 500\n"
    )
    (tmp_path / "c.txt").write_text("word " * 5_800)  # about 7,300 tokens
    done = sunwell(
        "run", "-q", "Q", "-c", tmp_path / "c.txt", "--config", settings, "--trust-config", "-w", tmp_path
    )
    assert done.exit_code != 2, done.output  # the echo is longer than the limit
    assert simulator.requests[0].body["max_tokens"] == 500


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("-q", "Q", "a task"), "not both", id="both"),
        pytest.param((), "no task is given", id="neither"),
        pytest.param(("-q", "Q", "-c", "nowhere.txt"), "cannot be read", id="no-file"),
        pytest.param(("-q", " "), "the question is empty", id="empty"),
    ],
)
def test_a_wrong_question_is_refused(sunwell, tmp_path: Path, arguments, sentence) -> None:
    """One sentence, and nothing is asked."""
    done = sunwell("run", *arguments, "-m", "opus", "-w", tmp_path)
    assert (done.exit_code, sentence in done.stderr) == (2, True)


@pytest.mark.parametrize("kind", ["terminal", "closed"])
def test_nobody_is_waited_for(tmp_path: Path, keys: dict[str, str], kind: str) -> None:
    """A terminal may type nothing for ever, and a closed input has nothing: the question stands alone."""
    ours, theirs = os.openpty()
    with os.fdopen(ours), os.fdopen(theirs) as terminal:
        stdin = None if kind == "closed" else terminal.fileno()
        words = ("run", "-q", "Who?", "-m", "opus", "-w", tmp_path)
        ended = done(*words, folder=tmp_path, env={**os.environ, **keys}, stdin=stdin)
    assert (ended.returncode, ended.stdout) == (0, b"Who?\n"), ended.stderr


@pytest.mark.parametrize("place", ["nowhere/trace.json", "."])
def test_a_trace_that_cannot_be_written_is_refused_first(sunwell, tmp_path: Path, simulator, place) -> None:
    """Nothing is asked, and so nothing paid, for a run that would end in an error."""
    done = sunwell("run", "Do it", "-m", "haiku", "-w", tmp_path, "--trace", tmp_path / place)
    assert done.exit_code == 2
    assert "cannot be written: name a file in a folder that exists" in done.stderr
    assert not simulator.requests


PARENT, CHILD = "anthropic/claude-opus-5-5", "openai/gpt-6-luna"
MODELS = ("-m", PARENT, "--child-model", CHILD)


def asking_once(asked: Asked) -> Reply:
    """Ask one sub-call, and answer with what it said."""
    talk = ScriptedConversation.of(asked)
    if talk.attempts or "rlm_sub_complete" not in asked.tools:
        return Reply((Text(f"They said: {talk.results()}"),))
    query = {"query": "What is 6 times 7?", "max_tokens": None, "system": None, "tools": None}
    return Reply((ToolCall("c1", "rlm_sub_complete", json.dumps(query)),))


def computing(asked: Asked) -> Reply:
    """Compute with every tool that runs something, and answer with what came of it."""
    talk = ScriptedConversation.of(asked)
    calls = {
        "execute_python": {"code": "print(6 * 7)"},
        "run_command": {"command": "echo $((6 * 7))", "timeout_seconds": None},
    }
    made = [ToolCall(f"c_{name}", name, json.dumps(calls[name])) for name in asked.tools if name in calls]
    if talk.attempts or not made:
        return Reply((Text(f"computed: {talk.results()}"),))
    return Reply(tuple(made))


@pytest.fixture
def asked_over_http(sunwell, tmp_path: Path):
    """Return a function that asks a question of a parent with a child, and what came over HTTP."""

    def ask(*arguments: str, parent=asking_once, child=computing):
        (tmp_path / "c.txt").write_text("The context.")
        models = {"claude-opus-5-5": parent, "gpt-6-luna": child, "claude-haiku-5-5": echo}
        with running_simulator(Simulator(models)) as simulator:
            env = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}
            env |= {"OPENAI_BASE_URL": simulator.openai_url, "OPENAI_API_KEY": "simulated-key"}
            given = ("-q", "What is it?", "-c", tmp_path / "c.txt", "-w", tmp_path, "-v")
            done = sunwell("run", *given, *arguments, env=env)
            return done, Counter(request.model for request in simulator.requests), simulator.requests

    return ask


@pytest.mark.parametrize(
    ("arguments", "parent", "child", "counted"),
    [
        pytest.param(
            ("--orchestrate",),
            orchestrator(2),
            part_worker(),
            {"claude-opus-5-5": 5, "gpt-6-luna": 2},
            id="orchestrate",
        ),
        pytest.param(
            ("--sub-calls",),
            asking_once,
            computing,
            {"claude-opus-5-5": 2, "gpt-6-luna": 1},
            id="sub-calls",
        ),
        pytest.param(
            ("--delegation-tools", "rlm"),
            asking_once,
            computing,
            {"claude-opus-5-5": 2, "gpt-6-luna": 1},
            id="delegation-tools",
        ),
    ],
)
def test_children_run_on_the_model_that_is_printed(
    asked_over_http, arguments, parent, child, counted
) -> None:
    """Each is asked as often as its work takes, and nobody else is."""
    done, requests, _ = asked_over_http(*MODELS, *arguments, parent=parent, child=child)
    assert done.exit_code == 0, done.output
    assert "Child model: gpt-6-luna" in done.stderr.splitlines()
    assert "Model: claude-opus-5-5" in done.stderr.splitlines()
    assert requests == counted


@pytest.mark.parametrize(
    ("arguments", "told", "counted"),
    [
        pytest.param(MODELS, "none; one direct call: ", {"claude-opus-5-5": 1}, id="none"),
        pytest.param(
            (*MODELS, "--sub-calls", "--max-depth", "0"), "none; ", {"claude-opus-5-5": 1}, id="no-depth"
        ),
        pytest.param(("-m", PARENT, "--sub-calls"), None, {"claude-opus-5-5": 3}, id="not-named"),
    ],
)
def test_a_child_model_that_nobody_asks_is_said_to_be_none(asked_over_http, arguments, told, counted) -> None:
    """What is printed is what runs; without a name children run on their parent's model."""
    done, requests, _ = asked_over_http(*arguments)
    assert done.exit_code == 0, done.output
    printed = [line for line in done.stderr.splitlines() if line.startswith("Child model: ")]
    assert [line.startswith(f"Child model: {told}") for line in printed] == ([] if told is None else [True])
    assert requests == counted


def test_the_printed_model_is_the_one_that_orchestrates(asked_over_http) -> None:
    """With ``--smart-model`` that is not the loop's own; workers run on it, too, if no child is named."""
    arguments = ("-m", "haiku", "--smart-model", PARENT, "--orchestrate")
    done, requests, _ = asked_over_http(*arguments, parent=orchestrator(1), child=echo)
    assert "Model: claude-opus-5-5" in done.stderr.splitlines()
    assert set(requests) == {"claude-opus-5-5"}


@pytest.mark.parametrize(
    ("option", "name"),
    [("--allow-python", "execute_python"), ("--allow-shell", "run_command")],
    ids=["python", "shell"],
)
@pytest.mark.parametrize("way", ["direct", "sub-calls"])
def test_what_is_allowed_can_be_run(asked_over_http, option: str, name: str, way: str) -> None:
    """By the model itself and by its children, which have no other tool of the workspace."""
    if name == "execute_python":
        pytest.importorskip("pydantic_monty")
    if way == "direct":
        done, _, requests = asked_over_http("-m", PARENT, option, parent=computing)
    else:
        done, _, requests = asked_over_http(*MODELS, "--sub-calls", option)
    assert done.exit_code == 0, done.output
    assert "42" in done.stdout
    offered = [json.dumps(request.body.get("tools", [])) for request in requests]
    assert all(f'"{name}"' in tools and '"read_file"' not in tools for tools in offered)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("--delegate",), "--enable-delegation is about a lens", id="delegate"),
        pytest.param(("--threshold", "5"), "--delegation-threshold-tokens is about a lens", id="threshold"),
        pytest.param(("--threshold", "0"), "--delegation-threshold-tokens is about a lens", id="zero"),
        pytest.param(("--on-lens-failure", "fail"), "--on-lens-failure is about a lens", id="lens-failure"),
        pytest.param(("--approve", "--allow-shell"), "--approve needs a terminal", id="approve"),
        pytest.param(("--confirm-above", "0"), "a step above $0 (--confirm-above) needs", id="confirm-above"),
        pytest.param(
            ("--orchestrate", "--delegation-tools", "rlm"), "has the tools of delegate", id="other-tools"
        ),
        pytest.param(("--orchestrate", "--after", "nope"), "nope", id="after"),
    ],
)
def test_what_a_question_cannot_have_is_refused(asked_over_http, arguments, sentence) -> None:
    """No option that was typed is dropped without a word; nothing is asked."""
    done, requests, _ = asked_over_http("-m", PARENT, *arguments)
    assert (done.exit_code, sentence in done.stderr) == (2, True), done.output
    assert not requests


def test_a_fallback_is_printed_and_is_who_works(asked_over_http, tmp_path: Path) -> None:
    """If the child model cannot be used, and the settings allow it, the parent's stands in."""
    (tmp_path / "mine.toml").write_text('fallback = "parent"\n')
    arguments = ("--config", str(tmp_path / "mine.toml"), "--trust-config", "-m", "haiku")
    arguments += ("--smart-model", PARENT, "--child-model", "nobody", "--orchestrate")
    done, requests, _ = asked_over_http(*arguments, parent=orchestrator(1))
    assert "Child model: claude-opus-5-5 in place of nobody: " in done.stderr, done.output
    assert "using claude-opus-5-5 instead of nobody" in done.stderr
    assert set(requests) == {"claude-opus-5-5"}


class _AnswersWithAnotherModel(BaseHTTPRequestHandler):
    """A server of Chat Completions that answers with a model of its own choice."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = {
            "id": "c1",
            "model": "gpt-6.1-sol",
            "choices": [{"message": {"content": "an answer"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
        }
        sent = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_question_says_that_a_more_expensive_model_answered(sunwell, tmp_path: Path, monkeypatch) -> None:
    """A note about money is told without ``-v``, too; standard output holds the answer alone."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _AnswersWithAnotherModel) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "key-of-a-test")
        done = sunwell("run", "-q", "Why?", "-m", "openai/gpt-6-luna", "-w", tmp_path)
        server.shutdown()
    assert done.stdout == "an answer\n"
    assert "gpt-6.1-sol answered, which is more expensive" in done.stderr
