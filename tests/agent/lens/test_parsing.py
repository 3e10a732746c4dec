"""What is taken of a smart model's answer, and what is not."""

import json
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.agent.lens.lens_parser import lens_tokens, parse_lens
from sunwell.agent.lens.lens_request import LENS_SCHEMA, RULE_PARTS
from sunwell.core.lens import EphemeralLens
from sunwell.errors import LensError

WHOLE = {
    "task_scope": "CRUD for items",
    "heuristics": ["Start with the models.", "Then the routes."],
    "patterns": ["Routers live in api/."],
    "anti_patterns": ["No logic in routes."],
    "constraints": ["Every endpoint has a test."],
    "examples": ["    return 1\nx = 2"],
    "target_files": ["api/items.py"],
}
AS_LENS = EphemeralLens(
    ("Start with the models.", "Then the routes."),
    ("Routers live in api/.",),
    ("No logic in routes.",),
    ("Every endpoint has a test.",),
    ("    return 1\nx = 2",),
    "CRUD for items",
    ("api/items.py",),
)
TEXT = json.dumps(WHOLE, indent=1)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(TEXT, id="plain"),
        pytest.param(f"```json\n{TEXT}\n```", id="fenced"),
        pytest.param(f"Here {{as wanted}} it is:\n\n{TEXT}\n\nGood luck!", id="prose-around"),
        pytest.param(f'Like {{"heuristics": []}} I give you\n{TEXT}', id="after-an-empty-example"),
        pytest.param(f"[{TEXT}]", id="in-a-list"),
        pytest.param(f'{{"lens": {TEXT}}}', id="wrapped"),
        pytest.param(TEXT.replace("anti_patterns", "antiPatterns"), id="camel-case"),
        pytest.param(TEXT.replace("anti_patterns", "Anti-Patterns"), id="title-case"),
        pytest.param(TEXT[:-1] + ",}", id="comma-at-the-end"),
        pytest.param("\ufeff" + TEXT, id="byte-order-mark"),
        pytest.param(TEXT[:-1], id="last-brace-missing"),
        pytest.param(TEXT + "}", id="one-brace-too-many"),
    ],
)
def test_a_lens_is_found_in_what_models_put_around_it(text: str):
    """Fences, prose, wrappers, other spellings of names and small slips do not change the lens."""
    assert parse_lens(text) == AS_LENS


DRAFT = json.dumps({"heuristics": ["A draft, and wrong."], "constraints": ["Wrong, too."]})
SCHEMA = json.dumps(LENS_SCHEMA.schema)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"<think>maybe {DRAFT}? no.</think>\n{TEXT}", id="thinking-first"),
        pytest.param(f"Let me see.\n<think>maybe {DRAFT}</think>\n{TEXT}", id="thinking-later"),
        pytest.param(f"{TEXT}\n<think>or rather {DRAFT}? no.</think>", id="thinking-at-the-end"),
        pytest.param(f"maybe {DRAFT}? no.</think>\n{TEXT}", id="thinking-without-its-opening-mark"),
        pytest.param(f"<THINKING>{DRAFT}</THINKING>{TEXT}", id="thinking-in-capitals"),
        pytest.param(f"A draft:\n```json\n{DRAFT}\n```\nFinal:\n```json\n{TEXT}\n```", id="fenced-draft"),
        pytest.param(f"{DRAFT}\n{DRAFT}\n{TEXT}", id="several-objects"),
        pytest.param(f"[{DRAFT}, {TEXT}]", id="several-in-a-list"),
        pytest.param(f"{SCHEMA}\n{TEXT}", id="schema-first"),
        pytest.param(f"{TEXT}\nas the schema says: {SCHEMA}", id="schema-last"),
        pytest.param(json.dumps({"name": "lens", "schema": LENS_SCHEMA.schema}) + TEXT, id="named-schema"),
        pytest.param(f'{{"type": "object", "properties": {TEXT}}}', id="values-in-the-place-of-the-schema"),
        pytest.param(f'{TEXT}\nThe format was {{"heuristics": ["string"], "patterns": []}}', id="then-empty"),
        pytest.param(f"A draft: {DRAFT}\nFinal: {TEXT[:-1]},}}", id="final-one-with-a-slip"),
        pytest.param(f"A draft: {DRAFT}\nFinal: {TEXT[:-1]}", id="final-one-without-its-brace"),
        pytest.param(f'{TEXT}\nso {{"like this}}, you know', id="a-brace-in-the-prose-behind"),
    ],
)
def test_the_lens_is_the_answer_and_not_a_draft(text: str):
    """Of several objects the last one counts; thinking, drafts and the schema do not."""
    assert parse_lens(text) == AS_LENS


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(SCHEMA, "repeats the JSON schema", id="schema"),
        pytest.param(
            json.dumps({"lens": LENS_SCHEMA.schema["properties"]}), "repeats the JSON schema", id="properties"
        ),
        pytest.param('{"heuristics": ["string"], "patterns": ["..."]}', "no guidance", id="placeholders"),
        pytest.param(f"<think>{DRAFT}</think>", "no JSON object", id="thinking-alone"),
    ],
)
def test_a_schema_or_a_draft_alone_is_no_lens(text: str, reason: str):
    """The model is told what is wrong, and asked again."""
    with pytest.raises(LensError, match=reason):
        parse_lens(text)


def test_marks_of_thinking_in_a_rule_are_its_own_text():
    """A lens may be about them."""
    rule = "Remove <think> and </think> from answers."
    assert parse_lens(json.dumps({"heuristics": [rule]})).heuristics == (rule,)


def test_a_final_answer_that_is_cut_is_taken_before_a_whole_draft():
    """Its whole items are what the draft led to."""
    lens = parse_lens(f'{DRAFT}\nFinal: {{"heuristics": ["Start here.", "Then th', cut=True)
    assert lens.heuristics == ("Start here.",)


@pytest.mark.parametrize(
    ("value", "items"),
    [
        pytest.param(["a", "b"], ("a", "b"), id="list"),
        pytest.param("a rule", ("a rule",), id="string-is-one-item"),
        pytest.param([" a ", "\n"], ("a",), id="trimmed-and-blank"),
        pytest.param(["a b", "A  b", "c"], ("a b", "c"), id="duplicates"),
        pytest.param(["a", 7, 1.5, True, None, "b"], ("a", "b"), id="no-texts"),
        pytest.param(["a", ["b"], {"c": ["d"]}, {}, {"e": 1}], ("a",), id="nested"),
        pytest.param([{"rule": "do", "why": "so"}, "x"], ("do\nso", "x"), id="object-of-strings"),
        pytest.param({"rule": "do"}, ("do",), id="object-in-place-of-a-list"),
        pytest.param(["a\x00b\x1b[1mc\u202ed\U000e0041e"], ("ab[1mcde",), id="characters-that-are-not-seen"),
        pytest.param(["a\r\nb\u2028c"], ("a\nb\nc",), id="line-ends"),
        pytest.param(["\ud800a"], ("a",), id="half-a-character"),
        pytest.param(["👩‍💻 ok"], ("👩‍💻 ok",), id="joined-emoji"),
        pytest.param(["x" * 2_000], ("x" * 2_000,), id="longest-item"),
        pytest.param(["x" * 2_001, "y"], ("y",), id="too-long-an-item"),
        pytest.param([f"r{i}" for i in range(41)], tuple(f"r{i}" for i in range(40)), id="too-many-items"),
    ],
)
def test_each_list_takes_texts_and_nothing_else(value: Any, items: tuple[str, ...]):
    """Items are whole texts: never letters, numbers, repetitions or what nobody can see."""
    assert parse_lens(json.dumps({"heuristics": value})).heuristics == items


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("src/a.py", True),
        ("a b.py", True),
        ("..a/b.py", True),
        ("../a.py", False),
        ("a/../../b.py", False),
        ("a\\..\\b.py", False),
        ("/etc/passwd", False),
        ("C:\\a.py", False),
        ("a\nb", False),
        ("x" * 1_025, False),
    ],
)
def test_target_files_are_paths_in_the_workspace(path: str, kept: bool):
    """A path that leads out of the workspace is left out, and said."""
    said: list[str] = []
    lens = parse_lens(json.dumps({"heuristics": ["a"], "target_files": [path]}), tell=said.append)
    assert (lens.target_files == (path,)) is kept
    assert bool(said) is not kept


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "the answer is empty", id="nothing"),
        pytest.param(" \n", "the answer is empty", id="blank"),
        pytest.param(
            "I'm sorry, I can't.", "the answer holds no JSON object; it begins", id="refusal-in-prose"
        ),
        pytest.param('{"error": "I cannot"}', "none of the parts of a lens", id="other-object"),
        pytest.param(
            '{"task_scope": "a", "target_files": ["b"]}', "none of the parts", id="no-guidance-parts"
        ),
        pytest.param('{"heuristics": [], "patterns": [" "]}', "holds no guidance", id="empty-lists"),
        pytest.param('{"heuristics": [1, null]}', "holds no guidance", id="no-texts"),
        pytest.param("null", "none of the parts", id="null"),
        pytest.param('"heuristics"', "none of the parts", id="string"),
        pytest.param("[]", "none of the parts", id="list"),
        pytest.param('{"heuristics": ["never ', "none of the parts", id="cut-in-the-first-item"),
        pytest.param('{"a":' * 50_000, "none of the parts", id="deep-objects"),
        pytest.param("[" * 100_000, "no JSON object", id="deep-lists"),
        pytest.param('{"' * 50_000, "none of the parts", id="braces-and-quotes"),
        pytest.param('{"heuristics": ' + "9" * 5_000 + "}", "holds no guidance", id="huge-number"),
        pytest.param(
            json.dumps({"heuristics": ["x" * 100_000]}), "holds no guidance", id="one-item-of-100-kB"
        ),
        pytest.param("x" * 256_001, "256,001 bytes", id="too-long-to-look-at"),
    ],
)
def test_what_is_no_lens_is_an_error_with_a_reason(text: str, reason: str):
    """The reason is one sentence that the model can be told, and never an empty lens."""
    with pytest.raises(LensError, match=reason) as caught:
        parse_lens(text)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        pytest.param('{"heuristics": ["a", "never b', ("a",), id="in-an-item"),
        pytest.param('{"heuristics": ["a", "b"', ("a", "b"), id="after-an-item"),
        pytest.param('{"heuristics": ["a", "b \\"c\\" \\', ("a",), id="after-a-backslash"),
        pytest.param('{"heuristics": ["a", {"rule": "never', ("a",), id="in-an-object"),
        pytest.param('{"heuristics": ["a"], "patterns": ["p', ("a",), id="in-the-next-part"),
        pytest.param('{"heuristics": ["a"], "patt', ("a",), id="in-a-name"),
        pytest.param(
            '{"heuristics": ["a"], "examples": ["f() {}', ("a",), id="in-code-that-ends-with-a-brace"
        ),
        pytest.param('{"heuristics": ["{}"], "examples": ["{}', ("{}",), id="in-what-stands-whole-elsewhere"),
    ],
)
def test_of_an_answer_that_is_cut_only_whole_items_are_taken(text: str, items: tuple[str, ...]):
    """Half a rule can say the opposite of the whole one."""
    lens = parse_lens(text, cut=True)
    assert (lens.heuristics, lens.patterns, lens.examples) == (items, (), ())


@pytest.mark.parametrize(
    ("text", "items"),
    [
        pytest.param('{"heuristics": ["a" "b"]}', ("a", "b"), id="comma-missing"),
        pytest.param("{'heuristics': ['a', 'b']}", ("a", "b"), id="single-quotes"),
        pytest.param(
            '{"heuristics": ["say "no" to b", "c"]}', ('say "no" to b', "c"), id="quotes-not-escaped"
        ),
        pytest.param('{"heuristics": ["bad " quote", "c"]}', ("c",), id="a-quote-astray"),
        pytest.param('{"heuristics": ["a\nb"]}', ("a\nb",), id="raw-line-break"),
    ],
)
def test_of_broken_json_only_strings_are_taken_that_stand_in_it(text: str, items: tuple[str, ...]):
    """Mending may guess where a string ends: a guessed one is left out."""
    assert parse_lens(text).heuristics == items


def big(count: int) -> str:
    return json.dumps({part: [f"{part} {i} " + "word " * 20 for i in range(count)] for part in RULE_PARTS})


def test_the_ends_of_the_least_important_parts_give_way():
    """Examples go first, then patterns, heuristics, anti-patterns and constraints, each from its end."""
    said: list[str] = []
    full = parse_lens(big(4), max_tokens=100_000)
    cut = parse_lens(big(4), max_tokens=350, tell=said.append)
    assert lens_tokens(cut) <= 350 < lens_tokens(full)
    assert (cut.examples, cut.patterns) == ((), ())
    assert cut.heuristics == full.heuristics[:3]
    assert (cut.anti_patterns, cut.constraints) == (full.anti_patterns, full.constraints)
    assert said == [
        "4 of the examples were cut off to keep the lens within 350 tokens",
        "4 of the patterns were cut off to keep the lens within 350 tokens",
        "1 of the heuristics was cut off to keep the lens within 350 tokens",
    ]


def test_the_limit_is_exact():
    """A lens as long as the limit stays whole; one token less and its last item goes."""
    full = parse_lens(TEXT)
    assert parse_lens(TEXT, max_tokens=lens_tokens(full)) == full
    assert parse_lens(TEXT, max_tokens=lens_tokens(full) - 1).examples == ()


def test_a_limit_that_leaves_nothing_is_an_error():
    """Rather no lens than one without guidance."""
    with pytest.raises(LensError, match="not even the most important item"):
        parse_lens(TEXT, max_tokens=5)


@pytest.mark.parametrize(
    ("named", "given_scope", "scope"),
    [
        pytest.param("CRUD\n for items", "task", "CRUD for items", id="one-line"),
        pytest.param("", "the task", "the task", id="task-where-none-is-named"),
        pytest.param(7, "the task", "the task", id="no-text"),
        pytest.param("x" * 200, "", "x" * 200, id="longest"),
        pytest.param("x" * 201, "", "x" * 199 + "…", id="shortened"),
    ],
)
def test_the_scope_is_one_line(named: Any, given_scope: str, scope: str):
    """The scope names the task in a line, from the answer or else from the task."""
    text = json.dumps({"task_scope": named, "heuristics": ["a"]})
    assert parse_lens(text, scope=given_scope).task_scope == scope


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
)
parts = st.sampled_from([*RULE_PARTS, "task_scope", "target_files", "antiPatterns", "lens"])
like_lenses = st.dictionaries(parts, anything, max_size=6)


def strings_in(value: Any) -> set[str]:
    """Return every string in a JSON value."""
    if isinstance(value, str):
        return {value}
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {text for part in inner for text in strings_in(part)}


def check_sound(lens: EphemeralLens) -> None:
    assert not lens.is_empty
    assert lens_tokens(lens) <= 1_500
    for part in (*RULE_PARTS, "target_files"):
        items = getattr(lens, part)
        assert all(item.strip() for item in items)
        assert len(items) == len(set(items)) <= 40
    json.dumps(attrs.asdict(lens), ensure_ascii=False).encode("utf-8")


@settings(max_examples=300)
@given(value=like_lenses)
def test_any_json_gives_a_sound_lens_or_a_lens_error(value: dict[str, Any]):
    """Whatever the shape: no other error, never an empty lens, and every item made of whole strings."""
    try:
        lens = parse_lens(json.dumps(value))
    except LensError:
        return
    check_sound(lens)
    lines = {line.strip() for text in strings_in(value) for line in clean(text).splitlines()}
    for part in RULE_PARTS:
        for item in getattr(lens, part):
            assert {line.strip() for line in item.splitlines()} <= lines | {""}


def clean(text: str) -> str:
    """Return *text* as the parser cleans it, by its own words: one list item and nothing else."""
    try:
        return parse_lens(json.dumps({"examples": [text]})).examples[0]
    except LensError:
        return ""


pieces = st.sampled_from(
    ["{", "}", "[", "]", '"', "'", ",", ":", "\\", "\n", "heuristics", "a", "1", "```", " "]
)


@settings(max_examples=400)
@given(text=st.text(max_size=60) | st.lists(pieces, max_size=40).map("".join))
def test_any_text_gives_a_sound_lens_or_a_lens_error(text: str):
    """No text makes the parser fail in another way, cut or not."""
    for cut in (False, True):
        try:
            check_sound(parse_lens(text, cut=cut))
        except LensError:
            continue


@settings(max_examples=150)
@given(end=st.integers(0, len(TEXT)))
def test_wherever_an_answer_is_cut_every_item_is_whole(end: int):
    """Each prefix of an answer gives a beginning of the lens or an error."""
    try:
        lens = parse_lens(TEXT[:end], cut=True)
    except LensError:
        return
    for part in (*RULE_PARTS, "target_files"):
        kept = getattr(lens, part)
        assert kept == getattr(AS_LENS, part)[: len(kept)]


def told_of(answer: str, **given: object) -> list[str]:
    """Return what is said of the reading of *answer*."""
    said: list[str] = []
    parse_lens(answer, tell=said.append, **given)  # type: ignore[arg-type]
    return said


@pytest.mark.parametrize(
    ("lens", "said"),
    [
        pytest.param({"heuristics": ["a", "A", " a "]}, "2 items of heuristics were left out", id="repeated"),
        pytest.param({"heuristics": ["a"], "tips": ["b"]}, "the part 'tips' was left out", id="unknown-part"),
        pytest.param(
            {"heuristics": ["a"], "items": [1]}, "the part 'items' was left out", id="unasked-items"
        ),
        pytest.param({"heuristics": ["a"], "task_scope": "x" * 201}, "the task_scope was cut", id="scope"),
        pytest.param({"heuristics": ["a"], "task_scope": ["x"]}, "it is a list and no text", id="no-scope"),
        pytest.param({"heuristics": ["a\u200e\u202eb"]}, "2 characters that nobody sees were", id="unseen"),
        pytest.param({"heuristics": [f"{i}" for i in range(42)]}, "2 items of heuristics after", id="many"),
    ],
)
def test_nothing_is_left_out_in_silence(lens: dict[str, object], said: str):
    """Whatever of an answer is not in the lens is a sentence."""
    (sentence,) = told_of(json.dumps(lens))
    assert said in sentence


def test_a_whole_lens_loses_nothing():
    """An empty list, a line break and a tab are no loss; items of a split task are asked for."""
    lens = {"heuristics": ["a\n\tb"], "patterns": [], "items": []}
    assert told_of(json.dumps(lens), also=("items",)) == []


@pytest.mark.parametrize("again", ["heuristics", "Heuristics"])
def test_lists_under_one_name_are_one_list(again: str):
    """A model that comes back to a part adds to it."""
    lens = parse_lens(f'{{"heuristics": ["a"], "patterns": ["p"], "{again}": ["b"]}}')
    assert (lens.heuristics, lens.patterns) == (("a", "b"), ("p",))
