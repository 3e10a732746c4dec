"""Plugins for people and programs to read."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sunwell.config.plugin_rows import PluginRow


def plugin_line(row: "PluginRow") -> str:
    """Return one line that says what the plugin is, whose, and whether it can be used."""
    from sunwell.report.figures import one_line

    if row.problem:
        return f"warning  {one_line(row.problem, 300)}"
    whose = f", of {row.package}" if row.package else ""
    return f"plugin   {one_line(f'{row.name} ({row.group}{whose}): {row.state}', 300)}"


def plugin_object(row: "PluginRow") -> dict[str, Any]:
    """Return the same for a program."""
    return {
        "name": row.name,
        "group": row.group,
        "package": row.package,
        "offers": list(row.offers),
        "used": row.is_used,
        "problem": row.problem,
    }
