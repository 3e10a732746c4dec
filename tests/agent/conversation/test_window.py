"""Windows: set, learned from a refusal, or small. Work goes on in them, or ends and says so."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell import AnthropicModel, Connection
from sunwell.agent import Agent
from sunwell.agent.conversation.compaction import HistoryCut, compacted
from sunwell.budget.ledger_protocol import Budget
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import History, Message, Request, Text, ToolCall, ToolResult, user
from sunwell.core.message import Thinking
from sunwell.core.task import TaskResult
from sunwell.errors import RequestTooLong
from sunwell.events import Event, HistoryCompacted, RunFinished
from sunwell.models.http_model import Tuning
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, InProcessModel, ModelPrice, ModelRates, Reply, Simulator
from sunwell.simulator.scripts.conversation_state import ScriptedConversation

FILES, WINDOW = 60, 32_000
BODY = "x = 1234567\n" * 450


def call(turn: int, tool: str, **arguments: Any) -> Reply:
    """Return a reply that calls *tool*."""
    return Reply((ToolCall(f"c{turn}", tool, json.dumps(arguments)),))


def writer(asked: Asked) -> Reply:
    """Write a file of 5 kB at each turn."""
    turn = ScriptedConversation.of(asked).turns
    if turn >= FILES:
        return Reply((Text("all are written"),))
    return call(turn, "write_file", path=f"f{turn}.py", content=f"# {turn}\n{BODY}")


@attrs.define(eq=False)
class Narrow:
    """A model with a window of its own, in bytes divided by four: prompt and answer must fit."""

    inner: InProcessModel
    window: int
    has_figures: bool = True
    context_window: int | None = None
    """The window that was set for it."""
    max_output_tokens: int | None = None
    asked: list[Request] = attrs.field(factory=list)
    refused: int = 0

    @property
    def name(self) -> str:
        return self.inner.name

    async def complete(self, request: Request) -> Any:
        tokens = request.size_bytes // 4
        if tokens + (request.max_output_tokens or 0) > self.window:
            self.refused += 1
            figures = (self.window, tokens) if self.has_figures else (None, None)
            raise RequestTooLong(self.name, "too long", window_tokens=figures[0], input_tokens=figures[1])
        self.asked.append(request)
        completion = await self.inner.complete(request)
        assert completion.usage is not None
        return attrs.evolve(completion, usage=attrs.evolve(completion.usage, input_tokens=tokens))

    def stream(self, request: Request) -> Any:
        raise NotImplementedError


def narrow(script: Callable[[Asked], Reply], window: int, **given: Any) -> Narrow:
    """Return a model without a price in any table, with *window* tokens."""
    model = InProcessModel("claude-haiku-5-5", script)
    return Narrow(model, window, **given)


async def run(
    model: Any,
    folder: Path,
    task: str = "do it",
    resume: str = "",
    agent: Agent | None = None,
    **options: Any,
) -> tuple[TaskResult, list[Event]]:
    """Begin or resume a run in *folder*, and return its result and events."""
    agent = agent or Agent(model=model, registry=ModelRegistry())
    budget = options.pop("budget", Budget(turns=200))
    if resume:
        events = [event async for event in agent.resume(resume, workspace=folder, budget=budget)]
    else:
        session = SessionContext.build(folder, task, options=RunOptions(budget=budget, **options))
        events = [event async for event in agent.run(session)]
    last = events[-1]
    assert isinstance(last, RunFinished)
    return last.result, events


@pytest.mark.parametrize("tuning", [Tuning(context_window=WINDOW), Tuning()], ids=["set", "learned"])
async def test_a_worker_that_writes_sixty_files_ends_in_a_window_of_32k(
    tmp_path: Path, tuning: Tuning
) -> None:
    """Its own long arguments give way. A window that nobody set is learned from one refusal, for nothing."""
    prices = {"claude-haiku-5-5": ModelPrice(ModelRates(1, 5), context_window=WINDOW)}
    async with Simulator({"claude-haiku-5-5": writer}, prices) as simulator:
        model = AnthropicModel(
            "claude-haiku-5-5", Connection("anthropic", simulator.url, "key"), tuning=tuning
        )
        async with Agent(model=model) as agent:
            result, events = await run(model, tmp_path, agent=agent, max_output_tokens=4_000)
        refused = len(simulator.requests) - len(simulator.bill.entries())
        assert result.bill.uncertain_usd == 0
    assert (result.status, result.answer) == ("ok", "all are written")
    assert refused == (0 if tuning.context_window else 1)
    assert [len((tmp_path / f"f{n}.py").read_text()) > 5_000 for n in range(FILES)] == [True] * FILES
    assert 1 <= sum(isinstance(event, HistoryCompacted) for event in events) <= 8


@pytest.mark.parametrize("has_figures", [True, False], ids=["with-figures", "without-figures"])
async def test_a_refusal_for_length_leads_to_a_shorter_conversation(
    tmp_path: Path, has_figures: bool
) -> None:
    """One further attempt is made, with less; nothing is booked for the refusal."""
    model = narrow(writer, 20_000, has_figures=has_figures)
    result, events = await run(model, tmp_path, max_output_tokens=2_000)
    assert (result.status, result.answer) == ("ok", "all are written")
    assert model.refused >= 1
    assert result.bill.uncertain_usd == 0
    assert any(isinstance(event, HistoryCompacted) for event in events)


async def test_what_cannot_be_made_shorter_ends_with_the_window(tmp_path: Path) -> None:
    """A prompt alone may be too long: that is no error of the provider's, and nothing was spent."""
    model = narrow(writer, 1_500)
    result, _ = await run(model, tmp_path, "word " * 4_000)
    assert (result.status, result.stop_reason) == ("incomplete", "window")
    assert "context window" in result.error
    assert (result.bill.usage.total_tokens, result.bill.uncertain_usd) == (0, 0)
    assert model.refused == 1


async def test_a_window_set_without_a_price_is_heeded(tmp_path: Path) -> None:
    """No request is refused although nothing else knows the window."""
    model = narrow(writer, 20_000, context_window=20_000)
    result, _ = await run(model, tmp_path, max_output_tokens=2_000)
    assert (result.status, model.refused) == ("ok", 0)


@pytest.mark.parametrize(
    ("window", "most"),
    [
        pytest.param(8_192, 2_048, id="a-quarter-of-a-small-window"),
        pytest.param(32_768, 8_192, id="the-usual-limit"),
    ],
)
async def test_an_answer_of_the_usual_length_leaves_room_for_a_prompt(
    tmp_path: Path, window: int, most: int
) -> None:
    """Nobody chose a limit."""
    model = narrow(lambda asked: Reply((Text("yes"),)), window, context_window=window)
    await run(model, tmp_path)
    assert [request.max_output_tokens for request in model.asked] == [most]


@pytest.mark.parametrize(
    ("chosen", "sent"), [(7_000, 6_144), (6_000, 6_000), (100, 100)], ids=["too-long", "fits", "short"]
)
async def test_a_chosen_limit_leaves_a_quarter_of_the_window(tmp_path: Path, chosen: int, sent: int) -> None:
    """An answer as long as the window would leave no token for the question."""
    model = narrow(lambda asked: Reply((Text("yes"),)), 8_192, context_window=8_192)
    await run(model, tmp_path, max_output_tokens=chosen, tools=())
    assert [request.max_output_tokens for request in model.asked] == [sent]


async def test_a_short_prompt_is_asked_again_with_a_shorter_answer(tmp_path: Path) -> None:
    """The refusal names window and prompt; what is too long is the answer that was asked for."""
    model = narrow(lambda asked: Reply((Text("yes"),)), 8_192)
    result, _ = await run(model, tmp_path, tools=())
    assert (result.answer, model.refused) == ("yes", 1)
    assert model.asked[0].max_output_tokens == 2_048


async def test_a_limit_of_the_models_own_holds_over_the_usual_one(tmp_path: Path) -> None:
    """The more specific setting wins, and a small one is not replaced by 8,192."""
    model = narrow(lambda asked: Reply((Text("yes"),)), 100_000, max_output_tokens=700)
    await run(model, tmp_path, max_output_tokens=5_000)
    assert [request.max_output_tokens for request in model.asked] == [700]


async def test_a_run_made_shorter_after_a_refusal_resumes_without_asking_again(tmp_path: Path) -> None:
    """The resumed run sends what was answered, not what was refused."""
    first, events = await run(
        narrow(writer, 20_000), tmp_path, max_output_tokens=2_000, budget=Budget(calls=40, turns=200)
    )
    assert first.stop_reason == "calls"
    assert any(isinstance(event, HistoryCompacted) for event in events)
    again = narrow(writer, 20_000)
    result, _ = await run(again, tmp_path, resume=first.run_id, budget=Budget(calls=500, turns=200))
    assert (result.status, result.answer) == ("ok", "all are written")
    assert len(again.asked) <= FILES + 1 - 38


async def test_a_result_that_is_longer_than_the_window_is_read_from_its_beginning(tmp_path: Path) -> None:
    """A stub in its place would be asked for again and again."""
    (tmp_path / "big.txt").write_text("".join(f"line {n}\n" for n in range(4_000)))

    def script(asked: Asked) -> Reply:
        results = [m.parts[0] for m in asked.messages if isinstance(m.parts[0], ToolResult)]
        if not results:
            return call(0, "read_file", path="big.txt", start_line=None, end_line=None)
        return Reply((Text(results[-1].content[:200] + results[-1].content[-200:]),))

    result, _ = await run(narrow(script, 6_000, context_window=6_000), tmp_path, max_output_tokens=1_000)
    assert result.status == "ok"
    assert "line 5\n" in result.answer
    assert "do not fit into your context window" in result.answer


async def test_a_model_that_copies_the_note_of_a_cut_argument_is_told(tmp_path: Path) -> None:
    """The note must never become the content of a file."""

    def script(asked: Asked) -> Reply:
        turn = ScriptedConversation.of(asked).turns
        if turn == 0:
            note = "x = 1 [5,000 characters left out later to save room: the call itself had them]"
            return call(0, "write_file", path="a.py", content=note)
        return Reply((Text(str(asked.messages[-1].parts[0])),))

    result, _ = await run(InProcessModel("claude-haiku-5-5", script), tmp_path)
    assert "Write every argument out in full" in result.answer
    assert not (tmp_path / "a.py").exists()


def cut_call(
    arguments: str, tool: str = "write_file", *, result: str = "done"
) -> tuple[ToolCall, ToolResult]:
    """Return a call with *arguments* and its result, after they have been made shorter."""
    called = Message("assistant", (ToolCall("c", tool, arguments),))
    history = History([user("t"), called, Message("tool", (ToolResult("c", result),)), user("go on")])
    after = compacted(history, HistoryCut(1, 500), can_read=True)
    (short,), (told,) = after[1].tool_calls, after[2].parts
    assert isinstance(told, ToolResult)
    assert compacted(after, HistoryCut(1, 500), can_read=True) == after
    return short, told


def test_a_long_argument_keeps_its_beginning_and_says_what_is_missing() -> None:
    """The rest of the call stays; the file can be read again."""
    short, _ = cut_call(json.dumps({"path": "a.py", "content": "y" * 5_000}))
    assert json.loads(short.arguments) == {
        "path": "a.py",
        "content": "y"
        * 80
        + " [4,920 characters left out later to save room: the call itself had them; read_file "
        "shows the file as it is now]",
    }


def test_arguments_keep_their_shape() -> None:
    """Names of fields, kinds of values, numbers and short texts are as the schema wants them."""
    value = {
        "tasks": [{"text": "z" * 900, "done": "w" * 100, "n": 3, "on": True, "none": None}],
        "share": 0.5,
    }
    short = json.loads(cut_call(json.dumps(value), "delegate_batch")[0].arguments)
    (task,) = short["tasks"]
    assert task | {"text": ""} == value["tasks"][0] | {"text": ""}  # type: ignore[index]
    assert task["text"].startswith("z" * 80 + " [820 characters left out later to save room")
    assert "read_file" not in task["text"]


def test_long_lists_keep_their_first_items_and_the_result_says_so() -> None:
    """Rows of numbers have no room for a note of their own."""
    rows = [[n, n + 1] for n in range(1_000)]
    short, told = cut_call(json.dumps({"rows": rows}), "insert")
    assert json.loads(short.arguments) == {"rows": rows[:2]}
    assert told.content.startswith("done\n[998 list items left out of this call later to save room")


def test_malformed_arguments_become_json() -> None:
    """No provider refuses what is sent back."""
    value = json.loads(cut_call('{"path": "a.py", "content": "' + "y" * 5_000)[0].arguments)
    assert list(value) == ["malformed_arguments"]
    assert len(value["malformed_arguments"]) < 250


def test_signed_thinking_and_short_calls_stay() -> None:
    """A signature covers the thinking before a call; it goes back byte for byte."""
    signed = Thinking("why", '{"type":"thinking","thinking":"why","signature":"s"}', "anthropic")
    calls = (
        ToolCall("c", "write_file", json.dumps({"content": "y" * 5_000})),
        ToolCall("d", "list_files", "{}"),
    )
    results = Message("tool", (ToolResult("c", "ok"), ToolResult("d", "ok")))
    after = compacted(
        History([user("t"), Message("assistant", (signed, *calls)), results, user("go on")]),
        HistoryCut(1, 500),
    )
    assert (after[1].parts[0], after[1].parts[2]) == (signed, calls[1])
    assert [call.id for call in after[1].tool_calls] == ["c", "d"]


def test_a_cut_of_an_older_record_leaves_calls_as_they_were() -> None:
    """Its run was answered with them."""
    history = History(
        [
            user("t"),
            Message("assistant", (ToolCall("c", "write_file", json.dumps({"content": "y" * 5_000})),)),
        ]
    )
    assert compacted(history, HistoryCut.recorded(0)) == history
