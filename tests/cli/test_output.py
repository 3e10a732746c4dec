"""Everything for the terminal goes through one module."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sunwell

PACKAGE = Path(sunwell.__file__).parent
LAYER = {"cli/output.py", "cli/terminal.py"}
TOO_EARLY = {"__main__.py"}
"""Writes one fixed line, at a signal before anything is loaded."""
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}
CLICK = {"echo", "secho", "style", "prompt", "confirm", "echo_via_pager", "pause", "clear", "progressbar"}


def writes(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each way to the terminal in *source*."""
    nodes = list(ast.walk(ast.parse(source)))
    only_asked = {id(part) for node in nodes for part in _only_asked(node)}
    for node in nodes:
        match node:
            case ast.Name(id="print"):
                yield node.lineno, "print"
            case ast.Attribute(value=ast.Name(id="sys"), attr=name) if name in STREAMS:
                if id(node) not in only_asked:
                    yield node.lineno, f"sys.{name}"
            case ast.Attribute(value=ast.Name(id="click"), attr=name) if name in CLICK:
                yield node.lineno, f"click.{name}"
            case ast.ImportFrom(module="click" | "sys" | "rich", names=names):
                for one in names:
                    if one.name in CLICK | STREAMS | {"print"}:
                        yield node.lineno, one.name
            case ast.Call(func=ast.Name(id="Console") | ast.Attribute(attr="Console")):
                yield node.lineno, "Console"
            case ast.Attribute(attr="StreamHandler" | "basicConfig" as name):
                yield node.lineno, f"logging.{name}"
            case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr="write"), args=[target, *_]):
                if isinstance(target, ast.Constant):
                    yield node.lineno, "os.write"
            case ast.Attribute(value=ast.Name(id="traceback"), attr="print_exc" | "print_exception" as name):
                yield node.lineno, f"traceback.{name}"


def _only_asked(node: ast.AST) -> list[ast.AST]:
    """Return the stream that *node* asks whether it is a terminal, or whether it is there at all."""
    match node:
        case ast.Attribute(value=stream, attr="isatty"):
            return [stream]
        case ast.Compare(left=stream, ops=[ast.Is() | ast.IsNot()]):
            return [stream]
    return []


@pytest.mark.parametrize(
    "source",
    [
        "print('x')",
        "import sys\nsys.stderr.write('x')",
        "from sys import stdout",
        "import click\nclick.secho('x')",
        "from click import echo",
        "from rich.console import Console\nConsole()",
        "import os\nos.write(2, b'x')",
        "import logging\nlogging.basicConfig()",
    ],
)
def test_the_search_finds(source: str) -> None:
    """Each way to the terminal is known to the search."""
    assert list(writes(source))


def test_nothing_else_writes_to_the_terminal() -> None:
    """To ask a stream whether it is a terminal is no writing."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name not in LAYER | TOO_EARLY:
            found += [f"{name}:{line}: {what}" for line, what in writes(path.read_text("utf-8"))]
    assert found == []
