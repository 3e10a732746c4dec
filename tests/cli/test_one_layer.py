"""Nothing but the output layer writes to the terminal: the source is searched for any other way."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "sunwell"
LAYER = ROOT / "cli" / "output.py"
STREAMS = ROOT / "cli" / "terminal.py"
"""Puts the layer's streams into the place of the standard ones."""
CHILDREN = {
    "subprocess": {"run", "Popen", "call", "check_call", "check_output"},
    "asyncio": {"create_subprocess_exec", "create_subprocess_shell"},
}
WRITERS = {
    "click": {
        *("echo", "secho", "style", "confirm", "prompt", "pause", "edit", "clear", "progressbar"),
        *("echo_via_pager", "get_text_stream", "get_binary_stream", "open_file"),
    },
    "logging": {"basicConfig", "StreamHandler", "FileHandler", "lastResort", "config", "handlers"},
    "os": {"system", "popen", "spawnv", "spawnvp", "dup2", "openpty", "execv", "execvp"},
    "pydoc": {"pager", "pipepager"},
    "sys": {"__stdout__", "__stderr__", "displayhook", "excepthook", "unraisablehook"},
    "threading": {"excepthook"},
    "traceback": {"print_exc", "print_exception", "print_last", "print_stack", "print_tb"},
    "warnings": {"showwarning"},
}
MODULES = {
    "colorama",
    "curses",
    "faulthandler",
    "getpass",
    "pprint",
    "prompt_toolkit",
    "pty",
    "readline",
    "tty",
}
RICH = {"print", "get_console", "inspect", "print_json", "Console", "RichHandler", "Prompt", "render"}
BUILTINS = {"print", "input", "breakpoint", "help"}
ASKS_ONLY = {"isatty", "fileno", "encoding"}


def _is_for_types(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _with_parents(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield each node with its parent, except for what is imported for type hints alone."""
    rest: list[ast.AST] = [tree]
    while rest:
        parent = rest.pop()
        for child in ast.iter_child_nodes(parent):
            if not (isinstance(child, ast.If) and _is_for_types(child)):
                yield child, parent
                rest.append(child)


def _stream(node: ast.Attribute, parent: ast.AST) -> str | None:
    """Say that a standard stream is used for more than a question about it."""
    if not (
        isinstance(node.value, ast.Name) and node.value.id == "sys" and node.attr in ("stdout", "stderr")
    ):
        return None
    is_question = isinstance(parent, ast.Attribute) and parent.attr in ASKS_ONLY
    return None if is_question or isinstance(parent, ast.Compare) else f"sys.{node.attr}"


def _child(node: ast.Call) -> str | None:
    """Say that a program gets the terminal: whoever starts one must say where its output goes."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    owner = node.func.value if isinstance(node.func, ast.Attribute) else None
    starts = isinstance(owner, ast.Name) and name in CHILDREN.get(owner.id, ())
    named = {keyword.arg for keyword in node.keywords}
    if not starts or "capture_output" in named or {"stdout", "stderr"} <= named:
        return None
    return f"{name} without stdout and stderr"


def _call(node: ast.Call) -> str | None:
    function = node.func
    if isinstance(function, ast.Name) and function.id in BUILTINS:
        return function.id
    if isinstance(function, ast.Name) and function.id == "open" and node.args:
        aim = node.args[0]
        if isinstance(aim, ast.Constant) and (aim.value in (1, 2) or "/dev/" in str(aim.value)):
            return "open"
    if not isinstance(function, ast.Attribute):
        return None
    if function.attr in ("from_markup", "from_ansi", "addHandler"):
        return function.attr
    if function.attr in ("write", "fdopen", "writev", "FileIO") and node.args:
        aim, *rest = node.args
        is_fixed = function.attr == "write" and all(isinstance(part, ast.Constant) for part in rest)
        if isinstance(aim, ast.Constant) and aim.value in (1, 2) and not is_fixed:
            return f"{function.attr} to {aim.value}"
    is_drawn = function.attr in ("add_row", "add_column") or (
        function.attr == "print" and ast.unparse(function.value).endswith("console")
    )
    if is_drawn and any(isinstance(part, ast.JoinedStr | ast.BinOp) for part in node.args):
        return "text for rich that did not pass cell"
    return _child(node)


def _rich_text(node: ast.Call) -> str | None:
    is_text = isinstance(node.func, ast.Name) and node.func.id == "Text"
    is_safe = all(isinstance(part, ast.Constant) for part in node.args)
    return "rich's Text of something else than a constant: take cell" if is_text and not is_safe else None


def _imported(node: ast.Import | ast.ImportFrom) -> str | None:
    if isinstance(node, ast.Import):
        return next((one.name for one in node.names if one.name.split(".")[0] in MODULES), None)
    module = (node.module or "").split(".")[0]
    if module in MODULES:
        return module
    found = WRITERS.get(module, set()) | ({"stdout", "stderr"} if module == "sys" else set())
    found |= RICH if module == "rich" else set()
    return next((f"{module}.{one.name}" for one in node.names if one.name in found), None)


def writes(source: str) -> Iterator[tuple[int, str]]:
    """Yield each line of *source* that writes, or may write, to the terminal, with what does it."""
    for node, parent in _with_parents(ast.parse(source)):
        found = None
        if isinstance(node, ast.Import | ast.ImportFrom):
            found = _imported(node)
        elif isinstance(node, ast.Attribute):
            found = _stream(node, parent)
            if isinstance(node.value, ast.Name) and node.attr in WRITERS.get(node.value.id, ()):
                found = f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Call):
            found = _call(node) or (_rich_text(node) if "from rich.text import" in source else None)
        if found is not None:
            assert isinstance(node, ast.expr | ast.stmt)
            yield node.lineno, found


def test_only_the_layer_writes_to_the_terminal() -> None:
    """Print through ``say``, ``say_text``, ``say_change``, ``say_json`` and ``cell`` of the layer."""
    others = [
        f"{path.relative_to(ROOT.parent)}:{line}: {what}"
        for path in sorted(ROOT.rglob("*.py"))
        if path not in (LAYER, STREAMS)
        for line, what in writes(path.read_text())
    ]
    assert others == []


@pytest.mark.parametrize(
    "source",
    [
        "print('a')",
        "x = input()",
        "import sys\nsys.stdout.write('a')",
        "import sys\nsys.stderr.buffer.write(b'a')",
        "import sys\nf(file=sys.stderr)",
        "from sys import stdout",
        "import sys\nsys.__stdout__.write('a')",
        "import click\nclick.echo('a')",
        "import click\nclick.secho('a')",
        "import click\nclick.echo_via_pager('a')",
        "from click import style",
        "import os\nos.write(2, text)",
        "import os\nos.fdopen(1, 'w')",
        "open('/dev/tty', 'w')",
        "open(1, 'w')",
        "import os\nos.system('ls')",
        "import logging\nlogging.basicConfig()",
        "import logging\nlogging.getLogger().addHandler(x)",
        "from logging import StreamHandler",
        "import traceback\ntraceback.print_exc()",
        "from rich import print",
        "from rich.console import Console",
        "from rich.text import Text\nText(name)",
        "from rich.text import Text\nText.from_markup('a')",
        "table.add_row(f'{name}')",
        "self.console.print('a' + name)",
        "import subprocess\nsubprocess.run(['ls'], stdout=1)",
        "import curses",
        "from pprint import pprint",
    ],
)
def test_the_search_finds(source: str) -> None:
    """Each way to write to a terminal that this test is about."""
    assert list(writes(source)) != []


@pytest.mark.parametrize(
    "source",
    [
        "import sys\nsys.stdout.isatty()",
        "import sys\nx = sys.stdout is None",
        "import subprocess\nsubprocess.run(['ls'], capture_output=True)",
        "from rich.text import Text\nText('…')",
        "import os\nos.write(file, text)",
        "import os\nos.write(2, b'cancelled')",
        "from sunwell.cli.output import say\nsay('a')",
        "if TYPE_CHECKING:\n    from rich.console import Console",
    ],
)
def test_the_search_leaves(source: str) -> None:
    """What writes nowhere, or elsewhere."""
    assert list(writes(source)) == []
