"""``delegate`` and its companions: start workers, go on meanwhile, and read what they found."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from sunwell.agent.orchestration.reports import EXCERPT_CHARACTERS, told_reports
from sunwell.agent.orchestration.spawner import Order, Spawner
from sunwell.agent.orchestration.spawner_tool import Arguments, SpawnerTool, spec
from sunwell.agent.workers.worker_result import command_line
from sunwell.core.markdown import fenced, one_line
from sunwell.core.marks import guarded
from sunwell.core.task import Task, TaskResult
from sunwell.core.tool import Place
from sunwell.errors import ToolError
from sunwell.memory.scratchpad import ScratchpadEntry
from sunwell.tools.arguments import closed, nullable, text, whole
from sunwell.tools.limits import Outcome

_SHOWN_TASK = 100
_MOST_NAMED = 50
_MOST_STRANGE = 5


def told_start(ids: Sequence[str], tasks: Sequence[str], refused: Mapping[int, str] | None = None) -> str:
    """Return what a call that started workers says.

    *refused* says by the places in *tasks* which of them were not started, and why; the others have *ids*.
    """
    no, left = refused or {}, iter(ids)
    lines = []
    for number, task in enumerate(tasks):
        shown = one_line(task)[:_SHOWN_TASK] or "(no text)"
        lines.append(
            f"- not started · {shown} · {no[number]}" if number in no else f"- {next(left)} · {shown}"
        )
    count = "1 worker" if len(ids) == 1 else f"{len(ids)} workers"
    head = f"Started {count}; nothing is waited for. task_id and task of each:"
    if no:
        head = (
            f"Started {count} for {len(tasks)} tasks; nothing is waited for. What was not started says why: "
            "send only that again, put right. In the order of your tasks:"
        )
    return "\n".join([head, *lines])


def told_results(results: Sequence[TaskResult], working: Sequence[str]) -> str:
    """Return *results*, and who is still at work."""
    head = [f"Finished: {len(results)}. Still at work: {_named(working)}."]
    return "\n\n".join([*head, *told_reports(results)])


def told_nothing_new(working: Sequence[str]) -> str:
    """Return what is said where no worker has finished since the last time."""
    if not working:
        return "Nothing new, and nobody is at work. Delegate more, or set the answer."
    return (
        f"Nothing new yet. Still at work: {_named(working)}. Do not ask again and again: await_results "
        "waits for them without costing a turn each time."
    )


def told_entry(entry: ScratchpadEntry, page: int) -> str:
    """Return *page* of *entry* in full."""
    where = f"page {page} of {entry.pages}" if entry.pages > 1 else "whole"
    lines = [f"{entry.key} · {entry.type} · {where}"]
    if page == 1 and entry.type == "analysis":
        lines += _facts(entry)
    whose = "The worker reports (its own words, not verified):" if entry.type == "analysis" else "Noted:"
    lines += [whose, fenced(guarded(entry.page(page)) or "(nothing)")]
    if page < entry.pages:
        lines.append(f'The text goes on: inspect("{entry.key}", page={page + 1}).')
    return "\n".join(lines)


def _facts(entry: ScratchpadEntry) -> list[str]:
    raw, seen = entry.raw, entry.receipts
    lines = [f"Task: {one_line(str(raw.get('task', '')))}"]
    lines.append(f"Ended: {raw.get('status')} ({raw.get('stop_reason')}), {raw.get('turns')} turns")
    if raw.get("error"):
        lines.append(f"Error: {one_line(str(raw['error']))}")
    lines.append("Recorded by the harness itself:")
    lines += [f"- file {one_line(change.path)}" for change in seen.files] or ["- no file was changed"]
    lines += [f"- {command_line(run)}" for run in seen.commands]
    called = ", ".join(f"{name} {count}" for name, count in seen.tools_called)
    lines.append(f"- tools called: {called or 'none'}")
    return [*lines, *(f"- unresolved: {one_line(str(said))}" for said in raw.get("unresolved") or ())]


def _named(ids: Sequence[str]) -> str:
    if not ids:
        return "nobody"
    more = f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else ""
    return f"{len(ids)} ({', '.join(ids[:_MOST_NAMED])}{more})"


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
    "Return in full, in pages, what a worker reported (a worker is whoever did a task or answered a question "
    f"for you). Reports of more than {EXCERPT_CHARACTERS:,} characters, or of fewer if many came at once, "
    "were shown to you in part. The reports are kept in the scratchpad. "
    'Example: {"key": "task:01J8…", "page": null}',
    {
        "key": text(
            "task:<task_id> (the worker's id), or another key of the scratchpad; an empty text lists them."
        ),
        "page": nullable(whole("Page of a long text, from 1; null: the first.")),
    },
)


def delegating_tools() -> tuple[SpawnerTool, ...]:
    """Return the tools with which a model starts workers and reads their results."""
    return (
        SpawnerTool(_DELEGATE, _delegate, _recall_delegate, _order_asked),
        SpawnerTool(_DELEGATE_BATCH, _delegate_batch, _recall_delegate_batch, _orders_asked),
        SpawnerTool(_STREAM, _stream, _recall_told),
        SpawnerTool(_AWAIT, _await, _recall_told),
        inspecting_tool(),
    )


def inspecting_tool() -> SpawnerTool:
    """Return the tool that reads results in full; all sets of delegation tools have it."""
    return SpawnerTool(_INSPECT, _inspect)


def order_of(spawner: Spawner, place: Place, arguments: Mapping[str, Any]) -> Order:
    """Return the order that a model wrote in the call at *place*.

    Raises :exc:`~sunwell.errors.ToolError` for an empty task and for a tool that the worker cannot have.
    """
    if not str(arguments["task"]).strip():
        raise ToolError("the task is empty: say in words what the worker is to do")
    return Order(Task(arguments["task"], tools=known_tools(spawner, place, arguments["tools"])))


def known_tools(spawner: Spawner, place: Place, names: list[str] | None) -> tuple[str, ...] | None:
    """Return *names*, which are tools that a worker of the call at *place* can have; ``None`` is all of them.

    What has started is not looked at again: a run that is resumed starts the same workers, whatever an
    earlier version allowed.
    """
    if names is None:
        return None
    there = spawner.tools_below(place.span)
    strange = [name for name in names if name not in there]
    if strange and not spawner.has_started(place):
        unknown = ", ".join(repr(one_line(name)[:60]) for name in strange[:_MOST_STRANGE])
        raise ToolError(f"this worker cannot have {unknown}; its tools: {', '.join(there) or 'none'}")
    return tuple(names)


async def _delegate(spawner: Spawner, place: Place, arguments: Arguments) -> str:
    order = order_of(spawner, place, arguments)
    ids = await spawner.start(place, [order], share=spawner.options.worker_share)
    await spawner.decide(place, f"delegated: {one_line(order.task.text)[:120]}", order.task.text)
    return told_start(ids, [order.task.text])


def _order_asked(spawner: Spawner, place: Place, arguments: Arguments) -> list[Order]:
    return [order_of(spawner, place, arguments)]


def _recall_delegate(spawner: Spawner, place: Place, arguments: Arguments) -> None:
    spawner.recall(place, _order_asked(spawner, place, arguments))


_REFUSED = "refused"


def _sorted_out(spawner: Spawner, place: Place, arguments: Arguments) -> tuple[list[Order], dict[int, str]]:
    """Return what a batch starts, in order, and why its other tasks are refused, by their places.

    What was refused is on record, because a resumed run has to start the same workers.
    """
    tasks = arguments["tasks"]
    if not 1 <= len(tasks) <= MOST_TASKS:
        raise ToolError(f"delegate_batch takes 1 to {MOST_TASKS} tasks, got {len(tasks)}")
    orders: list[Order] = []
    refused = {int(number): str(why) for number, why in spawner.noted(place, _REFUSED) or ()}
    for number, task in enumerate(tasks):
        if number in refused:
            continue
        try:
            orders.append(order_of(spawner, place, task))
        except ToolError as error:
            refused[number] = error.sentence
    return orders, refused


async def _delegate_batch(spawner: Spawner, place: Place, arguments: Arguments) -> Outcome:
    orders, refused = _sorted_out(spawner, place, arguments)
    tasks = [str(task["task"]) for task in arguments["tasks"]]
    if not orders:
        return Outcome(told_start([], tasks, refused), is_error=True)
    if refused:
        await spawner.note(place, _REFUSED, [list(one) for one in sorted(refused.items())])
    ids = await spawner.start(place, orders)
    listed = "\n".join(f"- {one_line(order.task.text)}" for order in orders)
    await spawner.decide(place, f"delegated {len(orders)} tasks", listed)
    return Outcome(told_start(ids, tasks, refused))


def _orders_asked(spawner: Spawner, place: Place, arguments: Arguments) -> list[Order]:
    return _sorted_out(spawner, place, arguments)[0]


def _recall_delegate_batch(spawner: Spawner, place: Place, arguments: Arguments) -> None:
    spawner.recall(place, _orders_asked(spawner, place, arguments))


async def _stream(spawner: Spawner, place: Place, arguments: Arguments) -> str:
    await asyncio.sleep(0)  # who is done in this very step is told, too
    new, working = spawner.unread(place.span), spawner.working(place.span)
    await spawner.note_told(place, [result.task_id for result in new])
    return told_results(new, working) if new else told_nothing_new(working)


async def _await(spawner: Spawner, place: Place, arguments: Arguments) -> str:
    wanted, seconds = arguments["task_ids"], arguments["timeout_seconds"]
    if seconds is not None and not 0 <= seconds < float("inf"):
        raise ToolError(f"timeout_seconds must be 0 or more, got {seconds}; null is no limit")
    ids = list(spawner.own(place.span)) if wanted is None else spawner.known(place.span, wanted)
    if not ids:
        raise ToolError("there is nobody to wait for: name the task_ids that delegate returned")
    results = await spawner.dispatcher.await_results(ids, seconds)
    done = [result for result in results if result is not None]
    await spawner.note_told(place, [result.task_id for result in done])
    missing = [one for one, result in zip(ids, results, strict=True) if result is None]
    return told_results(done, missing)


def _recall_told(spawner: Spawner, place: Place, arguments: Arguments) -> None:
    spawner.recall_told(place)


async def _inspect(spawner: Spawner, place: Place, arguments: Arguments) -> str:
    key, page = arguments["key"].strip(), arguments["page"] or 1
    entries = {entry.key: entry for entry in spawner.scratchpad.entries()}
    entry = entries.get(key) or entries.get(f"task:{key}")
    if entry is not None:
        if not 1 <= page <= entry.pages:
            raise ToolError(f"{entry.key} has the pages 1 to {entry.pages}, and no page {page}")
        return told_entry(entry, page)
    if not key:
        return _listed(list(entries.values())[-_LISTED_KEYS:])
    task_id = key.removeprefix("task:")
    if task_id in spawner.own(place.span):
        raise ToolError(f"{task_id} is still at work: await_results waits for it")
    there = ", ".join(list(entries)[-_LISTED_KEYS:]) or "none yet"
    raise ToolError(f"the scratchpad has no entry {one_line(key)[:60]!r}; its keys: {there}")


def _listed(entries: list[Any]) -> str:
    if not entries:
        return "The scratchpad is empty."
    lines = [f"- {entry.key} · {entry.type} · {one_line(entry.summary)[:160]!r}" for entry in entries]
    return "\n".join(["Keys of the scratchpad, with what each reports in its own words:", *lines])
