"""Typed options that would have no effect: refused in one sentence before anything is asked or paid.

Only what was typed counts. Settings of files and variables hold for many runs: each takes what it needs.
"""

from sunwell.cli.shared_options import Chosen
from sunwell.context.option_use import Use, unused
from sunwell.context.spellings import flat_names
from sunwell.errors import ConfigurationError


def refuse_unused(chosen: Chosen, use: Use) -> None:
    """Refuse the first typed option that *use* has no use for.

    Raises :exc:`~sunwell.errors.ConfigurationError`. A switch that was typed in its "off" form is what holds
    anyway, and is let pass.
    """
    for name, reason in unused(chosen, use):
        raise ConfigurationError(f"{_shown(name)} has no effect here: {reason}")


def _shown(name: str) -> str:
    """Return the option *name* as it is typed, with its other spellings."""
    if name == "sub_calls_enabled":
        return "--sub-calls"
    names = flat_names()
    others = [other for other, path in names.items() if path == names.get(name) and other != name]
    short = [f"--{other.replace('_', '-')}" for other in others if not other.startswith(name)]
    return f"--{name.replace('_', '-')}" + (f" ({', '.join(short)})" if name in names and short else "")
