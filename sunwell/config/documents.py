"""Configuration files: where they are, how they are read, and which lines their settings stand on."""

import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from pathlib import Path as File
from typing import Any

import attrs
import yaml

from sunwell.config.setting import SettingPath
from sunwell.core.user_folders import settings_folder
from sunwell.errors import ConfigurationError
from sunwell.tools.file_owners import PathStep, open_with_steps

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


def read_yaml(file: File, text: str) -> tuple[dict[str, Any], dict[SettingPath, int]]:
    """Return the values in *text* and the line of each key.

    Raises :exc:`~sunwell.errors.ConfigurationError` for what is no YAML, no table, or not taken.
    """
    lines: dict[SettingPath, int] = {}
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


def _value(node: Any, path: SettingPath, lines: dict[SettingPath, int], loader: _Loader) -> Any:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        _check_tag(node, "map", line)
        return _table(node, path, lines, loader)
    if isinstance(node, yaml.SequenceNode):
        _check_tag(node, "seq", line)
        return [_value(child, (*path, "[]"), {}, loader) for child in node.value]
    if node.tag not in _PLAIN:
        raise _Refused(f"the tag {str(node.tag)[:60]} is not taken", line)
    if node.tag.endswith((":timestamp", ":value")) or ":" in node.value:  # 1:30 would be a number to base 60
        return node.value
    return loader.construct_object(node)


def _table(node: Any, path: SettingPath, lines: dict[SettingPath, int], loader: _Loader) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, child in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            raise _Refused("a key must be text", line)
        name = str(key.value)
        if name in table:
            raise _Refused(f"the key {name[:60]!r} is used twice", line)
        lines[(*path, name)] = line
        table[name] = _value(child, (*path, name), lines, loader)
    return table


def _check_tag(node: Any, kind: str, line: int) -> None:
    if node.tag != f"tag:yaml.org,2002:{kind}":
        raise _Refused(f"the tag {str(node.tag)[:60]} is not taken", line)


_MOST_DOTS = 1_000
"""In one line: the time to read a dotted key grows with the square of its parts."""
MAX_BYTES = 256 * 1024
"""Longest configuration file that is read."""
_MAX_YAML_BYTES = 64 * 1024  # its parser takes seconds for more
MAX_DEPTH = 16
"""Deepest nesting of tables and lists."""
_HEADER = re.compile(r"[ \t]*\[\[?([^\]#]+)\]\]?[ \t]*(?:#.*)?$")
_KEY = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_LONG_KEY = re.compile(
    r"""(?:(?<![A-Za-z0-9_-])[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
    r"""(?:[ \t]*+\.[ \t]*+(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')){32}"""
)
"""A key of more parts than any setting has: the time that the parser takes grows with their square."""


@attrs.frozen
class DocumentContent:
    """The bytes of a file and the way to it, all from one descriptor: what is judged is what is used."""

    data: bytes = attrs.field(repr=False)
    steps: tuple[PathStep, ...] = ()
    """Every folder and link on the way, and the file; none if the system has no user ids."""


ReadContent = Callable[[File], DocumentContent]


@attrs.frozen
class Document:
    """One file: its values, the line of each key where known, and its bytes for the record of trust."""

    file: File
    values: dict[str, Any]
    lines: dict[SettingPath, int]
    data: bytes = attrs.field(repr=False, default=b"")


def read_document(file: File) -> Document:
    """Read *file* and parse it; see :func:`read_content` and :func:`document_of`."""
    return document_of(file, read_content(file))


def document_of(file: File, content: DocumentContent) -> Document:
    """Parse what was read from *file*, TOML or YAML by its name.

    ``pyproject.toml`` counts by its ``[tool.sunwell]``. The file is not looked at again. Raises
    :exc:`~sunwell.errors.ConfigurationError` for what is not a configuration.
    """
    data = content.data
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file} is no UTF-8 text: a configuration file must be") from None
    if file.suffix.lower() in (".yaml", ".yml"):
        if len(data) > _MAX_YAML_BYTES:
            raise ConfigurationError(
                f"{file} is longer than {_MAX_YAML_BYTES} bytes: shorten it, or write it as TOML"
            )
        values, lines = read_yaml(file, text)
    elif file.suffix.lower() == ".toml":
        values, lines = _read_toml(file, text)
    else:
        raise ConfigurationError(f"{file}: a configuration file ends in .toml, .yaml or .yml")
    if file.name == "pyproject.toml":
        values = _section(file, values)
        lines = {path[2:]: line for path, line in lines.items() if path[:2] == ("tool", "sunwell")}
    _check_depth(file, values)
    return Document(file, values, lines, data)


def _section(file: File, values: dict[str, Any]) -> dict[str, Any]:
    """Return ``[tool.sunwell]`` of a project's own file; empty where it has none."""
    tool = values.get("tool", {})
    section = tool.get("sunwell", {}) if isinstance(tool, dict) else tool
    if not isinstance(section, dict):
        raise ConfigurationError(f"{file}: tool.sunwell takes a table of settings")
    return section


def read_content(file: File) -> DocumentContent:
    """Read *file* once. Raises :exc:`~sunwell.errors.ConfigurationError` if that is not possible."""
    try:
        descriptor, steps = open_with_steps(file)
        # What a descriptor leads to does not change, whatever becomes of the name.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise _no_file(file)
        with os.fdopen(descriptor, "rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except (FileNotFoundError, IsADirectoryError):
        raise _no_file(file) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"{file} cannot be read: {why}") from None
    if len(data) > MAX_BYTES:
        raise ConfigurationError(f"{file} is longer than {MAX_BYTES} bytes: it can be no configuration")
    return DocumentContent(data, steps)


def _no_file(file: File) -> ConfigurationError:
    return ConfigurationError(f"{file} is not a file: name an existing configuration file")


def _read_toml(file: File, text: str) -> tuple[dict[str, Any], dict[SettingPath, int]]:
    try:
        return _toml_values(text), _toml_lines(text)
    except RecursionError:
        raise ConfigurationError(f"{file} is nested deeper than {MAX_DEPTH} levels") from None
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(f"{file} is not valid TOML: {str(error)[:200]}") from None


def _toml_values(text: str) -> dict[str, Any]:
    """Return what *text* says. RecursionError: it is nested too deep; ValueError: it is no TOML."""
    import tomllib

    if _LONG_KEY.search(text):
        raise RecursionError
    if any(line.count(".") > _MOST_DOTS for line in text.split("\n")):
        raise ValueError(f"a line has more than {_MOST_DOTS:,} dots")
    return tomllib.loads(text)


def _toml_lines(text: str) -> dict[SettingPath, int]:
    """Return the line of each key, as far as a line begins with it."""
    lines: dict[SettingPath, int] = {}
    table: SettingPath = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _parts(header[1])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_parts(key[1])), number)
    return lines


def _parts(text: str) -> SettingPath:
    return tuple(part.strip("\"'") for part in _PART.findall(text))


def _check_depth(file: File, values: Any) -> None:
    level: list[Any] = [values]
    for _ in range(MAX_DEPTH + 1):
        level = [
            child
            for value in level
            for child in (value.values() if isinstance(value, dict) else value)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise ConfigurationError(f"{file} is nested deeper than {MAX_DEPTH} levels")


_PROJECT_NAMES = ("sunwell.toml", "sunwell.yaml", "sunwell.yml")
_USER_NAMES = ("config.toml", "config.yaml", "config.yml")
_SECTION = re.compile(r"^[ \t]*\[\[?[ \t]*tool[ \t]*\.[ \t]*[\"']?sunwell\b", re.MULTILINE)


def project_file(folder: Path) -> Path | None:
    """Return the configuration file of the project that *folder* lies in, ``None`` where it has none.

    The folder itself is looked at and those above it, up to the one that holds ``.git``. Raises
    :exc:`~sunwell.errors.ConfigurationError` where one folder has two.
    """
    folder = folder.resolve()
    for place in (folder, *folder.parents):
        found = _there(place, _PROJECT_NAMES)  # what is no file is an error when it is read, not nothing
        if _has_section(place / "pyproject.toml"):
            found.append(place / "pyproject.toml")
        if found:
            return _only(place, found)
        if (place / ".git").exists():
            return None
    return None


def user_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the user's own configuration file, ``None`` where there is none.

    Raises :exc:`~sunwell.errors.ConfigurationError` where there are two.
    """
    folder = settings_folder(environ)
    found = _there(folder, _USER_NAMES)
    return _only(folder, found) if found else None


def _there(folder: Path, names: tuple[str, ...]) -> list[Path]:
    return [folder / name for name in names if os.path.lexists(folder / name)]


def _only(folder: Path, found: list[Path]) -> Path:
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise ConfigurationError(f"{folder} has {names}: keep the settings in one of them")
    return found[0]


def _has_section(file: Path) -> bool:
    """Whether *file* has ``[tool.sunwell]``; one that has not may be as broken as it likes."""
    try:
        if not file.is_file():
            return False
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError:
        return False
    text = data.decode("utf-8-sig", errors="replace")
    if "sunwell" not in text:
        return False
    if len(data) > MAX_BYTES:
        return _SECTION.search(text) is not None  # then it is an error when it is read
    try:
        tool = _toml_values(text).get("tool")
    except (ValueError, RecursionError):  # settings that cannot be read must not be passed over
        return _SECTION.search(text) is not None
    return isinstance(tool, dict) and "sunwell" in tool
