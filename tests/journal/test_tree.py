from decimal import Decimal

import attrs
import pytest

from sunwell.core import ToolCall, ToolResult, Usage
from sunwell.errors import JournalError
from sunwell.journal.exports import export_json
from sunwell.journal.records import (
    Failure,
    Note,
    Refused,
    RunClosed,
    RunResumed,
    ToolFinished,
    ToolStarted,
    Unknown,
    WorkerClosed,
    WorkerOpened,
)
from sunwell.journal.tree import tree

CALL = ToolCall("toolu_1", "rlm_sub_complete", '{"query": "count the endpoints"}')
BATCH = ToolCall("b/1", "delegate_batch", '{"tasks": ["first task", {"task": "second task"}]}')


@pytest.fixture
def story(opened, intent, answer):
    """A run that asks its smart model, starts a worker by tool and a batch of two, and ends."""
    worker, nested = "run/toolu_1", "run/toolu_1/inner"
    batch = ("run/b%2F1/0", "run/b%2F1/1")
    return [
        opened,
        intent(model="opus"),
        answer(model="opus", usd="0.10", usage=Usage(100, 50)),
        ToolStarted("run", 3, 0, CALL, True),
        Note(worker, "context_query", "endpoint docs"),
        intent(worker, depth=1),
        answer(worker, depth=1, usd="0.02"),
        ToolStarted(worker, 0, 0, ToolCall("x", "search", "{}"), True),
        ToolFinished(worker, 0, 0, "search", ToolResult("x", "found"), 0.25),
        intent(nested, depth=2, model="nano"),
        answer(nested, depth=2, model="nano", usd="0.003", usage=Usage(7, 3)),
        intent(worker, 1, depth=1, at=1002.0),
        answer(worker, 1, depth=1, usd="0.01", usage=Usage(20, 9), at=1003.2),
        ToolFinished("run", 3, 0, CALL.name, ToolResult("toolu_1", "4"), 2.0),
        ToolStarted("run", 4, 0, BATCH, True),
        *(record for span in batch for record in (intent(span, depth=1), answer(span, depth=1))),
        RunClosed("ok", "end", "done", "", 5, 9.5, 1009.5),
    ]


def only(root, span, kind):
    (found,) = [node for node in root.walk() if node.span == span and node.type == kind]
    return found


def test_workers_nest_below_what_started_them(story):
    """The tree follows the spans: what is deeper than its parent is a worker, the rest is its work."""
    shape = [(node.type, node.span, node.depth) for node in tree(story).walk()]
    assert shape == [
        ("run", "run", 0),
        ("call", "run", 0),
        ("tool", "run", 0),
        ("sub_completion", "run/toolu_1", 1),
        ("call", "run/toolu_1", 1),
        ("tool", "run/toolu_1", 1),
        ("sub_completion", "run/toolu_1/inner", 2),
        ("call", "run/toolu_1/inner", 2),
        ("call", "run/toolu_1", 1),
        ("tool", "run", 0),
        ("sub_completion", "run/b%2F1/0", 1),
        ("call", "run/b%2F1/0", 1),
        ("sub_completion", "run/b%2F1/1", 1),
        ("call", "run/b%2F1/1", 1),
    ]


def test_a_worker_says_all_that_a_trajectory_asks_for(story):
    """Depth, turn of the parent, question, context query, tokens, cost, time, tools and result size."""
    worker = only(tree(story), "run/toolu_1", "sub_completion")
    assert (worker.parent_turn, worker.query, worker.context_query) == (
        3,
        "count the endpoints",
        "endpoint docs",
    )
    assert (worker.model, worker.tools_called, worker.result_tokens) == ("haiku", ("search",), 9)
    assert (worker.tokens_used, worker.total_cost_usd) == (15 + 10 + 29, Decimal("0.033"))
    assert (worker.started_at, worker.duration_ms) == (1000.0, 3500)


@pytest.mark.parametrize(("place", "question"), [(0, "first task"), (1, "second task")])
def test_each_worker_of_a_batch_has_its_own_question(story, place, question):
    """The place in the batch is the last part of the span, the tool call's escaped id the one before."""
    worker = only(tree(story), f"run/b%2F1/{place}", "sub_completion")
    assert (worker.parent_turn, worker.query) == (4, question)


@pytest.mark.parametrize(
    "arguments",
    ["", "[]", "{", '{"query": 7}', '{"tasks": []}', '{"tasks": [7]}'],
)
def test_arguments_that_ask_nothing_leave_the_question_unknown(opened, intent, arguments):
    """A model's malformed arguments do not disturb the tree."""
    started = ToolStarted("run", 1, 0, ToolCall("0", "delegate", arguments), True)
    worker = only(tree([opened, started, intent("run/0", depth=1)]), "run/0", "sub_completion")
    assert (worker.parent_turn, worker.query) == (1, None)


def test_notes_of_a_worker_count_more_than_the_tool_call(opened, intent):
    """What was noted for a worker is what it was really asked."""
    notes = [Note("run/toolu_1", "query", "as asked"), Note("run/toolu_1", "parent_turn", 8)]
    root = tree([opened, ToolStarted("run", 3, 0, CALL, True), *notes, intent("run/toolu_1", depth=1)])
    worker = only(root, "run/toolu_1", "sub_completion")
    assert (worker.parent_turn, worker.query) == (8, "as asked")


def test_the_run_carries_its_task_and_its_end(story):
    """The root is the run: id, task, status, times, and the model that it asked itself."""
    root = tree(story)
    assert (root.name, root.query, root.status) == ("r1", "write it", "ok")
    assert (root.started_at, root.duration_ms, root.model) == (1000.0, 9500, "opus")
    assert root.tools_called == ("rlm_sub_complete", "delegate_batch")


@pytest.mark.parametrize(
    ("arguments", "subject"),
    [
        pytest.param('{"path": "shop/cart.py", "content": "x"}', "shop/cart.py", id="a-path"),
        pytest.param('{"timeout": 9, "command": "make test"}', "make test", id="a-command"),
        pytest.param('{"code": "' + "x" * 900 + '"}', "x" * 200 + "…", id="long"),
        pytest.param('{"count": 7}', None, id="no-text"),
        pytest.param("{", None, id="malformed"),
        pytest.param("[" * 100_000, None, id="deep"),
    ],
)
def test_a_tool_says_what_it_was_called_with(opened, arguments, subject):
    """The first text among its arguments, so that one of many readings can be told from the others."""
    root = tree([opened, ToolStarted("run", 1, 0, ToolCall("0", "a_tool", arguments), True)])
    assert only(root, "run", "tool").query == subject


def test_totals_are_sums_over_the_whole_tree(story):
    """Tokens and booked costs of every call, each once."""
    root = tree(story)
    assert root.total_usage == Usage(100 + 10 + 7 + 20 + 10 + 10, 50 + 5 + 3 + 9 + 5 + 5)
    assert root.total_cost_usd == Decimal("0.135")


def test_every_call_is_priced_at_its_own_models_rate(opened, answer):
    """A smart parent of 35 dollars and a cheap worker of 7 make 42."""
    million = 1_000_000
    root = tree(
        [
            opened,
            answer(model="opus", usage=Usage(2 * million, million)),
            answer("run/w", depth=1, model="haiku", usage=Usage(2 * million, million)),
        ]
    )
    rates = {"opus": (5.0, 25.0), "haiku": (1.0, 5.0)}

    def price(model, input_tokens, output_tokens):
        return (input_tokens * rates[model][0] + output_tokens * rates[model][1]) / million

    assert root.total_cost(price) == Decimal("42.0")
    assert only(root, "run/w", "sub_completion").total_cost(price) == Decimal("7.0")
    assert root.total_cost(lambda model, *_: None if model == "haiku" else Decimal(1)) is None


@pytest.mark.parametrize(
    ("usd", "usage", "cost", "uncertain"),
    [
        pytest.param("0.5", Usage(1, 1), Decimal("0.6"), Decimal(0), id="known"),
        pytest.param(None, Usage(1, 1), None, Decimal(0), id="price-unknown"),
        pytest.param(None, None, Decimal("0.1"), Decimal("0.01"), id="usage-never-came"),
    ],
)
def test_what_is_unknown_is_not_zero(opened, intent, answer, usd, usage, cost, uncertain):
    """An unknown price makes the total unknown; usage that never came is an upper bound, apart."""
    root = tree([opened, answer(usd="0.1"), intent("run/w"), answer("run/w", usd=usd, usage=usage)])
    assert (root.total_cost_usd, root.total_uncertain_usd) == (cost, uncertain)


@pytest.mark.parametrize(
    ("end", "status", "uncertain"),
    [
        pytest.param(None, "open", Decimal("0.01"), id="in-flight-when-the-process-died"),
        pytest.param(
            Failure("run", 0, 1, "ServerFailed", "500", True, True, 1001.0),
            "failed",
            Decimal("0.01"),
            id="perhaps-billed",
        ),
        pytest.param(
            Failure("run", 0, 1, "RateLimited", "429", False, True, 1001.0),
            "failed",
            Decimal(0),
            id="certainly-not-billed",
        ),
    ],
)
def test_an_attempt_without_an_answer_is_uncertain_unless_certainly_unbilled(
    opened, intent, end, status, uncertain
):
    """Its reservation is the upper bound, and never part of the cost."""
    root = tree([opened, intent(), *([end] if end else [])])
    (call,) = root.children
    assert (call.status, call.uncertain_usd, call.cost_usd, call.usage) == (status, uncertain, None, None)
    assert (root.total_cost_usd, root.total_uncertain_usd) == (Decimal(0), uncertain)


def test_attempts_of_one_call_are_one_node(opened, intent, answer):
    """A retry does not double the call; the attempt before it stays uncertain."""
    failed = Failure("run", 0, 1, "ServerFailed", "500", True, False, 1001.0)
    root = tree([opened, intent(), failed, intent(attempt=2), answer(attempt=2)])
    (call,) = root.children
    assert (call.status, call.attempts, call.cost_usd) == ("answered", 2, Decimal("0.001"))
    assert call.uncertain_usd == Decimal("0.01")


def test_a_refused_call_is_shown_and_costs_nothing(opened):
    """A ceiling's refusal stands in the tree."""
    refused = Refused("run", 0, "usd", Decimal(2), Decimal(0), Decimal(1), "run")
    root = tree([opened, refused])
    assert [(node.type, node.status) for node in root.children] == [("call", "refused")]
    assert (root.total_cost_usd, root.total_uncertain_usd, root.status) == (Decimal(0), Decimal(0), "open")


@pytest.mark.parametrize(
    ("result", "status"),
    [(ToolResult("x", "ok"), "answered"), (ToolResult("x", "no", is_error=True), "failed"), (None, "open")],
    ids=["good", "error", "killed"],
)
def test_a_tool_shows_how_it_ended(opened, result, status):
    """A tool without a result was running when the process died."""
    started = ToolStarted("run", 0, 0, ToolCall("x", "shell", "{}"), False)
    finished = [ToolFinished("run", 0, 0, "shell", result, 0.2)] if result else []
    (tool,) = tree([opened, started, *finished]).children
    assert (tool.name, tool.status, tool.duration_ms) == ("shell", status, 200 if result else None)


def test_a_run_without_anything_is_one_open_node(opened):
    """Records of unknown kinds, and none at all, disturb nobody."""
    assert [node.type for node in tree([]).walk()] == ["run"]
    root = tree([opened, Unknown("hologram", {"span": "run/x"})])
    assert [(node.type, node.status) for node in root.walk()] == [("run", "open")]


def test_a_child_that_is_seen_before_its_parent_still_nests(opened, intent):
    """The place in the tree comes from the span's name, not from the order of records."""
    root = tree([opened, intent("run/a/b", depth=2), intent("run/a", depth=1), intent(depth=0)])
    shape = [(node.type, node.span) for node in root.walk() if node.type != "call"]
    assert shape == [("run", "run"), ("sub_completion", "run/a"), ("sub_completion", "run/a/b")]


def test_a_deep_tree_can_be_built_exported_and_no_deeper_one(opened, intent):
    """A hundred levels are summed and written; a forged journal with more is refused in one sentence."""
    spans = ["run" + "/w" * level for level in range(1, 102)]
    records = [opened, *(intent(span, depth=level) for level, span in enumerate(spans, 1))]
    root = tree(records[:-1])
    assert sum(1 for _ in root.walk()) == 2 * 100 + 1
    assert root.total_uncertain_usd == Decimal("1.00")
    assert export_json(root).count('"sub_completion"') == 100
    with pytest.raises(JournalError, match="more than 100 levels"):
        tree(records)


def test_a_part_at_its_parents_depth_is_no_worker(opened, intent):
    """Writing the lens or a check is part of the work of its parent."""
    root = tree([opened, intent("run/lens", model="opus")])
    assert [(node.type, node.span) for node in root.children] == [("part", "run/lens")]
    assert attrs.asdict(root.children[0])["model"] == "opus"
    assert export_json(root).count('"sub_completion"') == 0


def test_a_run_and_a_worker_that_are_taken_up_again_are_open_until_they_end_again(opened):
    """How they ended before no longer holds."""
    begun = WorkerOpened("run/w", "run", 1, "do it", "haiku", 1000.0)
    cancelled = WorkerClosed(
        "run/w", 1, "do it", "cancelled", "cancelled", "", "", 0, 0, None, 5, (), None, (), (), (), 1001.0
    )
    ended = RunClosed("cancelled", "cancelled", "", "stopped", 1, 1.0, 1001.0)
    root = tree([opened, begun, cancelled, ended])
    assert (root.status, only(root, "run/w", "sub_completion").status) == ("cancelled", "cancelled")
    root = tree([opened, begun, cancelled, ended, RunResumed(1002.0), begun])
    assert (root.status, only(root, "run/w", "sub_completion").status) == ("open", "open")


def test_what_a_provider_states_without_usage_is_the_bound_if_it_is_more(opened, intent, answer):
    """As in the bill."""
    said = answer(usage=None, usd=None)
    for stated, most in (("0.5", Decimal("0.5")), ("0.001", Decimal("0.01"))):
        completion = attrs.evolve(said.completion, stated_cost_usd=Decimal(stated))
        root = tree([opened, intent(), attrs.evolve(said, completion=completion)])
        assert (root.total_cost_usd, root.total_uncertain_usd) == (0, most)
