"""A run that is a batch: one lens, a worker for each task, a result for each worker."""

from collections.abc import Callable

from sunwell.agent.batches.batch_plan import Planning
from sunwell.agent.batches.lens_gate import LensGate, places_to_try, why_no_test
from sunwell.agent.batches.results_file import ResultsFile
from sunwell.agent.batches.task_batch import Batch, joined_end, run_tasks
from sunwell.agent.ladder.run_ladder import RunLadder, verification_of
from sunwell.agent.lens.kept_lens import forget_failed_lens
from sunwell.agent.lens.lens_writer import take_given_lens, write_run_lens
from sunwell.agent.run.composed_answer import quoted_reports
from sunwell.agent.run.run_context import Ending, Run
from sunwell.agent.workers.dispatcher import Dispatcher, Verifier
from sunwell.agent.workers.slots import Slots
from sunwell.agent.workers.worker import WorkerTerms
from sunwell.budget.tally import upwards
from sunwell.core.lens import EphemeralLens
from sunwell.core.markdown import one_line
from sunwell.core.model import ModelProtocol
from sunwell.core.task import Task, TaskResult
from sunwell.events import WARNED, Warned
from sunwell.journal.records import Checked, RungChosen, ToolFinished, WorkerOpened
from sunwell.models.room import own_output_tokens


async def run_batch(
    run: Run, batch: Batch, worker: ModelProtocol, smart: ModelProtocol, ladder: RunLadder | None = None
) -> Ending:
    """Have *worker* do each task of *batch*; return how that ended, with the results left in *run*.

    *smart* writes the lens if delegation is on and none is given, unless the tasks climb: then none is
    written before a check has failed. *ladder* has the work of each task checked.
    """
    run.tell_start(worker)
    file = None
    if batch.results is not None:
        file = ResultsFile.open(batch.results, resumed=run.resumed, count=len(batch.tasks))
        if file.repair:
            run.tell(WARNED, Warned(file.repair))
    writes = run.config.enable_delegation and smart.name != worker.name and not run.config.escalate
    if not take_given_lens(run) and writes:
        written = await write_run_lens(run, smart, reader=worker, worker=worker)
        if written.lens is None and written.outcome == "fail":
            return Ending("error", "lens_failed", "", f"no lens: {written.reason}")
        if written.lens is None:
            run.tell(WARNED, Warned(f"the workers go on without a lens: {written.reason}"))
    places = await places_to_try(run, batch.tasks, ladder) if run.lens is not None else ""
    if isinstance(places, str):
        run.lens_test = why_no_test(run, places)
        results = await _results(run, batch.tasks, worker, file, ladder)
    else:
        results = await _tested_results(run, batch.tasks, worker, places, file, ladder)
    run.verification = verification_of(results)
    await forget_failed_lens(run, [result.verification for result in results])
    return joined_end(results)


async def _results(
    run: Run,
    tasks: tuple[Task, ...],
    worker: ModelProtocol,
    file: ResultsFile | None = None,
    verifier: Verifier | None = None,
) -> tuple[TaskResult, ...]:
    """Return the results of *tasks*, each done by *worker* under the lens of *run*."""
    dispatcher = dispatcher_for(run, worker, run.lens)
    dispatcher.verifier = verifier
    if run.resumed:
        recall_calls(run)
    try:
        return await run_tasks(
            dispatcher,
            tasks,
            run.root,
            planning=planning_for(run),
            fail_fast=run.config.fail_fast,
            file=file,
        )
    finally:
        run.take(dispatcher.all_results())
        if file is not None:
            file.finish()


async def _tested_results(
    run: Run,
    tasks: tuple[Task, ...],
    worker: ModelProtocol,
    places: tuple[int, ...],
    file: ResultsFile | None,
    verifier: Verifier | None,
) -> tuple[TaskResult, ...]:
    """Return the results of *tasks* under the lens of *run*, which the items at *places* test."""
    dispatcher = dispatcher_for(run, worker, run.lens)
    dispatcher.verifier = verifier
    if run.resumed:
        recall_calls(run)
    gate = LensGate(run, dispatcher, tasks, places, planning_for(run), file)
    try:
        return await gate.results()
    finally:
        run.take(gate.so_far())
        if file is not None:
            file.finish()


def recall_calls(run: Run, id_of: Callable[[str], str] | None = None) -> None:
    """Tell the tools what workers read and changed before this process took the run up.

    *id_of* returns the id of the worker at a path; ``None``: it is the path below the run's own. The bill is
    told which calls belong to which rung: a worker with a recorded result does not climb again.
    """
    root = f"{run.root.path}/"
    workers: set[str] = set()
    rungs: dict[str, str] = {}
    for record in run.journal.records():
        match record:
            case WorkerOpened():
                workers.add(record.span)
            case RungChosen(rung=rung) if rung:
                rungs[record.span] = rung
                run.tally.label(f"{record.span}/{rung}", rung)
            case Checked() if record.span in rungs:
                run.tally.label(f"{record.span}/check-{record.number}", rungs[record.span])
            case ToolFinished():
                # What a worker did on a rung of the ladder was done in a span below its own.
                worker = next((path for path in upwards(record.span) if path in workers), None)
                if worker is not None:
                    task_id = worker.removeprefix(root) if id_of is None else id_of(worker)
                    run.tools.note(task_id, record.result)


def planning_for(run: Run) -> Planning:
    """Return the planner of a run's batches."""
    config = run.config
    return Planning(
        run,
        config.prices,
        config.lessons,
        config.max_concurrent,
        config.cache_choice,
        config.pad_prefix,
    )


def dispatcher_for(
    run: Run, model: ModelProtocol, lens: EphemeralLens | None, *, larger_task: str = ""
) -> Dispatcher:
    """Return the dispatcher of a run's workers on *model*, under *lens* if there is one.

    *larger_task* is what their tasks are parts of; a lens says that itself.
    """
    config = run.config
    terms = WorkerTerms(
        model,
        run.tools,
        run.guidance.sections(lens),
        has_lens=lens is not None,
        max_output_tokens=own_output_tokens(model, config.max_output_tokens),
        stream=config.stream,
        timeout_seconds=config.worker_timeout_seconds,
        larger_task=larger_task if lens is None else "",
    )
    return Dispatcher(run, terms, Slots(config.max_concurrent), config.max_depth)


async def run_items(run: Run, items: tuple[Task, ...], worker: ModelProtocol) -> Ending:
    """Have a worker do each of *items* under the lens of *run*; return the joined end.

    The answer holds every item's in order; what of them did not come to its end stands in it, too.
    """
    try:
        results = await _results(run, items, worker)
    except BaseException:
        run.delivered = quoted_reports(run.workers)
        raise
    ended = joined_end(results)
    return Ending(ended.status, ended.stop_reason, joined_answer(results), ended.error)


def joined_answer(results: tuple[TaskResult, ...]) -> str:
    """Return the answers of *results* in their order, each under what it answers."""
    parts = [
        f"## Result for: {one_line(result.task)}\n{result.answer or result.summary}" for result in results
    ]
    return "\n\n---\n\n".join(parts)
