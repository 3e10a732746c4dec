"""The answer must be JSON of a given schema."""

import json
from collections.abc import Mapping
from typing import Any

import attrs

from sunwell.context.json_text import json_in, strict_json
from sunwell.core.check import Checking, Verdict
from sunwell.core.markdown import one_line
from sunwell.core.marks import guarded
from sunwell.errors import ConfigurationError

_MOST_FAULTS = 10
_FAULT_CHARS = 300


def _schema(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"a schema cannot be {value!r}: it must be a JSON schema, as a dict")
    return value


@attrs.frozen
class SchemaCheck:
    """Passed if the answer is JSON that a JSON schema accepts, bare or in one fenced block.

    It needs ``pip install 'sunwell[schema]'``; without it, and for a schema that is not one, making it raises
    :exc:`~sunwell.errors.ConfigurationError`. A reference to another document is not followed.
    """

    schema: Mapping[str, Any] = attrs.field(converter=_schema, hash=False)
    """The JSON schema, as a dict."""
    name: str = "answer schema"
    """What it is called in a verdict."""
    runs_code = False
    _validator: Any = attrs.field(init=False, repr=False, eq=False)

    @_validator.default
    def _make_validator(self) -> Any:
        return _validator_for(self.schema)

    @property
    def told(self) -> str:
        """What a model is told of it before its work: the schema, up to 4,000 characters."""
        return f"your last message is JSON, and nothing else, that fits this schema: {self._text[:4_000]}"

    @property
    def _text(self) -> str:
        return json.dumps(self.schema, ensure_ascii=False, separators=(",", ":"), sort_keys=True)

    async def __call__(self, checking: Checking) -> Verdict:
        """Compare the answer with the schema."""
        try:
            value = strict_json(json_in(checking.answer))
        except ValueError as error:
            return Verdict(False, f"The answer must be JSON and nothing else: {one_line(str(error))}.")
        try:
            faults = sorted(self._validator.iter_errors(value), key=lambda one: (one.json_path, one.message))
        except RecursionError:
            return Verdict(False, "The answer is nested too deeply.")
        except Exception as error:  # a reference that leads nowhere, or a pattern that is none
            return Verdict(None, f"the schema cannot be applied: {one_line(str(error))[:_FAULT_CHARS]}")
        if not faults:
            return Verdict(True, "the answer fits the schema")
        lines = [guarded(f"{_place(one)}: {_said(one)}") for one in faults]
        more = [f"and {len(lines) - _MOST_FAULTS:,} more"] if len(lines) > _MOST_FAULTS else []
        return Verdict(False, "\n".join([*lines[:_MOST_FAULTS], *more]))


def _validator_for(schema: Mapping[str, Any]) -> Any:
    try:
        import jsonschema  # an extra
        from referencing import Registry
    except ImportError:
        raise ConfigurationError(
            "a schema for the answer needs jsonschema: pip install 'sunwell[schema]'"
        ) from None
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        where = _place(error)
        raise ConfigurationError(
            f"the schema of the answer is not a JSON schema: {where}: {_said(error)}"
        ) from None
    # An empty registry retrieves nothing: a check must not reach the network.
    return kind(schema, format_checker=kind.FORMAT_CHECKER, registry=Registry())


def _said(error: Any) -> str:
    return one_line(str(error.message))[:_FAULT_CHARS]


def _place(error: Any) -> str:
    return str(error.json_path)[:_FAULT_CHARS]
