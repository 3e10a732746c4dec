"""``sunwell completion``: what a shell offers, and that nothing of a folder gets into the shell."""

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sunwell.cli.completion import completions, harmless, line_of, recorded_runs
from sunwell.cli.completion_command import all_words, script_of
from tests.cli.conftest import Invoke

BIN = Path(sys.executable).parent
RUN = "01a229d9-d959-77d0-b8b9-31f297aa6e5b"
HOSTILE = "$(touch owned) `touch owned`; touch owned\n\t\x1b]0;owned\x07 \u202e'\"\\ , : end"
Answers = Callable[..., "subprocess.CompletedProcess[str]"]


def recorded(root: Path, run_id: str, task: str, *, ended: str | None = "ok") -> Path:
    """Write the ends of a journal, which is all that is looked at."""
    folder = root / ".sunwell/runs" / run_id
    folder.mkdir(parents=True)
    lines = [{"seq": 0, "kind": "run", "task": task, "settings": {}}]
    lines += [] if ended is None else [{"seq": 1, "kind": "closed", "status": ended}]
    (folder / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Return the environment of somebody with a home of their own, and with the command on the path."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "SUNWELL_"))}
    return {**kept, "HOME": str(home), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "TERM": "dumb"}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a folder from elsewhere: a run with a hostile task, and settings that nobody trusts."""
    folder = tmp_path / "work"
    recorded(folder, RUN, HOSTILE)
    (folder / "sunwell.toml").write_text("plugins = ['owned'\n")
    (folder / "json.py").write_text("open('owned', 'w')\n")
    return folder


@pytest.fixture
def answers(env: dict[str, str], work: Path) -> Answers:
    """Return a function that asks the command as the script of a shell does."""

    def ask(words: str, at: int, shell: str = "bash") -> "subprocess.CompletedProcess[str]":
        place = "" if shell == "fish" else str(at)
        asked = {"COMP_WORDS": words, "COMP_CWORD": place, "_SUNWELL_COMPLETE": f"{shell}_complete"}
        return subprocess.run(
            ["sunwell"], env=env | asked, cwd=work, capture_output=True, text=True, check=False, timeout=60
        )

    return ask


KNOWN = all_words()


@pytest.mark.parametrize(
    ("args", "typed", "found"),
    [
        pytest.param([], "est", ["estimate"], id="command"),
        pytest.param(["config"], "un", ["untrust"], id="command-of-a-group"),
        pytest.param(["run"], "--smart", ["--smart-model"], id="option"),
        pytest.param(["run", "--smart-model", "opus"], "--smart", [], id="given-once"),
        pytest.param(["run", "--check", "a"], "--check", ["--check", "--check-timeout"], id="repeats"),
        pytest.param(["run", "-m"], "hai", ["haiku"], id="model"),
        pytest.param(["run", "--delegation-model"], "openai-", ["openai-smart", "openai-cheap"], id="models"),
        pytest.param(["run"], "--model=op", ["--model=opus"], id="model-behind-a-sign"),
        pytest.param(["run", "--model", "="], "son", ["sonnet"], id="as-bash-breaks-it"),
        pytest.param(["run", "--sandbox"], "", ["required", "off"], id="choice"),
        pytest.param(["run", "a task"], "", [], id="free-text"),
        pytest.param(["run", "--"], "-", [], id="after-two-dashes"),
        pytest.param(["nothing"], "x", [], id="no-such-command"),
    ],
)
def test_what_is_offered(args: list[str], typed: str, found: list[str]) -> None:
    """Commands, options that are not there yet, and the values that an option takes."""
    words = [word.value for word in completions(KNOWN, args, typed)]
    assert words[: len(found)] == found
    assert all(word.startswith(typed) or typed in word for word in words)


@pytest.mark.parametrize(
    ("args", "kind"),
    [
        (["run", "-c"], "file"),
        (["ask", "x", "-c"], "file"),
        (["resume", "0", "-c"], "file"),
        (["run", "x", "--lens"], "file"),
        (["batch"], "file"),
        (["record"], "file"),
        (["run", "-w"], "dir"),
        (["show", "--workspace"], "dir"),
    ],
)
def test_files_are_left_to_the_shell(args: list[str], kind: str) -> None:
    """It knows best how to complete them."""
    assert [word.kind for word in completions(KNOWN, args, "a")] == [kind]


@pytest.mark.parametrize(
    ("shell", "words", "at", "line"),
    [
        ("bash", "sunwell run 'two words' -m ", "4", (["run", "two words", "-m"], "")),
        ("zsh", "sunwell run -m op", "3", (["run", "-m"], "op")),
        ("fish", "sunwell run -m op", "op", (["run", "-m"], "op")),
        ("fish", "sunwell run -m ", "", (["run", "-m"], "")),
        ("bash", 'sunwell run "an open quote', "2", (["run"], "an open quote")),
        ("bash", "sunwell run a\\ b ''", "3", (["run", "a b"], "")),
    ],
)
def test_the_line_is_read_as_the_shell_reads_it(
    shell: str, words: str, at: str, line: tuple[list[str], str]
) -> None:
    """Quotes are taken off, and one that is still open ends with the line."""
    assert line_of(shell, words, at) == line


def test_runs_are_offered_newest_first_with_status_and_task(tmp_path: Path) -> None:
    """Those of the folder that ``-w`` names; what is no run is passed over."""
    recorded(tmp_path, "01a", "First")
    recorded(tmp_path, "01b", "Second", ended=None)
    recorded(tmp_path, "$(touch owned)", "Third")
    (tmp_path / ".sunwell/runs/01c").mkdir()
    words = completions(KNOWN, ["show", "-w", str(tmp_path)], "")
    assert [(word.value, word.help) for word in words] == [("01b", "open: Second"), ("01a", "ok: First")]
    assert [word.value for word in completions(KNOWN, ["fork", f"--workspace={tmp_path}"], "01a")] == ["01a"]


def test_no_link_and_no_pipe_is_followed(tmp_path: Path) -> None:
    """A folder from elsewhere could have the shell read any file, or wait without end."""
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    recorded(elsewhere, "01a", "A secret")
    runs = recorded(here, "01b", "Mine").parent
    (runs / "01c").symlink_to(elsewhere / ".sunwell/runs/01a")
    (runs / "01d").mkdir()
    os.mkfifo(runs / "01d/journal.jsonl")
    (runs / "01e").mkdir()
    (runs / "01e/journal.jsonl").symlink_to(elsewhere / ".sunwell/runs/01a/journal.jsonl")
    assert "01b" in [word.value for word in recorded_runs(here)]
    assert "A secret" not in "".join(word.help for word in recorded_runs(here))
    shutil.rmtree(here / ".sunwell")
    (here / ".sunwell").symlink_to(elsewhere / ".sunwell")
    assert list(recorded_runs(here)) == []


def test_a_task_is_made_harmless() -> None:
    """One short line of signs that are seen."""
    assert harmless("a\x1b[2J\n\u202eb") == "a [2J b"
    assert harmless("x" * 99) == "x" * 69 + "…"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_command_answers_a_shell(answers: Answers, work: Path, shell: str) -> None:
    """It runs nothing of the folder, and says nothing on standard error, whatever settings are there."""
    done = answers("sunwell show ", 2, shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert RUN in done.stdout
    assert ("ok: $(touch owned)" in done.stdout) == (shell != "bash")  # bash would put it into the line
    assert all(sign.isprintable() or sign in "\n\t" for sign in done.stdout)
    assert not (work / "owned").exists()


def test_what_cannot_be_answered_is_silent(answers: Answers, env: dict[str, str]) -> None:
    """A cache that is broken or cannot be written, and a line that makes no sense."""
    assert answers("sunwell sh", 1).stdout == "plain,show\n"
    (cache,) = Path(env["HOME"]).rglob("completion.json")
    cache.write_text("{")
    assert answers("sunwell sh", 1).stdout == "plain,show\n"
    shutil.rmtree(cache.parent)
    cache.parent.write_text("a file in its place")
    done = answers("sunwell sh", 1)
    assert (done.stdout, done.stderr) == ("plain,show\n", "")
    assert [answers(words, 7).stderr for words in ("", "sunwell 'x")] == ["", ""]


def test_an_answer_loads_nothing_of_sunwell(env: dict[str, str], answers: Answers, work: Path) -> None:
    """So it comes while somebody types: no settings, no journal, no command."""
    answers("sunwell show ", 2)  # makes the cache
    code = (
        "import atexit, os, sys\n"
        "from sunwell.cli import completion\n"
        "completion.os._exit\n"
        "args, typed = completion.line_of('bash', 'sunwell show ', '2')\n"
        "completion.completions(completion.known_words(), args, typed)\n"
        "print(sorted(name for name in sys.modules if name.startswith('sunwell.') or name == 'click'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=env, cwd=work, capture_output=True, text=True, check=True
    )
    assert done.stdout == "['sunwell.cli', 'sunwell.cli.completion']\n"


def needs(shell: str) -> str:
    """Return the path of *shell*; the test is skipped if it is not there."""
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    return found


def typed_in(shell: list[str], env: dict[str, str], folder: Path, line: str, wanted: str) -> str:
    """Return what a shell with the script shows after *line* in a terminal, until *wanted* is there."""
    name = Path(shell[0]).name
    script = folder.parent / f"script.{name}"
    script.write_text(script_of(name))
    master, slave = pty.openpty()
    process = subprocess.Popen(shell, env=env, cwd=folder, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    seen, end = b"", time.monotonic() + 60

    def read_until(text: bytes) -> None:
        nonlocal seen
        while text not in seen and time.monotonic() < end:
            if select.select([master], [], [], 0.2)[0]:
                seen += os.read(master, 65536)

    try:
        os.write(master, f". {script}; echo read''y\n".encode())
        read_until(b"ready")
        seen = b""
        os.write(master, line.encode())
        read_until(wanted.encode())
    finally:
        process.kill()
        process.wait()
        os.close(master)
    return seen.decode(errors="replace")


SHELLS = [
    pytest.param(["bash", "--norc", "--noprofile", "-i"], id="bash"),
    pytest.param(["zsh", "-f", "-i"], id="zsh"),
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "wanted"),
    [("sunwell esti\t", "estimate"), ("sunwell show \t", RUN), ("sunwell run -m son\t", "sonnet")],
    ids=["command", "run", "model"],
)
def test_a_real_shell_completes(
    env: dict[str, str], work: Path, shell: list[str], line: str, wanted: str
) -> None:
    """After the tab key the whole word is there, and nothing that a task says was run."""
    shown = typed_in([needs(shell[0]), *shell[1:]], env, work, line, wanted)
    assert wanted in shown
    assert not (work / "owned").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_real_shell_completes_files(env: dict[str, str], work: Path, shell: list[str]) -> None:
    """Where a file is wanted."""
    (work / "material-of-the-task.txt").touch()
    shown = typed_in([needs(shell[0]), *shell[1:]], env, work, "sunwell run -c mat\t", "material-of-the-task")
    assert "material-of-the-task" in shown


def test_fish_completes(env: dict[str, str], work: Path) -> None:
    """Words with their help, of a run its status and task, commas and all."""
    script = work.parent / "script.fish"
    script.write_text(script_of("fish"))
    for line, wanted in (("sunwell esti", "estimate\tShow"), ("sunwell show ", f"{RUN}\tok: $(touch owned)")):
        done = subprocess.run(
            [needs("fish"), "--no-config", "-c", f'source {script}; complete -C "{line}"'],
            env=env, cwd=work, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert wanted in done.stdout
        assert done.stderr == ""
    assert done.stdout.rstrip().endswith(", : end")
    assert not (work / "owned").exists()


@pytest.mark.parametrize(("shell", "startup"), [("bash", ".bashrc"), ("zsh", ".zshrc"), ("fish", None)])
def test_it_is_installed_and_removed(
    sunwell: Invoke, tmp_path: Path, shell: str, startup: str | None
) -> None:
    """It says what it writes and where; twice changes nothing, and removing leaves what was there before."""
    env = {"HOME": str(tmp_path), "SHELL": f"/bin/{shell}"}
    before = "alias ll='ls -l'"  # without a line end
    if startup is not None:
        (tmp_path / startup).write_text(before)
    done = sunwell("completion", "install", env=env)
    assert done.exit_code == 0, done.output
    (script,) = [path for path in tmp_path.rglob("*") if path.name in (f"completion.{shell}", "sunwell.fish")]
    assert f"written  {script}\n" in done.stdout
    assert script.read_text() == sunwell("completion", "show", env=env).stdout
    if startup is not None:
        added = (tmp_path / startup).read_text().removeprefix(f"{before}\n").rstrip("\n")
        assert str(script) in added
        assert f"added to {tmp_path / startup}:\n         {added}\n" in done.stdout
        sunwell("completion", "install", "--shell", shell, env=env)
        assert (tmp_path / startup).read_text().count(str(script)) == 2
    gone = sunwell("completion", "uninstall", env=env)
    assert f"removed  {script}\n" in gone.stdout
    assert not script.exists()
    if startup is not None:
        assert (tmp_path / startup).read_text() == f"{before}\n"
    assert "nothing is installed" in sunwell("completion", "uninstall", env=env).stdout


def test_an_unknown_shell_is_refused(sunwell: Invoke, tmp_path: Path) -> None:
    """With the names of those that are known."""
    done = sunwell("completion", "install", env={"HOME": str(tmp_path), "SHELL": "/bin/tcsh"})
    assert (done.exit_code, "bash, zsh or fish" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []
