"""A run that is a batch: one lens, a worker for each task, a result for each worker."""

import attrs

from sunwell.agent.batches.batch_plan import Planning
from sunwell.agent.batches.results_file import ResultsFile
from sunwell.agent.batches.task_batch import Batch, joined_end, run_tasks
from sunwell.agent.conversation.conversation import Ending
from sunwell.agent.conversation.execution import Execution
from sunwell.agent.lens.lens_writer import write_run_lens
from sunwell.agent.workers.dispatcher import Dispatcher
from sunwell.agent.workers.slots import Slots
from sunwell.agent.workers.worker import WorkerTerms
from sunwell.core.lens import EphemeralLens
from sunwell.core.markdown import one_line
from sunwell.core.model import ModelProtocol
from sunwell.core.task import Task, TaskResult
from sunwell.events import RUN_STARTED, WARNED, Warned
from sunwell.journal.records import ToolFinished, WorkerOpened


@attrs.frozen
class BatchRun:
    """Carries a batch out on one model, as :meth:`Execution.to_the_end` wants it."""

    batch: Batch
    model: ModelProtocol
    """Who works: the delegation model, else the loop's own."""
    smart: ModelProtocol
    """Who writes the lens where delegation is on and the batch brings none."""

    async def __call__(self, execution: Execution) -> Ending:
        """Return how the batch ended; the results are left in *execution*."""
        execution.run.tell(RUN_STARTED, execution.started(self.model))
        file = None
        if self.batch.results is not None:
            count = len(self.batch.tasks)
            file = ResultsFile.open(self.batch.results, resumed=execution.resumed, count=count)
            if file.repair:
                execution.run.tell(WARNED, Warned(file.repair))
        failed = await self._find_lens(execution)
        if failed is not None:
            return failed
        dispatcher = dispatcher_for(execution, self.model, execution.lens)
        if execution.resumed:
            recall_calls(execution)
        try:
            results = await run_tasks(
                dispatcher,
                self.batch.tasks,
                execution.run.root,
                planning=planning_for(execution),
                fail_fast=execution.config.fail_fast,
                file=file,
            )
        finally:
            execution.take(dispatcher.all_results())
            if file is not None:
                file.finish()
        return joined_end(results)

    async def _find_lens(self, execution: Execution) -> Ending | None:
        """Leave the lens in *execution*, where there is to be one; return the end where there is none."""
        execution.lens = self.batch.lens
        if self.batch.lens is not None or not execution.config.enable_delegation:
            return None
        if self.smart.name == self.model.name:
            return None
        written = await write_run_lens(execution, self.smart)
        execution.lens = written.lens
        if written.lens is None and written.outcome == "fail":
            return Ending("error", "lens_failed", "", f"no lens: {written.reason}")
        if written.lens is None:
            execution.run.tell(WARNED, Warned(f"the workers go on without a lens: {written.reason}"))
        return None


@attrs.frozen
class LensRun:
    """A run that has the lens written and ends with it."""

    smart: ModelProtocol

    async def __call__(self, execution: Execution) -> Ending:
        """Leave the lens in *execution*, or say why there is none."""
        execution.run.tell(RUN_STARTED, execution.started(self.smart))
        written = await write_run_lens(execution, self.smart)
        execution.lens = written.lens
        if written.lens is None:
            return Ending("error", "lens_failed", "", f"no lens: {written.reason}")
        return Ending("ok", "end", written.lens.to_context())


def recall_calls(execution: Execution) -> None:
    """Tell the tools what workers read and changed before this process took the run up."""
    root = f"{execution.run.root.path}/"
    workers: set[str] = set()
    for record in execution.run.journal.records():
        match record:
            case WorkerOpened():
                workers.add(record.span)
            case ToolFinished() if record.span in workers:
                execution.tools.note(record.span.removeprefix(root), record.result)


def planning_for(execution: Execution) -> Planning:
    """Return the planner of a run's batches."""
    config = execution.config
    return Planning(
        execution.run,
        config.prices,
        config.lessons,
        config.max_concurrent,
        config.cache_choice,
        config.pad_prefix,
    )


def dispatcher_for(execution: Execution, model: ModelProtocol, lens: EphemeralLens | None) -> Dispatcher:
    """Return the dispatcher of a run's workers on *model*, under *lens* where there is one."""
    config = execution.config
    sections = [execution.system_prompt, lens.to_context() if lens else None]
    terms = WorkerTerms(
        model,
        execution.tools,
        tuple(section for section in sections if section),
        max_output_tokens=config.max_output_tokens,
        stream=config.stream,
        timeout_seconds=config.worker_timeout_seconds,
    )
    return Dispatcher(execution.run, terms, Slots(config.max_concurrent), config.max_depth)


async def run_items(execution: Execution, items: tuple[Task, ...], worker: ModelProtocol) -> Ending:
    """Have a worker do each of *items* under the lens of *execution*; return the joined end.

    The answer holds every item's in order; what of them did not come to its end stands in it, too.
    """
    dispatcher = dispatcher_for(execution, worker, execution.lens)
    if execution.resumed:
        recall_calls(execution)
    try:
        results = await run_tasks(
            dispatcher,
            items,
            execution.run.root,
            planning=planning_for(execution),
            fail_fast=execution.config.fail_fast,
        )
    finally:
        execution.take(dispatcher.all_results())
    ended = joined_end(results)
    return Ending(ended.status, ended.stop_reason, joined_answer(results), ended.error)


def joined_answer(results: tuple[TaskResult, ...]) -> str:
    """Return the answers of *results* in their order, each under what it answers."""
    parts = [
        f"## Result for: {one_line(result.task)}\n{result.answer or result.summary}" for result in results
    ]
    return "\n\n---\n\n".join(parts)
