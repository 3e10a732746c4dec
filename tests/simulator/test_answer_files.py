"""A model that is played: requests are files, and answers are read from files, over real HTTP."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core import Text, ToolCall
from sunwell.errors import ConfigurationError
from sunwell.simulator import (
    AnswerFiles,
    AnswerNews,
    AnswerProblem,
    Asked,
    Reply,
    SimulatedModel,
    Simulator,
    answers_from,
    echo,
)
from sunwell.simulator.answer_files import parse_json_answer, parse_text_answer

CLAUDE = "claude-haiku-5-5"
GPT = "gpt-6-luna"
WIRES = ("messages", "chat", "responses")
PATHS = {"messages": "/v1/messages", "chat": "/v1/chat/completions", "responses": "/v1/responses"}
HEADERS = {"x-api-key": "k", "anthropic-version": "2026-10-21"}
PARAMETERS = {
    "type": "object",
    "properties": {"path": {"type": "string", "description": "Which file."}},
    "required": ["path"],
    "additionalProperties": False,
}
READ = {"tool_calls": [{"name": "read", "arguments": {"path": "a.py"}}], "text": "I look."}


def body_of(wire: str, task: str, *, system: str = "Be brief.", stream: bool = False) -> dict[str, Any]:
    """Return the first request of a conversation with one tool."""
    tool = {"name": "read", "description": "Read a file."}
    if wire == "messages":
        return {
            "model": CLAUDE, "max_tokens": 300, "system": system, "stream": stream,
            "messages": [{"role": "user", "content": task}],
            "tools": [{**tool, "input_schema": PARAMETERS}], "output_config": {"effort": "low"},
        }  # fmt: skip
    if wire == "chat":
        return {
            "model": GPT, "max_completion_tokens": 300, "stream": stream, "reasoning_effort": "low",
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": task}],
            "tools": [{"type": "function", "function": {**tool, "parameters": PARAMETERS}}],
        }  # fmt: skip
    return {
        "model": GPT, "max_output_tokens": 300, "stream": stream, "instructions": system,
        "input": [{"role": "user", "content": task}], "reasoning": {"effort": "low"},
        "tools": [{"type": "function", **tool, "parameters": PARAMETERS}],
    }  # fmt: skip


def next_body(wire: str, body: dict[str, Any], answer: dict[str, Any], result: str) -> dict[str, Any]:
    """Return the request that follows the tool call in *answer*."""
    if wire == "messages":
        (call,) = [block for block in answer["content"] if block["type"] == "tool_use"]
        said = {"role": "assistant", "content": answer["content"]}
        told = [{"type": "tool_result", "tool_use_id": call["id"], "content": result}]
        return body | {"messages": [*body["messages"], said, {"role": "user", "content": told}]}
    if wire == "chat":
        said = answer["choices"][0]["message"]
        (call,) = said["tool_calls"]
        told = {"role": "tool", "tool_call_id": call["id"], "content": result}
        said = {"role": "assistant", "content": said["content"], "tool_calls": [call]}
        return body | {"messages": [*body["messages"], said, told]}
    (call,) = [item for item in answer["output"] if item["type"] == "function_call"]
    told = {"type": "function_call_output", "call_id": call["call_id"], "output": result}
    return body | {"input": [*body["input"], *answer["output"], told]}


class Player:
    """Somebody who reads and writes the files of a folder as soon as something happens there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.news: list[AnswerNews] = []
        self._happened = asyncio.Event()

    def tell(self, news: AnswerNews) -> None:
        self.news.append(news)
        self._happened.set()

    async def sees(self, what: str, number: int) -> AnswerNews:
        """Wait until *what* has happened to request *number*."""
        async with asyncio.timeout(20):
            while True:
                for news in self.news:
                    if (news.what, news.number) == (what, number):
                        return news
                self._happened.clear()
                await self._happened.wait()

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def answer(self, number: int, answer: str | dict[str, Any]) -> None:
        """Write a whole answer under another name and rename it."""
        kind, text = ("txt", answer) if isinstance(answer, str) else ("json", json.dumps(answer))
        draft = self.folder / "draft"
        draft.write_text(text)
        draft.rename(self.folder / f"{number:03d}.answer.{kind}")


@pytest.fixture
def player(tmp_path: Path) -> Player:
    return Player(tmp_path / "play")


@contextlib.asynccontextmanager
async def serving(files: AnswerFiles, **speed: float) -> AsyncIterator[tuple[Simulator, "Ask"]]:
    played = SimulatedModel(files, **speed)
    async with (
        Simulator({CLAUDE: played, GPT: played}) as sim,
        aiohttp.ClientSession(sim.url) as session,
    ):

        async def ask(wire: str, body: dict[str, Any]) -> tuple[int, bytes]:
            async with session.post(PATHS[wire], json=body, headers=HEADERS | bearer(wire)) as response:
                return response.status, await response.read()

        yield sim, ask


Ask = Callable[[str, dict[str, Any]], Any]


def bearer(wire: str) -> dict[str, str]:
    return {} if wire == "messages" else {"Authorization": "Bearer k"}


def files_of(player: Player, **options: Any) -> AnswerFiles:
    quick = {"tell": player.tell, "poll_seconds": 0.001, "settle_seconds": 0.0}
    return answers_from(player.folder, **(quick | options))


@pytest.mark.parametrize("wire", WIRES)
async def test_a_request_is_readable_and_its_answer_comes_from_a_file(player: Player, wire: str) -> None:
    """The text has all that the model sees; the next one only what is new; the bill counts the answers."""
    async with serving(files_of(player)) as (sim, ask):
        body = body_of(wire, "Read a.py.")
        asking = asyncio.create_task(ask(wire, body))
        await player.sees("asked", 1)
        text = player.read("001.request.txt")
        assert json.loads(player.read("001.request.json")) == body
        for part in (
            "Be brief.",
            "Read a.py.",
            "Read a file.",
            "path (required)",
            "Which file.",
            "300 tokens",
        ):
            assert part in text, part
        assert f"model:              {body['model']}" in text
        assert "effort:             low" in text
        player.answer(1, READ)
        status, first = await asking
        assert status == 200

        asking = asyncio.create_task(ask(wire, next_body(wire, body, json.loads(first), "x = 1")))
        await player.sees("asked", 2)
        text = player.read("002.request.txt")
        assert "conversation:       001, continues 001.request.txt" in text
        assert "[tool call call_001_1: read]" in text
        assert "[result of call_001_1: read]\nx = 1" in text
        assert not {"Be brief.", "Read a.py.", "Which file."} & set(text.split("\n"))
        player.answer(2, "It sets x.\n")
        status, last = await asking
        assert (status, b'"It sets x."' in last) == (200, True)
        assert [entry.why for entry in sim.bill.entries()] == ["answered", "answered"]
        assert all(entry.output_tokens > 0 for entry in sim.bill.entries())


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("wire", WIRES)
async def test_the_connection_is_kept_alive_while_somebody_thinks(
    player: Player, wire: str, stream: bool
) -> None:
    """The vendor's own client waits, is sent something meanwhile, and reads the whole answer."""
    kept = bytearray()
    files = files_of(player)
    async with (
        serving(files, keep_alive_seconds=0.001) as (sim, _),
        aiohttp.ClientSession(sim.url) as session,
    ):
        body = body_of(wire, "Hello", stream=stream)
        async with asyncio.timeout(20):
            headers = HEADERS | bearer(wire)
            async with session.post(PATHS[wire], json=body, headers=headers) as response:
                kept += await response.content.readany()  # before there is an answer
                player.answer(1, "Hi there.")
                kept += await response.read()
        expected = b"\n" if not stream else b"event: ping" if wire == "messages" else b": keep-alive"
        assert kept.startswith(expected)
        assert b"Hi there." in kept
        assert stream or json.loads(kept)


@pytest.mark.parametrize("wire", WIRES)
async def test_the_vendors_clients_accept_what_keeps_a_stream_alive(player: Player, wire: str) -> None:
    """Events without content before the answer change nothing in what the clients read."""

    async def said(sim: Simulator) -> str:
        if wire == "messages":
            http = anthropic.DefaultAsyncHttpxClient(verify=False)
            async with anthropic.AsyncAnthropic(base_url=sim.url, api_key="k", http_client=http) as client:
                hello = {"role": "user", "content": "Hello"}
                async with client.messages.stream(model=CLAUDE, max_tokens=9, messages=[hello]) as stream:
                    return await stream.get_final_text()
        http = openai.DefaultAsyncHttpxClient(verify=False)
        async with openai.AsyncOpenAI(base_url=sim.openai_url, api_key="k", http_client=http) as client:
            if wire == "chat":
                hello = {"role": "user", "content": "Hello"}
                chunks = await client.chat.completions.create(model=GPT, messages=[hello], stream=True)
                return "".join([c.choices[0].delta.content or "" async for c in chunks if c.choices])
            events = await client.responses.create(model=GPT, input="Hello", stream=True)
            return "".join([e.delta async for e in events if e.type == "response.output_text.delta"])

    async with serving(files_of(player), keep_alive_seconds=0.0001) as (sim, _):
        asking = asyncio.create_task(said(sim))
        await player.sees("asked", 1)
        player.answer(1, "Hi there.")
        assert await asking == "Hi there."


async def test_conversations_are_told_apart_and_answered_in_any_order(player: Player) -> None:
    """Two workers under one system prompt are two conversations; the later one may go on first."""
    async with serving(files_of(player)) as (_, ask):
        tasks, bodies = [], [body_of("messages", f"Task {i}") for i in (1, 2)]
        for i, body in enumerate(bodies, 1):
            tasks.append(asyncio.create_task(ask("messages", body)))
            assert (await player.sees("asked", i)).pending == i
        player.answer(2, READ)
        _, second = await tasks[1]
        follow = next_body("messages", bodies[1], json.loads(second), "two")
        tasks[1] = asyncio.create_task(ask("messages", follow))
        assert (await player.sees("asked", 3)).conversation == 2
        player.answer(1, READ)
        _, first = await tasks[0]
        follow = next_body("messages", bodies[0], json.loads(first), "one")
        tasks[0] = asyncio.create_task(ask("messages", follow))
        assert (await player.sees("asked", 4)).conversation == 1
        player.answer(4, "one done")
        player.answer(3, "two done")
        done = [json.loads(raw)["content"][0]["text"] for _, raw in await asyncio.gather(*tasks)]
        assert done == ["one done", "two done"]


async def test_a_malformed_answer_is_explained_and_read_again(player: Player) -> None:
    """The problem is beside the request until a good answer replaces the bad one."""
    async with serving(files_of(player)) as (_, ask):
        asking = asyncio.create_task(ask("messages", body_of("messages", "Hello")))
        await player.sees("asked", 1)
        player.answer(1, {"tool_calls": [{"name": "reed", "arguments": {}}]})
        await player.sees("problem", 1)
        assert "no tool 'reed'; offered: read" in player.read("001.problem.txt")
        player.answer(1, READ)
        status, _ = await asking
        assert status == 200
        assert not (player.folder / "001.problem.txt").exists()


class Looked:
    """A clock that stands still, and tells how often it was read: once for each look at a file."""

    def __init__(self) -> None:
        self.now, self._reads = 0.0, 0

    def __call__(self) -> float:
        self._reads += 1
        return self.now

    async def twice(self) -> None:
        """Wait until a file has been looked at twice more."""
        wanted = self._reads + 2
        async with asyncio.timeout(20):
            while self._reads < wanted:  # noqa: ASYNC110 - a clock tells nobody
                await asyncio.sleep(0)


async def test_half_an_answer_is_not_read(player: Player) -> None:
    """A text that has changed a moment ago, and JSON that has not ended, wait for the rest."""
    clock = Looked()
    files = files_of(player, settle_seconds=10.0, clock=clock)
    async with serving(files) as (_, ask):
        asking = asyncio.create_task(ask("messages", body_of("messages", "Hello")))
        await player.sees("asked", 1)
        with (player.folder / "001.answer.txt").open("w") as writer:
            writer.write("first half, ")
            writer.flush()
            clock.now = 9.0
            await clock.twice()
            writer.write("second half")
        clock.now = 18.0
        await clock.twice()
        assert files.pending == 1
        clock.now = 28.0
        assert json.loads((await asking)[1])["content"][0]["text"] == "first half, second half"

        asking = asyncio.create_task(ask("messages", body_of("messages", "Again")))
        await player.sees("asked", 2)
        answer = player.folder / "002.answer.json"
        answer.write_text('{"text": "He')
        await clock.twice()
        assert not (player.folder / "002.problem.txt").exists()
        answer.write_text('{"text": "Hello"}')
        assert json.loads((await asking)[1])["content"][0]["text"] == "Hello"


async def test_a_request_that_is_sent_again_keeps_its_number(player: Player) -> None:
    """After a caller's time limit, a late answer is used for the same request, which is billed twice."""
    async with serving(files_of(player)) as (sim, ask):
        asking = asyncio.create_task(ask("messages", body_of("messages", "Hello")))
        await player.sees("asked", 1)
        asking.cancel()
        assert (await player.sees("gone", 1)).pending == 0
        player.answer(1, "Late, but here.")
        status, raw = await ask("messages", body_of("messages", "Hello"))
        assert (status, b"Late, but here." in raw) == (200, True)
        assert [entry.why for entry in sim.bill.entries()] == ["cancelled", "answered"]
        assert sorted(path.name for path in player.folder.glob("*.request.txt")) == ["001.request.txt"]


@pytest.mark.parametrize("wire", WIRES)
async def test_what_was_played_can_be_replayed(player: Player, wire: str) -> None:
    """The same requests get the same answers, if only limits differ; others are refused with the reason."""
    body = body_of(wire, "Look at /tmp/one/a.py.")
    async with serving(files_of(player)) as (_, ask):
        asking = asyncio.create_task(ask(wire, body))
        await player.sees("asked", 1)
        player.answer(1, READ)
        played = json.loads((await asking)[1])
        asking = asyncio.create_task(ask(wire, next_body(wire, body, played, "x = 1")))
        await player.sees("asked", 2)
        player.answer(2, "It sets x.")
        await asking
    before = {path.name: path.read_bytes() for path in player.folder.iterdir()}

    limit = {"messages": "max_tokens", "chat": "max_completion_tokens", "responses": "max_output_tokens"}[
        wire
    ]
    again = files_of(player, wait=False, ignoring=["/tmp/[a-z]+"])
    async with serving(again) as (_, ask):
        body = body_of(wire, "Look at /tmp/two/a.py.") | {limit: 200}
        status, raw = await ask(wire, body)
        assert status == 200
        follow = next_body(wire, body, json.loads(raw), "x = 2")
        status, raw = await ask(wire, follow)
        assert status == 400
        assert b"most similar recorded request is 002" in raw
        assert "most similar recorded request is 002" in player.news[-1].note
        status, raw = await ask(wire, next_body(wire, body, played, "x = 1"))
        assert (status, b"It sets x." in raw) == (200, True)
        status, raw = await ask(wire, body_of(wire, "Look at /tmp/two/a.py."))
        assert status == 400  # each recording is used once
    assert {path.name: path.read_bytes() for path in player.folder.iterdir()} == before


async def test_a_replay_never_waits(player: Player) -> None:
    """A recording without an answer, or with a malformed one, is refused with the reason and not billed."""
    async with serving(files_of(player)) as (_, ask):
        asking = asyncio.create_task(ask("messages", body_of("messages", "Hello")))
        await player.sees("asked", 1)
        asking.cancel()
        await player.sees("gone", 1)
    async with serving(files_of(player, wait=False)) as (sim, ask):
        status, raw = await ask("messages", body_of("messages", "Hello"))
        assert (status, b"request 001 in" in raw, b"no recorded answer" in raw) == (400, True, True)
        (player.folder / "001.answer.txt").write_bytes(b"\xff")
        status, raw = await ask("messages", body_of("messages", "Hello"))
        assert (status, b"not UTF-8" in raw) == (400, True)
        assert sim.bill.entries() == ()
        player.answer(1, "Hi.")
        assert (await ask("messages", body_of("messages", "Hello")))[0] == 200


async def test_another_schema_is_another_request(player: Player) -> None:
    """A recorded answer is not used for a question that wants an answer of another shape."""
    shape = {"type": "object", "properties": {}, "additionalProperties": False}
    titled = shape | {"title": "Other"}

    def wanting(schema: dict[str, Any]) -> dict[str, Any]:
        config = {"format": {"type": "json_schema", "schema": schema}}
        return body_of("messages", "Hello") | {"output_config": config}

    async with serving(files_of(player)) as (_, ask):
        player.answer(1, '{"a": 1}')
        assert (await ask("messages", wanting(shape)))[0] == 200
        assert '"additionalProperties": false' in player.read("001.request.txt")
    async with serving(files_of(player, wait=False)) as (_, ask):
        assert (await ask("messages", wanting(titled)))[0] == 400
        assert (await ask("messages", wanting(shape)))[0] == 200


async def test_a_changed_request_is_asked_with_its_difference(player: Player) -> None:
    """A request that is not the recorded one gets a new number and says what differs."""
    async with serving(files_of(player)) as (_, ask):
        asking = asyncio.create_task(ask("messages", body_of("messages", "Read a.py.")))
        await player.sees("asked", 1)
        player.answer(1, "Done.")
        await asking
    async with serving(files_of(player)) as (_, ask):
        asking = asyncio.create_task(ask("messages", body_of("messages", "Read b.py.")))
        news = await player.sees("asked", 2)
        assert "a.py" in news.note
        assert "b.py" in news.note
        assert news.note in player.read("002.request.txt")
        player.answer(2, "Also done.")
        assert (await asking)[0] == 200


async def test_only_named_models_are_played(player: Player) -> None:
    """A script beside a played model answers at once, and writes no file."""
    async with (
        Simulator({CLAUDE: files_of(player), GPT: echo}) as sim,
        aiohttp.ClientSession(sim.url) as session,
        session.post(PATHS["chat"], json=body_of("chat", "Hi"), headers=bearer("chat")) as response,
    ):
        assert (response.status, list(player.folder.iterdir())) == (200, [])


async def test_an_answer_is_billed_at_the_price_of_its_model_and_ends_at_the_limit(player: Player) -> None:
    """A long answer is cut at the limit of the request, as a model's own would be."""
    async with serving(files_of(player)) as (sim, ask):
        player.folder.mkdir(exist_ok=True)
        player.answer(1, "word " * 2000)
        _, raw = await ask("messages", body_of("messages", "Hello"))
        answer = json.loads(raw)
        assert (answer["stop_reason"], answer["usage"]["output_tokens"]) == ("max_tokens", 300)
        (entry,) = sim.bill.entries()
        assert entry.usd == (entry.input_tokens * Decimal("0.10") + 300 * Decimal("0.50")) / 1_000_000


# ---- The format of an answer ----

ASKED = Asked(CLAUDE, "", (), ("read",))
ASKED_JSON = Asked(CLAUDE, "", (), (), {"type": "object"})


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("", "not valid JSON"),
        ("[]", "must be a JSON object"),
        ("{}", "neither text nor tool calls"),
        ('{"txt": "a"}', "did you mean text?"),
        ('{"text": 3}', "use the key json"),
        ('{"text": "a", "json": {}}', "either text or json"),
        ('{"tool_calls": {}}', "must be a list"),
        ('{"tool_calls": ["read"]}', "name and arguments"),
        ('{"tool_calls": [{"arguments": {}}]}', "no name"),
        ('{"tool_calls": [{"name": "read", "args": {}}]}', "unknown key 'args'"),
        ('{"tool_calls": [{"name": "read", "arguments": "{"}]}', "no JSON object"),
        ('{"tool_calls": [{"name": "read", "arguments": {"n": NaN}}]}', "not a JSON value"),
        ('{"text": "a", "stop": "tired"}', "stop must be one of"),
        ('{"text": "a", "output_tokens": true}', "whole number"),
        ('{"text": "\\ud800"}', "surrogate"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_wrong_answer_is_told_what_to_change(source: str, told: str) -> None:
    """Nothing unknown is passed over."""
    with pytest.raises(AnswerProblem, match=re.escape(told)):
        parse_json_answer(source, ASKED, 1)


def test_the_text_of_a_file_can_be_pasted() -> None:
    """A line break within a string of JSON needs no escape."""
    source = '{"tool_calls": [{"name": "read", "arguments": {"path": "one\ntwo"}}]}'
    (call,) = parse_json_answer(source, ASKED, 1).parts
    assert isinstance(call, ToolCall)
    assert json.loads(call.arguments) == {"path": "one\ntwo"}


def test_an_answer_can_be_sent_as_it_is() -> None:
    """Mistakes of a model can be played on purpose."""
    source = '{"as_is": true, "tool_calls": [{"name": "reed", "arguments": "{\\"path"}]}'
    assert parse_json_answer(source, ASKED, 7).parts == (ToolCall("call_007_1", "reed", '{"path'),)


def test_an_answer_of_a_schema_must_be_json() -> None:
    """A text that is no JSON object is refused, a value under json is written as one."""
    with pytest.raises(AnswerProblem, match="of a schema"):
        parse_text_answer("Sure!", ASKED_JSON)
    with pytest.raises(AnswerProblem, match="name the file"):
        parse_text_answer('{"tool_calls": []}', ASKED)
    assert parse_text_answer('{"a": 1}\n', ASKED_JSON).parts == (Text('{"a": 1}'),)
    assert parse_json_answer('{"json": {"a": 1}}', ASKED_JSON, 1).parts == (Text('{"a": 1}'),)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_ANSWERISH = st.dictionaries(
    st.sampled_from(["text", "json", "tool_calls", "thinking", "stop", "output_tokens", "as_is", "x"]),
    _JSON | st.lists(st.fixed_dictionaries({"name": st.just("read"), "arguments": _JSON}), max_size=3),
)


@given(st.text() | _JSON.map(json.dumps) | _ANSWERISH.map(json.dumps))
def test_every_file_is_an_answer_or_a_problem(source: str) -> None:
    """Each gives parts that can be sent as UTF-8, or a sentence that says what is wrong with it."""
    for asked in (ASKED, ASKED_JSON):
        for parse in (lambda text, one: parse_json_answer(text, one, 1), parse_text_answer):
            try:
                found: Reply | str = parse(source, asked)
            except AnswerProblem as problem:
                found = str(problem).strip()
            assert found.parts if isinstance(found, Reply) else found
            assert str(found).encode()


@given(st.text(), st.lists(st.dictionaries(st.text(), _JSON, max_size=3), min_size=1, max_size=3))
def test_text_and_calls_are_sent_as_they_were_written(text: str, arguments: list[dict[str, Any]]) -> None:
    """What a person writes is what the caller reads."""
    calls = [{"name": "read", "arguments": one} for one in arguments]
    reply = parse_json_answer(json.dumps({"text": text, "tool_calls": calls}), ASKED, 1)
    said = [part for part in reply.parts if isinstance(part, Text)]
    called = [part for part in reply.parts if isinstance(part, ToolCall)]
    assert "".join(part.text for part in said) == text
    assert [json.loads(call.arguments) for call in called] == arguments


# ---- Wrong folders and options ----


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """A file in its place, and a recording that is none."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be used for answers"):
        answers_from(tmp_path / "file")
    (tmp_path / "001.request.json").write_text("{")
    with pytest.raises(ConfigurationError, match="no recorded request"):
        answers_from(tmp_path)
    with pytest.raises(ConfigurationError, match="not a regular expression"):
        answers_from(tmp_path / "other", ignoring=["("])
    with pytest.raises(TypeError, match="several"):
        answers_from(tmp_path / "other", ignoring="/tmp")
