"""The lens: what a smart model knows about one task, written once and read by every worker."""

import re
from collections.abc import Iterable

import attrs

_SECTIONS = (
    ("heuristics", "Guidelines"),
    ("patterns", "Patterns to Follow"),
    ("anti_patterns", "Things to Avoid"),
    ("constraints", "Hard Constraints"),
)


def _texts(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):  # tuple("abc") would silently become ("a", "b", "c")
        raise TypeError(f"expected several strings, got the single string {value!r}")
    texts = tuple(value)
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"expected strings, got {text!r}")
    return texts


@attrs.frozen
class EphemeralLens:
    """Guidance for one task, written once by a smart model and read by every worker.

    Fields and their order are RFC-137's. All are optional; a lens in which the five parts are
    empty guides nobody, see :attr:`is_empty`.
    """

    heuristics: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Rules of thumb, most important first."""
    patterns: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """How code of this kind is written here."""
    anti_patterns: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """What goes wrong when nobody says so."""
    constraints: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """What must hold of the result."""
    examples: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Snippets that show the style; put into the prompt in fences."""
    task_scope: str = ""
    """One line that names the task."""
    target_files: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Paths in the workspace that the work is about."""
    generated_by: str = ""
    """Id of the model that wrote the lens."""
    generation_prompt: str = ""
    """The user message that the lens answers."""

    @property
    def is_empty(self) -> bool:
        """Whether the lens holds no guidance at all."""
        return not (
            self.heuristics or self.patterns or self.anti_patterns or self.constraints or self.examples
        )

    def to_context(self) -> str:
        """Return the lens as Markdown for a system prompt: the same bytes for every worker.

        Empty parts are left out. An item that spans lines stays one list item, so that no text in
        it can open or close a section; examples stand in fences longer than any fence inside them.
        """
        scope = " ".join(self.task_scope.split())
        blocks = [f"# Task Expertise: {scope}" if scope else "# Generated Expertise"]
        for name, title in _SECTIONS:
            items = getattr(self, name)
            if items:
                blocks.append("\n".join([f"## {title}", *(_list_item(item) for item in items)]))
        if self.examples:
            shown = [f"### Example {i}\n{_fenced(text)}" for i, text in enumerate(self.examples, 1)]
            blocks.append("\n".join(["## Style Examples", *shown]))
        return "\n\n".join(blocks)


def _list_item(text: str) -> str:
    first, *rest = text.strip().splitlines() or [""]
    return "\n".join([f"- {first.strip()}", *(f"  {line}".rstrip() for line in rest)])


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
