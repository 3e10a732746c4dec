"""The sentence under an answer that says what it rests on."""

from collections.abc import Sequence

from sunwell.core.coverage import AnswerCoverage, ContextCoverage, CoveredRange
from sunwell.core.markdown import one_line
from sunwell.tools.wording import counted

_SHOWN_FAILURES = 5
_SHOWN_RANGES = 5


def coverage_sentence(coverage: AnswerCoverage) -> str:
    """Return what scripts searched, calls read and the model was shown, and what has no answer."""
    if coverage.in_prompt:
        return "the whole context was in the prompt"
    told = ["; ".join(map(_of, coverage.contexts))]
    shown = coverage.shown_characters
    what = f"{counted(shown, 'character')} that scripts printed" if shown else "nothing of it"
    told.append(f"The model that answers was shown {what}")
    if coverage.cut_answers:
        told.append(f"{counted(coverage.cut_answers, 'answer')} about parts cut at the limit of length")
    if missing := coverage.unanswered:
        more = len(missing) - _SHOWN_FAILURES
        rest = f"; and {more:,} more" if more > 0 else ""
        told.append(
            f"Without an answer: {counted(len(missing), 'part')}: "
            f"{'; '.join(missing[:_SHOWN_FAILURES])}{rest}"
        )
    return ". ".join(told)


def _of(one: ContextCoverage) -> str:
    where = f", in {_shown(one.ranges)}" if one.ranges else ""
    searched, read = (_share(covered, one.size_bytes) for covered in (one.searched_bytes, one.read_bytes))
    return (
        f"scripts searched {searched} % and calls read {read} % of {one_line(one.name)} "
        f"({counted(one.parts, 'part')}{where})"
    )


def _share(covered: int, size: int) -> str:
    share = 100 * covered / size if size else 100.0
    return f"{share:.1f}" if covered in (0, size) else f"{min(max(share, 0.1), 99.9):.1f}"


def _shown(ranges: Sequence[CoveredRange]) -> str:
    bytes_of = [f"{one.start:,}-{one.end:,}" for one in ranges[:_SHOWN_RANGES]]
    shown = [
        f"{one_line(one.path)} bytes {figures}" if one.path else figures
        for one, figures in zip(ranges, bytes_of, strict=False)
    ]
    told = ", ".join(shown) if ranges[0].path else f"bytes {', '.join(shown)}"
    more = len(ranges) - _SHOWN_RANGES
    return f"{told} and {more:,} more ranges" if more > 0 else told
