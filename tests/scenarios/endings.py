"""Starts commands, interrupts each in the middle of something, and prints how and how fast it ended.

Started as a program by ``test_ends_at_once.py`` and ``benchmarks/ends.py``: ``endings.py AT_ONCE ROW HOW ROW
HOW ...``. HOW is the name of a signal, ``SIGINT+SIGINT`` for Ctrl-C twice, or ``limit`` for the time limit of
the run; without arguments it lists the rows. A process for each row adopts what the command leaves behind, so
that it knows whether a child is left.
"""

import ctypes
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path

import attrs

from sunwell.core import ToolCall
from sunwell.core.message import Text
from sunwell.errors import JournalError
from sunwell.journal import list_runs, read_records
from sunwell.journal.records import RunClosed, RunOpened
from sunwell.journal.tree import tree
from sunwell.simulator import Asked, Fault, FaultRule, Reply, Script, SimulatedModel, Simulator
from sunwell.simulator import running_simulator as running
from sunwell.simulator.scripts import DEMO_MODELS, steps

SMART, CHEAP = "claude-opus-5-5", "claude-haiku-5-5"
LIMIT_SECONDS = 2
_FOREVER_SECONDS = 3600.0
_LONGEST_SECONDS = 60.0
_SETTLED_SECONDS = 0.2
_SUBREAPER = 36
TASK = "Say what the files are about"


def text(said: str) -> Reply:
    """Return an answer without tool calls."""
    return Reply((Text(said),))


def calling(name: str, **arguments: object) -> Script:
    """Return a model that makes one call of a tool, and answers after it."""

    def answer(asked: Asked) -> Reply:
        if any(message.role == "tool" for message in asked.messages):
            return text("Done.")
        return Reply((ToolCall("call_1", name, json.dumps(arguments)),))

    return answer


def says(said: str) -> Script:
    """Return a model that always gives the same answer."""
    return lambda _: text(said)


def stuck(script: Script) -> SimulatedModel:
    """Return a model that never comes to its answer."""
    return SimulatedModel(script, latency_seconds=_FOREVER_SECONDS)


@attrs.frozen
class Row:
    """A command, and what it is doing when it is interrupted."""

    arguments: tuple[str, ...] = ("run", TASK, "-m", CHEAP)
    models: Mapping[str, Script | SimulatedModel] = attrs.field(factory=lambda: {CHEAP: says("Done.")})
    faults: tuple[FaultRule, ...] = ()
    server: str = ""
    """A server of its own in place of the simulator: ``silent``, ``trickle``, ``tls``, or ``large``."""
    files: Callable[[Path], None] = lambda _: None
    """Fills the workspace."""
    ready: str = "model_call"
    """What must be in the journal, ``err:`` in standard error, or ``file:`` a file in the workspace, or
    ``asked`` of the server, before the interruption; empty: the beginning of the process."""
    needs: tuple[str, ...] = ()
    limited: bool = True
    """Whether the command has a time limit."""
    terminal: bool = False
    """Whether it runs in a terminal."""
    environ: Callable[[Path], Mapping[str, str]] = lambda _: {}
    program: str = ""
    """A Python program in place of the command."""
    has_bill: bool = True
    """Whether the provider of this row has billed all that its journal books."""


def _many(count: int, line: str = "nothing to see here\n") -> Callable[[Path], None]:
    def fill(root: Path) -> None:
        for number in range(count):
            folder = root / f"part{number // 1000:03d}"
            if number % 1000 == 0:
                folder.mkdir()
            (folder / f"file{number:06d}.txt").write_text(line)

    return fill


def _fifo(root: Path) -> None:
    os.mkfifo(root / "pipe")


def _slow_sync(root: Path) -> Mapping[str, str]:
    source, made = root.parent / "slow.c", root.parent / "slow.so"
    source.write_text(
        "#include <unistd.h>\n#include <time.h>\n"
        "static int slow(void) { struct timespec t = {30, 0}; while (nanosleep(&t, &t)); return 0; }\n"
        "int fsync(int f) { return slow(); }\nint fdatasync(int f) { return slow(); }\n"
    )
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", made, source], check=True)
    return {"LD_PRELOAD": str(made)}


def _tasks(root: Path) -> None:
    (root / "tasks.jsonl").write_text("".join(f'"Task {number}"\n' for number in range(200)))


def _long_journal(root: Path) -> None:
    """Leave a run of many turns behind that was killed."""
    with running(Simulator({CHEAP: steps(300)})) as simulator:
        process = _start(("run", TASK, "-m", CHEAP, "--budget-turns", "1000"), root, simulator.url, {})
        while process.poll() is None:
            runs = list_runs(root)
            if runs and runs[-1].path.stat().st_size > 250_000:
                process.kill()
            time.sleep(0.01)
        process.communicate()


def shell(command: str, **more: object) -> Row:
    """Return a run whose model runs *command*."""
    return Row(
        ("run", TASK, "-m", CHEAP, "--allow-shell", *more.pop("options", ())),  # type: ignore[misc]
        {CHEAP: calling("run_command", command=command, timeout_seconds=None)},
        ready="file:begun",
        **more,  # type: ignore[arg-type]
    )


OWN_TOOL = """
import asyncio, sys, time
from sunwell import Agent, Budget, RunOptions, SessionContext, tool

@tool
def blocks_thread() -> str:
    "Block."
    open("begun", "w").close()
    time.sleep(600)
    return "never"

@tool
async def waits() -> str:
    "Wait."
    open("begun", "w").close()
    await asyncio.sleep(600)
    return "never"

limit = float(sys.argv[2]) if len(sys.argv) > 2 else None
options = RunOptions(model="haiku", tools=[globals()[sys.argv[1]]], budget=Budget(seconds=limit))
try:
    result = asyncio.run(Agent().result(SessionContext.build(".", "Call it", options=options)))
    print(result.status, result.stop_reason, flush=True)
except KeyboardInterrupt:
    sys.exit(130)
"""
_BOTH = ("--smart-model", SMART, "--delegation-model", CHEAP)
_OFF = ("--sandbox", "off")
_DEAF = "trap '' INT TERM HUP; touch begun; while :; do sleep 600; done"
ROWS: Mapping[str, Row] = {
    "start": Row(ready="", limited=False),
    "slow-answer": Row(models={CHEAP: stuck(says("Done."))}, ready="asked"),
    "silent": Row(server="silent", ready="asked"),
    "trickle": Row(server="trickle", ready="asked"),
    "handshake": Row(server="tls", ready="asked"),
    "retry-after": Row(
        faults=(FaultRule(Fault(status=429, retry_after_seconds=50)),), ready="asked", limited=True
    ),
    "stalled-stream": Row(faults=(FaultRule(Fault(stall_midway_seconds=_FOREVER_SECONDS)),), ready="asked"),
    "answer-50mb": Row(server="large", ready="asked"),
    "deaf-command": shell(_DEAF, options=_OFF),
    "deaf-in-sandbox": shell(_DEAF, needs=("bwrap",)),
    "stopped-command": shell("touch begun; kill -STOP $$", options=_OFF),
    "stopped-in-sandbox": shell("touch begun; kill -STOP $$", needs=("bwrap",)),
    "forks": shell("for i in 1 2 3 4 5; do (sleep 600 &) ; done; touch begun; sleep 600", options=_OFF),
    "daemon-in-sandbox": shell("setsid sleep 600 & touch begun; sleep 600", needs=("bwrap",)),
    "floods": shell("touch begun; exec yes", options=_OFF),
    "check": Row(("run", TASK, "-m", CHEAP, "--sandbox", "off", "--check", _DEAF), ready="file:begun"),
    "ladder": Row(
        ("run", TASK, *_BOTH, "--escalate", "--sandbox", "off", "--check", _DEAF),
        {CHEAP: says("Done."), SMART: says("Done.")},
        ready="file:begun",
    ),
    "judge": Row(
        ("run", TASK, "-m", CHEAP, "--judge", "It is right."),
        faults=(FaultRule(Fault(stall_before_seconds=_FOREVER_SECONDS), numbers=(2,)),),
        ready="asked:2",
    ),
    "python-loop": Row(
        ("run", TASK, "-m", CHEAP, "--allow-python"),
        {CHEAP: calling("execute_python", code="while True:\n    pass\n")},
        ready="tool_started",
        needs=("monty",),
    ),
    "search": Row(
        models={CHEAP: calling("search_files", pattern="(x+x+)+y", literal=False, path=None, glob=None)},
        files=_many(20_000, "x" * 30 + "\n"),
        ready="tool_started",
        limited=False,  # a search has a limit of its own, which is shorter
    ),
    "gathering": Row(
        ("run", "Generate CRUD endpoints for 5 entities", *_BOTH, "--delegate"),
        {CHEAP: says("Done."), SMART: stuck(says("{}"))},
        files=_many(20_000),
        ready="run_opened",
    ),
    "context-pipe": Row(
        ("run", TASK, "-m", CHEAP, "--context", "pipe"), files=_fifo, ready="", limited=False
    ),
    "approval": Row(
        ("run", TASK, "-m", CHEAP, "--approve"),
        {CHEAP: calling("write_file", path="new.txt", content="x\n")},
        ready="err:Make new.txt",
        terminal=True,
        limited=False,  # a person may take any time
    ),
    "batch": Row(
        ("batch", "tasks.jsonl", "-m", CHEAP), {CHEAP: stuck(says("Done."))}, files=_tasks, ready="asked"
    ),
    "orchestrated": Row(
        ("run", "Generate CRUD endpoints for 5 entities", *_BOTH, "--orchestrate"),
        {SMART: DEMO_MODELS[SMART], CHEAP: stuck(says("Done."))},
        ready="asked:2",
    ),
    "lens": Row(
        ("lens", TASK, "--smart-model", SMART), {SMART: stuck(says("{}"))}, ready="asked", limited=False
    ),
    "estimate": Row(
        ("estimate", TASK, *_BOTH),
        files=_many(20_000),
        ready="after:0.9",
        limited=False,
    ),
    "doctor": Row(("doctor",), server="silent", ready="asked", limited=False),
    "replay": Row(
        ("resume", "RUN"),
        {CHEAP: stuck(says("Done."))},
        files=_long_journal,
        ready="resumed",
        limited=False,
        has_bill=False,
    ),
    # No limit: what a run has done must be on the disk before it ends, and only a signal goes without.
    "slow-disk": Row(environ=_slow_sync, needs=("gcc",), ready="file:.sunwell/runs", limited=False),
    "own-async-tool": Row(
        models={CHEAP: calling("waits")}, ready="file:begun", program=OWN_TOOL + "\n# waits"
    ),
    "own-sync-tool": Row(
        models={CHEAP: calling("blocks_thread")}, ready="file:begun", program=OWN_TOOL + "\n# blocks_thread"
    ),
}


def _start(
    arguments: tuple[str, ...], root: Path, url: str, environ: Mapping[str, str], **more: object
) -> "subprocess.Popen[str]":
    def plain() -> None:  # who starts the tests in the background has them ignore these
        for one in (signal.SIGINT, signal.SIGHUP):
            signal.signal(one, signal.SIG_DFL)

    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        arguments if arguments[0] == sys.executable else [sys.executable, "-m", "sunwell", *arguments],
        cwd=root,
        env={**os.environ, "ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "simulated-key", **environ},
        text=True,
        preexec_fn=plain,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more},
    )


_LARGE_EVENT = b'event: content_block_delta\ndata: {"text": "%s"}\n\n' % (b"[{" * 25_000_000)


@attrs.define(eq=False)
class Server:
    """A server that takes connections and is no provider."""

    kind: str
    asked: int = 0
    url: str = ""

    @contextmanager
    def run(self) -> Iterator["Server"]:
        """Listen while the body runs."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.url = f"http{'s' * (self.kind == 'tls')}://127.0.0.1:{listening.getsockname()[1]}"
            threading.Thread(target=self._serve, args=(listening,), daemon=True).start()
            yield self

    def _serve(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._answer, args=(listening.accept()[0],), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.recv(1 << 16)
            self.asked += 1
            if self.kind in ("trickle", "large"):
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            if self.kind == "large":
                connection.sendall(_LARGE_EVENT)
            while True:
                time.sleep(0.5)
                if self.kind == "trickle":
                    connection.sendall(b":")


_HEARD_SECONDS = 2.0


@attrs.define(eq=False)
class Watch:
    """A started command, and all that is known of it."""

    row: Row
    root: Path
    process: "subprocess.Popen[str]"
    asked: Callable[[], int]
    begun: float = attrs.field(factory=time.monotonic)
    err: list[str] = attrs.field(factory=list)
    out: list[str] = attrs.field(factory=list)
    _readers: list[threading.Thread] = attrs.field(factory=list, init=False)

    def hear_the_end(self) -> None:
        """Read what the command wrote before it ended; what it has left behind may hold a stream open."""
        until = time.monotonic() + _HEARD_SECONDS
        for reader in self._readers:
            reader.join(max(0.0, until - time.monotonic()))

    def listen(self, terminal: int | None) -> None:
        """Read both streams in threads, so that neither fills."""

        def read(stream: object, kept: list[str]) -> None:
            while part := stream.read(1):  # type: ignore[attr-defined]
                kept.append(part)

        def read_terminal() -> None:
            with suppress(OSError):
                while part := os.read(terminal or 0, 4096):
                    self.err.append(part.decode("utf-8", "replace"))

        pairs = [(self.process.stdout, self.out), (self.process.stderr, self.err)]
        for stream, kept in pairs:
            if stream is not None:
                self._readers.append(threading.Thread(target=read, args=(stream, kept), daemon=True))
        if terminal is not None:
            self._readers.append(threading.Thread(target=read_terminal, daemon=True))
        for reader in self._readers:
            reader.start()

    @property
    def journal(self) -> Path | None:
        """The journal of the run, once there is one."""
        runs = list_runs(self.root)
        return runs[-1].path if runs else None

    def is_ready(self) -> bool:
        """Whether the command does what its row says."""
        kind, _, what = self.row.ready.partition(":")
        if kind == "":
            return True
        if kind == "after":
            return time.monotonic() - self.begun > float(what)
        if kind == "asked":
            return self.asked() >= int(what or 1)
        if kind == "file":
            return (self.root / what).exists()
        if kind == "err":
            return what in "".join(self.err)
        path = self.journal
        with suppress(OSError):
            return path is not None and f'"{_KINDS.get(kind, kind)}"' in path.read_text("utf-8", "replace")
        return False


_KINDS = {"model_call": "intent", "run_opened": "run", "tool_started": "tool-started"}


def _children() -> list[str]:
    """Return what is left of the command's processes, by name."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for number in (task / "children").read_text().split():
            with suppress(OSError):
                state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z":
                    found.append(Path(f"/proc/{number}/cmdline").read_text().replace("\0", " ").strip())
    return found


def _bill(journal: Path, simulator: Simulator | None) -> str:
    """Return what is wrong with the run's bill; empty if it covers the provider's."""
    root = tree(read_records(journal))
    booked = root.total_cost_usd or Decimal(0)
    most = booked + (root.total_uncertain_usd or Decimal(0))
    billed = simulator.bill.total_usd() if simulator is not None else Decimal(0)
    return "" if booked <= billed <= most else f"booked {booked}, at most {most}, billed {billed}"


def ended(row: Row, how: str, root: Path) -> dict[str, object]:
    """Start the command of *row* in *root*, interrupt it, and return what came of it."""
    row.files(root)
    environ = row.environ(root)
    simulator = Simulator(row.models, faults=list(row.faults)) if not row.server else None
    if simulator is not None:
        with running(simulator):
            told = _interrupted(row, how, root, simulator.url, lambda: len(simulator.requests), environ)
    else:
        with Server(row.server).run() as server:
            told = _interrupted(row, how, root, server.url, lambda: server.asked, environ)
    return told | _state(root, row, simulator)


def _state(root: Path, row: Row, simulator: Simulator | None) -> dict[str, object]:
    runs = list_runs(root)
    if not runs:
        return {"journal": None, "bill": ""}
    try:
        records = list(read_records(runs[-1].path))
    except JournalError as error:
        return {"journal": str(error), "bill": ""}
    closed = [record for record in records if isinstance(record, RunClosed)]
    bill = _bill(runs[-1].path, simulator) if row.has_bill else ""
    return {"journal": closed[-1].stop_reason if closed else "open", "bill": bill}


def _interrupted(
    row: Row,
    how: str,
    root: Path,
    url: str,
    asked: Callable[[], int],
    environ: Mapping[str, str],
) -> dict[str, object]:
    runs = list_runs(root)
    arguments = tuple(runs[-1].run_id if word == "RUN" else word for word in row.arguments)
    if row.program:
        arguments = (sys.executable, "-c", row.program, row.program.rpartition("# ")[2])
        arguments += (str(LIMIT_SECONDS),) if how == "limit" else ()
    elif how == "limit":
        arguments += ("--budget-seconds", str(LIMIT_SECONDS))
    more: dict[str, object] = {}
    terminal = None
    if row.terminal:
        terminal, inner = pty.openpty()
        more = {"stdin": inner, "stderr": inner}
    process = _start(arguments, root, url, environ, **more)
    if terminal is not None:
        os.close(inner)  # else its end would not be seen
    watch = Watch(row, root, process, asked)
    watch.listen(terminal)
    while not watch.is_ready() and process.poll() is None:
        if time.monotonic() - watch.begun > _LONGEST_SECONDS:
            process.kill()
            return {"seconds": None, "code": None, "said": "never ready", "left": _left(process)}
        time.sleep(0.005)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_SETTLED_SECONDS)
    was_over, since = process.poll() is not None, time.monotonic()
    if how != "limit":
        for name in how.split("+"):
            with suppress(ProcessLookupError):
                process.send_signal(getattr(signal, name))
            time.sleep(0.05 if "+" in how else 0)
    try:
        if not was_over:
            process.wait(_LONGEST_SECONDS)
        seconds: float | None = time.monotonic() - since
    except subprocess.TimeoutExpired:
        seconds = None
        process.kill()
        process.wait()
    if how == "limit" and seconds is not None and watch.journal is not None:
        opened = next(iter(read_records(watch.journal)), None)
        assert isinstance(opened, RunOpened)
        seconds = time.time() - opened.at - LIMIT_SECONDS
    watch.hear_the_end()
    lines = "".join(watch.err).strip().splitlines()
    return {
        "seconds": seconds,
        "code": process.returncode,
        "said": lines[-1] if lines else "",
        "err": "".join(watch.err)[-2000:],
        "was_over": was_over and how != "limit",
        "left": _left(process),
    }


def _left(process: "subprocess.Popen[str]") -> list[str]:
    time.sleep(0.05)  # a killed sandbox takes its processes with it, one after the other
    return _children()


def tell(name: str, how: str) -> None:
    """Print how the row *name* ended as one line of JSON."""
    assert ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0) == 0
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="sunwell-ends-", dir=place))
    try:
        (folder / "workspace").mkdir()
        told = {"row": name, "how": how, **ended(ROWS[name], how, folder / "workspace")}
    except BaseException as error:
        told = {"row": name, "how": how, "seconds": None, "error": repr(error)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    os.write(1, json.dumps(told).encode() + b"\n")


def main(at_once: int, pairs: list[str]) -> None:
    """Tell of each row in a process of its own, *at_once* of them at a time."""
    going: set[int] = set()
    for name, how in zip(pairs[::2], pairs[1::2], strict=True):
        while len(going) >= at_once:
            going.discard(os.wait()[0])
        child = os.fork()
        if child == 0:
            tell(name, how)
            os._exit(0)  # threads of a server may still wait for a command
        going.add(child)
    while going:
        going.discard(os.wait()[0])


def describe() -> None:
    """Print the names of all rows, what they need, and whether they have a time limit."""
    print(
        json.dumps(
            [
                {"row": name, "needs": row.needs, "limited": row.limited, "is_program": bool(row.program)}
                for name, row in ROWS.items()
            ]
        )
    )


if __name__ == "__main__" and not sys.argv[1:]:
    describe()
elif __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
