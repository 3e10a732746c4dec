"""The process of a command is closed to others of the same user, and what it starts gets nothing of it."""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import sunwell
from sunwell.cli.command_line import protect_process
from sunwell.cli.main import cli
from sunwell.core import ToolCall
from sunwell.core.secrets import Secrets
from sunwell.tools import Toolbox
from sunwell.tools.environment import told_safely

NOBODY = 65_534
SECRET = "sk-planted-0123456789"

_PROTECT = "\n".join(  # the child has no package to import it from
    ["from contextlib import suppress", "from pathlib import Path", inspect.getsource(protect_process)]
)
_IN_CHILD = """
import os, resource, subprocess, sys, ctypes
os.setgroups([]); os.setgid({user}); os.setuid({user})
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # the change of the user has closed it, too
{protect}
print(os.getpid(), resource.getrlimit(resource.RLIMIT_CORE)[0], flush=True)
sys.stdin.read(1)
print(open("/proc/self/status").read()[:4], len(os.listdir("/proc/self/fd")) > 2)
done = subprocess.run([sys.executable, "-c", "import os; print(os.listdir('/proc/self/fd') != [])"],
                      capture_output=True, text=True)
print(done.stdout.strip(), done.returncode)
try:
    print(subprocess.run({bwrap}, stderr=subprocess.DEVNULL).returncode)
except OSError:
    print("none")
"""
_BWRAP = ["/usr/bin/bwrap", "--unshare-all", "--unshare-user", "--ro-bind", "/", "/", "true"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="requires root, to become two other processes")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="requires Linux")


def sandbox_works_for(user: int) -> str:
    """Return the exit code of an empty sandbox of an ordinary *user*; ``none`` without bubblewrap."""
    try:
        done = subprocess.run(
            _BWRAP, user=user, group=user, extra_groups=[], stderr=subprocess.DEVNULL, check=False
        )
    except OSError:
        return "none"
    return str(done.returncode)


def starts_for(user: int, program: Path) -> bool:
    """Whether an ordinary *user* can start *program* and load its modules."""
    try:
        line = [program, "-I", "-c", "import resource, ctypes"]
        return subprocess.run(line, user=user, group=user, extra_groups=[], check=False).returncode == 0
    except OSError:
        return False


def looks_by(reader: int, pid: int) -> dict[str, bool]:
    """Return what a process of *reader* may see of the process *pid*."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        found = {}
        try:
            os.setgroups([])
            os.setgid(reader)
            os.setuid(reader)
            for name in ("environ", "mem", "maps"):
                try:
                    with Path(f"/proc/{pid}/{name}").open("rb") as file:
                        found[name] = name == "mem" or bool(file.read(10))
                except OSError:
                    found[name] = False
            os.write(writing, json.dumps(found).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as answer:
        return dict(json.loads(answer.read()))


@needs_root
@needs_linux
@pytest.mark.parametrize("is_protected", [True, False], ids=["protected", "as-it-was"])
def test_another_process_of_the_same_user_cannot_read_it(is_protected):
    """Neither environment nor memory; it itself can still start programs and a sandbox."""
    found = (Path(sys.base_prefix) / "bin/python3", Path("/usr/bin/python3"))
    python = next((path for path in found if starts_for(NOBODY, path)), None)
    if python is None:
        pytest.skip("requires a Python that an ordinary user can start")
    protect = f"{_PROTECT}\nprotect_process()" if is_protected else ""
    with subprocess.Popen(
        [python, "-I", "-c", _IN_CHILD.format(user=NOBODY, protect=protect, bwrap=_BWRAP)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"ANTHROPIC_API_KEY": SECRET},
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline().split()
        seen = looks_by(NOBODY, int(first[0]))
        rest = process.communicate("x")[0].split()
    assert seen == dict.fromkeys(("environ", "mem", "maps"), not is_protected)
    assert rest == ["Name", "True", "True", "0", sandbox_works_for(NOBODY)]
    if is_protected:
        assert first[1] == "0"


@needs_linux
def test_the_command_line_protects_itself_from_its_start(tmp_path):
    """The state of the process is looked at while a command waits for its input."""
    command = [sys.executable, "-m", "sunwell", "run", "-", "--model", "opus", "-w", str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "waiting for" in process.stderr.readline()
        limits = Path(f"/proc/{process.pid}/limits").read_text() if os.geteuid() == 0 else ""
        owner = Path(f"/proc/{process.pid}/environ").stat()
        process.kill()
    assert (owner.st_uid, owner.st_mode & 0o077) == (0, 0)
    assert not limits or re.search(r"Max core file size +0 ", limits)


KEEPER = "command_keeper.py"


def _starts_of_programs() -> Iterator[tuple[str, ast.Call]]:
    names = {"run", "Popen", "call", "check_call", "check_output", "create_subprocess_exec"}
    never = {
        "system",
        "popen",
        "execv",
        "execve",
        "execvp",
        "execvpe",
        "posix_spawn",
        "spawnv",
        "fork",
        "forkpty",
    }
    for path in sorted(Path(sunwell.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner, name = ast.unparse(node.func.value), node.func.attr
            if path.name == KEEPER:  # a program of its own, which becomes the command in the same environment
                assert (owner, name) not in {("os", one) for one in never - {"fork", "execve"}}
                continue
            assert not (owner == "os" and name in never), (path, ast.unparse(node))
            assert name not in ("create_subprocess_shell", "getoutput", "getstatusoutput"), path
            if owner in ("subprocess", "asyncio") and name in names and (owner, name) != ("asyncio", "run"):
                yield f"{path.parent.name}/{path.name}", node


def test_every_program_is_started_with_an_environment_that_is_built_in_one_place():
    """No other place in the source starts a program; none uses a shell's string.

    Only the sandbox is given a descriptor: that of its filter of system calls.
    """
    starts = list(_starts_of_programs())
    given = {
        (where, ast.unparse(word.value))
        for where, node in starts
        for word in node.keywords
        if word.arg == "env"
    }
    assert given == {
        ("checks/command_check.py", "command_environment(environ, Secrets())"),
        ("cli/demo_command.py", "command_environment(os.environ, secrets_from_environment())"),
        ("cli/report_command.py", "desktop_environment(os.environ, secrets_from_environment())"),
        ("tools/mcp_session.py", "environ"),
        ("tools/ripgrep.py", "bare_environment()"),
        ("tools/sandbox.py", "dict(environ)"),
        ("tools/shell.py", "dict(environ)"),
    }
    names = [{word.arg for word in node.keywords} for _, node in starts]
    assert all("env" in each for each in names)
    assert all(each.isdisjoint({"shell", "close_fds", "preexec_fn"}) for each in names)
    passing = {where for where, node in starts if any(word.arg == "pass_fds" for word in node.keywords)}
    assert passing == {"tools/mcp_session.py", "tools/sandbox.py", "tools/shell.py"}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="requires /proc")
async def test_a_command_gets_no_descriptor_and_no_variable(tmp_path, monkeypatch):
    """Not even one that this process would pass on to what it starts, such as a journal or a lock."""
    for name in ("LD_PRELOAD", "PYTHONPATH", "BASH_ENV", "NODE_OPTIONS", "GIT_DIR", "IFS"):
        monkeypatch.setenv(name, "/tmp/evil")
    (tmp_path / "work").mkdir()
    opened = os.open(tmp_path / "secret", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(opened, True)
    try:
        box = Toolbox(tmp_path / "work", secrets=Secrets(), allow_shell=True, sandbox="off")
        arguments = {"command": "ls -l /proc/self/fd; env", "timeout_seconds": None}
        said = (await box.execute(ToolCall("1", "run_command", json.dumps(arguments)))).content
    finally:
        os.close(opened)
    numbers = re.findall(r" (\d+) -> ", said)
    assert {int(number) for number in numbers} <= {0, 1, 2, 3}  # 3: ls itself has opened the folder
    assert "secret" not in said
    assert "evil" not in said


def _options(command: click.Command, path: str = "") -> Iterator[tuple[str, str]]:
    for one in command.params:
        yield from ((path, name) for name in one.opts)
    for name, sub in getattr(command, "commands", {}).items():
        yield from _options(sub, f"{path} {name}")


def test_no_option_takes_a_key():
    """Arguments of a command can be read by every user of the machine.

    The token of the endpoint can be typed all the same, as was decided for it; the command says who reads it.
    """
    secret = re.compile(r"(?:^|[-_])(?:api-?key|key|token|secret|password|passwd|header|auth|login|cookie)$")
    found = [one for one in _options(cli) if secret.search(one[1].lstrip("-"))]
    assert found == [(" serve", "--token")]


def test_last_words_hold_no_secret(monkeypatch):
    """An error that nobody caught is printed with its chain, without keys, logins and tokens."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    try:
        try:
            raise ValueError(f"sent {SECRET} to postgres://app:pw@db/x")
        except ValueError as error:
            raise RuntimeError("odd") from error
    except RuntimeError as error:
        shown = told_safely("".join(traceback.format_exception(error)))
    assert "ValueError: sent [ANTHROPIC_API_KEY] to postgres://[login]@db/x" in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([f"--{SECRET}"], id="option"),
        pytest.param([SECRET], id="command"),
        pytest.param(["run", f"--{SECRET}", "x"], id="option-of-a-command"),
        pytest.param(["run", "--budget-usd", SECRET, "x"], id="value"),
        pytest.param(["show", SECRET], id="argument"),
    ],
)
def test_what_was_typed_wrongly_is_repeated_without_secrets(monkeypatch, tmp_path, arguments):
    """Logs of automatic builds keep what a command says, and a key may stand in a command line there."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 2
    assert "[ANTHROPIC_API_KEY]" in done.output
    assert SECRET not in done.output
