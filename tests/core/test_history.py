"""A history costs what is new in it."""

import attrs
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core import FileChange, History, Message, Request, Text, Thinking, ToolCall, ToolResult, user
from sunwell.core.message import FileRead

texts = st.text(max_size=12)
parts = st.one_of(
    st.builds(Text, texts),
    st.builds(Thinking, texts, texts, texts),
    st.builds(ToolCall, texts, texts, texts),
    st.builds(ToolResult, texts, texts, st.booleans()),
)
messages = st.lists(
    st.builds(
        Message, st.sampled_from(["user", "assistant", "tool"]), st.lists(parts, max_size=3).map(tuple)
    ),
    max_size=6,
)


@given(messages, st.integers(0, 6))
def test_growing_is_the_same_as_starting_whole(sequence: list[Message], cut: int) -> None:
    """Digest, size and encoding do not depend on the steps in which a history grew."""
    whole = History(sequence)
    grown = History(sequence[:cut])
    grown.encoded("repr", lambda message: repr(message).encode())
    grown = grown.plus(*sequence[cut:])
    assert grown == whole
    assert grown.digest == whole.digest
    assert grown.size_bytes == whole.size_bytes
    encode = lambda message: repr(message).encode()  # noqa: E731
    assert grown.encoded("repr", encode) == whole.encoded("repr", encode)


@given(messages, messages)
def test_different_histories_have_different_digests(first: list[Message], second: list[Message]) -> None:
    """Moving a border between two texts or messages changes the digest."""
    seen = [message.fields() for message in first], [message.fields() for message in second]
    assert (History(first).digest == History(second).digest) == (seen[0] == seen[1])


def test_a_message_is_encoded_once() -> None:
    """A longer history asks only for its new messages, also after the shorter one was encoded again."""
    encoded: list[str] = []

    def encode(message: Message) -> bytes:
        encoded.append(message.text)
        return message.text.encode()

    history = History([user("a")])
    history.encoded("wire", encode)
    longer = history.plus(user("b"), user("c"))
    assert longer.encoded("wire", encode) == b"a,b,c"
    assert longer.encoded("wire", encode) == b"a,b,c"
    assert history.encoded("wire", encode) == b"a"
    assert encoded == ["a", "b", "c"]


def test_branches_do_not_disturb_each_other() -> None:
    """Two continuations of one history keep their own bytes."""
    trunk = History([user("a")])
    trunk.encoded("wire", lambda message: message.text.encode())
    left, right = trunk.plus(user("b")), trunk.plus(user("c"))
    assert left.encoded("wire", lambda message: message.text.encode()) == b"a,b"
    assert right.encoded("wire", lambda message: message.text.encode()) == b"a,c"


def test_limits_do_not_change_the_digest_of_a_request() -> None:
    """A resume may lower the output or ask for streaming; the question stays the same."""
    request = Request([user("a")], ("be brief",), max_output_tokens=10)
    assert request.digest("m") == Request([user("a")], ("be brief",), max_output_tokens=99).digest("m")
    assert request.digest("m") != request.digest("n")
    assert request.digest("m") != Request([user("a")], ("be", "brief")).digest("m")


def test_a_result_with_other_content_is_the_same_otherwise():
    """Also in fields that a later version adds."""
    changes, reads = (FileChange("a", None, "1"),), (FileRead("b", "2"),)
    result = ToolResult("1", "old", True, changes, 3, reads, ("left",), True)
    assert not [name for name, value in attrs.asdict(result).items() if value in (None, "", (), False)]
    assert result.with_content("new") == attrs.evolve(result, content="new")
