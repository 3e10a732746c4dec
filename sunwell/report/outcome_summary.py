"""What the outcomes of a user come to: by kind of task and way, as lines and as JSON."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import attrs

from sunwell.memory.outcomes import OutcomeSums, WorkOutcome
from sunwell.report.figures import dollars, exact, one_line

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
    sums: OutcomeSums
    undecided: int
    """Outcomes that no check decided, which are no tries."""


def outcome_lines(outcomes: Iterable[WorkOutcome]) -> tuple[OutcomeLine, ...]:
    """Return *outcomes* counted, by kind; of each kind the way with the most tries first."""
    sums: dict[tuple[str, str, str, bool, bool], OutcomeSums] = {}
    undecided: dict[tuple[str, str, str, bool, bool], int] = {}
    for one in outcomes:
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


def outcome_object(outcome: WorkOutcome) -> dict[str, object]:
    """Return one outcome as JSON values, under the names of its fields."""
    return {
        name: str(value) if isinstance(value, Decimal) else value
        for name, value in attrs.asdict(outcome).items()
    }
