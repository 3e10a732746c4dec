"""The results of a batch as JSON Lines: whole at every moment, in the order of input at the end."""

import json
import os
from pathlib import Path
from typing import Any

import attrs

from sunwell.core.task import TaskResult
from sunwell.errors import ConfigurationError


@attrs.define(eq=False)
class ResultsFile:
    """Holds one line for each result. Lines are only added, each in one piece, until :meth:`finish`.

    A run that is taken up again goes on with the same file: a result that stands in it is not added
    twice. :meth:`finish` puts the lines in order and replaces the file at once, durably.
    """

    path: Path
    _lines: dict[int, str] = attrs.field(factory=dict, init=False)

    @classmethod
    def open(cls, path: Path, *, resumed: bool) -> "ResultsFile":
        """Begin a file, or where the run is *resumed* go on with it; a line that was cut off is dropped.

        Raises :exc:`~sunwell.errors.ConfigurationError` where the file cannot be written, or holds
        something else: no results of a batch, or those of another run.
        """
        file = cls(path)
        try:
            text = path.read_text() if path.exists() else ""
            if text and not resumed:
                raise ConfigurationError(
                    f"{path} is not empty: name another file, or go on with its run by sunwell resume"
                )
            for number, line in enumerate(text.split("\n"), 1):
                if line:
                    file._take(line, number, is_last=number > text.count("\n"))
            path.parent.mkdir(parents=True, exist_ok=True)
            file._replace()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the results cannot be written to {path}: {error}") from None
        return file

    def add(self, index: int, result: TaskResult) -> None:
        """Add the result of the task at *index*; one that was cancelled is no result yet."""
        if result.status == "cancelled":
            return
        line = json.dumps({"index": index, **result_fields(result)}, ensure_ascii=False)
        line = line.encode("utf-8", "replace").decode()
        known = index in self._lines
        self._lines[index] = line
        if known:
            return  # the new one stands in the file from finish() on; until then the old one does
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(descriptor, f"{line}\n".encode())  # in one call: a buffer would part long lines
        finally:
            os.close(descriptor)

    def finish(self) -> None:
        """Put the lines in the order of input, durably."""
        self._replace()

    def _take(self, line: str, number: int, *, is_last: bool) -> None:
        try:
            fields = json.loads(line)
            self._lines[int(fields["index"])] = line
        except (ValueError, TypeError, KeyError):
            if not is_last:
                raise ConfigurationError(
                    f"{self.path} holds something else than results of a batch (line {number}): "
                    "name another file"
                ) from None

    def _replace(self) -> None:
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        with temporary.open("w") as file:
            file.writelines(f"{self._lines[index]}\n" for index in sorted(self._lines))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)


def result_fields(result: TaskResult) -> dict[str, Any]:
    """Return *result* as JSON values: what the worker says, and apart from it what was recorded."""
    usage, cost = result.bill.usage, result.bill.cost_usd
    return {
        "task_id": result.task_id,
        "task": result.task,
        "status": result.status,
        "stop_reason": result.stop_reason,
        "summary": result.summary,
        "answer": result.answer,
        "error": result.error,
        "turns": result.turns,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": None if cost is None else str(cost),
        "duration_seconds": round(result.duration_seconds, 3),
        "receipts": {
            "files": [attrs.asdict(change) for change in result.files],
            "commands": [attrs.asdict(command) for command in result.commands],
            "tools_called": dict(result.tools_called),
        },
        "conflicts": [attrs.asdict(conflict) for conflict in result.conflicts],
    }
