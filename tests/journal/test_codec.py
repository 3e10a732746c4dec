import json
import types
import zlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.core import Completion, Text, ToolCall, ToolResult, Usage
from sunwell.core.price import OutputEstimate
from sunwell.errors import JournalError
from sunwell.journal import records
from sunwell.journal.codec import ENVELOPE, decode, encode, plain_json
from sunwell.journal.notes import check_note
from sunwell.journal.records import Answer, Note, Record, Refused, RunOpened, Unknown

TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)  # lone surrogates among them
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
INTEGERS = st.integers(-(2**70), 2**70)
COUNTS, SECONDS = st.integers(0, 2**63 - 1), st.floats(0, 253_402_128_000)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KINDS = [
    item
    for item in vars(records).values()
    if isinstance(item, type) and issubclass(item, Record) and item not in (Record, Unknown)
]


def holds_anything(name: str) -> bool:
    """Whether notes of that name may have any value."""
    try:
        check_note(name, object())
    except ValueError:
        return False
    return True


def values(of: Any) -> st.SearchStrategy:
    """Every value that a field of the type *of* can have."""
    if of is Any:
        return JSON
    if of == Mapping[str, Any]:
        return st.dictionaries(TEXTS, JSON, max_size=3)
    origin, arguments = get_origin(of), get_args(of)
    if origin in (Union, types.UnionType):
        return st.one_of([values(each) for each in arguments])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if of is Usage:
        return st.builds(Usage, *[st.integers(0, 2**60)] * 6)
    if of is Note:
        return st.builds(Note, TEXTS, TEXTS.filter(holds_anything), JSON)
    if of is OutputEstimate:  # its figures are in order
        figures = st.lists(st.integers(0, 2**60), min_size=3, max_size=3).map(sorted)
        sentences = st.lists(TEXTS, max_size=3)
        return st.builds(
            lambda low_to_high, *said: OutputEstimate(low_to_high[1], low_to_high[0], low_to_high[2], *said),
            figures,
            sentences,
            sentences,
        )
    if attrs.has(of):
        hints = get_type_hints(of)
        return st.builds(
            of, **{field.name: values(hints[field.name]) for field in attrs.fields(of) if field.init}
        )
    plain = {str: TEXTS, int: COUNTS, float: SECONDS, bool: st.booleans(), type(None): st.none()}
    return st.decimals(0, 10**30, allow_nan=False) if of is Decimal else plain[of]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
@settings(max_examples=15, deadline=None)  # for each of the kinds: hundreds of records in all
@given(data=st.data())
def test_every_record_comes_back_exactly(kind, data):
    """Whatever a record of any kind holds, its line gives it back, and is one line of JSON."""
    record = data.draw(values(kind))
    line = encode(record, 7, 5)
    got = decode(line)
    assert (got.seq, got.synced, got.record) == (7, 5, record)
    assert b"\n" not in line
    assert json.loads(line)["kind"] == kind.kind


def test_a_note_that_could_not_be_read_back_is_not_written():
    """Whoever looks a note up by its name relies on what it is."""
    for name, value in (("lens-outcome", None), ("start-0", [["1", "x"]]), ("told-1", [1])):
        with pytest.raises(TypeError, match=f"the note '{name}' could not be read back"):
            encode(Note("run", name, value), 1)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_changed_byte_goes_unnoticed(data):
    """A line in which one byte is another one is damaged, wherever the byte is."""
    line = bytearray(encode(Note("run", "time", {"é": [1, "\ud800"]}), 3))
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 255))
    assert decode(bytes(line)) is None


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_garbage_is_damage_and_never_an_error(garbage):
    """Bytes that nobody wrote as a record decode to nothing, with a right checksum too."""
    assert decode(garbage) is None
    if b"\n" not in garbage:
        assert decode(_checked(b'{"a":' + garbage + b"}")) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\ud800\udc00", id="two-surrogates-are-not-one-character"),
        pytest.param("\U00010000", id="one-character-beyond-16-bits"),
        pytest.param("\\ud800 \ud800 \\\\", id="what-looks-like-our-escape"),
        pytest.param("\x00\x1f\u2028\x85\r\n", id="control-characters-and-line-ends"),
    ],
)
def test_any_text_survives(text):
    """Text that UTF-8 or JSON cannot carry as it is comes back all the same, keys included."""
    record = Note("run", text, {text: [text]})
    assert decode(encode(record, 0)).record == record


def test_the_checksum_is_crc_32_of_the_line_without_it():
    """Anybody can check a line: take the last member out, and compare."""
    line = encode(Note("run", "a", 1), 0)
    without = line[: line.rindex(b',"crc"')] + b"}"
    assert json.loads(line)["crc"] == f"{zlib.crc32(without):08x}"


def test_the_bytes_of_a_line_are_fixed():
    """Members stand in the order of the fields, the name of a part last; amounts are text."""
    parts = (Text("é"), ToolCall("c", "ls", "{}"), ToolResult("c", "", exit_code=0))
    usage = Usage(5, 2)
    completion = Completion(parts, "tool_calls", usage, "m", stated_cost_usd=Decimal("1E-7"))
    line = encode(Answer("run", 0, 1, "work", 0, "d", completion, Decimal("0.10"), 1.5, 2.0), 4, 3)
    assert line[: line.rindex(b',"crc"')].decode() == (
        '{"seq":4,"kind":"answer","synced":3,"span":"run","number":0,"attempt":1,"purpose":"work","depth":0,'
        '"digest":"d","completion":{"parts":[{"text":"é","part":"text"},'
        '{"id":"c","name":"ls","arguments":"{}","part":"toolcall"},'
        '{"call_id":"c","content":"","is_error":false,"changes":[],"exit_code":0,"reads":[],"left_behind":[],'
        '"part":"toolresult"}],'
        '"stop":"tool_calls","usage":{"input_tokens":5,"output_tokens":2,"cache_read_tokens":0,'
        '"cache_write_tokens":0,"cache_write_1h_tokens":0,"reasoning_tokens":0},"model":"m","provider_stop":"",'
        '"id":"","consulted":[],"is_batch":false,"stated_cost_usd":"1E-7","usage_doubt":""},"cost_usd":"0.10",'
        '"duration_seconds":1.5,"at":2.0,"remembered":false'
    )


def test_an_unknown_kind_is_kept():
    """A kind of a newer version comes as ``Unknown`` with its fields, and can be written again."""
    line = _checked(b'{"seq":4,"kind":"hologram","synced":2,"span":"run","depth":[3]}')
    got = decode(line)
    assert got.record == Unknown("hologram", {"span": "run", "depth": [3]})
    assert encode(got.record, 4, 2) == line


def test_additional_fields_are_passed_over():
    """A field that a newer version added to a known kind does not disturb."""
    line = _checked(b'{"seq":0,"kind":"note","synced":0,"span":"run","name":"a","value":1,"mood":"good"}')
    assert decode(line).record == Note("run", "a", 1)


@pytest.mark.parametrize(
    ("version", "is_read"),
    [
        pytest.param("1.6", True, id="ours"),
        pytest.param("1.0", True, id="older-minor"),
        pytest.param("1.9", True, id="newer-minor"),
        pytest.param("2.0", False, id="newer-major"),
        pytest.param("10.1", False, id="two-digits"),
    ],
)
def test_only_a_newer_major_format_is_refused(version, is_read):
    """The run's record names the format; a newer minor one is read, a newer major one refused."""
    ours = encode(RunOpened("r1", "t", 1.0), 0)
    line = _checked(ours[: ours.rindex(b',"crc"')].replace(b'"1.6"', f'"{version}"'.encode()) + b"}")
    if is_read:
        assert decode(line).record == RunOpened("r1", "t", 1.0)
    else:
        with pytest.raises(JournalError, match=f"format {version} by a newer Sunwell"):
            decode(line)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(b'"span":"run","name":"a"', id="field-missing"),
        pytest.param(b'"span":7,"name":"a","value":1', id="field-of-another-type"),
    ],
)
def test_a_whole_line_that_does_not_fit_its_kind_is_refused(fields):
    """A good checksum over a record that this version does not understand is no damage to cut off."""
    with pytest.raises(JournalError, match="record 3 is whole but is no 'note'"):
        decode(_checked(b'{"seq":3,"kind":"note","synced":0,' + fields + b"}"))


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(Note("run", "a", (1, 2)), id="tuple"),
        pytest.param(Note("run", "a", {1: 2}), id="key-that-is-no-string"),
        pytest.param(Note("run", "a", float("nan")), id="not-a-number"),
        pytest.param(Note("run", "a", Decimal(1)), id="decimal"),
        pytest.param(RunOpened("r", "t", float("inf")), id="infinite-time"),
        pytest.param(RunOpened("r", None, 1.0), id="none-for-text"),
        pytest.param(RunOpened("r", b"t", 1.0), id="bytes-for-text"),
        pytest.param(RunOpened("r", "t", True), id="truth-for-a-number"),
        pytest.param(Refused("run", 1, "usd", "1", Decimal(1), Decimal(1), "run"), id="text-for-an-amount"),
        pytest.param(Refused("run", 1, "usd", 1.5, Decimal(1), Decimal(1), "run"), id="float-for-an-amount"),
        pytest.param(RunOpened("r", "t", 1.0, settings={"a": {1}}), id="set-in-settings"),
        pytest.param(Unknown("note", {}), id="known-kind-as-unknown"),
        pytest.param(Unknown("x", {"seq": 1}), id="field-named-like-the-envelope"),
        pytest.param(Record(), id="the-root"),
    ],
)
def test_what_would_not_come_back_is_refused_when_written(record):
    """A record that a resume could not read is a TypeError while the run can still tell."""
    with pytest.raises(TypeError):
        encode(record, 0)


def test_a_completion_of_an_unheard_of_stop_is_refused_when_written(answer):
    """A model of the user's own that breaks the types shows when its answer is written."""
    odd = attrs.evolve(answer(), completion=Completion((Text("hi"),), "stop", None, "own"))
    with pytest.raises(TypeError, match="got 'stop'"):
        encode(odd, 0)


@pytest.mark.parametrize(
    "part", ["hi", {"text": "hi", "part": "text"}, Usage()], ids=["text", "dict", "usage"]
)
def test_what_is_no_part_of_a_message_is_refused_when_written(answer, part):
    """An answer consists of parts of a message; nothing that only looks like one is written."""
    odd = attrs.evolve(answer(), completion=Completion((part,), "end", None, "own"))
    with pytest.raises(TypeError, match="part of a message"):
        encode(odd, 0)


def test_a_list_in_place_of_a_tuple_is_written(answer):
    """A model of the user's own may answer with a list of parts."""
    listed = attrs.evolve(answer(), completion=Completion([Text("hi")], "end", None, "own"))
    got = decode(encode(listed, 0)).record
    assert got.completion == Completion((Text("hi"),), "end", None, "own")


def test_nesting_is_limited_both_ways():
    """JSON of 64 levels is taken and comes back; one more level is refused."""
    deep: Any = 1
    for _ in range(64):
        deep = [deep]
    assert decode(encode(Note("run", "a", deep), 0)).record == Note("run", "a", deep)
    with pytest.raises(TypeError, match="64 levels"):
        encode(Note("run", "a", [deep]), 0)


def test_no_field_of_a_record_has_a_name_of_the_envelope():
    """The names around a record and those in it never meet."""
    names = {field.name for kind in KINDS for field in attrs.fields(kind)}
    assert names & ENVELOPE == set()


def _checked(body: bytes) -> bytes:
    return body[:-1] + b',"crc":"%08x"}' % zlib.crc32(body)


ANY_JSON_OR_NOT = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=3)
    | st.decimals(allow_nan=False, places=2)
    | st.tuples(st.integers()),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), ANY_JSON_OR_NOT, max_size=5))
def test_settings_are_taken_if_each_value_is_json_and_only_then(settings):
    """The quick look at a run's settings takes what the look at each value takes, and refuses the rest."""
    try:
        wanted = plain_json(settings)
    except TypeError:
        with pytest.raises(TypeError):
            encode(RunOpened("r", "t", 1.0, settings=settings), 0)
        return
    got = decode(encode(RunOpened("r", "t", 1.0, settings=settings), 0)).record.settings
    assert got == wanted
    assert repr(got) == repr(wanted)  # True is not 1, and 1 is not 1.0


NOTHING_KEPT = {"reasons": [], "may_keep": True, "use": "not"}


@pytest.mark.parametrize(
    ("name", "sound", "damaged"),
    [
        ("kept-lens", NOTHING_KEPT, {"reasons": [], "may_keep": True}),
        ("kept-lens", NOTHING_KEPT | {"files": {"a": "00", "b": None}}, NOTHING_KEPT | {"files": {"a": 1}}),
        ("lens-trial", {"places": [1], "items": "00"}, {"places": [1], "items": 0}),
        ("lens-trial", {"places": [1], "of_known": True}, {"places": [1], "of_known": "yes"}),
    ],
)
def test_a_note_on_a_lens_has_its_form(name: str, sound: Any, damaged: Any) -> None:
    """What is looked up in it may be missing only where an older version did not write it."""
    check_note(name, sound)
    with pytest.raises(ValueError, match=r"Object missing|Expected"):
        check_note(name, damaged)
