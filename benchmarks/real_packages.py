"""Does the README's own command finish under its cap on real packages?

Run with ``python benchmarks/real_packages.py``. Three packages of Python's standard library are worked on in
copies, with ``--max-usd 0.50``, opus and haiku, through the command line and over HTTP: by the smart model
alone, delegated, and orchestrated. Whoever works reads every file, one a turn, writes a test module for it,
and answers. It fails if a run does not finish or the bill is above the cap. The models are scripts, and the
tokens are the simulator's, a quarter of the bytes: this shows the machinery and the money, not skill.
"""

import asyncio
import json
import os
import re
import shutil
import sys
import sysconfig
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from recording import record

from sunwell.core.message import Text
from sunwell.simulator import Asked, Reply, Simulator
from sunwell.simulator.scripts.conversation_state import ScriptedConversation, Wanted
from sunwell.simulator.scripts.scripted_orchestrator import handed_out
from sunwell.simulator.scripts.scripted_roles import filled, lens_for

PACKAGES = ("json", "tomllib", "wsgiref")
CAP_USD = "0.50"
PARTS = 3
TASK = "Write a test module for all modules of this package"
WAYS = {
    "direct": ("--model", "opus"),
    "delegated": ("--enable-delegation", "--smart-model", "opus", "--delegation-model", "haiku"),
    "orchestrated": ("--orchestrate", "--smart-model", "opus", "--delegation-model", "haiku"),
}
_FILE = re.compile(r"[\w/]+\.py\b")
_TESTS = "\n\n".join(
    f"def test_{name}():\n    module = importlib.import_module(NAME)\n    assert module.__doc__ is not None"
    for name in ("imports", "documents_itself", "has_names", "can_be_imported_again")
)


def work(asked: Asked) -> Reply:
    """Answer as a model that reads each file, writes a test module for it, and says what it did."""
    talk = ScriptedConversation.of(asked)
    listed = Wanted("list_files", {"path": ".", "depth": 3})
    calls = [listed]
    for path in dict.fromkeys(_FILE.findall(talk.result_of(listed))):
        if "test_" not in path:
            calls.append(Wanted("read_file", {"path": path, "start_line": None, "end_line": None}))
            name = path.replace("/", "_")
            calls.append(Wanted("write_file", {"path": f"tests/test_{name}", "content": _module(path)}))
    open_calls = [call for call in calls if call.name in asked.tools and talk.is_open(call, 1)]
    if not open_calls:
        return Reply(
            (Text(f"I wrote {len(calls) // 2} test modules. {'They import what they test. ' * 20}"),)
        )
    said = f"I go on with {open_calls[0].arguments.get('path')}. {'I look at what it gives back. ' * 10}"
    return Reply((Text(said), open_calls[0].as_call(f"call_{talk.turns}")))


def _module(path: str) -> str:
    return f'"""Tests of {path}."""\n\nimport importlib\n\nNAME = "{path[:-3]}"\n\n\n{_TESTS}\n'


def smart(asked: Asked) -> Reply:
    """Answer as a smart model: a lens if a schema asks for one, parts for workers, or the work itself."""
    if "set_answer" in asked.tools:
        return handed_out(asked, PARTS, TASK)
    if asked.schema is not None:
        lens = lens_for("", TASK) | {
            "heuristics": [f"Rule {i}: say in a sentence what is tested." for i in range(12)]
        }
        return Reply((Text(json.dumps(filled(asked.schema, lens | {"items": []}))),))
    return work(asked)


async def one(package: str, way: str) -> dict[str, Any]:
    """Run the command on a copy of *package* and return what came of it."""
    source = Path(sysconfig.get_paths()["stdlib"]) / package
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "work" / package
        shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
        async with Simulator({"claude-opus-5-5": smart, "claude-haiku-5-5": work}) as simulator:
            words = ("run", TASK, *WAYS[way], "--max-usd", CAP_USD, "--json")
            said = await _command(words, place.parent, Path(folder), simulator.url)
            return said | {"package": package, "way": way, "billed_usd": str(simulator.bill.total_usd())}


async def _command(words: tuple[str, ...], place: Path, home: Path, url: str) -> dict[str, Any]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "a-key",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sunwell",
        *words,
        cwd=place,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, told = await process.communicate()
    if not out.strip():
        raise SystemExit(told.decode())
    result = json.loads(out)
    names = ("status", "stop_reason", "turns", "error")
    return {name: result.get(name) for name in names} | {"exit_code": process.returncode}


async def main() -> None:
    """Run every way on every package, print and write what came of it, and fail if a run did not finish."""
    rows, faults = [], []
    print("| package | way | status | turns | billed |")
    print("| --- | --- | --- | ---: | ---: |")
    for package in PACKAGES:
        for way in WAYS:
            row = await one(package, way)
            rows.append(row)
            print(f"| {package} | {way} | {row['status']} | {row['turns']} | ${row['billed_usd']} |")
            if row["status"] != "ok" or Decimal(row["billed_usd"]) > Decimal(CAP_USD):
                faults.append(f"{package}, {way}: {row['status']}, {row['stop_reason']}: {row['error']}")
    print(record("real_packages", {"cap_usd": CAP_USD, "task": TASK, "rows": rows}))
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    asyncio.run(main())
