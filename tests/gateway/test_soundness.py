"""What models that others wrote get wrong, at the door: told, booked, never a crash later on."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import attrs
import pytest

from sunwell.budget import Budget
from sunwell.core import Completion, Delta, Price, Request, Text, ToolCall, ToolResult, Usage
from sunwell.errors import BadAnswer, ConnectionFailed
from sunwell.gateway import RetryPolicy
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.testing import run_virtual

SOUND = Completion((Text("Yes."),), "end", Usage(10, 5), "theirs")


@attrs.define(eq=False)
class Theirs:
    """A model that gives or raises what it is told to."""

    gives: Any
    price: Price | None = None
    name: str = "theirs"

    async def complete(self, request: Request) -> Any:
        if isinstance(self.gives, BaseException):
            raise self.gives
        return self.gives

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        yield Delta(completion=await self.complete(request))


@pytest.mark.parametrize("stream", [pytest.param(False, id="whole"), pytest.param(True, id="streamed")])
@pytest.mark.parametrize(
    "gives",
    [
        pytest.param("Yes.", id="text"),
        pytest.param(attrs.evolve(SOUND, parts=None), id="no-parts"),
        pytest.param(attrs.evolve(SOUND, parts=("Yes.",)), id="text-for-part"),
        pytest.param(attrs.evolve(SOUND, parts=(ToolResult("a", "Yes."),)), id="result-for-part"),
        pytest.param(attrs.evolve(SOUND, parts=(Text(None),)), id="no-text"),  # type: ignore[arg-type]
        pytest.param(
            attrs.evolve(SOUND, parts=(ToolCall("a", "add", {"x": 1}),)),  # type: ignore[arg-type]
            id="object-for-arguments",
        ),
        pytest.param(attrs.evolve(SOUND, stop="stop"), id="unknown-stop"),
        pytest.param(attrs.evolve(SOUND, stop=["end"]), id="list-for-stop"),
        pytest.param(attrs.evolve(SOUND, usage={"input_tokens": 10}), id="dict-for-usage"),
        pytest.param(attrs.evolve(SOUND, usage=Usage(10.5, 5)), id="half-a-token"),  # type: ignore[arg-type]
        pytest.param(attrs.evolve(SOUND, model=None), id="no-model"),
        pytest.param(attrs.evolve(SOUND, id=7), id="number-for-id"),
    ],
)
def test_a_malformed_answer_is_one_error_and_stays_booked(open_door, price, gives, stream) -> None:
    """It may have been billed: its reservation is kept, the failure is on record, and nobody asks again."""
    door = open_door(Budget(usd=1))
    with pytest.raises(BadAnswer, match="its answer cannot be used"):
        run_virtual(door.ask(Theirs(gives, price), stream=stream))
    assert door.kinds() == ["intent", "failure"]
    assert door.used.uncertain_usd == door.records[0].reserved_usd
    assert door.used.reserved_usd == 0


def test_an_answer_may_hold_a_list_and_leave_out_who_answered(open_door, price) -> None:
    """Both are told by the class, and the answer is priced as the asked model's."""
    door = open_door(Budget(usd=1))
    gives = attrs.evolve(SOUND, parts=[Text("Yes.")], model="")
    got = run_virtual(door.ask(Theirs(gives, price)))
    assert got == SOUND
    assert door.used.settled_usd == Decimal("0.00006")


@pytest.mark.parametrize(
    ("raises", "attempts"),
    [
        pytest.param(TimeoutError(), 2, id="its-own-time-out"),
        pytest.param(asyncio.CancelledError(), 1, id="its-own-cancelling"),
    ],
)
def test_what_ends_a_model_from_inside_is_not_the_runs_end(open_door, price, raises, attempts) -> None:
    """A model's own time-out or cancelling is a failed call: booked, and asked again where that may help."""
    door = open_door(Budget(usd=1), retry=RetryPolicy(attempts=2))
    with pytest.raises(ConnectionFailed):
        run_virtual(door.ask(Theirs(raises, price)))
    assert door.kinds() == (["intent", "failure", "held"] * attempts)[:-1]
    assert door.used.uncertain_tokens == sum(one.reserved_tokens for one in door.records[::3])


class Changed(AnthropicModel):
    """A model of a class of the caller's own, on a wire format of ours."""

    async def complete(self, request: Request) -> Any:
        return attrs.evolve(SOUND, stop="stop")  # type: ignore[arg-type]


def test_an_answer_that_a_class_of_the_callers_has_made_is_looked_at(open_door) -> None:
    """Only what our own reader has read is taken as it is."""
    door = open_door(Budget(usd=1), retry=RetryPolicy(attempts=1))
    model = Changed("claude-haiku-5-5", Connection("anthropic", "http://127.0.0.1:1", "a-key"))
    with pytest.raises(BadAnswer, match="its stop 'stop' is none of"):
        run_virtual(door.ask(model))
