"""MCP servers that need no time to load: each begins in a copy of a process that has loaded the SDK.

Loading it takes more than a second of computing time, for each server. What is started is a small program
that hands its streams over, tells the exit code, and whose end is the end of the server, too. Tests of what
a server starts, and of the sandbox, start the server itself.
"""

import atexit
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

_SERVERS = Path(__file__).parent / "servers"

_LOADED = """
import gc, json, os, runpy, socket, sys, threading
import anyio._backends._asyncio
import mcp.server.mcpserver, mcp.server.stdio

gc.freeze()
listening = socket.socket(fileno=int(sys.argv[1]))


def end_with(asking):  # whoever started the server has ended
    while asking.recv(1):
        pass
    os._exit(1)


while True:
    asking, _ = listening.accept()
    told, streams, _, _ = socket.recv_fds(asking, 1 << 20, 3)
    if told == b"end":
        break
    if not told:
        asking.close()
        continue
    if os.fork():
        for each in streams:
            os.close(each)
        asking.close()
        while True:  # who waited for a server that has ended
            try:
                if not os.waitpid(-1, os.WNOHANG)[0]:
                    break
            except ChildProcessError:
                break
        continue
    listening.close()
    if child := os.fork():
        for each in streams:
            os.close(each)
        asking.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        os._exit(0)
    for number, each in enumerate(streams):
        os.dup2(each, number)
        os.close(each)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)
    threading.Thread(target=end_with, args=(asking,), daemon=True).start()
    asked = json.loads(told)
    os.environ.clear()
    os.environ.update(asked["environ"])
    os.chdir(asked["folder"])
    sys.argv[:] = asked["arguments"]
    runpy.run_path(asked["arguments"][0], run_name="__main__")
    sys.stdout.flush()
    os._exit(0)
"""


@cache
def _address() -> str:
    """Start the process that is copied, which ends with this one; return where it is asked."""
    folder = tempfile.TemporaryDirectory(prefix="sunwell-servers-")
    address = f"{folder.name}/asked"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        number = listening.fileno()
        process = subprocess.Popen([sys.executable, "-c", _LOADED, str(number)], pass_fds=[number])

    def end() -> None:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(address)
            asking.send(b"end")
        process.wait()
        folder.cleanup()

    atexit.register(end)
    return address


def loaded_command(file: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that starts *file* of the folder of servers with *arguments*."""
    begin = (sys.executable, "-I", "-S", str(_SERVERS / "begun.py"))
    return (*begin, _address(), str(_SERVERS / file), *arguments)
