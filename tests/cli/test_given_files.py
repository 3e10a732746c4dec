"""Files that a person names for a prompt: none that a tool would not read, under any of its names."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sunwell.errors import ConfigurationError
from sunwell.simulator import Simulator, echo, running_simulator
from sunwell.tools.given_files import read_given

CANARY = "canary-5c0e"
SECRET = json.dumps({"text": CANARY, "type": "object", "task_description": CANARY, "heuristics": [CANARY]})
IN_HOME = (".netrc", ".aws/credentials", ".docker/config.json", ".ssh/config", ".kube/config")
OPTIONS = {
    "material": ("run", "Say hello", "-c", "{file}"),
    "question": ("run", "-q", "What is it?", "-c", "{file}"),
    "lens": ("run", "Say hello", "--lens", "{file}"),
    "schema": ("run", "Say hello", "--answer-schema", "{file}"),
    "tasks": ("batch", "{file}"),
}


@pytest.fixture
def simulator():
    """A provider whose models repeat what they are asked."""
    with running_simulator(Simulator({"claude-opus-5-5": echo, "claude-haiku-5-5": echo})) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home folder with secrets."""
    folder = tmp_path / "home"
    for path in (*IN_HOME, "plain.txt"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(SECRET)
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def workspace(tmp_path: Path, home: Path) -> Path:
    """Return a folder beside the home folder."""
    folder = tmp_path / "clone"
    folder.mkdir()
    return folder


def refused(done, simulator: Simulator) -> bool:
    return (
        done.exit_code == 2
        and "would be sent to a model, and it is a file with secrets: " in done.stderr
        and CANARY not in done.output
        and not simulator.requests
    )


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("link", [os.link, os.symlink], ids=["hard", "symbolic"])
@pytest.mark.parametrize("path", IN_HOME)
def test_a_link_to_a_secret_of_the_home_folder_is_that_secret(
    sunwell, simulator, home: Path, workspace: Path, option: str, link, path: str
) -> None:
    """By every option that reads a file for a prompt; nothing is sent, and nothing of it is shown."""
    file = workspace / "harmless.json"
    link(home / path, file)
    words = [word.format(file=file) for word in OPTIONS[option]]
    assert refused(sunwell(*words, "-w", workspace, "-m", "haiku"), simulator)


@pytest.mark.parametrize("option", OPTIONS)
def test_another_name_of_a_secret_of_the_workspace_is_that_secret(
    sunwell, simulator, workspace: Path, option: str
) -> None:
    """Also from a folder in it, with the folder above as the project."""
    (workspace / ".git").mkdir()
    (workspace / "sub").mkdir()
    (workspace / ".env").write_text(SECRET)
    os.link(workspace / ".env", workspace / "sub" / "a.json")
    words = [word.format(file=workspace / "sub" / "a.json") for word in OPTIONS[option]]
    assert refused(sunwell(*words, "-w", workspace, "-m", "haiku"), simulator)


def test_another_name_in_the_home_folder_itself(home: Path) -> None:
    """There only the upper folders are looked through."""
    (home / "proj").mkdir()
    (home / "proj" / ".env").write_text(SECRET)
    os.link(home / "proj" / ".env", home / "notes.txt")
    os.link(home / "plain.txt", home / "other.txt")
    with pytest.raises(ConfigurationError, match="a file with secrets: another name of it"):
        read_given(home / "notes.txt", "the context", 1_000)
    assert read_given(home / "other.txt", "the context", 5) == SECRET.encode()[:6]


def test_a_file_of_a_repository_is_none_to_send(workspace: Path) -> None:
    """Its configuration can hold a password in an address."""
    (workspace / ".git").mkdir()
    (workspace / ".git" / "config").write_text(SECRET)
    with pytest.raises(ConfigurationError, match="it is part of a repository's records: name another one"):
        read_given(workspace / ".git" / "config", "the context", 1_000)


def test_ordinary_links_are_read(sunwell, simulator, home: Path, workspace: Path) -> None:
    """A file with several names is refused only if one of them is protected."""
    os.link(home / "plain.txt", workspace / "a.txt")
    (workspace / "b.txt").symlink_to("a.txt")
    done = sunwell("run", "Say hello", "-c", workspace / "b.txt", "-w", workspace, "-m", "haiku")
    assert done.exit_code == 0
    assert CANARY in json.dumps(simulator.requests[0].body)


def test_who_means_it_pipes_it_in(sunwell, simulator, home: Path, workspace: Path) -> None:
    """The error says how."""
    refusal = sunwell("run", "Hello", "-c", home / ".netrc", "-w", workspace, "-m", "haiku").stderr
    assert f"or pipe it in if you mean it (--context - < {home / '.netrc'})" in refusal
    done = sunwell("run", "Hello", "-c", "-", "-w", workspace, "-m", "haiku", said=SECRET)
    assert done.exit_code == 0


def test_what_a_shell_gives_as_a_file_is_read() -> None:
    """A pipe has no name in the table."""
    reading, writing = os.pipe()
    os.write(writing, b"text")
    os.close(writing)
    code = (
        "import sys; from sunwell.tools.given_files import read_given; "
        f"print(read_given('/dev/fd/{reading}', 'the context', 100))"
    )
    if sys.platform == "linux":
        done = subprocess.run(
            [sys.executable, "-c", code], pass_fds=(reading,), capture_output=True, text=True, check=True
        )
        assert done.stdout == "b'text'\n"
    os.close(reading)
