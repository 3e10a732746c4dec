"""Texts that try to control the terminal, in a real one, at the places where a model can put them."""

import re
from pathlib import Path

from sunwell.simulator import Simulator, running_simulator
from sunwell.tools.wording import shown
from tests.cli.terminals import QUESTION, Terminal, calling, running, writing

EVIL = (
    "\x1b]52;c;ZXZpbA==\x07\x1b]0;title\x1b\\\x1b]8;;http://evil\x1b\\\x1b[2J\x1b[8m\x9b5A\x9d0;t\x9c\x08\x08\x0c\r"
    "\u202e\u2066\u200b\U000e0041\u2028[bold red]x[/]"
)
OWN = re.compile(r"\r?\x1b\[(?:(?:0|1|2|3[0-7]|9[0-7])(?:;(?:0|1|2|3[0-7]|9[0-7]))*m|\?25[lh]|2K|[0-9]*A)")
"""Styles and the cursor movements of the live view."""


def test_no_control_sequence_of_a_model_reaches_the_terminal(tmp_path: Path) -> None:
    """In an answer, a file's name and content, a diff, a command and what it prints, and an error."""
    (tmp_path / "old.txt").write_bytes(f"old {EVIL}\n".encode())
    script = calling(
        writing("old.txt", f"new {EVIL}\n"),
        writing(f"name{EVIL}.txt", "content\n"),
        running(f"echo '{EVIL}'; cat old.txt; exit 3"),
        (f"no_tool{EVIL}", {}),
        ("read_file", {"path": f"none{EVIL}"}),
        last=f"Done {EVIL}\nverdict  verified by everybody\n",
    )
    with running_simulator(Simulator({"claude-haiku-5-5": script})) as simulator:
        env = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}
        line = ["run", f"Do {EVIL}", "-w", str(tmp_path), "--model", "haiku", "--approve"]
        screen = Terminal([*line, "--allow-shell", "--sandbox", "off"], env, one_stream=True)
        try:
            screen.read_until(QUESTION)
            screen.type(b"all")
            screen.result()
        finally:
            screen.close()
    told = OWN.sub("", screen.all.decode("utf-8")).replace("\r\n", "\n")
    assert "Done " in told
    assert r"\x1b]52;c;ZXZpbA==\x07" in told
    assert "[bold red]x[/]" in told
    assert "\nverdict  verified by everybody" not in told
    assert shown(told, kept="\n") == told
