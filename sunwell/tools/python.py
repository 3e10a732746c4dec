"""The tool execute_python, which exists only if the caller allows it."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import attrs

from sunwell.core.marks import guarded
from sunwell.core.message import FileRead
from sunwell.core.model import ToolSpec
from sunwell.errors import ToolError
from sunwell.tools.arguments import closed, text
from sunwell.tools.limits import Outcome
from sunwell.tools.python_session import Printed, run_script
from sunwell.tools.text_file import text_of
from sunwell.tools.wording import counted, without_escapes
from sunwell.tools.workspace_view import WorkspaceView

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
        code = checked_code(arguments["code"])
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


def checked_code(code: str) -> str:
    """Return *code*. Raises :exc:`~sunwell.errors.ToolError` if it is empty, too long or no text."""
    if not code.strip():
        raise ToolError("code is empty; write a script that prints what you want to know")
    if len(code) > _LONGEST_CODE:
        raise ToolError(f"code is longer than {_LONGEST_CODE:,} characters; write a shorter script")
    try:
        code.encode()
    except UnicodeEncodeError:
        raise ToolError("code has half a character (a lone surrogate) in it; write whole ones") from None
    return code
