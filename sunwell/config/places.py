"""Where configuration lies: the project's file, the user's own, the record of trusted files."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from sunwell.errors import ConfigurationError

_PROJECT_NAMES = ("sunwell.toml", "sunwell.yaml", "sunwell.yml")


def project_file(folder: Path) -> Path | None:
    """Return the configuration file of the project that *folder* lies in, ``None`` where it has none.

    The folder itself is looked at and those above it, up to the one that holds ``.git``. Raises
    :exc:`~sunwell.errors.ConfigurationError` where one folder has two.
    """
    folder = folder.resolve()
    for place in (folder, *folder.parents):
        found = [place / name for name in _PROJECT_NAMES if (place / name).is_file()]
        if _has_section(place / "pyproject.toml"):
            found.append(place / "pyproject.toml")
        if len(found) > 1:
            names = " and ".join(path.name for path in found)
            raise ConfigurationError(f"{place} has {names}: keep the settings in one of them")
        if found:
            return found[0]
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
    """Return the user's own configuration file, ``None`` where there is none."""
    folder = user_folder(environ)
    return next((path for name in ("config.toml", "config.yaml") if (path := folder / name).is_file()), None)


def _has_section(file: Path) -> bool:
    """Whether *file* has ``[tool.sunwell]``; one that is no TOML is somebody else's trouble."""
    import tomllib

    from sunwell.config.documents import MAX_BYTES

    try:
        if not file.is_file() or file.stat().st_size > MAX_BYTES:
            return False
        text = file.read_text("utf-8")
        return "sunwell" in text and isinstance(tomllib.loads(text).get("tool", {}).get("sunwell"), dict)
    except (OSError, ValueError, RecursionError, AttributeError):
        return False
