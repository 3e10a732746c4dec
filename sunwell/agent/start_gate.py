"""When the workers of a batch may begin, and how the prompt that they share is cached."""

import asyncio
from typing import Protocol

import attrs

from sunwell.agent.run import Run
from sunwell.agent.terms import Terms
from sunwell.core.usage import Usage
from sunwell.events import Event, ModelCallFinished, ModelTextArrived


class StartGate(Protocol):
    """Lets the workers of one batch begin."""

    async def enter(self, task_id: str) -> None:
        """Return once the worker may begin."""
        ...

    def left(self, task_id: str) -> None:
        """Take note that the worker is over, whether or not it ever entered."""
        ...

    def terms(self, terms: Terms) -> Terms:
        """Return *terms* as they hold for a worker that begins now."""
        ...


@attrs.frozen
class OpenGate:
    """Lets everybody begin at once."""

    async def enter(self, task_id: str) -> None:
        """Return at once."""

    def left(self, task_id: str) -> None:
        """Take no note of it."""

    def terms(self, terms: Terms) -> Terms:
        """Return *terms* as they are."""
        return terms


@attrs.define(eq=False)
class PilotGate:
    """Lets one worker begin, and the rest once its first answer has begun.

    From then on the provider's cache holds the prefix that all share. Where the first worker ends
    or fails before that, the next one goes first.
    """

    run: Run
    prefixes: dict[str, str]
    """Path of each worker's span by its id."""
    _is_open: bool = attrs.field(default=False, init=False)
    _pilot: str | None = attrs.field(default=None, init=False)
    _begun_at: float = attrs.field(default=0.0, init=False)
    first_answer_seconds: float | None = attrs.field(default=None, init=False)
    """Time from the pilot's start until its first answer began; ``None`` until then."""
    first_usage: Usage | None = attrs.field(default=None, init=False)
    """Usage of the pilot's first answer; ``None`` where it has not come."""
    _changed: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)

    async def enter(self, task_id: str) -> None:
        """Return at once for the pilot, for all others once the gate is open."""
        while not self._is_open and self._pilot is not None:
            await self._changed.wait()
        if not self._is_open:
            self._pilot = task_id
            self._begun_at = asyncio.get_running_loop().time()
            self._changed = asyncio.Event()
            self.run.watch(self._see)

    def left(self, task_id: str) -> None:
        """Let the next one go first where the pilot is over and no answer had begun."""
        if task_id == self._pilot and not self._is_open:
            self.run.unwatch(self._see)
            self._pilot = None
            self._changed.set()

    def terms(self, terms: Terms) -> Terms:
        """Return *terms* as they are."""
        return terms

    def _see(self, event: Event) -> None:
        match event:
            case ModelTextArrived() if self._is_pilots(event.span):
                self._open()
            case ModelCallFinished(replayed=False, error="") if self._is_pilots(event.span):
                self.first_usage = event.usage
                self._open()
                self.run.unwatch(self._see)
            case ModelCallFinished(replayed=False) if not self._is_open and self._is_pilots(event.span):
                self.left(self._pilot or "")

    def _is_pilots(self, span: str) -> bool:
        path = self.prefixes.get(self._pilot or "")
        return path is not None and (span == path or span.startswith(f"{path}/"))

    def _open(self) -> None:
        if not self._is_open:
            self._is_open = True
            self.first_answer_seconds = asyncio.get_running_loop().time() - self._begun_at
            self._changed.set()
