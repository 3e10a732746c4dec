"""Which files of projects the user trusts: by a hash, recorded in the user's own folder."""

import hashlib
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

import attrs

from sunwell.config.places import user_folder
from sunwell.config.settings import Setting, dotted
from sunwell.errors import ConfigurationError

_RECORD = "trusted.json"
_MOST_NAMED = 6


def digest_of(data: bytes) -> str:
    """Return the hash by which a file is recorded."""
    return hashlib.sha256(data).hexdigest()


@attrs.frozen
class TrustRecord:
    """The record in the user's folder; a file that changes is no longer trusted."""

    folder: Path

    @classmethod
    def of_user(cls, environ: Mapping[str, str] | None = None) -> "TrustRecord":
        """Return the record of whoever runs this process."""
        return cls(user_folder(environ))

    def holds(self, file: Path, data: bytes) -> bool:
        """Whether *file* was trusted with exactly this content."""
        return self._read().get(str(file.resolve())) == digest_of(data)

    def add(self, file: Path, data: bytes) -> None:
        """Record *file* as trusted with this content. Raises ConfigurationError where that cannot be."""
        known = self._read() | {str(file.resolve()): digest_of(data)}
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = self.folder / f".{_RECORD}.{os.getpid()}"
            fresh.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", "utf-8")
            fresh.chmod(0o600)
            fresh.replace(self.folder / _RECORD)
        except OSError as error:
            raise ConfigurationError(
                f"{self.folder / _RECORD} cannot be written ({error.strerror}): use --trust-config"
            ) from None

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads((self.folder / _RECORD).read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def refusal(settings: tuple[Setting, ...]) -> ConfigurationError:
    """Return the error for settings of a file that nobody has trusted."""
    source = settings[0].origin.source
    keys: list[str] = sorted({dotted(setting.path) for setting in settings})
    more = f" and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
    named = ", ".join(keys[:_MOST_NAMED]) + more
    return ConfigurationError(
        f"{source} sets {named}; a project's file that is not trusted may only narrow what you have set: "
        f"read the file, then trust it with sunwell config trust {shlex.quote(source)}, or once with "
        "--trust-config"
    )
