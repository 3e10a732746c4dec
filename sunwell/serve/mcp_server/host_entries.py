"""The entry of Sunwell in the configuration of a host: where it stands, how it is written and taken out."""

import json
import os
import stat
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import attrs

from sunwell.errors import ConfigurationError
from sunwell.serve.mcp_server.json_edits import read_json, with_entry, without_entry

HostName = Literal["claude-code", "codex", "cursor", "vscode", "zed"]
Scope = Literal["project", "user"]
NAME = "sunwell"
_KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")
_LONG_SECONDS = 3_600
_WORKSPACE = "${workspaceFolder}"
_MOST_BYTES = 32 << 20


@attrs.frozen
class HostFile:
    """Where a host keeps its servers."""

    project: str
    """Path of the file in a project."""
    user: tuple[str, ...]
    """Path of the user's own file below the home folder."""
    group: str
    """The table that the entry stands in."""
    root: str = ""
    """How the host names the project's folder in an argument; empty: it starts servers there."""
    more: tuple[tuple[str, Any], ...] = ()
    """What the entry has besides command and arguments."""

    @property
    def is_toml(self) -> bool:
        """Whether the file is TOML; otherwise it is JSON with comments."""
        return self.project.endswith(".toml")


HOSTS: dict[HostName, HostFile] = {
    "claude-code": HostFile(".mcp.json", (".claude.json",), "mcpServers"),
    "codex": HostFile(
        ".codex/config.toml",
        (".codex", "config.toml"),
        "mcp_servers",
        more=(("env_vars", list(_KEYS)), ("tool_timeout_sec", _LONG_SECONDS)),
    ),
    "cursor": HostFile(".cursor/mcp.json", (".cursor", "mcp.json"), "mcpServers", _WORKSPACE),
    "vscode": HostFile(".vscode/mcp.json", (), "servers", _WORKSPACE, (("type", "stdio"),)),
    "zed": HostFile(".zed/settings.json", (".config", "zed", "settings.json"), "context_servers"),
}


def place_of(host: HostName, scope: Scope, project: Path, home: Path) -> Path:
    """Return the file of *host* in *project*, or the user's own below *home*."""
    file = HOSTS[host]
    if scope == "project":
        return project / file.project
    if host == "vscode":
        inside = ("Library", "Application Support") if sys.platform == "darwin" else (".config",)
        return home.joinpath(*inside, "Code", "User", "mcp.json")
    return home.joinpath(*file.user)


def entry_of(
    host: HostName, command: Sequence[str], options: Sequence[str], *, has_root: bool = False
) -> dict[str, Any]:
    """Return the entry that starts the server with *command* and its *options*, which may name a root."""
    file = HOSTS[host]
    program, *words = command
    root = ["--root", file.root] if file.root and not has_root else []
    found: dict[str, Any] = dict(file.more) if host == "vscode" else {}
    found |= {"command": program, "args": [*words, "mcp", *root, *options]}
    return found | dict(file.more)


def entry_text(host: HostName, entry: dict[str, Any]) -> str:
    """Return how *entry* stands in a file of its own."""
    if HOSTS[host].is_toml:
        return _toml_block(HOSTS[host].group, entry)
    return with_entry("", (HOSTS[host].group, NAME), entry)


def has_entry(host: HostName, text: str) -> bool:
    """Whether the *text* of a file of *host* has an entry of this name. Raises ConfigurationError."""
    there = _known(host, text).get(HOSTS[host].group)
    return isinstance(there, dict) and NAME in there


def installed(host: HostName, text: str, entry: dict[str, Any]) -> str:
    """Return the *text* of a file of *host* with *entry* in it; the same text if it is there already.

    Raises :exc:`~sunwell.errors.ConfigurationError` for a text that is not understood, or that has another
    entry of this name.
    """
    known, group = _known(host, text), HOSTS[host].group
    there = known.get(group, {})
    if not isinstance(there, dict):
        raise ConfigurationError(f"{group} is not a table of servers")
    if there.get(NAME) == entry:
        return text
    if NAME in there:
        raise ConfigurationError(f"{group} has another entry called {NAME}: take it out, then install again")
    if HOSTS[host].is_toml:
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        made = f"{text}{gap}{_toml_block(group, entry)}"
    else:
        made = with_entry(text, (group, NAME), entry)
    return _checked(host, made, known | {group: there | {NAME: entry}})


def uninstalled(host: HostName, text: str) -> str:
    """Return the *text* of a file of *host* without Sunwell's entry; all else stays.

    Raises :exc:`~sunwell.errors.ConfigurationError` for a text that is not understood, without such an entry,
    or with one that does not start Sunwell.
    """
    known, group = _known(host, text), HOSTS[host].group
    there = known.get(group, {})
    entry = there.get(NAME) if isinstance(there, dict) else None
    if entry is None:
        raise ConfigurationError(f"there is no entry {NAME} in {group}")
    if not _starts_sunwell(entry):
        raise ConfigurationError(f"the entry {NAME} in {group} does not start Sunwell: take it out yourself")
    made = _without_block(text, group) if HOSTS[host].is_toml else without_entry(text, (group, NAME))
    rest = {name: value for name, value in there.items() if name != NAME}
    left = known | {group: rest}
    if HOSTS[host].is_toml and not rest:
        del left[group]
    return _checked(host, made, left)


def _starts_sunwell(entry: Any) -> bool:
    """Whether *entry* starts this server: the program ``sunwell``, or an interpreter with its module."""
    match entry:
        case {"command": str(), "args": ["-m", "sunwell", "mcp", *_]}:
            return True
        case {"command": str(program), "args": ["mcp", *_]}:
            return Path(program).name == "sunwell"
    return False


def read_host_file(path: Path) -> str:
    """Return the text of *path*; empty if there is no such file. Raises ConfigurationError."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            raise ConfigurationError(f"{path} is no file that a host could have written")
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from None


def write_host_file(path: Path, text: str) -> Path | None:
    """Write *text* to *path* in one step, and return where its former content is kept; ``None``: it is new.

    Raises :exc:`~sunwell.errors.ConfigurationError` if that is not possible; then nothing has changed.
    """
    real = Path(os.path.realpath(path))  # a link of somebody who keeps such files elsewhere stays a link
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        kept = _kept(real)
        mode = stat.S_IMODE(real.stat().st_mode) if real.exists() else 0o600
        descriptor, name = tempfile.mkstemp(prefix=f".{real.name}.", dir=real.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text.encode())
                os.fchmod(file.fileno(), mode)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(real)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from None
    return kept


def _kept(path: Path) -> Path | None:
    """Copy *path* beside itself, under a name that nothing has."""
    if not path.exists():
        return None
    data, number = path.read_bytes(), 1
    mode = stat.S_IMODE(path.stat().st_mode)
    while True:
        copy = path.with_name(f"{path.name}.before-sunwell{'' if number == 1 else f'-{number}'}")
        try:
            descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            number += 1
            continue
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        return copy


def _known(host: HostName, text: str) -> dict[str, Any]:
    if HOSTS[host].is_toml:
        try:
            return tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise ConfigurationError(f"the file is not TOML: {error}") from None
    found = read_json(text).value if text.strip() else {}
    if not isinstance(found, dict):
        raise ConfigurationError("the file is not an object with settings")
    return found


def _checked(host: HostName, text: str, wanted: dict[str, Any]) -> str:
    """Return *text* if it says what is wanted; else this file is one that is not understood well enough."""
    if _known(host, text) != wanted:
        raise ConfigurationError("the entry cannot be changed without changing more: do it yourself")
    return text


def _toml_block(group: str, entry: dict[str, Any]) -> str:
    # JSON's strings, numbers and lists of strings are TOML's.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entry.items()]
    return "\n".join([f"[{group}.{NAME}]", *lines, ""])


def _without_block(text: str, group: str) -> str:
    lines = [f"{line}\n" for line in text.split("\n")]  # TOML has no other line ends
    header = f"[{group}.{NAME}]"
    starts = [number for number, line in enumerate(lines) if line.strip() == header]
    if len(starts) != 1:
        raise ConfigurationError(f"there is no table {header} of its own: take the entry out yourself")
    end = start = starts[0]
    for number, line in enumerate(lines[start + 1 :], start + 1):
        said = line.strip()
        if said.startswith("[") and not said.startswith(f"[{group}.{NAME}."):
            break
        if said and not said.startswith("#"):
            end = number
    if start and not lines[start - 1].strip():
        start -= 1  # the empty line before it was written with it
    return "".join([*lines[:start], *lines[end + 1 :]])[:-1]
