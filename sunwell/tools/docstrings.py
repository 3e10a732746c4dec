"""Reads what a docstring says of a function and of its parameters."""

import inspect
import re

_SECTION = re.compile(r"(Args|Arguments|Parameters|Attributes|Returns|Raises|Yields|Examples?|Notes?):\s*")
_PARAMETER = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)")
_UNDERLINED = re.compile(r"^[A-Z][\w ]*\n-{3,}[ ]*$", re.MULTILINE)
_FIELD = re.compile(
    r"^:(?:param|parameter|arg|argument|type|returns?|rtype|raises?|var|ivar)\b[^:\n]*:", re.MULTILINE
)


def read_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """Return the description before the first section, and what is said of each parameter.

    The styles of Google (``Args:``), numpy (``Parameters`` underlined) and Sphinx (``:param name:``) are
    known; in a class, ``Attributes`` count, too.
    """
    clean = inspect.cleandoc(text or "")
    start = min(
        (found.start() for style in (_UNDERLINED, _FIELD) if (found := style.search(clean))), default=-1
    )
    if start >= 0:
        return clean[:start].strip(), _parsed(clean)
    return _read_sections(clean)


def _parsed(text: str) -> dict[str, str]:
    import docstring_parser

    try:
        params = docstring_parser.parse(text).params
    except docstring_parser.ParseError:
        return {}
    return {
        name.strip().lstrip("*"): " ".join((one.description or "").split())
        for one in params
        for name in one.arg_name.split(",")
    }


def _read_sections(text: str) -> tuple[str, dict[str, str]]:
    before: list[str] = []
    parameters: dict[str, list[str]] = {}
    section, current, margin = "", "", None
    for line in text.split("\n"):
        heading = _SECTION.fullmatch(line)
        if heading:
            section, current, margin = heading[1], "", None
        elif not section:
            before.append(line)
        elif section in ("Args", "Arguments", "Parameters", "Attributes") and line.strip():
            indent = len(line) - len(line.lstrip())
            margin = indent if margin is None else margin
            named = _PARAMETER.fullmatch(line.strip()) if indent <= margin else None
            if named:
                current = named[1]
                parameters[current] = [named[2]]
            elif current:
                parameters[current].append(line.strip())
    return "\n".join(before).strip(), {name: " ".join(said).strip() for name, said in parameters.items()}
