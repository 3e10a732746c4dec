"""What the smart model is told when it is asked for a lens."""

from collections.abc import Sequence

import attrs

from sunwell.agent.prompts import lens_change_limit, lens_limit
from sunwell.core.markdown import one_line
from sunwell.core.message import digest_of
from sunwell.core.model import Effort, ResponseSchema, ToolSpec

_LIST = {"type": "array", "items": {"type": "string"}}
RULE_PARTS = ("heuristics", "patterns", "anti_patterns", "constraints", "examples")
"""The parts of a lens that guide."""
_PARTS = ("task_scope", *RULE_PARTS, "target_files")

LENS_SCHEMA = ResponseSchema(
    name="lens",
    schema={
        "type": "object",
        "properties": {"task_scope": {"type": "string"}, **dict.fromkeys(_PARTS[1:], _LIST)},
        "required": list(_PARTS),
        "additionalProperties": False,
    },
)
"""The shape of a lens, in the part of JSON Schema that both providers accept in strict mode."""


@attrs.frozen
class LensOrder:
    """What is wanted of the smart model, and what it is given for it."""

    task: str
    context: str = ""
    """What of the workspace the smart model sees, see :func:`sunwell.context.excerpts.gather`."""
    tools: tuple[ToolSpec, ...] = ()
    """Tools that the workers will have."""
    max_lens_tokens: int = attrs.field(default=1500, validator=attrs.validators.ge(1))
    """Longest lens as workers read it, at four bytes to a token; told to the model and enforced."""
    effort: Effort | None = None
    max_output_tokens: int | None = None
    """Longest answer, thinking included; ``None``: twice the lens, and room to think."""
    split: bool = False
    """Whether the answer may also hold the items into which the task falls."""
    attempt: str = ""
    """What an earlier attempt changed, and what its check said; empty: there was none."""
    kept: str = ""
    """A kept lens of which the model only says what must change; empty: it writes a whole one."""


def user_prompt(order: LensOrder) -> str:
    """Return the user message that the lens answers: a function of *order* alone.

    What is quoted stands between marks that carry digits made of the quoted text itself, so that
    no text can hold the mark that closes its own section or opens another.
    """
    sections = {"task": order.task, "tools": tools_text(order.tools)}
    if order.kept:
        sections["kept"] = order.kept
    sections["workspace"] = order.context
    if order.attempt:
        sections["attempt"] = order.attempt
    mark = _mark([text for text in sections.values() if text])
    quoted = [_section(name, mark, text) for name, text in sections.items() if text.strip()]
    limit = lens_change_limit if order.kept else lens_limit
    return "\n\n".join([*quoted, limit(order.max_lens_tokens)])


def _section(name: str, mark: str, text: str) -> str:
    return f"<{name} mark={mark}>\n{text}\n</{name} mark={mark}>"


def _mark(texts: Sequence[str]) -> str:
    mark = digest_of(*texts).hex()[:12]
    while any(mark in text.lower() for text in texts):
        mark = digest_of(mark).hex()[:12]
    return mark


def tools_text(tools: Sequence[ToolSpec]) -> str:
    """Return what the lens writer is told of the workers' tools."""
    described = [one_line(tool.description) for tool in tools]
    return "\n".join(f"- {tool.name}: {text}" for tool, text in zip(tools, described, strict=True))
