"""``subagent``: ask one question of a fresh worker and wait for its answer."""

from sunwell.agent.delegation.desk import Desk, Order
from sunwell.agent.delegation.desk_tool import Arguments, DeskTool, spec
from sunwell.agent.workers.outcomes import reported
from sunwell.core.markdown import one_line
from sunwell.core.task import Task
from sunwell.core.tool import Place
from sunwell.errors import ToolError
from sunwell.tools.arguments import text
from sunwell.tools.limits import Outcome

_SUBAGENT = spec(
    "subagent",
    "Hand one question to a fresh agent with the same tools and wait for its answer. Use it for searches "
    'and other work whose details you do not need. Example: {"question": "Where is the user\'s language '
    'stored, and which files read it?"}',
    {
        "question": text(
            "What to find out or do, complete in itself: the agent sees nothing of your conversation."
        )
    },
)


def subagent_tools() -> tuple[DeskTool, ...]:
    """Return the one tool."""
    return (DeskTool(_SUBAGENT, _ask, _recall, parallel=True),)


def _order(arguments: Arguments) -> Order:
    question = arguments["question"]
    if not question.strip():
        raise ToolError("the question is empty: ask in words")
    return Order(Task(question))


async def _ask(desk: Desk, place: Place, arguments: Arguments) -> Outcome:
    order = _order(arguments)
    try:
        ids = await desk.start(place, [order], share=desk.settings.share)
    except ToolError as error:
        raise ToolError(f"{error.sentence} (question: {one_line(order.task.text)[:200]})") from None
    results = await desk.dispatcher.await_results(ids)
    result = next(one for one in results if one is not None)
    await desk.note_told(place, ids)
    return Outcome(reported(result), is_error=not result.success)


def _recall(desk: Desk, place: Place, arguments: Arguments) -> None:
    desk.tell(desk.recall(place, [_order(arguments)]))
