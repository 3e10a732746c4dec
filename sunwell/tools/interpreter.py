"""The interpreter in which model-written Python runs; its package is an extra, and loaded on first use."""

import sysconfig
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs

from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.limits import ToolLimits

_PACKAGE = "pydantic_monty"
_MOST_DEEP = 500


def require_interpreter(package: str = _PACKAGE) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` unless *package* is installed; it is not loaded."""
    if find_spec(package) is None:
        raise ConfigurationError("execute_python needs its interpreter: pip install 'sunwell[python]'")


def _program() -> str:
    """Return the interpreter's program: the one that was installed with its package.

    The package would look on ``PATH`` too, where a workspace can be.
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


@attrs.define(eq=False)
class Printed:
    """What a script prints: the beginning is kept, the rest counted."""

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
    """Run *code* in a process of its own and return how it failed, as Python says it; else ``""``.

    It has neither files, network, environment nor any module but the interpreter's own; *functions*
    are all that it can call, each in a thread. Raises :exc:`~sunwell.errors.ToolError` where the
    interpreter itself came to an end.
    """
    monty = import_module(_PACKAGE)
    program = _program()
    bounds = {
        "max_feed_duration_secs": limits.python_seconds,
        "max_memory": limits.python_bytes,
        "max_recursion_depth": _MOST_DEEP,
        "max_suspensions": limits.python_calls,
    }
    try:
        async with (
            monty.AsyncMonty(binary_path=program, max_processes=1) as pool,
            pool.checkout(limits=bounds, os_policy={"sleep": "zero"}) as session,
        ):
            # The value of a last expression would be built anew in this process, and outlive its limits.
            await session.feed_run(f"{code}\n\nNone", external_lookup=dict(functions), print_callback=printed)
    except monty.MontyCrashedError:
        raise ToolError(
            "the interpreter was stopped: the code took too much time or memory; do less at a time"
        ) from None
    except (monty.MontyRuntimeError, monty.MontySyntaxError) as error:
        return str(error.display())
    return ""
