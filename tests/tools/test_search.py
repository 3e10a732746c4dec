"""What a model gets from search_files."""

import asyncio
import hashlib
import json
import re
import shutil
import threading
import time
import unicodedata
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core.message import ToolCall
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


A, B, C = "a.py:2: needle = 1", "src/b.ts:1: x needle.y", "src/latin.txt:1: caf\u00e9 needle"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"pattern": "needle"}, f"{A}\n{B}\n{C}", id="plain-word"),
        pytest.param({"pattern": "^n\\w+"}, A, id="expression"),
        pytest.param({"pattern": "(?i)^needle"}, f"{A}\na.py:3: Needle", id="ignoring-case"),
        pytest.param({"pattern": "e.y"}, B, id="expression-with-a-dot"),
        pytest.param({"pattern": "e.y", "literal": True}, B, id="dot-as-it-is"),
        pytest.param({"pattern": "e = .", "literal": True}, "no match in 5 files", id="dot-is-no-joker"),
        pytest.param({"pattern": "needle", "path": "src"}, f"{B}\n{C}", id="folder"),
        pytest.param({"pattern": "needle", "path": "a.py"}, A, id="file"),
        pytest.param({"pattern": "needle", "path": "a.log"}, "a.log:1: needle", id="ignored-file-by-name"),
        pytest.param({"pattern": "needle", "glob": "*.ts"}, B, id="glob"),
        pytest.param({"pattern": "needl[e]", "glob": "src/**/*.txt"}, C, id="deep-glob"),
        pytest.param({"pattern": "nothing here"}, "no match in 5 files", id="no-match"),
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
        pytest.param({"pattern": "a", "path": "no"}, "there is no file or folder 'no'", id="no-folder"),
        pytest.param({"pattern": "[a]", "path": "no"}, "there is no file or folder 'no'", id="no-folder-too"),
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
    assert result.content == (
        "no match in the first 1 file\n(stopped after 0.5 seconds; narrow path or glob, or simplify pattern)"
    )


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
    assert said == "no match in the first 2 files\n(stopped after 200 bytes; narrow path or glob)"


async def test_a_long_line_is_cut_around_the_match(folder, box, ask):
    """The match is in what is shown."""
    (folder / "x").write_text("a" * 5_000 + "needle" + "b" * 5_000)
    said = (await ask(box, "search_files", pattern="needle")).content
    assert "needle" in said
    assert len(said) < 400


async def test_a_search_that_takes_too_long_gives_what_it_found(folder, ask):
    """The time is that of the clock, whatever else the process computes; matches until then are shown."""
    (folder / "a").write_text("ab\n")
    (folder / "b").write_text("a" * 60 + "c\n")
    box = Toolbox(folder, secrets=Secrets(), limits=ToolLimits(search_seconds=0.4))
    said = (await ask(box, "search_files", pattern="(a|aa)+b|(a|aa)+$")).content
    assert said == "a:1: ab\n(stopped after 0.4 seconds; narrow path or glob, or simplify pattern)"


async def test_a_line_that_an_expression_cannot_cope_with_ends_the_search(folder, box, ask):
    """Long before the time of the search is over, and the line is named."""
    (folder / "a").write_text("ab\n")
    (folder / "b").write_text("\n" + "a" * 60 + "c\n")
    said = (await ask(box, "search_files", pattern="(a|aa)+b|(a|aa)+$")).content
    assert said == "a:1: ab\n(stopped at b:2, where pattern takes too long; use a simpler one)"


async def test_a_cancelled_search_leaves_no_thread_behind(folder, box, ask):
    """Its thread ends at once, not when its time is over."""
    for number in range(40):
        (folder / f"{number}").write_text("a" * 60 + "c\n")
    before = set(threading.enumerate())
    searching = asyncio.create_task(ask(box, "search_files", pattern="(a|aa)+$"))
    await asyncio.to_thread(int)
    added = [one for one in threading.enumerate() if one not in before]
    assert added
    assert not searching.done()
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching
    started = time.monotonic()
    await asyncio.get_running_loop().shutdown_default_executor()
    for one in added:
        one.join(10)
    assert not any(one.is_alive() for one in added)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        pytest.param("*.{ts,tsx}", "a.ts b.tsx src/c.ts src/deep/d.tsx [id].ts", id="braces"),
        pytest.param("{src,dot}/**/*.{ts,p{y,l}}", "src/c.ts src/e.py", id="nested-braces"),
        pytest.param("./src/*.ts", "src/c.ts", id="from-here"),
        pytest.param("./a.ts", "a.ts", id="a-file-from-here"),
        pytest.param("/src/*.ts", "src/c.ts", id="from-the-root"),
        pytest.param("src\\*.ts", "src/c.ts", id="windows"),
        pytest.param("*.ts,*.py", "a.ts src/c.ts src/e.py [id].ts", id="comma"),
        pytest.param("*.py, *.PY", "Foo.PY src/e.py", id="comma-and-space"),
        pytest.param("*.tsx *.py", "b.tsx src/e.py src/deep/d.tsx", id="space"),
        pytest.param("with space.ts", "", id="a-name-with-a-space-that-is-not-there"),
        pytest.param("[id].ts", "[id].ts", id="brackets-as-they-are"),
        pytest.param("src", "src/c.ts src/deep/d.tsx src/e.py", id="folder"),
        pytest.param("src/deep/", "src/deep/d.tsx", id="folder-with-slash"),
        pytest.param("**/deep/**", "src/deep/d.tsx", id="two-stars"),
        pytest.param("!*.ts", "Foo.PY b.tsx src/deep/d.tsx src/e.py dot/.h", id="all-but"),
        pytest.param("src/**,!*.py", "src/c.ts src/deep/d.tsx", id="some-but"),
        pytest.param("", "Foo.PY [id].ts a.ts b.tsx dot/.h src/c.ts src/deep/d.tsx src/e.py", id="empty"),
        pytest.param("a.t?", "a.ts", id="one-letter"),
        pytest.param("*.[tj]s", "a.ts src/c.ts [id].ts", id="set"),
    ],
)
async def test_a_glob_means_what_its_writer_means(folder, box, ask, glob, found):
    """Braces, lists, exclusions, ``./`` and names with brackets select the files that they look like."""
    paths = ("Foo.PY", "[id].ts", "a.ts", "b.tsx", "dot/.h", "src/c.ts", "src/deep/d.tsx", "src/e.py")
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("needle\n")
    result = await ask(box, "search_files", pattern="needle", glob=glob)
    assert not result.is_error
    lines = [line for line in result.content.split("\n") if line.endswith(":1: needle")]
    assert {line.removesuffix(":1: needle") for line in lines} == set(found.split())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(
            {"glob": "*.rs"},
            "no file to search: glob '*.rs' selects none of 6 files; 2 ignored, left out",
            id="glob",
        ),
        pytest.param({"path": "empty"}, "no file to search in 'empty'", id="empty-folder"),
        pytest.param({"path": "logs"}, "no file to search in 'logs'; 1 ignored, left out", id="ignored"),
        pytest.param(
            {"path": "src/*.ts"},
            "there is nothing at 'src/*.ts': a path has no wildcards; list_files lists a whole folder, "
            "search_files takes wildcards as glob",
            id="wild",
        ),
    ],
)
async def test_nothing_to_search_is_not_the_same_as_no_match(project, box, ask, given, said):
    """The sentence says what left nothing over."""
    (project / "empty").mkdir()
    (project / "logs").mkdir()
    (project / "logs/b.log").write_text("needle\n")
    (project / "c.txt").write_text("\n")
    result = await ask(box, "search_files", pattern="needle", **given)
    assert result.content.startswith(said)


async def test_letters_are_found_however_they_are_stored(folder, box, ask):
    """A word in one spelling finds the other, in any encoding."""
    (folder / "nfd").write_text(unicodedata.normalize("NFD", "die größe\n"))
    (folder / "nfc").write_text("die größe\n")
    (folder / "wide").write_bytes("die größe\n".encode("utf-16"))
    (folder / "latin").write_bytes("die größe\n".encode("latin-1"))
    for pattern in ("größe", unicodedata.normalize("NFD", "größe"), "die gr.ße"):
        said = (await ask(box, "search_files", pattern=pattern)).content
        assert said.split("\n") == [f"{name}:1: die größe" for name in ("latin", "nfc", "nfd", "wide")]


async def test_a_large_file_is_searched_and_read_by_lines(folder, ask):
    """Files over the limit are not kept in memory: their lines are found, read, and counted."""
    lines = [f"line {number} é\r\n" for number in range(1, 40_001)]
    lines[20_001] = "the needle is here\n"
    (folder / "big.log").write_text("".join(lines), newline="")
    box = Toolbox(folder, secrets=Secrets(), limits=ToolLimits(file_bytes=1_000))
    for pattern in ("needle", "^the n.e", "ne+dle is"):
        assert (
            await ask(box, "search_files", pattern=pattern)
        ).content == "big.log:20002: the needle is here"
    said = await ask(box, "search_files", pattern="needle", path="big.log")
    assert said.content == "big.log:20002: the needle is here"
    assert [read.sha256 for read in said.reads] == [
        hashlib.sha256((folder / "big.log").read_bytes()).hexdigest()
    ]
    seen = await ask(box, "read_file", path="big.log", start_line=20_001, end_line=20_003)
    assert seen.content == (
        "big.log: lines 20001-20003 of 40000; 19,997 lines left, read on with start_line=20004; large file, "
        "edit_file cannot change it\n\nline 20001 é\r\nthe needle is here\nline 20003 é\r\n"
    )
    assert seen.reads == said.reads
    start, got = 1, ""
    while start <= 40_000:
        head, _, body = (await ask(box, "read_file", path="big.log", start_line=start)).content.partition(
            "\n\n"
        )
        got += body
        start = int(re.search(r"lines \d+-(\d+) of 40000", head)[1]) + 1
    assert got == "".join(lines)
    past = await ask(box, "read_file", path="big.log", start_line=40_001)
    assert past.content == "'big.log' has lines 1 to 40000; start_line 40001 is not one of them"
    refused = await ask(box, "edit_file", path="big.log", old="needle", new="x")
    assert "the tools read_file and search_files take it by lines" in refused.content


async def test_a_secret_in_a_large_file_stays_hidden(folder, ask):
    """Also if a part of it would be read, or two parts of the file each have a half."""
    secrets = Secrets()
    secrets.add("first-half\nsecond-half", "KEY")
    text = "".join(f"{number:07}\n" for number in range(700_000))
    at = (4 << 20) - (1 << 16)  # where the first part would end
    text = text[: at - 11] + "first-half\nsecond-half\n" + text[at:]
    (folder / "big").write_text(text)
    box = Toolbox(folder, secrets=secrets, limits=ToolLimits(file_bytes=1_000))
    for pattern in ("first-half", "second-half", "(first|second)-half"):
        assert (await ask(box, "search_files", pattern=pattern)).content == "no match in 1 file"
    line = text[: text.index("first")].count("\n") + 1
    for span in ((line - 1, line), (line + 1, line + 2)):
        said = (await ask(box, "read_file", path="big", start_line=span[0], end_line=span[1])).content
        assert said.startswith("a secret is partly in these lines of 'big'")
    said = (await ask(box, "read_file", path="big", start_line=line, end_line=line + 1)).content
    assert said.endswith("[KEY]\n")


def tree(folder):
    """Make more files than are searched without help, of many kinds; a few have the word."""
    for number in range(600):
        place = folder / f"d{number % 7}" / f"-{number} é.txt"
        place.parent.mkdir(exist_ok=True)
        place.write_text("nothing\n" * 20 + ("the needle = 1\n" if number % 40 == 0 else ""))
    for number, encoding in enumerate(("utf-16", "utf-16-le", "latin-1", "utf-8-sig", "cp1252") * 4):
        (folder / f"e{number}").write_bytes("a needle = ö\n".encode(encoding))
    (folder / "-").write_text("needle = 2\n")
    (folder / "bin").write_bytes(b"needle = 3\0")
    (folder / "gone").symlink_to("bin")
    (folder / ".gitignore").write_text("*3*.txt\n")


PATTERNS = [
    pytest.param({"pattern": "needle"}, id="plain"),
    pytest.param({"pattern": "needle = \\d"}, id="expression"),
    pytest.param({"pattern": "(the|a) needle"}, id="group"),
    pytest.param({"pattern": "ne{2}dle\\s"}, id="count"),
    pytest.param({"pattern": "= ö"}, id="letters"),
    pytest.param({"pattern": "KEY"}, id="name-of-a-secret"),
    pytest.param({"pattern": "x?needle *=(?! 1)"}, id="lookahead"),
    pytest.param({"pattern": "not there"}, id="nothing"),
    pytest.param({"pattern": "needle", "glob": "*.txt,!d3"}, id="glob"),
    pytest.param({"pattern": "(?i)NEEDLE"}, id="ignoring-case"),
    pytest.param({"pattern": "x|needle"}, id="alternatives"),
    pytest.param({"pattern": "ne\\x65dle"}, id="escape"),
]


@pytest.mark.skipif(shutil.which("rg") is None, reason="ripgrep is not installed")
@pytest.mark.parametrize("given", PATTERNS)
async def test_with_ripgrep_the_same_is_found(folder, ask, given, monkeypatch):
    """ripgrep only leaves out files without a match, so both ways give the same text."""
    tree(folder)
    secrets = Secrets()
    secrets.add("nothing\nnothing", "KEY")
    box = Toolbox(folder, secrets=secrets, limits=ToolLimits(search_matches=1_000))
    with_it = await ask(box, "search_files", **given)
    monkeypatch.setenv("PATH", "/nowhere")
    without = await ask(box, "search_files", **given)
    assert (with_it.content, with_it.reads) == (without.content, without.reads)
    assert not with_it.is_error


@pytest.mark.parametrize("script", ["exit 2", "echo nonsense; exit 3", "kill -9 $$"])
async def test_a_ripgrep_that_fails_is_done_without(folder, ask, monkeypatch, tmp_path_factory, script):
    """Whatever it prints, all files are searched then."""
    tree(folder)
    programs = tmp_path_factory.mktemp("programs")
    (programs / "rg").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "rg").chmod(0o755)
    box = Toolbox(folder, secrets=Secrets())
    monkeypatch.setenv("PATH", "/nowhere")
    wanted = (await ask(box, "search_files", pattern="needle")).content
    monkeypatch.setenv("PATH", str(programs))
    assert (await ask(box, "search_files", pattern="needle")).content == wanted


async def test_a_ripgrep_in_the_workspace_is_never_started(folder, ask, monkeypatch):
    """A program that a model, or the author of a repository, could have put there."""
    tree(folder)
    (folder / "rg").write_text("#!/bin/sh\ntouch started\n")
    (folder / "rg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:.:")
    monkeypatch.chdir(folder)
    await ask(Toolbox(folder, secrets=Secrets()), "search_files", pattern="needle")
    assert not (folder / "started").exists()


WORDS = st.sampled_from(
    ["a", "b", "ab", ".", "\\.", "\\w", "[ab]", "(a|b)", "(?:ab)", "b*", "a+", "b?", "a{2}"]
)
ENDS = st.sampled_from(["", "", "^", "$", "\\b", "(?i)", "(?=b)", "(?<!a)", "a|b", "[^a]", "\\s", "(?>a*)"])


@given(
    pattern=st.lists(st.one_of(WORDS, ENDS), min_size=1, max_size=6).map("".join).filter(bool),
    text=st.text(st.sampled_from("ab. \n\r"), max_size=40),
)
def test_nothing_is_left_out_too_early(tmp_path_factory, pattern, text):
    """Looking at a file as a whole first, or for a word of the pattern, changes no result."""
    try:
        compiled = re.compile(pattern)
    except re.error:
        return
    if re.search(r"\(\?i\)", pattern) and not pattern.startswith("(?i)"):
        return
    folder = tmp_path_factory.mktemp("work")
    (folder / "x").write_text(text, newline="")
    call = ToolCall("1", "search_files", json.dumps({"pattern": pattern, "literal": False}))
    said = asyncio.run(Toolbox(folder, secrets=Secrets()).execute(call)).content
    lines = [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    plain = re.escape(pattern) == pattern
    wanted = [
        f"x:{number}: {line}"
        for number, line in enumerate(lines, 1)
        if (pattern in line if plain else compiled.search(line))
    ]
    assert said.split("\n") == wanted or (not wanted and said == "no match in 1 file")
