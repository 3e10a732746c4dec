"""What a project's file may set: only what narrows, until the user trusts the file by its hash."""

import hashlib
import json
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any

import attrs

from sunwell.config.documents import ReadContent, read_content
from sunwell.config.schema import Configuration
from sunwell.config.setting import Setting, SettingPath, dotted
from sunwell.config.shape import options_by_path
from sunwell.context.options import Untrusted
from sunwell.core.user_folders import settings_folder
from sunwell.errors import ConfigurationError
from sunwell.tools.file_owners import doubt, own_user
from sunwell.tools.tool_plugins import BUILT_IN

_UNSET_TURNS = 50
"""Turns of a run without a ceiling on them: a project's file may not name more."""
_ABSENT = object()

Narrows = Callable[[Any, Any, Configuration], bool]
"""Is given the file's value, the one that holds without the file, and all settings without the file."""


def _lowers(value: Any, held: Any, base: Configuration) -> bool:
    return value is not None and held is not None and bool(value <= held)


def _caps(value: Any, held: Any, base: Configuration) -> bool:
    return held is None or bool(value <= held)


def _caps_turns(value: Any, held: Any, base: Configuration) -> bool:
    return bool(value <= (_UNSET_TURNS if held is None else held))


def _caps_seconds(value: Any, held: Any, base: Configuration) -> bool:
    if held is None and (base.run.orchestrate or base.orchestrator.model is not None):
        held = base.run.orchestrator_max_seconds  # what ends an orchestrated run without a ceiling
    return _caps(value, held, base)


def _names_fewer(value: Any, held: Any, base: Configuration) -> bool:
    return set(value) <= (BUILT_IN if held is None else set(held))


def _adds(value: Any, held: Any, base: Configuration) -> bool:
    """Whether the patterns *value* hide all that *held* hide.

    Of several patterns the last one that matches decides. So all that is held must be there in its order, and
    what is added with ``!`` must stand before all of it.
    """
    left = list(held)
    for pattern in reversed(value):
        if left and pattern == left[-1]:
            left.pop()
        elif left and pattern.startswith("!"):
            return False
    return not left


def _lies_inside(value: Any, held: Any, base: Configuration) -> bool:
    """Whether *value* is a new source's folder that lies in the workspace, by its words.

    The source itself refuses a link that leads out of it. What the user has set under the name stays.
    """
    path = PurePath(value)
    return held in (None, _ABSENT) and not path.is_absolute() and ".." not in path.parts and value[0] != "~"


def _is_new_folder(value: Any, held: Any, base: Configuration) -> bool:
    return held in (None, _ABSENT) and value == "folder"


_RULES: Mapping[Untrusted, Narrows] = MappingProxyType(
    {"lower": _lowers, "ceiling": _caps, "subset": _names_fewer, "superset": _adds}
)
_OWN_RULES: Mapping[SettingPath, Narrows] = MappingProxyType(
    {
        ("budget", "turns"): _caps_turns,
        ("budget", "seconds"): _caps_seconds,
    }
)
"""Rules for settings that are not options of a run, or whose unset value has a meaning of its own."""
_CONTEXT_RULES: Mapping[str, Narrows] = MappingProxyType({"path": _lies_inside, "kind": _is_new_folder})
"""What holds of ``[context.NAME]``: models can read the workspace's files anyway."""


def _rule(path: SettingPath) -> Narrows | None:
    """Return what an untrusted file may do with the setting at *path*; ``None``: not set it at all."""
    spec = options_by_path().get(path)
    if path[0] == "context":
        return _CONTEXT_RULES.get(path[-1])
    if path in _OWN_RULES or spec is None:
        return _OWN_RULES.get(path)
    if spec.untrusted == "only":
        return lambda value, held, base: bool(value == spec.harmless)
    return _RULES.get(spec.untrusted)


def narrows(setting: Setting, base: Configuration) -> bool:
    """Whether *setting* changes nothing of *base*, which holds without it, or only narrows it."""
    held = _held(base, setting.path)
    if held is not _ABSENT and held is not None and held == setting.value:
        return True
    rule = _rule(setting.path)
    return rule is not None and rule(setting.value, held, base)


def _held(base: Configuration, path: SettingPath) -> Any:
    held: Any = base
    spec = options_by_path().get(path)
    if path[0] == "budget":
        held, path = base.run.budget, path[1:]
    elif spec is not None:
        if spec.is_open and spec.name not in base.chosen:
            return None  # not set is neither on nor off
        held, path = base.run, (spec.name,)
    for name in path:
        held = held.get(name, _ABSENT) if isinstance(held, Mapping) else getattr(held, name, _ABSENT)
        if held is _ABSENT:
            return _ABSENT
    return held


_RECORD = "trusted.json"
_MOST_NAMED = 6


def digest_of(data: bytes) -> str:
    """Return the hash by which a file is recorded."""
    return hashlib.sha256(data).hexdigest()


def hash_of(data: bytes) -> str:
    """Return the hash of a file as it is shown and typed."""
    return f"sha256:{digest_of(data)}"


@attrs.frozen
class TrustRecord:
    """The record in the user's folder: files by their real path, each with the hash of what was trusted.

    A file that changes, or is moved, is no longer trusted. Whose file it is does not matter: its content is
    what was read.
    """

    folder: Path

    @classmethod
    def of_user(cls, environ: Mapping[str, str] | None = None) -> "TrustRecord":
        """Return the record of whoever runs this process."""
        return cls(settings_folder(environ))

    def holds(self, file: Path, data: bytes) -> bool:
        """Whether *file* was trusted with exactly this content. A record with a problem trusts nothing."""
        return is_in(self.entries()[0], file, data)

    def entries(self, read: ReadContent = read_content) -> tuple[dict[str, str], str]:
        """Return the hash of each trusted file, and what is wrong with the record, in words, or nothing."""
        file = self.folder / _RECORD
        if not os.path.lexists(file):
            return {}, ""
        try:
            content = read(file)
        except ConfigurationError as error:
            return {}, f"{error}; nothing is trusted"
        if who := doubt(content.steps, own_user()):
            return {}, f"{file} is not used, and nothing is trusted: {who}; delete it, and trust files again"
        try:
            found = json.loads(content.data)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            return {}, f"{file} is damaged, so nothing is trusted: delete it, and trust files again"
        return found, ""

    def add(self, file: Path, data: bytes) -> None:
        """Record *file* as trusted with this content. Raises ConfigurationError where that cannot be."""
        self._write(self.entries()[0] | {_real(file): digest_of(data)})

    def remove(self, file: Path) -> bool:
        """Trust *file* no longer; return whether it was recorded. Raises ConfigurationError."""
        known = self.entries()[0]
        if known.pop(_real(file), None) is None:
            return False
        self._write(known)
        return True

    def _write(self, known: Mapping[str, str]) -> None:
        fresh = self.folder / f".{_RECORD}.{os.getpid()}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.unlink(missing_ok=True)
            # A name that somebody else put there is not followed.
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
                opened.write(json.dumps(known, indent=2, sort_keys=True) + "\n")
            fresh.replace(self.folder / _RECORD)
        except OSError as error:
            raise ConfigurationError(
                f"{self.folder / _RECORD} cannot be written ({error.strerror}): use --trust-config"
            ) from None


def is_in(known: Mapping[str, str], file: Path, data: bytes) -> bool:
    """Whether *known*, the entries of a record, have *file* with exactly this content."""
    return known.get(_real(file)) == digest_of(data)


def _real(file: Path) -> str:
    return os.path.realpath(file)


def refusal(settings: tuple[Setting, ...]) -> ConfigurationError:
    """Return the error for settings of a file that nobody has trusted."""
    source = settings[0].origin.source
    keys: list[str] = sorted({dotted(setting.switch or setting.path) for setting in settings})
    more = f" and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
    named = ", ".join(keys[:_MOST_NAMED]) + more
    return ConfigurationError(
        f"{source} sets {named}; a project's file that is not trusted may only narrow what you have set: "
        f"read the file, then trust it with sunwell config trust {shlex.quote(source)}, or once with "
        "--trust-config"
    )
