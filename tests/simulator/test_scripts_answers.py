"""What the scripted models answer: lenses, other schemas, sentences; and the model that works on and on."""

import json
from typing import Any

import pytest

from sunwell.core.message import Message, ToolResult, user
from sunwell.core.model import ToolSpec
from sunwell.simulator.script import Asked, Reply, Script
from sunwell.simulator.scripts import CONVENTIONS, DEMO_MODELS, cheap, known_in, smart, steps

MODELS = '''
@dataclass(kw_only=True)
class Customer(Record):
    """Somebody who buys."""

    PREFIX: ClassVar[str] = "cus"
    TABLE: ClassVar[str] = "customers"

    name: str


@dataclass(kw_only=True)
class Order(Record):
    PREFIX: ClassVar[str] = "ord"
    TABLE: ClassVar[str] = "orders"

    total_cents: int
'''
TASK = "Generate CRUD endpoints for 2 entities"
TEXT = {"type": "string"}
LISTS = ("heuristics", "patterns", "anti_patterns", "constraints", "examples", "target_files")
LENS: dict[str, Any] = {name: {"type": "array", "items": TEXT} for name in LISTS} | {"task_scope": TEXT}


def text(reply: Reply) -> str:
    return Message("assistant", reply.parts).text


def answer(script: Script, prompt: str, schema: dict[str, Any]) -> Any:
    return json.loads(text(script(Asked("m", "", (user(prompt),), schema=schema))))


def lens(prompt: str, **more: Any) -> Any:
    return answer(smart, prompt, {"type": "object", "properties": LENS | more})


def guidance(value: dict[str, Any]) -> list[str]:
    return [item for name in LISTS[:4] for item in value[name]]


@pytest.mark.parametrize("missing", [None, *CONVENTIONS], ids=lambda rule: rule.slug if rule else "none")
def test_lens_states_the_conventions_that_were_sent(missing):
    """Each rule is in the lens when its text was in the prompt, and not otherwise."""
    sent = "\n".join(f"- {rule.key}." for rule in CONVENTIONS if rule is not missing)
    items = guidance(lens(f"{sent}\n\n{TASK}"))
    assert [rule for rule in CONVENTIONS if rule.item not in items] == ([missing] if missing else [])


@pytest.mark.parametrize("rule", CONVENTIONS, ids=lambda rule: rule.slug)
def test_item_of_a_lens_states_its_own_rule_alone(rule):
    """A worker that reads one item knows that rule and no other, however the lines break."""
    assert known_in(rule.item.upper().replace(" ", "\n  ")) == {rule.slug}


def test_lens_names_files_of_entities_that_were_sent():
    """Target files come from the definitions in the prompt, the scope from the task."""
    got = lens(f"{MODELS}\n## Task\n\n{TASK}\n\nAnswer as JSON.")
    assert got["target_files"] == ["shop/endpoints/customer.py", "shop/endpoints/order.py", "shop/routes.py"]
    assert got["task_scope"] == TASK
    assert lens(TASK)["target_files"] == []


@pytest.mark.parametrize(
    "prompt",
    [
        f"Task: {TASK}",
        f"<task>\n{TASK}\n</task>",
        f"<task mark=0a1>\n{TASK}\n</task mark=0a1>",
        f"# Task\n{TASK}\n\nWrite it.",
        f"About this:\n{TASK}",
    ],
)
def test_scope_is_the_task_however_it_is_marked(prompt):
    """The line of the task is found under a heading, in a tag, after a colon, or by its words."""
    assert lens(prompt)["task_scope"] == TASK


def test_lens_for_any_other_task_still_guides():
    """A task of another kind gets general guidance and no files."""
    got = lens("Task: Write a poem about rain")
    assert (len(got["heuristics"]), got["task_scope"]) == (2, "Write a poem about rain")
    assert got["target_files"] == []


def test_lens_has_the_properties_of_the_schema_and_no_others():
    """What the schema does not name is left out; what nobody knows is empty but valid."""
    schema = {
        "type": "object",
        "properties": {"heuristics": LENS["heuristics"], "confidence": {"type": "number"}},
    }
    got = answer(smart, TASK, schema)
    assert (list(got), got["confidence"]) == (["heuristics", "confidence"], 0)


def test_items_split_the_task_by_entity():
    """Asked for items, the smart script names one part for each entity, as text or as objects."""
    parts = {"type": "object", "properties": {"task": TEXT, "files": {"type": "array", "items": TEXT}}}
    prompt = f"{MODELS}\nTask: {TASK}"
    sentence = (
        "Write the CRUD endpoints of order in shop/endpoints/order.py and register them in shop/routes.py."
    )
    assert lens(prompt, items={"type": "array", "items": TEXT})["items"][1] == sentence
    assert lens(prompt, items={"type": "array", "items": parts})["items"][1] == {
        "task": sentence,
        "files": ["shop/endpoints/order.py"],
    }


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        pytest.param({"type": "boolean"}, False, id="boolean"),
        pytest.param({"type": ["string", "null"]}, None, id="nullable"),
        pytest.param({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 0, id="alternatives"),
        pytest.param({"enum": ["yes", "no"]}, "yes", id="enumeration"),
        pytest.param({"const": 3}, 3, id="constant"),
        pytest.param({"type": "array", "items": {"type": "integer"}}, [], id="array"),
    ],
)
@pytest.mark.parametrize("script", [smart, cheap])
def test_any_schema_gets_an_answer_that_obeys_it(script, schema, expected):
    """A property that the models know nothing of is filled with what is empty, also behind a reference."""
    whole = {
        "$ref": "#/$defs/Whole",
        "$defs": {"Whole": {"type": "object", "properties": {"x": {"$ref": "#/$defs/X"}}}, "X": schema},
    }
    assert answer(script, "Is this hard?", whole) == {"x": expected}


@pytest.mark.parametrize("script", [smart, cheap])
def test_task_that_is_not_about_endpoints_gets_a_sentence(script):
    """Other tasks are answered at once, tools or not."""
    asked = Asked("m", "", (user("Say hello"),), ("write_file", "read_file"))
    assert text(script(asked)) == "I was asked: Say hello. This needs nothing from the workspace."


def test_calls_hold_every_argument_that_a_strict_schema_asks_for():
    """Optional arguments are sent as null, so that strict schemas accept the calls."""
    read = ToolSpec("read_file", "", {"required": ["path", "start_line", "end_line"]})
    reply = cheap(Asked("m", "", (user(TASK),), ("read_file",)))
    calls = Message("assistant", reply.parts).tool_calls
    assert [list(json.loads(call.arguments)) for call in calls] == [read.parameters["required"]] * 3


def test_same_question_gets_the_same_answer():
    """Nothing is remembered from one request to the next."""
    asked = Asked("m", "", (user(TASK),), ("read_file", "write_file"))
    for script in (smart, cheap, steps(4)):
        first = script(asked)
        script(Asked("m", "", (user("Something else about endpoints"),), ("list_files",)))
        assert script(asked) == first


def drive(
    script: Script, say: str = "done", tools: tuple[str, ...] = ("write_file", "read_file")
) -> list[Message]:
    messages = [user("Go on")]
    while True:
        said = Message("assistant", script(Asked("m", "", tuple(messages), tools)).parts)
        messages.append(said)
        if not said.tool_calls:
            return messages
        messages.append(Message("tool", tuple(ToolResult(call.id, say) for call in said.tool_calls)))


@pytest.mark.parametrize("turns", [0, 1, 20, 50])
def test_steady_model_works_the_turns_it_was_made_for(turns):
    """It makes so many turns with calls, writing and reading in turn, and then answers."""
    messages = drive(steps(turns))
    calls = [call for message in messages for call in message.tool_calls]
    assert [call.name for call in calls] == (["write_file", "read_file"] * turns)[:turns]
    assert len({call.id for call in calls}) == turns
    assert messages[-1].text.startswith(f"{turns} turns, {turns} calls, 0 of them failed, results ")


def test_steady_model_makes_several_calls_a_turn():
    """Three calls a turn name three files, and a tool that is not offered is not called."""
    calls = drive(steps(2, calls_per_turn=3, folder="out"))[1].tool_calls
    paths = [json.loads(call.arguments)["path"] for call in calls]
    assert paths == ["out/000-0.txt", "out/000-1.txt", "out/000-2.txt"]
    assert len(drive(steps(2), tools=("read_file",))) == 2


def test_steady_model_tells_results_apart():
    """The last answer differs where the results differ, and is the same where they are the same."""
    first, again, other = (drive(steps(3), say)[-1].text for say in ("done", "done", "done."))
    assert (first == again, first == other) == (True, False)
    assert "3 of them failed" in drive(steps(3), "Error: no")[-1].text


def test_demo_pairs_a_smart_and_a_cheap_model_of_each_provider():
    """The ids are those of real models with a price, the dear ones smart and the others cheap."""
    cheap_ids = [name for name, script in DEMO_MODELS.items() if script is cheap]
    smart_ids = [name for name, script in DEMO_MODELS.items() if script is smart]
    assert cheap_ids == ["claude-haiku-5-5", "gpt-6-luna"]
    assert smart_ids == ["claude-opus-5-5", "claude-sonnet-5-5", "gpt-6.1-sol"]
