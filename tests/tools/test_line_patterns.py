"""What is read out of a pattern is true of each line that ``regex`` finds, and of no other."""

import re

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.context.sought_lines import slices
from sunwell.tools.line_patterns import LONGEST_LINE, LinePattern

ASCII = "".join(map(chr, range(128)))
ATOMS = st.sampled_from(
    (
        "a", "b", "A", "1", " ", ".", r"\s", r"\S", r"\w", r"\W", r"\d", r"\D", "[^a]", "[ab]", "[a-c1]",
        r"[^\s]", "[]a]", "[^]b-]", r"\t", "-", "é", "(a)", "(b|a1)", "(?:a|b|)", "(?:ab)", "(?P<n>.)",
        "(?=a)", "(?!a)", "(?<=a)", "(?<!b)", "(?=ab)", "(?<!a )", r"\1", r"\b", "^", "$", r"\A", r"\Z", "|",
        "(a|é)", "[é]", "[^é]", r"\x61", r"\u0062", r"\.", "s", "k", "i", "K", "[a-z]", "[A-z]", "ab", "a b",
        "(?:a+b)", "(a*)", r"(\w)", "[ -~]", "\r", "\n", r"\n", "ſ", "(?=)", "(?!)", "}", "]",
        r"\B", r"\m", r"\M", "(?=.*a)", "(?!.*b)", "(?<=a|b1)", "(?>a|ab)", "(?>a1)", "a*+", "b++",
        "(?>a*)b?+",
    )
)  # fmt: skip
TIMES = st.sampled_from(("", "", "", "*", "+", "?", "{2}", "{1,3}", "{,2}", "{2,}", "*?", "+?", "??", "{0}"))
FLAGS = st.sampled_from(("", "", "", "(?i)", "(?s)", "(?a)", "(?ai)"))
PIECES = st.lists(st.tuples(ATOMS, TIMES).map("".join), min_size=1, max_size=5).map("".join)
PATTERNS = st.tuples(FLAGS, PIECES).map("".join)
LINES = st.lists(st.text(alphabet="ab1A -\t.sKki_\x1c\r", max_size=7), min_size=1, max_size=12)


def compiled(pattern: str) -> "regex.Pattern[str] | None":
    """Return *pattern*; nothing if it is none."""
    try:
        return regex.compile(pattern, regex.VERSION0)
    except regex.error:
        return None


@given(PATTERNS, LINES)
@settings(max_examples=300)
def test_the_quick_search_finds_the_same_lines_of_ascii(pattern: str, lines: list[str]) -> None:
    """Each once, also empty ones, at borders, with references, in any case."""
    expression = compiled(pattern)
    known = None if expression is None else LinePattern.of(pattern)
    if expression is None or known is None or known.matches is None:
        return
    wanted = [number for number, line in enumerate(lines) if expression.search(line)]
    quick, data = known.matches, ("\n" + "".join(f"{line}\n" for line in lines)).encode()
    if quick.is_every or quick.expression is None:
        assert wanted == (list(range(len(lines))) if quick.is_every else [])
        return
    found = quick.expression.finditer(quick.folded(data), 0 if quick.needs_end_before else 1)
    assert [data.count(b"\n", 0, match.end()) - 1 for match in found] == wanted


@given(PATTERNS, st.lists(st.text(alphabet="ab1A -sKkié\u017f\u212a", max_size=7), max_size=12))
@settings(max_examples=300)
def test_each_line_with_a_match_holds_a_text_of_each_clause(pattern: str, lines: list[str]) -> None:
    """Whatever its characters are; and if the clause is all, no other line does."""
    expression = compiled(pattern)
    known = None if expression is None else LinePattern.of(pattern)
    if expression is None or known is None:
        return
    for line in lines:
        is_found = expression.search(line) is not None
        holds = [any(text in line for text in texts) for texts in known.clauses]
        assert all(holds) or not is_found
        assert not known.is_clause or is_found == holds[0]


@pytest.mark.parametrize(
    "name", [r"\s", r"\S", r"\w", r"\W", r"\d", r"\D", ".", "[^a]", r"[\t-~]", "(?i)[^k-m]"]
)
def test_classes_are_those_of_the_other_engine(name: str) -> None:
    """For each character of ASCII by itself."""
    known = LinePattern.of(name)
    assert known is not None
    assert known.matches is not None
    search = known.matches
    for one in ASCII.replace("\n", ""):
        is_found = search.expression is not None and search.expression.search(search.folded(one.encode()))
        assert bool(is_found) == bool(regex.search(name, one))


def test_no_other_letter_counts_as_one_of_ascii() -> None:
    """Those that do, in any case, are left to the other engine."""
    every = "".join(chr(code) for code in range(128, 0x110000) if not 0xD800 <= code < 0xE000)
    for one in ASCII:
        for other in regex.findall("(?i)" + regex.escape(one), every):
            assert LinePattern.of(f"(?i){other}") is None
            assert LinePattern.of(f"(?i)[a{other}]") is None
            assert LinePattern.of("(?i)[^\u0100-\uffff]") is None


@pytest.mark.parametrize(
    ("pattern", "clauses"),
    [
        ("ERROR|WARN", (("ERROR", "WARN"),)),
        (r"(ERROR|WARN) .* 9\d\d ms", (("ERROR", "WARN"), (" ",), (" 9",), (" ms",))),
        (r"ab+c?größe{2}", (("a",), ("b",), ("größ",), ("e",))),
        ("(?i)a-1", (("-1",),)),
        ("(ab|c)?d", (("d",),)),
        ("(ab|)d", (("d",),)),
        (r"\w+", ()),
        (r"^(?!.*test).*hel\Blo", (("hel",), ("lo",))),
        (r"(?>ab|a)cd++\m(?=.*x)e", (("ab", "a"), ("c",), ("d",), ("e",))),
    ],
)
def test_the_texts_that_a_line_must_hold(pattern: str, clauses: tuple[tuple[str, ...], ...]) -> None:
    """Alternatives are one clause; what may be missing, or be written in another case, is none."""
    known = LinePattern.of(pattern)
    assert known is not None
    assert known.clauses == clauses
    assert known.is_clause == (pattern == "ERROR|WARN")


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        (r"took \d+ ms", None),
        (r"\d{3} \w\w id", rb"\ id(?<="),
        (r"\w+-\d+\] \w+ \w+ cache", rb"\-(?<="),
        (r"(?<=worker-)7(?!\d)", rb"worker\-7"),
        (r"([a-z])\1[a-z]\1", None),
        ("^$", rb"\n(?=\n)[^\n]*"),
        ("(?i)Info", rb"info[^\n]*"),
        ("[а-я]{4,}|GRÖSSE", None),
        (r"^\S+\s+\S+\s+ERROR", None),
        ("a.*b", None),
        ("(ab|cd){2,3}x", None),
    ],
)
def test_usual_patterns_are_searched_quickly(pattern: str, written: bytes | None) -> None:
    """And begin with a text if there is one that stands at a known place."""
    known = LinePattern.of(pattern)
    assert known is not None
    assert known.matches is not None
    if written is not None:
        assert known.matches.expression is not None
        assert known.matches.expression.pattern.startswith(written)


@pytest.mark.parametrize(
    "pattern",
    [
        "a.*b.*c", "x(a|aa)+b", r"y(\w+\s?)*x", "(a|b|ab){20}c", ".*a.*b.*c.*d", "(a+)(b*)(.*)x.*y", "(a*)*b",
        "^(^a)", "(a|^b)c", r"(?x) a", r"\Ba", "(?>a|ab)c", "a++b", "(?i:a)b", r"(a)?\1", "(.*)(.*)\\1x",
        "(?<=a|bc)d", "(" * 40 + "a" + ")" * 40, r"\p{L}a", "[[:alpha:]]", "a{e<=1}", "[a&&b]", r"\bx*",
        r"(a)(?=\1)",
    ],
)  # fmt: skip
def test_what_may_take_long_or_means_something_else_is_left_alone(pattern: str) -> None:
    """``re`` cannot be stopped."""
    known = LinePattern.of(pattern)
    assert known is None or known.matches is None


@pytest.mark.parametrize(
    ("pattern", "is_quick"),
    [
        ("a.*b", True),
        (r"\w+-\d+\] \w+ \w+ cache", True),
        ("(a|b)*c", True),
        ("x?x?x?x?y", True),
        (r"(\w)\1b", True),
        (r"(\w)\1.*\1b", False),
        ("a.*[bc]?[b-d]", True),
        ("a(b|c)*d", False),
    ],
)
def test_the_quick_search_of_a_hostile_line_ends(pattern: str, is_quick: bool) -> None:
    """The longest lines, each of which looks like a match from every place on."""
    known = LinePattern.of(pattern)
    assert known is not None
    assert (known.matches is not None) == is_quick
    if known.matches is not None:
        assert known.matches.expression is not None
        for line in ("a" * (LONGEST_LINE - 1), "1-" * (LONGEST_LINE // 2 - 1), "x" * (LONGEST_LINE - 1)):
            assert not re.findall(known.matches.expression, line.encode() + b"\n")


@given(PATTERNS, st.lists(st.sampled_from((0, 1, 99, 510, 511, 512, 513, 1_020, 2_046)), max_size=60))
def test_what_is_searched_at_once_takes_few_steps(pattern: str, lengths: list[int]) -> None:
    """Or is one line; and whole lines are searched, each once."""
    expression = compiled(pattern)
    known = None if expression is None else LinePattern.of(pattern)
    if known is None or known.matches is None:
        return
    quick, data = known.matches, b"".join(b"a" * length + b"\n" for length in lengths * 9)
    first = lengths[0] + 1 if lengths else 0
    parts = list(slices(quick, data, first, len(data)))
    assert b"".join(data[begin:end] for begin, end in parts) == data[first:]
    for begin, end in parts:
        assert data[end - 1 : end] == b"\n"
        lines = data[begin:end].splitlines(keepends=True)
        most = min(50_400_000 / quick.steps, 65_536) if quick.steps else 65_536
        assert len(lines) == 1 or end - begin <= most
