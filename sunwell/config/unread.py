"""Settings that are understood and that nothing in this version acts on: whoever sets one is told."""

from collections.abc import Mapping
from types import MappingProxyType

from sunwell.config.settings import Path, Setting, dotted

UNREAD: Mapping[Path, str] = MappingProxyType(
    {
        ("explore",): (
            "nothing explores a context yet: one that fits into the model's window is given whole, "
            "and one that does not is refused"
        ),
        ("context_source",): "no context source is queried yet",
        ("cache_dir",): "nothing is kept there yet; runs are kept in .sunwell of the workspace",
    }
)
"""Tables and settings that no part of the product reads yet, and what happens in their place."""


def unread_warnings(chosen: Mapping[Path, Setting]) -> tuple[str, ...]:
    """Return a sentence for each setting in *chosen* that has no effect."""
    told = [
        f"{_where(setting)}{dotted(path)} has no effect: {instead}"
        for path, setting in chosen.items()
        for unread, instead in UNREAD.items()
        if path[: len(unread)] == unread
    ]
    nix = chosen.get(("use_nix",))
    if nix is not None and nix.value is True:
        told.append(f"{nix.origin}: use_nix is not carried over: commands run in a sandbox")
    return tuple(told)


def _where(setting: Setting) -> str:
    """Return where the setting was written; whoever has just typed it knows."""
    return "" if setting.origin.source == "option" else f"{setting.origin}: "
