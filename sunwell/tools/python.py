"""The tool execute_python, which exists only if the caller allows it."""

import os
import shlex
import sysconfig
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs

from sunwell.core.marks import guarded
from sunwell.core.message import FileRead
from sunwell.core.model import ToolSpec
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.arguments import closed, text
from sunwell.tools.limits import Outcome, ToolLimits
from sunwell.tools.text_file import text_of
from sunwell.tools.wording import counted, without_escapes
from sunwell.tools.workspace_view import WorkspaceView

_PACKAGE = "pydantic_monty"
_MOST_DEEP = 500
_INTERNAL = "Internal error in monty: "
_NO_EXIT = "SystemExit takes no number here; let the script end, or raise an exception with a text"


def require_interpreter(package: str = _PACKAGE) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` unless *package* is installed; it is not loaded."""
    if find_spec(package) is None:
        raise ConfigurationError("execute_python needs an extra package: run pip install 'sunwell[python]'")


def _program() -> str:
    """Return the interpreter's program that was installed with its package.

    The package itself would also search ``PATH``, which may contain a workspace.
    """
    schemes = (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user"))
    for scheme in schemes:
        program = Path(sysconfig.get_path("scripts", scheme)) / "monty"
        if program.is_file():
            return str(program)
    raise ToolError(
        "execute_python cannot run: its interpreter's program (monty) is not where Python installs programs; "
        "do without it (who runs this: pip install --force-reinstall 'sunwell[python]')"
    )


@contextmanager
def _silenced(program: str) -> Iterator[str]:
    """Give the path of a program that is *program* with nothing on standard error, where the system has that.

    The interpreter writes there by itself when it is out of memory, past everything that Sunwell prints, and
    its package has no option for that. The program lies in memory: a command could change a file.
    """
    if not hasattr(os, "memfd_create"):
        yield program
        return
    written = os.memfd_create("monty")
    try:
        os.write(written, f'#!/bin/sh\nexec {shlex.quote(program)} "$@" 2>/dev/null\n'.encode())
        try:  # what is open for writing cannot be run
            file = os.open(f"/proc/self/fd/{written}", os.O_RDONLY)
        except OSError:  # without /proc
            file = None
    finally:
        os.close(written)
    if file is None:
        yield program
        return
    try:
        os.set_inheritable(file, True)  # the shell opens it in the new process
        path = f"/proc/self/fd/{file}"
        yield path if os.access(path, os.X_OK) else program
    finally:
        os.close(file)


@attrs.define(eq=False)
class Printed:
    """Output of a script: the beginning is kept, the rest is counted."""

    room_chars: int
    left_out_chars: int = 0
    _parts: list[str] = attrs.field(factory=list, init=False)

    def __call__(self, stream: str, text: str) -> None:
        kept = text[: self.room_chars]
        self.room_chars -= len(kept)
        self.left_out_chars += len(text) - len(kept)
        if kept:
            self._parts.append(kept)

    @property
    def text(self) -> str:
        return "".join(self._parts)


async def run_script(
    code: str, functions: Mapping[str, Callable[..., Any]], limits: ToolLimits, printed: Printed
) -> str:
    """Run *code* in a separate process; return its error as Python reports it, or ``""``.

    It has no files, network or environment, and only the interpreter's own modules; it can call only
    *functions*, each in a thread. Raises :exc:`~sunwell.errors.ToolError` if the interpreter itself
    ended.
    """
    monty = import_module(_PACKAGE)
    bounds = {
        "max_feed_duration_secs": limits.python_seconds,
        "max_memory": limits.python_bytes,
        "max_recursion_depth": _MOST_DEEP,
        "max_suspensions": limits.python_calls,
    }
    try:
        with _silenced(_program()) as program:
            async with (
                monty.AsyncMonty(binary_path=program, max_processes=1) as pool,
                pool.checkout(limits=bounds, os_policy={"sleep": "zero"}) as session,
            ):
                # The value of a last expression would be rebuilt in this process, outside the limits.
                script = f"{code}\n\nNone"
                await session.feed_run(script, external_lookup=dict(functions), print_callback=printed)
    except monty.MontyCrashedError:
        raise ToolError(
            "the interpreter was stopped: the code took too much time or memory; do less at a time"
        ) from None
    except (monty.MontyRuntimeError, monty.MontySyntaxError) as error:
        said = str(error.display())
        return _NO_EXIT if _INTERNAL in said and "SystemExit" in code else said
    return ""


_LONGEST_CODE = 100_000
_DEEPEST = 50
_MOST_FILES = 20_000


@attrs.frozen
class ExecutePython:
    """Runs Python code that a model wrote, in an interpreter without access to the system.

    Each call starts empty, so it may be repeated. The code may read the same files of the workspace that
    the caller may read with tools.
    """

    view: WorkspaceView
    may_read: bool = True
    may_list: bool = True
    parallel = False  # each uses a CPU core
    repeatable = True
    spec = ToolSpec(
        "execute_python",
        "Run Python in a sandbox, to count, compute or compare. You see only what it prints. Each call "
        "starts with nothing: no variables of an earlier call. No network, no processes, no packages; of "
        "the standard library only such as re, json, math, datetime, itertools and collections. No open(): "
        "read_file(path) gives a file of the workspace as one string, list_files(folder='.') the paths of "
        "all files in and below a folder; both raise OSError.",
        closed({"code": text("A whole script, e.g. print(len(read_file('notes.md').splitlines())).")}),
    )

    def open_to(self, granted: Collection[str]) -> "ExecutePython":
        """Return the tool for a caller with the tools *granted*: its code can read no more than they can."""
        return attrs.evolve(self, may_read="read_file" in granted, may_list="list_files" in granted)

    async def run(self, arguments: Mapping[str, Any]) -> Outcome:
        code = _checked(arguments["code"])
        limits = self.view.limits
        files = _Files(self.view, self.may_read, self.may_list)
        printed = Printed(max(limits.output_chars - 2_000, 100))
        functions: dict[str, Callable[..., Any]] = {
            "read_file": files.read_file,
            "list_files": files.list_files,
        }
        failed = await run_script(code, functions, limits, printed)
        parts = [guarded(without_escapes(printed.text))]
        if printed.left_out_chars:
            parts.append(
                f"[{counted(printed.left_out_chars, 'more character')} it printed were cut off here]"
            )
        elif not parts[0].strip():
            parts = ["(it printed nothing; only what is printed is shown)"] if not failed else []
        if failed:
            parts.append(f"[it failed]\n{guarded(failed[-1_500:])}")
        return Outcome("\n".join(parts), is_error=bool(failed), reads=tuple(files.reads))


@attrs.define(eq=False)
class _Files:
    """The workspace as a script sees it: read-only, with the rules of the file tools."""

    view: WorkspaceView
    may_read: bool
    may_list: bool
    reads: list[FileRead] = attrs.field(factory=list, init=False)
    _left_bytes: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._left_bytes = self.view.limits.search_bytes

    def read_file(self, path: str) -> str:
        if not self.may_read:
            raise PermissionError("the tool read_file is not open to you")
        try:
            content = self.view.read(self.view.meant(_text(path)))
            said = self.view.secrets.redact(text_of(content.path, content.data).text)
        except ToolError as error:
            raise OSError(error.sentence) from None
        self._left_bytes -= len(content.data)
        if self._left_bytes < 0:
            raise OSError(f"the script reads more than {self.view.limits.search_bytes:,} bytes; read less")
        self.reads += self.view.reads([content])
        return said

    def list_files(self, folder: str = ".") -> list[str]:
        if not self.may_list:
            raise PermissionError("the tool list_files is not open to you")
        paths: list[str] = []
        try:
            for entry, ignored in self.view.walk(self.view.meant(_text(folder)), _DEEPEST):
                if entry.kind != "file" or ignored or self.view.secrets.redact(entry.path) != entry.path:
                    continue
                if len(paths) == _MOST_FILES:
                    raise OSError(f"more than {_MOST_FILES:,} files; list a deeper folder")
                paths.append(entry.path)
        except ToolError as error:
            raise OSError(error.sentence) from None
        return paths


def _text(path: object) -> str:
    if not isinstance(path, str):
        raise TypeError(f"a path is a string, not {type(path).__name__}")
    return path


def _checked(code: str) -> str:
    if not code.strip():
        raise ToolError("code is empty; write a script that prints what you want to know")
    if len(code) > _LONGEST_CODE:
        raise ToolError(f"code is longer than {_LONGEST_CODE:,} characters; write a shorter script")
    try:
        code.encode()
    except UnicodeEncodeError:
        raise ToolError("code has half a character (a lone surrogate) in it; write whole ones") from None
    return code
