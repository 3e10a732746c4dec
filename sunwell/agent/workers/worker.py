"""A worker: its task as JSON, its terms, and its place in the run."""

import asyncio
from collections.abc import Mapping
from typing import Any

import attrs

from sunwell.agent.conversation.conversation import Assignment
from sunwell.agent.conversation.final_call import closing_seconds
from sunwell.agent.run.loop_config import DEFAULT_TURNS
from sunwell.agent.run.toolset import Toolset
from sunwell.agent.workers.slots import Seat
from sunwell.core.model import Caching, Effort, ModelProtocol
from sunwell.core.span import Span
from sunwell.core.task import Budget, Task, TaskResult
from sunwell.errors import ConfigurationError


def task_fields(task: Task) -> dict[str, Any]:
    """Return JSON values from which :func:`task_of` makes *task* again; defaults are left out."""
    fields = {field.name: getattr(task, field.name) for field in attrs.fields(Task)}
    fields["budget"] = None if task.budget is None else plain(attrs.asdict(task.budget))
    kept = {name: value for name, value in fields.items() if value not in (None, "")}
    return {name: plain(value) for name, value in kept.items() if name == "tools" or value != ()}


def task_of(fields: Mapping[str, Any]) -> Task:
    """Return the task that *fields* describe.

    Raises :exc:`~sunwell.errors.ConfigurationError` for a field that no task has, or a wrong value.
    """
    known = [field.name for field in attrs.fields(Task)]
    given = {("text" if name == "task" else name): value for name, value in fields.items()}
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ConfigurationError(f"a task has no field {unknown[0]!r}; its fields: {', '.join(known)}")
    if "text" not in given:
        raise ConfigurationError("a task needs a text: what is to be done, in words")
    try:
        if given.get("budget") is not None:
            given["budget"] = Budget(**given["budget"])
        return Task(**given)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise ConfigurationError(f"a task cannot be read: {error}") from None


def plain(value: Any) -> Any:
    """Return *value* in JSON's own types; amounts become text."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


WORKER_SECONDS = 300.0
"""Most wall time of a worker where nobody says otherwise."""


@attrs.frozen
class WorkerTerms:
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
class WorkerOrigin:
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
    terms: WorkerTerms
    seat: Seat
    origin: WorkerOrigin | None = None
    done: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    result: TaskResult | None = attrs.field(default=None, init=False)
    replayed: bool = attrs.field(default=False, init=False)
