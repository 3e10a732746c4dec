"""Where configuration lies: the project's file, the user's own, the record of trusted files."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from sunwell.errors import ConfigurationError

_PROJECT_NAMES = ("sunwell.toml", "sunwell.yaml", "sunwell.yml")
_USER_NAMES = ("config.toml", "config.yaml", "config.yml")
_SECTION = re.compile(r"^\s*\[\[?\s*tool\s*\.\s*[\"']?sunwell\b", re.MULTILINE)


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


def user_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder of the user's own settings, where the platform has it; it may not exist."""
    read = os.environ if environ is None else environ
    if chosen := read.get("SUNWELL_HOME", "").strip():
        return Path(chosen)
    home = Path(read.get("HOME") or Path.home())
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "sunwell"
    chosen = read.get("XDG_CONFIG_HOME", "").strip()
    return (Path(chosen) if chosen.startswith("/") else home / ".config") / "sunwell"


def user_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the user's own configuration file, ``None`` where there is none.

    Raises :exc:`~sunwell.errors.ConfigurationError` where there are two.
    """
    folder = user_folder(environ)
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
    import tomllib

    from sunwell.config.documents import MAX_BYTES

    try:
        if not file.is_file() or file.stat().st_size > MAX_BYTES:
            return False
        text = file.read_text("utf-8-sig", errors="replace")
    except OSError:
        return False
    if "sunwell" not in text:
        return False
    try:
        tool = tomllib.loads(text).get("tool")
    except (ValueError, RecursionError):  # settings that cannot be read must not be passed over
        return _SECTION.search(text) is not None
    return isinstance(tool, dict) and "sunwell" in tool
