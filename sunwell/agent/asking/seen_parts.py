"""What was looked at of the contexts of a question: collected while it goes on, and told with the answer."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import attrs

from sunwell.agent.asking.passages import Extent
from sunwell.context.long_context import Handle
from sunwell.core.coverage import AnswerCoverage, ContextCoverage, CoveredRange
from sunwell.core.markdown import one_line
from sunwell.tools.wording import counted

_SHOWN_FAILURES = 5
_SHOWN_RANGES = 5
_MOST_RANGES = 1_000


@attrs.define(eq=False)
class Coverage:
    """Collects what was looked at of each context, in the order in which it is seen."""

    sizes: Mapping[str, int]
    """Bytes of each context."""
    read: set[Extent] = attrs.field(factory=set, init=False)
    """In questions that were answered."""
    failed: dict[tuple[str, Extent], str] = attrs.field(factory=dict, init=False)
    """Why a question, by what it is about, has no answer for an extent; others about it may have one."""
    searched: dict[str, list[tuple[int, int]]] = attrs.field(factory=dict, init=False)
    """Ranges that scripts searched or took as text, by context."""
    shown_characters: int = attrs.field(default=0, init=False)
    cut: set[str] = attrs.field(factory=set, init=False)
    """Questions whose answer was cut off, and that had no whole one later."""

    def see(self, extents: Sequence[Extent], failed: str, question: str = "") -> None:
        """Take note of one *question* about *extents*."""
        for extent in extents:
            if failed:
                self.failed[question, extent] = failed
            else:
                self.read.add(extent)

    def see_answered(self, question: str) -> None:
        """Take note that a *question* which had failed has an answer."""
        for key in [key for key in self.failed if key[0] == question]:
            del self.failed[key]

    def see_searched(self, name: str, ranges: Sequence[tuple[int, int]]) -> None:
        """Take note of *ranges* of the context *name* that scripts have looked into."""
        self.searched[name] = merged([*self.searched.get(name, ()), *ranges])

    def share(self, name: str) -> str:
        """Return the percentage of the context *name* that calls read, in digits."""
        return _share(sum(end - start for start, end in merged(self._parts(name))), self.sizes[name])

    def result(self, contexts: Mapping[str, Handle]) -> AnswerCoverage:
        """Return what was seen; of *contexts* that are several files, by file."""
        found = tuple(self._of(name, size, contexts.get(name)) for name, size in self.sizes.items())
        by_own = {whole.context.name: whole for whole in contexts.values()}
        unanswered = tuple(
            f"{_place_of(extent, by_own.get(extent.name))}: {why}" for (_, extent), why in self.failed.items()
        )
        return AnswerCoverage(False, found, self.shown_characters, unanswered, len(self.cut))

    def _parts(self, own: str) -> list[tuple[int, int]]:
        return [(one.start, one.end) for one in self.read if one.name == own]

    def _of(self, name: str, size: int, whole: Handle | None) -> ContextCoverage:
        own = name if whole is None else whole.context.name
        parts = self._parts(own)
        ranges = merged(parts)
        searched = sum(end - start for start, end in self.searched.get(own, ()))
        by_file = (
            CoveredRange(*one)
            for start, end in ranges
            for one in ([("", start, end)] if whole is None else whole.context.by_file(start, end))
        )
        read = sum(end - start for start, end in ranges)
        return ContextCoverage(name, size, searched, read, len(parts), tuple(islice(by_file, _MOST_RANGES)))


def _place_of(extent: Extent, whole: Handle | None) -> str:
    files = [] if whole is None else list(islice(whole.context.by_file(extent.start, extent.end), 2))
    if not files or not files[0][0]:
        return str(extent)
    path, start, end = files[0]
    return f"{one_line(path)}, bytes {start:,}-{end:,}{' and more files' if len(files) > 1 else ''}"


def coverage_sentence(coverage: AnswerCoverage) -> str:
    """Return what scripts searched, calls read and the model was shown, and what has no answer."""
    if coverage.in_prompt:
        return "the whole context was in the prompt"
    told = ["; ".join(map(_of, coverage.contexts))]
    if coverage.cut_answers:
        told.append(
            f"{counted(coverage.cut_answers, 'answer')} of these calls ended at a limit of tokens, cut off"
        )
    shown = coverage.shown_characters
    what = f"{counted(shown, 'character')} that scripts printed" if shown else "nothing of it"
    told.append(f"The model that answers was shown {what}")
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


def merged(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return *ranges* in order, those that meet or overlap joined."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def extents_in(values: Sequence[Sequence[Any]]) -> Iterator[Extent]:
    """Yield the extents that a note holds."""
    for name, start, end, first, last in values:
        yield Extent(str(name), int(start), int(end), int(first), int(last))
