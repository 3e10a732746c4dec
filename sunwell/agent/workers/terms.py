"""What all workers of a batch have in common, and what is known of one while it works."""

import asyncio

import attrs

from sunwell.agent.run.loop_config import DEFAULT_TURNS
from sunwell.agent.work.closing import closing_seconds
from sunwell.agent.work.toolset import Toolset
from sunwell.agent.work.work import Assignment
from sunwell.agent.workers.slots import Seat
from sunwell.core.model import Caching, Effort, ModelProtocol
from sunwell.core.span import Span
from sunwell.core.task import Budget, Task, TaskResult

WORKER_SECONDS = 300.0
"""Most wall time of a worker where nobody says otherwise."""


@attrs.frozen
class Terms:
    """The same for every sibling: their prompts begin with the same bytes."""

    model: ModelProtocol
    """The one model that workers run on, at any depth."""
    tools: Toolset
    """What siblings are told of; a task's own list only narrows what is carried out."""
    system: tuple[str, ...] = ()
    """Sections of the system prompt: the caller's, then the lens."""
    effort: Effort | None = None
    max_output_tokens: int | None = None
    stream: bool = False
    caching: Caching = Caching()
    timeout_seconds: float | None = WORKER_SECONDS
    """Most wall time of a worker whose task names none; ``None``: no limit."""
    turns: int = DEFAULT_TURNS
    """Most turns of a worker whose budget names none."""

    def ceilings(self, task: Task) -> Budget:
        """Return the ceilings of a worker's own account."""
        given = task.budget or Budget()
        limits = (given.seconds, task.timeout_seconds or self.timeout_seconds)
        seconds = min((limit for limit in limits if limit is not None), default=None)
        turns = self.turns if given.turns is None else given.turns
        return attrs.evolve(given, seconds=seconds, turns=turns)

    def assignment(self, span: Span, task: Task, left_seconds: float | None) -> Assignment:
        """Return what the worker at *span* is given, of whose own and its parents' time so much is left."""
        return Assignment(
            span,
            self.model,
            task.prompt,
            self.system,
            self.max_output_tokens,
            self.effort,
            self.caching,
            self.stream,
            closing_seconds(left_seconds),
        )


@attrs.frozen
class Origin:
    """The tool call that asked for a worker."""

    task_id: str
    """What the worker is called in results, in place of its place in the run."""
    turn: int
    """Turn of the parent, from 0."""
    is_told: bool = False
    """Whether the parent has been told the recorded result: then it stands, however the worker ended."""


@attrs.define(eq=False)
class Worker:
    """One worker from the moment it is wanted."""

    id: str
    index: int
    """Place among its siblings, from 0."""
    span: Span
    parent: Span
    task: Task
    terms: Terms
    seat: Seat
    origin: Origin | None = None
    done: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    result: TaskResult | None = attrs.field(default=None, init=False)
    replayed: bool = attrs.field(default=False, init=False)
