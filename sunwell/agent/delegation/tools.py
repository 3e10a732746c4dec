"""``delegate`` and its companions: start workers, go on meanwhile, and read what they found."""

import asyncio
from collections.abc import Mapping
from typing import Any

from sunwell.agent.delegation.desk import Desk, Order
from sunwell.agent.delegation.desk_tool import Arguments, DeskTool, spec
from sunwell.agent.delegation.reports import told_entry, told_nothing_new, told_results, told_start
from sunwell.core.markdown import one_line
from sunwell.core.task import Task
from sunwell.core.tool import Place
from sunwell.errors import ToolError
from sunwell.tools.arguments import closed, nullable, text, whole

MOST_TASKS = 100
"""Most workers that one call may start."""
_LISTED_KEYS = 40

_TASK = text(
    "What to do, complete in itself: the worker sees this text and nothing of your conversation. Say what "
    "to look at, what to find or change, and what to report."
)
_TOOLS = nullable(
    {
        "type": "array",
        "items": {"type": "string"},
        "description": "Names of the tools that the worker may use; null: all, []: none.",
    }
)
_DELEGATE = spec(
    "delegate",
    "Start one worker on a task and return its task_id at once, without waiting. The worker has the tools "
    'of the workspace and reports back. Example: {"task": "Read src/auth.py and report how tokens are '
    'checked, with line numbers.", "tools": null}',
    {"task": _TASK, "tools": _TOOLS},
)
_DELEGATE_BATCH = spec(
    "delegate_batch",
    "Start several workers at once, one for each task, and return their task_ids without waiting. For "
    'tasks that do not need each other\'s results. Example: {"tasks": [{"task": "Count the tests in '
    'tests/a", "tools": null}, {"task": "Count the tests in tests/b", "tools": null}]}',
    {
        "tasks": {
            "type": "array",
            "items": closed({"task": _TASK, "tools": _TOOLS}),
            "description": f"The tasks, 1 to {MOST_TASKS}.",
        }
    },
)
_STREAM = spec(
    "stream_results",
    "Return the results that have come in since the last call, without waiting. Read them as they come; "
    "where nothing is new and you cannot go on, call await_results instead.",
    {},
)
_AWAIT = spec(
    "await_results",
    "Wait until all the named workers are done and return their results; results stay available, so "
    'asking twice is fine. Example: {"task_ids": ["01J8…"], "timeout_seconds": 60}',
    {
        "task_ids": nullable(
            {
                "type": "array",
                "items": {"type": "string"},
                "description": "task_ids that delegate or delegate_batch returned; null: all of yours.",
            }
        ),
        "timeout_seconds": nullable(
            {
                "type": "number",
                "description": "Longest wait; then what is done is returned and the rest goes on. null: no "
                "limit, 0: do not wait.",
            }
        ),
    },
)
_INSPECT = spec(
    "inspect",
    "Return a worker's result in full, from the scratchpad, where its summary is not enough. Long texts "
    'come in pages. Example: {"key": "task:01J8…", "page": null}',
    {
        "key": text("task:<task_id>, or another key of the scratchpad; an empty text lists the keys."),
        "page": nullable(whole("Page of a long text, from 1; null: the first.")),
    },
)


def delegating_tools() -> tuple[DeskTool, ...]:
    """Return the tools with which a model starts workers and reads their results."""
    return (
        DeskTool(_DELEGATE, _delegate, _recall_delegate),
        DeskTool(_DELEGATE_BATCH, _delegate_batch, _recall_delegate_batch),
        DeskTool(_STREAM, _stream, _recall_told),
        DeskTool(_AWAIT, _await, _recall_told),
        DeskTool(_INSPECT, _inspect),
    )


def order_of(desk: Desk, arguments: Mapping[str, Any]) -> Order:
    """Return the order that a model wrote.

    Raises :exc:`~sunwell.errors.ToolError` for an empty task and for a tool that no worker has.
    """
    if not str(arguments["task"]).strip():
        raise ToolError("the task is empty: say in words what the worker is to do")
    return Order(Task(arguments["task"], tools=known_tools(desk, arguments["tools"])))


def known_tools(desk: Desk, names: list[str] | None) -> tuple[str, ...] | None:
    """Return *names*, which are tools of the workers; ``None`` is all of them."""
    if names is None:
        return None
    there = [one.name for one in desk.deeper.specs]
    strange = [name for name in names if name not in there]
    if strange:
        raise ToolError(f"workers have no tool {one_line(strange[0])[:60]!r}; theirs are: {', '.join(there)}")
    return tuple(names)


async def _delegate(desk: Desk, place: Place, arguments: Arguments) -> str:
    order = order_of(desk, arguments)
    ids = await desk.start(place, [order], share=desk.settings.share)
    await desk.decide(place, f"delegated: {one_line(order.task.text)[:120]}", order.task.text)
    return told_start(ids, [order.task.text])


def _recall_delegate(desk: Desk, place: Place, arguments: Arguments) -> None:
    desk.recall(place, [order_of(desk, arguments)])


def _orders(desk: Desk, arguments: Arguments) -> list[Order]:
    tasks = arguments["tasks"]
    if not 1 <= len(tasks) <= MOST_TASKS:
        raise ToolError(f"delegate_batch takes 1 to {MOST_TASKS} tasks, got {len(tasks)}")
    return [order_of(desk, task) for task in tasks]


async def _delegate_batch(desk: Desk, place: Place, arguments: Arguments) -> str:
    orders = _orders(desk, arguments)
    tasks = [order.task.text for order in orders]
    ids = await desk.start(place, orders)
    listed = "\n".join(f"- {one_line(task)}" for task in tasks)
    await desk.decide(place, f"delegated {len(tasks)} tasks", listed)
    return told_start(ids, tasks)


def _recall_delegate_batch(desk: Desk, place: Place, arguments: Arguments) -> None:
    desk.recall(place, _orders(desk, arguments))


async def _stream(desk: Desk, place: Place, arguments: Arguments) -> str:
    await asyncio.sleep(0)  # who is done in this very step is told, too
    new, working = desk.unread(place.span), desk.working(place.span)
    await desk.note_told(place, [result.task_id for result in new])
    return told_results(new, working) if new else told_nothing_new(working)


async def _await(desk: Desk, place: Place, arguments: Arguments) -> str:
    wanted, seconds = arguments["task_ids"], arguments["timeout_seconds"]
    if seconds is not None and not 0 <= seconds < float("inf"):
        raise ToolError(f"timeout_seconds must be 0 or more, got {seconds}; null is no limit")
    ids = list(desk.own(place.span)) if wanted is None else desk.known(place.span, wanted)
    if not ids:
        raise ToolError("there is nobody to wait for: name the task_ids that delegate returned")
    results = await desk.dispatcher.await_results(ids, seconds)
    done = [result for result in results if result is not None]
    await desk.note_told(place, [result.task_id for result in done])
    missing = [one for one, result in zip(ids, results, strict=True) if result is None]
    return told_results(done, missing)


def _recall_told(desk: Desk, place: Place, arguments: Arguments) -> None:
    desk.recall_told(place)


async def _inspect(desk: Desk, place: Place, arguments: Arguments) -> str:
    key, page = arguments["key"].strip(), arguments["page"] or 1
    entries = {entry.key: entry for entry in desk.scratchpad.entries()}
    entry = entries.get(key) or entries.get(f"task:{key}")
    if entry is not None:
        if not 1 <= page <= entry.pages:
            raise ToolError(f"{entry.key} has the pages 1 to {entry.pages}, and no page {page}")
        return told_entry(entry, page)
    if not key:
        return _listed(list(entries.values())[-_LISTED_KEYS:])
    task_id = key.removeprefix("task:")
    if task_id in desk.own(place.span):
        raise ToolError(f"{task_id} is still at work: await_results waits for it")
    there = ", ".join(list(entries)[-_LISTED_KEYS:]) or "none yet"
    raise ToolError(f"the scratchpad has no entry {one_line(key)[:60]!r}; its keys: {there}")


def _listed(entries: list[Any]) -> str:
    if not entries:
        return "The scratchpad is empty."
    lines = [f"- {entry.key} · {entry.type} · {one_line(entry.summary)[:160]!r}" for entry in entries]
    return "\n".join(["Keys of the scratchpad, with what each reports in its own words:", *lines])
