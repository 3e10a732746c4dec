"""Known secrets do not come through, in whatever writing."""

import base64
import copy
import html
import json
import pickle
import shlex
import textwrap
from collections.abc import Callable
from typing import Any, get_args
from urllib.parse import quote, quote_plus

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sunwell.core.secrets import Secrets, SecretStream
from sunwell.core.task import Bill, TaskResult
from sunwell.core.verdict import Verification

KEY = 'sk-"abc/def+ghi?jkl'


@attrs.frozen
class Budgets:
    of: dict[str, tuple[str, ...]]


def known(*values: str) -> Secrets:
    secrets = Secrets()
    for index, value in enumerate(values):
        secrets.add(value, f"KEY_{index}")
    return secrets


def folded(written: str, width: int) -> str:
    return "\n".join(textwrap.wrap(written, width, break_on_hyphens=False))


def coloured(written: str) -> str:
    return f"{written[:4]}\x1b[01;31m\x1b[K{written[4:9]}\x1b[m\x1b[K{written[9:]}"


LONG = "sk-ant-\"api03/Abc+Def=é$Ghi'jkl-0123456789abcdefghijklmnopqrstuvwxyz"
ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent-encoded": lambda key: quote(key, safe=""),
    "percent-encoded-but-slashes": quote,
    "percent-encoded-in-small-letters": lambda key: quote(key, safe="").replace("%2F", "%2f"),
    "as-a-form-field": quote_plus,
    "percent-encoded-twice": lambda key: quote(quote(key, safe=""), safe=""),
    "percent-encoded-here-and-there": lambda key: key.replace("/", "%2f").replace('"', "%22"),
    "percent-encoded-all": lambda key: "".join(f"%{byte:02X}" for byte in key.encode()),
    "json": lambda key: json.dumps(key)[1:-1],
    "json-with-all-letters": lambda key: json.dumps(key, ensure_ascii=False)[1:-1],
    "json-of-json": lambda key: json.dumps(json.dumps(key))[1:-1],
    "json-with-escaped-slashes": lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
    "json-all-escaped": lambda key: "".join(f"\\u{ord(one):04x}" for one in key),
    "python": lambda key: repr(key)[1:-1],
    "python-bytes": lambda key: repr(key.encode())[2:-1],
    "python-all-escaped": lambda key: "".join(f"\\x{byte:02x}" for byte in key.encode()),
    "quoted-for-a-shell": lambda key: shlex.quote(key)[1:-1],
    "escaped-for-a-shell": lambda key: "".join(one if one.isalnum() else f"\\{one}" for one in key),
    "html": html.escape,
    "html-with-numbers": lambda key: "".join(f"&#{ord(one)};" for one in key),
    "html-with-hex-numbers": lambda key: "".join(f"&#x{ord(one):X};" for one in key),
    "hex": lambda key: key.encode().hex(),
    "hex-in-capitals": lambda key: key.encode().hex().upper(),
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "base64-without-padding": lambda key: base64.b64encode(key.encode()).decode().rstrip("="),
    "base64-for-urls": lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
    "base64-after-one-byte": lambda key: base64.b64encode(f":{key}".encode()).decode(),
    "base64-after-two-bytes": lambda key: base64.b64encode(f"u:{key}".encode()).decode(),
    "base64-inside": lambda key: base64.b64encode(f"a{key}b".encode()).decode(),
    "base64-percent-encoded": lambda key: quote(base64.b64encode(key.encode()).decode(), safe=""),
    "base64-in-lines": lambda key: base64.encodebytes(key.encode() * 3).decode(),
    "hex-in-lines": lambda key: folded(key.encode().hex(), 60),
    "in-lines": lambda key: folded(key, 20),
    "in-lines-of-a-file-from-windows": lambda key: folded(key, 20).replace("\n", "\r\n"),
    "with-colours": coloured,
    "with-colours-and-in-lines": lambda key: folded(coloured(key), 30),
}


def remains(key: str, shown: str) -> list[str]:
    """Return what *shown* still tells of *key*: a dozen characters in any writing."""
    data = key.encode()
    told = [
        key,
        data.hex(),
        data.hex().upper(),
        *(base64.b64encode(b"-" * n + data).decode()[4:-4] for n in range(3)),
    ]
    return [
        word[at : at + 12] for word in told for at in range(len(word) - 11) if word[at : at + 12] in shown
    ]


@pytest.mark.parametrize("key", [KEY, LONG], ids=["short", "long"])
@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_a_secret_is_replaced_in_every_usual_writing(encoding, key):
    """A secret becomes its name, as programs, headers, addresses and terminals write it; nothing is left."""
    written = encoding(key)
    shown = known(key).redact(f"before {written} after")
    assert "[KEY_0]" in shown
    assert written not in shown
    assert remains(key, shown) == []
    assert shown.startswith("before ")
    assert shown.endswith(" after")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_no_border_between_pieces_of_a_stream_lets_a_secret_through(encoding, size):
    """However the text is cut, what is shown never holds a part of the secret, and nothing else is lost."""
    text = f"before {encoding(LONG)} after, and the end"
    secrets = known(LONG)
    stream, shown = SecretStream(secrets), ""
    for at in range(0, len(text), size):
        shown += stream.feed(text[at : at + size])
        assert remains(LONG, shown) == []
    shown += stream.end()
    assert shown == secrets.redact(text)


SHORT_KEY = "key-Abcdef0123456789"
HEX = SHORT_KEY.encode().hex()


@given(st.text(st.characters(codec="utf-8"), min_size=6, max_size=40), st.data())
def test_hex_is_found_in_any_case(value, data):
    """Programs write small letters, capitals, and, where parts are joined, both."""
    assume(len(value.strip()) >= 6 and value == value.strip() and len(value.splitlines()) == 1)
    written = "".join(
        data.draw(st.sampled_from((one, one.upper())), label="digit") for one in value.encode().hex()
    )
    assert known(value).redact(f"<{written}>") == "<[KEY_0]>"


@given(st.data())
def test_a_stream_shows_what_a_whole_text_would(data):
    """For any words around any beginning of a secret, also in hex of either case, and for any cuts."""
    secrets = known(SHORT_KEY)
    mixed = "".join(data.draw(st.sampled_from((one, one.upper())), label="digit") for one in HEX)
    written = st.sampled_from((SHORT_KEY, HEX, HEX.upper(), mixed))
    ends = st.one_of(st.just(len(HEX)), st.integers(0, len(HEX)))
    part = st.builds(lambda text, end: text[:end], written, ends)
    words = st.sampled_from(("key", "k", "6B", " ", "\n", "words, ", "6b6", "-", "%6b", "\\x6b", "&#107;"))
    text = "".join(data.draw(st.lists(st.one_of(part, words), max_size=12), label="text"))
    stream, shown, done = SecretStream(secrets), "", 0
    while done < len(text):
        size = data.draw(st.integers(1, 9), label="size")
        shown += stream.feed(text[done : done + size])
        done += size
    assert shown + stream.end() == secrets.redact(text)


def test_a_stream_holds_back_a_secret_that_begins_with_any_letter():
    """Also with one that no escape of ASCII stands for."""
    stream = SecretStream(known("éléphant-rose-9"))
    assert stream.feed("It is é") == "It is "
    assert stream.feed("léphant-rose-9, yes") + stream.end() == "[KEY_0], yes"


def test_a_stream_holds_back_no_more_than_what_may_become_a_secret():
    """Ordinary words are shown as they come, also half ones; without secrets, everything is."""
    stream = SecretStream(known(LONG))
    assert stream.feed("All of this is ordinary, and so is th") == "All of this is ordinary, and so is th"
    assert stream.feed("at.\n") == "at.\n"
    assert stream.feed("Ways to s/") == "Ways to "  # it may be escaped: the word waits for its end
    assert stream.feed("he and back.\n") == "s/he and back.\n"
    assert stream.feed("sk-ant-\n") == ""
    assert stream.feed("but not.\n") == "sk-ant-\nbut not.\n"
    assert SecretStream(Secrets()).feed("half a wo") == "half a wo"


PEM = (
    "-----BEGIN PRIVATE KEY-----\n"
    + folded("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" * 9, 64)
    + "\n-----END PRIVATE KEY-----"
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param(PEM, "[K]", id="whole"),
        pytest.param(
            json.dumps(PEM), '"-----BEGIN PRIVATE KEY-----\\n[K]\\n-----END PRIVATE KEY-----"', id="json"
        ),
        pytest.param(PEM.splitlines()[2], "[K]", id="one-line"),
        pytest.param(textwrap.indent(PEM, "  ").splitlines()[1], "  [K]", id="a-line-in-yaml"),
    ],
)
def test_of_a_secret_with_several_lines_no_line_is_shown(text, shown):
    """A private key is recognized by each of its lines: a search shows one, a reader some."""
    secrets = Secrets()
    secrets.add(PEM, "K")
    assert secrets.redact(text) == shown


def test_of_a_very_long_secret_no_part_is_shown():
    """A token of some thousand characters is one name, and so is most of it."""
    secrets, token = Secrets(), "".join(f"{n:x}Zq" for n in range(1_000))
    secrets.add(token, "T")
    assert secrets.redact(f"<{token}>") == "<[T]>"
    assert secrets.redact(f"<{base64.b64encode(token.encode()).decode()}>").count("[T]") == 1
    assert len(secrets.redact(token[100:2_000])) < 300


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\\" * 600_000, id="backslashes"),
        pytest.param("sk-abc" + " " * 600_000, id="spaces"),
        pytest.param("sk-abc" + "\n" * 600_000, id="lines"),
        pytest.param("sk-abc def" * 60_000, id="beginnings"),
        pytest.param("s\x1b[1m" * 120_000, id="colours"),
        pytest.param("%73" * 200_000, id="percent"),
        pytest.param("&#115;" * 100_000, id="entities"),
        pytest.param("\\x73" * 150_000, id="escapes"),
    ],
)
def test_no_text_takes_long(text):
    """Texts that nearly match take time in proportion to their length; otherwise this test would not end."""
    assert known("sk-abc def\nghi-JKLMNOP", "p@s/w+r#d!$", "a'b\"c\\d&e<f").redact(text) == text


def test_known_secrets_are_neither_pickled_nor_copied():
    """A pickle or a copy of something that holds them would hold the values."""
    secrets = known(KEY)
    for taken in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="known secrets are not pickled or copied"):
            taken(secrets)


@pytest.mark.parametrize(
    ("value", "is_kept"),
    [
        pytest.param("12345", False, id="five-characters"),
        pytest.param("123456", True, id="six-characters"),
        pytest.param(" 12345\n", False, id="white-space-does-not-count"),
        pytest.param("", False, id="empty"),
    ],
)
def test_short_values_stay_because_they_occur_in_ordinary_text(value, is_kept):
    """Values are kept from six characters on."""
    assert (known(value).redact(f"<{value.strip()}>") == "<[KEY_0]>") == is_kept


@pytest.mark.parametrize("order", [("secret-one", "secret-one-long"), ("secret-one-long", "secret-one")])
def test_the_longer_of_two_secrets_goes_first(order):
    """Nothing is left of a secret that begins with another one, in whatever order they were added."""
    shown = known(*order).redact("secret-one-long secret-one")
    assert "secret" not in shown
    assert "long" not in shown


def test_text_without_secrets_is_left_alone():
    """Where nothing is known or nothing occurs, text stays the same."""
    assert Secrets().redact("abc") == "abc"
    assert known("another-secret").redact("abc") == "abc"


def test_a_secret_is_not_in_the_description_of_its_keeper():
    """Printing the keeper tells nothing."""
    assert "sk-shown" not in repr(known("sk-shown-never"))


@given(
    before=st.text(),
    after=st.text(),
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6),
)
def test_no_surrounding_text_lets_a_secret_through(before, after, secret):
    """Whatever stands around it, the secret itself is gone, unless its own name brings it back."""
    secrets = known(secret)
    if secret.strip() not in f"[KEY_0]{before}{after}":
        assert secret not in secrets.redact(f"{before} {secret} {after}") or "[KEY_0]" in secret


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("%5ar7%4bqw%50m3xVtY8sNbD60", id="percent-of-some-letters"),
        pytest.param("".join(f"\\U{ord(sign):08x}" for sign in "Zr7KqwPm3xVtY8sNbD60"), id="long-escapes"),
        pytest.param("".join(f"\\{ord(sign):03o}" for sign in "Zr7KqwPm3xVtY8sNbD60"), id="octal"),
    ],
)
def test_a_secret_of_letters_is_found_however_it_is_escaped(text) -> None:
    """Letters need no escape, so a text in which some have one is looked at closely."""
    secrets = Secrets()
    secrets.add("Zr7KqwPm3xVtY8sNbD60", "TOKEN")
    assert secrets.redact(f"begin {text} end") == "begin [TOKEN] end"


def test_a_secret_with_the_line_ends_of_windows_is_found_with_others() -> None:
    """A variable keeps what was pasted into it; the file may have been converted."""
    secrets = Secrets()
    secrets.add("lineone-Aq8Zk3\r\nlinetwo-Bq9Xk4", "TOKEN")
    assert secrets.redact("a lineone-Aq8Zk3\nlinetwo-Bq9Xk4 b") == "a [TOKEN] b"


@given(
    st.lists(
        st.sampled_from(("", "abc ", "é", "\n", "\r\n", "\x1b[1m", "%41", "\\x41", "&#65;", "k3y")),
        max_size=9,
    ),
    st.sampled_from(("Zebra7Quagga5", "correct horse battery", "zebra-quagga-yak", "k/3+y=é")),
    st.sampled_from(
        (
            lambda key: key,
            lambda key: key.encode().hex(),
            lambda key: base64.b64encode(key.encode()).decode(),
            lambda key: "\n".join(key),
            coloured,
            lambda key: "".join(f"\\x{ord(one):02x}" for one in key),
            lambda key: "".join(f"%{byte:02X}" for byte in key.encode()),
            lambda key: key[:4],
        )
    ),
    st.integers(0, 9),
)
def test_no_secret_is_in_bytes_of_which_it_is_said_that_none_can_be(around, key, written, at) -> None:
    """However it is written, and whatever is around it: searches look no further there."""
    secrets = known(key)
    text = "".join([*around[:at], written(key), *around[at:]])
    assert secrets.may_be_in(text.encode()) or secrets.redact(text) == text
    assert not Secrets().may_be_in(text.encode())
    assert not known("Zebra7Quagga5").may_be_in(b"plain text, 100% of it")


BESIDE = st.text(max_size=12) | st.sampled_from(
    ("\\", "\\n", "\n", '"', "\t", "%41", "&#65;", "\x1b[1m", "\ud800")
)
WHOLE = tuple(
    join.join(f"{quote}code{number * 7919:07}{quote}" for number in range(30))
    for join, quote in (("\n", '"'), ("\t", ""), ("\r\n", "\\"), ("\n", "'"))
)
"""Longer than 240 characters, with lines too short to be sought alone: they are sought as a whole."""
NOT_UTF_8 = f"{'abcdef1234' * 15}\udcff{'klmnop5678' * 15}\n1\n2"
WAYS = (*ENCODINGS.values(), coloured, lambda key: folded(key, 7), lambda key: f"{key[:9]}\\\n{key[9:]}")


@given(st.sampled_from((KEY, LONG, "abcdef123456", "ndef-123456", *WHOLE)), BESIDE, BESIDE)
def test_a_line_of_json_that_may_hold_a_secret_is_never_taken_for_free(key, before, after) -> None:
    """Whatever is found in a value is suspected in its JSON: only what is not suspected is left as it is."""
    secrets = known(key)
    for write in WAYS:  # all of them for each key: some are told apart by one check alone
        value = {"a": f"{before}{write(key)}{after}", "b": [before, write(key)]}
        line = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
        assert secrets.may_be_in_json(line) or secrets.cleaned(value) == value


@pytest.mark.parametrize(
    "key", [*WHOLE, NOT_UTF_8], ids=["quotes", "tabs", "backslashes", "apostrophes", "raw"]
)
def test_a_long_secret_is_suspected_however_json_writes_its_characters(key: str) -> None:
    """Quotes, tabs and line breaks of its own are escapes there; a byte that is no UTF-8 stops nobody."""
    for ascii_only in (False, True):
        line = json.dumps({"a": f"found: {key}"}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        assert known(key).may_be_in_json(line)
    assert known(key).may_be_in(key.encode("utf-8", "surrogatepass"))


def test_a_line_of_json_without_a_secret_is_free() -> None:
    """Quotes, tabs and line breaks in texts make no difference; without secrets every line is."""
    line = json.dumps({"a": 'He said "no".\n\tAnd\r\nwent.', "b": [1, None, "é"]}, ensure_ascii=False)
    assert not known("abcdef123456").may_be_in_json(line.encode())
    assert not Secrets().may_be_in_json(b'{"a":"%41 and \\\\u0041"}')


def test_settings_with_a_secret_are_cleaned_also_where_json_would_escape_it():
    """A dict is looked at as JSON first; that must miss nothing which a look at each text finds."""
    secrets = known(KEY, "plain-secret-value")
    for place in (
        {"a": [KEY]},
        {KEY: 1},
        {"a": {"b": f"x{KEY}y"}},
        {"a": "plain-secret-value"},
        {"a": quote(KEY)},
    ):
        assert "abc" not in json.dumps(secrets.cleaned(place))
        assert "plain-secret" not in json.dumps(secrets.cleaned(place))
    clean = {"a": ["nothing", 1, None], "b": {"c": True}}
    assert secrets.cleaned(clean) is clean
    assert (
        secrets.cleaned({"a": ("tuple", KEY), 1: "x"})["a"][1] != KEY
    )  # no JSON, and looked at all the same


def test_a_secret_that_is_learned_later_counts_wherever_it_is_joined():
    """What was put together before is put together again, in joined ones as well."""
    first, second = known("first-secret-value"), Secrets()
    both, outer = first.joined(second), Secrets()
    outer.join(both)
    text = "first-secret-value second-secret-value"
    assert outer.redact(text) == "[KEY_0] second-secret-value"
    second.add("second-secret-value", "LATER")
    assert outer.redact(text) == both.redact(text) == "[KEY_0] [LATER]"
    assert first.redact(text) == "[KEY_0] second-secret-value"


def test_a_value_that_json_shows_all_of_is_cleaned_as_any_other() -> None:
    """A secret in it is replaced, however deep; without one it is the value itself, with objects or not."""
    secrets = known("a-secret-word")
    for text, shown in (
        ("plain", "plain"),
        ("a-secret-word", "[KEY_0]"),
        ("a-secret\nword", "a-secret\nword"),
    ):
        for value in ({"a": [text, 1]}, Budgets({"x": (text,)}), {"a": object(), "b": text}):
            clean = secrets.cleaned_in_json(value)
            assert clean == secrets.cleaned(value)
            assert (clean is value) == (shown == text)
    assert secrets.cleaned_in_json(Budgets({"x": ("a-secret-word",)})) == Budgets({"x": ("[KEY_0]",)})


def test_the_result_of_a_run_has_no_private_field() -> None:
    """JSON leaves those out, and a secret in one would not be found."""
    waiting: list[Any] = [TaskResult]
    seen: set[Any] = set()
    while waiting:
        kind = waiting.pop()
        waiting += get_args(kind)
        if not isinstance(kind, type) or not attrs.has(kind) or kind in seen:
            continue
        seen.add(kind)
        fields = attrs.fields(attrs.resolve_types(kind))
        assert [field.name for field in fields if field.name.startswith("_")] == []
        waiting += [field.type for field in fields]
    assert {TaskResult, Bill, Verification} <= seen
