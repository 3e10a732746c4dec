"""What is read of a source file: its definitions, their lines, its imports; whatever the file holds."""

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.context.outline import Outline, is_code, outline

ROOT = Path(__file__).parents[2]
SHOP = '''import os
from . import money
from .carts.cart import Cart as C

@cached
class Order(Base, metaclass=M):
    """An order."""

    @property
    def total(self, *, net: bool = False) -> int:
        return 1

    async def send(self): ...

if os.name == "posix":
    def find(): pass
else:
    def find(): pass
'''


def test_definitions_have_their_signatures_and_lines():
    """Decorators belong to a definition, methods to their class, and branches are looked into."""
    made = outline("shop/order.py", SHOP)
    assert [(d.name, d.signature, d.first_line, d.last_line, d.depth) for d in made.definitions] == [
        ("Order", "class Order(Base, metaclass=M)", 5, 13, 0),
        ("total", "def total(self, *, net: bool=False) -> int", 9, 11, 1),
        ("send", "async def send(self)", 13, 13, 1),
        ("find", "def find()", 16, 16, 0),
        ("find", "def find()", 18, 18, 0),
    ]
    assert made.imports == {"os", "shop", "shop.money", "shop.carts.cart", "shop.carts.cart.Cart"}


@pytest.mark.parametrize(
    ("path", "text", "names"),
    [
        pytest.param(
            "a.go", "func (s *Shop) Find(id int) {\n}\ntype Cart struct {\n}", ["Find", "Cart"], id="go"
        ),
        pytest.param(
            "a.ts", "export class A {\n  x() {}\n}\nexport async function b() {}", ["A", "b"], id="ts"
        ),
        pytest.param(
            "a.rs",
            "pub(crate) fn find() {}\nimpl Cart {\n    fn add() {}\n}",
            ["find", "Cart", "add"],
            id="rust",
        ),
        pytest.param("a.rb", "class A\n  def b\n  end\nend", ["A", "b"], id="ruby"),
        pytest.param("a.py", "class A:\n    def b(self:\n", ["A", "b"], id="python-that-does-not-parse"),
        pytest.param("a.txt", "class A:\n", [], id="prose"),
    ],
)
def test_other_languages_are_read_by_lines(path: str, text: str, names: list[str]):
    """A word such as ``func`` at the beginning of a line is enough; another file defines nothing."""
    assert [one.name for one in outline(path, text).definitions] == names


HOSTILE = {
    "null-byte": "def a(): pass\0",
    "lone-surrogate": "def a(): return '\udc80'",
    "deep-brackets": "x = " + "(" * 5_000 + ")" * 5_000,
    "deep-unary": "x = " + "-" * 50_000 + "1",
    "deep-attributes": "x = a" + ".b" * 50_000,
    "deep-blocks": "\n".join(" " * n + "if x:" for n in range(200)),
    "deep-default": "def a(x=" + "[" * 90 + "]" * 90 + "): pass",
    "deep-classes": "\n".join(" " * n + f"class A{n}:" for n in range(90)) + "\n" + " " * 90 + "pass",
    "huge-line": "def a(" + "x, " * 100_000 + "): pass",
    "many-definitions": "def a(): pass\n" * 20_000,
    "many-broken-definitions": "def a(:\n" * 20_000,
    "old-python": "print 'x'\nclass A: pass",
    "invalid-escape": "def a(): return '\\d'",
    "carriage-returns": "def a():\r    pass\rdef b(): pass\n",
    "form-feed": "def a(): pass\n\f\ndef b(): pass\n",
    "too-many-dots": "from ...... import a",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("ending", [".py", ".js"])
def test_no_file_breaks_it(text: str, ending: str):
    """Nothing is raised or warned of, and every line that is named is there."""
    check(outline("a/b" + ending, text), text)


def check(made: Outline, text: str) -> None:
    lines = text.count("\n") + 1
    for one in made.definitions:
        assert 1 <= one.first_line <= one.last_line <= lines
        assert one.name
        assert "\n" not in one.signature
        assert len(one.signature) <= 160
    assert "" not in made.imports


LINES = [
    "class A:",
    "def b(x):",
    "  def c(self): pass",
    "@d",
    "    pass",
    "pass",
    "import e.f",
    "if x:",
    "else:",
]
ODD = [
    "from . import g",
    "try:",
    '"""',
    "(",
    ")",
    "\\",
    "\r",
    "\x0c",
    "\0",
    "é = '漢'",
    "async def h(): ...",
    "",
]
source = st.lists(st.sampled_from([*LINES, *ODD]), max_size=30).map("\n".join)


@settings(max_examples=300)
@given(text=source, path=st.sampled_from(["a.py", "p/q/__init__.py", "a.ts", "a.pyi"]))
def test_any_text_gives_lines_that_are_there(text: str, path: str):
    """Whatever stands in the file, and the same each time."""
    made = outline(path, text)
    check(made, text)
    assert outline(path, text) == made


@pytest.mark.parametrize("path", sorted((ROOT / "sunwell").rglob("*.py")), ids=lambda path: path.name)
def test_all_that_python_sees_at_the_top_is_seen(path: Path):
    """On real source the names are those of the syntax tree, in order."""
    text = path.read_text()
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    names = [node.name for node in ast.parse(text).body if isinstance(node, kinds)]
    found = [one.name for one in outline(str(path), text).definitions if one.depth == 0]
    assert [name for name in found if name in names] == names


@pytest.mark.parametrize(
    ("path", "so"),
    [("a.py", True), ("A.PY", True), ("a.pyi", True), ("a.Tsx", True), ("a.md", False), ("py", False)],
)
def test_source_is_known_by_its_ending(path: str, so: bool):
    """In any case of letters."""
    assert is_code(path) is so
