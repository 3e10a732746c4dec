"""Other Pythons on this machine, and what of the installed libraries they can load."""

import shutil
import subprocess
import sys
from pathlib import Path

BORROWED = (
    *("attr", "attrs", "blinker", "click", "json_repair", "uuid_utils", "yaml"),
    "typing_extensions.py",
)
"""Libraries that are pure Python, or compiled for every Python from 3.11 on."""
_MINORS = (11, 12, 13, 14)


def other_pythons() -> dict[str, Path]:
    """Return the interpreters from Python 3.11 on, other than this one's, by version; each has msgspec.

    msgspec is compiled for one version, so it cannot be borrowed.
    """
    found: dict[str, Path] = {}
    for minor in _MINORS:
        name = f"python3.{minor}"
        on_path = shutil.which(name)
        managed = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/{name}"), reverse=True)
        for python in [*([Path(on_path)] if on_path else []), *managed]:
            said = subprocess.run([python, "-c", "import msgspec"], capture_output=True, check=False)
            if said.returncode == 0 and minor != sys.version_info.minor:
                found[f"3.{minor}"] = python
                break
    return found


def borrow(folder: Path) -> Path:
    """Return *folder* with links to the libraries of this environment that any Python can load."""
    installed = Path(attrs_file()).parents[1]
    for name in BORROWED:
        (folder / name).symlink_to(installed / name)
    return folder


def attrs_file() -> str:
    """Return where the library attrs is installed."""
    import attrs

    return attrs.__file__
