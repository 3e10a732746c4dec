"""Reads what a function's docstring says of it and of its parameters."""

import inspect
import re

_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns|Raises|Yields|Examples?|Notes?):\s*")
_PARAMETER = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)")


def read_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    """Return the description before the first section, and the parameters of the section ``Args``."""
    before: list[str] = []
    parameters: dict[str, list[str]] = {}
    section, current, margin = "", "", None
    for line in inspect.cleandoc(text or "").split("\n"):
        heading = _SECTION.fullmatch(line)
        if heading:
            section, current, margin = heading[1], "", None
        elif not section:
            before.append(line)
        elif section in ("Args", "Arguments", "Parameters") and line.strip():
            indent = len(line) - len(line.lstrip())
            margin = indent if margin is None else margin
            named = _PARAMETER.fullmatch(line.strip()) if indent <= margin else None
            if named:
                current = named[1]
                parameters[current] = [named[2]]
            elif current:
                parameters[current].append(line.strip())
    return "\n".join(before).strip(), {name: " ".join(said).strip() for name, said in parameters.items()}
