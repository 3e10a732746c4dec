"""``sunwell outcomes``: what is known of checked work, exported and forgotten."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import attrs
import click

from sunwell.cli.output import say, say_json
from sunwell.cli.shared_options import DefaultedGroup, StrictCommand
from sunwell.errors import ConfigurationError

if TYPE_CHECKING:
    from sunwell.memory.outcome_store import OutcomeStore
    from sunwell.memory.outcomes import OutcomeSums, WorkOutcome

_SECONDS = 60.0


@click.group(cls=DefaultedGroup, default="show")
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
    if file == "-":
        with _store() as store:
            for line in _exported(store, kind):
                say_json(line)
        return
    with _new_file(Path(file)) as opened, _store() as store:
        opened.writelines(f"{line}\n" for line in _exported(store, kind))
    say(f"written: {file}")


def _exported(store: "OutcomeStore", kind: str | None) -> Iterator[str]:
    return (json.dumps(outcome_object(outcome), ensure_ascii=False) for outcome in store.rows(kind))


@contextmanager
def _new_file(file: Path) -> Iterator[TextIO]:
    """Give what becomes *file* once the body has ended; if the body raises, or is killed, there is none.

    Raises :exc:`~sunwell.errors.ConfigurationError` if it is there already or cannot be written.
    """
    fresh = file.with_name(f".sunwell-{os.urandom(8).hex()}.tmp")
    try:
        if os.path.lexists(file):
            raise FileExistsError
        with fresh.open("x", encoding="utf-8") as opened:
            yield opened
        try:
            os.link(fresh, file)
        except FileExistsError:
            raise
        except OSError:  # some file systems know no second name
            fresh.rename(file)
    except FileExistsError:
        raise ConfigurationError(f"{file} exists already: name a new file") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from None
    finally:
        fresh.unlink(missing_ok=True)


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


MOST_LINES = 40
_LONGEST_NAME = 40


@attrs.frozen
class OutcomeLine:
    """All outcomes on one kind of task, in one way, by one model."""

    kind: str
    way: str
    model: str
    has_lens: bool
    is_first: bool
    """Whether nothing had been tried on the task before."""
    sums: "OutcomeSums"
    undecided: int
    """Outcomes that no check decided, which are no tries."""


def outcome_lines(found: "Iterable[WorkOutcome]") -> tuple[OutcomeLine, ...]:
    """Return *found* counted, by kind; of each kind the way with the most tries first."""
    from sunwell.memory.outcomes import OutcomeSums

    sums: dict[tuple[str, str, str, bool, bool], OutcomeSums] = {}
    undecided: dict[tuple[str, str, str, bool, bool], int] = {}
    for one in found:
        place = (one.kind, one.rung, one.model, one.has_lens, not one.after)
        sums[place] = sums.get(place, OutcomeSums()).plus(OutcomeSums.of(one))
        undecided[place] = undecided.get(place, 0) + (one.passed is None)
    lines = [OutcomeLine(*place, total, undecided[place]) for place, total in sums.items()]
    return tuple(sorted(lines, key=lambda line: (line.kind, -line.sums.tries, line.way, line.model)))


def outcome_table(lines: Sequence[OutcomeLine]) -> list[tuple[str, ...]]:
    """Return the heads, then a row for each of *lines*, at most 40: those with the most tries."""
    heads = ("kind", "way", "model", "tries", "passed", "cost", "output")
    most = sorted(range(len(lines)), key=lambda at: -lines[at].sums.tries)[:MOST_LINES]
    rows = [_row(lines[at]) for at in sorted(most)]
    return [heads, *rows]


def _row(line: OutcomeLine) -> tuple[str, ...]:
    from sunwell.report.figures import dollars, one_line

    count = line.sums.count
    way = line.way if line.is_first else f"{line.way}, later"
    if line.has_lens and line.way not in ("delegated", "lens"):
        way += ", lens"
    passed = f"{line.sums.passes / line.sums.tries:.0%}" if line.sums.tries else "unknown"
    output = "unknown" if count.output_tokens is None else f"{count.output_tokens:,}"
    names = (one_line(text, _LONGEST_NAME) for text in (line.kind, way, line.model))
    return (*names, f"{line.sums.tries:,}", passed, dollars(count.cost_usd), output)


def outcomes_object(lines: Sequence[OutcomeLine]) -> list[dict[str, object]]:
    """Return *lines* as JSON values; costs and outputs are means, in US dollars and tokens."""
    from sunwell.report.figures import exact

    return [
        {
            "kind": line.kind,
            "way": line.way,
            "model": line.model,
            "lens": line.has_lens,
            "first": line.is_first,
            "tries": line.sums.tries,
            "passes": line.sums.passes,
            "undecided": line.undecided,
            "cost_usd": exact(line.sums.count.cost_usd),
            "output_tokens": line.sums.count.output_tokens,
        }
        for line in lines
    ]


def outcome_object(outcome: "WorkOutcome") -> dict[str, object]:
    """Return one outcome as JSON values, under the names of its fields."""
    return {
        name: str(value) if isinstance(value, Decimal) else value
        for name, value in attrs.asdict(outcome).items()
    }
