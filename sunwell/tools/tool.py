"""Turns a typed function into a tool."""

import asyncio
import inspect
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints, overload

import attrs

from sunwell.core.model import ToolSpec
from sunwell.tools.annotations import Convert, schema_of
from sunwell.tools.docstring import read_docstring
from sunwell.tools.outcome import as_text
from sunwell.tools.schema import Schema, closed, nullable

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@attrs.frozen
class _Parameter:
    """One parameter of the function."""

    name: str
    convert: Convert
    default: Any = inspect.Parameter.empty
    takes_none: bool = False

    def value(self, given: Any) -> Any:
        """Return what the function gets; a default stands in for ``null`` where that is no value."""
        if given is None and not self.takes_none and self.default is not inspect.Parameter.empty:
            return self.default
        return self.convert(given)


@attrs.define(eq=False)
class FunctionTool:
    """A function as a :class:`~sunwell.core.tool.Tool`. It can still be called as the function it was."""

    function: Callable[..., Any]
    spec: ToolSpec
    parallel: bool
    repeatable: bool
    ask: bool | None
    timeout_seconds: float | None
    _parameters: tuple[_Parameter, ...]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    async def run(self, arguments: Mapping[str, Any]) -> str:
        """Call the function, in a thread unless it is async; what is no text becomes JSON text."""
        values = {one.name: one.value(arguments.get(one.name)) for one in self._parameters}
        if inspect.iscoroutinefunction(self.function):
            return as_text(await self.function(**values))
        said = await asyncio.to_thread(self.function, **values)
        return as_text(await said if inspect.isawaitable(said) else said)


@overload
def tool(function: Callable[..., Any], /) -> FunctionTool: ...


@overload
def tool(
    *,
    name: str | None = None,
    parallel: bool = False,
    repeatable: bool = False,
    ask: bool | None = None,
    timeout_seconds: float | None = None,
) -> Callable[[Callable[..., Any]], FunctionTool]: ...


def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Turn a typed function into a tool, as ``@tool`` or with options as ``@tool(parallel=True)``.

    The description is the docstring up to its first section; its section ``Args`` describes the
    parameters. Types: ``str``, ``int``, ``float``, ``bool``, ``Literal``, lists, sets, tuples of
    one type, dicts with string keys, and any of these or ``None``. A parameter with a default may
    be ``null``. A sync function runs in a thread, which a time-out leaves running; async ones are
    cancelled. To tell the model of a mistake, raise :exc:`~sunwell.errors.ToolError`.

    Options:
        name: What the model calls it; the function's name unless given.
        parallel: It only reads, and calls of one turn may run side by side.
        repeatable: It may run again where nobody knows if it ran to its end.
        ask: Whether it acts on the world: then ``approve`` is asked first, and a dry run leaves it out.
            Unless given, a tool acts if it is neither ``parallel`` nor ``repeatable``.
        timeout_seconds: Its own limit; ``math.inf`` is none, ``None`` the toolbox's.

    Raises ``TypeError`` where the signature cannot become a strict schema.
    """
    if function is not None:
        return _tool_of(function)
    return lambda decorated: _tool_of(decorated, **options)


def _tool_of(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    parallel: bool = False,
    repeatable: bool = False,
    ask: bool | None = None,
    timeout_seconds: float | None = None,
) -> FunctionTool:
    called: str = name or str(getattr(function, "__name__", ""))
    if not _NAME.fullmatch(called):
        raise TypeError(f"a tool cannot be called {called!r}: give it a name of letters, digits, _ and -")
    if timeout_seconds is not None and not timeout_seconds > 0:
        raise TypeError(f"timeout_seconds of the tool {called} must be more than 0, got {timeout_seconds}")
    description, said = read_docstring(function.__doc__)
    properties, parameters = _signature(function, called, said)
    spec = ToolSpec(called, description or called, closed(properties))
    return FunctionTool(function, spec, parallel, repeatable, ask, timeout_seconds, parameters)


def _signature(
    function: Callable[..., Any], called: str, said: Mapping[str, str]
) -> tuple[dict[str, Schema], tuple[_Parameter, ...]]:
    try:
        hints = get_type_hints(function)
    except NameError as error:
        raise TypeError(f"a type in the tool {called} cannot be found: {error}") from None
    properties: dict[str, Schema] = {}
    parameters = []
    for one in inspect.signature(function).parameters.values():
        where = f"the parameter {one.name} of the tool {called}"
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
            raise TypeError(f"{where} cannot be given by name; use ordinary parameters")
        if one.name not in hints:
            raise TypeError(f"{where} has no type; annotate it")
        try:
            schema, convert = schema_of(hints[one.name])
        except TypeError as error:
            raise TypeError(f"{where}: {error}") from None
        takes_none = _takes_none(schema)
        optional = one.default is not one.empty
        text = " ".join(filter(None, (said.get(one.name), _default_text(one.default) if optional else "")))
        shown = nullable(schema) if optional and not takes_none else schema
        properties[one.name] = {**shown, "description": text} if text else shown
        parameters.append(_Parameter(one.name, convert, one.default, takes_none))
    return properties, tuple(parameters)


def _takes_none(schema: Schema) -> bool:
    kinds = schema.get("type", ())
    return "null" in (kinds if isinstance(kinds, list) else [kinds]) or any(
        _takes_none(one) for one in schema.get("anyOf", ())
    )


def _default_text(default: Any) -> str:
    try:
        return f"Default: {json.dumps(default, ensure_ascii=False)}."
    except (TypeError, ValueError):
        return ""
