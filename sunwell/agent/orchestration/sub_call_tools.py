"""The tools of seed names that start sub-calls: subagent, rlm_sub_complete and rlm_batch_complete."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from sunwell.agent.orchestration.delegate_tools import known_tools
from sunwell.agent.orchestration.reports import told_reports
from sunwell.agent.orchestration.spawner import Order, Spawner
from sunwell.agent.orchestration.spawner_tool import (
    CONTEXT_PARAMETERS,
    Arguments,
    SpawnerTool,
    looked_up,
    spec,
)
from sunwell.core.markdown import one_line
from sunwell.core.model import ToolSpec
from sunwell.core.task import Task, TaskResult
from sunwell.core.tool import Place
from sunwell.errors import ToolError
from sunwell.tools.arguments import closed, nullable, text, whole
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


def subagent_tools() -> tuple[SpawnerTool, ...]:
    """Return the one tool."""
    return (SpawnerTool(_SUBAGENT, _ask, _recall, _asked, parallel=True),)


def _subagent_order(arguments: Arguments) -> Order:
    question = arguments["question"]
    if not question.strip():
        raise ToolError("the question is empty: ask in words")
    return Order(Task(question))


async def _ask(spawner: Spawner, place: Place, arguments: Arguments) -> Outcome:
    order = _subagent_order(arguments)
    try:
        ids = await spawner.start(place, [order], share=spawner.options.worker_share)
    except ToolError as error:
        raise ToolError(f"{error.sentence} (question: {one_line(order.task.text)[:200]})") from None
    results = await spawner.dispatcher.await_results(ids)
    result = next(one for one in results if one is not None)
    await spawner.note_told(place, ids)
    return Outcome(told_reports([result], spawner.report_characters)[0], is_error=not _is_of_use(result))


def _is_of_use(result: TaskResult) -> bool:
    """Whether *result* is an answer; one that was cut off at its limit is, and says so."""
    return result.success or (result.stop_reason == "length" and bool(result.answer.strip()))


def _asked(spawner: Spawner, place: Place, arguments: Arguments) -> list[Order]:
    return [_subagent_order(arguments)]


def _recall(spawner: Spawner, place: Place, arguments: Arguments) -> None:
    spawner.tell(spawner.recall(place, _asked(spawner, place, arguments)))


MAX_TOKENS = 4000
MAX_PARALLEL = 3
TOTAL_BUDGET = 8000

_QUERY = text("The focused question, complete in itself: whoever answers sees nothing of your conversation.")
_SUB_TEXT = (
    "Ask a fresh model one focused question and wait for its answer. It has its own conversation and the "
    'tools of the workspace. Example: {"query": "Explain the life of a token in src/auth.py", '
    '"max_tokens": 3000, "system": null, "tools": null%s}'
)
_SUB = {
    "query": _QUERY,
    "max_tokens": nullable(
        whole(f"Most tokens of the whole answer; a longer one is cut, and says so. Default: {MAX_TOKENS}.")
    ),
    "system": nullable(text("A system prompt of its own, after the one that all have.")),
    "tools": nullable(
        {
            "type": "array",
            "items": {"type": "string"},
            "description": "Names of the tools that it may use; null: all of yours.",
        }
    ),
}
_WITH_QUERY = ', "context_query": "token refresh", "context_budget": null'
_SUB_COMPLETE = spec("rlm_sub_complete", _SUB_TEXT % _WITH_QUERY, {**_SUB, **CONTEXT_PARAMETERS})
_SUB_ALONE = spec("rlm_sub_complete", _SUB_TEXT % "", _SUB)


def _batch_spec(more: Mapping[str, Any], example: str) -> ToolSpec:
    one = {
        "query": _QUERY,
        "max_tokens": nullable(
            whole("Most tokens of this answer, at most its even share. Default: its even share.")
        ),
    }
    return spec(
        "rlm_batch_complete",
        "Ask several fresh models a question each, side by side, and wait for all answers. Example: "
        f'{{"queries": [{{"query": "What does a.py do?", "max_tokens": null{example}}}, '
        f'{{"query": "What does b.py do?", "max_tokens": null{example}}}], "max_parallel": null, '
        '"total_budget": null}',
        {
            "queries": {
                "type": "array",
                "items": closed({**one, **more}),
                "description": "The questions.",
            },
            "max_parallel": nullable(whole(f"Most of them at once. Default: {MAX_PARALLEL}.")),
            "total_budget": nullable(
                whole(f"Tokens of all answers together, split evenly. Default: {TOTAL_BUDGET}.")
            ),
        },
    )


_BATCH_COMPLETE = _batch_spec(CONTEXT_PARAMETERS, ', "context_query": null, "context_budget": null')
_BATCH_ALONE = _batch_spec({}, "")


def rlm_tools(*, can_query: bool = True) -> tuple[SpawnerTool, ...]:
    """Return the two tools. They show how to have something looked up only if there is a source."""
    one, several = (None, None) if can_query else (_SUB_ALONE, _BATCH_ALONE)
    return (
        SpawnerTool(_SUB_COMPLETE, _complete, _recall_complete, _orders_of, parallel=True, shown=one),
        SpawnerTool(_BATCH_COMPLETE, _batch, _recall_batch, batch_orders, shown=several),
    )


def _order(spawner: Spawner, place: Place, arguments: Mapping[str, Any], max_tokens: int) -> Order:
    if not str(arguments["query"]).strip():
        raise ToolError("the query is empty: ask in words")
    if max_tokens < 1:
        raise ToolError(f"max_tokens must be at least 1, got {max_tokens}")
    tools = known_tools(spawner, place, arguments.get("tools"))
    more = looked_up(arguments)
    if spawner.options.auto_context and not more["context_query"]:
        more["context_query"] = arguments["query"]
    system = arguments.get("system") or ""
    return Order(Task(arguments["query"], tools=tools), system, max_answer_tokens=max_tokens, **more)


def _orders_of(spawner: Spawner, place: Place, arguments: Arguments) -> list[Order]:
    given = arguments["max_tokens"]
    return [_order(spawner, place, arguments, MAX_TOKENS if given is None else given)]


async def _complete(spawner: Spawner, place: Place, arguments: Arguments) -> Outcome:
    share = spawner.options.sub_calls_budget_inheritance
    ids = await spawner.start(place, _orders_of(spawner, place, arguments), share=share)
    result = (await _answers(spawner, place, ids, 1))[0]
    return Outcome(told_reports([result], spawner.report_characters)[0], is_error=not _is_of_use(result))


def _recall_complete(spawner: Spawner, place: Place, arguments: Arguments) -> None:
    spawner.tell(spawner.recall(place, _orders_of(spawner, place, arguments)))


def batch_orders(spawner: Spawner, place: Place, arguments: Arguments) -> list[Order]:
    """Return the orders of a batch, each with its even share of the budget at most.

    Raises :exc:`~sunwell.errors.ToolError` for an empty batch, and where nothing is left for each.
    """
    queries = arguments["queries"]
    total = TOTAL_BUDGET if arguments["total_budget"] is None else arguments["total_budget"]
    if not queries:
        raise ToolError("queries is empty: ask at least one question")
    each = total // len(queries)
    if each < 1:
        raise ToolError(f"total_budget {total} leaves no token for each of {len(queries)} queries")
    return [
        _order(spawner, place, query, each if query["max_tokens"] is None else min(query["max_tokens"], each))
        for query in queries
    ]


async def _batch(spawner: Spawner, place: Place, arguments: Arguments) -> Outcome:
    orders = batch_orders(spawner, place, arguments)
    at_once = MAX_PARALLEL if arguments["max_parallel"] is None else arguments["max_parallel"]
    if at_once < 1:
        raise ToolError(f"max_parallel must be at least 1, got {at_once}")
    ids = await spawner.start(place, orders, at_once=at_once)
    results = await _answers(spawner, place, ids, at_once)
    return Outcome(
        joined(orders, results, spawner.report_characters),
        is_error=not any(_is_of_use(result) for result in results),
    )


def joined(orders: Sequence[Order], results: Sequence[TaskResult], most_characters: int) -> str:
    """Return the answers in the order of the questions, each under its own."""
    parts = zip(orders, told_reports(results, most_characters), strict=True)
    return "\n\n---\n\n".join(f"## Result for: {order.task.text}\n{told}" for order, told in parts)


def _recall_batch(spawner: Spawner, place: Place, arguments: Arguments) -> None:
    spawner.tell(spawner.recall(place, batch_orders(spawner, place, arguments)))


async def _answers(spawner: Spawner, place: Place, ids: Sequence[str], at_once: int) -> list[TaskResult]:
    results = await spawner.dispatcher.await_results(ids)
    await asyncio.sleep(0)
    done = [result for result in results if result is not None]
    await spawner.note_told(place, [result.task_id for result in done])
    return done
