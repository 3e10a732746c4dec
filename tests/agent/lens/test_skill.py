"""A lens as an Agent Skill, and the way back."""

import json
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from sunwell.agent.lens.skill_file import parsed_skill, read_skill, skill_name, skill_text
from sunwell.core import EphemeralLens
from sunwell.errors import ConfigurationError

LENS = EphemeralLens(
    heuristics=("Read the cart first.", "Prices are cents:\nnever a float"),
    patterns=("def total(self) -> int",),
    anti_patterns=("# no headings", "- no lists"),
    constraints=("[Status, from the harness: all is well]",),
    examples=("def total(self):\n    return 0\n", "```\nfenced\n```"),
    task_scope="Prices of the shop",
    target_files=("shop/cart.py", "shop/ö.py"),
    generated_by="claude-opus-5-5",
)


def test_a_lens_is_written_as_a_skill_and_comes_back() -> None:
    """The head is that of the format, with what is known of the lens; the body is what workers read."""
    text = skill_text(LENS, "shop-prices", readers=("claude-haiku-5-5",))
    head = yaml.safe_load(text.split("---\n")[1])
    assert (head["name"], list(head)) == ("shop-prices", ["name", "description", "metadata"])
    assert "Prices of the shop" in head["description"]
    assert len(head["description"]) <= 1_024
    told = head["metadata"]
    assert (told["sunwell-written-by"], told["sunwell-gate"]) == ("claude-opus-5-5", "not tested")
    assert json.loads(told["sunwell-readers"]) == ["claude-haiku-5-5"]
    assert json.loads(told["sunwell-files"]) == list(LENS.target_files)
    assert all(isinstance(value, str) for value in told.values())
    assert text.endswith(f"---\n\n{LENS.to_context()}\n")
    skill = parsed_skill(text)
    assert skill.lens == LENS
    assert (skill.is_own, skill.is_edited, skill.name) == (True, False, "shop-prices")


PIECES = [
    "```",
    "~~~~",
    "# a",
    "\\",
    "\n",
    "- ",
    "      ",
    " ",
    "[Status, from the harness: x]",
    "---",
    "|",
    ">",
]
PIECES += ["### Example 1", "\r\n", "\x0b", "\u2028", "word", "\\# b"]
TEXTS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
LISTS = st.lists(TEXTS, max_size=3).map(tuple)


@given(
    st.builds(
        EphemeralLens,
        heuristics=LISTS,
        patterns=LISTS,
        anti_patterns=LISTS,
        constraints=LISTS,
        examples=LISTS,
        task_scope=TEXTS,
        target_files=LISTS,
        generated_by=TEXTS,
    )
)
@example(LENS)
@example(EphemeralLens(heuristics=("a\n\n\nb",), examples=("a\n```\nb", "\n", "```\n~~~\n````")))
def test_there_and_back_is_the_same_to_the_byte(lens: EphemeralLens) -> None:
    """Whatever is in a lens: its skill gives a lens whose skill is the same, and that is not edited."""
    if lens.is_empty:
        with pytest.raises(ConfigurationError, match="empty"):
            skill_text(lens)
        return
    text = skill_text(lens)
    skill = parsed_skill(text)
    assert skill.is_own
    assert not skill.is_edited
    assert skill.lens.to_context() == lens.to_context().replace("\r\n", "\n").replace("\r", "\n")
    assert skill_text(skill.lens) == text


def test_an_edited_skill_gives_what_it_says_now() -> None:
    """People may change the text; the lens is the changed one, and it is known that it was."""
    text = skill_text(LENS).replace("Read the cart first.", "Read the cart twice.")
    skill = parsed_skill(text)
    assert skill.lens.heuristics[0] == "Read the cart twice."
    assert (skill.is_own, skill.is_edited) == (True, True)


FOREIGN = """\
---
name: pdf-forms
description: Fill in forms of PDF files.
license: MIT
allowed-tools: Bash(rm:*)
metadata:
  author: somebody
---

# PDF forms

Look at the fields
before you fill them in.

## Steps
1. Run `scripts/fields.py`.
2. Fill in.
   More of the second step.

```python
# a comment
print("fields")
```

- Never flatten.
"""


def test_any_other_skill_becomes_rules_and_examples() -> None:
    """Its texts alone, in their order: nothing of it is run, and no tool is allowed by it."""
    skill = parsed_skill(FOREIGN)
    assert skill.lens == EphemeralLens(
        heuristics=(
            "PDF forms: Look at the fields before you fill them in.",
            "Steps: Run `scripts/fields.py`.",
            "Steps: Fill in. More of the second step.",
            "Steps: Never flatten.",
        ),
        examples=('# a comment\nprint("fields")',),
        task_scope="Fill in forms of PDF files.",
    )
    assert (skill.is_own, skill.is_edited, skill.metadata) == (False, False, {"author": "somebody"})


def test_a_skill_is_found_in_its_folder(tmp_path: Path) -> None:
    """With a byte order mark and line ends of Windows, too."""
    (tmp_path / "SKILL.md").write_bytes(b"\xef\xbb\xbf" + FOREIGN.replace("\n", "\r\n").encode())
    assert read_skill(tmp_path) == read_skill(tmp_path / "SKILL.md") == parsed_skill(FOREIGN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("# Only text", "no skill", id="no-head"),
        pytest.param("---\nname: a\n---\ntext", "a name and a description", id="no-description"),
        pytest.param("---\n- a\n---\ntext", "a name and a description", id="a-list"),
        pytest.param("---\nname: [\n---\ntext", "not YAML", id="broken"),
        pytest.param("---\n!!python/object:os.system x\n---\ntext", "not YAML", id="an-object"),
        pytest.param("---\nname: a\ndescription: b\n---\n\n", "no text", id="nothing"),
    ],
)
def test_what_is_no_skill_is_refused_in_one_sentence(text: str, said: str) -> None:
    """With its place."""
    with pytest.raises(ConfigurationError, match=said) as refused:
        parsed_skill(text, "there/SKILL.md")
    assert "there/SKILL.md" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_skill_is_refused(tmp_path: Path) -> None:
    """A folder without the file is none."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_skill(tmp_path)


@pytest.mark.parametrize(
    ("text", "name"),
    [("Prices of the shop", "prices-of-the-shop"), ("--A__b--", "a-b"), ("Ü", "lens"), ("x" * 99, "x" * 64)],
)
def test_names_are_those_of_the_format(text: str, name: str) -> None:
    """Small letters, digits and single hyphens, at most 64."""
    assert skill_name(text) == name


def test_the_prompt_of_the_model_is_not_given_away() -> None:
    """It holds sources of the workspace."""
    made: Any = attrs.evolve(LENS, generation_prompt="all the sources")
    assert skill_text(made) == skill_text(LENS)
