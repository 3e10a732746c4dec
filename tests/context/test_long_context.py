"""Contexts of any length: each operation says the same as a plain one on the whole text would."""

import io
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from time import thread_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.context.long_context import Handle, LongContext
from sunwell.context.sought_lines import SoughtLines
from sunwell.context.workspace_files import list_files
from sunwell.core.secrets import Secrets
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.workspace import Workspace

KEY = "sk-abcdefgh12345678"
LETTERS = st.text(alphabet="ab \né€𝄞\0\r", max_size=200)
PLAIN = b"plain text " * 12
"""Beside data that alone would be taken for another kind of file: by a mark, a binary one, UTF-16."""
BYTES = st.one_of(LETTERS.map(str.encode), st.binary(max_size=120))


def context_of(data: bytes | str, **options: Secrets) -> LongContext:
    return LongContext.of(io.BytesIO(data.encode() if isinstance(data, str) else data), "log", **options)


def lines_of(data: bytes) -> list[bytes]:
    """Return the lines with their ends."""
    return re.findall(rb"[^\n]*\n|[^\n]+", data)


def data_of(handle: Handle, data: bytes) -> bytes:
    return data[handle.start : handle.end]


@given(BYTES, st.integers(-250, 250), st.integers(-250, 250))
def test_slices_are_those_of_bytes_and_cut_no_character(data: bytes, first: int, last: int) -> None:
    """Two slices that meet give the text together, whatever the border is in."""
    data = PLAIN + data
    with context_of(data) as context:
        whole = context.whole
        part = whole[first:last]
        expected = data[first:last]
        assert abs(len(part) - len(expected)) <= 3
        assert whole[:first].end == whole[first:].start
        assert len(whole) == len(data)


@given(LETTERS, st.integers(0, 210), st.integers(0, 210))
def test_a_slice_of_a_valid_text_is_valid(text: str, first: int, last: int) -> None:
    """No replacement character appears; slices of slices are relative to them."""
    text += PLAIN.decode()
    with context_of(text) as context:
        part = context.whole[first:last]
        assert part.text() in text
        inner = part[1:5]
        assert inner.text() in part.text()
        assert (part.start, part.end) >= (inner.start - 1, inner.start)


@given(BYTES, st.integers(1, 12), st.integers(0, 12), st.integers(0, 60))
def test_lines_are_counted_from_one(data: bytes, first: int, more: int, start: int) -> None:
    """Both ends are included; within a part they are counted from its beginning."""
    data = b"x" + data + PLAIN
    with context_of(data) as context:
        for handle in (context.whole, context.whole[start:]):
            own = lines_of(data_of(handle, data))
            found = handle.lines(first, first + more)
            assert data_of(found, data) == b"".join(own[first - 1 : first + more])
            if len(found):
                before = data[: found.start].count(b"\n") + 1
                inside = len(lines_of(data_of(found, data)))
                assert (found.place.first_line, found.place.last_line) == (before, before + inside - 1)


PATTERNS = (
    "a", "a+b", "^a", "b$", "é", "[éa]€?", "(?i)A", "^$", "a|b", r"\bа?b", r"(?<=a)b", "b(?!a)", ".", r"\s",
    "(a)\\1", "x*", "[^b]a", "a.b", r"\Aa", r"b\Z", "a++b", "€𝄞",
)  # fmt: skip


@given(LETTERS, st.sampled_from(PATTERNS), st.booleans(), st.integers(0, 60))
@settings(max_examples=400)
def test_a_search_finds_the_lines_that_match_alone(
    text: str, pattern: str, literal: bool, start: int
) -> None:
    """Also where a match could go over a line end, and where bytes and characters differ."""
    import regex

    data = ("x" + text).encode() + PLAIN
    with context_of(data) as context:
        handle = context.whole[start:]
        own = data_of(handle, data)
        wanted = []
        for line in lines_of(own):
            shown = line.decode().removesuffix("\n")
            is_in = pattern in shown if literal else regex.search(pattern, shown.removesuffix("\r"))
            wanted += [line] if is_in else []
        found = handle.search(pattern, limit=1_000, literal=literal)
        assert [data_of(each, data) for each in found] == wanted
        assert handle.count(pattern, literal=literal) == len(wanted)
        assert [each.start for each in found] == sorted({each.start for each in found})
        assert handle.count(pattern, literal) == len(wanted)


ATOMS = (
    "a", "b", "é", ".", " ", r"\s", r"\S", r"\w", r"\W", r"\D", "[^a]", "[^]b]", r"[\s,]", r"[^\s]",
    r"[\t-~]", "[[]", r"\n", "\n", r"\x0a", r"\x61", r"\p{L}", r"\P{L}", "(a)", r"(\s)", "(?:a|b)",
    "(?:a|)", "(?P<n>.)", "(?>a|ab)", "(?i:A)", r"\r", "\0",
)  # fmt: skip
EDGES = (
    "", "", "", "^", "$", r"\A", r"\Z", r"\b", r"\B", r"(?<=\s)", r"(?<!\S)", r"(?=\W)", r"(?!\s)",
    "(?<!a)", "(?=$)", r"(?!\n)", "{", "|", "(?<=^)", r"(?<=\n)",
)  # fmt: skip
TIMES = ("", "", "", "*", "+", "?", "{1,2}", "*?", "++", "{,1}")
FLAGS = st.sampled_from(("", "", "(?i)", "(?s)", "(?ms)", "(?a)", "(?x)"))
PIECES = st.tuples(st.sampled_from(EDGES), st.sampled_from(ATOMS), st.sampled_from(TIMES)).map("".join)
COMPOSED = st.tuples(FLAGS, st.lists(PIECES, min_size=1, max_size=4)).map(
    lambda parts: parts[0] + "".join(parts[1])
)
LINES = st.lists(st.sampled_from(("a", "b", "ab a", "", "é", " ", "\r", "A\t", "\0", "{")), max_size=30)
ENDS = st.sampled_from(("\n", "\n", "\r\n"))


@given(LINES, COMPOSED, ENDS, st.sampled_from(("", "\n", "a")))
@settings(max_examples=400)
def test_any_pattern_finds_what_it_finds_in_lines_one_by_one(
    lines: list[str], pattern: str, end: str, last: str
) -> None:
    """Classes that hold line ends, assertions at the borders, flags, groups, and both kinds of line ends."""
    import regex

    try:
        expression = regex.compile(pattern)
    except regex.error:
        return
    data = PLAIN + (end.join(lines) + last).encode()
    wanted = [
        line
        for line in lines_of(data)
        if expression.search(line.decode().removesuffix("\n").removesuffix("\r"))
    ]
    with context_of(data) as context:
        found = context.whole.search(pattern, limit=1_000)
        assert [data_of(each, data) for each in found] == wanted
        assert context.whole.count(pattern) == len(wanted)


@given(LETTERS, st.integers(1, 40), st.integers(0, 13))
def test_chunks_are_in_order_and_leave_nothing_out(text: str, characters: int, overlap: int) -> None:
    """None is longer than asked, and there are at most twice as many as needed."""
    text += PLAIN.decode()
    overlap = min(overlap, characters // 3)
    with context_of(text) as context:
        found = context.whole.chunks(characters, overlap)
        at, rebuilt = 0, ""
        for chunk in found:
            assert chunk.start <= at < chunk.end
            said = chunk.text()
            assert len(said) <= characters
            again = text.encode()[chunk.start : at].decode()
            assert len(again) <= overlap
            rebuilt += said[len(again) :]
            at = chunk.end
        assert rebuilt == text
        assert len(found) <= 1 + len(text) / max(characters // 2 - overlap, 1)


def test_chunks_of_many_megabytes_are_cut_at_characters_and_lines() -> None:
    """Those are read in blocks; a border of a block within a character, or in a line, changes nothing."""
    text = "é" + ("€" * 999 + "\n") * 6_000
    with context_of(text) as context:
        first, second = context.whole.chunks(4_000_500, 1_500)
        assert first.text(most_bytes=1 << 30).count("€") == 4_000 * 999
        assert (second.start, second.end) == (first.end - 2_998, context.size_bytes)
        assert context.whole.chunks(6_000_001) == [context.whole]
        assert context.whole.chunks(10**15) == [context.whole]


def test_chunks_are_cut_at_line_ends_if_there_are_some(tmp_path: Path) -> None:
    """A line that fits into half of one is never cut."""
    text = "".join(f"line {number}\n" for number in range(200))
    with context_of(text) as context:
        assert all(chunk.text().endswith("\n") for chunk in context.whole.chunks(50))
        assert all(chunk.text().startswith("line") for chunk in context.whole.chunks(50, 12))


def test_a_range_says_where_it_is() -> None:
    """By bytes from 0 and by lines from 1."""
    with context_of("one\ntwo\nthree") as context:
        (found,) = context.whole.search("three")
        assert str(found.place) == "log, lines 3-3 (bytes 8-13)"
        assert found.digest() == context.whole[8:].digest() != context.digest()


def test_what_a_model_is_told_first(tmp_path: Path) -> None:
    """Its length, its lines, its beginning and its end."""
    (tmp_path / "app.log").write_text("first\n" + "x\n" * 1_000 + "last")
    with LongContext.of(tmp_path / "app.log", "app") as context:
        about = context.whole.about()
        assert (about.name, about.kind, about.size_bytes, about.lines) == ("app", "file", 2_010, 1_002)
        assert about.beginning.startswith("first\nx\n")
        assert about.end.endswith("x\nlast")
        assert len(about.beginning) == 300


def test_an_empty_context_is_one() -> None:
    """Nothing is found in it, and nothing is an error."""
    with context_of("") as context:
        whole = context.whole
        assert (len(whole), whole.text(), whole.search("x*"), whole.chunks(5)) == (0, "", [], [])
        assert whole.about().lines == 0
        assert whole.place.first_line == whole.place.last_line == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
def test_marks_say_the_encoding_and_are_no_part_of_the_text(tmp_path: Path, encoding: str) -> None:
    """UTF-16 is read as UTF-8, from a file and from a stream."""
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    data = mark + "^grüße\nzwei 𝄞\n".encode(encoding)
    (tmp_path / "c.txt").write_bytes(data)
    for source in (tmp_path / "c.txt", io.BytesIO(data)):
        with LongContext.of(source) as context:
            assert context.whole.text() == "^grüße\nzwei 𝄞\n"
            assert context.whole.search(r"^\^grü")[0].text() == "^grüße\n"
            assert context.size_bytes == len("^grüße\nzwei 𝄞\n".encode())


def test_broken_bytes_and_nuls_are_kept_in_their_place(tmp_path: Path) -> None:
    """What is no UTF-8 is shown with replacement characters, and lines behind it are found."""
    (tmp_path / "c.log").write_bytes(b"a\xff\xfeb\n\0\0\0\nlast \xe2\x82\n")
    with LongContext.of(tmp_path / "c.log") as context:
        assert context.whole.text() == "a\ufffd\ufffdb\n\0\0\0\nlast \ufffd\n"
        assert [each.start for each in context.whole.search("last .$")] == []
        assert [each.text() for each in context.whole.search("last ..$")] == ["last \ufffd\n"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("kind", ["file", "stream", "folder", "glob"])
def test_utf_16_without_a_mark_is_read_as_such(tmp_path: Path, encoding: str, kind: str) -> None:
    """As UTF-8 it would be a text with NULs, in which no word is found: an answer about nothing."""
    text = "2026-11-30 ERROR disk für 𝄞\n" * 100_000
    (tmp_path / "c.log").write_bytes(text.encode(encoding))
    named: Any = {"file": tmp_path / "c.log", "folder": tmp_path, "glob": f"{tmp_path}/*.log"}
    with (tmp_path / "c.log").open("rb") as stream, LongContext.of(named.get(kind, stream)) as context:
        assert context.whole[-60:].text().endswith("ERROR disk für 𝄞\n")
        assert len(context.whole.search("ERROR d.sk f", limit=9)) == 9
        assert context.whole[-9:].place.last_line >= 100_000


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one file more than are looked at, made once."""
    folder = tmp_path_factory.mktemp("crowded")
    for number in range(20_001):
        (folder / f"{number}.log").touch()
    (folder / ".git").mkdir()  # which is left out, and does not count
    return folder


def test_of_a_folder_with_more_entries_than_are_looked_at_it_is_told(crowded: Path) -> None:
    """So that nobody takes what is listed for all."""
    files, is_all = list_files(Workspace(crowded), 30_000)
    assert (len(files) in (19_999, 20_000), is_all) == (True, False)


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 5_000 + b"after the crash\n",
        b"one\n" + b"\0" * 5_000,
        b"a\0b\0c\0\0\0",
        b"x" * 300 + b"\0a" * 20,
    ],
)
def test_nuls_alone_are_no_encoding(data: bytes) -> None:
    """Logs have them where a crash left a hole."""
    with context_of(data) as context:
        assert context.size_bytes == len(data)


def test_a_stream_that_is_no_text_is_refused() -> None:
    """As a file would be."""
    with pytest.raises(ConfigurationError, match=r"standard input is no text \(gzip archive\)"):
        LongContext.of(io.BytesIO(b"\x1f\x8b\x08\0" + b"\1" * 99))


@pytest.mark.parametrize("kind", ["folder", "glob"])
def test_very_many_files_are_refused_in_a_sentence(crowded: Path, kind: str) -> None:
    """They are counted to the bound, and no further: a million take no longer."""
    source, said = (crowded, "than 20,000 files and folders") if kind == "folder" else (
        f"{crowded}/**/*.log", "fits more than 20,000 files"
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match=said):
        LongContext.of(source)


@pytest.mark.parametrize("pattern", ["needle", "ne+dle", "needle$", "[n]eedle"])
def test_a_line_of_many_megabytes_is_searched(tmp_path: Path, pattern: str) -> None:
    """It is found once, whole, wherever the match is in it, and the line after it, too."""
    line = "x" * 9_000_000 + "needle" + "y" * 600_000 + "needle"
    (tmp_path / "c.log").write_text(f"first\n{line}\nneedle\nlast")
    with LongContext.of(tmp_path / "c.log") as context:
        found = [(each.start, len(each)) for each in context.whole.search(pattern)]
        assert found == [(6, len(line) + 1), (6 + len(line) + 1, 7)]
        assert context.whole.search("^y|x$|^needlex") == []
        assert context.whole.count(pattern) == 2
        assert context.whole.lines(2, 2).place.first_line == 2
        assert len(context.whole.chunks(1_000_000)) < 40


WORDS = ("größe", "naïve", "KELVIN \u212a")
EXTRA = {9: "a\0\rb ms\n", 11: f"{'z' * 5_000} took 7 ms\n", 97: "\n"}
MANY = "".join(
    f"2026-11-{number % 28 + 1:02d} {'WARN' if number % 90 == 7 else 'INFO'} [worker-{number % 16}] "
    f"{WORDS[number // 50 % 3] if number % 50 == 3 else 'index beta ' * 30}"
    f" took {number % 400} ms id={number * 7919 % 65536:04x}\n{EXTRA.get(number % 500, '')}"
    for number in range(3_000)
)
"""A megabyte and more: lines of every kind, in several pieces."""
SOUGHT = (
    "WARN", "took", "INFO|größe", "(?i)kelvin k", "(?i)info", r"took \d+ ms", r"\d{3} ms \w\w=",
    "^2026-11-05", "ms$", "^$", "a.b", "WARN|größe|naïve", "(INFO|WARN) .* 39. ms", r"(?<=worker-)7(?!\d)",
    r"\w+-\d+\] \w+ \w+ beta", r"([a-z])\1[a-z]\1", "[à-ÿ]{1,2}", r"\s\S+$", "x*", "^z+ took", "(?i)ÏVE",
    r"\bms\b", "[^ -~]", "7 ms id=[0-9a-f]*f$",
)  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n", "mixed"])
def test_each_way_of_searching_finds_the_same_lines_of_a_long_text(end: str) -> None:
    """Rare and frequent ones, over the borders of pieces, in lines that are long, or not in ASCII."""
    import regex

    text = MANY if end != "\r\n" else MANY.replace("\r", "").replace("\n", "\r\n")
    text = text.replace("9 ms", "9\r\n") if end == "mixed" else text
    data = text.removesuffix("\n").encode()
    lines = lines_of(data)
    shown = [line.decode().removesuffix("\n").removesuffix("\r") for line in lines]
    guarded = Secrets()
    guarded.add(KEY, "API_KEY")
    with context_of(data) as context, context_of(data, secrets=guarded) as with_secret:
        for pattern in SOUGHT:
            expression = regex.compile(pattern)
            wanted = [line for line, said in zip(lines, shown, strict=True) if expression.search(said)]
            for whole in (context.whole, with_secret.whole):
                assert whole.count(pattern) == len(wanted), pattern
                found = whole.search(pattern, len(lines))
                assert [data_of(each, data) for each in found] == wanted, pattern


def test_a_quick_search_that_becomes_slow_is_left_and_finds_the_same() -> None:
    """It cannot be stopped; the other can. Nothing is lost or found twice where one follows the other."""
    easy, hard = "xa b\n" * 5_000, ("a" * 900 + "\n") * 45
    data = (easy + hard + easy + "é ab\n").encode()
    for counts in (True, False):
        sought = SoughtLines.of("a.*[bc]?[b-d]", False, 60)
        found = sought.count_in(data) if counts else len(list(sought.lines_in(data)))
        assert found == 10_001
        assert sought.quick is None


def test_a_quick_search_keeps_to_its_time() -> None:
    """The engine that cannot be stopped holds up all threads, so it is given little at once."""
    stopped, begun = pytest.raises(ToolError, match=r"stopped after 0\.1 seconds"), thread_time()
    with context_of(("a" * 1_020 + "\n") * 200) as context, stopped:
        context.whole.search("a.*[bc]?[b-d]", seconds=0.1)
    assert thread_time() - begun < 0.5


def test_a_pattern_that_explodes_is_stopped() -> None:
    """With a sentence, after the time it may take."""
    stopped = pytest.raises(ToolError, match=r"stopped after 0\.2 seconds")
    with context_of("a" * 5_000 + "!z\n") as context, stopped:
        context.whole.search(r"(a|aa)+(b|$)c?(?<!!)z", seconds=0.2)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda whole: whole.search("("), "no regular expression"),
        (lambda whole: whole.search(""), "empty"),
        (lambda whole: whole.search("a", limit=0), "limit must be"),
        (lambda whole: whole.search("(?R)"), "calls itself"),
        (lambda whole: whole.chunks(0), "characters must be"),
        (lambda whole: whole.chunks(9, 4), "overlap at most a third"),
        (lambda whole: whole.lines(0), "counted from 1"),
        (lambda whole: whole.around(0), "characters must be from 1 to 2,000,000"),
        (lambda whole: whole.around(10**12), "characters must be from 1 to 2,000,000"),
        (lambda whole: whole.count("("), "no regular expression"),
        (lambda whole: whole[::2], "written"),
        (lambda whole: whole[3], "written"),
        (lambda whole: whole.text(2), "at most 2"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(ask, sentence: str) -> None:
    """It goes to the model that asked."""
    with context_of("some text") as context, pytest.raises(ToolError, match=sentence):
        ask(context.whole)


def test_a_handle_of_a_closed_context_says_so() -> None:
    """And not something about a descriptor."""
    context = context_of("text")
    context.close()
    with pytest.raises(ToolError, match="log is closed"):
        context.whole.text()


# Secrets


@pytest.fixture
def secrets() -> Secrets:
    """Return one that knows a key."""
    known = Secrets()
    known.add(KEY, "API_KEY")
    return known


def test_a_secret_is_replaced_also_over_a_border(secrets: Secrets) -> None:
    """Both parts show its name, and neither shows a part of it."""
    with context_of(f"before {KEY} after", secrets=secrets) as context:
        whole = context.whole
        assert whole.text() == "before [API_KEY] after"
        for at in range(8, 8 + len(KEY) - 1):
            assert (whole[:at].text(), whole[at:].text()) == ("before [API_KEY]", "[API_KEY] after")
        assert whole[:7].text() == "before "
        assert KEY[:6] not in whole[:12].about().beginning


@pytest.mark.parametrize(("pattern", "literal"), [("sk-a", True), ("sk-[a-z]", False), ("[a-h]{8}", False)])
def test_a_search_does_not_tell_of_a_secret(secrets: Secrets, pattern: str, literal: bool) -> None:
    """A line that matches for the secret alone is not found; for its other text it is."""
    with context_of(f"one {KEY}\ntwo sk-a abcdefgh\n", secrets=secrets) as context:
        assert [each.place.first_line for each in context.whole.search(pattern, literal=literal)] == [2]
        (first,) = context.whole.search("one")
        assert first.text() == "one [API_KEY]\n"


def test_many_lines_do_not_tell_of_a_secret_either(secrets: Secrets) -> None:
    """Also if there are so many that secrets are looked for in all of them together."""
    lines = [f"é {number} {'sk-a' if number % 50 else KEY} end" for number in range(1_200)]
    with context_of("\n".join(lines), secrets=secrets) as context:
        for pattern in ("sk-a", "sk-[a-z]", "[s]k-", "[k]-a"):
            found = [each.place.first_line for each in context.whole.search(pattern, 2_000)]
            assert found == [number + 1 for number in range(1_200) if number % 50]
            assert context.whole.count(pattern) == len(found)
        assert context.whole.count("end") == 1_200


@given(
    st.lists(
        st.sampled_from(("plain sk-a", "é sk-a", KEY, f"{KEY} end", KEY[:9], KEY[9:], "", "x" * 50)),
        max_size=40,
    ),
    st.sampled_from(("sk-a", "[s]k-a", "end|sk", "(?i)SK-[a-z]", "gh", "[h]1?")),
)
def test_counts_leave_out_what_matches_in_a_secret_alone(lines: list[str], pattern: str) -> None:
    """As if each line were looked at by itself, with its secrets replaced; over line ends, too."""
    import regex

    known = Secrets()
    known.add(KEY, "API_KEY")
    text = "\n".join(["first plain line of many", *lines])
    expression, wanted, at = regex.compile(pattern), 0, 0
    with context_of(text, secrets=known) as context:
        for line in lines_of(text.encode()):
            said = context.whole[at : at + len(line)].text().removesuffix("\n")
            wanted += bool(expression.search(said) and expression.search(line.decode()))
            at += len(line)
        assert context.whole.count(pattern) == len(context.whole.search(pattern, 1_000)) == wanted


def test_a_secret_over_the_border_of_two_pieces_is_not_counted(secrets: Secrets) -> None:
    """Also if it is broken by a line end there, and if it became known after the first count."""
    step = 1 << 20
    for cut in (1, 9, len(KEY) - 1):
        filler = ("sk-a " + "x" * 1_018 + "\n") * (step // 1_024)
        text = filler[: step - cut - 1] + "\n" + KEY[:cut] + "\n" + KEY[cut:] + " tail\n" + filler
        late = Secrets()
        with context_of(text, secrets=secrets) as context, context_of(text, secrets=late) as other:
            own = [line for line in text.splitlines() if re.search("sk-a|78", line)]
            hidden = sum(1 for line in own if line in (KEY[:cut], KEY[cut:] + " tail"))
            late.add("something else", "OTHER")
            assert other.whole.count("sk-a|78") == len(own)
            late.add(KEY, "API_KEY")
            for one in (context, other):
                assert one.whole.count("sk-a|78") == len(own) - hidden
                assert len(one.whole.search("sk-a|78", 10**6)) == len(own) - hidden


def test_a_rare_line_far_behind_does_not_tell_of_a_secret_either(secrets: Secrets) -> None:
    """Places count from the beginning of the context, and not of the piece that is searched."""
    filler = ("x" * 1_023 + "\n") * 1_500
    with context_of(f"{filler}{KEY}\nsk-a\n{filler}{KEY} sk-a\n", secrets=secrets) as context:
        for pattern in ("sk-a", "[s]k-a|zz", "sk-a|yy"):
            assert context.whole.count(pattern) == len(context.whole.search(pattern)) == 2


def test_a_file_that_is_written_anew_is_looked_at_anew_for_secrets(tmp_path: Path, secrets: Secrets) -> None:
    """What was known of the old one says nothing about it."""
    file = tmp_path / "c.log"
    file.write_text("sk-a 1\n" * 5_000)
    with LongContext.of(file, secrets=secrets) as context:
        assert context.whole.count("[s]k-a") == 5_000
        with file.open("r+") as opened:
            opened.seek(7 * 3_000)
            opened.write(f"{KEY}\n")
        os.utime(file, ns=(1, 1))
        left = file.read_text().replace(KEY, "[API_KEY]").count("sk-a")
        assert context.whole.count("[s]k-a") == left < 5_000


# Sources


def test_a_folder_is_its_files_with_their_paths(tmp_path: Path) -> None:
    """Ignored, protected and binary ones are left out; a place names the file."""
    for name, said in {
        "b/two.txt": "two", "a.txt": "one\n", ".gitignore": "*.tmp\n", "x.tmp": "no", ".env": "KEY=secret",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(said)
    (tmp_path / "c.bin").write_bytes(b"\0\1\2")
    (tmp_path / "u.txt").write_text("wide\n", encoding="utf-16")
    with LongContext.of(tmp_path, "docs") as context:
        parts = (".gitignore <==\n*.tmp\n", "a.txt <==\none\n", "b/two.txt <==\ntwo\n", "u.txt <==\nwide\n")
        assert context.whole.text() == "\n".join(f"==> {part}" for part in parts)
        (two,) = context.whole.search("^two$")
        assert two.place.path == "b/two.txt"
        assert "from b/two.txt on" in str(two.place)
        about = context.whole.about()
        assert (about.kind, about.files, about.left_out) == ("folder", 4, 1)


def test_a_glob_is_the_files_that_it_names(tmp_path: Path) -> None:
    """Ignored ones are taken, as if they were named; protected ones are left out."""
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / "a.log").write_text("one")
    (tmp_path / "b.log").symlink_to(tmp_path / ".env")
    (tmp_path / ".env").write_text("KEY=secret")
    (tmp_path / "c.log").mkdir()
    with LongContext.of(f"{tmp_path}/*.log") as context:
        assert context.whole.text() == "==> a.log <==\none"
        assert context.left_out == ("b.log",)
    with LongContext.of(f"{tmp_path.parent}/{tmp_path.name[:-1]}?/*.log") as context:
        assert context.whole.text() == f"==> {tmp_path.name}/a.log <==\none"


def test_a_file_of_a_folder_is_a_part_with_lines_of_its_own(tmp_path: Path) -> None:
    """A place in it is short; one that is in several is in lines and bytes of the whole."""
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    (tmp_path / "b.txt").write_text("three\nfour")
    (tmp_path / "c.txt").write_text("")
    with LongContext.of(tmp_path, "docs") as context:
        files = context.whole.files()
        assert [(path, file.text()) for path, file in files.items()] == [
            ("a.txt", "one\ntwo\n"), ("b.txt", "three\nfour\n"), ("c.txt", ""),
        ]  # fmt: skip
        assert list(context.whole[5:].files()) == ["b.txt", "c.txt"]
        (two,), (four,) = context.whole.search("two"), context.whole.search("four")
        assert (two.spot, four.spot) == ("a.txt:2", "b.txt:2")
        assert files["a.txt"].spot == "a.txt:1-2"
        assert context.whole.search("==> b")[0].spot == "b.txt"
        assert context.whole.spot == str(context.whole.place)
    with context_of("one\ntwo") as context:
        assert context.whole.files() == {"log": context.whole}
        assert context.whole.lines(2, 2).spot == "log, lines 2-2 (bytes 4-7)"


@given(LETTERS, st.integers(0, 210), st.integers(0, 9), st.integers(1, 30), st.integers(0, 40))
def test_the_text_around_a_part(text: str, first: int, size: int, characters: int, least: int) -> None:
    """It has at most so many characters more on each side, ends at a line end if it can, and stays within."""
    with context_of(text) as context:
        room = context.whole[min(least, first) :]
        part = context.whole[first : first + size]
        around = part.around(characters, room)
        assert room.start <= around.start <= part.start
        assert part.end <= around.end <= room.end
        before = context.whole[around.start : part.start].text()
        behind = context.whole[part.end : around.end].text()
        assert max(len(before), len(behind)) <= characters
        if around.end < room.end and len(behind) < characters:
            assert behind.endswith("\n")
        if around.start > room.start and len(before) < characters:
            assert context.whole[: around.start].text().endswith("\n")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere.log", "cannot be read: No such file"),
        (".env", "would be sent to a model"),
        ("pipe", "no file but a pipe or a device"),
        ("x.gz", r"is no text \(gzip archive\)"),
        ("*.nope", "matches nothing"),
        ("empty", "no text files"),
        (".ssh", "would be sent to a model"),
    ],
)
def test_what_cannot_be_a_context_is_refused(tmp_path: Path, name: str, sentence: str) -> None:
    """A pipe is not waited for."""
    (tmp_path / ".env").write_text("KEY=secret")
    (tmp_path / "x.gz").write_bytes(b"\x1f\x8b\x08\0")
    (tmp_path / "empty").mkdir()
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match=sentence):
        LongContext.of(f"{tmp_path}/{name}")


def test_a_change_of_the_file_is_told(tmp_path: Path) -> None:
    """One that cuts it, one that adds to it, and one that keeps its size."""
    file = tmp_path / "c.log"
    file.write_text("one\ntwo\n")
    with LongContext.of(file) as context:
        assert context.changed() == ""
        context.digest()
        os.utime(file, ns=(1, 1))
        assert context.changed() == ""
        with file.open("a") as opened:
            opened.write("three\n")
        assert "has grown since it was opened: the first 8 bytes were read" in context.changed()
        file.write_text("ONE\ntwo\n")
        assert "was changed while it was read" in context.changed()
        file.write_text("1")
        assert "was cut while it was read" in context.changed()
        with pytest.raises(ToolError, match="was cut while it was read: it ends at byte 1 now"):
            context.whole.text()


def test_pipes_and_devices_in_a_folder_or_glob_are_left_out(tmp_path: Path) -> None:
    """None is opened for reading: a pipe without a writer would be waited for."""
    (tmp_path / "a.log").write_text("one\n")
    os.mkfifo(tmp_path / "b.log")
    (tmp_path / "c.log").symlink_to("/dev/zero")
    for source in (tmp_path, f"{tmp_path}/*.log"):
        with LongContext.of(source) as context:
            assert context.whole.text().endswith("a.log <==\none\n")


def test_several_threads_may_look_at_once() -> None:
    """The index of lines grows once."""
    with context_of("line\n" * 2_000_000) as context:
        found: list[int] = []

        def look() -> None:
            found.append(context.whole.lines(1_500_000, 1_500_000).place.first_line)

        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [1_500_000] * 8


_USES = """
import resource, sys
from sunwell.context.long_context import LongContext
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with LongContext.of(sys.argv[1]) as context:
    whole = context.whole
    whole.about(), whole.search("nothing of it"), whole.search("[xyz]{3} ?ERR"), whole.digest()
    whole.chunks(100_000), whole.lines(700_000, 700_010).text()
    whole.chunks(10**12), whole.chunks(150_000_000, 40_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_file_takes_little_memory(tmp_path: Path) -> None:
    """All of it is read several times; it is the blocks that take memory, not the file."""
    file = tmp_path / "c.log"
    with file.open("wb") as opened:
        for number in range(200):
            opened.write(b"2026-11-30 12:00:00 INFO request served in 12 ms\n" * 20_000 + b"%d\n" % number)
    done = subprocess.run([sys.executable, "-c", _USES, file], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100_000  # of kB; the file has 200 MB
