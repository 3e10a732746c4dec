"""Events as plain lines: for pipes, logs and ``-v``."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import attrs

from sunwell.cli.output import holding, say
from sunwell.cli.progress import FinalAnswers
from sunwell.events import (
    BudgetRefused,
    DelegationSkipped,
    DelegationStarted,
    Event,
    ModelCallFinished,
    RunFinished,
    Warned,
)
from sunwell.report.event_lines import line_of
from sunwell.tools.wording import counted


@attrs.define(eq=False)
class Refusals:
    """Calls that were not sent for lack of room: the first under each ceiling is told, others are counted."""

    _seen: dict[tuple[str, str], int] = attrs.field(factory=dict, init=False)
    _sentences: set[str] = attrs.field(factory=set, init=False)
    """Sentences of refusals whose calls have not been told as failed yet."""

    def is_told(self, event: Event) -> bool:
        """Whether *event* only says of a refused call that it failed, with the sentence of its refusal."""
        if not isinstance(event, ModelCallFinished) or event.error not in self._sentences:
            return False
        self._sentences.discard(event.error)
        return True

    def repeats(self, event: Event) -> bool:
        """Whether *event* is a refusal under a ceiling that one was told of already."""
        if not isinstance(event, BudgetRefused):
            return False
        self._sentences.add(event.sentence)
        place = (event.limit, event.account)
        self._seen[place] = self._seen.get(place, 0) + 1
        return self._seen[place] > 1

    def ended(self, event: Event) -> str | None:
        """Return, at the end of the run, how many more calls were not sent; ``None`` if none."""
        if not isinstance(event, RunFinished):
            return None
        more = sum(count - 1 for count in self._seen.values())
        self._seen.clear()
        return f"budget: {more:,} more {'call was' if more == 1 else 'calls were'} not sent" if more else None


@attrs.define(eq=False)
class RecordedReads:
    """Answers about parts that come from the journal: they are counted, and told in one line."""

    _count: int = attrs.field(default=0, init=False)

    def counts(self, event: Event) -> bool:
        """Whether *event* is such an answer, which is counted now."""
        is_one = isinstance(event, ModelCallFinished) and event.replayed and event.purpose == "read"
        self._count += is_one
        return is_one

    def over(self, event: Event) -> str | None:
        """Return how many there were, before another *event* that is told; ``None`` for none."""
        if not self._count or (line_of(event) is None and not isinstance(event, RunFinished)):
            return None
        count, self._count = self._count, 0
        return f"{counted(count, 'answer')} about parts from the journal"


@attrs.define(eq=False)
class PlainView:
    """Prints the lines, by default to standard error; prints nothing if ``quiet``.

    With ``notes_only`` it prints only warnings.
    """

    verbose: bool = False
    quiet: bool = False
    to_stderr: bool = True
    notes_only: bool = False
    _refusals: Refusals = attrs.field(factory=Refusals, init=False)
    _answers: FinalAnswers = attrs.field(factory=FinalAnswers, init=False)
    _recorded: RecordedReads = attrs.field(factory=RecordedReads, init=False)

    def see(self, event: Event) -> None:
        """Show *event*."""
        if self.notes_only and not isinstance(event, Warned):
            return
        if self._refusals.repeats(event) or self._refusals.is_told(event):
            return
        if not self.verbose and self._recorded.counts(event):
            return
        if not self.quiet and (told := self._recorded.over(event)):
            self.say(told)
        if not self.quiet and (more := self._refusals.ended(event)):
            self.say(more)
        self._answers.see(event)
        if not self.verbose and self._answers.stopped(event):
            return
        line = None if self.quiet else line_of(event, verbose=self.verbose)
        if line is not None:
            self.say(line)

    def say(self, line: str) -> None:
        """Print a line of the command itself."""
        say(line, err=self.to_stderr)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Print nothing while the user is asked a question; what comes meanwhile is printed after it."""
        with holding():
            yield

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


@attrs.define(eq=False)
class QuestionView(PlainView):
    """Shows a question about a context; with ``verbose`` also who is asked about parts of it."""

    def see(self, event: Event) -> None:
        """Show *event*."""
        match event:
            case DelegationStarted() if self.verbose:
                self.say(f"Child model: {event.delegation_model}")
            case DelegationSkipped() if self.verbose:
                self.say(f"Child model: none; {event.reason}")
        super().see(event)
