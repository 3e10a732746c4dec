"""Turns typed functions into tools."""

import asyncio
import inspect
import json
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, overload

import attrs

from sunwell.core.model import ToolSpec
from sunwell.core.tool import Tool
from sunwell.errors import ConfigurationError
from sunwell.tools.arguments import Schema, closed, nullable
from sunwell.tools.limits import as_text

_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns|Raises|Yields|Examples?|Notes?):\s*")
_PARAMETER = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)")


def read_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """Return the description before the first section, and the parameters of the section ``Args``."""
    before: list[str] = []
    parameters: dict[str, list[str]] = {}
    section, current, margin = "", "", None
    for line in inspect.cleandoc(text or "").split("\n"):
        heading = _SECTION.fullmatch(line)
        if heading:
            section, current, margin = heading[1], "", None
        elif not section:
            before.append(line)
        elif section in ("Args", "Arguments", "Parameters") and line.strip():
            indent = len(line) - len(line.lstrip())
            margin = indent if margin is None else margin
            named = _PARAMETER.fullmatch(line.strip()) if indent <= margin else None
            if named:
                current = named[1]
                parameters[current] = [named[2]]
            elif current:
                parameters[current].append(line.strip())
    return "\n".join(before).strip(), {name: " ".join(said).strip() for name, said in parameters.items()}


Convert = Callable[[Any], Any]
_SIMPLE: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_NAMES = {str: "string", bool: "boolean", int: "integer", type(None): "null"}
_SCALAR: Schema = {
    "anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "null"}],
}
_ANYTHING = (Any, object)


def schema_of(annotation: Any) -> tuple[Schema, Convert]:
    """Return the schema of *annotation*, and a function that converts JSON into such a value.

    Raises ``TypeError`` for a type that a strict schema cannot express.
    """
    if annotation in _SIMPLE:
        return {"type": _SIMPLE[annotation]}, float if annotation is float else _same
    if annotation in _ANYTHING:
        return dict(_SCALAR), _same
    origin, inside = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Annotated:
        return schema_of(inside[0])
    if origin is Literal:
        return _literal(inside), _same
    if origin in (Union, types.UnionType):
        return _union(inside)
    if origin in (list, Sequence, set, frozenset):
        return _array(inside[0] if inside else Any, origin)
    if origin is tuple and len(inside) == 2 and inside[1] is Ellipsis:
        return _array(inside[0], tuple)
    if origin in (dict, Mapping) and (not inside or inside[0] is str):
        return _pairs(inside[1] if inside else Any)
    raise TypeError(
        f"{annotation!r} has no strict schema; use str, int, float, bool, Literal, list[…], "
        "dict[str, …], or one of these with | None"
    )


def _same(value: Any) -> Any:
    return value


def _literal(values: tuple[Any, ...]) -> Schema:
    kinds = list(dict.fromkeys(_NAMES.get(type(value), "") for value in values))
    if "" in kinds:
        raise TypeError(f"Literal{list(values)!r} has no strict schema; use strings, integers or booleans")
    return {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": list(values)}


def _union(members: tuple[Any, ...]) -> tuple[Schema, Convert]:
    rest = [member for member in members if member is not type(None)]
    schemas = [schema_of(member) for member in rest]
    if len(schemas) > 1 and any(convert is not _same and convert is not float for _, convert in schemas):
        raise TypeError(f"{members!r} has no strict schema; a union may contain only simple types")
    convert = schemas[0][1] if len(schemas) == 1 else _same
    schema = schemas[0][0] if len(schemas) == 1 else {"anyOf": [schema for schema, _ in schemas]}
    if len(rest) == len(members):
        return schema, convert
    return nullable(schema), lambda value: None if value is None else convert(value)


def _array(item: Any, kind: Any) -> tuple[Schema, Convert]:
    schema, convert = schema_of(item)
    make = list if kind is Sequence else kind
    return {"type": "array", "items": schema}, lambda value: make(convert(one) for one in value)


def _pairs(item: Any) -> tuple[Schema, Convert]:
    """A strict object has fixed keys, so a dict is sent as a list of pairs."""
    schema, convert = schema_of(item)
    pair = closed({"key": {"type": "string"}, "value": schema})

    def to_dict(value: list[dict[str, Any]]) -> dict[str, Any]:
        return {one["key"]: convert(one["value"]) for one in value}

    return {"type": "array", "items": pair}, to_dict


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
        return self.convert(given)


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

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    async def run(self, arguments: Mapping[str, Any]) -> str:
        """Call the function, in a thread unless it is async; a result that is not a string becomes JSON."""
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
    parameters. Types: ``str``, ``int``, ``float``, ``bool``, ``Literal``, lists, sets, tuples of one type,
    dicts with string keys, and any of these or ``None``. A parameter with a default may be ``null``.
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
    called: str = name or str(getattr(function, "__name__", ""))
    if not _NAME.fullmatch(called):
        raise TypeError(f"invalid tool name {called!r}: use only letters, digits, _ and -")
    if timeout_seconds is not None and not timeout_seconds > 0:
        raise TypeError(f"timeout_seconds of the tool {called} must be more than 0, got {timeout_seconds}")
    description, said = read_docstring(function.__doc__)
    properties, parameters = _signature(function, called, said)
    spec = ToolSpec(called, description or called, closed(properties))
    return FunctionTool(function, spec, parallel, repeatable, ask, timeout_seconds, parameters)


def as_tool(value: Any) -> Tool:
    """Return *value* as a tool: a tool unchanged, a function converted by :func:`tool`.

    Raises :exc:`~sunwell.errors.ConfigurationError` for anything else, and for a signature that cannot be
    expressed as a strict schema.
    """
    if not isinstance(value, type) and isinstance(value, Tool):
        return value
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
    function: Callable[..., Any], called: str, said: Mapping[str, str]
) -> tuple[dict[str, Schema], tuple[_Parameter, ...]]:
    try:
        hints = get_type_hints(function)
    except NameError as error:
        raise TypeError(f"a type annotation of the tool {called} cannot be resolved: {error}") from None
    properties: dict[str, Schema] = {}
    parameters = []
    for one in inspect.signature(function).parameters.values():
        where = f"the parameter {one.name} of the tool {called}"
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
            raise TypeError(f"{where} cannot be passed by name; use ordinary parameters")
        if one.name not in hints:
            raise TypeError(f"{where} has no type annotation; add one")
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
