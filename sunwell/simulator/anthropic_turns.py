"""Which sequences of messages Anthropic's Messages takes, and what it refuses in them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sunwell.simulator.anthropic_checks import blocks_of, refuse_if
from sunwell.simulator.signatures import is_genuine

_TOOL_USE_ID = re.compile(r"[a-zA-Z0-9_-]+")

Turn = tuple[str, Sequence[Mapping[str, Any]]]
"""A role and its blocks."""


def turns_of(body: Mapping[str, Any]) -> list[Turn]:
    """Return the messages of *body*, or raise :exc:`~sunwell.simulator.wire.Refusal`."""
    messages = body.get("messages")
    refuse_if(not isinstance(messages, list), "messages: Field required", "messages")
    refuse_if(not messages, "messages: at least one message is required", "messages")
    turns: list[Turn] = []
    for i, message in enumerate(messages or ()):
        role = message.get("role") if isinstance(message, Mapping) else None
        refuse_if(
            role not in ("user", "assistant"), f"messages.{i}.role: must be 'user' or 'assistant'", "messages"
        )
        expected = "assistant" if i % 2 else "user"
        alternate = (
            f"messages: roles must alternate between user and assistant; messages.{i} is another {role}"
        )
        refuse_if(role != expected, alternate, "messages")
        blocks = blocks_of(message.get("content"), f"messages.{i}.content")
        refuse_if(not blocks, f"messages.{i}: all messages must have non-empty content", "messages")
        turns.append((expected, blocks))
    refuse_if(turns[-1][0] != "user", "This model does not support assistant message prefill.", "messages")
    for i, turn in enumerate(turns):
        _check_blocks(i, turn)
    _check_tool_blocks(turns, bool(body.get("tools")))
    return turns


def _check_blocks(i: int, turn: Turn) -> None:
    role, blocks = turn
    for j, block in enumerate(blocks):
        where = f"messages.{i}.content.{j}"
        kind = block["type"]
        allowed = ("text", "tool_result") if role == "user" else (
            "text", "thinking", "redacted_thinking", "tool_use",
        )  # fmt: skip
        refuse_if(
            kind not in allowed, f"{where}: blocks of type {kind!r} are not taken from the {role}", where
        )
        if kind == "text":
            text = block.get("text")
            refuse_if(not isinstance(text, str), f"{where}.text: Field required", where)
            refuse_if(
                not str(text).strip(), f"{where}: text content blocks must contain non-whitespace text", where
            )
        elif kind in ("thinking", "redacted_thinking"):
            refuse_if(
                "cache_control" in block, f"{where}.cache_control: Extra inputs are not permitted", where
            )
            refuse_if(not is_genuine(block), f"{where}: Invalid `signature` in `thinking` block", where)
        elif kind == "tool_use":
            fits = isinstance(block.get("id"), str) and _TOOL_USE_ID.fullmatch(block["id"])
            refuse_if(not fits, f"{where}.id: String should match pattern '^[a-zA-Z0-9_-]+$'", where)
            refuse_if(not isinstance(block.get("name"), str), f"{where}.name: Field required", where)
            refuse_if(
                not isinstance(block.get("input"), Mapping),
                f"{where}.input: Input should be an object",
                where,
            )


def _check_tool_blocks(turns: Sequence[Turn], has_tools: bool) -> None:
    waiting: list[str] = []
    for i, (role, blocks) in enumerate(turns):
        uses = [block["id"] for block in blocks if block["type"] == "tool_use"]
        results = [block.get("tool_use_id") for block in blocks if block["type"] == "tool_result"]
        where = f"messages.{i}"
        missing = "requests with `tool_use` or `tool_result` blocks in their history must define tools"
        refuse_if(bool(uses or results) and not has_tools, missing, "tools")
        refuse_if(len(set(uses)) != len(uses), f"{where}: `tool_use` ids must be unique", where)
        if role == "user":
            _check_results(where, blocks, results, waiting)
        waiting = uses


def _check_results(
    where: str, blocks: Sequence[Mapping[str, Any]], results: Sequence[Any], waiting: Sequence[str]
) -> None:
    for result in results:
        known = result in waiting
        refuse_if(
            not known, f"{where}: unexpected `tool_use_id` found in `tool_result` blocks: {result}", where
        )
    refuse_if(len(set(results)) != len(results), f"{where}: each tool_use must have a single result", where)
    unanswered = [use for use in waiting if use not in results]
    text = f"{where}: `tool_use` ids were found without `tool_result` blocks immediately after: "
    refuse_if(bool(unanswered), text + ", ".join(unanswered), where)
    kinds = [block["type"] for block in blocks]
    leading = kinds[: len(results)]
    refuse_if("text" in leading, f"{where}: `tool_result` blocks must come before any text", where)
