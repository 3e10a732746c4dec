"""The limits of sub-calls at real sizes: what counts as new, and what a whole answer may take."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import sunwell
from sunwell.agent import Agent
from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import Completion, Text, Thinking, ToolCall, ToolResult, Usage
from sunwell.errors import BadRequest
from sunwell.events import RunFinished
from sunwell.journal.places import JournalFiles
from sunwell.journal.records import Answer, Intent, NewTokensCounted
from sunwell.simulator.in_process import InProcessModel
from sunwell.simulator.script import Asked, Reply
from sunwell.testing import Line, ScriptedModel, completion, run_virtual
from sunwell.tools import tool
from tests.agent.orchestrated import call, results_in

LINES = 170
MOST_CHARACTERS = 6_400
"""The files are this package's own, which change."""


def files_of(folder: Path) -> list[str]:
    """Write ten files of at most 170 lines of real code below *folder* and return their names."""
    sources = sorted(Path(sunwell.__file__).parent.rglob("*.py"))
    texts = [source.read_text("utf-8").splitlines() for source in sources]
    chosen = [lines[:LINES] for lines in texts if len(lines) >= LINES][:10]
    for number, lines in enumerate(chosen):
        (folder / f"part_{number}.py").write_text("\n".join(lines)[:MOST_CHARACTERS] + "\n", "utf-8")
    return [f"part_{number}.py" for number in range(len(chosen))]


def reading(at_once: int, names: list[str]) -> Any:
    """Return a script that reads all files, so many in each message, and then answers."""

    def script(asked: Asked) -> Reply:
        seen = sum(isinstance(part, ToolResult) for message in asked.messages for part in message.parts)
        wanted = names[seen : seen + at_once]
        if wanted and asked.tools:
            made = [
                ToolCall(
                    f"c{seen + number}",
                    "read_file",
                    json.dumps({"path": name, "start_line": None, "end_line": None}),
                )
                for number, name in enumerate(wanted)
            ]
            return Reply((Text("I read on. " * 10), *made))
        return Reply((Text(f"I have read {seen} files. " * 40),))

    return script


async def asked_of_files(
    folder: Path, smart: Any, at_once: int, *, can_count: bool = False, model: str = "claude-haiku-5-5"
) -> Any:
    """Return the result of a run whose model asks about the files, with the limits as they are by default."""
    names = files_of(folder)
    cheap = InProcessModel(model, reading(at_once, names), can_count=can_count)
    agent = Agent(model=smart, delegation_model=cheap)
    session = SessionContext.build(folder, "Explain the package", RunOptions(delegation_tools="rlm"))
    return await agent.result(session), cheap


@pytest.mark.parametrize(
    ("at_once", "can_count", "model"),
    [
        pytest.param(1, False, "claude-haiku-5-5", id="one-in-each-turn"),
        pytest.param(1, False, "claude-opus-5-5", id="by-a-dear-model"),
        pytest.param(2, False, "claude-haiku-5-5", id="two-in-each-turn"),
        pytest.param(5, True, "claude-haiku-5-5", id="five-in-each-turn"),
    ],
)
async def test_a_sub_call_reads_ten_files_and_answers(
    tmp_path: Path, at_once: int, can_count: bool, model: str
) -> None:
    """Each turn sends the conversation again: only what is new in it counts, once."""
    smart = ScriptedModel(
        "boss", [call("rlm_sub_complete", query="Read all files"), lambda r: results_in(r)[-1]]
    )
    result, _ = await asked_of_files(tmp_path, smart, at_once, can_count=can_count, model=model)
    (worker,) = result.workers
    assert (worker.status, worker.stop_reason) == ("ok", "end"), worker.error
    assert "I have read 10 files" in result.answer
    assert dict(worker.tools_called) == {"read_file": 10}
    if at_once == 1:
        assert worker.bill.usage.total_tokens > 100_000
    records = tuple(JournalFiles().read(tmp_path, result.run_id).records())
    counted = sum(one.tokens for one in records if isinstance(one, NewTokensCounted))
    last = [one.completion.usage for one in records if isinstance(one, Answer) and one.depth == 1][-1]
    # The last prompt holds all that was ever new, and the answer comes on top.
    assert last.total_tokens <= counted <= last.total_tokens * 1.05 + 200


def explaining(asked: Asked) -> Reply:
    """Answer as a worker that reads the files that its question names, and writes 1,400 tokens at most."""
    names = re.findall(r"\w+\.py", asked.messages[0].text)
    seen = sum(isinstance(part, ToolResult) for message in asked.messages for part in message.parts)
    if seen < len(names) and asked.tools:
        given = {"path": names[seen], "start_line": None, "end_line": None}
        return Reply((Text("Reading. "), ToolCall(f"w{seen}", "read_file", json.dumps(given))))
    words = "An account holds what is settled and what is reserved. "
    most = min(asked.max_output_tokens or 4_000, 1_400)
    return Reply((Text(words * (most * 4 // len(words) - 5)),))


@pytest.mark.parametrize("model", ["claude-haiku-5-5", "claude-opus-5-5"])
async def test_a_session_on_a_real_package_meets_no_limit_without_reason(tmp_path: Path, model: str) -> None:
    """A batch of five with the even share of 8,000 tokens, then a question over three files; all answer."""
    for source in sorted((Path(sunwell.__file__).parent / "budget").glob("*.py")):
        (tmp_path / source.name).write_text(source.read_text("utf-8"), "utf-8")
    names = ["account.py", "admission.py", "clock.py", "ledger.py", "tally.py"]
    asked = call("rlm_batch_complete", queries=[{"query": f"Explain {name}"} for name in names])
    compared = call("rlm_sub_complete", query="Compare admission.py, clock.py and tally.py")
    smart = ScriptedModel("boss", [asked, compared, "That is all."])
    agent = Agent(model=smart, delegation_model=InProcessModel(model, explaining))
    session = SessionContext.build(tmp_path, "Explain the package", RunOptions(delegation_tools="rlm"))
    result = await agent.result(session)
    assert [(worker.status, worker.error) for worker in result.workers] == [("ok", "")] * 6
    assert results_in(smart.calls[-1])[0].count("## Result for: ") == 5
    assert "left out here" not in results_in(smart.calls[-1])[0]


async def test_two_sub_calls_of_that_size_fit_and_their_shared_prompt_counts_once(tmp_path: Path) -> None:
    """System prompt and tools are the same for both."""
    smart = ScriptedModel(
        "boss", [*[call("rlm_sub_complete", query="Read all files")] * 2, lambda r: results_in(r)[-1]]
    )
    result, _ = await asked_of_files(tmp_path, smart, 1)
    assert [worker.stop_reason for worker in result.workers] == ["end", "end"]
    records = tuple(JournalFiles().read(tmp_path, result.run_id).records())
    firsts = [one.tokens for one in records if isinstance(one, NewTokensCounted) and one.number == 0]
    assert firsts[1] < firsts[0] / 2  # it has what is said behind its own task, too


async def test_new_tokens_are_a_hard_limit(tmp_path: Path) -> None:
    """Sub-calls follow until nothing fits; what was reserved holds each bill, and all together the limit."""
    smart = ScriptedModel("boss", [*[call("rlm_sub_complete", query="Read all files")] * 6, "That is all."])
    result, _ = await asked_of_files(tmp_path, smart, 1)
    assert (result.status, result.answer) == ("ok", "That is all.")
    assert {worker.stop_reason for worker in result.workers} == {"end", "budget_tokens"}
    records = tuple(JournalFiles().read(tmp_path, result.run_id).records())
    intents = {one.key: one for one in records if isinstance(one, Intent)}
    counted = {one.key: one.tokens for one in records if isinstance(one, NewTokensCounted)}
    assert all(tokens <= (intents[key].reserved_new_tokens or 0) for key, tokens in counted.items())
    assert 40_000 < sum(counted.values()) <= 50_000
    said = results_in(smart.calls[-1])
    assert any("new tokens" in text or "(output and new input)" in text for text in said)


async def test_a_resumed_run_goes_on_with_the_limit_where_it_stood(tmp_path: Path) -> None:
    """New tokens of earlier processes are booked as they were counted, and so is what comes after."""
    names = files_of(tmp_path)

    def agent(lines: list[Line]) -> Agent:
        cheap = InProcessModel("claude-haiku-5-5", reading(1, names))
        return Agent(model=ScriptedModel("boss", lines), delegation_model=cheap)

    asked = [call("rlm_sub_complete", query=f"Read all files, {number}") for number in range(4)]
    session = SessionContext.build(tmp_path, "Explain the package", RunOptions(delegation_tools="rlm"))
    broken = await agent([asked[0], BadRequest("boss", "broken")]).result(session)
    assert broken.status == "error"
    again = agent([*asked[1:], "That is all."])
    last = [event async for event in again.resume(broken.run_id, workspace=tmp_path)][-1]
    assert isinstance(last, RunFinished)
    assert last.result.answer == "That is all."
    records = tuple(JournalFiles().read(tmp_path, broken.run_id).records())
    counted = [one for one in records if isinstance(one, NewTokensCounted)]
    assert 40_000 < sum(one.tokens for one in counted) <= 50_000
    first = sum(one.tokens for one in counted if "/task-0-" in one.span)
    assert 0 < first < 25_000


@tool
async def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


def run(lines: list[Line], cheap: Any, **settings: Any) -> tuple[Any, ScriptedModel]:
    """Return the result of a loop with the tools of single questions, and its model."""
    smart = ScriptedModel("boss", lines)
    kind = settings.pop("kind", "rlm")
    given = {"sub_calls_max_cost_per_session": None} | settings
    loop = AgentLoop(smart, config=LoopConfig(delegation_tools=kind, **given), delegation_model=cheap)

    async def gather() -> Any:
        return [event async for event in loop.run("the task", [look])][-1]

    last = run_virtual(gather())
    assert isinstance(last, RunFinished)
    return last.result, smart


def test_without_usage_all_that_was_reserved_counts() -> None:
    """Nobody knows better: the next sub-call finds the limit used up sooner."""
    silent = Completion((Text("an answer"),), "end", None, "child")
    cheap = ScriptedModel("child", [silent] * 20)
    asked = [call("rlm_sub_complete", query="q", max_tokens=4_000)] * 20
    result, smart = run([*asked, "done"], cheap)
    assert len(cheap.calls) <= 50_000 // 4_000
    assert result.answer == "done"
    assert "sub-calls" in results_in(smart.calls[-1])[-1]


def cut(text: str, tokens: int) -> Completion:
    """Return an answer that was cut at its limit after *tokens*."""
    return completion(text, stop="length", usage=Usage(100, tokens))


def test_the_limit_of_an_answer_holds_for_all_its_messages_together() -> None:
    """An answer that has reached it is not continued, and says so."""
    cheap = ScriptedModel("child", [cut("the beginning", 300)])
    result, smart = run([call("rlm_sub_complete", query="q", max_tokens=300), "done"], cheap)
    (worker,) = result.workers
    assert [request.max_output_tokens for request in cheap.calls] == [300]
    assert (worker.status, worker.stop_reason, worker.answer) == ("incomplete", "length", "the beginning")
    (told,) = results_in(smart.calls[1])
    assert "cut off at its limit of 300 tokens, so its end is missing" in told
    assert "the beginning" in told
    part = smart.calls[1].messages[-1].parts[0]
    assert isinstance(part, ToolResult)
    assert not part.is_error


def test_a_message_with_a_lower_limit_is_continued_with_what_is_left() -> None:
    """As if the messages of a run are shorter than the answer may be: the sum is the limit."""
    cheap = ScriptedModel("child", [cut("one ", 400), cut("two ", 400), cut("three", 200)])
    result, _ = run(
        [call("rlm_sub_complete", query="q", max_tokens=1_000), "done"], cheap, max_output_tokens=400
    )
    assert [request.max_output_tokens for request in cheap.calls] == [400, 400, 200]
    assert result.workers[0].answer == "one two three"
    assert result.workers[0].stop_reason == "length"


def test_reasoning_takes_none_of_the_limit_that_is_left() -> None:
    """The limit is one of the answer: what was thought is not in it."""
    thought = completion("one ", stop="length", usage=Usage(100, 300, reasoning_tokens=200))
    cheap = ScriptedModel("child", [thought, completion("two", usage=Usage(100, 50))])
    result, _ = run([call("rlm_sub_complete", query="q", max_tokens=300), "done"], cheap)
    assert [request.max_output_tokens for request in cheap.calls] == [300, 200]
    assert (result.workers[0].status, result.workers[0].answer) == ("ok", "one two")


@pytest.mark.parametrize(
    "early",
    [
        pytest.param(
            completion(ToolCall("c", "look", '{"pla'), stop="length", usage=Usage(9, 300)), id="a-call"
        ),
        pytest.param(completion("", stop="length", usage=Usage(9, 300, reasoning_tokens=300)), id="thinking"),
    ],
)
def test_a_message_that_is_cut_before_the_answer_begins_gets_the_usual_limit(early: Completion) -> None:
    """A call carries its arguments; the answer that follows is cut to its own limit all the same."""
    long = completion("word " * 600, usage=Usage(100, 600))
    cheap = ScriptedModel("child", [early, completion(ToolCall("d", "look", '{"place": "x"}')), long])
    result, smart = run([call("rlm_sub_complete", query="q", max_tokens=300), "done"], cheap)
    assert [request.max_output_tokens for request in cheap.calls] == [300, 8192, 8192]
    (worker,) = result.workers
    assert worker.stop_reason == "length"
    assert worker.answer == "word " * 300
    assert "limit of 300 tokens" in results_in(smart.calls[1])[0]


def test_thinking_that_nobody_counts_apart_cuts_no_answer() -> None:
    """The output has both; the answer is measured by its text."""
    early = completion("", stop="length", usage=Usage(9, 300))
    long = completion(Thinking("hm", "{}", "child"), "word " * 200, usage=Usage(100, 5_000))
    cheap = ScriptedModel("child", [early, long])
    result, _ = run([call("rlm_sub_complete", query="q", max_tokens=300), "done"], cheap)
    assert (result.workers[0].status, result.workers[0].answer) == ("ok", "word " * 200)


def test_the_closing_call_keeps_the_limit_of_the_answer() -> None:
    """In tokens and in words."""
    step = completion(ToolCall("c", "look", '{"place": "x"}'), usage=Usage(100, 50))
    cheap = ScriptedModel("child", [step] * 80)
    asked = call("rlm_sub_complete", query="q", max_tokens=200)
    run([asked, "done"], cheap, sub_calls_max_total_tokens=8_000)
    last = cheap.calls[-1]
    assert (last.tool_choice, last.max_output_tokens) == ("none", 200)
    assert "Write at most 97 words" in last.messages[-1].text


SETS: dict[str, Any] = {
    "delegate": [
        call("delegate", task="q", tools=None),
        call("await_results", task_ids=None, timeout_seconds=None),
    ],
    "rlm": [call("rlm_sub_complete", query="q")],
    "subagent": [call("subagent", question="q")],
}


@pytest.mark.parametrize("kind", SETS)
def test_a_long_report_shows_head_and_tail_and_how_to_read_all_of_it(kind: str) -> None:
    """Alike in all sets; the call that it names gives the whole text, page by page."""
    text = "".join(f"line {number}\n" for number in range(3_000))

    def named(request: Any, page: int) -> Completion:
        found = re.search(r'left out here: inspect\("(task:\w+)"\)', "\n".join(results_in(request)))
        assert found
        return call("inspect", key=found[1], page=page)

    pages = [lambda r, page=page: named(r, page) for page in (1, 2, 3)]
    result, smart = run([*SETS[kind], *pages, "done"], ScriptedModel("child", [text]), kind=kind)
    *_, told, first, second, third = results_in(smart.calls[-1])
    assert "line 0\n" in told
    assert "line 2999" in told
    assert "characters are left out here]" in told
    assert len(told) < (17_000 if kind == "rlm" else 5_000)
    shown = re.findall(r"^line \d+$", "\n".join((first, second, third)), re.MULTILINE)
    assert len(shown) >= 2_998  # two lines fall on a border of pages
    assert result.answer == "done"


@pytest.mark.parametrize(("kind", "words"), [("rlm", 3_000), ("delegate", 750), ("subagent", 750)])
def test_a_report_of_the_usual_length_is_told_whole(kind: str, words: int) -> None:
    """4,000 characters, and as much as a question may be answered with by default."""
    text = "four " * words
    _, smart = run([*SETS[kind], "done"], ScriptedModel("child", [text]), kind=kind)
    assert text.strip() in results_in(smart.calls[-1])[-1]


def test_each_long_answer_has_the_same_size() -> None:
    """However many come at once."""
    queries = [{"query": f"q{number}"} for number in range(5)]
    texts = ["short", *["long " * 5_000] * 4]
    _, smart = run([call("rlm_batch_complete", queries=queries), "done"], ScriptedModel("child", list(texts)))
    (told,) = results_in(smart.calls[1])
    assert 4 * 16_000 < len(told) < 4 * 16_600
    assert told.count("left out here: inspect(") == 4
