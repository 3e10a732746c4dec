"""Whatever a provider sends, in whatever field, a known secret in it reaches nobody."""

import base64
import json
import traceback
from collections.abc import AsyncIterator

import attrs
import pytest

from sunwell.core import Completion, Request, Text, Thinking, ToolCall, user
from sunwell.core.model import Consulted, Delta, Usage
from sunwell.core.secrets import Secrets, without_credentials
from sunwell.errors import BadAnswer, ServerFailed
from sunwell.events import ModelTextArrived
from sunwell.gateway.cleaning import clean_error, cleaned_answer
from sunwell.testing import completion

KEY = "sk-ant-api03-Zq8vT2mXw7Lk4Pn9"


@pytest.fixture
def secrets() -> Secrets:
    """Return secrets that know one key."""
    known = Secrets()
    known.add(KEY, "KEY")
    return known


@pytest.mark.parametrize(
    ("part", "cleaned"),
    [
        pytest.param(Text(f"It is {KEY}."), Text("It is [KEY]."), id="answer"),
        pytest.param(
            Thinking(f"So {KEY}", f'{{"signature": "x", "thinking": "So {KEY}"}}', "a"),
            Thinking("So [KEY]", "", "a"),
            id="signed-reasoning-does-not-go-back",
        ),
        pytest.param(
            Thinking("So", f'{{"data": "{base64.b64encode(KEY.encode()).decode()}"}}', "a"),
            Thinking("So", "", "a"),
            id="closed-reasoning-in-base64",
        ),
        pytest.param(
            ToolCall(f"id-{KEY}", f"name-{KEY}", json.dumps({"path": KEY, KEY: [KEY]})),
            ToolCall("id-[KEY]", "name-[KEY]", '{"path": "[KEY]", "[KEY]": ["[KEY]"]}'),
            id="call",
        ),
        pytest.param(
            ToolCall("1", "run", json.dumps({"command": f"echo {KEY[:9]}\n{KEY[9:]}"})),
            ToolCall("1", "run", '{"command": "echo [KEY]"}'),
            id="call-with-a-line-break-within",
        ),
        pytest.param(
            ToolCall("1", "run", f'{{"command": "echo {KEY}'),
            ToolCall("1", "run", '{"command": "echo [KEY]'),
            id="call-that-is-no-json",
        ),
        pytest.param(
            ToolCall("1", "run", "{}", f'{{"thought_signature": "{KEY}"}}', "b"),
            ToolCall("1", "run", "{}", "", "b"),
            id="what-goes-back-with-a-call",
        ),
        pytest.param(
            Text("x", f'{{"note": "{KEY}"}}', "b"), Text("x", "", "b"), id="what-goes-back-with-text"
        ),
    ],
)
def test_each_part_of_an_answer_is_cleaned(secrets, part, cleaned):
    """Text, reasoning and tool calls, also what is opaque to us."""
    assert cleaned_answer(completion(part), secrets).parts == (cleaned,)


def test_the_words_around_an_answer_are_cleaned(secrets):
    """The model's id, the provider's id and reason, and the models that it consulted."""
    answer = Completion(
        (Text("x"),), "end", Usage(1, 1), KEY, KEY, KEY, (Consulted(KEY, Usage(1, 1)),), usage_doubt=KEY
    )
    assert KEY not in repr(cleaned_answer(answer, secrets))


def test_a_key_that_two_parts_of_an_answer_share_is_cleaned(secrets):
    """Joined, they are what a person and the next model read."""
    answer = completion(f"It is {KEY[:12]}", ToolCall("1", "x", "{}"), f"{KEY[12:]}.")
    assert cleaned_answer(answer, secrets).text == "It is [KEY]."


def test_an_answer_without_secrets_is_the_same_object(secrets):
    """Nothing is built anew for nearly all answers."""
    answer = completion("It is nothing.", ToolCall("1", "x", '{"a": "b\\nc"}'))
    assert cleaned_answer(answer, secrets) is answer


@attrs.define(eq=False)
class Dripping:
    """A model whose answer arrives in pieces of three characters."""

    text: str
    name: str = "drip"

    async def complete(self, request: Request) -> Completion:
        return completion(self.text, model=self.name)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        for at in range(0, len(self.text), 3):
            yield Delta(text=self.text[at : at + 3])
        yield Delta(completion=await self.complete(request))


async def test_a_key_cut_by_the_borders_of_a_stream_is_not_shown(open_door, secrets):
    """What observers see piece by piece is what the answer says in the end."""
    door = open_door(secrets=secrets)
    model = Dripping(f"Your key is {KEY}, is it not?")
    request = Request((user("Which?"),), max_output_tokens=9)
    answer = await door.gateway.ask(door.span, model, request, purpose="work", stream=True)
    shown = [event.text for event in door.events if isinstance(event, ModelTextArrived)]
    assert "".join(shown) == answer.text == "Your key is [KEY], is it not?"
    assert len(shown) > 3


def fail_with_a_key() -> None:
    try:
        try:
            raise ValueError(f"sent x-api-key: {KEY}")
        except ValueError as first:
            raise RuntimeError("odd") from first
    except RuntimeError as second:
        raise ServerFailed("opus", f"what is {KEY}?", answer=completion(KEY)) from second


def test_an_error_that_repeats_a_key_forgets_where_it_came_from(secrets):
    """Message, answer and chain: a traceback shows none of them."""
    with pytest.raises(ServerFailed) as caught:
        fail_with_a_key()
    clean_error(caught.value, "opus", secrets)
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY[:12] not in shown + repr(caught.value.answer)
    assert "what is [KEY]?" in shown


def test_an_error_with_an_innocent_cause_keeps_it(secrets):
    """It is what a developer needs."""
    with pytest.raises(BadAnswer) as caught:
        raise BadAnswer("opus", "broken") from ValueError("no JSON")
    clean_error(caught.value, "opus", secrets)
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("no postgres://app:pw@db.example/x there", "no postgres://[login]@db.example/x there"),
        ("proxy http://me:p%40ss@proxy:3128 refused", "proxy http://[login]@proxy:3128 refused"),
        ("sent Authorization: Bearer abcdefghijkl", "sent Authorization: [credential]"),
        ("{'x-api-key': 'abcdefghijkl'}", "{'x-api-key': '[credential]'}"),
        ("Cookie: session=abcdef", "Cookie: [credential]"),
        ("Bearer eyJhbGciOiJIUzI1NiJ9", "Bearer [credential]"),
        ("Incorrect API key provided: sk-proj-abcd****efgh.", "Incorrect API key provided: [credential]."),
        ("ghp_abcdefghijklmnopqrstuvwxyz012345", "[credential]"),
        ("AKIAIOSFODNN7EXAMPLE is disabled", "[credential] is disabled"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", "[private key]"),
        ("the bearer of bad news", "the bearer of bad news"),
        ("see https://docs.example.com:8080/a@b", "see https://docs.example.com:8080/a@b"),
        ("set a valid key in OPENAI_API_KEY", "set a valid key in OPENAI_API_KEY"),
        ("authorization failed: try again", "authorization failed: try again"),
    ],
)
def test_a_message_shows_nothing_in_the_form_of_a_credential(message, shown):
    """Also if nobody knows the value: an error repeats what was sent."""
    assert without_credentials(message) == shown
