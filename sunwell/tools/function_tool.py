"""Turns typed functions into tools."""

import enum
import functools
import inspect
import json
import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_type_hints, overload

import attrs

from sunwell.core.model import ToolSpec
from sunwell.core.threads import in_thread
from sunwell.core.tool import Tool
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.arguments import Schema, closed, nullable, takes_null
from sunwell.tools.described_tool import DescribedTool
from sunwell.tools.docstrings import read_docstring
from sunwell.tools.limits import as_text
from sunwell.tools.parameter_types import Convert, described, schema_of

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@attrs.frozen
class _Parameter:
    """One parameter of the function."""

    name: str
    convert: Convert
    default: Any = inspect.Parameter.empty
    takes_none: bool = False

    def value(self, given: Any) -> Any:
        """Return the value for the function; ``null`` means the default, unless it is a valid value."""
        if given is None and not self.takes_none and self.default is not inspect.Parameter.empty:
            return self.default
        return self.convert(given, self.name)


_NOTHING: tuple[None, dict[str, Any]] = (None, {})


@attrs.define(eq=False)
class FunctionTool:
    """A function as a :class:`~sunwell.core.tool.Tool`. It can still be called like the function."""

    function: Callable[..., Any]
    spec: ToolSpec
    parallel: bool
    repeatable: bool
    ask: bool | None
    timeout_seconds: float | None
    _parameters: tuple[_Parameter, ...]
    needs_object: bool = False
    """Whether it is a method that was decorated in its class: only the method of an object is a tool."""
    _is_async: bool = attrs.field(init=False)

    _checked: tuple[Mapping[str, Any] | None, dict[str, Any]] = attrs.field(default=_NOTHING, init=False)
    """The arguments that were checked last, with their values: mostly they are what is called with next."""

    @_is_async.default
    def _look_at_function(self) -> bool:
        return _is_async(self.function)

    def __get__(self, owner: Any, kind: type | None = None) -> "FunctionTool":
        """Return the tool for the method of *owner*, if it was decorated in a class."""
        if not self.needs_object or owner is None:
            return self
        return attrs.evolve(self, function=types.MethodType(self.function, owner), needs_object=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    async def run(self, arguments: Mapping[str, Any]) -> str:
        """Call the function, in a thread unless it is async; a result that is not a string becomes JSON."""
        (checked, values), self._checked = self._checked, _NOTHING  # whoever gets the values has them alone
        if checked is not arguments:
            values = self._values(arguments)
        if self._is_async:
            return as_text(await self.function(**values))
        said = await in_thread(self.function, **values)
        return as_text(await said if inspect.isawaitable(said) else said)

    def require_valid(self, arguments: Mapping[str, Any]) -> None:
        """Raise :exc:`~sunwell.errors.ToolError`, with the place, if a value cannot be converted."""
        self._checked = (arguments, self._values(arguments))

    def _values(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {one.name: one.value(arguments.get(one.name)) for one in self._parameters}
        except ToolError as error:
            raise ToolError(f"{self.spec.name}: {error.sentence}") from None


def _is_async(function: Callable[..., Any]) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


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

    The description is the docstring up to its first section; its section ``Args`` (Google, numpy or Sphinx
    style) or a string in ``Annotated`` describes the parameters. Types: ``str``, ``int``, ``float``,
    ``bool``, ``Literal``, enums, dates, times, durations, ``UUID``, ``Decimal``, ``Path``, lists, sets,
    tuples, dicts with string keys, dataclasses, attrs and pydantic classes, ``TypedDict``, ``NamedTuple``,
    and unions of these or ``None`` that differ in JSON. A parameter with a default may be ``null``.
    Methods, partials and objects with ``__call__`` are functions, too; a method that is decorated in its
    class is a tool as ``obj.method``.
    A sync function runs in a thread, which continues after a timeout; an async function is cancelled.
    To report a mistake to the model, raise :exc:`~sunwell.errors.ToolError`.

    Options:
        name: Name of the tool for the model; by default the function's name.
        parallel: The tool only reads, and calls in one turn may run concurrently.
        repeatable: The tool may run again if it is unknown whether it finished.
        ask: Whether the tool has side effects: then ``approve`` is called first, and a dry run skips it.
            By default true if the tool is neither ``parallel`` nor ``repeatable``.
        timeout_seconds: Time limit of the tool; ``math.inf``: none, ``None``: the toolbox's.

    Raises ``TypeError`` if the signature cannot be expressed as a strict schema.
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
    if isinstance(function, staticmethod):
        function = function.__func__
    if isinstance(function, classmethod):
        raise TypeError(f"write @classmethod above @tool, not below it, for {function.__func__.__name__}")
    plain = function
    while isinstance(plain, functools.partial):
        plain = plain.func
    if not hasattr(plain, "__name__"):  # an object that can be called
        plain = type(plain).__call__
        named = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(function).__name__).lower()
    else:
        named = str(plain.__name__)
    called: str = name or named
    if not _NAME.fullmatch(called):
        raise TypeError(f"invalid tool name {called!r}: use only letters, digits, _ and -")
    if timeout_seconds is not None and not timeout_seconds > 0:
        raise TypeError(f"timeout_seconds of the tool {called} must be more than 0, got {timeout_seconds}")
    document = (function if isinstance(function, types.FunctionType) else plain).__doc__
    description, said = read_docstring(document)
    needs_object = _is_in_class(function)
    properties, parameters = _signature(function, plain, called, said, needs_object=needs_object)
    spec = ToolSpec(called, description or called, closed(properties))
    return FunctionTool(
        function, spec, parallel, repeatable, ask, timeout_seconds, parameters, needs_object=needs_object
    )


def _is_in_class(function: Callable[..., Any]) -> bool:
    """Whether *function* is a method as its class sees it: its first parameter is the object."""
    if not isinstance(function, types.FunctionType):
        return False
    first = next(iter(inspect.signature(function).parameters.values()), None)
    return (
        first is not None
        and first.name in ("self", "cls")
        and first.annotation is first.empty
        and not function.__qualname__.endswith(f"<locals>.{function.__name__}")
        and "." in function.__qualname__
    )


def as_tool(value: Any) -> Tool:
    """Return *value* as a tool: a tool unchanged, a function converted by :func:`tool`.

    A :class:`~sunwell.core.model.ToolSpec` describes a tool of an executor that has only ``execute``.

    Raises :exc:`~sunwell.errors.ConfigurationError` for anything else, and for a signature that cannot be
    expressed as a strict schema.
    """
    if isinstance(value, types.MethodType) and isinstance(value.__func__, FunctionTool):
        value = value.__func__.__get__(value.__self__)  # @classmethod around @tool
    if isinstance(value, FunctionTool):  # before the protocol, which takes long to ask
        if not value.needs_object:
            return value
        raise ConfigurationError(
            f"the tool {value.spec.name} is a method: pass it from an object, such as thing.{value.spec.name}"
        )
    if not isinstance(value, type) and isinstance(value, Tool):
        return value
    if isinstance(value, ToolSpec):
        return DescribedTool(value)
    if isinstance(value, type) or not callable(value):
        raise ConfigurationError(f"{value!r} is not a tool: pass a typed function or one with @tool")
    try:
        return _tool_of(value)
    except TypeError as error:
        raise ConfigurationError(str(error)) from None


def as_tools(values: Iterable[Any]) -> tuple[Tool, ...]:
    """Return *values* as tools, see :func:`as_tool`; their names must be unique."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ConfigurationError(
            f"tools must be a list of functions, such as tools=[my_function], got {values!r}"
        )
    tools = tuple(as_tool(value) for value in values)
    require_distinct(tool.spec.name for tool in tools)
    return tools


def require_distinct(names: Iterable[str]) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` if *names* contains a name twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigurationError(f"two tools are called {name!r}; rename one of them")
        seen.add(name)


def _signature(
    function: Callable[..., Any],
    plain: Callable[..., Any],
    called: str,
    said: Mapping[str, str],
    *,
    needs_object: bool,
) -> tuple[dict[str, Schema], tuple[_Parameter, ...]]:
    try:
        hints = get_type_hints(plain, include_extras=True)
    except NameError as error:
        raise TypeError(f"a type annotation of the tool {called} cannot be resolved: {error}") from None
    properties: dict[str, Schema] = {}
    parameters = []
    fixed = function.keywords if isinstance(function, functools.partial) else {}
    for index, one in enumerate(inspect.signature(function).parameters.values()):
        if one.name in fixed or (needs_object and index == 0):
            continue
        where = f"the parameter {one.name} of the tool {called}"
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
            raise TypeError(f"{where} cannot be passed by name; use ordinary parameters")
        if one.name not in hints:
            raise TypeError(f"{where} has no type annotation; add one")
        try:
            schema, convert = schema_of(hints[one.name])
        except TypeError as error:
            raise TypeError(f"{where}: {error}") from None
        takes_none = takes_null(schema)
        optional = one.default is not one.empty
        shown = nullable(schema) if optional and not takes_none else schema
        shown = described(shown, said.get(one.name, ""))
        text = _default_text(one.default) if optional else ""
        if text:
            shown = {
                **shown,
                "description": f"{shown['description']} {text}" if "description" in shown else text,
            }
        properties[one.name] = shown
        parameters.append(_Parameter(one.name, convert, one.default, takes_none))
    return properties, tuple(parameters)


def _default_text(default: Any) -> str:
    try:
        shown = default.value if isinstance(default, enum.Enum) else default
        return f"Default: {json.dumps(shown, ensure_ascii=False)}."
    except (TypeError, ValueError):
        return ""
