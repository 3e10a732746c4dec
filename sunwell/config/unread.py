"""Settings that are understood and that nothing in this version acts on: whoever sets one is told."""

from collections.abc import Mapping

from sunwell.config.settings import Path, Setting, dotted

UNREAD: tuple[Path, ...] = (
    ("explore",),
    ("context_source",),
    ("cache_dir",),
)
"""Tables and settings that no part of the product reads yet."""


def unread_warnings(chosen: Mapping[Path, Setting]) -> tuple[str, ...]:
    """Return a sentence for each setting in *chosen* that has no effect."""
    told = [
        f"{setting.origin}: {dotted(path)} is understood, and has no effect in this version"
        for path, setting in chosen.items()
        if any(path[: len(unread)] == unread for unread in UNREAD)
    ]
    nix = chosen.get(("use_nix",))
    if nix is not None and nix.value is True:
        told.append(f"{nix.origin}: use_nix is not carried over: commands run in a sandbox of the system")
    return tuple(told)
