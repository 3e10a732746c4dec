"""``sunwell serve`` as a process: the bill of the command line, ends by signals, and a third client."""

import asyncio
import json
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

import anthropic
import openai

from sunwell.journal import list_runs
from sunwell.simulator import Fault, FaultRule, Simulator, running_simulator
from sunwell.simulator.scripts import DEMO_MODELS
from tests.cli.beginner import done

TASK = "Generate CRUD endpoints for 5 entities"
SHOP = Path(__file__).parents[2] / "examples" / "shop"
MODELS = ("--smart-model", "opus", "--delegation-model", "haiku")
TOKEN = "a-token-of-the-users"


def shop(folder: Path, name: str) -> Path:
    """Return a fresh copy of the example code base."""
    return Path(shutil.copytree(SHOP, folder / name / "shop", ignore=shutil.ignore_patterns("__pycache__")))


def environ_of(simulator: Simulator, home: Path) -> dict[str, str]:
    """Return the environment of somebody with a key of Anthropic's and a token."""
    keys = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}
    return {**os.environ, **keys, "SUNWELL_HOME": str(home), "SUNWELL_SERVE_TOKEN": TOKEN}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with running_simulator(Simulator(DEMO_MODELS)) as running:
        yield running


@asynccontextmanager
async def served(root: Path, environ: dict[str, str], *options: str) -> AsyncIterator[tuple[Process, str]]:
    """Start an endpoint in *root*, and give its process and address."""
    words = [sys.executable, "-m", "sunwell", "serve", "-w", str(root), *MODELS, *options]
    process = await asyncio.create_subprocess_exec(*words, env=environ, stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


def client_of(url: str, **given: Any) -> openai.AsyncOpenAI:
    """Return OpenAI's own client."""
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=TOKEN, timeout=60, **given)


ASKED: Any = {"model": "sunwell", "messages": [{"role": "user", "content": TASK}]}


async def test_the_bill_is_that_of_the_command_line(simulator: Simulator, tmp_path: Path) -> None:
    """The same task, cap and check: the same models are asked as often, and the bill has the same digits."""
    environ = environ_of(simulator, tmp_path / "home")
    check = ("--check", "test -f shop/endpoints/order.py")
    typed, root = shop(tmp_path, "typed"), shop(tmp_path, "serve")
    ran = done("run", TASK, *MODELS, *check, "--budget-usd", "0.5", "--json", folder=typed, env=environ)
    expected, paid = json.loads(ran.stdout), simulator.bill.total_usd()
    sent = [(request.model, len(request.body["messages"])) for request in simulator.requests]
    async with served(root, environ, *check, "--max-cost", "0.5", "--write") as (process, url):
        async with client_of(url) as client:
            answer = await client.chat.completions.create(**ASKED)
            names = [model.id async for model in client.models.list()]
        process.send_signal(signal.SIGTERM)
        output, errors = await process.communicate()
    about: Any = answer.sunwell  # type: ignore[attr-defined]
    assert about["cost_usd"] == expected["cost_usd"]
    assert (about["verified"], about["cap_usd"]) == (True, "0.5")
    assert about["files"] == [one["path"] for one in expected["files"]]
    assert answer.choices[0].message.content == expected["answer"]
    assert simulator.bill.total_usd() == 2 * paid
    assert 2 * sent == [(request.model, len(request.body["messages"])) for request in simulator.requests]
    assert names == ["sunwell", "sunwell/opus+haiku"]
    assert (process.returncode, output, TOKEN.encode() in errors) == (130, b"", False)


async def test_without_write_nothing_in_the_folder_changes(simulator: Simulator, tmp_path: Path) -> None:
    """The models have no tool for it, and the answer says what it says."""
    root = shop(tmp_path, "serve")
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    environ = environ_of(simulator, tmp_path / "home")
    async with served(root, environ, "--offer", "haiku") as (_, url), client_of(url) as client:
        named = {**ASKED, "model": "sunwell/haiku"}
        with suppress(openai.APIStatusError):  # the scripted model cannot do without
            await client.chat.completions.create(**named)
    tools = {tool["name"] for tool in simulator.requests[0].body["tools"]}
    models = {request.model for request in simulator.requests}
    assert tools == {"list_files", "read_file", "search_files"}
    assert models == {"claude-haiku-5-5"}
    kept = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert {path: data for path, data in kept.items() if ".sunwell" not in path.parts} == before


STALLING = FaultRule(Fault(stall_before_seconds=600), numbers=(4,))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_request_of_a_killed_server_goes_on_with_its_run(tmp_path: Path, number: int) -> None:
    """When it is sent again, to the next server: what was answered is asked once."""
    with running_simulator(Simulator(DEMO_MODELS)) as before:
        whole = environ_of(before, tmp_path / "home")
        done("run", TASK, *MODELS, folder=shop(tmp_path, "typed"), env=whole)
        calls = len(before.requests)
    root = shop(tmp_path, "serve")
    with running_simulator(Simulator(DEMO_MODELS, faults=(STALLING,))) as stalling:
        environ = environ_of(stalling, tmp_path / "home")
        async with (
            served(root, environ, "--write") as (process, url),
            client_of(url, max_retries=0) as client,
        ):
            asking = asyncio.create_task(client.chat.completions.create(**ASKED))
            async with asyncio.timeout(60):
                while len(stalling.requests) < 4:
                    await client.models.list()
            process.send_signal(number)
            await asyncio.wait((asking,))
            assert isinstance(asking.exception(), openai.APIError)
        async with served(root, environ, "--write") as (_, url), client_of(url) as client:
            answer = await client.chat.completions.create(**ASKED)
        about: Any = answer.sunwell  # type: ignore[attr-defined]
        assert [run.run_id for run in list_runs(root)] == [about["run_id"]]
        assert len(stalling.requests) == calls + 1
        cost, besides = Decimal(about["cost_usd"]), Decimal(about["uncertain_usd"])
        assert cost <= stalling.bill.total_usd() <= cost + besides


async def test_anthropics_client_tries_again_by_itself(simulator: Simulator, tmp_path: Path) -> None:
    """After its time is up: the run goes on, and the answer is that of one run."""
    root = shop(tmp_path, "serve")
    slow = FaultRule(Fault(stall_before_seconds=3), numbers=(4,))
    with running_simulator(Simulator(DEMO_MODELS, faults=(slow,))) as stalling:
        environ = environ_of(stalling, tmp_path / "home")
        async with (
            served(root, environ, "--write") as (_, url),
            anthropic.AsyncAnthropic(base_url=url, api_key=TOKEN, timeout=2) as client,
        ):
            messages: Any = [{"role": "user", "content": TASK}]
            answer = await client.messages.create(model="sunwell", max_tokens=9, messages=messages)
    about: Any = answer.sunwell  # type: ignore[attr-defined]
    assert [run.run_id for run in list_runs(root)] == [about["run_id"]]


async def test_llm_delegates(simulator: Simulator, tmp_path: Path) -> None:
    """The command ``llm`` needs an address, a key and a name."""
    pytest.importorskip("llm")
    root, home = shop(tmp_path, "serve"), tmp_path / "llm"
    home.mkdir()
    environ = environ_of(simulator, tmp_path / "home")
    async with served(root, environ, "--write") as (_, url):
        models = [
            {"model_id": "sunwell", "model_name": "sunwell", "api_base": f"{url}/v1", "api_key_name": "s"}
        ]
        (home / "extra-openai-models.yaml").write_text(json.dumps(models))
        words = [sys.executable, "-m", "llm", "-m", "sunwell", "--no-stream", "--key", TOKEN, TASK]
        process = await asyncio.create_subprocess_exec(
            *words, env={**environ, "LLM_USER_PATH": str(home)}, stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE, stderr=PIPE,
        )  # fmt: skip
        output, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    assert output.decode().strip()
    assert {request.model for request in simulator.requests} == {"claude-opus-5-5", "claude-haiku-5-5"}
    assert (root / "shop" / "endpoints" / "order.py").exists()
