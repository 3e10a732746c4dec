"""Requests whose run is stopped, late, broken or withheld: who gets which answer, and what is paid."""

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import attrs
import httpx2
import openai
import pytest

from sunwell.agent.lifecycle.authority import CallerTerms
from sunwell.budget.ledger_protocol import Budget
from sunwell.core.message import Text, ToolCall
from sunwell.journal import list_runs
from sunwell.memory.conversation_store import ConversationStore, conversations_file
from sunwell.serve.endpoint.client_request import ClientRequest, Declined
from sunwell.serve.endpoint.requested_runs import ClientKey, RequestedRun, RequestedRuns
from sunwell.serve.endpoint.served_responses import ResponsesWire
from sunwell.simulator import Asked, Fault, FaultRule, Reply, Simulator, running_simulator
from tests.serve.endpoint.serving import MODELS, TOKEN, PlainSettings, Served, replied, served

WIRES = ("chat", "responses", "messages")
MODEL = "sunwell/haiku"
READING = ("list_files", "read_file", "search_files")


def brief(asked: Asked) -> Reply:
    """A model that answers at once."""
    return Reply((Text("42"),))


def looking(asked: Asked) -> Reply:
    """A model that looks once, and then knows."""
    if len(asked.messages) == 1:
        return Reply((ToolCall("", "list_files", '{"path": "."}'),))
    return Reply((Text("found"),))


pytestmark = pytest.mark.parametrize("simulator", [{"claude-haiku-5-5": brief}], indirect=True)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


BODY: Any = {"model": MODEL, "max_tokens": 100, "messages": [user("How many?")]}


async def posted(endpoint: Served, body: Any = BODY, **headers: str) -> httpx2.Response:
    """Send a request to Messages as it is; a text is sent to the letter."""
    told = {"x-api-key": TOKEN, **{name.replace("_", "-"): value for name, value in headers.items()}}
    given = {"content": body} if isinstance(body, bytes) else {"json": body}
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        return await client.post(f"{endpoint.url}/v1/messages", headers=told, **given)


def tools_of(simulator: Simulator) -> set[str]:
    """Return the names of the tools that the model was offered last."""
    return {tool["name"] for tool in simulator.requests[-1].body["tools"]}


async def test_a_conversation_keeps_no_tool_that_is_withheld_now(root: Path, simulator: Simulator) -> None:
    """The server was started again without --write: what runs had then, they no longer have."""
    async with served(root) as endpoint, endpoint.openai() as client:
        first = await client.responses.create(model=MODEL, input="How many?")
        assert "write_file" in tools_of(simulator)
    said = [user("How many?"), {"role": "assistant", "content": "42"}, user("And there?")]
    async with served(root, tools=READING) as endpoint, endpoint.openai() as client:
        _, answer = await replied(endpoint, "chat", said, model=MODEL)
        assert tools_of(simulator) == set(READING)
        assert "What was said before" in str(simulator.requests[-1].body["messages"])
        with pytest.raises(openai.BadRequestError, match=r"names no answer that this key got .* and tools"):
            await client.responses.create(model=MODEL, input="And?", previous_response_id=first.id)
        following = [*said, {"role": "assistant", "content": "42"}, user("And then?")]
        await replied(endpoint, "chat", following, model=MODEL)
        assert len(simulator.requests[-1].body["messages"]) == 3  # of what was read here, the next goes on
    assert answer.sunwell["status"] == "ok"


async def test_a_broken_run_keeps_no_tool_that_is_withheld_now(root: Path, simulator, monkeypatch) -> None:
    """It is left alone, and another one begins."""
    stall = FaultRule(Fault(stall_before_seconds=600), numbers=(2,))
    with running_simulator(Simulator({"claude-haiku-5-5": looking}, faults=(stall,))) as stalling:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", stalling.url)
        async with served(root) as endpoint:
            asking = asyncio.create_task(posted(endpoint))
            await until(lambda: len(stalling.requests) == 2)
        await asking
        async with served(root, tools=READING) as endpoint:
            assert (await posted(endpoint)).json()["content"][0]["text"] == "found"
        assert tools_of(stalling) == set(READING)
        assert len(list_runs(root)) == 2


async def until(happened: Any) -> None:
    """Return once *happened* says so."""
    async with asyncio.timeout(60):
        while not happened():
            await asyncio.to_thread(time.sleep, 0.005)


async def test_a_late_retry_is_a_new_question(root: Path, simulator: Simulator) -> None:
    """An SDK that could not connect has sent nothing before: the answer of yesterday is not meant."""
    async with served(root) as endpoint:
        first = (await posted(endpoint)).json()["id"]
        named = (await posted(endpoint, idempotency_key="mine")).json()["id"]
        runs = endpoint.endpoint.runs
        runs.clock = lambda: time.time() + 100
        assert (await posted(endpoint, x_stainless_retry_count="1")).json()["id"] in (first, named)
        runs.clock = lambda: time.time() + 130
        assert (await posted(endpoint, x_stainless_retry_count="1")).json()["id"] not in (first, named)
        assert (await posted(endpoint, idempotency_key="mine")).json()["id"] == named
    assert len(simulator.requests) == 3


async def test_names_of_requests_are_read_to_their_end(root: Path, simulator: Simulator) -> None:
    """However long they are."""
    async with served(root) as endpoint:
        ids = [(await posted(endpoint, idempotency_key=f"{'k' * 300}{end}")).json()["id"] for end in "ab"]
    assert len(set(ids)) == len(simulator.requests) == 2


@attrs.frozen
class Asking:
    """Runs without HTTP, and one key."""

    runs: RequestedRuns
    key: ClientKey = attrs.field(factory=lambda: ClientKey.of(TOKEN, Decimal(10)))

    def run(self, *said: str, **given: Any) -> RequestedRun:
        """Ask what is said last, after an answer to each that is said before."""
        turns: list[Any] = [("user", said[0])]
        for text in said[1:]:
            turns += [("assistant", "42"), ("user", text)]
        named = {"sent_before": False, "idempotency_key": "", **given}
        return self.runs.of(self.key, ClientRequest(MODEL, tuple(turns)), **named)


def store() -> ConversationStore:
    """Return the user's conversations; to be warned of them is a failure."""
    return ConversationStore(conversations_file(), warn=pytest.fail)


def asking(root: Path, settings: Any = None, **given: Any) -> Asking:
    """Return what asks in *root*."""
    made = settings or (lambda name: PlainSettings.of(root, **MODELS[name]))
    return Asking(RequestedRuns(root, made, Decimal(1), given.pop("conversations", store()), **given))


@pytest.fixture
async def there() -> "asyncio.Future[None]":
    """Return the connection of a client who stays."""
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("sent_before", [False, True])
async def test_who_asks_while_a_run_is_stopped_goes_on_with_it(
    root: Path, simulator, monkeypatch, there, sent_before: bool
) -> None:
    """An SDK whose time is up sends the request again at once: it does not get the end of the first."""
    stall = FaultRule(Fault(stall_before_seconds=600), numbers=(2,))
    with running_simulator(Simulator({"claude-haiku-5-5": looking}, faults=(stall,))) as stalling:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", stalling.url)
        asked = asking(root)
        first = asked.run("How many?")
        with first.listening():
            await until(lambda: len(stalling.requests) == 2)
        second = asked.run("How many?", sent_before=sent_before)
        third = asked.run("How many?", sent_before=True)
        with second.listening():
            answer = await second.answer(there)
        assert third is second
        with pytest.raises(Declined, match="was stopped"):
            await first.answer(there)
        assert (answer.text, answer.id) == ("found", first.run_id)
        assert len(stalling.requests) == 3
        assert asked.key.purse.out_usd == 0


class OnceWrong:
    """Settings whose terms no run can have, so that a conversation cannot go on; a new run can."""

    def __init__(self, plain: PlainSettings, asked: list[RequestedRun]) -> None:
        self.options, self.warnings, self._plain, self._asked = plain.options, (), plain, asked
        self._agents = 0

    def terms(self, recorded: Any, approve: Any) -> CallerTerms:
        return CallerTerms(given={"model": "no-such-model"}, ceilings=Budget())

    def agent(self) -> Any:
        self._agents += 1
        if self._agents == 2:  # the client goes away between the way that failed and the other one
            self._asked[-1].stop()
        return self._plain.agent()


async def test_a_run_is_stopped_also_after_another_way_came_to_nothing(
    root: Path, simulator: Simulator, there
) -> None:
    """Else it would go on and be paid, and nobody would read its answer."""
    asked, made = asking(root), []
    await asked.run("How many?").answer(there)
    wrong = asking(root, lambda name: OnceWrong(PlainSettings.of(root, **MODELS[name]), made))
    made.append(wrong.run("How many?", "And there?"))
    with pytest.raises(Declined, match="stopped"):
        await made[-1].answer(there)
    assert len(simulator.requests) == 1
    assert wrong.key.purse.spent_usd == wrong.key.purse.out_usd == 0


class Defective(ConversationStore):
    """A store with a defect that shows once a run has ended."""

    def keep(self, digest: str, run_id: str) -> None:
        found = self.find("begun")
        super().keep("begun", run_id)
        if found == run_id:
            raise ZeroDivisionError("sk-ant-api03-abcdefghijklmnopqrstuvwxyz")


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("wire", WIRES)
async def test_a_defect_of_the_server_is_an_error_of_the_wire(
    root: Path, simulator: Simulator, wire: str, streams: bool
) -> None:
    """With an end of its stream, no traceback, and a word to the person who runs the server."""
    told: list[str] = []
    async with served(root) as endpoint:
        runs = endpoint.endpoint.runs
        runs.warn, runs.conversations = told.append, Defective(conversations_file(), warn=pytest.fail)
        kinds = (openai.APIError, anthropic.APIStatusError)
        with pytest.raises(kinds, match=r"the server failed \(ZeroDivisionError\)") as caught:
            await replied(endpoint, wire, [user("How many?")], model=MODEL, stream=streams)
        [key, _] = endpoint.keys.values()
    assert "sk-ant" not in str(caught.value.body)
    (sentence,) = told
    assert sentence.startswith("a request failed with ZeroDivisionError: ")
    assert "sk-ant" not in sentence
    assert key.purse.spent_usd == simulator.bill.total_usd()


async def test_half_a_character_is_refused(root: Path, simulator: Simulator) -> None:
    """No journal and no answer could hold it; nothing is spent."""
    async with served(root) as endpoint:
        for body in (
            rb'{"model": "sunwell/haiku", "messages": [{"role": "user", "content": "\ud83d"}]}',
            rb'{"model": "sunwell/haiku", "\ud83d": 1, "messages": [{"role": "user", "content": "Hi"}]}',
        ):
            answer = await posted(endpoint, body)
            assert answer.status_code == 400
            assert "the body is not JSON in UTF-8" in answer.json()["error"]["message"]
    assert not simulator.requests


async def test_all_that_follows_a_named_answer_is_read(root: Path, simulator: Simulator) -> None:
    """Words between that answer and the last ones are part of the task."""
    async with served(root) as endpoint, endpoint.openai() as client:
        first = await client.responses.create(model=MODEL, input="How many?")
        items: Any = [user("Of the red ones."), {"role": "assistant", "content": "Which?"}, user("Dark.")]
        await client.responses.create(model=MODEL, input=items, previous_response_id=first.id)
    sent = simulator.requests[-1].body["messages"]
    assert len(sent) == 3
    assert all(text in str(sent[-1]) for text in ("Of the red ones.", "Which?", "Dark."))


def test_a_reference_to_what_is_not_kept_is_refused(simulator: Simulator) -> None:
    """Left out, it would be a hole in the conversation that nobody sees."""
    items = [user("Hi"), {"type": "item_reference", "id": "msg_1"}, user("So?")]
    with pytest.raises(Declined, match=r"input\[1\] is of type 'item_reference': only messages"):
        ResponsesWire().read({"model": "m", "input": items})


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("wire", WIRES)
async def test_clients_are_told_that_the_server_ends(
    root: Path, simulator, monkeypatch, wire: str, streams: bool
) -> None:
    """In place of a connection that breaks off; whoever comes then is told, too."""
    stall = FaultRule(Fault(stall_before_seconds=600), numbers=(2,))
    with running_simulator(Simulator({"claude-haiku-5-5": looking}, faults=(stall,))) as stalling:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", stalling.url)
        async with served(root) as endpoint:
            waits = replied(endpoint, wire, [user("How many?")], model=MODEL, stream=streams)
            waiting = asyncio.create_task(waits)
            await until(lambda: len(stalling.requests) == 2)
            endpoint.serving.cancel()
            kinds = (openai.APIError, anthropic.APIStatusError)
            with pytest.raises(kinds, match=r"was stopped .*goes on with it"):
                await waiting
            with pytest.raises(Declined, match="the server is being stopped"):
                endpoint.endpoint.runs.of(
                    next(iter(endpoint.keys.values())), ClientRequest(MODEL, (("user", "Hi"),)),
                    sent_before=False, idempotency_key="",
                )  # fmt: skip


async def test_a_wrong_address_is_told_in_the_words_of_the_vendors(root: Path, simulator: Simulator) -> None:
    """Most often the base URL has a part too much, or one is missing."""
    async with served(root) as endpoint:
        wrong = anthropic.AsyncAnthropic(base_url=f"{endpoint.url}/v1", api_key=TOKEN, max_retries=0)
        async with wrong as client:
            with pytest.raises(anthropic.NotFoundError, match="base URLs end in /v1 for clients of OpenAI"):
                await client.messages.create(**BODY)
        bare = openai.AsyncOpenAI(base_url=endpoint.url, api_key=TOKEN, max_retries=0)
        async with bare as client:
            with pytest.raises(openai.NotFoundError, match="there is no POST '/chat/completions' here"):
                await client.chat.completions.create(model=MODEL, messages=BODY["messages"])
        async with httpx2.AsyncClient(trust_env=False) as plain:
            found = await plain.get(f"{endpoint.url}/v1/messages", headers={"x-api-key": TOKEN})
        assert (found.status_code, found.headers["allow"]) == (405, "POST")
        assert "there is no GET '/v1/messages' here" in found.json()["error"]["message"]


async def test_the_word_before_a_token_is_read_in_any_case(root: Path, simulator: Simulator) -> None:
    """As the standard says of it."""
    async with served(root) as endpoint, httpx2.AsyncClient(trust_env=False) as client:
        for scheme, status in (("bearer", 200), ("BEARER ", 200), ("Bearer", 200), ("Bear", 401)):
            headers = {"authorization": f"{scheme} {TOKEN}"}
            assert (await client.get(f"{endpoint.url}/v1/models", headers=headers)).status_code == status


def system_of(simulator: Simulator) -> str:
    """Return the instructions that the model was sent last."""
    return "\n".join(part["text"] for part in simulator.requests[-1].body["system"])


async def test_models_are_told_whose_instructions_hold_and_what_they_cannot(
    root: Path, simulator: Simulator
) -> None:
    """A client's words on answers come before those on reports; who cannot write is told to show the text."""
    async with served(root, tools=READING) as endpoint:
        await replied(
            endpoint, "chat", [{"role": "system", "content": "Be a pirate."}, user("Hi")], model=MODEL
        )
        told = system_of(simulator)
        assert told.startswith("Be a pirate.\n\nThe instructions above are those of the program")
        assert told.count("can be read here and not changed") == 1
        await replied(endpoint, "chat", [user("Hi")], model=MODEL)
        alone = system_of(simulator)
        assert alone.startswith("# How to work")
        assert alone.count("can be read here and not changed") == 1
    async with served(root) as endpoint:
        said = [user("In German, please."), {"role": "assistant", "content": "Ja?"}, user("Name teas.")]
        await replied(endpoint, "chat", said, model=MODEL)
        assert system_of(simulator).startswith("# How to work")
        assert "can be read here and not changed" not in system_of(simulator)
        sent = str(simulator.requests[-1].body["messages"])
        assert "did not take back still holds:" in sent
        assert sent.index("Name teas.") < sent.index("In German, please.")


async def test_a_cap_that_holds_no_call_names_the_option_of_the_server(root: Path, simulator) -> None:
    """And not that of a single run."""
    async with served(root, max_cost="0.000001") as endpoint:
        answer = await posted(endpoint)
    assert answer.status_code == 402
    said = answer.json()["error"]["message"]
    assert "--max-cost 0.0" in said
    assert "--budget-usd" not in said


@pytest.mark.parametrize(
    ("fault", "asked"),
    [
        (Fault(status=401), 1),
        (Fault(status=402), 1),
        (Fault(unknown_fields=("messages",)), 1),
        (Fault(status=529), 2),
    ],
    ids=["key", "credit", "request", "overload"],
)
@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
async def test_an_sdk_sends_again_what_may_succeed(
    root: Path, simulator: Simulator, monkeypatch, fault: Fault, asked: int, vendor: str
) -> None:
    """Nobody asks a provider again that has refused for good; an overload passes."""
    refusing = Simulator({"claude-haiku-5-5": brief}, faults=(FaultRule(fault),))
    with running_simulator(refusing) as provider:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", provider.url)
        async with served(root, attempts=1) as endpoint:
            with pytest.raises((openai.InternalServerError, anthropic.InternalServerError)):
                await asked_by(vendor, endpoint)
        assert len(provider.requests) == asked


async def asked_by(vendor: str, endpoint: Served) -> None:
    """Ask with the SDK of *vendor*, which sends a request once more where that may help."""
    messages: Any = [user("How many?")]
    if vendor == "openai":
        async with endpoint.openai(max_retries=1) as client:
            await client.chat.completions.create(model=MODEL, messages=messages)
    else:
        async with endpoint.anthropic(max_retries=1) as client:
            await client.messages.create(model=MODEL, max_tokens=100, messages=messages)
