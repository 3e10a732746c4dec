"""What a model is told of its workers: their words as reports, and beside them what was seen."""

from collections.abc import Sequence

import attrs

from sunwell.agent.workers.outcomes import reported
from sunwell.core.markdown import fenced, one_line
from sunwell.core.task import TaskResult
from sunwell.memory.scratchpad import ScratchpadEntry

EXCERPT_CHARACTERS = 1_500
"""What of a report is told at once; the rest stands in the scratchpad."""
_SHOWN_TASK = 100
_MOST_NAMED = 50


def told_start(ids: Sequence[str], tasks: Sequence[str]) -> str:
    """Return what a call that started workers says."""
    lines = [f"- {one} · {one_line(task)[:_SHOWN_TASK]}" for one, task in zip(ids, tasks, strict=True)]
    count = "1 worker" if len(ids) == 1 else f"{len(ids)} workers"
    return "\n".join([f"Started {count}; nothing is waited for. task_id and task of each:", *lines])


def brief(result: TaskResult) -> str:
    """Return *result* with so much of its report as is worth telling at once."""
    if len(result.answer) <= EXCERPT_CHARACTERS:
        return reported(result)
    excerpt = f"{result.answer[:EXCERPT_CHARACTERS]}…"
    size = f"{len(result.answer):,} characters"
    more = f'- the report has {size}; all of it: inspect("{result.scratchpad_key}")'
    return f"{reported(attrs.evolve(result, answer=excerpt))}\n{more}"


def told_results(results: Sequence[TaskResult], working: Sequence[str]) -> str:
    """Return *results*, and who is still at work."""
    head = [f"Finished: {len(results)}. Still at work: {_named(working)}."]
    return "\n\n".join([*head, *(brief(result) for result in results)])


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
    lines += [whose, fenced(entry.page(page) or "(nothing)")]
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
    lines += [f"- command exited with {run.exit_code}: {one_line(run.command)}" for run in seen.commands]
    called = ", ".join(f"{name} {count}" for name, count in seen.tools_called)
    return [*lines, f"- tools called: {called or 'none'}"]


def _named(ids: Sequence[str]) -> str:
    if not ids:
        return "nobody"
    more = f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else ""
    return f"{len(ids)} ({', '.join(ids[:_MOST_NAMED])}{more})"
