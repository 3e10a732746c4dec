"""The page on events names every signal, its payload and its fields, as they are.

``python tests/events/test_documented.py`` writes its table anew.
"""

import ast
import re
from itertools import pairwise
from pathlib import Path

import attrs
import blinker

import sunwell.events
from sunwell.events import signals

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "events.md"


def sentences() -> dict[str, str]:
    """Return what stands in the code below each signal."""
    body = ast.parse(Path(signals.__file__).read_text()).body
    found = {}
    for made, told in pairwise(body):
        if isinstance(made, ast.Assign) and isinstance(told, ast.Expr):
            assert isinstance(made.targets[0], ast.Name)
            assert isinstance(told.value, ast.Constant)
            found[made.targets[0].id] = " ".join(str(told.value.value).split())
    return found


def test_the_list_of_signals_has_each_of_them() -> None:
    """Whoever takes all of them misses none."""
    assert set(signals.__all__) == set(sentences())


def rows() -> list[str]:
    """Return the lines that the table must have, in the order of the code."""
    made = []
    for name, sentence in sentences().items():
        told = re.fullmatch(r"(Sent .*), with :class:`(\w+)`\.", sentence)
        assert told, f"{name}: the sentence must end with its payload"
        payload = getattr(sunwell.events, told[2])
        fields = ", ".join(f"`{field.name}`" for field in attrs.fields(payload))
        moment = told[1].removeprefix("Sent ").replace("``", "`")
        made.append(f"| `{name}` | `{told[2]}` | {fields} | {moment} |")
    return made


def write() -> None:
    """Put the table as it must be in place of the one that is there."""
    lines = PAGE.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("| ---")) + 1
    rest = [line for line in lines[first:] if not line.startswith("| `")]
    PAGE.write_text("\n".join([*lines[:first], *rows(), *rest]) + "\n")


def test_every_signal_has_its_row() -> None:
    """Name, payload, fields and moment are the code's own; nothing else stands in the table."""
    written = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert written == rows()


def test_every_signal_is_public() -> None:
    """What the table lists is all that can be connected to, importable from one place."""
    public = {
        name for name in dir(sunwell.events) if isinstance(getattr(sunwell.events, name), blinker.Signal)
    }
    assert public == set(sentences())


if __name__ == "__main__":
    write()
