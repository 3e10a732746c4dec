"""Which files of projects the user trusts: by a hash, recorded in the user's own folder."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from sunwell.config.places import user_folder
from sunwell.config.settings import Path as Key
from sunwell.config.settings import Setting, dotted
from sunwell.errors import ConfigurationError
from sunwell.models.plugged import is_beyond_built_in
from sunwell.plugins import Plugins
from sunwell.tools.naming import BUILT_IN

_RECORD = "trusted.json"
_MOST_NAMED = 6
_PROVIDER_KEYS = frozenset({"base_url", "api_key_env", "headers"})


def needs_trust(setting: Setting) -> bool:
    """Whether *setting* could send a key elsewhere, run something, or make a price that is not so."""
    match setting.path:
        case ("providers", _, key, *_):
            return key in _PROVIDER_KEYS
        case ("allow_shell" | "allow_python",):
            return setting.value is True
        case ("sandbox",):
            return bool(setting.value != "required")
        case ("plugins",) | ("context_source", *_):
            return True
        case ("tools",):
            return bool(set(setting.value) - BUILT_IN)
        case ("models", _, "model") | (_, "model"):
            return _is_plugins(setting.value)
        case ("models", _, key):
            return key.endswith("_usd_per_million")
    return False


def _is_plugins(model: str) -> bool:
    """Whether *model* may lead to the code of an installed plugin; nothing is imported to tell."""
    if not is_beyond_built_in(model):
        return False
    return model.partition("/")[0] in Plugins("sunwell.models").names()


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
    first = settings[0].origin
    keys: list[str] = sorted({_key(setting.path) for setting in settings})
    more = f" and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
    named = ", ".join(keys[:_MOST_NAMED]) + more
    return ConfigurationError(
        f"{first.source} sets {named}, which could send keys elsewhere or run something: "
        "read the file, then trust it with sunwell config trust, or once with --trust-config"
    )


def _key(path: Key) -> str:
    return dotted(path)
