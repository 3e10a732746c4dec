"""What of a call is new: in a conversation that grows, among siblings, after a cut, and without usage."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from sunwell.budget import Budget
from sunwell.core import (
    Completion,
    Message,
    Request,
    Span,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    user,
)
from sunwell.core.message import History
from sunwell.journal.records import Intent, NewTokensCounted
from sunwell.testing import ScriptedModel, completion

SYSTEM = ("Be careful. " * 400,)
"""4,800 bytes."""
CEILING = 10**6


@attrs.define(eq=False)
class Talk:
    """A conversation at one span, which is billed as its rule says."""

    door: Any
    model: ScriptedModel
    span: Span = Span("run/sub/a", 1)
    history: History = attrs.field(factory=lambda: History([user("Read the files.")]))

    async def turn(self, answer: Completion, result: str = "") -> tuple[int, int | None]:
        """Ask once and return what was reserved and counted as new."""
        self.model.lines.append(answer)
        request = Request(self.history, SYSTEM, max_output_tokens=100)
        given = await self.door.gateway.ask(self.span, self.model, request, purpose="work")
        self.history = self.history.plus(given.as_message())
        if given.tool_calls:
            results = tuple(ToolResult(one.id, result) for one in given.tool_calls)
            self.history = self.history.plus(Message("tool", results))
        intent = [one for one in self.door.records if isinstance(one, Intent)][-1]
        counted = [one for one in self.door.records if isinstance(one, NewTokensCounted)]
        counts = {one.key: one.tokens for one in counted}
        return intent.reserved_new_tokens, counts.get(intent.key)


@pytest.fixture
def talk(open_door: Callable[..., Any]) -> Callable[..., Talk]:
    """Return a function that begins a conversation below one ceiling of new tokens."""
    door = open_door()
    door.gateway.ledger.open("run/sub", Budget(), new_tokens=CEILING)
    model = ScriptedModel("m", [])
    return lambda name="a": Talk(door, model, Span(f"run/sub/{name}", 1))


def reading(number: int, input_tokens: int, **usage: int) -> Completion:
    """Return a call of a tool, 20 tokens long."""
    made = ToolCall(f"c{number}", "read_file", '{"path": "a.py"}')
    return completion(Text("I read."), made, usage=Usage(input_tokens, 20, **usage))


async def test_a_prefix_that_is_read_again_does_not_count_again(talk: Callable[..., Talk]) -> None:
    """The first turn counts with all its input, the next with what was added to it."""
    one = talk()
    assert (await one.turn(reading(0, 1_300), "x" * 4_000))[1] == 1_320
    reserved, counted = await one.turn(reading(1, 2_340), "y" * 4_000)
    assert counted == 2_340 - 1_300 - 20 + 20
    assert 4_000 < reserved < 12_000
    assert (await one.turn(completion("Done.", usage=Usage(3_380, 10))))[1] == 3_380 - 2_340 - 20 + 10
    used = one.door.gateway.ledger.used("run/sub")
    assert used.settled_new_tokens == 3_380 + 10
    assert used.settled_tokens == 1_300 + 2_340 + 3_380 + 50


async def test_the_prompt_that_siblings_share_counts_once(talk: Callable[..., Talk]) -> None:
    """A sibling's first call counts with its own words, at most at their bytes."""
    await talk("a").turn(completion("Done.", usage=Usage(1_300, 10)))
    _, counted = await talk("b").turn(completion("Done.", usage=Usage(1_300, 10)))
    assert counted is not None
    assert 10 < counted < 10 + 200


async def test_reasoning_that_is_not_sent_back_takes_nothing_off_new_input(talk: Callable[..., Talk]) -> None:
    """Else what is new would seem to be less than it is."""
    one = talk()
    thinking = reading(0, 1_300, reasoning_tokens=0)
    thinking = attrs.evolve(
        thinking,
        usage=Usage(1_300, 520, reasoning_tokens=500),
        parts=(Thinking("…", "{}", "m"), *thinking.parts),
    )
    assert (await one.turn(thinking, "x" * 4_000))[1] == 1_820
    _, counted = await one.turn(completion("Done.", usage=Usage(2_320, 10)))
    assert counted == 2_320 - 1_300 - 20 + 10


async def test_a_conversation_that_was_cut_counts_its_new_parts_alone(talk: Callable[..., Talk]) -> None:
    """Parts that were sent before are old, wherever they stand now."""
    one = talk()
    for number in range(3):
        await one.turn(reading(number, 1_300 + 1_020 * number), "xyz"[number] * 4_000)
    one.history = History([one.history[0], *one.history[3:]])
    reserved, counted = await one.turn(completion("Done.", usage=Usage(3_400, 10)))
    assert counted is not None
    assert 10 < counted <= reserved < 4_000 + 4_000


async def test_without_usage_all_that_was_reserved_counts_once(talk: Callable[..., Talk]) -> None:
    """The next turn counts with the bytes of what is new in it."""
    one = talk()
    silent = Completion((ToolCall("c", "read_file", "{}"),), "tool_calls", None, "m")
    reserved, counted = await one.turn(silent, "x" * 400)
    assert (counted, reserved > 4_800) == (None, True)
    after, counted = await one.turn(completion("Done.", usage=Usage(1_500, 10)))
    assert counted is not None
    assert counted <= after < 4_800
    assert one.door.gateway.ledger.used("run/sub").uncertain_new_tokens == reserved


async def test_nothing_is_counted_apart_without_such_a_ceiling(open_door: Callable[..., Any]) -> None:
    """Other runs keep no second account."""
    door = open_door()
    await door.ask(ScriptedModel("m", ["yes"]))
    assert not any(isinstance(one, NewTokensCounted) for one in door.records)
