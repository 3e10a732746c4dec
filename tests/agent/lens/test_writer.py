"""Having a lens written: one question, one more where the answer is none, and a clear end."""

import json
from pathlib import Path

import pytest

from sunwell.agent import Agent
from sunwell.agent.ephemeral_lens import create_ephemeral_lens, generic_lens
from sunwell.agent.lens.lens_request import LENS_SCHEMA, LensOrder
from sunwell.agent.lens.lens_writer import write_lens
from sunwell.agent.prompts import LENS_PROMPT
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.lens import EphemeralLens
from sunwell.core.message import Text, Thinking
from sunwell.core.model import Completion, ToolSpec
from sunwell.errors import BudgetExhausted, ConnectionFailed, LensError, RateLimited
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.http_model import Tuning
from sunwell.simulator import ModelPrice, ModelRates, Reply, Simulator
from sunwell.testing import Line, ScriptedModel, completion, run_virtual

GOOD = json.dumps({"task_scope": "CRUD", "heuristics": ["Models first."], "patterns": ["Routers in api/."]})
CUT = '{"task_scope": "CRUD", "heuristics": ["Models first.", "Never'


def said(text: str, stop: str) -> Completion:
    return completion(text, stop=stop, model="opus-1")


async def written(
    *lines: Line, task: str = "Generate CRUD", **options: object
) -> tuple[EphemeralLens, ScriptedModel]:
    """Return the lens that a model with these lines writes, and the model; every line must be asked for."""
    model = ScriptedModel("opus", lines)
    lens = await create_ephemeral_lens(task, model, ask=model.complete, **options)
    model.assert_finished()
    return lens, model


async def failed(*lines: Line) -> tuple[str, ScriptedModel]:
    """Return why no lens came of these lines, and the model."""
    model = ScriptedModel("opus", lines)
    with pytest.raises(LensError) as caught:
        await create_ephemeral_lens("Generate CRUD", model, ask=model.complete)
    model.assert_finished()
    return str(caught.value), model


async def test_the_smart_model_is_asked_once_for_strict_json():
    """One call holds schema, task, tools and workspace; the lens says who wrote it, and to what."""
    tool = ToolSpec("read_file", "Reads a file.", {"type": "object"})
    lens, model = await written(
        completion(GOOD, model="opus-2026"),
        context="File a.py",
        tools=[tool],
        max_lens_tokens=900,
        effort="low",
    )
    (request,) = model.calls
    assert request.response_schema == LENS_SCHEMA
    assert request.system == (LENS_PROMPT,)
    assert (request.tools, request.effort) == ((), "low")
    prompt = request.messages[0].text
    assert all(
        part in prompt for part in ("Generate CRUD", "- read_file: Reads a file.", "File a.py", "900 tokens")
    )
    assert lens == EphemeralLens(
        ("Models first.",),
        ("Routers in api/.",),
        task_scope="CRUD",
        generated_by="opus-2026",
        generation_prompt=prompt,
    )


async def test_the_answer_may_be_longer_than_the_lens():
    """Reasoning counts as output: there is room for it beside the lens."""
    _, model = await written(GOOD, max_lens_tokens=1_500)
    assert model.calls[0].max_output_tokens == 7_000


@pytest.mark.parametrize(
    ("tuning", "limit"),
    [
        pytest.param(Tuning(), 7_000, id="nothing-set"),
        pytest.param(Tuning(max_output_tokens=2_500), 2_500, id="limit-of-the-model"),
        pytest.param(Tuning(max_output_tokens=30_000), 30_000, id="larger-than-usual"),
        pytest.param(Tuning(thinking_tokens=10_000), 13_000, id="thinking-and-the-lens"),
        pytest.param(Tuning(thinking_tokens=2_000), 7_000, id="little-thinking"),
        pytest.param(Tuning(context_window=8_192), 4_096, id="half-of-a-small-window"),
    ],
)
async def test_the_lens_call_heeds_what_is_set_for_the_model(tmp_path: Path, tuning: Tuning, limit: int):
    """Limit, thinking budget and window of the smart model hold for its lens, in a run as alone."""
    async with Simulator({"claude-opus-5-5": lambda asked: Reply((Text(GOOD),))}) as simulator:
        connection = Connection("anthropic", simulator.url, "key")
        model = AnthropicModel("claude-opus-5-5", connection, tuning=tuning)
        options = RunOptions(smart_model=model, model=model, max_output_tokens=5_000)
        session = SessionContext.build(tmp_path, "Generate CRUD", options=options)
        async with Agent() as agent:
            await agent.lens(session)
        assert [request.body["max_tokens"] for request in simulator.requests] == [limit]


@pytest.mark.parametrize("is_known", [True, False], ids=["set", "learned"])
async def test_a_workspace_that_does_not_fit_is_shown_in_part(tmp_path: Path, is_known: bool):
    """The smart model's window is no reason to have no lens."""
    names = [f"part_{number}.py" for number in range(20)]
    for name in names:
        (tmp_path / name).write_text("value = 'some code'\n" * 200)
    prices = {"claude-opus-5-5": ModelPrice(ModelRates(1, 5), context_window=9_000)}
    async with Simulator({"claude-opus-5-5": lambda asked: Reply((Text(GOOD),))}, prices) as simulator:
        tuning = Tuning(context_window=9_000) if is_known else Tuning()
        connection = Connection("anthropic", simulator.url, "key")
        model = AnthropicModel("claude-opus-5-5", connection, tuning=tuning)
        session = SessionContext.build(
            tmp_path, f"Rewrite {' '.join(names)}", options=RunOptions(smart_model=model, model=model)
        )
        async with Agent() as agent:
            await agent.lens(session)
        assert len(simulator.requests) == (1 if is_known else 2)
        assert "is left out here: it does not fit" in json.dumps(simulator.requests[-1].body)


@pytest.mark.parametrize("first", ["I would start with the models.", '{"heuristics": []}', '{"a": 1}'])
async def test_an_answer_that_is_no_lens_is_repaired_once(first: str):
    """The model is shown its answer and told what is wrong with it."""
    lens, model = await written(first, GOOD)
    assert lens.heuristics == ("Models first.",)
    again = model.calls[1].messages
    assert [message.role for message in again] == ["user", "assistant", "user"]
    assert again[:2] == (model.calls[0].messages[0], completion(first).as_message())
    assert again[2].text.startswith("That answer cannot be used: ")
    assert lens.generation_prompt == model.calls[0].messages[0].text


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(said("", "end"), id="no-text"),
        pytest.param(completion(Thinking("hm", "{}", "anthropic")), id="thinking-only"),
        pytest.param(said("x" * 20_001, "end"), id="too-long-to-quote"),
    ],
)
async def test_an_answer_that_cannot_be_quoted_is_told_about_in_one_message(first: Completion):
    """Providers refuse empty messages, and reading 20 kB again costs more than it helps."""
    _, model = await written(first, GOOD)
    (message,) = model.calls[1].messages
    assert message.text.startswith(model.calls[0].messages[0].text)
    assert "That answer cannot be used: " in message.text


async def test_two_answers_that_are_no_lens_are_an_error():
    """There is one repair and no more; the error names the model and the second reason."""
    reason, _ = await failed("no", '{"heuristics": []}')
    assert reason == (
        "opus wrote no lens, asked twice: the answer holds no guidance: every list in it is empty or unusable"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("I won't.", 'opus wrote no lens: it refused, saying "I won\'t."', id="with-words"),
        pytest.param("", "opus wrote no lens: it refused", id="without"),
        pytest.param(GOOD, f"opus wrote no lens: it refused, saying {GOOD!r}", id="in-the-middle-of-a-lens"),
    ],
)
async def test_a_refusal_is_not_asked_again(text: str, reason: str):
    """A model that refuses is taken at its word, and what it wrote before is not used."""
    assert (await failed(said(text, "refusal")))[0] == reason


async def test_a_cut_answer_gives_the_items_that_were_whole():
    """At its limit of tokens an answer may still hold whole rules; the half one is left out."""
    lens, _ = await written(said(CUT, "length"))
    assert lens.heuristics == ("Models first.",)
    lens, _ = await written(said('{"heuristics": ["{}"], "examples": ["{}', "length"))
    assert lens.examples == ()


async def test_a_cut_answer_without_a_whole_item_is_repaired():
    """The model is told that its answer was cut off."""
    _, model = await written(said('{"heuristics": ["Nev', "length"), GOOD)
    assert "the answer was cut off at its limit of tokens" in model.calls[1].messages[-1].text


async def test_a_full_context_window_is_not_asked_again():
    """A longer question cannot fit where the first did not."""
    reason, _ = await failed(said("", "window"))
    assert "the question fills the model's context window" in reason


def test_without_a_door_the_gateway_asks_and_retries():
    """Called directly, a lens still comes through the one door: a model that is busy is asked again."""
    model = ScriptedModel("opus", [RateLimited("opus", "busy", retry=True), "no lens", GOOD])
    lens = run_virtual(create_ephemeral_lens("Generate CRUD", model))
    model.assert_finished()
    assert lens.heuristics == ("Models first.",)


@pytest.mark.parametrize("before", [[], ["no lens"]])
@pytest.mark.parametrize("error", [ConnectionFailed("opus", "down"), BudgetExhausted("usd", 1, 1, 1)])
async def test_what_the_door_raises_passes_through(before: list[Line], error: Exception):
    """A failed call or an empty budget is no answer to be mended."""
    model = ScriptedModel("opus", [*before, error])
    with pytest.raises(type(error)):
        await create_ephemeral_lens("Generate CRUD", model, ask=model.complete)
    model.assert_finished()


async def test_what_was_left_out_is_said():
    """Whoever has a lens written can hear what of the answer did not make it."""
    notes: list[str] = []
    model = ScriptedModel("opus", [said('{"heuristics": ["a", 1, "b', "length")])
    await write_lens(LensOrder("x"), model.complete, model_name="opus", tell=notes.append)
    assert notes == [
        "the answer was cut off; the lens holds the items that were whole",
    ]
    model = ScriptedModel("opus", ['{"heuristics": ["a", 1]}'])
    await write_lens(LensOrder("x"), model.complete, model_name="opus", tell=notes.append)
    assert notes[1:] == ["an item of heuristics was left out: it is a number and no text"]


def test_the_generic_lens_guides_and_costs_nothing():
    """It names the task in one line and no model."""
    lens = generic_lens("Add\ntests " + "x" * 200)
    assert not lens.is_empty
    assert lens.task_scope.startswith("Add tests x")
    assert len(lens.task_scope) == 120
    assert (lens.generated_by, lens.generation_prompt) == ("", "")
