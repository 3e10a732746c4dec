"""A lens as an Agent Skill: a folder with ``SKILL.md``, which other agents read, and the way back.

The body is the lens as workers see it. Whoever reads a skill of somebody else's gets its texts alone: nothing
of it is run, and no file beside ``SKILL.md`` is opened.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from sunwell.agent.lens.lens_file import text_of_file
from sunwell.core.lens import LENS_SECTIONS, EphemeralLens
from sunwell.core.markdown import kinds_of_lines, list_items, one_line, shortened
from sunwell.core.marks import unguarded
from sunwell.errors import ConfigurationError

SKILL_FILE = "SKILL.md"
_LONGEST_NAME, _LONGEST_DESCRIPTION = 64, 1_024  # of the format's specification
_OURS = "sunwell-"
_FRONT = re.compile(r"\A---[ \t]*\r?\n(?P<front>.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^(?P<marks>#{1,6})[ \t]+(?P<title>.*?)[ \t#]*$")
_SCOPE = "Task Expertise: "
_NO_SCOPE = "Generated Expertise"
_EXAMPLES = "Style Examples"


@attrs.frozen
class LensSkill:
    """What a ``SKILL.md`` says."""

    lens: EphemeralLens
    name: str
    """The skill's name; empty if the file has none."""
    description: str
    metadata: Mapping[str, str]
    is_own: bool
    """Whether it was made of a lens: its sections are those of a lens."""
    is_edited: bool
    """Whether its text differs from what it was made with."""

    @property
    def gate(self) -> str:
        """What a test of the lens has shown; empty if it was not tested, or if its text was changed since."""
        said = one_line(self.metadata.get(f"{_OURS}gate", ""))
        return said if self.is_own and not self.is_edited and said != "not tested" else ""


def skill_text(
    lens: EphemeralLens, name: str = "", *, readers: Sequence[str] = (), gate: str = "not tested"
) -> str:
    """Return *lens* as the text of a ``SKILL.md``.

    *name* is that of the skill's folder; empty: made of what the lens is for. *readers* are the models that
    worked with it, *gate* is what is known of its use. Of the lens, the prompt that its model answered is
    left out, and what workers do not see of its texts. Raises
    :exc:`~sunwell.errors.ConfigurationError` if there is no guidance in it.
    """
    if lens.is_empty:
        raise ConfigurationError("the lens is empty: there is nothing that a skill could say")
    body = _with_plain_ends(lens.to_context())
    scope = one_line(lens.task_scope)
    told = f"Guidance for work of this kind: {scope or 'the files below'}. Use it before such work is begun."
    told += f" It is about {', '.join(map(one_line, lens.target_files))}." if lens.target_files else ""
    metadata = {
        "hash": _hash_of(body),
        "written-by": lens.generated_by,
        "readers": json.dumps(list(readers), ensure_ascii=False) if readers else "",
        "gate": gate,
        "files": json.dumps(list(lens.target_files), ensure_ascii=False) if lens.target_files else "",
    }
    front = [
        f"name: {_quoted(skill_name(name or scope))}",
        f"description: {_quoted(shortened(told, _LONGEST_DESCRIPTION))}",
        "metadata:",
        *(f"  {_OURS}{key}: {_quoted(value)}" for key, value in metadata.items() if value),
    ]
    return "\n".join(["---", *front, "---", "", body, ""])


def skill_name(text: str) -> str:
    """Return *text* as a name of a skill: small letters, digits and single hyphens, at most 64 characters."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_LONGEST_NAME].strip("-")
    return name or "lens"


def read_skill(path: Path) -> LensSkill:
    """Return what the ``SKILL.md`` at *path*, or in the folder *path*, says.

    A skill that was made of a lens gives that lens. Of any other, each item of a list and each paragraph
    becomes a heuristic, in its order and with the heading that it stands under; each block of code becomes an
    example. Raises :exc:`~sunwell.errors.ConfigurationError` if it cannot be read, or says nothing.
    """
    file = path / SKILL_FILE if path.is_dir() else path
    return parsed_skill(text_of_file(file, "skill", f"a {SKILL_FILE} or its folder"), str(file))


def parsed_skill(text: str, where: str = SKILL_FILE) -> LensSkill:
    """Return what the *text* of a ``SKILL.md`` says; *where* names it in errors. See :func:`read_skill`."""
    found = _FRONT.match(text)
    if found is None:
        raise ConfigurationError(f"{where} is no skill: it does not begin with '---', name and description")
    front = _mapping(found["front"], where)
    body = _with_plain_ends(text[found.end() :]).strip("\n")
    metadata = {str(key): str(value) for key, value in _members(front.get("metadata")).items()}
    own = _own_parts(body)
    is_own = own is not None
    lens = attrs.evolve(
        own or _foreign_parts(body),
        task_scope=_scope(body) if is_own else one_line(str(front.get("description") or "")),
        target_files=_listed(metadata.get(f"{_OURS}files", "")),
        generated_by=metadata.get(f"{_OURS}written-by", ""),
    )
    if lens.is_empty:
        raise ConfigurationError(f"{where} has no text that could guide anybody")
    return LensSkill(
        lens,
        one_line(str(front.get("name") or "")),
        one_line(str(front.get("description") or "")),
        metadata,
        is_own,
        is_own and metadata.get(f"{_OURS}hash") != _hash_of(body),
    )


def _with_plain_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _hash_of(body: str) -> str:
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()


def _quoted(text: str) -> str:
    return json.dumps(text)  # which YAML reads, with each character outside of ASCII escaped


def _mapping(front: str, where: str) -> dict[str, Any]:
    import yaml

    try:
        value = yaml.safe_load(front)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = one_line(str(error))[:200]
        raise ConfigurationError(f"the head of {where} is not YAML: {line}") from None
    if not isinstance(value, dict) or not value.get("name") or not value.get("description"):
        raise ConfigurationError(f"the head of {where} must have a name and a description")
    return value


def _members(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _listed(text: str) -> tuple[str, ...]:
    try:
        value = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return ()
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _scope(body: str) -> str:
    title = body.partition("\n")[0].removeprefix("# ")
    return title.removeprefix(_SCOPE) if title.startswith(_SCOPE) else ""


def _own_parts(body: str) -> EphemeralLens | None:
    """Return the five parts of a lens whose text *body* is; ``None`` if it is any other text."""
    head, *sections = _sections(body)
    if head[0] != "" or not sections:
        return None
    top, *rest = sections
    if top[0] != "#" or not (top[1].startswith(_SCOPE) or top[1] == _NO_SCOPE) or top[2].strip():
        return None
    names = {title: name for name, title in LENS_SECTIONS}
    parts: dict[str, tuple[str, ...]] = {}
    examples: list[str] = []
    for marks, title, text in rest:
        if marks == "###" and re.fullmatch(r"Example \d+", title):
            examples += map(unguarded, _blocks_of_code(text))
        elif marks == "##" and title in names and names[title] not in parts:
            parts[names[title]] = tuple(list_items(text))
        elif (marks, title, text.strip()) != ("##", _EXAMPLES, ""):
            return None
    return EphemeralLens(**parts, examples=tuple(examples))  # type: ignore[arg-type]


def _sections(body: str) -> list[tuple[str, str, str]]:
    """Return marks, title and text of each section, the text before the first one with neither.

    A heading inside a block of code is none.
    """
    found: list[tuple[str, str, list[str]]] = [("", "", [])]
    for kind, line in kinds_of_lines(body.split("\n")):
        heading = _HEADING.match(line) if kind == "text" else None
        if heading:
            found.append((heading["marks"], heading["title"], []))
        else:
            found[-1][2].append(line)
    return [(marks, title, "\n".join(lines)) for marks, title, lines in found]


def _blocks_of_code(text: str) -> Iterator[str]:
    lines: list[str] | None = None
    for kind, line in kinds_of_lines(text.split("\n")):
        if kind == "code" and lines is not None:
            lines.append(line)
        elif kind == "fence":
            if lines is not None:
                yield "\n".join(lines)
            lines = [] if lines is None else None
    if lines:  # a block that nothing closes
        yield "\n".join(lines)


def _foreign_parts(body: str) -> EphemeralLens:
    rules: list[str] = []
    examples: list[str] = []
    for _, title, text in _sections(body):
        examples += _blocks_of_code(text)
        under = f"{one_line(title)}: " if title else ""
        plain = [line if kind == "text" else "" for kind, line in kinds_of_lines(text.split("\n"))]
        rules += (f"{under}{rule}" for rule in _paragraphs(plain))
    return EphemeralLens(tuple(rules), examples=tuple(one for one in examples if one.strip()))


_ITEM = re.compile(r"^ {0,3}(?:[-*+]|\d{1,9}[.)])[ \t]+")


def _paragraphs(lines: Sequence[str]) -> Iterator[str]:
    """Yield each paragraph and each item of a list, on one line."""
    waiting: list[str] = []
    for line in [*lines, ""]:
        begins = _ITEM.match(line)
        if (begins or not line.strip()) and waiting:
            yield one_line(" ".join(waiting))
            waiting = []
        if line.strip():
            waiting.append(line[begins.end() :] if begins else line)
