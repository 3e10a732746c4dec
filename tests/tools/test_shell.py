"""Commands run without secrets, within their time, and leave no process behind."""

import asyncio
import os
from pathlib import Path

import pytest

from sunwell.core.model import ToolSpec
from sunwell.core.secrets import Secrets
from sunwell.tools import Toolbox, ToolLimits
from sunwell.tools.environment import command_environment, secrets_from_environment
from sunwell.tools.shell import RunCommand


def shell(folder: Path, secrets: Secrets | None = None, **limits: float) -> Toolbox:
    return Toolbox(
        folder,
        allow_shell=True,
        secrets=secrets or Secrets(),
        limits=ToolLimits(**limits),
        sandbox="off",
    )


@pytest.mark.parametrize(
    ("command", "said", "code"),
    [
        pytest.param("echo out; echo err >&2", "exit code 0\nout\nerr\n", 0, id="both-streams"),
        pytest.param("exit 3", "exit code 3\n(it printed nothing)", 3, id="silent-failure"),
        pytest.param("cat; echo end", "exit code 0\nend\n", 0, id="input-is-empty"),
        pytest.param("kill -9 $$", "exit code -9\n(it printed nothing)", -9, id="killed-by-itself"),
        pytest.param(
            "no-such-program-5f1d 2>/dev/null", "exit code 127\n(it printed nothing)", 127, id="unknown"
        ),
        pytest.param(
            "printf 'a\\033[31mred\\033[0m\\rb\\007'", "exit code 0\nared\nb", 0, id="terminal-codes"
        ),
        pytest.param("printf '\\377\\n'", "exit code 0\n\ufffd\n", 0, id="bytes-that-are-no-text"),
        pytest.param("echo x > made; ls", "exit code 0\nmade\n", 0, id="in-the-workspace"),
    ],
)
async def test_a_command_gives_its_output_and_exit_code(folder, ask, command, said, code):
    """Both streams come as they were printed; a failing command is no failing tool."""
    result = await ask(shell(folder), "run_command", command=command)
    assert (result.content, result.exit_code, result.is_error) == (said, code, False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"command": " "}, "command is empty; write a command line", id="empty"),
        pytest.param(
            {"command": "a\0b"}, "command has a NUL character in it; write a plain command line", id="nul"
        ),
        pytest.param(
            {"command": "ls", "timeout_seconds": 0}, "timeout_seconds must be at least 1", id="no-time"
        ),
        pytest.param(
            {"command": "\ud800"},
            "command has half a character (a lone surrogate) in it; write whole ones",
            id="half",
        ),
        pytest.param(
            {"command": "x" * 100_001},
            "command is longer than 100,000 characters; run a script instead",
            id="long",
        ),
    ],
)
async def test_what_is_no_command_is_refused(folder, ask, given, said):
    """One sentence says what to do instead."""
    result = await ask(shell(folder), "run_command", **given)
    assert (result.content, result.is_error, result.exit_code) == (said, True, None)


async def test_there_is_no_shell_unless_allowed(folder, box, ask):
    """Without permission the tool is not offered and not carried out."""
    assert "run_command" not in [spec.name for spec in box.specs()]
    result = await ask(box, "run_command", command="touch made")
    assert result.is_error
    assert not (folder / "made").exists()


class Life:
    """A named pipe whose end of file says that the last process holding it is dead."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self.file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(self.file, True)

    def begun(self) -> bytes:
        return os.read(self.file, 100)

    def over(self) -> bool:
        try:
            return os.read(self.file, 100) == b""
        finally:
            os.close(self.file)


@pytest.fixture
def life(tmp_path: Path) -> Life:
    return Life(tmp_path / "life")


async def begin(life: Life) -> None:
    """Wait until something is written to the pipe."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(life.file, ready.set_result, None)
    await ready
    loop.remove_reader(life.file)
    assert life.begun() == b"begun\n"


FAMILY = "exec 3>'{path}'; (sleep 1000 & sh -c 'sleep 1000') & echo begun >&3; {then}"


async def test_a_time_out_kills_grandchildren_too(folder, ask, life):
    """After its time, nobody of the command's family lives, and what it printed is kept."""
    command = "echo so far; " + FAMILY.format(path=life.path, then="sleep 1000")
    result = await ask(shell(folder, command_seconds=3.5), "run_command", command=command)
    # A shell that hears of its child's end before its own says so.
    told = result.content.removesuffix("Killed\n")
    assert told == "killed after 3.5 seconds, before it ended; what it printed:\nso far\n"
    assert (result.is_error, result.exit_code) == (True, None)
    assert life.begun() == b"begun\n"
    assert life.over()


async def test_cancelling_kills_the_whole_family(folder, ask, life):
    """A run that is stopped leaves no process behind."""
    command = FAMILY.format(path=life.path, then="sleep 1000")
    task = asyncio.create_task(ask(shell(folder), "run_command", command=command))
    await begin(life)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert life.over()


async def test_what_a_command_leaves_in_the_background_ends_with_it(folder, ask, life):
    """A command that ends at once is answered at once, and its background is over."""
    command = FAMILY.format(path=life.path, then="exit 0")
    result = await ask(shell(folder), "run_command", command=command)
    assert (result.content, result.exit_code) == ("exit code 0\n(it printed nothing)", 0)
    assert life.begun() == b"begun\n"
    assert life.over()


async def test_a_model_cannot_ask_for_more_time_than_there_is(folder, ask):
    """What it asks is capped by the limit."""
    result = await ask(
        shell(folder, command_seconds=0.2), "run_command", command="sleep 1000", timeout_seconds=900
    )
    assert result.content.startswith("killed after 0.2 seconds")


async def test_long_output_keeps_head_and_tail_and_says_what_was_cut(folder, ask):
    """Ten megabytes become what fits, with the count of what is missing."""
    command = "echo first; head -c 10000000 /dev/zero | tr '\\0' x; echo; echo last"
    result = await ask(shell(folder, output_chars=2_000), "run_command", command=command)
    assert len(result.content) <= 2_000
    assert result.content.startswith("exit code 0\nfirst\nxxx")
    assert result.content.endswith("xxx\nlast\n")
    assert "[about 9,998,212 bytes were cut out here]" in result.content


@pytest.mark.parametrize("secret", ["sk-planted", "sk-" + "planted" * 500], ids=["short", "long"])
@pytest.mark.parametrize("padding", [0, 1_190, 73_530, 500_000])
async def test_no_cut_lets_half_a_secret_through(folder, ask, padding, secret):
    """Wherever output is cut, a secret there is replaced before it is cut, or left out."""
    secrets = Secrets()
    secrets.add(secret, "KEY")
    (folder / "said").write_text("x" * padding + secret * (400_000 // len(secret)))
    result = await ask(shell(folder, secrets, output_chars=2_000), "run_command", command="cat said")
    assert "cut out here" in result.content
    assert "plan" not in result.content


async def test_the_environment_of_a_command_is_a_short_list(folder):
    """Providers' variables and keys stay behind; so does a listed variable that holds a secret."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": "/home/somebody",
        "LC_ALL": "C",
        "LANG": "sk-in-an-odd-place-1f2e",
        "ANTHROPIC_API_KEY": "sk-in-an-odd-place-1f2e",
        "OPENAI_BASE_URL": "http://127.0.0.1",
        "SSH_AUTH_SOCK": "/tmp/agent",
        "TERM": "xterm-256color",
        "ODD": "1",
    }
    secrets = secrets_from_environment(environ)
    tool = RunCommand(folder, ToolLimits(), secrets, environ, "off")
    assert isinstance(tool.spec, ToolSpec)
    printed = (await tool.run({"command": "env", "timeout_seconds": None})).text
    names = {line.partition("=")[0] for line in printed.splitlines()[1:]}
    own = {"PWD", "OLDPWD", "SHLVL", "_", "__CF_USER_TEXT_ENCODING"}  # set by the shell or the system
    assert names - own == {"PATH", "HOME", "LC_ALL", "TERM", "PAGER", "GIT_PAGER", "GIT_TERMINAL_PROMPT"}
    assert command_environment({}, secrets)["PATH"] == os.defpath
