"""Python that a model wrote computes, reads what it may read, and does nothing else."""

import asyncio
import datetime
import os
import subprocess
import tracemalloc
from pathlib import Path

import pytest

from sunwell.core.message import ToolCall
from sunwell.core.secrets import Secrets
from sunwell.errors import ConfigurationError
from sunwell.tools import Toolbox
from sunwell.tools.limits import ToolLimits
from sunwell.tools.python_session import (
    Printed,
    PythonSession,
    ScriptHost,
    SessionLost,
    require_interpreter,
    run_script,
)
from tests.tools.conftest import CANARY


def python(folder: Path, secrets: Secrets | None = None, **limits: float) -> Toolbox:
    return Toolbox(folder, allow_python=True, secrets=secrets or Secrets(), limits=ToolLimits(**limits))


async def test_a_script_computes_and_what_it_prints_is_told(folder, ask):
    """Only what is printed is told, as it was printed; the call is marked as safe to repeat."""
    box = python(folder)
    code = "import re\nprint(sum(int(n) for n in re.findall(r'\\d+', '3 mugs, 40 cups')))"
    result = await ask(box, "execute_python", code=code)
    assert (result.content, result.is_error) == ("43\n", False)
    silent = await ask(box, "execute_python", code="6 * 7")
    assert silent.content == "(it printed nothing; only what is printed is shown)"
    staged = await box.stage(ToolCall("call-1", "execute_python", '{"code": "print(1)"}'))
    assert staged.repeatable


async def test_nothing_is_left_of_an_earlier_call(folder, ask):
    """Each call starts with nothing, so one that is made again gives the same."""
    box = python(folder)
    await ask(box, "execute_python", code="kept = 1")
    assert "name 'kept' is not defined" in (await ask(box, "execute_python", code="print(kept)")).content


@pytest.mark.parametrize(
    ("code", "said"),
    [
        pytest.param("1/0", "ZeroDivisionError", id="exception"),
        pytest.param("def f(:", "SyntaxError", id="syntax"),
        pytest.param("'''open", "SyntaxError", id="text-that-goes-on"),
        pytest.param("   ", "code is empty", id="empty"),
        pytest.param("#" * 100_001, "longer than 100,000 characters", id="long"),
        pytest.param("print('\ud800')", "lone surrogate", id="half-a-character"),
        pytest.param("read_file(7)", "a path is a string, not int", id="no-path"),
        pytest.param("[" * 5_000 + "]" * 5_000, "too deeply nested", id="nested"),
        pytest.param("raise SystemExit(3)", "[it failed]\nSystemExit takes no number here; let", id="exit"),
    ],
)
async def test_a_mistake_is_told(folder, ask, code, said):
    """The model gets what Python would say, and the run goes on."""
    result = await ask(python(folder), "execute_python", code=code)
    assert result.is_error
    assert said in result.content


async def test_what_was_printed_before_a_failure_is_told_with_it(folder, ask):
    """The line that failed is named, after what had been printed."""
    result = await ask(python(folder), "execute_python", code="print('so far')\nint('x')")
    assert result.content.startswith("so far\n")
    assert "line 2" in result.content


ESCAPES = {
    "open": "print(open('{canary}').read())",
    "open-relative": "print(open('../canary.txt').read())",
    "pathlib": "from pathlib import Path\nprint(Path('{canary}').read_text())",
    "listing": "import os\nprint(os.listdir('{outside}'))",
    "write": "open('{root}/made', 'w').write('x')",
    "write-with-pathlib": "from pathlib import Path\nPath('{root}/made').write_text('x')",
    "environment": "import os\nprint(os.environ['SUNWELL_CANARY'])",
    "getenv": "import os\nprint(os.getenv('SUNWELL_CANARY'))",
    "process": "import os\nos.system('cat {canary}')",
    "subprocess": "import subprocess\nprint(subprocess.check_output(['cat', '{canary}']))",
    "socket": "import socket\nsocket.create_connection(('127.0.0.1', 9))",
    "http": "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:9')",
    "native": "import ctypes\nctypes.CDLL(None)",
    "import-by-name": "__import__('subprocess').check_output('ls')",
    "importlib": "import importlib\nimportlib.import_module('socket')",
    "own-package": "import sunwell",
    "installed-package": "import anthropic",
    "module-of-the-workspace": "import planted",
    "subclasses": "print(().__class__.__bases__[0].__subclasses__())",
    "globals-of-a-function": "print(read_file.__globals__)",
    "code-in-text": "exec('import socket')",
    "read-outside": "print(read_file('../canary.txt'))",
    "read-absolute": "print(read_file('{canary}'))",
    "read-through-a-link": "print(read_file('link.txt'))",
    "read-private": "print(read_file('.env'))",
    "list-outside": "print(list_files('..'))",
}


@pytest.mark.parametrize("code", ESCAPES.values(), ids=ESCAPES)
async def test_there_is_no_way_out(folder, ask, monkeypatch, code):
    """No file but the workspace's, no network, no process, no environment, no import of others' code."""
    monkeypatch.setenv("SUNWELL_CANARY", CANARY)
    (folder / "link.txt").symlink_to(folder.parent / "canary.txt")
    (folder / ".env").write_text(f"KEY={CANARY}")
    (folder / "planted.py").write_text("print('ran')")
    before = sorted(folder.rglob("*"))
    paths = {"canary": folder.parent / "canary.txt", "outside": folder.parent, "root": folder}
    for name, path in paths.items():
        code = code.replace(f"{{{name}}}", str(path))
    result = await ask(python(folder), "execute_python", code=f"{code}\nprint('went on')")
    assert CANARY not in result.content
    assert sorted(folder.rglob("*")) == before
    if "getenv" not in code:
        assert result.is_error
        assert "went on" not in result.content


@pytest.mark.parametrize(
    ("code", "said"),
    [
        pytest.param("while True: pass", "TimeoutError", id="endless"),
        pytest.param(
            "while True:\n  try:\n    while True: pass\n  except BaseException: pass",
            "TimeoutError",
            id="endless-and-stubborn",
        ),
        pytest.param("x = 'x' * 10**10", "MemoryError", id="large-text"),
        pytest.param("x = []\nwhile True: x.append('y' * 10_000)", "MemoryError", id="growing"),
        pytest.param("x = 9**9**9", "MemoryError", id="large-number"),
        pytest.param("def f(n): return f(n + 1)\nf(0)", "RecursionError", id="recursion"),
        pytest.param("x = f'{1:>10000000000}'", "MemoryError", id="padding"),
    ],
)
async def test_what_takes_too_much_is_stopped(folder, ask, code, said):
    """Loops and bombs end at the limit, in a process of their own."""
    seconds = 0.4 if said == "TimeoutError" else 25  # a busy machine takes its time to fill the memory
    box = python(folder, python_seconds=seconds, python_bytes=30_000_000)
    result = await ask(box, "execute_python", code=code)
    assert result.is_error
    assert said in result.content


async def test_sleeping_takes_no_time(folder, ask):
    """A script that sleeps goes on at once: there is nothing to wait for."""
    box = python(folder, call_seconds=5)
    result = await ask(box, "execute_python", code="import time\ntime.sleep(1000)\nprint('woke')")
    assert result.content == "woke\n"


async def test_a_value_at_the_end_stays_in_the_sandbox(folder, ask):
    """A last expression is not brought into this process, where it would take many megabytes."""
    tracemalloc.start()
    try:
        result = await ask(python(folder), "execute_python", code="[str(n) for n in range(200_000)]")
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not result.is_error
    assert peak_bytes < 5_000_000


async def test_a_script_reads_so_many_times_at_most(folder, ask):
    """Each call of a function counts; after the last the script ends."""
    box = python(folder, python_calls=100)
    result = await ask(box, "execute_python", code="while True:\n    list_files()\n    print('once')")
    assert 40 <= result.content.count("once\n") <= 100
    assert "limit 100 exceeded" in result.content


async def test_output_is_cut_and_said(folder, ask):
    """What does not fit is counted, and terminal codes are left out."""
    box = python(folder, output_chars=3_000)
    result = await ask(box, "execute_python", code="print('\\x1b[31m' + 'ab' * 50_000)")
    assert result.content.startswith("abab")
    assert len(result.content) < 3_000
    assert "more characters it printed were cut off here" in result.content


class Nothing(ScriptHost):
    """A host that has nothing to reach."""

    def value_of(self, name: str) -> tuple[object, bool]:
        """There is no name."""
        return None, False


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("while True:\n    pass", id="endless"),
        pytest.param(
            "try:\n    while True:\n        pass\nexcept BaseException:\n    while True:\n        pass",
            id="endless-and-catches",
        ),
    ],
)
async def test_a_session_whose_script_never_ends_is_lost(code: str) -> None:
    """After the time that a script may compute, which the sentence names; scripts before it kept names."""
    limits = ToolLimits(python_seconds=0.4)
    now = datetime.datetime.now(datetime.UTC)
    async with PythonSession.opened(limits, at=now, seed=1) as session:
        printed = Printed(100)
        assert await session.feed("kept = 7", Nothing(), printed) == ""
        assert await session.feed("print(kept)", Nothing(), printed) == ""
        assert printed.text == "7\n"
        with pytest.raises(SessionLost, match=r"a script may compute for 0\.4 seconds: this was stopped"):
            await session.feed(code, Nothing(), printed)


async def called(*_: object) -> str:
    """Answer a call of a script."""
    return "yes"


class Answering(Nothing):
    """A host with one function."""

    def value_of(self, name: str) -> tuple[object, bool]:
        """There is only ``called``."""
        return called, name == "called"

    async def call(self, function: str, owner: object, args: tuple[object, ...], named: object) -> object:
        """Answer."""
        return await called(function)


async def test_a_script_that_calls_for_ever_is_stopped() -> None:
    """An error after the calls that it may make; one that catches it and goes on costs the session."""
    limits = ToolLimits(python_seconds=60, python_calls=50)
    now = datetime.datetime.now(datetime.UTC)
    async with PythonSession.opened(limits, at=now, seed=1) as session:
        printed, host = Printed(100), Answering()
        assert await session.feed("for i in range(50):\n    last = called()", host, printed) == ""
        said = await session.feed("for i in range(1_000_000):\n    called()", host, printed)
        assert "50 calls, not more" in said
        assert await session.feed("print(last)", host, printed) == ""
        assert printed.text == "yes\n"
        catches = (
            "for i in range(1_000_000):\n    try:\n        called()\n    except RuntimeError:\n        pass"
        )
        with pytest.raises(SessionLost, match="50 calls, not more, and it went on"):
            await session.feed(catches, host, printed)


async def test_endless_output_is_stopped(folder, ask):
    """Printing without end takes no more memory than is shown, and ends with the time."""
    box = python(folder, output_chars=3_000, python_seconds=0.3)
    result = await ask(box, "execute_python", code="while True: print('x' * 1000)")
    assert "TimeoutError" in result.content
    assert len(result.content) <= 3_000


async def test_a_script_reads_the_workspace_as_the_file_tools_do(folder, ask):
    """Ignored files are not listed, secrets are replaced, and what was read is on record."""
    secrets = Secrets()
    secrets.add("s3cr3t-of-the-house", "KEY")
    (folder / "src").mkdir()
    (folder / "src" / "a.py").write_text("one\ntwo\n")
    (folder / "b.txt").write_text("key s3cr3t-of-the-house")
    (folder / "build.log").write_text("x")
    (folder / ".gitignore").write_text("*.log\n")
    box = python(folder, secrets)
    code = "print([p for p in list_files() if not p.startswith('.')])\nprint(list_files('src'))"
    listed = await ask(box, "execute_python", code=code)
    assert listed.content == "['b.txt', 'src/a.py']\n['src/a.py']\n"
    code = "print(len(read_file('src/a.py').splitlines()), '|'.join(read_file(path='b.txt')))"
    read = await ask(box, "execute_python", code=code)
    assert read.content == "2 " + "|".join("key [KEY]") + "\n"
    assert [one.path for one in read.reads] == ["src/a.py", "b.txt"]


async def test_a_script_sees_what_a_dry_run_planned(folder, ask):
    """In a dry run a script reads the files as they would be."""
    box = Toolbox(folder, allow_python=True, dry_run=True, secrets=Secrets())
    await ask(box, "write_file", path="new.txt", content="planned")
    result = await ask(box, "execute_python", code="print(read_file('new.txt'), list_files())")
    assert result.content == "planned ['new.txt']\n"


async def test_a_file_that_is_not_there_can_be_caught(folder, ask):
    """The functions raise OSError with the sentence of the tool."""
    code = "try:\n  read_file('no')\nexcept OSError as error:\n  print('caught:', error)"
    result = await ask(python(folder), "execute_python", code=code)
    assert result.content.startswith("caught: there is no file")


async def test_a_script_reads_no_more_than_its_caller(folder, ask):
    """Who has execute_python alone can compute; files are read by scripts of those who may read files."""
    (folder / "a.txt").write_text("text")
    alone = python(folder).with_tools(["execute_python"])
    assert (await ask(alone, "execute_python", code="print(2)")).content == "2\n"
    for code in ("print(read_file('a.txt'))", "print(list_files())"):
        refused = await ask(alone, "execute_python", code=code)
        assert "is not open to you" in refused.content
    reader = python(folder).with_tools(["execute_python", "read_file"])
    assert (await ask(reader, "execute_python", code="print(read_file('a.txt'))")).content == "text\n"
    assert "not open" in (await ask(reader, "execute_python", code="list_files()")).content


async def test_a_script_reads_a_bounded_amount(folder, ask):
    """Reading the same file for ever ends at the limit of what one call may look through."""
    (folder / "a.txt").write_text("x" * 1_000)
    box = python(folder, search_bytes=5_000)
    result = await ask(box, "execute_python", code="for _ in range(6): print(len(read_file('a.txt')))")
    assert result.content.count("1000") == 5
    assert "reads more than 5,000 bytes" in result.content


def interpreters() -> list[str]:
    """Return the interpreters that this process has started and that still run."""
    listed = subprocess.run(["ps", "-A", "-o", "ppid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(maxsplit=1) for line in listed.stdout.splitlines()]
    ours = [row[1] for row in rows if row[0] == str(os.getpid()) and "monty" in row[1]]
    return [args for args in ours if "<defunct>" not in args]


async def test_a_cancelled_call_leaves_no_process():
    """The interpreter ends with the call, even one that computes without end."""
    loop, began = asyncio.get_running_loop(), asyncio.Event()
    functions = {"began": lambda: loop.call_soon_threadsafe(began.set) and None}
    script = run_script("began()\nwhile True: pass", functions, ToolLimits(python_seconds=100), Printed(100))
    task = asyncio.create_task(script)
    await began.wait()
    assert len(interpreters()) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(100):  # a killed process is gone when the system says so; a look takes milliseconds
        if not interpreters():
            break
        await asyncio.sleep(0)
    assert interpreters() == []


async def test_there_is_no_python_unless_allowed(folder, box, ask):
    """By default the tool is not there."""
    assert "execute_python" not in [spec.name for spec in box.specs()]
    assert (await ask(box, "execute_python", code="print(1)")).is_error


def test_python_needs_a_workspace_and_its_extra():
    """Both are said in one sentence, when the toolbox is made and not when a model asks."""
    with pytest.raises(ConfigurationError, match="allow_python needs a workspace"):
        Toolbox(allow_python=True)
    with pytest.raises(ConfigurationError, match=r"pip install 'sunwell\[python\]'"):
        require_interpreter("an_interpreter_that_is_not_there")


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="requires Linux")
async def test_the_interpreter_writes_nothing_to_the_terminal_itself(folder, ask, capfd):
    """A script that takes too much memory ends it, and it tells of that on standard error."""
    result = await ask(python(folder), "execute_python", code='"a".join(["b" * 10**6] * 10**4)')
    assert result.is_error
    assert "memory" in result.content
    assert capfd.readouterr() == ("", "")
