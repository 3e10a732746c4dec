"""What a model gets from search_files."""

import asyncio
import re
import warnings

import pytest

from sunwell.core.secrets import Secrets
from sunwell.tools import Toolbox, ToolLimits


@pytest.fixture
def project(folder):
    for path, data in {
        ".gitignore": b"*.log\n",
        ".env": b"needle=1\n",
        "a.log": b"needle\n",
        "a.py": b"one\nneedle = 1\nNeedle\n",
        "src/b.ts": b"x needle.y\r\n",
        "src/latin.txt": b"caf\xe9 needle\n",
        "bin": b"needle\0",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


A, B, C = "a.py:2: needle = 1", "src/b.ts:1: x needle.y", "src/latin.txt:1: caf\ufffd needle"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"pattern": "needle"}, f"{A}\n{B}\n{C}", id="plain-word"),
        pytest.param({"pattern": "^n\\w+"}, A, id="expression"),
        pytest.param({"pattern": "(?i)^needle"}, f"{A}\na.py:3: Needle", id="ignoring-case"),
        pytest.param({"pattern": "e.y"}, B, id="expression-with-a-dot"),
        pytest.param({"pattern": "e.y", "literal": True}, B, id="dot-as-it-is"),
        pytest.param({"pattern": "e = .", "literal": True}, "no match in 4 files", id="dot-is-no-joker"),
        pytest.param({"pattern": "needle", "path": "src"}, f"{B}\n{C}", id="folder"),
        pytest.param({"pattern": "needle", "path": "a.py"}, A, id="file"),
        pytest.param({"pattern": "needle", "path": "a.log"}, "a.log:1: needle", id="ignored-file-by-name"),
        pytest.param({"pattern": "needle", "glob": "*.ts"}, B, id="glob"),
        pytest.param({"pattern": "needl[e]", "glob": "src/**/*.txt"}, C, id="deep-glob"),
        pytest.param({"pattern": "nothing here"}, "no match in 4 files", id="no-match"),
    ],
)
async def test_matches_come_with_path_and_line(project, box, ask, given, said):
    """Ignored, private and binary files are left out; both ways of matching agree."""
    result = await ask(box, "search_files", **given)
    assert (result.content, result.is_error) == (said, False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"pattern": ""}, "pattern is empty; write what to look for", id="empty"),
        pytest.param({"pattern": "x" * 1001}, "pattern is longer than 1,000 characters", id="long"),
        pytest.param({"pattern": "a\nb", "literal": True}, "pattern has a line end in it", id="two-lines"),
        pytest.param({"pattern": "("}, "pattern is no regular expression: missing )", id="malformed"),
        pytest.param({"pattern": "(?V1)a"}, "pattern is no regular expression: VERSION0", id="flags"),
        pytest.param({"pattern": "(?R)"}, "pattern calls itself", id="itself"),
        pytest.param({"pattern": "(?P<a>x(?&a)?)"}, "pattern calls itself or a group", id="group"),
        pytest.param({"pattern": "(x(?1)?y)"}, "pattern calls itself or a group", id="number"),
        pytest.param({"pattern": "a", "glob": "!"}, "glob '!' selects nothing; write", id="glob"),
        pytest.param({"pattern": "a", "path": "no"}, "there is no folder 'no'", id="no-folder"),
        pytest.param({"pattern": "[a]", "path": "no"}, "there is no folder 'no'", id="no-folder-too"),
        pytest.param({"pattern": "a", "path": "../"}, "'../' leads out of the workspace", id="outside"),
        pytest.param({"pattern": "a", "path": ".env"}, "'.env' is refused: files named .env", id="env"),
        pytest.param({"pattern": "a", "path": "bin"}, "'bin' is no text (binary, 7 bytes)", id="binary"),
    ],
)
async def test_a_search_that_cannot_be_made_says_why(project, box, ask, given, said):
    """One sentence tells what is wrong."""
    result = await ask(box, "search_files", **given)
    assert result.is_error
    assert result.content.startswith(said)


async def test_an_exploding_expression_is_stopped(folder, ask):
    """An expression that would run for years ends when its time is over, and other work goes on meanwhile."""
    (folder / "x").write_text("a" * 60 + "b\n")
    box = Toolbox(folder, secrets=Secrets(), limits=ToolLimits(search_seconds=0.5, call_seconds=100))
    searching = asyncio.create_task(ask(box, "search_files", pattern="(a|aa)+$"))
    await asyncio.to_thread(int)
    assert not searching.done()
    result = await searching
    assert result.content == "the search took more than 0.5 seconds; use a simpler pattern, a path or a glob"


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param("a{1000000000}", id="one-count"),
        pytest.param("(a{1000}){1000}", id="nested"),
        pytest.param("(?:(?:[ab]{1000,}){1,2}){1000}", id="at-least"),
        pytest.param("(?x)(a {1 000} # group\n) # its count\n{10#00\n00}", id="verbose"),
    ],
)
async def test_counts_that_would_fill_the_memory_are_refused(folder, box, ask, pattern):
    """What an expression repeats is written out when it is compiled, so that has a limit too."""
    (folder / "x").write_text("a\n")
    result = await ask(box, "search_files", pattern=pattern)
    assert result.content == "pattern repeats too much; write smaller counts, or set literal to true"


@pytest.mark.parametrize(
    "pattern",
    [
        r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b",
        r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}",
        r"^\s*(?:async\s+)?def\s+(\w+)\(",
        r"(?i)straße|ÉCOLE",
        r"(?P<q>['\"])\w+(?P=q)",
        r"(?<!x)needle(?=s)",
        r"[[:alpha]|[\]x-]+$",
        r"a{,2}b|\Ac\Z|.{90}",
        r"(?x) need le  # a word",
    ],
)
async def test_expressions_find_what_python_finds(folder, box, ask, pattern):
    """Ordinary expressions match the same lines as Python's own."""
    lines = [
        *("id 0123abcd-0000-1111-2222-0123456789ab", "2026-11-28T10:00", "  async def run(", "def"),
        *(
            "STRASSE straße",
            "école",
            "'word' \"other'",
            "needles xneedles needle",
            "[x]",
            "aab",
            "c",
            "",
            "é" * 90,
        ),
    ]
    (folder / "x").write_text("\n".join(lines))
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # a set may look like a nested one
        wanted = [f"x:{at}: {line}" for at, line in enumerate(lines, 1) if re.search(pattern, line)]
    result = await ask(box, "search_files", pattern=pattern)
    assert wanted
    assert result.content.split("\n") == wanted


@pytest.mark.parametrize("pattern", ["x", "[x]"])
async def test_many_matches_are_cut_and_said_to_be(folder, ask, pattern):
    """The limit holds for plain text and for expressions, also where far more would match."""
    (folder / "f").write_text("x\n" * 200_000)
    box = Toolbox(folder, secrets=Secrets(), limits=ToolLimits(search_matches=2))
    assert (await ask(box, "search_files", pattern=pattern)).content.split("\n") == [
        "f:1: x",
        "f:2: x",
        "(more than 2 matches; narrow pattern, path or glob)",
    ]


async def test_a_search_that_would_read_too_much_says_where_it_stopped(folder, ask):
    """What was not looked through is told."""
    for name in "abc":
        (folder / name).write_text("x" * 100)
    box = Toolbox(folder, secrets=Secrets(), limits=ToolLimits(search_bytes=200))
    said = (await ask(box, "search_files", pattern="nope")).content
    assert said == "no match in 2 files\n(stopped after 200 bytes; narrow path or glob)"


async def test_a_long_line_is_cut_around_the_match(folder, box, ask):
    """The match is in what is shown."""
    (folder / "x").write_text("a" * 5_000 + "needle" + "b" * 5_000)
    said = (await ask(box, "search_files", pattern="needle")).content
    assert "needle" in said
    assert len(said) < 400
