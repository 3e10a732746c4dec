"""``sunwell undo`` of a run that somebody else prepared: what programs run by themselves is asked for."""

import asyncio
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import ToolCall
from sunwell.models.registry import ModelRegistry
from sunwell.testing import ScriptedModel, completion
from tests.cli.conftest import Invoke
from tests.cli.terminals import Terminal

PAYLOAD = b"PAYLOAD\n"
ASKED = (".envrc", "AGENTS.md", ".github/workflows/x.yml", ".vscode/tasks.json")
PLAIN = "src/plain.py"


def digest(data: bytes) -> str:
    """Return the name of an original."""
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def forged(tmp_path: Path, sunwell: Invoke) -> tuple[Path, str]:
    """Return a workspace with a run from elsewhere that was adopted, and the id of that run.

    Its index of originals claims that the run removed files, which an undo makes again.
    """
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    call = ToolCall("c0", "write_file", json.dumps({"path": "a.txt", "content": "a"}))
    model = ScriptedModel("own", [completion(call), "Done."])
    session = SessionContext.build(there, "Do it.", options=RunOptions())
    result = asyncio.run(Agent(model=model, registry=ModelRegistry()).result(session))
    originals = Path(str(result.journal)).parent / "originals"
    originals.mkdir(exist_ok=True)
    (originals / digest(PAYLOAD)).write_bytes(PAYLOAD)
    lines = [
        json.dumps({"path": path, **after})
        for path in (*ASKED, PLAIN)
        for after in ({"before": digest(PAYLOAD)}, {"after": None})
    ]
    (originals / "index.jsonl").write_text("\n".join(lines) + "\n")
    shutil.move(there, here)
    assert "adopt" in sunwell("undo", result.run_id, "-w", here).stderr
    assert sunwell("adopt", result.run_id, "-w", here).exit_code == 0
    return here, result.run_id


def test_without_a_terminal_they_are_left(forged: tuple[Path, str], sunwell: Invoke) -> None:
    """One sentence for each says why and what to do; the rest is put back, and named before."""
    here, run_id = forged
    done = sunwell("undo", run_id, "-w", here)
    assert done.exit_code == 3
    for path in ASKED:
        assert not (here / path).exists()
        (line,) = [line for line in done.stderr.splitlines() if line.startswith(f"skipped   '{path}'")]
        assert line.endswith("undo it in a terminal, or with --allow-write")
    assert f"creates   {PLAIN}" in done.stderr
    assert done.stdout == f"restored  {PLAIN}\n"


def test_what_is_named_beforehand_is_put_back(forged: tuple[Path, str], sunwell: Invoke) -> None:
    """The option of a run that lets it write such files; nothing else comes with it."""
    here, run_id = forged
    done = sunwell("undo", run_id, "-w", here, "--allow-write", "AGENTS.md", "--allow-write", ".github/**")
    made = {path for path in ASKED if (here / path).exists()}
    assert made == {"AGENTS.md", ".github/workflows/x.yml"}
    assert "creates   AGENTS.md" in done.stderr


def test_in_a_terminal_each_is_shown_and_asked_for(forged: tuple[Path, str], keys: dict[str, str]) -> None:
    """What will be written, and why it is asked for, before the question; only a yes lets it be written."""
    here, run_id = forged
    screen = Terminal(["undo", run_id, "-w", str(here)], keys, columns=200, one_stream=True)
    try:
        for number, answer in enumerate((b"y", b"n", b"", b"n")):
            shown = screen.read_until(b"[y/N]: ")
            assert not (here / ASKED[number]).exists()
            assert f"creates   {ASKED[number]}".encode() in shown
            assert b"| +PAYLOAD" in shown
            assert b"asked because" in shown
            screen.type(answer)
        screen.result()
    finally:
        screen.close()
    assert [path for path in ASKED if (here / path).exists()] == [".envrc"]
    assert (here / PLAIN).read_bytes() == PAYLOAD
