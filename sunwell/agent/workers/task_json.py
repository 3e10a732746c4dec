"""Tasks as JSON values: in the first record of a batch, and in files of tasks."""

from collections.abc import Mapping
from typing import Any

import attrs

from sunwell.core.task import Budget, Task
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
