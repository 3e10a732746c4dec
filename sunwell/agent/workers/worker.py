"""A worker: its task as JSON, its terms, and its place in the run."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from sunwell.agent.conversation.conversation import Assignment
from sunwell.agent.conversation.facts_seen import FactsAsked
from sunwell.agent.conversation.final_call import closing_seconds
from sunwell.agent.prompts import worker_terms_text
from sunwell.agent.run.context_lookup import ContextQuestion
from sunwell.agent.run.loop_config import DEFAULT_TURNS
from sunwell.agent.run.run_context import Work
from sunwell.agent.run.toolset import Toolset
from sunwell.agent.workers.slots import Seat
from sunwell.context.kinds import Seconds, Text, allowed, read_value
from sunwell.context.options import option_specs
from sunwell.core.markdown import one_line
from sunwell.core.model import Caching, Effort, ModelProtocol
from sunwell.core.span import Span
from sunwell.core.task import Budget, Task, TaskResult
from sunwell.errors import ConfigurationError

CALLS_WITH_TOOLS = 6
"""Expected calls of a worker that has tools; one without has no second turn to make."""


def task_fields(task: Task) -> dict[str, Any]:
    """Return JSON values from which :func:`task_of` makes *task* again; defaults are left out.

    Of its checks they hold the commands: code of the caller's cannot be written down.
    """
    fields = {field.name: getattr(task, field.name) for field in attrs.fields(Task)}
    fields["check"] = tuple(check for check in task.check if isinstance(check, str))
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
        raise ConfigurationError(f"a task has no field {unknown[0]!r}; {_field_meant(unknown[0], known)}")
    if "text" not in given:
        raise ConfigurationError("a task needs a text: what is to be done, in words")
    if given.get("budget") is not None:
        given["budget"] = _budget(given["budget"])
    if not isinstance(given["text"], str) or not given["text"].strip():
        raise ConfigurationError("a task's text is empty or not a text: say what is to be done, in words")
    return Task(**{name: _read_field(name, value) for name, value in given.items() if value is not None})


_FIELD_KINDS: Mapping[str, Any] = {
    "text": str,
    "tools": tuple[Text, ...],
    "timeout_seconds": Seconds,
    "scope": str,
    "target_files": tuple[Text, ...],
    "done": str,
    "check": tuple[Text, ...],
}


def _read_field(name: str, value: Any) -> Any:
    if name == "check" and isinstance(value, str):
        return (_read("a task's check", value, Text),)
    return value if name == "budget" else _read(f"a task's {name}", value, _FIELD_KINDS[name])


def _read(name: str, value: Any, kind: Any) -> Any:
    try:
        return read_value(value, kind)
    except ValueError:
        raise ConfigurationError(f"{name} cannot be {_shown(value)}: it must be {allowed(kind)}") from None


def _shown(value: Any) -> str:
    return one_line(json.dumps(plain(value), ensure_ascii=False))[:100]


def _budget(value: Any) -> Budget:
    """Return the budget that the JSON object *value* describes; the ceilings are those of the settings."""
    if isinstance(value, Budget):
        return value
    kinds = {spec.path[1]: spec.kind for spec in option_specs().values() if spec.path[0] == "budget"}
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            f'a task\'s budget cannot be {_shown(value)}: it must be an object such as {{"usd": "0.50"}}'
        )
    for name in value:
        if name not in kinds:
            raise ConfigurationError(f"a task's budget has no field {name!r}; {_field_meant(name, kinds)}")
    read = {
        name: _read(f"a task's budget.{name}", one, kinds[name])
        for name, one in value.items()
        if one is not None
    }
    return Budget(**read)


def _field_meant(name: str, known: Iterable[str]) -> str:
    """Return the field that *name* probably means, as a question, or all fields."""
    from difflib import get_close_matches

    from sunwell.context.spellings import meant_setting

    longer = next((one for one in known if one.startswith(f"{name}_")), None)
    if longer is not None:
        return f"did you mean {longer}?"
    path = meant_setting(name)
    if path is not None and path[0] == "budget":
        return f"did you mean {path[1] if path[1] in known else '.'.join(path)}?"
    if path is not None and path[-1] in known:
        return f"did you mean {path[-1]}?"
    near = get_close_matches(name[:100], list(known), 1, 0.7)
    return f"did you mean {near[0]}?" if near else f"its fields: {', '.join(known)}"


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
    has_lens: bool = False
    """Whether a lens is among them."""
    effort: Effort | None = None
    max_output_tokens: int | None = None
    max_answer_tokens: int | None = None
    """Most tokens of the whole answer; ``None``: no limit but that of each message."""
    stream: bool = False
    caching: Caching = Caching()
    timeout_seconds: float | None = WORKER_SECONDS
    """Most wall time of a worker whose task names none; ``None``: no limit."""
    turns: int = DEFAULT_TURNS
    """Most turns of a worker whose budget names none."""
    larger_task: str = ""
    """The task that the workers' tasks are parts of; empty: each stands for itself."""
    brief: str = ""
    """The section of :attr:`system` that the model wrote that asked for the worker; empty: none."""
    passed_on: str = ""
    """What a worker is shown behind its task of what others have found; empty: nothing."""
    may_climb: bool = True
    """Whether work that fails its check may go up, if there is a ladder."""
    looks_up: ContextQuestion | None = None
    """What is looked up for the worker when it begins; ``None``: nothing."""
    report_characters: int | None = None
    """What a model reads of the report at once; ``None``: no model asked for it."""
    hand_over: Callable[[int], Awaitable[str]] | None = None
    """See :attr:`Conversation.hand_over`; ``None``: the worker starts no workers."""

    def ceilings(self, task: Task) -> Budget:
        """Return the ceilings of a worker's own account."""
        given = task.budget or Budget()
        limits = (given.seconds, task.timeout_seconds or self.timeout_seconds)
        seconds = min((limit for limit in limits if limit is not None), default=None)
        turns = self.turns if given.turns is None else given.turns
        return attrs.evolve(given, seconds=seconds, turns=turns)

    def told(
        self, task: Task, checks: Sequence[str] = (), left_seconds: float | None = None, looked_up: str = ""
    ) -> str:
        """Return what a worker is told behind its task: what differs among siblings.

        *checks* says of each check of this task alone what must hold; *left_seconds* is the time that its
        parents have left, ``None`` for no limit; *looked_up* is what was found for it.
        """
        has_tools = bool(self.tools.granted) and task.tools != ()
        limits = self.ceilings(task)
        times = [one for one in (limits.seconds, left_seconds) if one is not None]
        terms = worker_terms_text(
            self.larger_task,
            task.tools if self.tools.granted else None,
            limits.turns if has_tools else None,
            min(times, default=None) if has_tools else None,
            checks,
            self.report_characters,
        )
        return "\n\n".join(part for part in (self.passed_on, looked_up, terms) if part)

    def assignment(self, span: Span, task: Task, told: str, left_seconds: float | None) -> Assignment:
        """Return what the worker at *span* is given, of whose own and its parents' time so much is left.

        *told* stands behind the task, as it was recorded.
        """
        return Assignment(
            span,
            self.model,
            f"{task.prompt}\n\n{told}" if told else task.prompt,
            self.system,
            self.max_output_tokens,
            self.effort,
            self.caching,
            self.stream,
            closing_seconds(left_seconds),
            max_answer_tokens=self.max_answer_tokens,
            facts=FactsAsked("all", task.text, task.target_files),
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
    works: list[Work] = attrs.field(factory=list, init=False, repr=False)
    """The conversations in which it has worked, in order."""
    climbs: bool = False
    """Whether its work goes up if it fails its check: each rung then has a span of its own."""
    has_account: bool = attrs.field(default=False, init=False)
    """Whether its account in the ledger is open: it has begun in this process."""

    @property
    def first_span(self) -> Span:
        """The span of its first conversation."""
        return self.span.child("cheap") if self.climbs else self.span
