"""What must change of a kept lens: applied as a whole or not at all, and checked as any lens."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.agent.lens.lens_change import CHANGE_SCHEMA, changed_lens, kept_text
from sunwell.agent.lens.lens_parser import lens_tokens
from sunwell.agent.lens.lens_request import RULE_PARTS
from sunwell.core.lens import EphemeralLens
from sunwell.errors import LensError

LETTERS = {"heuristics": "h", "patterns": "p", "anti_patterns": "a", "constraints": "c", "examples": "e"}
BASE = EphemeralLens(
    ("Read.", "Write."), ("Cents.",), ("Never drop.",), ("Keep.",), ("x = 1",), "old", ("src/a.py",)
)
NOTHING: dict[str, Any] = {"drop": [], "change": [], "add": [], "task_scope": "new", "target_files": []}


def applied(
    answer: str, base: EphemeralLens = BASE, *, cut: bool = False, tokens: int = 1500
) -> EphemeralLens:
    """Return *base* with what *answer* says."""
    return changed_lens(answer, base, max_tokens=tokens, cut=cut, scope="the task", tell=lambda _: None)


def test_items_are_dropped_changed_and_added() -> None:
    """What is not named stays in its order; scope and files are those of the answer."""
    answer = NOTHING | {
        "drop": ["h1", " A1 "],
        "change": [{"item": "p1", "text": "Euros."}],
        "add": [{"part": "heuristics", "text": "Test."}],
        "target_files": ["src/b.py"],
    }
    assert applied(f"Here it is:\n```json\n{json.dumps(answer)}\n```") == EphemeralLens(
        ("Write.", "Test."), ("Euros.",), (), ("Keep.",), ("x = 1",), "new", ("src/b.py",)
    )


def test_the_kept_lens_is_shown_with_a_name_for_each_item() -> None:
    """And with what it was written for, and what has changed since."""
    text = kept_text(BASE, "Do\nit", ("src/a.py", "src/b.py"))
    assert text.startswith("Written for: Do it\ntask_scope: old\ntarget_files: src/a.py\n")
    assert "Files that have changed since: src/a.py, src/b.py\n" in text
    assert 'heuristics:\nh1 "Read."\nh2 "Write."\npatterns:\np1 "Cents."\n' in text
    assert "changed since" not in kept_text(BASE, "Do it", ())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (NOTHING | {"drop": ["h3"]}, "the kept lens has no item 'h3'"),
        (NOTHING | {"change": [{"item": "x", "text": "y"}]}, "the kept lens has no item 'x'"),
        (NOTHING | {"drop": ["h1"], "change": [{"item": "h1", "text": "y"}]}, "h1 is dropped and changed"),
        (NOTHING | {"add": [{"part": "notes", "text": "y"}]}, "a lens has no part 'notes'"),
        (NOTHING | {"drop": "h1"}, "drop is not a list of texts"),
        (NOTHING | {"change": [{"item": "h1"}]}, "change is not a list of objects with item and text"),
        (NOTHING | {"add": ["y"]}, "add is not a list of objects with part and text"),
        (NOTHING | {"drop": ["h1", "h2", "p1", "a1", "c1", "e1"]}, "nothing of the kept lens can stay"),
        ({"heuristics": ["A whole lens."]}, "the answer does not say what must change"),
    ],
)
def test_an_answer_that_cannot_be_applied_is_an_error(answer: dict[str, Any], said: str) -> None:
    """No part of it is applied: what it leaves out may be what matters."""
    with pytest.raises(LensError, match=said):
        applied(json.dumps(answer))


@pytest.mark.parametrize("cut", [True, False])
def test_an_answer_that_is_not_whole_is_of_no_use(cut: bool) -> None:
    """A change may be missing, whether the provider says that it was cut or only the text shows it."""
    whole = json.dumps(NOTHING | {"drop": ["h1"]})
    with pytest.raises(LensError, match="not whole"):
        applied(whole if cut else whole[:-30], cut=cut)


def test_the_result_keeps_the_limit_of_a_lens() -> None:
    """As an answer with a whole lens does."""
    more = [{"part": "patterns", "text": f"{number} " + "long " * 60} for number in range(10)]
    made = applied(json.dumps(NOTHING | {"add": more}), tokens=200)
    assert lens_tokens(made) <= 200
    assert made.heuristics == BASE.heuristics


WORDS = st.text("abcdefgh", min_size=1, max_size=6)
PART = st.lists(WORDS, max_size=3, unique=True)


@given(
    parts=st.lists(PART, min_size=5, max_size=5).filter(lambda found: any(found)),
    dice=st.randoms(use_true_random=False),
    added=st.lists(st.tuples(st.sampled_from(RULE_PARTS), WORDS), max_size=3),
)
def test_any_changes_give_what_lists_would(
    parts: list[list[str]], dice: Any, added: list[tuple[str, str]]
) -> None:
    """Beside plain lists that are changed one by one; an empty lens is an error."""
    base = EphemeralLens(**dict(zip(RULE_PARTS, parts, strict=True)), task_scope="s")
    expected: dict[str, list[str]] = {}
    drop, change = [], []
    for part, items in zip(RULE_PARTS, parts, strict=True):
        kept = []
        for number, text in enumerate(items, 1):
            name, fate = f"{LETTERS[part]}{number}", dice.choice(["keep", "drop", "change"])
            if fate == "drop":
                drop.append(name)
            elif fate == "change":
                change.append({"item": name, "text": f"{text}!"})
                kept.append(f"{text}!")
            else:
                kept.append(text)
        kept += [text for name, text in added if name == part]
        expected[part] = list(dict.fromkeys(kept))
    add = [{"part": part, "text": text} for part, text in added]
    answer = json.dumps(NOTHING | {"drop": drop, "change": change, "add": add})
    if not any(expected.values()):
        with pytest.raises(LensError):
            applied(answer, base)
        return
    made = applied(answer, base)
    assert {part: list(getattr(made, part)) for part in RULE_PARTS} == expected


@given(
    st.text()
    | st.recursive(
        st.none() | st.text(),
        lambda inner: st.dictionaries(
            st.sampled_from(["drop", "change", "add", "item", "text", "part", "task_scope", "target_files"]),
            inner | st.lists(inner),
        ),
    ).map(json.dumps)
)
def test_any_answer_gives_a_sound_lens_or_a_lens_error(answer: str) -> None:
    """Nothing else is raised, and a lens is never empty."""
    try:
        made = applied(answer)
    except LensError:
        return
    assert not made.is_empty


def test_the_schema_asks_for_every_part_in_strict_mode() -> None:
    """All properties are required, and no other is allowed."""
    schema = CHANGE_SCHEMA.schema
    assert schema["required"] == list(schema["properties"])
    assert schema["additionalProperties"] is False
