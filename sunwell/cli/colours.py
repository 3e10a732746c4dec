"""Colours of what commands print: a table of patterns, applied to finished lines.

The words are the same with and without them, so no colour has a meaning of its own.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

Look = Mapping[str, Any]
"""How a part of a line looks, in the words of ``click.style``."""

GOOD: Look = {"fg": "green"}
BAD: Look = {"fg": "red"}
DOUBTFUL: Look = {"fg": "yellow"}
LABEL: Look = {"fg": "cyan"}
STRONG: Look = {"bold": True}
FAINT: Look = {"dim": True}


@attrs.frozen
class Palette:
    """Patterns with looks. The group of a pattern is coloured, or all of it if it has none."""

    rules: tuple[tuple[str, Look], ...]

    def parts(self, text: str) -> Iterator[tuple[str, Look]]:
        """Yield *text* in parts, each with its look. Of patterns that meet, the first one wins."""
        found = [
            (*match.span(match.re.groups), look)
            for pattern, look in self.rules
            for match in re.finditer(pattern, text, re.MULTILINE)
        ]
        at = 0
        for start, end, look in sorted(found, key=lambda one: one[:2]):
            if start >= at:
                yield text[at:start], {}
                yield text[start:end], look
                at = end
        yield text[at:], {}


_FAILED = r"failed|error|damaged"
_OPEN = r"open|running|incomplete|cancelled"
_GUIDE = r"^[│├└─ ]*"

REPORT = Palette(
    (
        (r"^(done)\b", {**GOOD, **STRONG}),
        (rf"^({_FAILED})\b", {**BAD, **STRONG}),
        (rf"^({_OPEN})\b", {**DOUBTFUL, **STRONG}),
        (r"^(?:note|unresolved:|unconfirmed:|conflict over|warning:?)(?= )", DOUBTFUL),
        (r"^(?:files|workers|commands|bill|cost|quoted|verdict|sandbox|lens|journal)(?= )", LABEL),
        (r"^(?:continues:|resume|next)(?= )", LABEL),
        (r"^(?:by \w+|read|plugin|settings|written|trusted)(?= )", LABEL),
        (r"^verdict +(verified)\b", GOOD),
        (r"^verdict +(not verified)\b", DOUBTFUL),
        (r"^(?:commands|        ) (exit 0)\b", GOOD),
        (r"^(?:commands|        ) (exit -?[1-9]\d*|killed)\b", BAD),
        (r"\(exit -?[1-9]\d*\)", BAD),
        (r"; (saved \$[\d.,]+ \(\d+%\))$", GOOD),
        (r"; (lost by delegating \$[\d.,]+ \(\d+%\))$", BAD),
        (rf"{_GUIDE}(?:sandbox  |settings )?(✓)", GOOD),
        (rf"{_GUIDE}(?:sandbox  |settings )?(✗)", BAD),
        (rf"{_GUIDE}(?:sandbox  |settings )?([…–]) ", DOUBTFUL),
        (rf"{_GUIDE}(·) ", FAINT),
        (r"^everything that Sunwell needs works$", GOOD),
        (r"^something that Sunwell needs does not work", BAD),
    )
)
"""The report of a run, its tree, and what doctor finds."""

_BEFORE_STATUS = r"^\S+  (?:[\d?][\d :-]*  )?"
RUNS = Palette(
    (
        (rf"{_BEFORE_STATUS}(ok)\b", GOOD),
        (rf"{_BEFORE_STATUS}({_FAILED})\b", BAD),
        (rf"{_BEFORE_STATUS}({_OPEN})\b", DOUBTFUL),
        (r"  (foreign:) ", DOUBTFUL),
    )
)
"""The list of runs."""

ESTIMATE = Palette(
    (
        (r"^would (?:not )?be \w+", STRONG),
        (r"^(?:Expected output|Assumed):", LABEL),
        (r"^(?:With a check and --escalate):", LABEL),
        (r"^→.*$", {**GOOD, **STRONG}),
        (r"^warning:", DOUBTFUL),
        (r"^  (· )", FAINT),
    )
)
"""An estimate."""
