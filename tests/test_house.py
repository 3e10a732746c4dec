"""Sizes and names that keep the house readable."""

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "sunwell"
FILES = sorted(path for path in ROOT.rglob("*.py") if path.name != "__init__.py")
BANNED = {"utils", "helpers", "common", "base", "manager"}


def functions() -> list[tuple[str, int, int, bool]]:
    """Return each function: where it is, its lines, its parameters, whether it is public."""
    found = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                names = [arg.arg for arg in [*node.args.args, *node.args.kwonlyargs]]
                count = len([name for name in names if name not in ("self", "cls")])
                where = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
                found.append((where, lines, count, not node.name.startswith("_")))
    return found


def test_functions_are_short() -> None:
    """95th percentile at most 35 lines, none over 60."""
    lengths = {where: lines for where, lines, _, _ in functions()}
    assert {where: lines for where, lines in lengths.items() if lines > 60} == {}
    assert statistics.quantiles(lengths.values(), n=20)[-1] <= 35


def test_modules_are_named_for_what_they_do() -> None:
    """No module is called by a word that says nothing."""
    assert [str(path) for path in FILES if path.stem.strip("_") in BANNED] == []


@pytest.mark.parametrize("path", sorted(ROOT.rglob("__init__.py")), ids=lambda path: path.parent.name)
def test_packages_only_import_and_list(path: Path) -> None:
    """An ``__init__`` holds a docstring, imports and ``__all__`` (ruff keeps it sorted), nothing else."""
    if path.parent == ROOT:
        return  # the front door loads its names on first use
    for node in ast.parse(path.read_text()).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        listing = isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
        assert docstring or listing or isinstance(node, ast.ImportFrom), f"{path}:{node.lineno}"
