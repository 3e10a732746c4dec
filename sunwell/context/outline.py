"""What a source file defines and imports: classes, functions and their signatures, with their lines."""

import ast
import re
import warnings
from collections.abc import Iterator

import attrs

_SIGNATURE_CHARACTERS = 160
_LONGEST_LINE = 1_000  # a longer line is data, or was written by a program
_DEFINITION = re.compile(
    r"^(?P<indent>[ \t]*)(?:(?:export|default|public|private|protected|internal|static|final|abstract|async"
    r"|pub(?:\([a-z]+\))?|unsafe|const|override|virtual|inline|sealed|open|data|suspend)\s+)*"
    r"(?:class|interface|struct|enum|trait|impl|module|namespace|object|func|function|fn|fun|def|sub|type)"
    r"\b\s*(?:\([^)]*\)\s*)?(?P<name>[A-Za-z_$][\w$.:]*)",
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


@attrs.frozen
class Outline:
    """What is known of a file without running it."""

    definitions: tuple[Definition, ...] = ()
    """In the order in which they stand."""
    imports: frozenset[str] = frozenset()
    """Dotted names of modules. ``from .a import b`` in ``p/q.py`` gives ``p.a`` and ``p.a.b``: whether ``b``
    is a module cannot be seen in the file."""


def is_code(path: str) -> bool:
    """Whether :func:`outline` can say something about a file of this name."""
    return path.lower().endswith(_PYTHON + _CODE)


def outline(path: str, text: str) -> Outline:
    """Return what *text*, the content of the file *path*, defines and imports; nothing if it is not source.

    Lines end at ``"\\n"`` alone. Python is parsed. Other languages, and Python that does not parse, are
    read line by line for words such as ``class`` and ``func``; a definition ends where the next one of its
    depth begins, and imports are not known.
    """
    if not is_code(path):
        return Outline()
    if path.lower().endswith(_PYTHON):
        try:
            with warnings.catch_warnings(action="ignore"):  # of the code that is read, not of ours
                # To Python a lone carriage return ends a line: the numbers would not be those of *text*.
                tree = ast.parse(text.replace("\r", " "))
            return Outline(tuple(_of_python(tree.body, 0)), frozenset(_imported(path, tree)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass
    return Outline(_by_lines(text))


def _imported(path: str, tree: ast.Module) -> Iterator[str]:
    package = path.rpartition("/")[0].split("/") if "/" in path else []
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: max(0, len(package) - node.level + 1)] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ([base] if base else [])
            yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield all statements; expressions, which are most of a tree, are not looked into."""
    waiting: list[ast.AST] = [*body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.stmt):
            yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, field, ())
            if isinstance(inner, list):
                waiting += inner


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
    on_one_line = " ".join(words.split())
    if len(on_one_line) <= _SIGNATURE_CHARACTERS:
        return on_one_line
    return f"{on_one_line[: _SIGNATURE_CHARACTERS - 2]} …"


def _by_lines(text: str) -> tuple[Definition, ...]:
    lines = text.split("\n")
    found: list[tuple[int, int, str, str]] = []
    for number, line in enumerate(lines, 1):
        match = _DEFINITION.match(line) if len(line) < _LONGEST_LINE else None
        if match:
            indent = len(match["indent"].expandtabs(4))
            found.append((number, indent, match["name"].rstrip(":."), _shortened(line.strip().rstrip("{ :"))))
    made: list[Definition] = []
    open_until: list[tuple[int, int]] = []  # backwards: indents still open, and where the next one begins
    for number, indent, name, head in reversed(found):
        while open_until and open_until[-1][0] > indent:
            open_until.pop()
        last = (open_until[-1][1] if open_until else len(lines) + 1) - 1
        open_until.append((indent, number))
        made.append(Definition(name, head, number, last, min(1, indent // 2)))
    return tuple(reversed(made))
