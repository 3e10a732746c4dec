"""``sunwell outcomes``: what is known of checked work, exported and forgotten."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sunwell.cli.output import say, say_json
from sunwell.cli.shared_options import StrictCommand
from sunwell.errors import ConfigurationError

if TYPE_CHECKING:
    from sunwell.memory.outcome_store import OutcomeStore

_SECONDS = 60.0


class OutcomeCommands(click.Group):
    """The commands for outcomes. What names none of them is options of ``show``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``show`` before options, and where nothing is given."""
        if not args or not (args[0] in self.commands or args[0] in ctx.help_option_names):
            args = ["show", *args]
        return super().parse_args(ctx, args)


@click.group(cls=OutcomeCommands)
def outcomes() -> None:
    """Show how checked work went: by kind of task, and who did it in which way.

    "sunwell outcomes" shows them. They are in a file of yours, hold no text of a task or a result, and never
    leave the machine.
    """


@outcomes.command("show", cls=StrictCommand)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show_outcomes(as_json: bool) -> None:
    """Show tries, share that passed, mean cost and mean output. This is what "sunwell outcomes" does."""
    from sunwell.cli.terminal import fitted_lines, print_json
    from sunwell.report.outcome_summary import outcome_lines, outcome_table, outcomes_object

    with _store() as store:
        lines = outcome_lines(store.rows())
    if as_json:
        print_json({"file": str(store.file), "outcomes": outcomes_object(lines)})
        return
    if not lines:
        for line in fitted_lines("No outcomes yet: work that a check looks at leaves one (see --check)."):
            say(line)
        return
    table = outcome_table(lines)
    wide = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        texts = [f"{text:<{size}}" for text, size in zip(row[:3], wide[:3], strict=True)]
        figures = [f"{text:>{size}}" for text, size in zip(row[3:], wide[3:], strict=True)]
        say("  ".join((*texts, *figures)))
    if len(lines) > len(table) - 1:
        say(f"and {len(lines) - len(table) + 1:,} more: --json lists all")


@outcomes.command("export", cls=StrictCommand)
@click.argument("file", metavar="FILE")
@click.option("--kind", metavar="KIND", help="Only those of this kind of task.")
def export_outcomes(file: str, kind: str | None) -> None:
    """Write each outcome as a line of JSON to FILE, or to standard output if FILE is "-"."""
    from sunwell.report.outcome_summary import outcome_object

    with _store() as store:
        found = (json.dumps(outcome_object(outcome), ensure_ascii=False) for outcome in store.rows(kind))
        if file == "-":
            for line in found:
                say_json(line)
            return
        try:
            with Path(file).open("x", encoding="utf-8") as opened:
                opened.writelines(f"{line}\n" for line in found)
        except FileExistsError:
            raise ConfigurationError(f"{file} exists already: name a new file") from None
        except OSError as error:
            raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from None
    say(f"written: {file}")


@outcomes.command("forget", cls=StrictCommand)
@click.option("--kind", metavar="KIND", help="Those of this kind of task, such as tests.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
def forget_outcomes(kind: str | None, everything: bool) -> None:
    """Delete outcomes: those of one kind of task, or all."""
    if (kind is None) != everything:
        raise ConfigurationError("say what is to be forgotten: --kind KIND, or --all")
    with _store() as store:
        count = store.forget(kind)
    say(f"forgot {count:,} {'outcome' if count == 1 else 'outcomes'}")


@contextmanager
def _store() -> "Iterator[OutcomeStore]":
    """Give the store of the user.

    Raises :exc:`~sunwell.errors.ConfigurationError` if nothing is kept, or if the file cannot be used.
    """
    from sunwell.memory.outcome_store import OutcomeStore, outcomes_file

    file = outcomes_file()
    if file is None:
        raise ConfigurationError("no outcomes are kept: SUNWELL_OUTCOMES is off")
    said: list[str] = []
    yield OutcomeStore(file, warn=said.append, longest_seconds=_SECONDS)
    if said:
        raise ConfigurationError(said[0].replace("; the run goes on without them", ""))
