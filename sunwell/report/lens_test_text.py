"""What the test of a batch's lens has shown: what people are told."""

from collections.abc import Iterator

from sunwell.core.verdict import LensTest
from sunwell.report.figures import dollars, one_line
from sunwell.tools.wording import counted

_WORDS = {
    "helps": "it helps",
    "harms": "it harms",
    "no harm": "it does no harm",
    "no gain": "it is no gain",
    "undecided": "undecided",
}


def lens_test_sentence(test: LensTest) -> str:
    """Return what *test* has shown, on what evidence, and at what cost."""
    reason = one_line(test.reason)
    if not test.pairs:
        return f"not tested: {reason}"
    unknown = f", unknown in {test.unknown:,}" if test.unknown else ""
    counts = f"better in {test.better:,}, worse in {test.worse:,}{unknown}"
    found = _WORDS.get(test.finding, test.finding) + (f" ({reason})" if reason else "")
    if test.withheld:
        why = " and costs more" if test.finding == "no gain" else ""
        found += f"{why}, so it is withheld from {counted(test.without_lens, 'item')}"
    cost = f"{counted(test.pairs, 'extra run')}, {dollars(test.extra_usd)}"
    return f"tested on {counted(test.pairs, 'item')}: {counts}; {found}; {cost}"


def lens_test_lines(test: LensTest | None) -> Iterator[str]:
    """Yield the same as a line of the report; nothing if there was no lens to test."""
    if test is not None:
        yield f"{'':<8} {lens_test_sentence(test)}"
