"""The page on the command line has every command and option, in the words of ``--help``.

``python tests/cli/test_documented.py`` writes its reference anew.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from sunwell.cli.exit_codes import BAD_INPUT, CANCELLED, FAILED, INCOMPLETE, OK, READER_GONE
from sunwell.cli.main import cli

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
HEADING = "## Reference\n"


def leaves(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, with its whole name."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def default(option: click.Option) -> str:
    """Return what holds where an option is not given, as far as it says so."""
    if not option.show_default or option.default in (None, False, ()):
        return ""
    return f" Default: `{option.default}`."


def row(option: click.Option) -> str:
    """Return the line of one option."""
    names = [*option.opts, *option.secondary_opts]
    values = (
        f" {option.make_metavar(click.Context(cli, **cli.context_settings))}" if not option.is_flag else ""
    )
    shown = ", ".join(f"`{name}`" for name in names) + (f" `{values.strip()}`" if values else "")
    told = f"{option.help or ''}{default(option)}".replace("|", "\\|")
    return f"| {shown.replace('|', chr(92) + '|')} | {told} |"


def section(name: str, command: click.Command) -> str:
    """Return the text about one command."""
    context = click.Context(command, info_name=name, **cli.context_settings)
    arguments = [p.make_metavar(context) for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    told = "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
    lines = [f"### `{' '.join([name, *arguments])}`", "", told, ""]
    if options:
        lines += ["| option | meaning |", "| --- | --- |", *map(row, options), ""]
    return "\n".join(lines)


def reference() -> str:
    """Return the whole reference as it must be."""
    return HEADING + "\n" + "\n".join(section(*found) for found in leaves(cli, "sunwell"))


def test_every_command_and_option_is_documented() -> None:
    """The reference on the page is what the commands say of themselves."""
    assert PAGE.read_text().partition(HEADING)[2] == reference().partition(HEADING)[2]


def test_every_exit_code_is_documented() -> None:
    """The table of exit codes has each of them once."""
    page = PAGE.read_text()
    for code in (OK, FAILED, BAD_INPUT, INCOMPLETE, CANCELLED, READER_GONE):
        assert page.count(f"\n| {code} |") == 1, code


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text().partition(HEADING)[0] + reference())
