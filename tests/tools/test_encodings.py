"""A file keeps its encoding, whatever it is."""

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core.secrets import Secrets
from sunwell.errors import ToolError
from sunwell.tools import Originals, Toolbox, Workspace, undo
from sunwell.tools.text_file import encoded, text_of

MARK = codecs.BOM_UTF8
UTF_16, UTF_16_BE = codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE
XML = '<?xml version="1.0" encoding="Shift_JIS"?>\n<a>設定</a>\n'
HTML = '<!doctype html>\n<meta charset="iso-8859-1">é\n'
PYTHON = "# -*- coding: cp1251 -*-\nимя = 1\n"


@pytest.mark.parametrize(
    ("data", "text", "remark"),
    [
        pytest.param(UTF_16 + "größe\n".encode("utf-16-le"), "größe\n", "UTF-16-LE with a", id="utf-16"),
        pytest.param(UTF_16_BE + "größe\n".encode("utf-16-be"), "größe\n", "UTF-16-BE", id="big-endian"),
        pytest.param("a = größe\r\nb\r\n".encode("utf-16-le"), "a = größe\nb\n", "UTF-16-LE", id="no-mark"),
        pytest.param("größe\n".encode("utf-32"), "größe\n", "UTF-32-LE", id="utf-32"),
        pytest.param(MARK + "größe\n".encode(), "größe\n", "lines 1-1 of 1", id="utf-8-mark"),
        pytest.param(PYTHON.encode("cp1251"), PYTHON, "encoding CP1251, which is kept", id="python"),
        pytest.param(XML.encode("shift_jis"), XML, "encoding SHIFT-JIS", id="xml"),
        pytest.param(HTML.encode("latin-1"), HTML, "encoding Latin-1", id="html"),
        pytest.param("5 € “x”\n".encode("cp1252"), "5 € “x”\n", "shown as Windows-1252", id="windows"),
        pytest.param("設定=1\n".encode("shift_jis"), "\x90Ý\x92è=1\n", "letters may be wrong", id="unknown"),
        pytest.param("# coding: latin-1\né\n".encode(), "# coding: latin-1\né\n", "1-2 of 2", id="untrue"),
    ],
)
async def test_a_file_in_any_encoding_is_read_changed_and_restored(folder, box, ask, data, text, remark):
    """The text is right if anything says how it is written; an edit changes its piece and no other byte."""
    (folder / "x").write_bytes(data)
    seen = (await ask(box, "read_file", path="x")).content
    assert seen.split("\n\n", 1)[1] == text
    assert remark in seen.split("\n\n", 1)[0]
    kept = folder.parent / "originals"
    keeping = Toolbox(folder, secrets=Secrets(), originals=Originals(kept))
    last = text.splitlines()[-1]
    result = await ask(keeping, "edit_file", path="x", old=f"{last}\n", new=f"{last}+\n")
    assert not result.is_error, result.content
    assert (folder / "x").read_bytes() == text_of("x", data).encode(text[:-1] + "+\n")
    result = await ask(keeping, "write_file", path="x", content=text)
    assert (result.is_error, (folder / "x").read_bytes()) == (False, data)
    await ask(keeping, "write_file", path="x", content=f"{text.splitlines()[0]}\n")
    assert (folder / "x").read_bytes() != data or text.count("\n") == 1
    undo(kept, Workspace(folder))
    assert (folder / "x").read_bytes() == data


@pytest.mark.parametrize(
    ("data", "content", "said"),
    [
        pytest.param(
            "# Привет\n".encode("cp1251"), "# имя\n", "its encoding is unknown (it is", id="unknown"
        ),
        pytest.param(
            "設定=1\n".encode("shift_jis"), "設定=2\n", "'設' (U+8A2D) is not in it yet", id="shift-jis"
        ),
        pytest.param("é\n".encode("latin-1"), "é → x\n", "'→' (U+2192) is not in it yet", id="latin-1"),
        pytest.param(
            "設定=1\n".encode("shift_jis"), "zwölf\n", "is not in it yet", id="a-letter-of-the-guess"
        ),
        pytest.param(b"h\xc3\xa9llo\ncaf\xe9\n", "täil\n", "is not in it yet", id="utf-8-with-a-bad-byte"),
        pytest.param("# coding: koi8-r\nж\n".encode("koi8-r"), "ж\n", "let it say utf-8", id="undeclared"),
        pytest.param(
            "# coding: latin-1\né\n".encode("latin-1"),
            "# coding: latin-1\n→\n",
            "is in Latin-1, which has no '→'",
            id="declared",
        ),
        pytest.param(
            "# Привет\n".encode("cp1251"), "# coding: utf-8 имя\n", "its encoding is unknown", id="guessed"
        ),
    ],
)
async def test_a_text_that_the_encoding_lacks_is_refused(folder, box, ask, data, content, said):
    """The sentence advises nothing that would convert the file."""
    (folder / "x").write_bytes(data)
    result = await ask(box, "write_file", path="x", content=content)
    assert result.is_error
    assert said in result.content
    assert "nothing was changed" in result.content
    assert "write_file" not in result.content
    assert (folder / "x").read_bytes() == data


@pytest.mark.parametrize(
    ("data", "content", "after", "said"),
    [
        pytest.param(
            "# coding: latin-1\né\n".encode("latin-1"),
            "# coding: utf-8\né→\n",
            "# coding: utf-8\né→\n".encode(),
            "the text is now UTF-8, as it declares",
            id="converted-on-purpose",
        ),
        pytest.param(
            None, "# coding: latin-1\né\n", "# coding: latin-1\né\n".encode("latin-1"), "Latin-1", id="new"
        ),
        pytest.param(
            b"# coding: latin-1\n",
            "# coding: latin-1\né\n",
            "# coding: latin-1\né\n".encode("latin-1"),
            "still Latin-1",
            id="first-letter-beyond-ascii",
        ),
        pytest.param(MARK + b"a\n", "\ufeffb\n", MARK + b"b\n", "", id="one-mark-is-enough"),
    ],
)
async def test_what_a_text_declares_is_what_it_is_written_in(folder, box, ask, data, content, after, said):
    """A declaration that changes converts the whole file, and the result says so."""
    if data is not None:
        (folder / "x").write_bytes(data)
    result = await ask(box, "write_file", path="x", content=content)
    assert (folder / "x").read_bytes() == after
    assert said in result.content


async def test_replacing_a_file_that_is_no_text_is_told(folder, box, ask):
    """The result names what was there."""
    (folder / "x").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    result = await ask(box, "write_file", path="x", content="a\n")
    assert result.content == "wrote x: 1 line, 2 bytes (replaced a file that was no text (PNG image))"


@given(data=st.binary(max_size=60) | st.text(max_size=30).map(lambda t: t.encode("utf-16", "surrogatepass")))
def test_any_bytes_that_are_text_come_back_exactly(data):
    """Reading and writing unchanged gives the same bytes."""
    try:
        file = text_of("x", data)
    except ToolError:
        return
    assert encoded("x", file, file.text) == data
