"""Configuration files read into plain values and the lines that their keys stand in. Nothing is run."""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path as File
from typing import Any

import attrs

from sunwell.config.settings import Path
from sunwell.errors import ConfigurationError

MAX_BYTES = 256 * 1024
"""Longest configuration file that is read."""
MAX_DEPTH = 16
"""Deepest nesting of tables and lists."""
_HEADER = re.compile(r"\s*\[\[?\s*([^\]#]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


@attrs.frozen
class Content:
    """The bytes of a file and who may write it, all from one descriptor: what is judged is what is used."""

    data: bytes = attrs.field(repr=False)
    owner: int | None = None
    """User id of the owner; ``None`` if the system has none."""
    mode: int = 0o600
    """The permissions."""


ReadContent = Callable[[File], Content]


@attrs.frozen
class Document:
    """One file: its values, the line of each key where known, and its bytes for the record of trust."""

    file: File
    values: dict[str, Any]
    lines: dict[Path, int]
    data: bytes = attrs.field(repr=False, default=b"")


def read_document(file: File) -> Document:
    """Read *file* and parse it; see :func:`read_content` and :func:`document_of`."""
    return document_of(file, read_content(file))


def document_of(file: File, content: Content) -> Document:
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
        from sunwell.config.yaml_file import read_yaml

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


def read_content(file: File) -> Content:
    """Read *file* once. Raises :exc:`~sunwell.errors.ConfigurationError` if that is not possible."""
    try:
        # A pipe must not block us. What a descriptor leads to does not change, whatever becomes of the name.
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
        with os.fdopen(descriptor, "rb") as opened:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode):
                raise _no_file(file)
            data = opened.read(MAX_BYTES + 1)
    except (FileNotFoundError, IsADirectoryError):
        raise _no_file(file) from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise ConfigurationError(f"{file} is longer than {MAX_BYTES} bytes: it can be no configuration")
    owner = state.st_uid if hasattr(os, "geteuid") else None
    return Content(data, owner, stat.S_IMODE(state.st_mode))


def _no_file(file: File) -> ConfigurationError:
    return ConfigurationError(f"{file} is no file: name a configuration file that exists")


def _read_toml(file: File, text: str) -> tuple[dict[str, Any], dict[Path, int]]:
    import tomllib

    try:
        return tomllib.loads(text), _toml_lines(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}") from None
    except RecursionError:
        raise ConfigurationError(f"{file} is nested deeper than {MAX_DEPTH} levels") from None
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(f"{file} is not valid TOML: {str(error)[:200]}") from None


def _toml_lines(text: str) -> dict[Path, int]:
    """Return the line of each key, as far as a line begins with it."""
    lines: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _parts(header[1])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_parts(key[1])), number)
    return lines


def _parts(text: str) -> Path:
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
