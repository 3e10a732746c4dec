"""What write_file and edit_file do to files."""

import hashlib

import pytest

from sunwell.core.message import FileChange
from sunwell.core.secrets import Secrets
from sunwell.tools import Originals, Toolbox, ToolLimits, Workspace, undo


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_a_new_file_is_written_exactly(folder, box, ask):
    """Folders are made, and the change is reported with its hashes."""
    result = await ask(box, "write_file", path="a/x.py", content="one\ntwo\n")
    assert (folder / "a/x.py").read_bytes() == b"one\ntwo\n"
    assert result.content == "wrote a/x.py: 2 lines, 8 bytes (new file)"
    assert result.changes == (FileChange("a/x.py", None, sha(b"one\ntwo\n")),)


async def test_writing_what_is_there_changes_nothing(folder, box, ask):
    """The same content is no change."""
    (folder / "x").write_bytes(b"same\n")
    inode = (folder / "x").stat().st_ino
    result = await ask(box, "write_file", path="x", content="same\n")
    assert result.content == "wrote x: 1 line, 5 bytes (no change, the file held exactly that)"
    assert result.changes == ()
    assert (folder / "x").stat().st_ino == inode


@pytest.mark.parametrize(
    ("old", "content", "new"),
    [
        pytest.param(b"a\r\nb\r\n", "c\nd\n", b"c\r\nd\r\n", id="crlf-stays"),
        pytest.param(b"a\r\nb\r\n", "c\r\nd\n", b"c\r\nd\n", id="own-line-ends-win"),
        pytest.param(b"a\r\nb\n", "c\n", b"c\n", id="mixed-becomes-what-is-written"),
        pytest.param(b"caf\xe9\n", "th\u00e9\n", b"th\xe9\n", id="a-letter-of-the-file-stays"),
        pytest.param(b"\xef\xbb\xbfa\n", "b\n", b"\xef\xbb\xbfb\n", id="byte-order-mark-stays"),
        pytest.param(b"\0\1\2", "text\n", b"text\n", id="over-a-binary-file"),
        pytest.param(b"", "a\n", b"a\n", id="over-an-empty-file"),
        pytest.param(b"a\n", "", b"", id="to-empty"),
    ],
)
async def test_a_replaced_file_keeps_its_encoding_and_line_ends(folder, box, ask, old, content, new):
    """What a reader was not shown is kept where it can be."""
    (folder / "x").write_bytes(old)
    result = await ask(box, "write_file", path="x", content=content)
    assert (folder / "x").read_bytes() == new
    assert result.changes == (FileChange("x", sha(old), sha(new)),)


@pytest.mark.parametrize(
    ("data", "old", "new", "after"),
    [
        pytest.param(b"a\nb\nc\n", "b", "B", b"a\nB\nc\n", id="one-word"),
        pytest.param(b"a\nb\nc\n", "a\nb\n", "", b"c\n", id="deletes"),
        pytest.param(b"a\r\nb\r\nc\r\n", "a\nb", "a\nX\nb", b"a\r\nX\r\nb\r\nc\r\n", id="crlf"),
        pytest.param(b"a\r\nb\r\n", "a\r\nb", "x\r\ny", b"x\r\ny\r\n", id="crlf-written-out"),
        pytest.param(b"a\r\nb\nc\n", "b\nc", "d", b"a\r\nd\n", id="mixed-line-ends"),
        pytest.param(b"caf\xe9 x\n", "x", "\u00e9", b"caf\xe9 \xe9\n", id="latin-1"),
        pytest.param(b"\xef\xbb\xbfa\n", "a", "b", b"\xef\xbb\xbfb\n", id="byte-order-mark"),
        pytest.param(
            "\u2713 a\n".encode(), "a", "\\1 \\g<0>", "\u2713 \\1 \\g<0>\n".encode(), id="no-pattern"
        ),
    ],
)
async def test_an_edit_changes_its_piece_and_no_other_byte(folder, box, ask, data, old, new, after):
    """Everything around the piece stays as it was."""
    (folder / "x").write_bytes(data)
    result = await ask(box, "edit_file", path="x", old=old, new=new)
    assert (folder / "x").read_bytes() == after
    assert result.changes == (FileChange("x", sha(data), sha(after)),)


@pytest.mark.parametrize(
    ("data", "old", "said"),
    [
        pytest.param(
            b"a\nb\na\n",
            "a",
            "old occurs 2 times in 'x' (lines 1, 3); nothing was changed; "
            "take in neighbouring lines until it occurs once",
            id="twice",
        ),
        pytest.param(
            b"aaa\n",
            "aa",
            "old occurs 2 times in 'x' (lines 1, 1); nothing was changed; "
            "take in neighbouring lines until it occurs once",
            id="overlapping",
        ),
        pytest.param(
            b"x\n" * 12,
            "x",
            "old occurs 12 times in 'x' (lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, …); nothing was changed; "
            "take in neighbouring lines until it occurs once",
            id="often",
        ),
        pytest.param(
            b"def f():\n    return 1\n",
            "def f():\n  return 1",
            "old does not occur in 'x'; nothing was changed. Closest: lines 1-2 of the file.\n"
            "Line 2 differs: the file's line begins with 4 spaces, old's with 2 spaces\n"
            'file: "    return 1"\nold:  "  return 1"\n'
            "The file has there:\ndef f():\n    return 1",
            id="white-space",
        ),
        pytest.param(
            b"alpha = 1\nbeta = 2\n",
            "alpha = 2",
            "old does not occur in 'x'; nothing was changed. Closest: line 1 of the file.\n"
            'Line 1 differs:\nfile: "alpha = 1"\nold:  "alpha = 2"',
            id="near",
        ),
        pytest.param(
            b"alpha\n",
            "zzz",
            "old does not occur in 'x'; nothing was changed. Nothing in the file is similar: read it again, "
            "it may be another file or have changed",
            id="nothing-near",
        ),
        pytest.param(b"a", "", "old is empty; write the piece to replace, or use write_file", id="empty"),
        pytest.param(b"a", "NEW", "old and new are the same; nothing was changed", id="same"),
        pytest.param(b"a\0", "a", "'x' is no text (binary, 2 bytes)", id="binary"),
    ],
)
async def test_an_edit_that_does_not_match_once_changes_nothing_and_says_why(
    folder, box, ask, data, old, said
):
    """The sentence has the count or what came near."""
    (folder / "x").write_bytes(data)
    result = await ask(box, "edit_file", path="x", old=old, new="NEW")
    assert (result.content, result.is_error) == (said, True)
    assert (folder / "x").read_bytes() == data


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        pytest.param(
            "edit_file",
            {"old": "b", "new": "\u2713"},
            "'x' is not UTF-8, its encoding is unknown",
            id="latin-1",
        ),
        pytest.param("write_file", {"content": "\u2713"}, "'x' is not UTF-8, its encoding is", id="written"),
        pytest.param("write_file", {"content": "\ud800"}, "content has half a character", id="surrogate"),
        pytest.param("edit_file", {"old": "a", "new": "\udfff"}, "new has half a character", id="in-an-edit"),
        pytest.param("write_file", {"content": "y" * 101}, "the file would have 101 bytes", id="too-large"),
    ],
)
async def test_what_cannot_be_written_is_refused(folder, ask, name, given, said):
    """Characters that a file cannot hold and files that are too large are told."""
    (folder / "x").write_bytes(b"caf\xe9 b")
    box = Toolbox(folder, secrets=Secrets(), limits=ToolLimits(file_bytes=100))
    result = await ask(box, name, path="x", **given)
    assert result.is_error
    assert result.content.startswith(said)
    assert (folder / "x").read_bytes() == b"caf\xe9 b"


async def test_a_file_with_hidden_secrets_is_not_replaced_as_a_whole(folder, ask):
    """A model that saw a placeholder must not write it over the secret; an edit elsewhere is fine."""
    secrets = Secrets()
    secrets.add("sk-hidden-value", "KEY")
    box = Toolbox(folder, secrets=secrets)
    (folder / "conf").write_text("key = sk-hidden-value\nport = 1\n")
    seen = (await ask(box, "read_file", path="conf")).content
    assert seen.endswith("key = [KEY]\nport = 1\n")
    result = await ask(box, "write_file", path="conf", content="key = [KEY]\nport = 2\n")
    assert result.is_error
    assert "change the parts you mean with edit_file" in result.content
    await ask(box, "edit_file", path="conf", old="port = 1", new="port = 2")
    assert (folder / "conf").read_text() == "key = sk-hidden-value\nport = 2\n"


SECRET = "sk-hidden-value-0123456789"
CONFIG = f'key = "{SECRET}"  # see [OTHER]\nport = 1\n'


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        pytest.param(
            "write_file",
            {"path": "copy", "content": 'key = "[KEY]"\n'},
            "content has [KEY] in it",
            id="a-copy",
        ),
        pytest.param(
            "write_file", {"path": "conf", "content": 'key = "[KEY]"\n'}, "holds secrets", id="all-of-it"
        ),
        pytest.param(
            "edit_file",
            {"path": "conf", "old": 'key = "[KEY]"', "new": 'api_key = "[KEY]"'},
            "old has [KEY] in it",
            id="the-line",
        ),
        pytest.param(
            "edit_file",
            {"path": "conf", "old": "port = 1", "new": 'port = 2\nkey_2 = "[KEY]"'},
            "new has [KEY] in it",
            id="once-more",
        ),
        pytest.param(
            "edit_file",
            {"path": "conf", "old": "sk-", "new": "sk-\n"},
            "old is a part of [KEY]",
            id="cut-in-two",
        ),
        pytest.param(
            "edit_file",
            {"path": "conf", "old": '"sk-', "new": '"'},
            "old is a part of [KEY]",
            id="its-beginning",
        ),
        pytest.param(
            "run_command", {"command": "echo '[KEY]' > conf"}, "command has [KEY] in it", id="command"
        ),
    ],
)
async def test_no_call_puts_a_name_in_place_of_a_secret(folder, ask, name, given, said):
    """Whatever a model does with a secret that it cannot see, the file keeps it, and the model is told."""
    secrets = Secrets()
    secrets.add(SECRET, "KEY")
    box = Toolbox(folder, secrets=secrets, allow_shell=True, sandbox="off")
    (folder / "conf").write_text(CONFIG)
    result = await ask(box, name, **given)
    assert result.is_error
    assert said in result.content
    assert SECRET not in result.content
    assert (folder / "conf").read_text() == CONFIG
    assert not (folder / "copy").exists()


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        pytest.param("port = 1", "port = 2", CONFIG.replace("1\n", "2\n"), id="another-line"),
        pytest.param('key = "', 'api_key = "', f"api_{CONFIG}", id="before-it"),
        pytest.param("  # see [OTHER]", "  # [OTHER]", CONFIG.replace("see ", ""), id="after-it"),
    ],
)
async def test_the_text_around_a_secret_can_be_edited(folder, ask, old, new, text):
    """On its own line, too; the secret stays byte by byte. A name that is in the file itself is just text."""
    secrets = Secrets()
    secrets.add(SECRET, "KEY")
    secrets.add("another-secret-value", "OTHER")
    box = Toolbox(folder, secrets=secrets)
    (folder / "conf").write_text(CONFIG)
    result = await ask(box, "edit_file", path="conf", old=old, new=new)
    assert not result.is_error
    assert (folder / "conf").read_text() == text


async def test_a_file_with_several_names_keeps_them(folder, ask):
    """A hard link stays one: both names show what was written, and undo gives both the old text back."""
    (folder / "one").write_text("old text\n")
    (folder / "one").chmod(0o640)
    (folder / "two").hardlink_to(folder / "one")
    before = (folder / "one").stat()
    kept = folder.parent / "originals"
    box = Toolbox(folder, secrets=Secrets(), originals=Originals(kept))
    for old, new in (("old", "new and longer"), ("new and longer", "x")):
        assert not (await ask(box, "edit_file", path="two", old=old, new=new)).is_error
        assert (folder / "one").read_text() == (folder / "two").read_text() == f"{new} text\n"
    assert not (await ask(box, "write_file", path="one", content="")).is_error
    after = (folder / "two").stat()
    assert (after.st_ino, after.st_nlink, after.st_mode) == (before.st_ino, 2, before.st_mode)
    report = undo(kept, Workspace(folder))
    assert (report.restored, report.unchanged, report.refused) == (("two",), ("one",), ())
    assert (folder / "one").read_text() == (folder / "two").read_text() == "old text\n"
