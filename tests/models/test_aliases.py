"""Aliases stand for current models, and retired ids are known as such."""

import datetime

import pytest

from sunwell.models.catalog import (
    ALIASES,
    ALIASES_DATE,
    DEFAULT_SMART_MODEL,
    is_alias_of,
    is_same_model,
    parse_reference,
    provider_of,
    retirement_of,
)


def test_the_aliases_that_were_promised():
    """The short names and the four of the RFC are there, and the default thinker is one of them."""
    promised = {
        "opus",
        "sonnet",
        "haiku",
        "anthropic-smart",
        "anthropic-cheap",
        "openai-smart",
        "openai-cheap",
    }
    assert set(ALIASES) == promised
    assert DEFAULT_SMART_MODEL in ALIASES


def test_the_table_is_frozen():
    """Nobody can move an alias for everyone else."""
    with pytest.raises(TypeError):
        ALIASES["opus"] = "gpt-6-luna"  # type: ignore[index]


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_targets_are_current(alias):
    """No alias stands for a model that is retired or has a known end, and each names its provider."""
    reference = parse_reference(ALIASES[alias])
    assert reference is not None
    assert reference.provider == provider_of(reference.model_id)
    assert retirement_of(reference.model_id) is None
    assert datetime.date.fromisoformat(ALIASES_DATE) >= datetime.date(2026, 11, 21)


@pytest.mark.parametrize(
    ("model_id", "date", "successor"),
    [
        ("claude-3-opus-20240229", "2026-01-05", "claude-opus-5-5"),
        ("claude-3-haiku-20240307", "2026-04-20", "claude-haiku-5-5"),
        ("gpt-4o", "2027-01-14", "gpt-6.1-sol"),
        ("gpt-4o-mini", "2027-01-14", "gpt-6-luna"),
        ("openai/gpt-4o", "2027-01-14", "gpt-6.1-sol"),
    ],
)
def test_retired_ids(model_id, date, successor):
    """An id with a known end says when, and what a user should take instead, in one sentence."""
    retirement = retirement_of(model_id)
    assert retirement is not None
    assert (retirement.date, retirement.successor) == (date, successor)
    assert date in retirement.sentence
    assert successor in retirement.sentence
    assert retirement.successor in {target.partition("/")[2] for target in ALIASES.values()}


@pytest.mark.parametrize(
    "model_id", ["claude-opus-5-5", "gpt-4o-giga", "opus", "", "hub/gpt-4o", "hub/openai/gpt-4o"]
)
def test_no_end_is_known(model_id):
    """Current models, unknown ones, and the same ids with another seller have no known end."""
    assert retirement_of(model_id) is None


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        pytest.param("gpt-6-luna", "gpt-6-luna", True, id="equal"),
        pytest.param("gpt-6-luna", "gpt-6-luna-2026-10-01", True, id="dated-answer"),
        pytest.param("gpt-6-luna-2026-10-01", "gpt-6-luna", True, id="dated-question"),
        pytest.param("claude-opus-4.6", "claude-opus-4-6", True, id="dot-and-hyphen"),
        pytest.param("gpt-6-luna-2026-10-01", "gpt-6-luna-2026-11-01", False, id="two-dates"),
        pytest.param("gpt-6-luna", "gpt-6-luna-giga", False, id="longer-name"),
        pytest.param("gpt-4o", "gpt-4o-mini-2024-07-18", False, id="the-mini"),
    ],
)
def test_which_ids_are_one_model(asked, answered, same):
    """Two ids are one model where they differ in a date or a dot only."""
    assert is_same_model(asked, answered) == same


@pytest.mark.parametrize(
    ("asked", "answered", "alias"),
    [
        pytest.param("mistral-small-latest", "mistral-small-2506", True, id="latest"),
        pytest.param("grok-4", "grok-4-0709", True, id="month-and-day"),
        pytest.param("gpt-4", "gpt-4-0613", True, id="openai-of-old"),
        pytest.param("gemini-2.5-flash", "models/gemini-2.5-flash-001", True, id="path-and-number"),
        pytest.param("gemini-2.5-flash", "gemini-2.5-flash-preview-09-2025", True, id="month-and-year"),
        pytest.param("kimi-k2", "kimi-k2-0711-preview", True, id="preview"),
        pytest.param("accounts/fireworks/models/llama-5", "llama-5", True, id="path-of-the-question"),
        pytest.param("claude-opus-5-5", "claude-opus-5-5-20260901", True, id="date"),
        pytest.param("claude-haiku-5-5", "claude-opus-5-5", False, id="another-model"),
        pytest.param("gpt-4o", "gpt-4o-mini-2024-07-18", False, id="the-mini"),
        pytest.param("gpt-4", "gpt-4-32k", False, id="a-larger-window"),
        pytest.param("claude-opus-4", "claude-opus-4-1", False, id="a-newer-version"),
        pytest.param("gpt-6-luna-2026-10-01", "gpt-6-luna-2026-11-01", False, id="two-dates"),
    ],
)
def test_a_server_may_add_path_and_version_to_a_name(asked, answered, alias):
    """Any other difference is a different model."""
    assert is_alias_of(asked, answered) == alias
