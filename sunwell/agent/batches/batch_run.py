"""A run that is a batch: one lens, a worker for each task, a result for each worker."""

import attrs

from sunwell.agent.batches.batch import Batch, joined_end, run_tasks
from sunwell.agent.batches.planning import Planning
from sunwell.agent.batches.results_file import ResultsFile
from sunwell.agent.lens.step import write_lens
from sunwell.agent.work.ended import Ended
from sunwell.agent.work.execution import Execution
from sunwell.agent.workers.dispatcher import Dispatcher
from sunwell.agent.workers.slots import Slots
from sunwell.agent.workers.terms import Terms
from sunwell.core.lens import EphemeralLens
from sunwell.core.model import ModelProtocol
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

    async def __call__(self, execution: Execution) -> Ended:
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

    async def _find_lens(self, execution: Execution) -> Ended | None:
        """Leave the lens in *execution*, where there is to be one; return the end where there is none."""
        execution.lens = self.batch.lens
        if self.batch.lens is not None or not execution.config.enable_delegation:
            return None
        if self.smart.name == self.model.name:
            return None
        written = await write_lens(execution, self.smart)
        execution.lens = written.lens
        if written.lens is None and written.outcome == "fail":
            return Ended("error", "lens_failed", "", f"no lens: {written.reason}")
        if written.lens is None:
            execution.run.tell(WARNED, Warned(f"the workers go on without a lens: {written.reason}"))
        return None


@attrs.frozen
class LensRun:
    """A run that has the lens written and ends with it."""

    smart: ModelProtocol

    async def __call__(self, execution: Execution) -> Ended:
        """Leave the lens in *execution*, or say why there is none."""
        execution.run.tell(RUN_STARTED, execution.started(self.smart))
        written = await write_lens(execution, self.smart)
        execution.lens = written.lens
        if written.lens is None:
            return Ended("error", "lens_failed", "", f"no lens: {written.reason}")
        return Ended("ok", "end", written.lens.to_context())


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
    terms = Terms(
        model,
        execution.tools,
        tuple(section for section in sections if section),
        max_output_tokens=config.max_output_tokens,
        stream=config.stream,
        timeout_seconds=config.worker_timeout_seconds,
    )
    return Dispatcher(execution.run, terms, Slots(config.max_concurrent), config.max_depth)
