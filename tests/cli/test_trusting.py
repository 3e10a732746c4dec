"""``sunwell config trust``: nobody trusts what nobody saw, and what was trusted is what was seen."""

import json
import os
import pty
import select
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.cli.beginner import Begun, beginner

WIDE = 'checks = ["make check"]\nallow_shell = true\n[providers.lab]\nbase_url = "https://lab.example/v1"\n'
QUESTION = b"[y]es, [n]o: "


@pytest.fixture
def env(tmp_path: Path, keys: dict[str, str]) -> dict[str, str]:
    """Return the environment of a user whose settings are their own."""
    return {**keys, "SUNWELL_HOME": str(tmp_path / "user")}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a project's file that runs a command and sends data away."""
    (tmp_path / "project" / ".git").mkdir(parents=True)
    file = tmp_path / "project" / "sunwell.toml"
    file.write_text(WIDE)
    return file


@attrs.define
class Question:
    """``sunwell config trust`` at a real terminal."""

    process: Begun
    master: int
    seen: bytes = b""

    def read_until(self, text: bytes) -> bytes:
        """Return what was shown until *text* has come."""
        while text not in self.seen:
            assert select.select([self.master], [], [], 60)[0], self.seen
            self.seen += os.read(self.master, 65536)
        return self.seen.partition(text)[0]

    def answer(self, text: bytes) -> int:
        """Type *text* and return the exit code."""
        os.write(self.master, text)
        return self.process.wait(60)


@pytest.fixture
def ask(env: dict[str, str], file: Path) -> Iterator[object]:
    """Return a function that starts the command; what it is given is typed before the question comes."""
    opened: list[Question] = []

    def begin(typed: bytes = b"") -> Question:
        master, slave = pty.openpty()
        os.write(master, typed)
        words = ("config", "trust", str(file))
        process = beginner().begin(words, {**os.environ, **env, "COLUMNS": "500"}, [slave] * 3)
        os.close(slave)
        opened.append(Question(process, master))
        return opened[-1]

    yield begin
    for each in opened:
        each.process.kill()
        each.process.wait()
        os.close(each.master)


def is_trusted(sunwell, env: dict[str, str], file: Path) -> bool:
    """Whether the record has the file as it is."""
    return f"trusted  {file}" in sunwell("config", "trust", "--list", env=env).stdout


def test_a_file_is_shown_with_what_it_may_do_and_then_asked_about(sunwell, env, ask, file: Path) -> None:
    """The whole file, the hash, and each power in words, the most dangerous first; then yes counts."""
    question = ask()
    shown = question.read_until(QUESTION).decode()
    for line in WIDE.splitlines():
        assert f"| {line}" in shown
    assert "hash     sha256:" in shown
    runs, sends = 'runs the command "make check"', 'for the provider lab to "https://lab.example/v1"'
    assert shown.index(runs) < shown.index(sends)
    assert not is_trusted(sunwell, env, file)
    assert question.answer(b"y\n") == 0
    assert is_trusted(sunwell, env, file)


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"yess\n", b"\x04"], ids=["no", "enter", "other", "end"])
def test_only_yes_is_yes(sunwell, env, ask, file: Path, answer: bytes) -> None:
    """Everything else leaves the file as it was."""
    question = ask()
    question.read_until(QUESTION)
    assert question.answer(answer) == 1
    assert not is_trusted(sunwell, env, file)


def test_what_was_typed_before_the_question_is_no_answer(sunwell, env, ask, file: Path) -> None:
    """A yes for something else that is still in the terminal's queue does not count."""
    question = ask(b"y\ny\n")
    question.read_until(QUESTION)
    assert question.process.poll() is None
    assert question.answer(b"n\n") == 1
    assert not is_trusted(sunwell, env, file)


def test_a_file_that_changes_while_it_is_read_is_not_trusted(sunwell, env, ask, file: Path) -> None:
    """Neither as it was shown nor as it is."""
    question = ask()
    question.read_until(QUESTION)
    file.write_text(WIDE + 'plugins = ["evil"]\n')
    assert question.answer(b"y\n") == 2
    question.read_until(b"has changed since it was shown")
    assert "no file is trusted" in sunwell("config", "trust", "--list", env=env).stdout


def test_a_script_needs_the_hash_of_what_somebody_saw(sunwell, env, trust, file: Path) -> None:
    """Without a terminal, neither --yes alone nor another version's hash is enough."""
    refused = sunwell("config", "trust", file, env=env, said="y\n")
    assert refused.exit_code == 2
    assert "as there is no terminal to ask at" in refused.stderr
    assert sunwell("config", "trust", file, "--yes", env=env, said="y\n").exit_code == 2
    digest = refused.stderr.split()[-1]
    assert sunwell("config", "trust", file, "--hash", digest, env=env, said="y\n").exit_code == 2
    text = file.read_text()
    file.write_text(text + "# changed\n")
    stale = sunwell("config", "trust", file, "--yes", "--hash", digest, env=env)
    assert (stale.exit_code, "is not the version that --hash names" in stale.stderr) == (2, True)
    assert not is_trusted(sunwell, env, file)
    file.write_text(text)
    assert sunwell("config", "trust", file, "--yes", "--hash", digest, env=env).exit_code == 0
    assert is_trusted(sunwell, env, file)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        pytest.param("allow_shell = true # \u202e eslaf = llehs_wolla\n", r"\u202e", id="direction"),
        pytest.param("allow_shell = true\n#\x1b[1A\x1b[2K harmless\n", "no file", id="escape"),
        pytest.param("allow_shell = true # a\rdry_run = true\n", "no file", id="return"),
    ],
)
def test_nothing_in_the_file_hides_from_who_reads_it(sunwell, env, file: Path, text: str, seen: str) -> None:
    """Escapes are shown, or the file is no TOML: the terminal gets neither."""
    file.write_bytes(text.encode())
    done = sunwell("config", "trust", file, env=env)
    assert not set("\x1b\r\u202e") & set(done.output)
    if seen != "no file":
        assert seen in done.stdout
    else:
        assert (done.exit_code, "hash" in done.stdout) == (2, False)


def test_a_file_is_trusted_no_longer(sunwell, env, trust, file: Path) -> None:
    """Also one that is gone; the list says how things are."""
    trust(file, env=env)
    file.write_text(WIDE + "# changed\n")
    assert f"changed  {file}" in sunwell("config", "trust", "--list", env=env).stdout
    file.unlink()
    assert f"missing  {file}" in sunwell("config", "trust", "--list", env=env).stdout
    assert "trusted no longer" in sunwell("config", "untrust", file, env=env).stdout
    assert "was not trusted" in sunwell("config", "untrust", file, env=env).stdout
    file.write_text(WIDE)
    assert sunwell("config", "check", "-w", file.parent, env=env).exit_code == 2


def test_a_folder_that_is_moved_is_not_trusted(sunwell, env, trust, file: Path, tmp_path: Path) -> None:
    """Trust is in the file at its place, with its content."""
    trust(file, env=env)
    moved = file.parent.rename(tmp_path / "moved")
    assert sunwell("config", "check", "-w", moved, env=env).exit_code == 2


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"x": 1}', b"\xff", b"[" * 100_000], ids=range(5))
def test_a_damaged_record_trusts_nothing_and_says_so(sunwell, env, trust, file: Path, content: bytes) -> None:
    """One warning; what it should hold is asked for again."""
    trust(file, env=env)
    record = Path(env["SUNWELL_HOME"]) / "trusted.json"
    record.write_bytes(content)
    done = sunwell("config", "check", "-w", file.parent, env=env)
    assert done.exit_code == 2
    assert done.output.count(f"{record} is damaged, so nothing is trusted") == 1


@pytest.mark.parametrize("place", ["record", "folder"])
def test_a_record_that_others_can_write_trusts_nothing(sunwell, env, trust, file: Path, place: str) -> None:
    """Somebody else could have written into it what they like."""
    trust(file, env=env)
    folder = Path(env["SUNWELL_HOME"])
    (folder if place == "folder" else folder / "trusted.json").chmod(0o777)
    done = sunwell("config", "check", "-w", file.parent, env=env)
    assert (done.exit_code, "every user can write" in done.output) == (2, True)


COMMANDS = [
    ("run", "-q", "Say hello", "-m", "haiku"),
    ("batch", "tasks.jsonl", "-m", "haiku"),
    ("estimate", "Say hello", "-m", "haiku"),
    ("lens", "Say hello", "--smart-model", "haiku"),
    ("resume", "RUN"),
    ("fork", "RUN", "--at", "run", "--json"),
    ("doctor", "-m", "haiku"),
]


@pytest.mark.parametrize(
    ("command", "by"),
    [
        *(pytest.param(command, "option", id=" ".join(command)) for command in COMMANDS),
        pytest.param(COMMANDS[0], "variable", id="variable"),
    ],
)
def test_what_is_trusted_once_is_said_before_anything_runs(
    sunwell, env, tmp_path: Path, simulator, command, by: str
) -> None:
    """On standard error, one line for each setting that widens, also with -q and --json."""
    (tmp_path / "tasks.jsonl").write_text('"Say hello"\n')
    folder = tmp_path / "repository"
    folder.mkdir()
    arguments = [str(tmp_path / "tasks.jsonl") if word == "tasks.jsonl" else word for word in command]
    if "RUN" in arguments:
        done = sunwell("run", "Say hello", "-w", folder, "-m", "haiku", "--json", env=env)
        arguments[1] = json.loads(done.stdout)["run_id"]
    (folder / "sunwell.toml").write_text('effort = "low"\ndry_run = true\nsystem_prompt = "Obey me."\n')
    given = ("--trust-config",) if by == "option" else ()
    also = {} if by == "option" else {"SUNWELL_TRUST_CONFIG": "1"}
    done = sunwell(*arguments, "-w", folder, *given, env=env | also)
    said = [line for line in done.stderr.splitlines() if "trusted this once" in line]
    assert [line.partition("it ")[2].partition("  (")[0] for line in said] == [
        'spends money: asks models for the effort "low"',
        'changes the work: instructs all models: "Obey me."',
    ], done.output


def test_the_files_are_shown_with_their_trust(sunwell, env, trust, file: Path) -> None:
    """By show and check: not trusted, trusted this once, trusted, and the user's own."""
    own = Path(env["SUNWELL_HOME"])
    own.mkdir()
    (own / "config.toml").write_text("[budget]\nusd = 5\n")
    for also, word in ({}, "not trusted"), ({"SUNWELL_TRUST_CONFIG": "1"}, "trusted this once"):
        done = sunwell("config", "show", "-w", file.parent, env=env | also)
        assert f"# read {own / 'config.toml'} (yours)\n# read {file} ({word})\n" in done.stdout
    trust(file, env=env)
    done = sunwell("config", "check", "-w", file.parent, env=env)
    assert f"read     {file} (trusted)" in done.stdout
    done = sunwell("doctor", "-w", file.parent, "-m", "haiku", env=env)
    assert f"read     {file} (trusted)" in done.stdout
    told = json.loads(sunwell("config", "show", "-w", file.parent, "--json", env=env).stdout)
    assert told["files"][1] == {"file": str(file), "trust": "trusted"}
