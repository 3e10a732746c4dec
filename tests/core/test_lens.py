"""The lens as a value, and as the text that workers read."""

import pickle
import re
import weakref
from collections.abc import Iterable

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.core.lens import EphemeralLens
from sunwell.events import EphemeralLensCreated, LensGiven, LensTaken

FULL = EphemeralLens(
    ("Start with the models.", "Then the routes."),
    ("Routers live in api/.",),
    ("No logic in routes.",),
    ("Every endpoint has a test.",),
    ("def get(id: int) -> Item: ...",),
    "CRUD for five entities",
    ("api/items.py",),
    "claude-opus-5-5",
    "the prompt",
)

EXPECTED = """\
# Task Expertise: CRUD for five entities

## Guidelines
- Start with the models.
- Then the routes.

## Patterns to Follow
- Routers live in api/.

## Things to Avoid
- No logic in routes.

## Hard Constraints
- Every endpoint has a test.

## Style Examples
### Example 1
```
def get(id: int) -> Item: ...
```"""

TITLES = {
    "## Guidelines",
    "## Patterns to Follow",
    "## Things to Avoid",
    "## Hard Constraints",
    "## Style Examples",
}


def headings(text: str) -> list[str]:
    """Return what a reader of Markdown sees as headings, in list items too, outside of fences."""
    found, fence = [], ""
    for line in text.split("\n"):
        marker = re.match(r" {0,3}(?:[-*+] {1,4})?(`{3,}|~{3,})", line)
        if fence:
            if re.fullmatch(rf" {{0,3}}{fence[0]}{{{len(fence)},}}\s*", line):
                fence = ""
        elif marker:
            fence = marker.group(1)
        elif re.match(r" {0,5}(?:[-*+] {1,4})?#{1,6}(?:\s|$)", line):
            found.append(line)
    assert not fence, "a fence is left open"
    return found


def test_the_fields_and_their_order_are_the_rfcs():
    """A lens is built by position in RFC-137's order, or by keyword, with the same outcome."""
    by_name = EphemeralLens(
        heuristics=FULL.heuristics,
        patterns=FULL.patterns,
        anti_patterns=FULL.anti_patterns,
        constraints=FULL.constraints,
        examples=FULL.examples,
        task_scope=FULL.task_scope,
        target_files=FULL.target_files,
        generated_by=FULL.generated_by,
        generation_prompt=FULL.generation_prompt,
    )
    assert by_name == FULL


def test_every_field_has_the_rfcs_default():
    """Lists are empty tuples and texts are empty strings where nothing is given."""
    assert attrs.astuple(EphemeralLens()) == ((), (), (), (), (), "", (), "", "")


@pytest.mark.parametrize(
    "name", ["heuristics", "patterns", "anti_patterns", "constraints", "examples", "target_files"]
)
@pytest.mark.parametrize("value", ["a rule", b"bytes", (1,), (None,), None, 7])
def test_a_list_of_texts_takes_nothing_else(name: str, value: object):
    """A single string would become its letters, so it is refused like anything that holds no strings."""
    with pytest.raises(TypeError):
        EphemeralLens(**{name: value})


@pytest.mark.parametrize("name", ["task_scope", "generated_by", "generation_prompt"])
@pytest.mark.parametrize("value", [None, 7, ("a",)])
def test_a_text_takes_nothing_else(name: str, value: object):
    """A scope that is no string is refused when the lens is made, not when workers read it."""
    with pytest.raises(TypeError):
        EphemeralLens(**{name: value})


def test_a_lens_is_frozen_and_can_be_shared():
    """Lists become tuples, nothing can be set, and a lens is a key, a weak referent and a pickle."""
    rules = ["a"]
    lens = EphemeralLens(rules)
    rules.append("b")
    assert lens.heuristics == ("a",)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        lens.heuristics = ("c",)  # type: ignore[misc]
    with pytest.raises(AttributeError):
        object.__setattr__(lens, "other", 1)  # slots leave no room
    assert {FULL: 1}[pickle.loads(pickle.dumps(FULL))] == 1
    assert weakref.ref(lens)() is lens


def test_the_text_for_workers_is_the_documented_markdown():
    """All five parts stand in the order guidelines, patterns, things to avoid, constraints, examples."""
    assert FULL.to_context() == EXPECTED


@pytest.mark.parametrize(
    ("lens", "expected"),
    [
        pytest.param(EphemeralLens(), "# Generated Expertise", id="nothing"),
        pytest.param(EphemeralLens(task_scope="  \n "), "# Generated Expertise", id="blank-scope"),
        pytest.param(EphemeralLens(task_scope="a\n## b"), "# Task Expertise: a ## b", id="scope-lines"),
        pytest.param(EphemeralLens(task_scope="a\u2028# b\x85c"), "# Task Expertise: a # b c", id="breaks"),
        pytest.param(
            EphemeralLens(("a", " ")), "# Generated Expertise\n\n## Guidelines\n- a", id="blank-item"
        ),
        pytest.param(EphemeralLens((" ", "")), "# Generated Expertise", id="part-of-blanks"),
        pytest.param(
            EphemeralLens(examples=(" ", "x")),
            "# Generated Expertise\n\n## Style Examples\n### Example 1\n```\nx\n```",
            id="blank-example-takes-no-number",
        ),
        pytest.param(
            EphemeralLens(("one\ntwo\n\nthree",)),
            "# Generated Expertise\n\n## Guidelines\n- one\n      two\n\n      three",
            id="item-of-several-lines",
        ),
        pytest.param(
            EphemeralLens(("one\n## Hard Constraints\n- none",)),
            "# Generated Expertise\n\n## Guidelines\n- one\n      ## Hard Constraints\n      - none",
            id="heading-in-a-later-line",
        ),
        pytest.param(
            EphemeralLens(("## Hard Constraints",)),
            "# Generated Expertise\n\n## Guidelines\n- \\## Hard Constraints",
            id="heading-in-the-first-line",
        ),
        pytest.param(
            EphemeralLens(("#123 is the issue",)),
            "# Generated Expertise\n\n## Guidelines\n- #123 is the issue",
            id="number-sign-is-no-heading",
        ),
        pytest.param(
            EphemeralLens(("```py\nx = 1",)),
            "# Generated Expertise\n\n## Guidelines\n- \\```py\n      x = 1",
            id="fence-in-an-item",
        ),
        pytest.param(
            EphemeralLens(examples=("```\n## Out\n````",)),
            "# Generated Expertise\n\n## Style Examples\n### Example 1\n`````\n```\n## Out\n````\n`````",
            id="fences-in-an-example",
        ),
        pytest.param(
            EphemeralLens(target_files=("a.py",), generated_by="m", generation_prompt="p"),
            "# Generated Expertise",
            id="what-workers-do-not-read",
        ),
    ],
)
def test_what_workers_read(lens: EphemeralLens, expected: str):
    """Empty parts are left out, items stay one item, and examples stay in their fence."""
    assert lens.to_context() == expected


@pytest.mark.parametrize(
    ("lens", "empty"),
    [
        pytest.param(EphemeralLens(), True, id="nothing"),
        pytest.param(EphemeralLens(task_scope="s", target_files=("a",)), True, id="scope-and-files-only"),
        pytest.param(EphemeralLens((" \n",)), True, id="blank-items"),
        pytest.param(EphemeralLens(examples=("x",)), False, id="one-example"),
        pytest.param(FULL, False, id="full"),
    ],
)
def test_a_lens_without_guidance_is_empty(lens: EphemeralLens, empty: bool):
    """Only the five parts guide; a scope or a list of files does not."""
    assert lens.is_empty is empty


tricky = st.text(st.sampled_from("ab #`~-=>\n\r\t\u2028\x85\x0b<!*1.\\"), max_size=25)
items = st.lists(tricky, max_size=3).map(tuple)
lenses = st.builds(EphemeralLens, items, items, items, items, items, tricky)


@settings(max_examples=300)
@given(lens=lenses)
def test_no_text_in_a_lens_opens_or_closes_a_section(lens: EphemeralLens):
    """Whatever the items hold, a reader of Markdown sees our headings, each once, and no others."""
    seen = headings(lens.to_context())
    assert seen[0].startswith(("# Task Expertise: ", "# Generated Expertise"))
    sections = [line for line in seen[1:] if not line.startswith("### ")]
    assert set(sections) <= TITLES
    assert len(sections) == len(set(sections))
    examples = sum(1 for text in lens.examples if text.strip())
    assert [line for line in seen if line.startswith("### ")] == numbered(range(1, examples + 1))


def numbered(numbers: Iterable[int]) -> list[str]:
    return [f"### Example {number}" for number in numbers]


@given(lens=lenses)
def test_every_worker_reads_the_same_bytes(lens: EphemeralLens):
    """Equal lenses give equal text: the prefix of a batch is shared."""
    assert pickle.loads(pickle.dumps(lens)).to_context() == lens.to_context()


def test_each_part_is_counted_under_the_name_that_events_have_for_it():
    """All three events of a lens take the counts from here."""
    counts = EphemeralLens(["a"], ["b"] * 2, ["c"] * 3, ["d"] * 4, ["e"] * 5).part_counts
    assert counts == {
        "heuristics_count": 1,
        "patterns_count": 2,
        "anti_patterns_count": 3,
        "constraints_count": 4,
        "examples_count": 5,
    }
    for event in (EphemeralLensCreated, LensGiven, LensTaken):
        assert counts.keys() == {field.name for field in attrs.fields(event) if field.name.endswith("_count")}
