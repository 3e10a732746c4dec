"""The requests of a run as a page shows them: each message once, and nothing that was not recorded."""

import asyncio
import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.context import RunOptions, SessionContext
from sunwell.core import ToolCall, ToolResult
from sunwell.core.model import Request
from sunwell.journal import read_records
from sunwell.journal.layout import list_runs
from sunwell.journal.records import Record, RunOpened
from sunwell.models.registry import ModelRegistry
from sunwell.report import request_of, sent_requests
from sunwell.report.page.page_data import Requests, SentMessage
from sunwell.report.page.page_json import page_json
from sunwell.testing import ScriptedModel, completion
from sunwell.tools import tool

OLD_RUNS = Path(__file__).parents[2] / "data" / "journals"


def reading(path: str) -> Any:
    """Return an answer that reads a file."""
    arguments = json.dumps({"path": path, "start_line": None, "end_line": None})
    return completion(f"Reading {path}.", ToolCall("c0", "read_file", arguments))


def ran(workspace: Path, *lines: Any, **options: Any) -> tuple[list[Record], list[Request]]:
    """Return the records of a run with a model that says *lines*, and what the model was asked."""
    model = ScriptedModel("opus-x", list(lines))
    agent = Agent(model=model, registry=ModelRegistry())
    session = SessionContext.build(workspace, "Do it.", options=RunOptions(**options))

    async def run() -> None:
        await agent.run(session)

    asyncio.run(run())
    model.assert_finished()
    return list(read_records(list_runs(workspace)[-1].path)), model.calls


def whole(requests: Requests, key: str) -> list[SentMessage]:
    """Return all messages of a request, those of earlier calls among them."""
    sent = requests.sent[key]
    before = whole(requests, sent.goes_on)[: sent.kept] if sent.goes_on else []
    assert len(before) == sent.kept
    return [*before, *sent.messages]


def texts(requests: Requests, messages: list[SentMessage]) -> list[list[str]]:
    """Return the texts of *messages*."""
    return [[requests.texts[text].head for _, text in one.parts] for one in messages]


def asked_texts(request: Request) -> list[list[str]]:
    """Return the same of what a model was asked."""
    return [
        [getattr(part, "text", "") or getattr(part, "arguments", "") or part.content for part in one.parts]
        for one in request.messages
    ]


def test_a_conversation_is_told_once(tmp_path: Path) -> None:
    """Each request has what is new in it, and together they are what the model was asked."""
    (tmp_path / "a.txt").write_text("A line.\n" * 20)
    records, asked = ran(tmp_path, *[reading("a.txt")] * 3, "Done.")
    requests = sent_requests(records)
    assert requests.missing == ""
    keys = [f"run/direct:{number}" for number in range(4)]
    assert list(requests.sent) == keys
    assert [(one.goes_on, one.kept, len(one.messages)) for one in requests.sent.values()] == [
        ("", 0, 1), (keys[0], 1, 2), (keys[1], 3, 2), (keys[2], 5, 2),
    ]  # fmt: skip
    assert [part for one in whole(requests, keys[1]) for part, _ in one.parts] == [
        "text", "text", "call read_file", "result read_file",
    ]  # fmt: skip
    for key, request in zip(keys, asked, strict=True):
        assert texts(requests, whole(requests, key)) == asked_texts(request)
        assert [requests.texts[text].head for text in requests.sent[key].system] == list(request.system)
        told = json.loads(requests.texts[requests.sent[key].tools].head)
        assert [one["name"] for one in told] == [one.name for one in request.tools]
        assert requests.sent[key].settings == (
            ("model", "opus-x"),
            ("most output tokens", f"{request.max_output_tokens:,}"),
        )


def test_a_conversation_takes_no_more_room_than_its_length(tmp_path: Path) -> None:
    """Of twice as many turns, the requests are twice as long, and no more."""
    sizes = []
    for turns in (20, 40):
        place = tmp_path / str(turns)
        place.mkdir()
        lines = []
        for number in range(turns):
            (place / f"{number}.txt").write_text(f"Line {number}.\n" * 20)
            lines.append(reading(f"{number}.txt"))
        records, _ = ran(place, *lines, "Done.")
        requests = sent_requests(records)
        assert requests.missing == ""
        sizes.append(len(json.dumps(page_json(requests))))
    assert sizes[1] < 2 * sizes[0]


def test_one_request_is_told_whole(tmp_path: Path) -> None:
    """A page that is followed asks for one at a time."""
    (tmp_path / "a.txt").write_text("1\n")
    records, asked = ran(tmp_path, reading("a.txt"), reading("b.txt"), "Done.")
    alone = request_of(records, "run/direct:2")
    [(key, sent)] = alone.sent.items()
    assert (key, sent.goes_on, sent.kept, sent.agrees) == ("run/direct:2", "", 0, True)
    assert texts(alone, list(sent.messages)) == asked_texts(asked[2])
    assert [part for one in sent.messages for part, _ in one.parts][-1] == "error read_file"


@pytest.mark.parametrize("key", ["", "run/direct", "run/direct:", "run/direct:9", "run/direct:²", "x:0"])
def test_a_key_of_no_call_has_no_request(tmp_path: Path, key: str) -> None:
    """Whatever the key is."""
    records, _ = ran(tmp_path, "Done.")
    assert request_of(records, key) == Requests({}, {})


def test_secrets_stay_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that a tool read is as the model saw it, also when the process does not know the key any more."""
    secret = "sk-ant-" + "q7Zx" * 12
    (tmp_path / "a.txt").write_text(f"The key is {secret}.\n")
    monkeypatch.setenv("ANTHROPIC_API_KEY", secret)
    records, asked = ran(tmp_path, reading("a.txt"), "Done.")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    requests = sent_requests(records)
    assert requests.missing == ""
    assert texts(requests, whole(requests, "run/direct:1")) == asked_texts(asked[1])
    assert secret not in json.dumps(page_json(requests))


def test_a_schema_is_part_of_the_request(tmp_path: Path) -> None:
    """A lens is asked for with one."""
    lens = {"task_scope": "all", "heuristics": ["Read."]}
    lens |= {name: [] for name in ("patterns", "anti_patterns", "constraints", "examples", "target_files")}
    model = ScriptedModel("opus-x", [json.dumps(lens)])

    async def run() -> None:
        await Agent(model=model, registry=ModelRegistry()).lens_events(
            SessionContext.build(tmp_path, "Do it.", options=RunOptions(tools=()))
        )

    asyncio.run(run())
    requests = sent_requests(read_records(list_runs(tmp_path)[-1].path))
    [sent] = requests.sent.values()
    assert model.calls[0].response_schema is not None
    assert json.loads(requests.texts[sent.schema].head) == model.calls[0].response_schema.schema
    assert ("answer follows the schema", "lens") in sent.settings


@tool
async def look_up(word: str) -> str:
    """Look a word up.

    Args:
        word: The word.
    """
    return f"{word}: a word"


def test_a_tool_that_is_gone_is_named(tmp_path: Path) -> None:
    """The messages are there; that the tools are not all there is said, and no request agrees."""
    call = completion(ToolCall("c0", "look_up", '{"word": "tree"}'))
    records, asked = ran(tmp_path, call, "Done.", tools=(look_up, "read_file"))
    requests = sent_requests(records)
    assert requests.missing == (
        "2 of 2 requests differ from what was sent. Known reasons: the tools look_up are gone."
    )
    assert [sent.agrees for sent in requests.sent.values()] == [False, False]
    assert texts(requests, whole(requests, "run/direct:1")) == asked_texts(asked[1])


@pytest.mark.parametrize("journal", sorted(OLD_RUNS.rglob("journal.jsonl")), ids=lambda path: path.parts[-4])
def test_a_run_of_an_older_version_says_what_has_changed(journal: Path) -> None:
    """What can be made again is there, and a sentence says that it is not what was sent, and why."""
    requests = sent_requests(read_records(journal))
    assert not any(sent.agrees for sent in requests.sent.values())
    if requests.sent:
        assert "the prompt for work was version 1 and is" in requests.missing


def test_a_run_that_does_not_say_how_it_was_started_has_no_requests(tmp_path: Path) -> None:
    """Records of the oldest versions have no settings."""
    records, _ = ran(tmp_path, "Done.")
    opened, *others = records
    assert isinstance(opened, RunOpened)
    requests = sent_requests([attrs.evolve(opened, settings={}), *others])
    assert requests.sent == {}
    assert requests.missing == (
        "1 of 1 requests could not be made again. Known reasons: the journal does not record how the run was "
        "started."
    )


def test_records_that_begin_with_no_run_have_no_requests(tmp_path: Path) -> None:
    """What cannot be played at all is said, and raises nothing."""
    records, _ = ran(tmp_path, "Done.")
    requests = sent_requests(records[1:])
    assert requests.sent == {}
    assert "does not begin with the record of a run" in requests.missing


def test_results_are_told_with_the_name_of_their_tool(tmp_path: Path) -> None:
    """Also where another request has told the calls."""
    (tmp_path / "a.txt").write_text("1\n")
    records, asked = ran(tmp_path, reading("a.txt"), "Done.")
    assert isinstance(asked[1].messages[-1].parts[0], ToolResult)
    last = sent_requests(records).sent["run/direct:1"].messages[-1]
    assert (last.role, [kind for kind, _ in last.parts]) == ("tool", ["result read_file"])
