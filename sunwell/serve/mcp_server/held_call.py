"""A call of a client: its work goes on in a task of its own, tells of its progress, and may ask questions."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import attrs

from sunwell.context.options import Approve
from sunwell.core.markdown import fenced
from sunwell.core.tool import Proposal
from sunwell.tools.wording import exact_lines

T = TypeVar("T")
ANSWER_SECONDS = 600.0
"""How long a question waits for its answer."""
_MOST_LINES = 200
MOST_SHOWN = 20_000
"""Characters that a person is shown at most: what nobody can read whole, nobody can approve."""


@attrs.define(eq=False)
class OpenQuestion:
    """A question that a person has to answer with yes or no."""

    text: str
    said: "asyncio.Future[bool]" = attrs.field(factory=lambda: asyncio.get_running_loop().create_future())

    def answer(self, yes: bool) -> None:
        """Give the answer; only the first one counts."""
        if not self.said.done():
            self.said.set_result(yes)


@attrs.define(eq=False)
class HeldCall(Generic[T]):
    """The work of one call, which outlives the request that began it while a question is open.

    Whoever serves the call waits for :meth:`news`, tells the lines, has the question answered, and takes the
    result. A question that is not answered in time stops the work.
    """

    can_ask: bool
    """Whether the client can show a question to a person."""
    answer_seconds: float = ANSWER_SECONDS
    question: OpenQuestion | None = attrs.field(default=None, init=False)
    stop_with: Callable[[], object] | None = attrs.field(default=None, init=False)
    """How the work is stopped in good order once a run has begun; before that it is cancelled."""
    _task: "asyncio.Task[T] | None" = attrs.field(default=None, init=False)
    _lines: deque[str] = attrs.field(factory=lambda: deque(maxlen=_MOST_LINES), init=False)
    _news: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    _is_stopped: bool = attrs.field(default=False, init=False)

    def begin(
        self, work: "Callable[[HeldCall[T]], Awaitable[T]]", when_ended: Callable[[], object] = lambda: None
    ) -> None:
        """Begin *work*; call *when_ended* when it has ended, however."""

        async def run() -> T:
            return await work(self)

        def ended(task: "asyncio.Task[T]") -> None:
            if not task.cancelled():
                task.exception()  # nobody may come back for it, which is no fault to be logged
            self._news.set()
            when_ended()

        self._task = asyncio.get_running_loop().create_task(run())
        self._task.add_done_callback(ended)

    def tell(self, line: str) -> None:
        """Add a line of progress."""
        self._lines.append(line)
        self._news.set()

    def lines(self) -> list[str]:
        """Return the lines that nobody has taken yet."""
        found = list(self._lines)
        self._lines.clear()
        return found

    async def ask(self, text: str) -> bool:
        """Ask a person *text* and return whether the answer is yes; questions come one after the other."""
        async with self._turn:
            if self._is_stopped or not self.can_ask:
                return False
            self.question = OpenQuestion(text)
            self._news.set()
            try:
                async with asyncio.timeout(self.answer_seconds):
                    return await self.question.said
            except TimeoutError:
                self.stop()
                return False
            finally:
                self.question = None

    async def news(self) -> None:
        """Return when there are lines or a question, or the work has ended."""
        await self._news.wait()
        self._news.clear()

    @property
    def has_ended(self) -> bool:
        """Whether there is a result."""
        return self._task is not None and self._task.done()

    def result(self) -> T:
        """Return the result of the work that has ended; raises what it raised."""
        assert self._task is not None
        return self._task.result()

    def stop(self) -> None:
        """Stop the work as Ctrl-C would: what was paid is kept, and no new call of a model begins."""
        self._is_stopped = True
        if self.question is not None:
            self.question.answer(False)
        if self.stop_with is not None:
            self.stop_with()
        elif self._task is not None:
            self._task.cancel()

    async def ended(self) -> None:
        """Return when the work has ended, however."""
        if self._task is not None:
            await asyncio.wait((self._task,))


def approving(call: HeldCall[Any]) -> Approve:
    """Return what has a person approve each write and command, through the client of *call*."""

    async def approve(proposal: Proposal) -> bool:
        lines = exact_lines(proposal.details, is_diff=bool(proposal.path))
        if sum(map(len, lines)) > MOST_SHOWN:
            call.tell(f"refused, since it is too long to be shown: {proposal.summary}")
            return False
        about = [proposal.asked_by and f"Asked by: {proposal.asked_by}", proposal.conditions]
        about.append(proposal.reason and f"Asked because {proposal.reason}")
        told = "\n".join([f"{proposal.summary}?", *filter(None, about), fenced("\n".join(lines))])
        return await call.ask(told)

    return approve
