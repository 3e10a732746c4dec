"""Tools to test code that uses Sunwell: scripted models, recorded runs, a virtual clock; no network."""

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

import attrs

from sunwell.agent.lifecycle.replay_run import ReplayDifference, replay_journal
from sunwell.agent.prompts import TOLD_BEGINS
from sunwell.core.message import Part, Text
from sunwell.core.model import Completion, Delta, Request, Stop, Usage
from sunwell.core.price import Price

__all__ = [
    "Line",
    "ReplayDifference",
    "ScriptedModel",
    "VirtualLoop",
    "completion",
    "replay_journal",
    "run_virtual",
    "task_in",
]

T = TypeVar("T")
Line = str | Completion | BaseException | Callable[[Request], "str | Completion"]


def completion(
    *parts: Part | str, usage: Usage | None = None, model: str = "", stop: Stop | None = None
) -> Completion:
    """Return a completion made of *parts*; strings are text.

    By default ``stop`` is ``tool_calls`` if a part is a tool call and ``end`` otherwise, and usage is
    10 input tokens and 5 output tokens. Without ``model``, the model that returns it adds its own name.
    """
    made = tuple(Text(part) if isinstance(part, str) else part for part in parts)
    answer = Completion(made, stop or "end", usage or Usage(10, 5), model)
    if stop is None and answer.tool_calls:
        return attrs.evolve(answer, stop="tool_calls")
    return answer


def task_in(request: Request) -> str:
    """Return the task with which *request* begins, without what Sunwell tells a worker behind it."""
    return request.messages[0].text.partition(f"\n\n{TOLD_BEGINS}")[0]


def _lines(value: Iterable[Line]) -> list[Line]:
    return list(value)


@attrs.define(eq=False)
class ScriptedModel:
    """A model that gives prepared answers in order, and fails on a call that it has no answer for.

    A line is a text, a :class:`Completion`, an exception to raise, or a function of the request.
    ``calls`` keeps every request. :meth:`assert_finished` fails if lines are left over.
    """

    name: str
    lines: list[Line] = attrs.field(converter=_lines)
    price: Price | None = None
    seconds: float = 0.0
    """How long each answer takes, on the event loop's clock."""
    calls: list[Request] = attrs.field(factory=list, init=False)

    async def complete(self, request: Request) -> Completion:
        """Return the next line as a completion, or raise it."""
        if not self.lines:
            raise AssertionError(f"{self.name} has no line left for this request: {request!r}")
        self.calls.append(request)
        line = self.lines.pop(0)
        if self.seconds:
            await asyncio.sleep(self.seconds)
        if isinstance(line, BaseException):
            raise line
        said = line(request) if callable(line) else line
        answer = completion(said) if isinstance(said, str) else said
        return answer if answer.model else attrs.evolve(answer, model=self.name)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Yield the text of the next line word by word, then the completion."""
        answer = await self.complete(request)
        for word in answer.text.split(" "):
            yield Delta(text=word)
        yield Delta(completion=answer)

    def assert_finished(self) -> None:
        """Raise :exc:`AssertionError` if lines are left over."""
        if self.lines:
            noun = "line" if len(self.lines) == 1 else "lines"
            raise AssertionError(f"{self.name} has {len(self.lines)} unused {noun}")


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: if nothing is ready, the clock jumps to the next timer."""

    jump: Callable[[float], None]

    def select(self, timeout: float | None = None) -> "list[tuple[selectors.SelectorKey, int]]":
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("deadlock: every task waits and no timer is set")
        if not ready and timeout:
            self.jump(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a virtual clock: sleeps and timeouts end at once, in the right order.

    For code in one process without sockets or threads. If every task waits and no timer is set, it
    raises :exc:`RuntimeError` instead of hanging.
    """

    has_threads = False
    """What would wait for a thread is done on the loop: real time does not pass here."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        super().__init__(selector)
        self._now = 0.0
        selector.jump = self._jump

    def _jump(self, seconds: float) -> None:
        self._now += seconds

    def run_in_executor(  # type: ignore[override]  # the parameters of a callable cannot be written so
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> Any:
        """Call *func* at once: a thread would take real time."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def time(self) -> float:
        """Return the virtual seconds since the loop was created."""
        return self._now


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run *main* to its end on a :class:`VirtualLoop`."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
