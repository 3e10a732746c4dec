"""What a model gets from list_files and read_file."""

import os

import pytest

from sunwell.core.secrets import Secrets
from sunwell.tools import Toolbox, ToolLimits


@pytest.mark.parametrize(
    ("data", "given", "said"),
    [
        pytest.param(b"a\nb\n", {}, "x: lines 1-2 of 2\n\na\nb\n", id="whole"),
        pytest.param(b"a\nb", {}, "x: lines 1-2 of 2\n\na\nb", id="no-end-at-the-end"),
        pytest.param(b"", {}, "x: the file is empty", id="empty"),
        pytest.param(b"\n", {}, "x: lines 1-1 of 1\n\n\n", id="one-empty-line"),
        pytest.param(b"a\nb\nc\n", {"start_line": 2}, "x: lines 2-3 of 3\n\nb\nc\n", id="from"),
        pytest.param(
            b"a\nb\nc\n",
            {"start_line": 1, "end_line": 2},
            "x: lines 1-2 of 3; 1 line left, read on with start_line=3\n\na\nb\n",
            id="from-to",
        ),
        pytest.param(b"a\nb\n", {"end_line": 9}, "x: lines 1-2 of 2\n\na\nb\n", id="end-past-the-end"),
        pytest.param(
            b"a\r\nb\r\n", {}, "x: lines 1-2 of 2; lines end with CR LF, which is kept\n\na\nb\n", id="crlf"
        ),
        pytest.param(
            b"a\r\nb\n",
            {},
            "x: lines 1-2 of 2; line ends are mixed, CR LF and LF; edit_file takes \\n for each\n\na\r\nb\n",
            id="mixed-line-ends",
        ),
        pytest.param(b"\xef\xbb\xbfa\n", {}, "x: lines 1-1 of 1\n\na\n", id="byte-order-mark"),
        pytest.param(
            b"caf\xe9\n",
            {},
            "x: lines 1-1 of 1; not UTF-8, encoding unknown, shown as Latin-1: letters may be wrong\n\n"
            "caf\u00e9\n",
            id="latin-1",
        ),
        pytest.param("a\u2028b\x0cc\n".encode(), {}, "x: lines 1-1 of 1\n\na\u2028b\x0cc\n", id="odd"),
    ],
)
async def test_a_file_is_given_as_it_is_with_the_lines_it_has(folder, box, ask, data, given, said):
    """The first line says what follows and what is left; the text is the file's."""
    (folder / "x").write_bytes(data)
    result = await ask(box, "read_file", path="x", **given)
    assert (result.content, result.is_error) == (said, False)


@pytest.mark.parametrize(
    ("data", "given", "said"),
    [
        pytest.param(b"\x89PNG\r\n\x1a\n\0", {}, "'x' is no text (PNG image, 9 bytes)", id="png"),
        pytest.param(b"a\0b", {}, "'x' is no text (binary, 3 bytes)", id="nul"),
        pytest.param(b"\xff\xfea\0b", {}, "'x' is no text (binary, 5 bytes)", id="half-utf-16"),
        pytest.param(
            b"a\n",
            {"start_line": 2},
            "'x' has lines 1 to 1; start_line 2 is not one of them",
            id="past",
        ),
        pytest.param(
            b"a\n", {"start_line": 0}, "'x' has lines 1 to 1; start_line 0 is not one of them", id="line-zero"
        ),
        pytest.param(
            b"a\nb\n",
            {"start_line": 2, "end_line": 1},
            "end_line 1 comes before start_line 2; 'x' has 2 lines",
            id="backwards",
        ),
    ],
)
async def test_what_cannot_be_read_is_one_sentence_with_the_facts(folder, box, ask, data, given, said):
    """Binary files tell kind and size, impossible ranges what there is."""
    (folder / "x").write_bytes(data)
    result = await ask(box, "read_file", path="x", **given)
    assert (result.content, result.is_error) == (said, True)


async def test_a_file_that_is_not_there_is_told(box, ask):
    """The sentence says what to do."""
    result = await ask(box, "read_file", path="nope")
    assert result.content == "there is no file 'nope'; list_files shows what there is"


async def test_a_pipe_without_a_writer_does_not_hang(folder, box, ask):
    """Reading a named pipe is refused at once."""
    os.mkfifo(folder / "pipe")
    result = await ask(box, "read_file", path="pipe")
    assert result.content == "'pipe' is a named pipe, not a file"


async def test_a_long_file_is_given_in_pieces_that_meet(folder, ask):
    """Following what each answer says gives every line once."""
    lines = [f"line {number}\n" for number in range(1, 1001)]
    (folder / "x").write_text("".join(lines))
    box = Toolbox(folder, secrets=Secrets(), limits=ToolLimits(output_chars=2_000))
    got, start = "", 1
    while start <= 1000:
        result = await ask(box, "read_file", path="x", start_line=start)
        assert len(result.content) <= 2_000
        head, _, body = result.content.partition("\n\n")
        got += body
        start = int(head.rpartition("start_line=")[2]) if "start_line=" in head else 1001
    assert got == "".join(lines)


async def test_one_endless_line_is_cut_with_the_count(folder, ask):
    """A line longer than all output says how much is missing."""
    (folder / "x").write_text("y" * 10_000)
    box = Toolbox(folder, secrets=Secrets(), limits=ToolLimits(output_chars=1_000))
    result = await ask(box, "read_file", path="x")
    assert len(result.content) < 1_000
    assert "[9,500 of 10,000 characters were cut out here]" in result.content


@pytest.fixture
def project(folder):
    for path, text in {
        ".gitignore": "*.log\n/build/\n",
        ".env": "KEY=1",
        ".git/config": "",
        ".sunwell/runs/x": "",
        "a.log": "",
        "build/out": "",
        "src/a.py": "one\n",
        "src/.gitignore": "!keep.log\n",
        "src/keep.log": "",
        "src/deep/er/b.py": "",
        "src/skip.py": "",
        "src/.sunwellignore": "skip.py\n",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (folder / "link").symlink_to("src/a.py")
    (folder / "odd\nname").write_text("")
    return folder


async def test_a_listing_leaves_out_what_is_ignored_or_private(project, box, ask):
    """Nested ignore files hold; private names are not even counted."""
    result = await ask(box, "list_files", path=".")
    assert result.content.split("\n") == [
        ".gitignore (14 bytes)",
        "link (link)",
        "odd\\x0aname (0 bytes)",
        "src/",
        "src/.gitignore (10 bytes)",
        "src/.sunwellignore (8 bytes)",
        "src/a.py (4 bytes)",
        "src/deep/",
        "src/deep/er/",
        "src/keep.log (0 bytes)",
        "(3 ignored, not shown)",
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"path": "src/deep", "depth": 1}, "src/deep/er/", id="one-level"),
        pytest.param({"path": "src/deep", "depth": 2}, "src/deep/er/\nsrc/deep/er/b.py (0 bytes)", id="two"),
        pytest.param({"path": "build"}, "(1 ignored, not shown)", id="inside-an-ignored-folder"),
        pytest.param({"path": "src/a.py"}, "'src/a.py' is a file, not a folder", id="file"),
        pytest.param({"path": "src", "depth": 0}, "depth must be at least 1", id="no-depth"),
        pytest.param({"path": "no"}, "there is no folder 'no'; list_files shows what there is", id="nothing"),
        pytest.param({"path": ".git"}, "'.git' is refused: .git is not open to tools", id="git"),
        pytest.param({"path": ".."}, "'..' leads out of the workspace; tools stay inside it", id="outside"),
    ],
)
async def test_a_listing_goes_as_deep_as_asked(project, box, ask, given, said):
    """Depth counts levels; what is no folder is told."""
    assert (await ask(box, "list_files", **given)).content == said


async def test_an_ignored_file_can_be_read_by_name(project, box, ask):
    """Ignore files shape listings and searches only."""
    assert (await ask(box, "read_file", path="build/out")).content == "build/out: the file is empty"


async def test_a_long_listing_says_how_much_more_there_is(folder, ask):
    """The limit on entries is told with the rest."""
    for number in range(12):
        (folder / f"f{number:02}").write_text("")
    box = Toolbox(folder, secrets=Secrets(), limits=ToolLimits(list_entries=10))
    lines = (await ask(box, "list_files", path=".")).content.split("\n")
    assert lines[-1] == "(2 more; list a deeper folder or use a smaller depth)"
    assert len(lines) == 11


async def test_an_empty_folder_is_said_to_be_empty(box, ask):
    """No text would look like a fault."""
    assert (await ask(box, "list_files", path=".")).content == "(empty)"
