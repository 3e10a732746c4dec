"""Settings from environment variables: ``SUNWELL_*``, and the ``RLM_*`` of another program."""

from collections.abc import Iterator, Mapping

from sunwell.config.kinds import allowed, read_text
from sunwell.config.settings import Origin, Setting
from sunwell.config.spellings import RLM_VARIABLES, options
from sunwell.config.wording import unknown_key, wrong_value

PREFIX = "SUNWELL_"
NOT_SETTINGS = frozenset({"SUNWELL_HOME", "SUNWELL_CONFIG", "SUNWELL_TRUST_CONFIG"})
"""Variables that say where settings are, and are none themselves."""


def from_variables(environ: Mapping[str, str], rank: int) -> Iterator[Setting]:
    """Yield the settings in *environ*; an empty variable is not set. Raises ConfigurationError.

    Where both ``RLM_MODEL`` and ``SUNWELL_MODEL`` are there, the latter comes later, and so wins.
    """
    known = options()
    for name, target in RLM_VARIABLES.items():
        if environ.get(name, "").strip():
            yield _setting(name, target, environ[name], rank)
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in NOT_SETTINGS or not environ[name].strip():
            continue
        target = name.removeprefix(PREFIX).lower()
        if target not in known:
            names = [PREFIX + option.upper() for option in known]
            raise unknown_key(Origin("environment", name, rank=rank), name.lower(), names)
        yield _setting(name, target, environ[name], rank)


def _setting(name: str, target: str, text: str, rank: int) -> Setting:
    option, origin = options()[target], Origin("environment", name, rank=rank)
    try:
        return Setting(option.path, read_text(text, option.kind), origin)
    except (ValueError, ArithmeticError):
        raise wrong_value(origin, text, allowed(option.kind)) from None
