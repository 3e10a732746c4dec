"""What keeps a result within what hosts take: texts and lists are cut by their bytes as JSON."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from sunwell.report.figures import json_text
from sunwell.serve.mcp_server.outcome_models import (
    ModelCost,
    RefusedUndo,
    RunOutcome,
    TaskOutcome,
    UndoOutcome,
)
from sunwell.serve.mcp_server.run_uris import RunPart, RunUri
from sunwell.tools.wording import cut

T = TypeVar("T")
MOST_BYTES = 72_000
"""Longest result as JSON: hosts cut at 25,000 tokens, and three bytes to a token is dense text."""
_MOST_FILES, _MOST_TASKS, _MOST_LINES = 100, 100, 40
_LIST_BYTES, _LINES_BYTES = 10_000, 8_000
"""What a list may take. All bounds together leave an answer some thousand bytes."""
_TASKS_BYTES, _MODELS_BYTES = 26_000, 4_000
_TEXT_BYTES, _LINE_BYTES, _WORD_BYTES = 2_000, 1_000, 200
_REPORT_BYTES = (1_000, 500, 250, 100)
"""How long the reports of workers may be: the longest with which all of them fit."""


def text_of(outcome: BaseModel) -> str:
    """Return *outcome* as JSON on one line; what a terminal acts on, or does not show, is an escape."""
    return json_text(outcome.model_dump(mode="json"), indent=None)


def run_within(outcome: RunOutcome) -> RunOutcome:
    """Return *outcome* within :data:`MOST_BYTES`, and the resources named that have all of it."""
    files = _first(outcome.files, _LIST_BYTES, _MOST_FILES)
    tasks = _short_tasks(outcome.tasks)
    short = outcome.model_copy(
        update={
            "answer": "",
            "stop_reason": _text_or_none(outcome.stop_reason, _WORD_BYTES),
            "error": _text_or_none(outcome.error, _TEXT_BYTES),
            "verdict": _text_or_none(outcome.verdict, _TEXT_BYTES),
            "by_model": _short_models(outcome.by_model),
            "files": files,
            "files_left_out": len(outcome.files) - len(files),
            "tasks": tasks,
            "tasks_left_out": len(outcome.tasks) - len(tasks),
            "unresolved": lines_within(outcome.unresolved),
            "warnings": lines_within(outcome.warnings),
            "more_at": _resources(outcome, "answer", "report"),
        }
    )
    answer = text_within(outcome.answer, MOST_BYTES - _size(text_of(short)))
    is_cut = answer != outcome.answer
    more = short.more_at if is_cut else _resources(outcome, "report")
    return short.model_copy(update={"answer": answer, "answer_is_cut": is_cut, "more_at": more})


def undo_within(outcome: UndoOutcome) -> UndoOutcome:
    """Return *outcome* within :data:`MOST_BYTES`; entries that do not fit are counted."""
    refused = [
        RefusedUndo(path=one.path, reason=text_within(one.reason, _LINE_BYTES))
        for one in outcome.skipped[:_MOST_FILES]
    ]
    lists: dict[str, Sequence[Any]] = {
        "restored": outcome.restored,
        "removed": outcome.removed,
        "unchanged": outcome.unchanged,
        "skipped": refused,
        "not_saved": [text_within(one, _LINE_BYTES) for one in outcome.not_saved[:_MOST_FILES]],
    }
    kept = {name: _first(entries, _LIST_BYTES, _MOST_FILES) for name, entries in lists.items()}
    gone = sum(len(getattr(outcome, name)) - len(entries) for name, entries in kept.items())
    return outcome.model_copy(update={**kept, "left_out": gone})


def text_within(text: str, most_bytes: int) -> str:
    """Return *text*, or its head and tail within *most_bytes* as JSON; a note about the cut needs 100."""
    limit = min(len(text), most_bytes)  # each sign takes a byte or more
    shorter = cut(text, limit)
    while limit and (size := _size(json_text(shorter, indent=None)) - 2) > most_bytes:
        limit = min(limit * 9 // 10, limit * most_bytes // size)
        shorter = cut(text, limit)
    return shorter


def lines_within(lines: Sequence[str]) -> list[str]:
    """Return the first of *lines*, each cut if it is long, and how many more there are."""
    kept = _first((text_within(line, _LINE_BYTES) for line in lines), _LINES_BYTES, _MOST_LINES)
    return kept if len(kept) == len(lines) else [*kept, f"and {len(lines) - len(kept):,} more"]


def _first(entries: Iterable[T], most_bytes: int, most: int) -> list[T]:
    """Return the first of *entries*, of which none is cut: at most *most* within *most_bytes*."""
    kept, room = list[T](), most_bytes
    for entry in entries:
        text = text_of(entry) if isinstance(entry, BaseModel) else json_text(entry, indent=None)
        room -= _size(text) + 2
        if room < 0 or len(kept) == most:
            break
        kept.append(entry)
    return kept


def _short_tasks(tasks: Sequence[TaskOutcome]) -> list[TaskOutcome]:
    kept: list[TaskOutcome] = []
    for longest in _REPORT_BYTES:
        kept = _first((_short_task(task, longest) for task in tasks), _TASKS_BYTES, _MOST_TASKS)
        if len(kept) == len(tasks):
            break
    return kept


def _short_task(task: TaskOutcome, longest: int) -> TaskOutcome:
    files = _first(task.files, _LINE_BYTES, _MOST_FILES)
    return task.model_copy(
        update={
            "id": text_within(task.id, _WORD_BYTES),
            "task": text_within(task.task, _LINE_BYTES),
            "status": _text_or_none(task.status, _WORD_BYTES),
            "answer": text_within(task.answer, longest),
            "error": _text_or_none(task.error, _LINE_BYTES),
            "files": files,
            "files_left_out": len(task.files) - len(files),
        }
    )


def _short_models(models: Sequence[ModelCost]) -> list[ModelCost]:
    named = (one.model_copy(update={"model": text_within(one.model, _WORD_BYTES)}) for one in models)
    return _first(named, _MODELS_BYTES, _MOST_LINES)


def _resources(outcome: RunOutcome, *parts: RunPart) -> list[str]:
    return [str(RunUri(outcome.root, outcome.run_id, part)) for part in parts]


def _text_or_none(text: str | None, most_bytes: int) -> str | None:
    return None if text is None else text_within(text, most_bytes)


def _size(text: str) -> int:
    return len(text.encode())
