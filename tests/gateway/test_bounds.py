"""How the input of a call is bounded: by reports, counts and bytes, whichever is smallest."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.budget import Budget, Tally, TreeLedger
from sunwell.core import (
    Consulted,
    Message,
    Request,
    Span,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
    user,
)
from sunwell.core.message import History, Thinking
from sunwell.core.model import ResponseSchema
from sunwell.errors import BudgetExhausted
from sunwell.events import BoundExceeded
from sunwell.gateway import Gateway
from sunwell.gateway.bounds import Bounds
from sunwell.gateway.model_call import ModelCall
from sunwell.journal.codec import decode, encode
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.records import Answer, InputCounted, Intent
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.http_model import Tuning
from sunwell.models.openai_chat import ChatModel
from sunwell.models.prices import PriceBook
from sunwell.testing import ScriptedModel, completion, run_virtual

ALLOWANCE = 1_024
LOOK = ToolSpec("look", "Look at a file.", {"type": "object", "properties": {}})
FIRST = Request([user("x" * 40_000)], system=("Be brief.",), tools=(LOOK,), max_output_tokens=100)
ANSWER = completion(
    "I look.", ToolCall("call_1", "look", "{}"), usage=Usage(10_000, 50), model="claude-haiku-5-5"
)
RESULT = Message("tool", (ToolResult("call_1", "y" * 400),))
SPAN = Span("run/work", 1)


def model(name: str = "claude-haiku-5-5", **own: Any) -> ScriptedModel:
    """Return a model of this name with attributes of its *own*, such as a provider."""
    return type("Own", (ScriptedModel,), own)(name, [])


def call(asked: ScriptedModel | ChatModel | AnthropicModel, request: Request, number: int = 1, span=SPAN):
    """Return the call of *request*."""
    return ModelCall(span, number, asked, request, "work", request.digest(asked.name))


def following(request: Request, answer=ANSWER, *new: Message) -> Request:
    """Return the request that goes on with *answer* and the messages that are *new*."""
    return attrs.evolve(request, messages=request.messages.plus(answer.as_message(), *(new or (RESULT,))))


def taught(asked: Any, answer=ANSWER, request: Request = FIRST) -> Bounds:
    """Return bounds that have seen one answer."""
    bounds = Bounds(MemoryJournal("run"))
    bounds.learn(call(asked, request, 0), answer, request.max_output_tokens)
    return bounds


def test_the_next_turn_is_bounded_by_what_the_last_one_reported() -> None:
    """Input and output with 2 %, a little for each new message and call, new bytes, the allowance."""
    asked = model()
    bound = taught(asked).of(call(asked, following(FIRST)))
    result_bytes = History([RESULT]).size_bytes
    id_bytes = len("call_1")
    assert bound.source == "reported"
    assert bound.tokens == -(-(10_050 + id_bytes) * 102 // 100) + 3 * 16 + result_bytes + ALLOWANCE


def test_a_first_call_is_bounded_by_its_bytes() -> None:
    """Nothing has been reported."""
    asked = model()
    bound = Bounds(MemoryJournal("run")).of(call(asked, FIRST, 0))
    assert (bound.source, bound.tokens) == ("bytes", FIRST.size_bytes + ALLOWANCE + 32)


def test_a_sibling_is_bounded_by_the_shared_prefix_and_its_own_bytes() -> None:
    """Tools and system prompt are no more than all that the first sibling sent."""
    asked = model()
    shared = Request([user("one")], system=("s" * 20_000,))
    bounds = taught(asked, completion("Yes.", usage=Usage(5_010, 5), model="claude-haiku-5-5"), shared)
    other = attrs.evolve(shared, messages=[user("a longer task")])
    bound = bounds.of(call(asked, other, 0, Span("run/other", 1)))
    assert bound.source == "reported"
    assert bound.tokens == -(-5_010 * 102 // 100) + 16 + other.messages.size_bytes + ALLOWANCE


SCHEMA = ResponseSchema("verdict", {"type": "object", "properties": {}})


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"effort": "low"}, id="effort"),
        pytest.param({"tools": ()}, id="tools"),
        pytest.param({"tool_choice": "none"}, id="tool-choice"),
        pytest.param({"response_schema": SCHEMA}, id="schema"),
        pytest.param({"system": ("Be verbose.",)}, id="system-prompt"),
    ],
)
def test_a_request_that_asks_otherwise_is_bounded_by_its_bytes(changed) -> None:
    """A report says nothing about a prompt that the provider builds in another way."""
    asked = model()
    request = attrs.evolve(following(FIRST), **changed)
    assert taught(asked).of(call(asked, request)).source == "bytes"


@pytest.mark.parametrize(
    "rewritten",
    [
        pytest.param([user("z" * 40_000), ANSWER.as_message(), RESULT], id="changed"),
        pytest.param([user("x" * 39_000), ANSWER.as_message(), RESULT], id="shortened"),
        pytest.param([ANSWER.as_message(), RESULT], id="compacted"),
    ],
)
def test_another_beginning_is_bounded_by_its_bytes(rewritten) -> None:
    """Only messages that were sent byte for byte have a report."""
    asked = model()
    request = attrs.evolve(FIRST, messages=rewritten)
    assert taught(asked).of(call(asked, request)).tokens >= History(rewritten).size_bytes


def test_an_answer_that_goes_back_otherwise_counts_with_its_bytes() -> None:
    """The request before it is still known; its reported output is not what is sent now."""
    asked, said = model(), "w" * 3_000
    request = following(FIRST, completion(said), user("Go on."))
    bound = taught(asked).of(call(asked, request))
    new_bytes = History([*request.messages[1:]]).size_bytes
    assert bound.tokens == 10_200 + 2 * 16 + new_bytes + ALLOWANCE


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(attrs.evolve(ANSWER, usage=None), id="no-usage"),
        pytest.param(attrs.evolve(ANSWER, usage_doubt="5 and 99 do not fit together"), id="doubtful"),
        pytest.param(attrs.evolve(ANSWER, consulted=(Consulted("other", Usage(1, 1)),)), id="advised"),
        pytest.param(attrs.evolve(ANSWER, usage=Usage(4_900, 50)), id="below-half-of-the-estimate"),
    ],
)
def test_a_report_that_cannot_be_right_is_not_used(answer) -> None:
    """It would bound the next call by a number that says nothing."""
    asked = model()
    assert taught(asked, answer).of(call(asked, following(FIRST, answer))).source == "bytes"


def test_an_output_that_cannot_be_right_bounds_no_answer() -> None:
    """An answer of 8,000 bytes that was reported with 10 tokens counts with its bytes."""
    asked = model()
    answer = completion("w" * 8_000, usage=Usage(10_000, 10), model="claude-haiku-5-5")
    assert taught(asked, answer).of(call(asked, following(FIRST, answer))).tokens > 18_000


def test_malformed_arguments_count_with_their_bytes() -> None:
    """They are sent as a text in an object, which may be longer than what the model wrote."""
    asked, broken = model(), ToolCall("call_1", "look", '{"path": "' + '\\"' * 2_000)
    answer = completion(broken, usage=Usage(10_000, 2_500), model="claude-haiku-5-5")
    assert taught(asked, answer).of(call(asked, following(FIRST, answer))).tokens > 10_200 + 4_000


AZURE = Connection("azure", "https://mine.openai.azure.com/openai/v1")
OWN_SERVER = Connection("mine", "http://10.0.0.5:8000/v1")
PROXY = Connection("openai", "https://ai-gateway.vercel.sh/v1")


@pytest.mark.parametrize(
    ("asked", "answered", "source"),
    [
        pytest.param(model("haiku"), "haiku", "reported", id="same"),
        pytest.param(model("haiku"), "haiku-2026-01-01", "reported", id="dated"),
        pytest.param(model("haiku"), "opus", "bytes", id="another"),
        pytest.param(model("haiku", provider="openrouter"), "haiku", "bytes", id="routing-provider"),
        pytest.param(model("gpt", connection=PROXY), "gpt", "bytes", id="routing-host"),
        pytest.param(model("gpt", connection=OWN_SERVER), "gpt", "reported", id="unknown-server"),
        pytest.param(model("gpt", connection=OWN_SERVER), "llama", "bytes", id="unknown-server-another"),
        pytest.param(model("mine", connection=AZURE), "gpt-6-luna", "reported", id="named-deployment"),
    ],
)
def test_the_reports_of_a_routed_connection_are_not_used(asked, answered, source) -> None:
    """The next call may reach a server that counts the same text differently."""
    answer = attrs.evolve(ANSWER, model=answered)
    assert taught(asked, answer).of(call(asked, following(FIRST, answer))).source == source


def test_a_connection_that_answers_with_changing_models_is_routed() -> None:
    """Also if the last answer is from the model that was asked."""
    asked = model("mine", connection=AZURE)
    bounds = taught(asked, attrs.evolve(ANSWER, model="gpt-6-luna"))
    bounds.learn(call(asked, FIRST, 0), attrs.evolve(ANSWER, model="gpt-6-sol"), 100)
    assert bounds.of(call(asked, following(FIRST))).source == "bytes"


def test_a_bill_above_its_bound_ends_the_reports_of_that_model_alone() -> None:
    """Another model of the same run keeps its own."""
    one, other = model(), model("claude-opus-5-5")
    bounds = taught(one)
    bounds.learn(call(other, FIRST, 0), attrs.evolve(ANSWER, model="claude-opus-5-5"), 100)
    bounds.fail(one.name, "reported")
    assert bounds.of(call(one, following(FIRST))).source == "bytes"
    assert bounds.of(call(other, following(FIRST))).source == "reported"


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(
            AnthropicModel("claude-haiku-5-5", Connection("anthropic", api_key="k")), id="anthropic"
        ),
        pytest.param(ChatModel("gpt-6-luna", Connection("openai", api_key="k")), id="chat"),
    ],
)
def test_new_text_counts_as_it_is_written_on_the_wire(asked) -> None:
    """Quotes and line breaks are escaped in JSON; thinking that goes back is covered by its own output."""
    raw = json.dumps({"type": "thinking", "thinking": "Hm.", "signature": "s" * 3_000})
    origin = f"anthropic-messages@anthropic/{asked.model_id}"
    answer = attrs.evolve(ANSWER, model=asked.model_id, parts=(Thinking("Hm.", raw, origin), *ANSWER.parts))
    text = '"quoted"\n' * 200
    result = Message("tool", (ToolResult("call_1", text),))
    bound = taught(asked, answer).of(call(asked, following(FIRST, answer, result)))
    assert bound.source == "reported"
    written = len(json.dumps(text))
    assert written <= bound.tokens - 10_251 - ALLOWANCE // 2 <= written + 800


def test_thinking_that_a_short_limit_switches_off_changes_the_prompt() -> None:
    """A thinking budget that no longer fits below the limit is not sent."""
    tuning = Tuning(thinking_tokens=4_000)
    asked = AnthropicModel("claude-haiku-5-5", Connection("anthropic", api_key="k"), tuning=tuning)
    wide = attrs.evolve(FIRST, max_output_tokens=8_000)
    bounds = taught(asked, request=wide)
    assert bounds.of(call(asked, following(wide))).source == "reported"
    assert bounds.of(call(asked, attrs.evolve(following(wide), max_output_tokens=1_500))).source == "bytes"


def test_an_answer_to_a_request_that_was_written_otherwise_teaches_nothing() -> None:
    """While it was awaited, the refusal of another call has changed how the model writes requests."""
    asked = AnthropicModel("claude-haiku-5-5", Connection("anthropic", api_key="k"))
    wire = asked.wire
    asked.wire = asked.wire.without("messages.1.content.0: Invalid `signature` in `thinking` block")
    bounds = Bounds(MemoryJournal("run"))
    bounds.learn(call(asked, FIRST, 0), ANSWER, 100, wire)
    assert bounds.of(call(asked, following(FIRST))).source == "bytes"


# The whole door: what it reserves, counts and writes down.


@attrs.define(eq=False)
class Counting(ScriptedModel):
    """A model whose provider counts a prompt for nothing."""

    says: Any = None
    counts: int = 0

    async def count_input_tokens(self, request: Request) -> int | None:
        self.counts += 1
        if isinstance(self.says, BaseException):
            raise self.says
        if self.says == "never":
            await asyncio.sleep(3_600)
        return self.says


def ask(door, asked, request: Request, **given: Any):
    """Ask at the door's own span, or at a given one."""
    span = given.pop("span", door.span)
    return door.gateway.ask(span, asked, request, purpose=given.pop("purpose", "work"), **given)


def intents(door) -> list[Intent]:
    return [record for record in door.records if isinstance(record, Intent)]


LONG = Request([user("x" * 40_000)], max_output_tokens=1_000)


def test_the_provider_is_asked_for_its_count_before_a_call_is_refused(open_door, price) -> None:
    """By its bytes the call needs $0.051, by the count $0.018."""
    door = open_door(Budget(usd="0.04"))
    asked = Counting("haiku", ["Yes."], price, says=8_000)
    run_virtual(ask(door, asked, LONG))
    (intent,) = intents(door)
    assert (intent.bound, intent.reserved_tokens, intent.max_output_tokens) == ("counted", 9_176, 1_000)
    assert door.kinds()[:2] == ["counted", "intent"]


def test_the_provider_is_asked_for_its_count_before_an_answer_is_shortened(open_door, price) -> None:
    """The answer may be as long as it was asked for."""
    door = open_door(Budget(usd="0.055"))
    asked = Counting("haiku", ["Yes."], price, says=8_000)
    run_virtual(ask(door, asked, attrs.evolve(LONG, max_output_tokens=3_000)))
    assert [intent.max_output_tokens for intent in intents(door)] == [3_000]


def test_nobody_is_asked_for_a_count_while_bytes_have_room(open_door, price) -> None:
    """A count is a round trip."""
    door, asked = open_door(Budget(usd="1")), Counting("haiku", ["Yes."], price, says=8_000)
    run_virtual(ask(door, asked, LONG))
    assert asked.counts == 0


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(None, id="cannot"),
        pytest.param(0, id="nonsense"),
        pytest.param(OSError("down"), id="fails"),
        pytest.param("never", id="hangs"),
    ],
)
def test_without_a_count_the_bytes_decide(open_door, price, says) -> None:
    """The call is refused, as it would be without a question."""
    door, asked = open_door(Budget(usd="0.04")), Counting("haiku", ["Yes."], price, says=says)
    with pytest.raises(BudgetExhausted):
        run_virtual(ask(door, asked, LONG))
    assert (asked.counts, door.kinds()) == (1, ["refused"])


def test_a_count_that_does_not_help_is_followed_by_a_refusal(open_door, price) -> None:
    """The refusal says what is needed by the count."""
    door, asked = open_door(Budget(usd="0.01")), Counting("haiku", ["Yes."], price, says=8_000)
    with pytest.raises(BudgetExhausted) as caught:
        run_virtual(ask(door, asked, LONG))
    assert caught.value.needed == Decimal("0.018176")


def test_a_resume_does_not_count_again(open_door, price) -> None:
    """The count is recorded, and the same request has the same one."""
    door, asked = open_door(Budget(usd="0.01")), Counting("haiku", ["Yes."], price, says=8_000)
    with pytest.raises(BudgetExhausted):
        run_virtual(ask(door, asked, LONG))
    again = open_door(Budget(usd="0.04"), journal=door.gateway.journal, heed_refusals=False)
    run_virtual(ask(again, asked, LONG))
    assert [intent.bound for intent in intents(again)] == ["counted"]
    assert asked.counts == 1


def test_the_count_of_another_request_is_not_used(open_door, price) -> None:
    """A request that was cut since has its own count."""
    journal = MemoryJournal("run")
    run_virtual(journal.append(InputCounted("run/work", 0, "other", 5, 0.0)))
    door, asked = open_door(Budget(usd="1"), journal=journal), Counting("haiku", ["Yes."], price, says=8_000)
    run_virtual(ask(door, asked, LONG))
    assert [intent.bound for intent in intents(door)] == ["bytes"]


def test_a_claim_that_was_made_with_a_failed_bound_and_not_sent_is_made_again(open_door, price) -> None:
    """While a call waits for its pace, another answer is billed above its bound."""

    @attrs.define(eq=False)
    class Paced(ScriptedModel):
        async def admit(self, request: Request) -> None:
            await asyncio.sleep(50 if "slow" in request.messages[-1].text else 0)

    answers = [
        attrs.evolve(ANSWER, model="haiku"),
        attrs.evolve(ANSWER, model="haiku"),
        completion("More.", usage=Usage(90_000, 5), model="haiku"),
        completion("Yes.", usage=Usage(10_200, 5), model="haiku"),
    ]
    door, asked = open_door(Budget(tokens=1_000_000)), Paced("haiku", answers, price, seconds=1)
    slow = Span("run/slow")

    async def main() -> None:
        await ask(door, asked, FIRST)
        await ask(door, asked, FIRST, span=slow)
        async with asyncio.TaskGroup() as group:
            group.create_task(ask(door, asked, following(FIRST, answers[0])))
            group.create_task(ask(door, asked, following(FIRST, answers[1], user("slow")), span=slow))

    request = following(FIRST)
    run_virtual(main())
    by_place = {(one.span, one.number): one for one in intents(door)}
    assert by_place["run/work", 1].bound == "reported"
    assert by_place["run/slow", 1].bound == "bytes"
    assert by_place["run/slow", 1].reserved_tokens > request.size_bytes


def test_an_exceeded_bound_ends_the_reports_also_after_a_resume(open_door, price) -> None:
    """The record says which bound failed."""
    lines = [attrs.evolve(ANSWER, model="haiku"), completion("More.", usage=Usage(90_000, 5), model="haiku")]
    door, asked = open_door(), ScriptedModel("haiku", lines, price)
    second = following(FIRST, lines[0])
    run_virtual(ask(door, asked, FIRST))
    run_virtual(ask(door, asked, second))
    assert len(door.told(BoundExceeded)) == 1
    again = open_door(journal=door.gateway.journal)
    asked.lines = [completion("Yes.", usage=Usage(90_100, 5), model="haiku")]
    for request in (FIRST, second, following(second, lines[1], user("Go on."))):
        run_virtual(ask(again, asked, request))
    assert [intent.bound for intent in intents(again)] == ["bytes", "reported", "bytes"]


def test_a_call_that_waited_is_bounded_by_what_was_reported_meanwhile(open_door, price) -> None:
    """By its bytes, the second sibling has no room after the first bill; by that answer's report it has."""
    shared = Request([user("one")], system=("s" * 40_000,), max_output_tokens=100)
    answers = [
        completion("Yes.", usage=Usage(10_010, 5), model="haiku"),
        completion("No.", usage=Usage(10_010, 5), model="haiku"),
    ]
    door, asked = open_door(Budget(usd="0.05")), ScriptedModel("haiku", answers, price, seconds=5)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ask(door, asked, shared))
            other = attrs.evolve(shared, messages=[user("two")])
            group.create_task(ask(door, asked, other, span=Span("run/other")))

    run_virtual(main())
    assert [intent.bound for intent in intents(door)] == ["bytes", "reported"]


def test_a_doubtful_report_is_still_doubtful_after_a_resume(open_door, price) -> None:
    """The doubt is recorded with the answer."""
    doubtful = attrs.evolve(ANSWER, model="haiku", usage_doubt="5 and 99 do not fit together")
    line = encode(Answer("run/work", 0, 0, "work", 1, FIRST.digest("haiku"), doubtful, None, 1.0, 2.0), 0)
    read = decode(line)
    assert read is not None
    journal = MemoryJournal("run")
    run_virtual(journal.append(read.record))
    door, asked = open_door(journal=journal), ScriptedModel("haiku", ["Yes."], price)
    run_virtual(ask(door, asked, FIRST))
    run_virtual(ask(door, asked, following(FIRST, doubtful)))
    assert [intent.bound for intent in intents(door)] == ["bytes"]


def test_a_server_that_cannot_count_is_not_asked(open_door, price) -> None:
    """It says so itself, and its calls wait for no round trip."""

    class Unable(Counting):
        can_count = False

    door, asked = open_door(Budget(usd="0.04")), Unable("haiku", ["Yes."], price, says=8_000)
    with pytest.raises(BudgetExhausted):
        run_virtual(ask(door, asked, LONG))
    assert asked.counts == 0


# Any conversation with a provider that bills the same bytes alike.


@attrs.define(eq=False)
class Meter:
    """A provider: each message has its tokens, each bill is up to 2 % and the allowance above their sum."""

    draw: Any
    spans: int = 0
    _tokens: dict[str, int] = attrs.field(factory=dict, init=False)

    def bill(self, request: Request) -> int:
        texts = [*request.system, *(tool.schema_text for tool in request.tools)]
        known = sum(self._of(text, len(text)) for text in texts)
        for message in request.messages:
            known += self._of("".join(message.fields()), History([message]).size_bytes)
        over = known * self.draw(st.sampled_from([0, 19])) // 1_000
        return known + over + self.draw(st.sampled_from([0, ALLOWANCE]))

    def said(self, answer: Message, tokens: int) -> None:
        """Have *answer* cost no more than its output when it comes back."""
        self._tokens["".join(answer.fields())] = self.draw(st.sampled_from([tokens, 0]))

    def _of(self, text: str, size_bytes: int) -> int:
        if text not in self._tokens:
            self._tokens[text] = int(size_bytes * self.draw(st.sampled_from([0.97, 0.14, 0.3])))
        return self._tokens[text]


MOVES = st.sampled_from(["turn", "turn", "turn", "compact", "effort", "tools", "sibling", "rewrite"])


@settings(max_examples=60, deadline=None)  # each plays up to 13 calls three times
@given(data=st.data(), moves=st.lists(MOVES, min_size=1, max_size=12))
def test_a_provider_that_bills_alike_never_exceeds_a_bound(data, moves) -> None:
    """Whatever becomes of the conversation; and a run that is taken up anywhere reserves the same."""
    meter = Meter(data.draw)
    script = _script(meter, moves, data.draw)
    whole = _played(script, MemoryJournal("run"), 0)
    for (_, _, answer), (_, _, bound_tokens, source) in zip(script, whole, strict=True):
        assert answer.usage.input_tokens <= bound_tokens, source
    cut = data.draw(st.integers(0, len(script)))
    journal = MemoryJournal("run")
    _played(script[:cut], journal, 0)
    assert _played(script, journal, cut) == whole


def _script(meter: Meter, moves: list[str], draw: Any) -> list[tuple[str, Request, Any]]:
    """Return each call: its span, its request and its answer."""
    request = Request([user("Do it. " * 50)], system=("s" * 4_000,), tools=(LOOK,), max_output_tokens=4_000)
    script: list[tuple[str, Request, Any]] = []
    span, other = "run/a", 0
    for number, move in enumerate(["turn", *moves]):
        if move == "compact":
            request = attrs.evolve(request, messages=[user(f"Summary {number}. " * 20)])
        elif move == "effort":
            request = attrs.evolve(request, effort="low" if request.effort is None else None)
        elif move == "tools":
            request = attrs.evolve(request, tools=() if request.tools else (LOOK,))
        elif move == "sibling":
            other += 1
            span = f"run/{other}"
            request = attrs.evolve(request, messages=[user(f"Task {other}. " * 10)])
        elif move == "rewrite":
            first = Message("user", (Text(f"Again {number}. " * draw(st.sampled_from([60, 2_000]))),))
            request = attrs.evolve(request, messages=[first, *request.messages[1:]])
        words = f"Answer {number} " * draw(st.sampled_from([1, 300, 900]))
        parts = (Text(words), ToolCall(f"call_{number}", "look", "{}"))
        output = draw(st.sampled_from([len(words) // 6, len(words)]))
        answer = completion(*parts, usage=Usage(max(1, meter.bill(request)), output), model="haiku")
        script.append((span, request, answer))
        meter.said(answer.as_message(), output)
        result = ToolResult(f"call_{number}", f"line {number}\n" * draw(st.sampled_from([1, 900])))
        request = following(request, answer, Message("tool", (result,)))
    return script


def _played(script, journal: MemoryJournal, recorded: int) -> list[tuple[str, int, int, str]]:
    """Return the bound of each call of *script*, of which so many are on record."""
    ledger = TreeLedger()
    ledger.open("run", Budget())
    door = Gateway(journal, ledger, Tally(), PriceBook(), lambda _, __: None)
    asked = ScriptedModel("haiku", [answer for _, _, answer in script[recorded:]])

    async def main() -> None:
        for span, request, _ in script:
            await door.ask(Span(span), asked, request, purpose="work")

    run_virtual(main())
    found = [record for record in journal.records() if isinstance(record, Intent)]
    return [(one.span, one.number, one.reserved_tokens - one.max_output_tokens, one.bound) for one in found]
