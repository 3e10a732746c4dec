"""A file of tasks: JSON Lines, each a text or an object with the fields of a task."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sunwell.errors import ConfigurationError

if TYPE_CHECKING:
    from sunwell.core.task import Task


def read_tasks(source: str) -> "tuple[Task, ...]":
    """Return the tasks in the file *source*, or on standard input where that is ``-``.

    Empty lines are passed over. Raises :exc:`~sunwell.errors.ConfigurationError` with the number of
    the first line that is no task.
    """
    name = "standard input" if source == "-" else source
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(f"the tasks in {name} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name} is no text: tasks must be UTF-8") from None
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise ConfigurationError(f"{name} holds no task: write one JSON text or object on each line")
    return tuple(_task(line, f"{name}, line {number}") for number, line in lines)


def _task(line: str, where: str) -> "Task":
    from sunwell.agent.workers.worker import task_of

    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f'{where} is no JSON ({error}); write "…" or {{"text": "…"}} on each line'
        ) from None
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, dict):
        raise ConfigurationError(f'{where} is neither a text nor an object: write {{"text": "…"}}')
    try:
        return task_of(value)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None
