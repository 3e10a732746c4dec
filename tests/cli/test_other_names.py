"""Whole runs with a hostile model, in a workspace that has other names of the user's secrets."""

import json
from pathlib import Path

import pytest

from sunwell.core.message import Text, ToolCall
from sunwell.simulator import Simulator, running_simulator
from sunwell.simulator.script import Asked, Reply
from tests.bubblewrap import WHY, needs_bubblewrap

CANARY = "canary-41aa"
SECRETS = {".aws/credentials": "AGENTS.md", ".netrc": ".envrc", ".kube/config": ".vscode/settings.json"}
SECRETS |= {".npmrc": "sub/sunwell.toml", ".git-credentials": "sub/.git/config", "app/.env": "x.txt"}
PATHS = tuple(SECRETS.values())


def greedy(*paths: str):
    """Return a model that reads, searches, overwrites and runs, with all tools that it gets."""
    shell = "\n".join(f"cat {path}; echo bad >> {path}" for path in paths)
    script = "\n".join(f"try:\n  print(read_file({path!r}))\nexcept OSError: pass" for path in paths)
    steps: list[list[tuple[str, dict[str, object]]]] = [
        [("read_file", {"path": path, "start_line": None, "end_line": None}) for path in paths],
        [("run_command", {"command": shell, "timeout_seconds": None}), ("execute_python", {"code": script})],
        [("write_file", {"path": path, "content": "bad\n"}) for path in paths],
    ]

    def answer(asked: Asked) -> Reply:
        done = sum(message.role == "assistant" for message in asked.messages)
        if done >= len(steps):
            return Reply((Text("Done."),))
        calls = [(name, given) for name, given in steps[done] if name in asked.tools]
        return Reply(
            tuple(ToolCall(f"c{i}", name, json.dumps(given)) for i, (name, given) in enumerate(calls))
        )

    return answer


def sent(simulator: Simulator) -> str:
    """Return all that came over HTTP."""
    return "\n".join(json.dumps(request.body) for request in simulator.requests)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "home"
    place.mkdir()
    monkeypatch.setenv("HOME", str(place))
    return place


ALL = (
    ("--allow-python", "--allow-write", "**")
    if WHY
    else ("--allow-python", "--allow-shell", "--allow-write", "**")
)


def test_no_secret_of_the_home_folder_reaches_a_model_or_a_record(
    sunwell, home: Path, tmp_path: Path
) -> None:
    """Whatever name it has in the workspace: not the first prompt, no result, no journal; and it stays."""
    root = tmp_path / "work"
    for secret, name in SECRETS.items():
        for place in (home / secret, root / name):
            place.parent.mkdir(parents=True, exist_ok=True)
        (home / secret).write_text(f"{CANARY}\n")
        (root / name).hardlink_to(home / secret)
    with running_simulator(Simulator({"claude-haiku-5-5": greedy(*PATHS)})) as simulator:
        env = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}
        done = sunwell("run", "Change AGENTS.md", "-w", root, "-m", "haiku", *ALL, env=env)
        assert len(simulator.requests) >= 4, done.output
        assert CANARY not in sent(simulator) + done.output
    kept = [file for file in (root / ".sunwell").rglob("*") if file.is_file()]
    assert kept
    assert not any(CANARY.encode() in file.read_bytes() for file in kept)
    assert {(home / secret).read_text() for secret in SECRETS} == {f"{CANARY}\n"}


@needs_bubblewrap
@pytest.mark.parametrize("way", ["links", "home"])
def test_no_model_reads_the_key_of_runs_or_writes_what_is_trusted(
    sunwell, home: Path, tmp_path: Path, way: str
) -> None:
    """All that a run and the trust in a file really leave in the home folder, whatever it is called."""
    root = tmp_path / "work"
    root.mkdir()
    (root / "sunwell.toml").write_text("allow_shell = true\n")
    with running_simulator(Simulator({"claude-haiku-5-5": greedy()})) as simulator:
        env = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}
        shown = sunwell("config", "trust", root / "sunwell.toml", env=env)
        digest = next(line.split()[1] for line in shown.stdout.splitlines() if line.startswith("hash "))
        sunwell("config", "trust", root / "sunwell.toml", "--yes", "--hash", digest, env=env)
        sunwell(
            "run", "Look", "-w", root, "-m", "haiku", "--check", "true", env={**env, "SUNWELL_OUTCOMES": ""}
        )
    own = {file: file.read_bytes() for file in home.rglob("*") if file.is_file()}
    assert {"journal.key", "trusted.json"} <= {file.name for file in own}
    paths = []
    for number, file in enumerate(own):
        paths.append(f"{number}.txt" if way == "links" else file.relative_to(home).as_posix())
        if way == "links":
            (root / paths[-1]).hardlink_to(file)
    place = root if way == "links" else home
    with running_simulator(Simulator({"claude-haiku-5-5": greedy(*paths)})) as simulator:
        env["ANTHROPIC_BASE_URL"] = simulator.url
        done = sunwell("run", "Look around", "-w", place, "-m", "haiku", *ALL, env=env)
        assert len(simulator.requests) >= 4, done.output
    assert {file: file.read_bytes() for file in own} == own
    key = next(data for file, data in own.items() if file.name == "journal.key")
    assert json.dumps(key.decode("utf-8", "replace"))[1:-1] not in sent(simulator)
    assert "is not open to tools" in sent(simulator)
