"""``delegate`` and its companions: start workers, go on meanwhile, and read what they found."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sunwell.agent.orchestration.reports import fitting, left_out_of, told_reports
from sunwell.agent.orchestration.spawner import MOST_PASSED_ON, Order, Spawner, WorkerStates
from sunwell.agent.orchestration.spawner_tool import (
    CONTEXT_PARAMETERS,
    Arguments,
    SpawnerTool,
    looked_up,
    spec,
)
from sunwell.agent.orchestration.worker_checks import CHECK
from sunwell.agent.workers.receipt_lines import error_lines, receipt_lines
from sunwell.core.addresses import without_addresses
from sunwell.core.lens import EphemeralLens
from sunwell.core.markdown import fenced, one_line, shortened
from sunwell.core.marks import guarded
from sunwell.core.model import ToolSpec
from sunwell.core.task import Task, TaskResult
from sunwell.core.tool import Place
from sunwell.errors import ToolError
from sunwell.memory.scratchpad import PAGE_CHARACTERS, ScratchpadEntry
from sunwell.models.tokens import estimate_tokens
from sunwell.tools.arguments import closed, nullable, text, whole
from sunwell.tools.limits import Outcome

_SHOWN_TASK, _SHOWN_SCOPE = 100, 200
_MOST_STRANGE = 5


def told_start(ids: Sequence[str], tasks: Sequence[str], refused: Mapping[int, str] | None = None) -> str:
    """Return what a call that started workers says.

    *refused* says by the places in *tasks* which of them were not started, and why; the others have *ids*.
    """
    no, left = refused or {}, iter(ids)
    lines = []
    for number, task in enumerate(tasks):
        shown = shortened(task, _SHOWN_TASK) or "(no text)"
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


def told_results(results: Sequence[TaskResult], left: int, states: WorkerStates, most_characters: int) -> str:
    """Return *results*, how many more did not fit, and what the other workers do."""
    head = [f"Reports given here: {len(results)}." if results else "None of them has finished yet."]
    if left:
        head.append(f"{left} more did not fit in here: ask again.")
    return "\n\n".join([" ".join([*head, states.sentence()]), *told_reports(results, most_characters)])


def told_nothing_new(states: WorkerStates) -> str:
    """Return what is said where no worker has finished since the last time."""
    if states.is_over:
        return "Nothing new, and nobody is at work. Delegate more, or set the answer."
    return (
        f"Nothing new yet. {states.sentence()} Do not ask again and again: await_results waits for them "
        "without costing a turn each time."
    )


def told_entry(entry: ScratchpadEntry, page: int | None, most_characters: int) -> str:
    """Return *page* of the text of *entry*; ``None``: what its report left out, or the first page."""
    text = entry.text
    first, last = left_out_of(text, most_characters)
    is_part = page is None and entry.type == "analysis" and first < last
    if is_part:
        shown, end = entry.between(first, last)
        where = f"characters {first + 1:,} to {end:,} of {len(text):,}, which the report left out"
        more = end < last
        next_page = entry.page_of(end)
    else:
        shown, number = entry.page(page or 1), page or 1
        where = f"page {number} of {entry.pages}" if entry.pages > 1 else "whole"
        more, next_page = number < entry.pages, number + 1
    lines = [f"{entry.key} · {_kind(entry)} · {where}"]
    if not is_part and next_page <= 2 and entry.type == "analysis":
        lines += _facts(entry)
    whose = "The worker reports (its own words, not verified):" if entry.type == "analysis" else "Noted:"
    lines += [whose, fenced(guarded(shown) or "(nothing)")]
    if more:
        lines.append(f'The text goes on: inspect("{entry.key}", page={next_page}).')
    return "\n".join(lines)


def _kind(entry: ScratchpadEntry) -> str:
    return "report" if entry.type == "analysis" else entry.type


def _facts(entry: ScratchpadEntry) -> list[str]:
    raw, seen = entry.raw, entry.receipts
    lines = [f"Task: {one_line(str(raw.get('task', '')))}"]
    lines.append(f"Ended: {raw.get('status')} ({raw.get('stop_reason')}), {raw.get('turns')} turns")
    return [
        *lines,
        *error_lines(str(raw.get("error") or "")),
        *receipt_lines(
            seen,
            diff=str(raw.get("diff") or ""),
            conflicts=raw.get("conflicts") or (),
            verification=raw.get("verification"),
            unresolved=[str(said) for said in raw.get("unresolved") or ()],
        ),
    ]


MOST_TASKS = 100
"""Most workers that one call may start."""
_LISTED_KEYS = 40

_TASK = text(
    "What to do, complete in itself: the worker sees this text and nothing of your conversation. Say what "
    "to look at, what to find or change, and what to report."
)
_CONTEXT = nullable(
    {
        "type": "array",
        "items": {"type": "string"},
        "description": f"At most {MOST_PASSED_ON} keys of the scratchpad, such as task:<task_id>: the worker "
        "is shown these reports, shorter if they are many, so do not copy them into the task. null: none.",
    }
)
_TOOLS = nullable(
    {
        "type": "array",
        "items": {"type": "string"},
        "description": "Names of the tools that the worker may use; null: all, []: none.",
    }
)
_ITEM = {"task": _TASK, "tools": _TOOLS, "context": _CONTEXT}
_DELEGATE_TEXT = (
    "Start one worker on a task and return its task_id at once, without waiting. The worker has the tools "
    'of the workspace and reports back. Example: {"task": "Read src/auth.py and report how tokens are '
    'checked, with line numbers.", "tools": null, "context": null%s}'
)
_BATCH_TEXT = (
    "Start several workers at once, one for each task, and return their task_ids without waiting. For "
    'tasks that do not need each other\'s results. Example: {"tasks": [{"task": "Count the tests in '
    'tests/a", "tools": null, "context": null%s}, {"task": "Fix tests/b", "tools": null, "context": null%s}]}'
)


def _batch_spec(description: str, item: Mapping[str, Any]) -> ToolSpec:
    tasks = {
        "type": "array",
        "items": closed(item),
        "description": f"The tasks, 1 to {MOST_TASKS}.",
    }
    return spec("delegate_batch", description, {"tasks": tasks})


def _told(can_check: bool, can_query: bool) -> tuple[ToolSpec, ToolSpec]:
    """Return what is told of ``delegate`` and ``delegate_batch`` where this is possible."""
    item = {
        **_ITEM,
        **({"check": CHECK} if can_check else {}),
        **(CONTEXT_PARAMETERS if can_query else {}),
    }
    query = _QUERIES if can_query else ""
    checks = (', "check": null', ', "check": "pytest -q tests/b"') if can_check else ("", "")
    one = spec("delegate", _DELEGATE_TEXT % (checks[0] + query), item)
    return one, _batch_spec(_BATCH_TEXT % (checks[0] + query, checks[1] + query), item)


_QUERIES = ', "context_query": null, "context_budget": null'
_DELEGATE, _DELEGATE_BATCH = _told(can_check=True, can_query=True)
_STREAM = spec(
    "stream_results",
    "Return the reports that have come in since the last call, without waiting. If nothing is new and you "
    "cannot go on, call await_results instead.",
    {},
)
_AWAIT = spec(
    "await_results",
    "Wait for workers and return their reports. task_ids null: those whose reports you were not given yet; "
    "workers that you name are given again. "
    'Example: {"task_ids": null, "wait_for": "any", "timeout_seconds": null}',
    {
        "task_ids": nullable(
            {
                "type": "array",
                "items": {"type": "string"},
                "description": "task_ids that delegate or delegate_batch returned; null: all whose reports "
                "you were not given yet.",
            }
        ),
        "wait_for": nullable(
            {
                "anyOf": [{"type": "string", "enum": ["any", "all"]}, {"type": "integer"}],
                "description": '"any": return once one of them has a report that you were not given yet; a '
                "number, such as 5: once so many have. Reports that follow soon come with them, unless one "
                "failed: that is given at once. "
                '"all" or null: wait for all.',
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
    "Return what was left out of a long report, or an entry of the scratchpad. "
    'Example: {"key": "task:01J8…", "page": null}',
    {
        "key": text(
            "task:<task_id> (the worker's id), or another key of the scratchpad; an empty text lists them."
        ),
        "page": nullable(
            whole(
                f"null: the part that the report left out. 1, 2, …: the whole text in pages of "
                f"{PAGE_CHARACTERS:,} characters."
            )
        ),
    },
)
_RULES = {"type": "array", "items": {"type": "string"}}
_WRITE_BRIEF = spec(
    "write_brief",
    "Write what all workers must know that you start from now on: they read it before their task, so do not "
    "repeat it there. It replaces an earlier brief. One rule to an item, in one or two plain sentences; an "
    "empty list for a part with nothing to say. "
    'Example: {"heuristics": ["Read the function before you describe it."], "patterns": [], "anti_patterns": '
    '[], "constraints": ["Give path and line for each finding."], "examples": []}',
    {
        "heuristics": {**_RULES, "description": "Steps and rules of thumb, in the order of the work."},
        "patterns": {**_RULES, "description": "How things are done in this workspace."},
        "anti_patterns": {**_RULES, "description": "Likely mistakes, and what to do instead."},
        "constraints": {**_RULES, "description": "What must hold of each result without exception."},
        "examples": {**_RULES, "description": "Short snippets of the wanted style or form."},
    },
)


def delegating_tools(*, can_check: bool = True, can_query: bool = True) -> tuple[SpawnerTool, ...]:
    """Return the tools with which a model starts workers and reads their results.

    They show the parameter ``check`` only if checks can run, and those of context only if there is a source.
    """
    one, several = _told(can_check, can_query)
    return (
        SpawnerTool(_DELEGATE, _delegate, _recall_delegate, _order_asked, shown=one),
        SpawnerTool(_DELEGATE_BATCH, _delegate_batch, _recall_delegate_batch, _orders_asked, shown=several),
        SpawnerTool(_WRITE_BRIEF, _brief, _recall_brief),
        SpawnerTool(_STREAM, _stream, _recall_told),
        SpawnerTool(_AWAIT, _await, _recall_told),
        inspecting_tool(),
    )


def inspecting_tool() -> SpawnerTool:
    """Return the tool that reads results in full; all sets of delegation tools have it."""
    return SpawnerTool(_INSPECT, _inspect)


def order_of(spawner: Spawner, place: Place, arguments: Mapping[str, Any]) -> Order:
    """Return the order that a model wrote in the call at *place*.

    Raises :exc:`~sunwell.errors.ToolError` for an empty task, a tool that the worker cannot have, too many
    keys, a budget of context that cannot be one, and a check that may not be run.
    """
    if not str(arguments["task"]).strip():
        raise ToolError("the task is empty: say in words what the worker is to do")
    keys = tuple(dict.fromkeys(_key_of(key) for key in arguments["context"] or ()))
    if len(keys) > MOST_PASSED_ON:
        raise ToolError(
            f"context takes at most {MOST_PASSED_ON} keys, got {len(keys)}: name those that the task needs"
        )
    tools = known_tools(spawner, place, arguments["tools"])
    check = spawner.check_of(place.span, arguments["check"], recalled=spawner.has_started(place))
    task = Task(arguments["task"], tools=tools, check=check)
    return Order(task, context=keys, **looked_up(arguments))


def _key_of(key: str) -> str:
    """Return the key of the scratchpad that *key*, which may be the id of a worker alone, names."""
    key = key.strip()
    return f"task:{key}" if re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", key) else key


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
    await spawner.approve_checks([order])
    await spawner.note_used(place, 0, order)
    ids = await spawner.start(place, [order], share=spawner.options.worker_share)
    await spawner.decide(place, f"delegated: {shortened(order.task.text, 120)}", order.task.text)
    return told_start(ids, [order.task.text])


def _order_asked(spawner: Spawner, place: Place, arguments: Arguments) -> list[Order]:
    return [order_of(spawner, place, arguments)]


def _recall_delegate(spawner: Spawner, place: Place, arguments: Arguments) -> None:
    spawner.recall(place, _order_asked(spawner, place, arguments))


_REFUSED = "refused"


def _sorted_out(
    spawner: Spawner, place: Place, arguments: Arguments
) -> tuple[dict[int, Order], dict[int, str]]:
    """Return what a batch starts, and why its other tasks are refused, by their places.

    What was refused is on record, because a resumed run has to start the same workers.
    """
    tasks = arguments["tasks"]
    if not 1 <= len(tasks) <= MOST_TASKS:
        raise ToolError(f"delegate_batch takes 1 to {MOST_TASKS} tasks, got {len(tasks)}")
    orders: dict[int, Order] = {}
    refused = {int(number): str(why) for number, why in spawner.noted(place, _REFUSED) or ()}
    for number, task in enumerate(tasks):
        if number in refused:
            continue
        try:
            orders[number] = order_of(spawner, place, task)
        except ToolError as error:
            refused[number] = error.sentence
    return orders, refused


async def _delegate_batch(spawner: Spawner, place: Place, arguments: Arguments) -> Outcome:
    sorted_out, refused = _sorted_out(spawner, place, arguments)
    orders = []
    for number, order in sorted_out.items():
        try:
            await spawner.approve_checks([order])
            await spawner.note_used(place, number, order)
        except ToolError as error:
            refused[number] = error.sentence
            continue
        orders.append(order)
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
    return list(_sorted_out(spawner, place, arguments)[0].values())


def _recall_delegate_batch(spawner: Spawner, place: Place, arguments: Arguments) -> None:
    spawner.recall(place, _orders_asked(spawner, place, arguments))


async def _brief(spawner: Spawner, place: Place, arguments: Arguments) -> str:
    lens = _lens_of(spawner, arguments)
    if lens.is_empty:
        raise ToolError("the brief is empty: write at least one rule")
    tokens, most = estimate_tokens(lens.to_context()), spawner.options.max_lens_tokens
    if tokens > most:
        raise ToolError(
            f"the brief has about {tokens:,} tokens, and at most {most:,} are allowed: shorten it"
        )
    await spawner.keep_brief(place, lens.to_context())
    at_work = len(spawner.working(place.span))
    others = f" {at_work} workers at work were started without it." if at_work else ""
    return f"Workers that you start from now on read this brief (about {tokens:,} tokens).{others}"


def _recall_brief(spawner: Spawner, place: Place, arguments: Arguments) -> None:
    lens = _lens_of(spawner, arguments)
    if not lens.is_empty and estimate_tokens(lens.to_context()) <= spawner.options.max_lens_tokens:
        spawner.write_brief(place.span, lens.to_context())


def _lens_of(spawner: Spawner, arguments: Arguments) -> EphemeralLens:
    return EphemeralLens(
        arguments["heuristics"],
        arguments["patterns"],
        arguments["anti_patterns"],
        arguments["constraints"],
        arguments["examples"],
        shortened(spawner.run.task, _SHOWN_SCOPE),
    )


async def _stream(spawner: Spawner, place: Place, arguments: Arguments) -> str:
    await asyncio.sleep(0)  # who is done in this very step is told, too
    return await _given(spawner, place, spawner.unread(place.span)) or told_nothing_new(
        spawner.states(place.span)
    )


async def _given(spawner: Spawner, place: Place, results: Sequence[TaskResult]) -> str:
    """Return those of *results* that fit, which are given from now on; empty if there are none."""
    given = fitting(results, spawner.report_characters)
    await spawner.note_told(place, [result.task_id for result in given])
    if not given:
        return ""
    left = len(results) - len(given)
    return told_results(given, left, spawner.states(place.span), spawner.report_characters)


def _least(wait_for: str | int | None) -> int | None:
    """Return for how many reports to wait; ``None``: for all."""
    if isinstance(wait_for, int) and wait_for < 1:
        raise ToolError('wait_for must be "any", "all", or a number from 1 on')
    return wait_for if isinstance(wait_for, int) else 1 if wait_for == "any" else None


async def _await(spawner: Spawner, place: Place, arguments: Arguments) -> str:
    wanted, seconds = arguments["task_ids"], arguments["timeout_seconds"]
    if seconds is not None and not 0 <= seconds < float("inf"):
        raise ToolError(f"timeout_seconds must be 0 or more, got {seconds}; null is no limit")
    least = _least(arguments["wait_for"])
    own, fresh = spawner.own(place.span), spawner.not_given(place.span)
    ids = list(fresh) if wanted is None else spawner.known(place.span, wanted)
    if not own or (wanted is not None and not ids):
        raise ToolError("there is nobody to wait for: name the task_ids that delegate returned")
    if not ids:
        return f"Nothing to wait for: you were given all {len(own)} reports. inspect(key) shows one again."
    if least is not None:
        # Of those that are named, too, only what is new: the first that is done would come back each time.
        ids = [one for one in ids if one in fresh] or ids
        linger = spawner.lingering(place.span)
        await spawner.dispatcher.wait_for_some(ids, least, seconds, linger=linger)
        await asyncio.sleep(0)  # who is done in this very step is told, too
        done = [result for result in map(spawner.dispatcher.result, ids) if result is not None]
    else:
        done = [one for one in await spawner.dispatcher.await_results(ids, seconds) if one is not None]
    return await _given(spawner, place, done) or told_results(
        (), 0, spawner.states(place.span), spawner.report_characters
    )


def _recall_told(spawner: Spawner, place: Place, arguments: Arguments) -> None:
    spawner.recall_told(place)


async def _inspect(spawner: Spawner, place: Place, arguments: Arguments) -> str:
    key, page = _key_of(arguments["key"]), arguments["page"]
    if not key:
        return _listed(list(spawner.scratchpad.entries())[-_LISTED_KEYS:])
    entry = spawner.require_entry(place.span, key)
    if page is not None and not 1 <= page <= entry.pages:
        raise ToolError(f"{entry.key} has the pages 1 to {entry.pages}, and no page {page}")
    return told_entry(entry, page, spawner.report_characters)


def _summary(entry: ScratchpadEntry) -> str:
    """Return one line on *entry*; of a failed worker it is its error, which has no addresses."""
    said = one_line(entry.summary)
    return without_addresses(said) if entry.raw.get("error") else said


def _listed(entries: list[Any]) -> str:
    if not entries:
        return "The scratchpad is empty."
    lines = [f"- {entry.key} · {_kind(entry)} · {_summary(entry)[:160]!r}" for entry in entries]
    return "\n".join(["Keys of the scratchpad, with what each reports in its own words:", *lines])
