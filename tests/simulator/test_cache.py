"""What of a prompt is read from the cache and what is written to it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.simulator import Billing, ManualClock, ModelPrice, ModelRates, Piece, Prompt, piece

BLOCKS = ModelPrice(ModelRates(1, 1), cache_rule="blocks", least_prefix_tokens=100)
MESSAGES = ModelPrice(ModelRates(1, 1), cache_rule="messages", least_prefix_tokens=100)
NONE = ModelPrice(ModelRates(1, 1))


def billing(clock: ManualClock | None = None) -> Billing:
    prices = {"blocks": BLOCKS, "other": BLOCKS, "messages": MESSAGES, "none": NONE}
    return Billing(prices, clock or ManualClock())


def ask(bill: Billing, *pieces: Piece, model: str = "blocks", key: str = "k", **prompt):
    """Ask, begin the answer at once, and return (uncached, read, written for 5 minutes, for an hour)."""
    call = bill.begin(key, model, Prompt(pieces, **prompt))
    call.begin_answer()
    call.end()
    split = call.split
    return split.uncached_tokens, split.read_tokens, split.write_tokens, split.write_1h_tokens


def block(name: str, tokens: int = 100, **more) -> Piece:
    return piece(tokens, name, **more)


def test_a_marked_prefix_is_written_once_and_read_after():
    """The first call writes up to its breakpoint, a sibling reads that and pays only what differs."""
    bill = billing()
    assert ask(bill, block("lens", 600, mark="5m"), block("task 1", 50)) == (50, 0, 600, 0)
    assert ask(bill, block("lens", 600, mark="5m"), block("task 2", 70)) == (70, 600, 0, 0)


@pytest.mark.parametrize(
    ("tokens", "written"),
    [pytest.param(99, 0, id="below-the-least"), pytest.param(100, 100, id="at-the-least")],
)
def test_a_prefix_is_kept_from_the_models_least_length_on(tokens, written):
    """A shorter prefix is not cached, and no error either."""
    assert ask(billing(), block("lens", tokens, mark="5m"), block("x", 500))[2] == written


@pytest.mark.parametrize(
    ("life", "seconds", "read"),
    [
        pytest.param("5m", 299, 100, id="5m-alive"),
        pytest.param("5m", 300, 0, id="5m-expired"),
        pytest.param("1h", 3599, 100, id="1h-alive"),
        pytest.param("1h", 3600, 0, id="1h-expired"),
    ],
)
def test_entries_expire(life, seconds, read):
    """An entry lives for the time it was written with."""
    clock = ManualClock()
    bill = billing(clock)
    ask(bill, block("lens", mark=life))
    clock.advance(seconds)
    assert ask(bill, block("lens", mark=life))[1] == read


def test_reading_refreshes_the_life():
    """What is read every four minutes lives on."""
    clock = ManualClock()
    bill = billing(clock)
    ask(bill, block("lens", mark="5m"))
    for _ in range(3):
        clock.advance(240)
        assert ask(bill, block("lens", mark="5m"))[1] == 100


def test_reading_a_conversation_keeps_its_marked_beginning_alive():
    """A read of a longer prefix refreshes the marked shorter one that it contains."""
    clock = ManualClock()
    bill = billing(clock)
    turn = (block("lens", mark="5m"), block("talk", mark="5m"))
    ask(bill, *turn)
    clock.advance(240)
    ask(bill, *turn)
    clock.advance(240)
    assert ask(bill, block("lens", mark="5m"), block("other", mark="5m")) == (0, 100, 100, 0)


def test_an_hour_stands_before_five_minutes_in_the_bill():
    """Up to the last one-hour breakpoint the hour's rate holds, after it that of five minutes."""
    got = ask(billing(), block("tools", mark="1h"), block("system", 200, mark="5m"), block("rest", 7))
    assert got == (7, 0, 200, 100)


@pytest.mark.parametrize(
    ("added", "read"),
    [pytest.param(19, 100, id="in-reach"), pytest.param(20, 0, id="out-of-reach")],
)
def test_look_back_is_twenty_positions(added, read):
    """A breakpoint finds an earlier entry within 20 positions, itself included."""
    bill = billing()
    ask(bill, block("start", mark="5m"))
    middle = [block(f"turn {i}") for i in range(added - 1)]
    assert ask(bill, block("start"), *middle, block("end", mark="5m"))[1] == read


def test_messages_rule_has_no_look_back():
    """Under OpenAI's rule an entry at the end of an earlier message is found however far back."""
    bill = billing()
    ask(bill, block("start", ends_message=True), model="messages")
    later = [block(f"turn {i}", ends_message=True) for i in range(50)]
    got = ask(bill, block("start", ends_message=True), *later, model="messages")
    assert got == (0, 100, 5000, 0)


def test_messages_rule_shares_nothing_inside_a_message_without_a_breakpoint():
    """Siblings that differ in their first message need an explicit breakpoint before it."""
    plain, marked = billing(), billing()
    for bill, mark in ((plain, None), (marked, "5m")):
        ask(bill, block("lens", mark=mark), block("task 1", ends_message=True), model="messages")
    task = block("task 2", ends_message=True)
    assert ask(plain, block("lens"), task, model="messages") == (0, 0, 200, 0)
    assert ask(marked, block("lens", mark="5m"), task, model="messages") == (0, 100, 100, 0)


@pytest.mark.parametrize(
    ("implicit", "shared", "read"),
    [
        pytest.param(True, 2, 0, id="implicit-fourth-last"),
        pytest.param(True, 3, 300, id="implicit-third-last"),
        pytest.param(False, 1, 0, id="explicit-fifth-last"),
        pytest.param(False, 2, 200, id="explicit-fourth-last"),
    ],
)
def test_the_latest_four_breakpoints_are_written(implicit, shared, read):
    """Of five explicit breakpoints the last four are written, three where the implicit one takes a place."""
    bill = billing()
    marked = [block(f"part {i}", mark="5m") for i in range(5)]
    ask(bill, *marked, block("end", ends_message=True), model="messages", implicit=implicit)
    got = ask(bill, *marked[:shared], block("other", ends_message=True), model="messages", implicit=implicit)
    assert got[1] == read


def test_explicit_mode_without_breakpoints_caches_nothing():
    """Where the implicit breakpoint is off and no explicit one is set, there is no caching."""
    bill = billing()
    for _ in range(2):
        got = ask(bill, block("a", ends_message=True), model="messages", implicit=False)
        assert got == (100, 0, 0, 0)


@pytest.mark.parametrize(
    ("second", "read"),
    [
        pytest.param({}, 100, id="same"),
        pytest.param({"settings": b"high"}, 0, id="other-effort"),
        pytest.param({"key": "other"}, 0, id="other-account"),
        pytest.param({"model": "other"}, 0, id="other-model"),
    ],
)
def test_what_breaks_a_prefix(second, read):
    """Effort or thinking break a prefix, and neither accounts nor models share one."""
    bill = billing()
    ask(bill, block("lens", mark="5m"))
    assert ask(bill, block("lens", mark="5m"), **second)[1] == read


def test_an_entry_is_readable_only_after_its_answer_has_begun():
    """Siblings that start at once all pay; who starts after the first has begun reads."""
    bill = billing()
    prompt = Prompt((block("lens", 600, mark="5m"), block("task", 10)))
    first, second = bill.begin("k", "blocks", prompt), bill.begin("k", "blocks", prompt)
    first.begin_answer()
    third = bill.begin("k", "blocks", prompt)
    got = [(call.split.read_tokens, call.split.write_tokens) for call in (first, second, third)]
    assert got == [(0, 600), (0, 600), (600, 0)]


def test_a_call_that_never_began_leaves_no_entry():
    """What a cancelled call would have written cannot be read."""
    bill = billing()
    bill.begin("k", "blocks", Prompt((block("lens", mark="5m"),))).end("cancelled")
    assert ask(bill, block("lens", mark="5m"))[1] == 0


pieces = st.lists(
    st.builds(
        piece,
        st.integers(0, 300),
        st.sampled_from("abc"),
        mark=st.sampled_from([None, None, "5m", "1h"]),
        ends_message=st.booleans(),
    ),
    max_size=6,
)
steps = st.lists(
    st.tuples(pieces, st.sampled_from(["blocks", "messages", "none"]), st.booleans(), st.integers(0, 400)),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_the_parts_of_an_input_sum_up_to_it(history):
    """Read, written and uncached tokens are never negative and always make up the whole prompt."""
    clock = ManualClock()
    bill = billing(clock)
    for parts, model, begins, seconds in history:
        prompt = Prompt(tuple(parts))
        call = bill.begin("k", model, prompt)
        split = call.split
        counts = (split.uncached_tokens, split.read_tokens, split.write_tokens, split.write_1h_tokens)
        assert min(counts) >= 0
        assert sum(counts) == prompt.tokens == split.input_tokens
        if begins:
            call.begin_answer()
        clock.advance(seconds)


@settings(max_examples=100, deadline=None)
@given(pieces, st.sampled_from(["blocks", "messages"]))
def test_the_same_prompt_again_reads_all_that_was_written(parts, model):
    """A repeated prompt reads exactly what the first one wrote, and writes nothing."""
    bill = billing()
    first, again = ask(bill, *parts, model=model), ask(bill, *parts, model=model)
    assert again == (first[0], first[2] + first[3], 0, 0)
