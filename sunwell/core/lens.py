"""The lens: what a smart model knows about one task, written once and read by every worker."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import attrs

from sunwell.core.markdown import bullet_list, fenced, one_line
from sunwell.core.marks import guarded

LENS_SECTIONS = (
    ("heuristics", "Guidelines"),
    ("patterns", "Patterns to Follow"),
    ("anti_patterns", "Things to Avoid"),
    ("constraints", "Hard Constraints"),
)
"""The lists of rules in their order, each with its heading."""


def _texts(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):  # tuple("abc") would silently become ("a", "b", "c")
        raise TypeError(f"expected several strings, got the single string {value!r}")
    texts = tuple(value)
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"expected strings, got {text!r}")
    return texts


def _text(_: object, attribute: "attrs.Attribute[str]", value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{attribute.name} must be a string, got {value!r}")


@attrs.frozen
class EphemeralLens:
    """Guidance for one task, written once by a smart model and read by every worker.

    Fields and their order are those of RFC-137. All are optional; a lens whose five parts are empty
    contains no guidance, see :attr:`is_empty`.
    """

    heuristics: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Rules of thumb, most important first."""
    patterns: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Patterns to follow in this workspace."""
    anti_patterns: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Likely mistakes to avoid."""
    constraints: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Requirements that the result must meet."""
    examples: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Snippets that show the style; they appear in the prompt in code fences."""
    task_scope: str = attrs.field(default="", validator=_text)
    """One line that names the task."""
    target_files: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Paths in the workspace that the task is about."""
    generated_by: str = attrs.field(default="", validator=_text)
    """Id of the model that wrote the lens."""
    generation_prompt: str = attrs.field(default="", validator=_text)
    """The user message that the model answered with this lens."""

    @property
    def is_empty(self) -> bool:
        """Whether the lens contains no guidance."""
        parts = (self.heuristics, self.patterns, self.anti_patterns, self.constraints, self.examples)
        return not any(_written(items) for items in parts)

    @property
    def part_counts(self) -> dict[str, int]:
        """How many items each of the five parts has, under the names that events have for them."""
        names = (*(name for name, _ in LENS_SECTIONS), "examples")
        return {f"{name}_count": len(getattr(self, name)) for name in names}

    def to_context(self) -> str:
        """Return the lens as Markdown for a system prompt: the same bytes for every worker.

        Empty items and parts are left out. An item with several lines stays one list
        item: its further lines are indented so that Markdown finds no structure in them. The fence of an
        example is longer than any fence inside it. So no text in a lens can open or close a section.
        """
        scope = one_line(self.task_scope)
        blocks = [f"# Task Expertise: {scope}" if scope else "# Generated Expertise"]
        sections = [(title, _written(getattr(self, name))) for name, title in LENS_SECTIONS]
        blocks += [f"## {title}\n{bullet_list(items)}" for title, items in sections if items]
        examples = _written(self.examples)
        if examples:
            shown = [f"### Example {i}\n{fenced(guarded(text))}" for i, text in enumerate(examples, 1)]
            blocks.append("\n".join(["## Style Examples", *shown]))
        return "\n\n".join(blocks)


@attrs.frozen
class LensSource:
    """Where the lens of a run comes from, if the run did not get it from its caller."""

    how: Literal["written", "changed", "taken"]
    """``written`` from the workspace; ``changed``: the smart model said what to change of a kept one;
    ``taken`` from the store as it was, for nothing."""
    kept_id: str = ""
    """Under which id the store keeps the lens; empty: it does not."""
    from_id: str = ""
    """The id of the kept lens that it was taken or changed from; empty: there was none."""
    written_on: str = ""
    """The ISO day on which that one was written."""
    written_for: str = ""
    """The beginning of the task that it was written for."""
    saved_usd: Decimal | None = None
    """What writing a lens that was taken had cost, and is not paid again; ``None``: unknown, or not taken."""
    reasons: tuple[str, ...] = ()
    """Why a kept lens for this task was not taken, a clause each; empty: there was none, or it was taken."""

    @property
    def stored_id(self) -> str:
        """The id under which the store has this very lens; empty: it does not have it."""
        return self.kept_id or (self.from_id if self.how == "taken" else "")


def _written(items: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(item for item in items if item.strip())
