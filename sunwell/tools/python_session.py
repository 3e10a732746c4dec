"""The interpreter of scripts that models write: a process of its own, without access to the system."""

import os
import shlex
import sysconfig
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import attrs

from sunwell.core.markdown import one_line
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.limits import ToolLimits

_PACKAGE = "pydantic_monty"
_MOST_DEEP = 500
_INTERNAL = "Internal error in monty: "
_NO_EXIT = "SystemExit takes no number here; let the script end, or raise an exception with a text"
_STOPPED = "the interpreter was stopped: the code took too much time or memory; do less at a time"
_TOO_MANY_CALLS = (
    "a script may make {most:,} calls, not more, of functions and methods from outside of it: ask for many "
    "things in one call, or do a part in the next script"
)
_MORE_CALLS = 1_000
"""Calls that are refused before the session ends: a script that goes on after refusals may have no end."""
_ENDED = "the interpreter ended"
_KILLED = "MemoryError: the worker exceeded its memory limit and was terminated"
"""Said when its process had to be ended: its own count of memory, which a script survives, came late."""
_MOST_CALLS_OF_SESSION = 1_000_000_000
"""The interpreter counts the calls of a whole session; those of a script are counted here."""


MODULES = (
    "base64", "bisect", "collections", "copy", "csv", "dataclasses", "datetime", "decimal", "functools",
    "hashlib", "itertools", "json", "math", "random", "re", "time", "typing", "unicodedata",
)  # fmt: skip
"""Modules of the standard library that scripts can import, besides such without a use there."""
NOT_THERE = (
    "Not in this Python: yield, del (use pop), class inheritance, methods as values (for key=d.get or "
    "str.lower write a lambda), functions in re.sub, more than one argument of set.union."
)


def has_interpreter(package: str = _PACKAGE) -> bool:
    """Whether *package* is installed; it is not loaded."""
    return find_spec(package) is not None


def require_interpreter(package: str = _PACKAGE, what: str = "execute_python") -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` unless *package*, which *what* needs, is installed."""
    if not has_interpreter(package):
        raise ConfigurationError(f"{what} needs an extra package: run pip install 'sunwell[python]'")


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
        "scripts cannot run: the interpreter's program (monty) is not where Python installs programs; "
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
    """Output of scripts: the beginning is kept, and the end if there is room for it; the rest is counted."""

    room_chars: int
    end_chars: int = 0
    """Characters of the end that are kept besides."""
    _total_chars: int = attrs.field(default=0, init=False)
    _parts: list[str] = attrs.field(factory=list, init=False)
    _ends: deque[str] = attrs.field(factory=deque, init=False)
    _kept_chars: int = attrs.field(default=0, init=False)

    def __call__(self, stream: str, text: str) -> None:
        self._total_chars += len(text)
        kept = text[: self.room_chars]
        self.room_chars -= len(kept)
        if kept:
            self._parts.append(kept)
        if self.end_chars and (rest := text[len(kept) :]):
            self._ends.append(rest)
            self._kept_chars += len(rest)
            while self._kept_chars - len(self._ends[0]) >= self.end_chars:
                self._kept_chars -= len(self._ends.popleft())

    @property
    def text(self) -> str:
        """The beginning of the output."""
        return "".join(self._parts)

    @property
    def end(self) -> str:
        """The end of the output, if it is kept and does not belong to the beginning."""
        return "".join(self._ends)[-self.end_chars :] if self.end_chars else ""

    @property
    def left_out_chars(self) -> int:
        """Characters that are in neither."""
        return self._total_chars - len(self.text) - len(self.end)


@asynccontextmanager
async def _interpreter(limits: ToolLimits, most_calls: int, policy: Mapping[str, Any]) -> AsyncIterator[Any]:
    """Give a session of the interpreter in a process of its own, which ends with the body."""
    monty = import_module(_PACKAGE)
    bounds = {
        "max_feed_duration_secs": limits.python_seconds,
        "max_memory": limits.python_bytes,
        "max_recursion_depth": _MOST_DEEP,
        "max_suspensions": most_calls,
    }
    with _silenced(_program()) as program:
        async with (
            monty.AsyncMonty(binary_path=program, max_processes=1) as pool,
            pool.checkout(limits=bounds, os_policy={"sleep": "zero", **policy}) as session,
        ):
            yield session


def _script_of(code: str) -> str:
    # The value of a last expression would be rebuilt in this process, outside the limits.
    return f"{code}\n\nNone"


def _said(error: Any, code: str) -> str:
    said = str(error.display())
    if "ModuleNotFoundError: " in said:
        return f"{said.rstrip()}\nThere are: {', '.join(MODULES)}"
    return _NO_EXIT if _INTERNAL in said and "SystemExit" in code else said


async def run_script(
    code: str, functions: Mapping[str, Callable[..., Any]], limits: ToolLimits, printed: Printed
) -> str:
    """Run *code* in a separate process; return its error as Python reports it, or ``""``.

    It has no files, network or environment, and only the interpreter's own modules; it can call only
    *functions*, each in a thread. Raises :exc:`~sunwell.errors.ToolError` if the interpreter itself
    ended.
    """
    monty = import_module(_PACKAGE)
    try:
        async with _interpreter(limits, limits.python_calls, {}) as session:
            await session.feed_run(_script_of(code), external_lookup=dict(functions), print_callback=printed)
    except monty.MontyCrashedError:
        raise ToolError(_STOPPED) from None
    except (monty.MontyRuntimeError, monty.MontySyntaxError) as error:
        return _said(error, code)
    return ""


class ScriptHost(Protocol):
    """What the scripts of a session can reach outside of it."""

    def value_of(self, name: str) -> tuple[Any, bool]:
        """Return the value of a *name* that no script has set, and whether there is one."""
        ...

    def attribute_of(self, owner: Any, name: str) -> tuple[Any, bool]:
        """Return the attribute *name* of the object that *owner* identifies, and whether there is one.

        It is asked for only if the object was not given with it.
        """
        ...

    async def call(self, function: str, owner: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return what *function* gives; what it raises is raised in the script.

        *owner* identifies the object whose method it is; ``None``: it is a function.
        """
        ...


class SessionLost(Exception):
    """The session cannot go on: its names are gone. The text says why, for the model."""


@attrs.define(eq=False)
class PythonSession:
    """Scripts that run one after the other in one process; their names persist.

    Its clock stands still and its chance has a fixed beginning, so the same scripts with the same answers of
    the host come to the same names.
    """

    _session: Any
    _limits: ToolLimits

    @classmethod
    @asynccontextmanager
    async def opened(cls, limits: ToolLimits, *, at: Any, seed: int) -> "AsyncIterator[PythonSession]":
        """Give a session whose clock stands at the datetime *at*, and end its process with the body."""
        policy = {"datetime": at, "random_start": {"seed": seed}}
        async with _interpreter(limits, _MOST_CALLS_OF_SESSION, policy) as session:
            yield cls(session, limits)

    async def feed(self, code: str, host: ScriptHost, printed: Printed) -> str:
        """Run *code*; return its error as Python reports it, or ``""``.

        Each call of *host* is awaited while the script waits. What it raises is raised in the script, except
        what is no :exc:`~sunwell.errors.ToolError`: that ends the session. So is the refusal of calls above
        the limit. Raises :exc:`SessionLost` if the time is used up, if the process ends, or if the script
        goes on calling after a thousand refusals.
        """
        monty = import_module(_PACKAGE)
        calls = 0
        try:
            found = await self._session.feed_start(_script_of(code), print_callback=printed)
            while not isinstance(found, monty.MontyComplete):
                calls += 1
                most = self._limits.python_calls
                if calls > most + _MORE_CALLS:
                    raise SessionLost(f"a script may make {most:,} calls, not more, and it went on")
                if calls > most and isinstance(found, monty.AsyncFunctionSnapshot):
                    found = await found.resume({"exception": RuntimeError(_TOO_MANY_CALLS.format(most=most))})
                else:
                    found = await self._resumed(found, host, monty)
        except monty.MontyCrashedError:
            raise SessionLost(_STOPPED) from None
        except (monty.MontyRuntimeError, monty.MontySyntaxError) as error:
            said = _said(error, code)
            # After that the interpreter promises nothing about what its names hold, or has ended.
            if isinstance(error.exception(), TimeoutError) and "time limit exceeded" in said:
                most_seconds = f"{self._limits.python_seconds:g} seconds"
                raise SessionLost(f"a script may compute for {most_seconds}: this was stopped") from None
            if _KILLED in said:
                raise SessionLost(_STOPPED) from None
            return said
        except monty.MontyError as error:  # a value that cannot cross, or a process that does not answer
            raise SessionLost(f"{_ENDED} ({one_line(str(error))[:200]})") from None
        return ""

    async def _resumed(self, found: Any, host: ScriptHost, monty: Any) -> Any:
        """Return what comes after *found*, at which the script waits for the host."""
        if isinstance(found, monty.AsyncNameLookupSnapshot):
            name, owner = found.variable_name, found.object_id
            value, is_there = host.value_of(name) if owner is None else host.attribute_of(owner, name)
            return await (found.resume(value=value) if is_there else found.resume())
        if not isinstance(found, monty.AsyncFunctionSnapshot) or found.is_os_function:
            return await found.resume_not_handled()
        if found.object_id is None and not host.value_of(str(found.function_name))[1]:
            missing = NameError(f"name {str(found.function_name)!r} is not defined")
            return await found.resume({"exception": missing})
        asking: Awaitable[Any] = host.call(
            str(found.function_name), found.object_id, found.args, found.kwargs
        )
        try:
            value = await asking
        except ToolError as error:
            return await found.resume({"exception": RuntimeError(error.sentence)})
        return await found.resume({"return_value": value})


def as_object(value: object, attributes: tuple[str, ...], methods: tuple[str, ...]) -> tuple[Any, Any]:
    """Return *value* as scripts see it, with these *attributes* and *methods*, and what identifies it."""
    made = import_module(_PACKAGE).ClassInstance(value, eager_attrs=attributes, allowed_methods=methods)
    return made, made.id
