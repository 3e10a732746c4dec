"""What a source file defines: classes, functions and their signatures, with the lines where they stand."""

import ast
import re
from collections.abc import Iterator

import attrs

_SIGNATURE_CHARACTERS = 160
_DEFINITION = re.compile(
    r"^(?P<indent>[ \t]*)(?:(?:export|default|public|private|protected|internal|static|final|abstract|async"
    r"|pub(?:\([a-z]+\))?|unsafe|const|override|virtual|inline|sealed|open|data|suspend)\s+)*"
    r"(?P<kind>class|interface|struct|enum|trait|impl|module|namespace|object|func|function|fn|fun|def|sub|type)"
    r"\b\s*(?:\([^)]*\)\s*)?(?P<name>[A-Za-z_$][\w$.:]*)?",
)
_PYTHON = (".py", ".pyi")
_CODE = (
    ".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".go", ".rs", ".java", ".kt", ".kts", ".scala", ".swift",
    ".cs", ".c", ".h", ".cc", ".cpp", ".hpp", ".rb", ".php", ".lua", ".ex", ".exs", ".pl", ".jl", ".dart",
)  # fmt: skip


@attrs.frozen
class Definition:
    """A class, function or method. Lines count from 1, decorators and the last line included."""

    name: str
    signature: str
    """Its head on one line, shortened if it is long."""
    first_line: int
    last_line: int
    depth: int = 0
    """0 at the top of the file, 1 in a class."""


def is_code(path: str) -> bool:
    """Whether :func:`definitions` can say something about a file of this name."""
    return path.endswith(_PYTHON) or path.lower().endswith(_CODE)


def definitions(path: str, text: str) -> tuple[Definition, ...]:
    """Return what *text*, the content of the file *path*, defines, in the order in which it stands.

    Python is parsed. Other languages, and Python that does not parse, are read line by line for words
    such as ``class`` and ``func``; a definition ends where the next one of its depth begins.
    """
    if path.endswith(_PYTHON):
        try:
            return tuple(_of_python(ast.parse(text).body, 0))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return _by_lines(text)
    return _by_lines(text) if is_code(path) else ()


def imported_modules(path: str, text: str) -> frozenset[str]:
    """Return the dotted names of the modules that a Python file imports; none for other languages.

    ``from .a import b`` in ``p/q.py`` gives ``p.a`` and ``p.a.b``: what is a module and what a name in it
    cannot be seen in the file.
    """
    if not path.endswith(_PYTHON):
        return frozenset()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    found: set[str] = set()
    package = path.rpartition("/")[0].split("/") if "/" in path else []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return frozenset(name for name in found if name)


def _of_python(body: list[ast.stmt], depth: int) -> Iterator[Definition]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            yield Definition(node.name, _shortened(_head(node)), first, node.end_lineno or node.lineno, depth)
            if isinstance(node, ast.ClassDef):
                yield from _of_python(node.body, depth + 1)
        elif isinstance(node, ast.If | ast.Try):
            handled = [handler.body for handler in node.handlers] if isinstance(node, ast.Try) else []
            for part in (node.body, *handled, node.orelse):
                yield from _of_python(part, depth)


def _head(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(one) for one in (*node.bases, *node.keywords))
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{word} {node.name}({ast.unparse(node.args)}){returns}"


def _shortened(words: str) -> str:
    return words if len(words) <= _SIGNATURE_CHARACTERS else f"{words[: _SIGNATURE_CHARACTERS - 2]} …"


def _by_lines(text: str) -> tuple[Definition, ...]:
    lines = text.splitlines()
    found: list[tuple[int, int, str, str]] = []
    for number, line in enumerate(lines, 1):
        match = _DEFINITION.match(line) if len(line) < 1_000 else None
        if match and match["name"]:
            indent = len(match["indent"].expandtabs(4))
            found.append((number, indent, match["name"], _shortened(line.strip().rstrip("{ :"))))
    made = []
    for at, (number, indent, name, head) in enumerate(found):
        following = (later for later, other, *_ in found[at + 1 :] if other <= indent)
        last = next(following, len(lines) + 1) - 1
        made.append(Definition(name, head, number, last, min(1, indent // 2)))
    return tuple(made)
