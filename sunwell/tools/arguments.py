"""Schemas of tool arguments, and the conversion of a model's JSON into arguments."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
import msgspec

from sunwell.core.message import ToolCall
from sunwell.core.model import ToolSpec
from sunwell.errors import ToolError
from sunwell.tools.wording import quoted

Schema = dict[str, Any]


def nullable(schema: Mapping[str, Any]) -> Schema:
    """Return *schema* that also allows ``null``."""
    kind = schema.get("type")
    if isinstance(kind, str) and kind in ("string", "integer", "number", "boolean") and "enum" not in schema:
        return {**schema, "type": [kind, "null"]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {"anyOf": [dict(schema), {"type": "null"}]}


def closed(properties: Mapping[str, Any]) -> Schema:
    """Return the schema of an object with exactly these *properties*, all of them required."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def text(description: str) -> Schema:
    return {"type": "string", "description": description}


def whole(description: str) -> Schema:
    return {"type": "integer", "description": description}


_OBJECT = (dict, Mapping)
"""Objects of JSON, in schemas that may be frozen. ``dict`` comes first: every call of a tool looks here, and
an instance of an abstract class takes longer to know."""
_DEEPEST = 64
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


_EXACT = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}


def read_arguments(call: ToolCall, spec: ToolSpec) -> dict[str, Any]:
    """Return the arguments of *call*, repaired as by :func:`repaired`, with every property of *spec*.

    A missing property that may be ``null`` is ``None``. Raises :exc:`~sunwell.errors.ToolError`, which
    says what is wrong and which keys are required.
    """
    latest, _latest[0] = _latest[0], None  # whoever gets the arguments has them alone
    if latest is not None and latest[0] is call and latest[1] is spec:
        return latest[2]
    try:
        given = _mended_arguments(_parsed(call.arguments), spec)
        if not isinstance(given, dict):
            raise ToolError(f"the arguments must be a JSON object, got {_called(given)}")
        checked: dict[str, Any] = _checked(given, spec.parameters, "", 0)
    except ToolError as error:
        raise ToolError(f"{spec.name}: {error.sentence}. {_keys(spec)}") from None
    return checked


def repaired(call: ToolCall, spec: ToolSpec) -> ToolCall:
    """Return *call* with arguments that fit *spec* wherever only one meaning is possible.

    Repaired are: a number, a boolean or ``null`` in quotes; an object, a list or all arguments encoded as
    JSON twice; a single value for a list of one; an object for a list of pairs of ``key`` and ``value``; a
    choice in other capitals; a missing argument that is required and may be ``null``; names in other
    capitals or without ``_``, and usual other names of the arguments of Sunwell's own tools. Arguments that
    fit stay as they are, and a string for a string is never changed. What has no meaning, or more than one,
    stays too, for :func:`read_arguments` to reject. Repairing twice gives the same as once.
    """
    try:
        given = _parsed(call.arguments)
        checked = _fitting(given, spec.parameters)
        mended = given if checked is not None else _mended_arguments(given, spec)
        if isinstance(mended, dict) and (checked is None or len(checked) != len(mended)):
            mended = _with_nulls(mended, spec.parameters)
        if mended is not given and not _is_same(mended, given):
            call = attrs.evolve(call, arguments=_written(mended))
    except (ToolError, RecursionError):
        return call
    if checked is not None:
        _latest[0] = (call, spec, checked)
    return call


_latest: list[tuple[ToolCall, ToolSpec, dict[str, Any]] | None] = [None]
"""A call whose arguments fitted, and what :func:`read_arguments` gives for it: it is mostly read in the next
moment."""


def _fitting(given: Any, schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arguments that *given* stands for if it fits *schema* as it is, so that nothing is to be
    mended; ``None`` if it may not."""
    if type(given) is not dict or not isinstance(schema.get("properties"), _OBJECT) or "anyOf" in schema:
        return None
    try:
        checked: dict[str, Any] = _checked(given, schema, "", 0)
    except ToolError:
        return None
    return checked


def _written(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character: as an escape it stays valid text
        return json.dumps(value)
    return text


_FILE_NAMES = ("file_path", "file", "filename", "target_file", "relative_path", "absolute_path")
_FOLDER_NAMES = ("dir", "directory", "folder", "dir_path", "directory_path", "folder_path")
_TASK_NAMES = ("prompt", "instruction", "instructions", "query", "question", "task", "request")
SYNONYMS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "list_files": {
        "path": (*_FOLDER_NAMES, "target_directory", *_FILE_NAMES),
        "depth": ("max_depth", "levels", "max_levels"),
    },
    "read_file": {
        "path": _FILE_NAMES,
        "start_line": ("start", "from_line", "first_line", "line_start", "start_line_number"),
        "end_line": ("end", "to_line", "last_line", "line_end", "end_line_number"),
    },
    "search_files": {
        "pattern": ("query", "regex", "regexp", "search", "search_pattern", "search_term", "term", "text"),
        "literal": ("is_literal", "fixed_string", "fixed_strings", "plain_text"),
        "path": (*_FILE_NAMES, *_FOLDER_NAMES),
        "glob": ("include", "includes", "file_glob", "glob_pattern", "file_pattern", "include_pattern"),
    },
    "write_file": {
        "path": _FILE_NAMES,
        "content": ("contents", "text", "file_text", "file_content", "file_contents", "body"),
    },
    "edit_file": {
        "path": _FILE_NAMES,
        "old": ("old_string", "old_str", "old_text", "old_content", "search", "find", "original"),
        "new": ("new_string", "new_str", "new_text", "new_content", "replace", "replacement"),
    },
    "execute_python": {"code": ("script", "source", "python", "python_code", "source_code")},
    "run_command": {
        "command": ("cmd", "command_line", "shell_command", "bash", "script"),
        "timeout_seconds": ("timeout_secs", "timeout_sec", "timeout_s"),
    },
    "delegate": {"task": _TASK_NAMES},
    "delegate_batch": {"tasks": ("prompts", "queries", "questions")},
    "subagent": {"question": _TASK_NAMES},
    "rlm_sub_complete": {"query": _TASK_NAMES, "system": ("system_prompt",)},
    "rlm_batch_complete": {"queries": ("prompts", "questions", "tasks")},
    "await_results": {"task_ids": ("ids", "task_id", "id"), "wait_for": ("at_least", "wait", "count")},
    "set_answer": {"content": ("answer", "text")},
}
"""Other names that models use for the arguments of Sunwell's own tools. None has another unit or
meaning: ``offset`` and ``timeout`` are left out, because they may count from 0 or in milliseconds."""
_WRAPPERS = ("arguments", "args", "input", "parameters", "params", "kwargs")


def _mended_arguments(given: Any, spec: ToolSpec) -> Any:
    """Return the parsed arguments of a call of the tool *spec*, repaired."""
    schema = spec.parameters
    if isinstance(given, str):
        given = _decoded(given, dict, given)
    if not isinstance(given, dict) or not isinstance(schema.get("properties"), _OBJECT):
        return given
    if len(given) == 1 and schema.get("additionalProperties") is False:
        (key, inside), *_ = given.items()
        if key in _WRAPPERS and key not in schema["properties"]:
            inside = _decoded(inside, dict, inside)
            given = inside if isinstance(inside, dict) else given
    try:
        return _mended_object(given, schema, 0, SYNONYMS.get(spec.name, {}))
    except RecursionError:  # where a schema does not look, a value may be nested more deeply than a stack
        return given


def _decoded(value: Any, kinds: type | tuple[type, ...], otherwise: Any) -> Any:
    """Return what the string *value* encodes as JSON, if it is one of *kinds*."""
    for _ in range(2):
        if not isinstance(value, str):
            break
        try:
            value = _parsed(value) if value.strip() else otherwise
        except ToolError:
            return otherwise
    return value if isinstance(value, kinds) else otherwise


def _mended(value: Any, schema: Any, depth: int = 0) -> Any:
    """Return *value* as the one value that fits *schema* and can be meant by it; else as it is."""
    if depth > _DEEPEST or not isinstance(schema, _OBJECT) or fits(value, schema, depth):
        return value
    readings: list[Any] = []
    in_part = value
    branches = [one for one in schema.get("anyOf", ()) if not _is_null(one)]
    for reading in _readings(value, schema, depth):
        if not fits(reading, schema, depth):
            if isinstance(value, dict | list) and type(reading) is type(value) and len(branches) < 2:
                in_part = reading  # the error is then about what is left
        elif not any(_is_same(reading, one) for one in readings):
            readings.append(reading)
    if len(readings) > 1:
        return value
    return readings[0] if readings else in_part


def _is_null(schema: Any) -> bool:
    return isinstance(schema, _OBJECT) and schema.get("type") == "null"


def _readings(value: Any, schema: Mapping[str, Any], depth: int) -> Iterator[Any]:
    """Yield what *value* may mean if it is to fit *schema*."""
    if "anyOf" in schema:
        yield from (_mended(value, one, depth + 1) for one in schema["anyOf"])
        return
    kinds = _kinds(schema)
    if isinstance(value, str) and "string" in kinds and "enum" in schema:
        choices = [one for one in schema["enum"] if isinstance(one, str)]
        yield from (one for one in choices if one.casefold() == value.strip().casefold())
    if isinstance(value, str):
        inside = _unquoted(value, kinds)
        if isinstance(inside, dict | list):
            inside = _mended(inside, schema, depth + 1)
            if fits(inside, schema, depth):  # not a list of one: it is JSON, and fits as that
                yield inside
                return
        elif inside is not value:
            yield inside
    if isinstance(value, dict) and isinstance(schema.get("properties"), _OBJECT):
        yield _mended_object(value, schema, depth)
    if "array" in kinds and "items" in schema:
        if isinstance(value, list):
            yield [_mended(item, schema["items"], depth + 1) for item in value]
        elif isinstance(value, dict) and _are_pairs(schema["items"]):
            yield [
                _mended({"key": key, "value": one}, schema["items"], depth + 1) for key, one in value.items()
            ]
            yield [_mended(value, schema["items"], depth + 1)]
        elif not (isinstance(value, str) and (not value.strip() or _LISTED.search(value))):
            yield [_mended(value, schema["items"], depth + 1)]


_LISTED = re.compile(r"[,;\n]")
"""In a string that is given for a list: it may stand for one item or for several."""
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,300})(?:\.0+)?")
_WORDS = {"true": True, "false": False, "null": None, "none": None}


def _unquoted(value: str, kinds: Iterable[str]) -> Any:
    """Return what stands in the string *value*, if it is of one of *kinds*; else *value* itself."""
    bare = value.strip()
    word = bare.casefold()
    if word in _WORDS:
        wanted = "null" if _WORDS[word] is None else "boolean"
        return _WORDS[word] if wanted in kinds else value
    if "integer" in kinds and _INTEGER.fullmatch(bare):
        return int(bare.partition(".")[0])
    inside = _decoded(bare, (int, float, dict, list), value)
    if isinstance(inside, bool) or (isinstance(inside, int | float) and "number" not in kinds):
        return [inside] if "array" in kinds and not isinstance(inside, bool) else value
    return inside


def _are_pairs(items: Any) -> bool:
    return isinstance(items, _OBJECT) and set(items.get("properties", ())) == {"key", "value"}


def _mended_object(
    value: dict[str, Any], schema: Mapping[str, Any], depth: int, synonyms: Mapping[str, tuple[str, ...]] = {}
) -> dict[str, Any]:
    """Return *value* with names and values repaired one by one; what cannot be repaired stays."""
    properties: Mapping[str, Any] = schema["properties"]
    if schema.get("additionalProperties") is False:
        value = _renamed(value, properties, synonyms)
    return {
        key: _mended(one, properties[key], depth + 1) if key in properties else one
        for key, one in value.items()
    }


def _renamed(
    value: dict[str, Any], properties: Mapping[str, Any], synonyms: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    """Return *value* with its unknown names replaced by those of *properties* that only they can mean."""
    meant: dict[str, list[str]] = {}
    for key in value:
        if key in properties:
            continue
        plain = _plain_name(key)
        names = [name for name in properties if name not in value and _plain_name(name) == plain]
        names = names or [
            name
            for name, others in synonyms.items()
            if name in properties and name not in value and plain in map(_plain_name, others)
        ]
        if len(names) == 1:
            meant.setdefault(names[0], []).append(key)
    renamed = {keys[0]: name for name, keys in meant.items() if len(keys) == 1}
    return {renamed.get(key, key): one for key, one in value.items()} if renamed else value


def _plain_name(name: str) -> str:
    return name.replace("_", "").replace("-", "").replace(" ", "").casefold()


def _with_nulls(value: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return *value* with ``None`` for each property that is missing though required, and may be null."""
    properties = schema.get("properties")
    if not isinstance(properties, _OBJECT):
        return value
    lacking = [key for key in schema.get("required", ()) if key not in value]
    return value | {key: None for key in lacking if takes_null(properties.get(key))}


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    wanted = schema.get("type", [])
    return [wanted] if isinstance(wanted, str) else list(wanted)


def fits(value: Any, schema: Any, depth: int = 0) -> bool:
    """Whether *value* fits *schema*; a missing property that may be ``null`` counts as ``null``."""
    try:
        _checked(value, schema, "", depth)
    except ToolError:
        return False
    return True


def _is_same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal, and 1, 1.0 and true are not."""
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(_is_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_is_same, left, right))
    return type(left) is type(right) and bool(left == right)


def _refuse_constant(name: str) -> Any:
    raise ToolError(f"the arguments are not valid JSON: {name} is not a JSON value")


_QUICK = msgspec.json.Decoder()
# Not strict: some gateways leave raw line breaks in strings.
_DECODER = json.JSONDecoder(strict=False, parse_constant=_refuse_constant)


def _parsed(text: str) -> Any:
    try:
        return _QUICK.decode(text)
    except (ValueError, RecursionError):  # the other one takes more, and says what is wrong
        pass
    if not text.strip():
        return {}  # several providers send this for a call without arguments
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ToolError("the arguments are nested too deeply") from None
    except ValueError as error:
        raise ToolError(f"the arguments are not valid JSON: {error}") from None


def _checked(value: Any, schema: Any, where: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ToolError("the arguments are nested too deeply")
    if not isinstance(schema, _OBJECT):  # ``true`` in the schema of a caller's tool allows anything
        return value
    if "anyOf" in schema:
        return _any_of(value, schema["anyOf"], where, depth)
    wanted = schema.get("type")
    if wanted is not None and not (type(wanted) is str and type(value) is _EXACT.get(wanted)):  # seldom
        value = _typed(value, wanted, where)
    if "enum" in schema and not any(_is_same(value, one) for one in schema["enum"]):
        allowed = ", ".join(json.dumps(one, ensure_ascii=False) for one in schema["enum"])
        raise ToolError(f"{where} must be one of {allowed}, got {json.dumps(value)[:100]}")
    if isinstance(value, dict) and "properties" in schema:
        return _object(value, schema, where, depth)
    if isinstance(value, list) and "items" in schema:
        return [
            _checked(item, schema["items"], f"{where}[{index}]", depth + 1)
            for index, item in enumerate(value)
        ]
    return value


def _any_of(value: Any, schemas: list[Mapping[str, Any]], where: str, depth: int) -> Any:
    errors = []
    for schema in schemas:
        try:
            return _checked(value, schema, where, depth + 1)
        except ToolError as error:
            errors.append(error.sentence)
    raise ToolError(" or ".join(dict.fromkeys(errors)))


def _typed(value: Any, wanted: Any, where: str) -> Any:
    kinds = [wanted] if isinstance(wanted, str) else list(wanted)
    for kind in kinds:
        if kind == "integer" and isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, bool) and kind != "boolean":
            continue
        if isinstance(value, _TYPES.get(kind, (object,))):
            return value
    names = " or ".join(_article(kind) for kind in kinds)
    raise ToolError(f"{where or 'the value'} must be {names}, got {_called(value)}")


def _object(value: dict[str, Any], schema: Mapping[str, Any], where: str, depth: int) -> dict[str, Any]:
    properties: Mapping[str, Any] = schema["properties"]
    inside = f"{where}." if where else ""
    if schema.get("additionalProperties") is False:
        for key in value:
            if key not in properties:
                near = difflib.get_close_matches(key, properties, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ToolError(f"there is no argument {quoted(inside + key)}{hint}")
    out = dict(value)
    for key, expected in properties.items():
        if key in value:
            out[key] = _checked(value[key], expected, inside + key, depth + 1)
        elif takes_null(expected):
            out[key] = None
        elif key in schema.get("required", ()):
            raise ToolError(f"{inside}{key} is missing")
    return out


def takes_null(schema: Any) -> bool:
    """Whether *schema* allows ``null``."""
    if not isinstance(schema, _OBJECT):
        return False
    kind = schema.get("type")
    return (
        kind == "null"
        or (isinstance(kind, list) and "null" in kind)
        or any(takes_null(one) for one in schema.get("anyOf", ()))
    )


def _article(kind: str) -> str:
    if kind == "null":
        return kind
    return f"an {kind}" if kind[0] in "aio" else f"a {kind}"


def _called(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return next(kind for kind, types in _TYPES.items() if kind != "integer" and isinstance(value, types))


def _keys(spec: ToolSpec) -> str:
    properties = spec.parameters.get("properties", {})
    needed = [key for key in spec.parameters.get("required", ()) if not takes_null(properties.get(key, {}))]
    optional = [key for key in properties if key not in needed]
    if not properties:
        return "It takes no arguments"
    said = f"Required: {', '.join(needed) or 'nothing'}"
    return f"{said}; optional: {', '.join(optional)}" if optional else said
