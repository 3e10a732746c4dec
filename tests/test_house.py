"""Sizes and names that keep the house readable."""

import ast
import collections
import graphlib
import statistics
from pathlib import Path

import pytest

import sunwell

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


def module_of(path: Path) -> str:
    """Return the dotted name of the module at *path*."""
    name = ".".join(("sunwell", *path.relative_to(ROOT).with_suffix("").parts))
    return name.removesuffix(".__init__")


def imported(path: Path, *, at_import_time: bool) -> set[str]:
    """Return the modules that *path* imports; imports for types alone are left out.

    *at_import_time* leaves out those inside functions, which run later.
    """
    found = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if at_import_time and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found |= {name if name in MODULES else node.module} & MODULES.keys()
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & MODULES.keys()
        waiting.extend(ast.iter_child_nodes(node))
    return found


MODULES = {module_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def test_no_class_and_no_module_has_the_name_of_another() -> None:
    """A name leads to one place; ``__init__`` is the only file name that occurs twice."""
    classes, modules = collections.Counter[str](), collections.Counter(path.stem for path in FILES)
    for path in FILES:
        tree = ast.walk(ast.parse(path.read_text()))
        classes.update(node.name for node in tree if isinstance(node, ast.ClassDef))
    assert [name for name, count in classes.items() if count > 1] == []
    assert [name for name, count in modules.items() if count > 1] == []


def test_no_two_modules_of_a_room_differ_by_an_s() -> None:
    """``record_command`` beside ``record_commands`` would be guessed wrongly half of the time."""
    names = {(path.parent, path.stem) for path in FILES}
    assert [name for parent, name in names if (parent, f"{name}s") in names] == []


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    """Whatever is imported first, the rest is there."""
    needs = {name: imported(path, at_import_time=True) - {name} for name, path in MODULES.items()}
    sorter = graphlib.TopologicalSorter(needs)
    sorter.prepare()  # raises CycleError, which names the circle


def test_few_small_modules_serve_a_single_other_one() -> None:
    """A module of at most 110 lines with one importer usually belongs into that importer."""
    importers: dict[str, set[str]] = collections.defaultdict(set)
    for name, path in MODULES.items():
        if path.name != "__init__.py":
            for other in imported(path, at_import_time=False):
                importers[other].add(name)
    small = [
        name
        for name, path in MODULES.items()
        if path.name != "__init__.py"
        and len(path.read_text().splitlines()) <= 110
        and len(importers[name]) == 1
    ]
    assert len(small) <= 17, small


def test_every_public_name_is_documented() -> None:
    """What ``sunwell`` offers has a docstring and stands in the documentation."""
    pages = [ROOT.parent / "README.md", *sorted((ROOT.parent / "docs").glob("*.md"))]
    said = "\n".join(page.read_text() for page in pages)
    for name in sunwell.__all__:
        assert (getattr(sunwell, name).__doc__ or "").strip(), name
        assert name in said, name
