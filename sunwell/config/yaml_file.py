"""YAML without its surprises: no aliases, no tags, no doubled keys; every key knows its line."""

from pathlib import Path as File
from typing import Any

import yaml

from sunwell.config.settings import Path
from sunwell.errors import ConfigurationError

_DEEPEST = 32  # below what a parser survives, above what any configuration needs
_PLAIN = {
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "value")
}


class _Refused(Exception):
    """What is not taken, and its line."""


class _Loader(yaml.SafeLoader):
    """Composes nodes only; stops at aliases and at depth before they can cost anything."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise _Refused("aliases (*name) are not taken", self.peek_event().start_mark.line + 1)  # type: ignore[no-untyped-call]
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise _Refused("anchors (&name) are not taken", event.start_mark.line + 1)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Refused(f"it is nested deeper than {_DEEPEST} levels", event.start_mark.line + 1)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def read_yaml(file: File, text: str) -> tuple[dict[str, Any], dict[Path, int]]:
    """Return the values in *text* and the line of each key.

    Raises :exc:`~sunwell.errors.ConfigurationError` for what is no YAML, no table, or not taken.
    """
    lines: dict[Path, int] = {}
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        values = {} if node is None else _value(node, (), lines, loader)
    except _Refused as refused:
        what, line = refused.args
        raise ConfigurationError(f"{file}:{line}: {what} in a configuration file") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{file}:{line}: not valid YAML: {error.problem or error}") from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        said = " ".join(str(error).split())[:200]
        raise ConfigurationError(f"{file} is not valid YAML: {said or type(error).__name__}") from None
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigurationError(f"{file}: a configuration is a table of settings, key: value")
    return values, lines


def _value(node: Any, path: Path, lines: dict[Path, int], loader: _Loader) -> Any:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        _check_tag(node, "map", line)
        return _table(node, path, lines, loader)
    if isinstance(node, yaml.SequenceNode):
        _check_tag(node, "seq", line)
        return [_value(child, (*path, "[]"), {}, loader) for child in node.value]
    if node.tag not in _PLAIN:
        raise _Refused(f"the tag {str(node.tag)[:60]} is not taken", line)
    if node.tag.endswith((":timestamp", ":value")):
        return node.value
    return loader.construct_object(node)


def _table(node: Any, path: Path, lines: dict[Path, int], loader: _Loader) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, child in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            raise _Refused("a key that is no text is not taken", line)
        name = str(key.value)
        if name in table:
            raise _Refused(f"the key {name[:60]!r} stands twice", line)
        lines[(*path, name)] = line
        table[name] = _value(child, (*path, name), lines, loader)
    return table


def _check_tag(node: Any, kind: str, line: int) -> None:
    if node.tag != f"tag:yaml.org,2002:{kind}":
        raise _Refused(f"the tag {str(node.tag)[:60]} is not taken", line)
