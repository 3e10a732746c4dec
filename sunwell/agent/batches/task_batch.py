"""Many tasks under one lens: what a batch is, and how it is run to its end."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from sunwell.agent.batches.batch_plan import Planning
from sunwell.agent.batches.results_file import ResultsFile
from sunwell.agent.run.run_context import Ending
from sunwell.agent.workers.dispatcher import Dispatcher
from sunwell.agent.workers.worker import plain, task_fields, task_of
from sunwell.core.check import name_of
from sunwell.core.lens import EphemeralLens
from sunwell.core.markdown import one_line
from sunwell.core.span import Span
from sunwell.core.task import Task, TaskResult, with_both_sides
from sunwell.errors import ConfigurationError, JournalError

_SHOWN_TASKS = 40
_SHOWN_CHARACTERS = 300


def _tasks(value: Iterable[Task | str]) -> tuple[Task, ...]:
    if isinstance(value, str):
        raise TypeError(f"a batch expects several tasks, got the single string {value!r}")
    return tuple(task if isinstance(task, Task) else Task(task) for task in value)


@attrs.frozen
class Batch:
    """Tasks of one run, one worker each. Strings are tasks, too."""

    tasks: tuple[Task, ...] = attrs.field(converter=_tasks)
    lens: EphemeralLens | None = None
    """What all workers read, in records of before 2026-11-29; now it is an option of the run."""
    results: Path | None = None
    """A JSON Lines file that holds each result as soon as there is one."""

    def __attrs_post_init__(self) -> None:
        if not self.tasks:
            raise ConfigurationError("the batch is empty: give at least one task")

    @property
    def title(self) -> str:
        """What the run is about, in the words of its tasks: what a lens for all of them is written from."""
        count = len(self.tasks)
        shown = [f"- {one_line(task.text)[:_SHOWN_CHARACTERS]}" for task in self.tasks[:_SHOWN_TASKS]]
        more = [f"- … and {count - _SHOWN_TASKS:,} more of the kind"] if count > _SHOWN_TASKS else []
        return "\n".join([f"{count:,} tasks, each for a worker of its own:", *shown, *more])

    @property
    def checks(self) -> tuple[Any, ...]:
        """The checks of single tasks, in the order of the tasks."""
        return tuple(check for task in self.tasks for check in task.check)

    @property
    def own_checks(self) -> list[str]:
        """What the checks of single tasks are called that are the caller's own code; each once."""
        return list(dict.fromkeys(name_of(check) for check in self.checks if not isinstance(check, str)))

    def redacted(self, redact: Callable[[str], str]) -> "Batch":
        """Return the batch without known secrets in its words."""
        tasks = [
            attrs.evolve(task, text=redact(task.text), scope=redact(task.scope), done=redact(task.done))
            for task in self.tasks
        ]
        return attrs.evolve(self, tasks=tasks)

    def settings(self) -> dict[str, Any]:
        """Return JSON values from which :meth:`of` makes the batch again."""
        lens = None if self.lens is None else plain(attrs.asdict(self.lens))
        results = None if self.results is None else str(self.results)
        made = {"tasks": [task_fields(task) for task in self.tasks], "lens": lens, "results": results}
        return made | ({"own_checks": self.own_checks} if self.own_checks else {})

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Batch":
        """Return the batch that :meth:`settings` described."""
        lens = settings["lens"]
        results = settings["results"]
        return cls(
            [task_of(fields) for fields in settings["tasks"]],
            None if lens is None else EphemeralLens(**lens),
            None if results is None else Path(results),
        )


@attrs.frozen
class BatchResult:
    """The results of a batch in the order of its tasks, and how the run as a whole ended."""

    run: TaskResult
    """How the run as a whole ended, with its bill."""

    def __len__(self) -> int:
        return len(self.run.workers)

    def __iter__(self) -> Iterator[TaskResult]:
        return iter(self.run.workers)

    def __getitem__(self, index: int) -> TaskResult:
        return self.run.workers[index]


async def run_tasks(
    dispatcher: Dispatcher,
    tasks: tuple[Task, ...],
    parent: Span,
    *,
    planning: Planning | None = None,
    fail_fast: bool = False,
    file: ResultsFile | None = None,
) -> tuple[TaskResult, ...]:
    """Return the results of *tasks* in the order of input, once all workers are done.

    One that fails costs the others nothing, unless *fail_fast*: then the rest is cancelled. When
    this is cancelled, what is done is written down first.
    """
    terms, gate = dispatcher.terms, None
    if planning is not None:
        terms, gate = await planning.plan(terms, parent, tasks)
    ids = [dispatcher.start(task, parent, terms=terms, gate=gate) for task in tasks]
    try:
        async for result in dispatcher.results(ids):
            if file is not None:
                file.add(ids.index(result.task_id), result)
            if fail_fast and result.status == "error":
                dispatcher.cancel(ids)
        done = await dispatcher.await_results(ids)
    except BaseException:
        await dispatcher.close()
        with suppress(JournalError):  # the file may be what failed
            _complete(file, [dispatcher.result(task_id) for task_id in ids])
        raise
    return _complete(file, done)


def _complete(file: ResultsFile | None, results: Sequence[TaskResult | None]) -> tuple[TaskResult, ...]:
    """Return those *results* that are there, as they stand once all are known; *file* gets the same."""
    places = [index for index, result in enumerate(results) if result is not None]
    done = with_both_sides(result for result in results if result is not None)
    if file is not None:
        for index, result in zip(places, done, strict=True):
            file.add(index, result)
    return done


def joined_end(results: tuple[TaskResult, ...]) -> Ending:
    """Return how a batch with *results* ended: ``ok`` where all of them did."""
    done = sum(result.success for result in results)
    if done == len(results):
        return Ending("ok", "end", f"{done:,} tasks done")
    first = next(result for result in results if not result.success)
    said = f"{done:,} of {len(results):,} tasks done"
    error = (
        f"{len(results) - done:,} of {len(results):,} tasks did not end well; {first.task_id}: {first.error}"
    )
    all_failed = all(result.status == "error" for result in results)
    return Ending("error" if all_failed else "incomplete", first.stop_reason, said, error)
