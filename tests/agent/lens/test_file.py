"""A lens as a file: small enough for version control, and read back strictly."""

import json
from hashlib import sha256
from pathlib import Path

import attrs
import pytest

from sunwell.agent.lens.lens_file import LensOrigin, lens_json, lens_remarks, read_lens, read_saved_lens
from sunwell.core.lens import EphemeralLens
from sunwell.errors import ConfigurationError

PROMPT = "the sources of the workspace\n" * 2_000
LENS = EphemeralLens(
    heuristics=("Models first.",),
    task_scope="CRUD",
    target_files=("api/product.py",),
    generated_by="opus-1",
    generation_prompt=PROMPT,
)


def test_the_file_says_which_prompt_it_was_and_does_not_hold_it(tmp_path: Path):
    """Digest, size, day and task are kept; the lens is the same but for its prompt."""
    path = tmp_path / "lens.json"
    path.write_text(lens_json(LENS, LensOrigin.of(LENS, "Generate\nCRUD", "2026-11-29")))
    assert path.stat().st_size < 1_000
    saved = read_saved_lens(path)
    assert saved.lens == attrs.evolve(LENS, generation_prompt="")
    assert saved.origin == LensOrigin(
        "Generate CRUD", "2026-11-29", sha256(PROMPT.encode()).hexdigest(), len(PROMPT)
    )


def test_a_long_task_is_kept_in_a_line():
    """The file is no place for material, either."""
    origin = LensOrigin.of(LENS, "word " * 1_000, "2026-11-29")
    assert len(origin.task) == 500
    assert origin.task.endswith("…")


def test_a_file_of_before_that_holds_the_prompt_is_read(tmp_path: Path):
    """It loads as it is, and the prompt is gone when it is saved again."""
    path = tmp_path / "lens.json"
    path.write_text(json.dumps(attrs.asdict(LENS)))
    assert read_lens(path) == LENS
    assert PROMPT not in lens_json(read_lens(path))


def test_a_lens_of_ones_own_has_no_origin():
    """Nobody answered a prompt for it."""
    assert "origin" not in json.loads(lens_json(EphemeralLens(heuristics=("Read.",))))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param('{"heuristics": [\n"a",]}', "line 2 column 5", id="not-json"),
        pytest.param('{"heuristics": "one"}', 'heuristics must be a list of strings, got "one"', id="text"),
        pytest.param('{"heuristics": ["a", 3]}', "heuristics, item 2 must be a string, got 3", id="number"),
        pytest.param('{"heuristics": ["a"], "task_scope": null}', "task_scope must be a string", id="null"),
        pytest.param('{"heuristics": ["a"], "heuristics": ["b"]}', "'heuristics' is there twice", id="twice"),
        pytest.param('{"rules": ["a"]}', "a lens has no 'rules'", id="unknown"),
        pytest.param('["a"]', "write an object", id="list"),
        pytest.param("{}", "give at least one rule", id="empty"),
        pytest.param('{"heuristics": ["a"], "origin": []}', "origin must be an object", id="origin"),
        pytest.param('{"heuristics": ["a"], "origin": {"day": ""}}', "origin has no 'day'", id="origin-part"),
        pytest.param(
            '{"heuristics": ["a"], "origin": {"prompt_bytes": "9"}}',
            "prompt_bytes of origin must be a number",
            id="origin-kind",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_place(tmp_path: Path, text: str, said: str):
    """File, part and item are named; nothing is guessed and nothing is left out in silence."""
    path = tmp_path / "lens.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_lens(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["nowhere.json", "."])
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, name: str):
    """A folder and a missing file are sentences."""
    with pytest.raises(ConfigurationError, match="the lens"):
        read_lens(tmp_path / name)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path):
    """A lens is UTF-8."""
    (tmp_path / "lens.json").write_bytes(b'{"heuristics": ["\xff"]}')
    with pytest.raises(ConfigurationError, match="not UTF-8 text"):
        read_lens(tmp_path / "lens.json")


def test_characters_that_nobody_sees_are_worth_a_second_look():
    """Whoever reviews the file does not see them, and a model reads them."""
    lens = EphemeralLens(heuristics=("Read\u202e it.",), task_scope="x")
    assert lens_remarks(lens) == ("it has 1 characters that nobody sees and that a model reads",)
