"""A delegated task that falls into items: one worker each, and their answers joined."""

from sunwell.agent.batches.batch import joined_end, run_tasks
from sunwell.agent.batches.batch_run import dispatcher_for, planning_for, recall_calls
from sunwell.agent.work.ended import Ended
from sunwell.agent.work.execution import Execution
from sunwell.core.markdown import one_line
from sunwell.core.model import ModelProtocol
from sunwell.core.task import Task, TaskResult


async def run_items(execution: Execution, items: tuple[Task, ...], worker: ModelProtocol) -> Ended:
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
    return Ended(ended.status, ended.stop_reason, joined_answer(results), ended.error)


def joined_answer(results: tuple[TaskResult, ...]) -> str:
    """Return the answers of *results* in their order, each under what it answers."""
    parts = [
        f"## Result for: {one_line(result.task)}\n{result.answer or result.summary}" for result in results
    ]
    return "\n\n---\n\n".join(parts)
