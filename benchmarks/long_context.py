"""What does a question about a long context cost, under a cap, after a kill, in time, and the second time?

Run ``python benchmarks/long_context.py --peers FOLDER``: ``sunwell ask`` beside rlms, the package of the
authors of recursive language models, if FOLDER has an environment of that name. Both ask the same server
over HTTP, in OpenAI's Chat format, with the same scripted models: one looks at a log, maps one question over
100 or 500 parts of it to a cheaper one, and answers. The judge is the server's own bill. It writes
``benchmarks/results/long_context.json`` and fails where

- a cap in dollars or tokens is passed by Sunwell, or an answer that was paid under it is not taken for
  nothing by a second question,
- a run of Sunwell that was killed asks again about a part whose answer is in its record, or books less than
  what was in flight as perhaps billed, or ends otherwise,
- calls of two seconds take longer than 1.3 times (turns of the root + ``ceil(parts / 64)``) times two
  seconds,
- the root of Sunwell reads more tokens than that of rlms,
- a second question with the same questions about parts takes less than 90 % of them from memory.

The run of 100 parts is killed at each answer, that of 500 at every twentieth. ``--all-kills`` kills that of
500 at each, and does nothing else: it takes most of an hour and writes ``long_context_kills.json``.
``--times`` measures the times again, and puts them into the recorded result.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import environments
from long_context_world import (
    OTHER_QUESTION,
    QUESTION,
    READER_MODEL,
    ROOT_MODEL,
    Billed,
    LogServer,
    serving,
    write_log,
)
from recording import ROOT, record

from sunwell.agent.asking.part_reader import MOST_AT_ONCE
from sunwell.journal import read_records
from sunwell.journal.records import Answer, Intent
from sunwell.simulator import PRICES

_PROGRAM = ROOT / "tests" / "scenarios" / "killed_questions.py"
_PARTS = (100, 500)
_CHUNK = 20_000
_KILLED_CHUNK = 4_000
"""Shorter, since kills are about records: a part has about a thousand tokens."""
_CAPS = ("0.5", "0.75", "0.9")
"""Of what the run takes without a cap."""
_CALL_SECONDS = 2.0
_MOST_TRIES = 3
_MOST_TO_LEAST = 1.3
_LEAST_REMEMBERED = 0.9
_EVERY = {100: 1, 500: 20}
_THEIR_KILLS = (0.25, 0.5, 0.75, 0.95)
"""Of the parts: how many are answered when the process of rlms is killed."""
_PEER, _JOB = "rlms", "long_context_"


@attrs.define(eq=False)
class Asker:
    """Asks with Sunwell, in processes of their own."""

    program: "subprocess.Popen[str]"

    def ask(self, folder: Path, server: LogServer, **more: Any) -> dict[str, Any]:
        """Ask about the log in *folder*, or take its run up, and return how that ended."""
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        job = {"folder": str(folder), "url": server.url, "models": (ROOT_MODEL, READER_MODEL)}
        self.program.stdin.write(json.dumps({"question": QUESTION, **job, **more}) + "\n")
        self.program.stdin.flush()
        told: dict[str, Any] = json.loads(self.program.stdout.readline())
        return told


@contextmanager
def asking() -> Iterator[Asker]:
    """Give what asks with Sunwell."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, str(_PROGRAM)], stdin=pipe, stdout=pipe, text=True) as program:
        try:
            yield Asker(program)
        finally:
            assert program.stdin is not None
            program.stdin.close()


@attrs.define(eq=False)
class Measuring:
    """One number of parts, measured on both sides."""

    asker: Asker
    peers: Path | None
    parts: int
    missed: list[str] = attrs.field(factory=list)
    """Sentences on the bars that were missed."""

    def hold(self, held: bool, sentence: str) -> None:
        """Take note of *sentence* if a bar is not *held*."""
        if not held:
            self.missed.append(f"{self.parts} parts: {sentence}")
            print(f"missed: {self.missed[-1]}", flush=True)

    @contextmanager
    def place(self, chunk: int = _CHUNK, latency: float = 0.0) -> Iterator[tuple[Path, LogServer, str]]:
        """Give a new folder with the log, a server that has billed nothing, and the right answer."""
        with tempfile.TemporaryDirectory(prefix="sunwell-long-") as name, serving(chunk, latency) as server:
            yield Path(name), server, write_log(Path(name), self.parts, chunk)

    def theirs(self, folder: Path, server: LogServer, **more: Any) -> dict[str, Any]:
        """Ask with rlms, and return what it told."""
        assert self.peers is not None
        given = json.dumps(self.their_job(folder, server, **more))
        return environments.ask(self.peers, _PEER, job=_JOB, given=given)

    def their_job(self, folder: Path, server: LogServer, **more: Any) -> dict[str, Any]:
        """Return what the program of rlms is given."""
        job = {"folder": str(folder), "url": server.url, "models": (ROOT_MODEL, READER_MODEL)}
        return {"question": QUESTION, "key": "key", "log": str(folder / "log"), **job, **more}

    def unbroken(self) -> tuple[dict[str, Any], Billed]:
        """Ask without a cap, then another question: what the root reads, and what is remembered."""
        with self.place() as (folder, server, answer):
            cache = str(folder / "cache")
            told = self.asker.ask(folder, server, cache=cache)
            whole = server.billed()
            self.hold(told.get("answer", "").startswith(answer), f"the answer is {told.get('answer')!r}")
            second = self.asker.ask(folder, server, cache=cache, again=True, question=OTHER_QUESTION)
            asked = len(server.billed().parts)
            taken = 1 - asked / self.parts
            self.hold(second["answer"].startswith(answer), f"the second answer is {second['answer']!r}")
            self.hold(taken >= _LEAST_REMEMBERED, f"{taken:.0%} of a second question came from memory")
            self.hold(
                second["remembered"] == self.parts - asked,
                f"{second['remembered']} answers were called remembered, and {asked} parts asked about",
            )
        found: dict[str, Any] = {"ours": _read(whole) | {"remembered": taken}}
        if self.peers is not None:
            with self.place() as (folder, server, answer):
                told = self.theirs(folder, server)
                first = server.billed()
                self.theirs(folder, server, question=OTHER_QUESTION)
                taken = 1 - len(server.billed().parts) / self.parts
            self.hold(told["answer"] == answer, f"rlms answered {told['answer']!r}")
            found["theirs"] = _read(first) | {"remembered": taken}
            self.hold(
                whole.root_input_tokens <= first.root_input_tokens,
                f"the root read {whole.root_input_tokens} tokens, that of rlms {first.root_input_tokens}",
            )
        return found, whole

    def timed(self) -> dict[str, Any]:
        """Ask with calls that take two seconds; again if it took too long: a busy machine lengthens it."""
        tries: list[float] = []
        waves, least = math.ceil(self.parts / MOST_AT_ONCE), 0.0
        while not tries or (tries[-1] > _MOST_TO_LEAST * least and len(tries) < _MOST_TRIES):
            with self.place(latency=_CALL_SECONDS) as (folder, server, _):
                tries.append(self.asker.ask(folder, server)["seconds"])
                least = (server.billed().root_turns + waves) * _CALL_SECONDS
        seconds = tries[-1]
        self.hold(seconds <= _MOST_TO_LEAST * least, f"{tries} s, more than 1.3 times {least} s")
        load = round(os.getloadavg()[0] / (os.cpu_count() or 1), 1)
        found: dict[str, Any] = {"least": least, "tries": tries, "load_of_a_processor": load}
        found |= {"ours": seconds, "ours_to_least": round(seconds / least, 2)}
        if self.peers is not None:
            with self.place(latency=_CALL_SECONDS) as (folder, server, _):
                found["theirs"] = self.theirs(folder, server)["seconds"]
            found["theirs_to_least"] = round(found["theirs"] / least, 2)
        return found

    def capped(self, kind: str, cap: Decimal) -> dict[str, Any]:
        """Ask with a cap in ``usd`` or ``tokens``, then again without: what was paid is taken for nothing."""
        given: Any = str(cap) if kind == "usd" else int(cap)
        with self.place() as (folder, server, _):
            cache = str(folder / "cache")
            told = self.asker.ask(folder, server, cache=cache, **{kind: given})
            billed = server.billed()
            second = self.asker.ask(folder, server, cache=cache, again=True)
            lost = set(server.billed().parts) & set(billed.parts)
        over = max(getattr(billed, kind) - cap, Decimal(0))
        self.hold(not over, f"a cap of {cap} {kind} was passed by {over}")
        self.hold(not lost, f"{len(lost)} answers under a cap of {cap} {kind} were paid again")
        self.hold(second["status"] == "ok", f"the question after the cap ended as {second['status']}")
        usable = set(billed.answered) - lost
        row = self._row("sunwell", kind, cap, billed, usable)
        return row | {"status": told["status"], "answer": told["answer"].partition("\n")[0]}

    def capped_theirs(self, kind: str, cap: Decimal, *, is_told_costs: bool = True) -> dict[str, Any]:
        """Do the same with rlms; usable is what its answer or its log has of the answers about parts."""
        limit = {"max_budget": float(cap)} if kind == "usd" else {"max_tokens": int(cap)}
        costs = {name: _rates(name) for name in (ROOT_MODEL, READER_MODEL)} if is_told_costs else None
        with self.place() as (folder, server, _):
            told = self.theirs(folder, server, usd_per_million=costs, **limit)
            billed = server.billed()
            kept = told["answer"] + "".join(log.read_text() for log in (folder / "log").iterdir())
        usable = {part for part in billed.answered if f"the part begins with line {part}." in kept}
        name = "rlms" if is_told_costs or kind == "tokens" else "rlms, no costs told"
        row = self._row(name, kind, cap, billed, usable)
        return row | {"status": told["error"].partition(":")[0] or "ok"}

    def _row(self, name: str, kind: str, cap: Decimal, billed: Billed, usable: set[int]) -> dict[str, Any]:
        used, for_parts = getattr(billed, kind), billed.usd_of(set(billed.parts))
        return {
            "name": name,
            "parts": self.parts,
            "kind": kind,
            "cap": str(cap),
            "billed": str(used),
            "over": str(max(used - cap, Decimal(0))),
            "billed_to_cap": round(float(used / cap), 3),
            "answers": len(usable),
            "usable_of_all": round(float(billed.usd_of(usable) / billed.usd), 3),
            "usable_of_parts": round(float(billed.usd_of(usable) / for_parts), 3) if for_parts else None,
        }

    def killed(self, at: int) -> dict[str, int]:
        """Kill a run once *at* answers are in its record, take it up, and return what was asked twice."""
        with self.place(_KILLED_CHUNK) as (folder, server, answer):
            code = self.asker.ask(folder, server, kill_at=at, key="killed")["code"]
            self.hold(code == -9, f"killed at {at}: it ended with {code}")
            recorded, in_flight = _recorded(folder)
            told = self.asker.ask(folder, server, key="resumed")
            billed = server.billed()
        before, after = billed.of("killed"), billed.of("resumed")
        twice = set(before.parts) & set(after.parts)
        where, again = f"killed at {at}", len(after.parts)
        paid_again = again - (self.parts - recorded)
        self.hold(told.get("answer", "").startswith(answer), f"{where}: the answer is {told.get('answer')!r}")
        self.hold(recorded >= at, f"{where}: {recorded} answers are in the record")
        self.hold(not paid_again, f"{where}: {paid_again} answers of the record were paid again")
        self.hold(again == len(set(after.parts)), f"{where}: the resumed run asked twice by itself")
        self.hold(len(twice) <= in_flight, f"{where}: {len(twice)} asked twice, {in_flight} in flight")
        booked = told.get("uncertain_calls")
        self.hold(booked == in_flight, f"{where}: {booked} booked as perhaps billed, {in_flight} in flight")
        self.hold(before.root_turns + after.root_turns == 3, f"{where}: a turn of the root was asked again")
        return {"in_flight": in_flight, "twice": len(twice), "paid_again": paid_again}

    def kills(self, every: int) -> dict[str, Any]:
        """Kill at every so many answers, from the first to the last but none."""
        begun, places = time.perf_counter(), sorted({*range(1, self.parts + 1, every), self.parts})
        rows = []
        for at in places:
            rows.append(self.killed(at))
            if len(rows) % 50 == 0:
                print(f"{len(rows)} of {len(places)} kills", flush=True)
        return {
            "parts": self.parts,
            "every": every,
            "kills": len(rows),
            "paid_again": sum(row["paid_again"] for row in rows),
            "asked_twice": sum(row["twice"] for row in rows),
            "asked_twice_most": max(row["twice"] for row in rows),
            "in_flight": sum(row["in_flight"] for row in rows),
            "in_flight_most": max(row["in_flight"] for row in rows),
            "seconds": round(time.perf_counter() - begun, 1),
        }

    def killed_theirs(self, share: float) -> dict[str, Any]:
        """Kill the process of rlms once so many parts are answered, start it again, and see what is paid."""
        assert self.peers is not None
        most = int(share * self.parts)
        with self.place(_KILLED_CHUNK, latency=0.05) as (folder, server, _):
            with environments.begin(self.peers, _PEER, job=_JOB) as program:
                assert program.stdin is not None
                program.stdin.write(json.dumps(self.their_job(folder, server, key="killed")))
                program.stdin.close()
                while server.answered() < most and program.poll() is None:
                    time.sleep(0.001)
                program.kill()
            self.theirs(folder, server, key="again")
            billed = server.billed()
        before, after = billed.of("killed"), billed.of("again")
        twice = set(before.answered) & set(after.parts)
        return {"parts": self.parts, "answered": len(before.answered), "answered_asked_again": len(twice)}


def _read(billed: Billed) -> dict[str, Any]:
    return {
        "billed_usd": str(billed.usd),
        "root_turns": billed.root_turns,
        "root_input_tokens": billed.root_input_tokens,
    }


def _rates(model: str) -> tuple[float, float]:
    rates = PRICES[model].rates
    return float(rates.input_usd), float(rates.output_usd)


def _recorded(folder: Path) -> tuple[int, int]:
    """Return how many answers about parts the record of *folder* has, and how many calls without one."""
    [journal] = folder.glob(".sunwell/runs/*/journal.jsonl")
    begun, ended = set(), set()
    for found in read_records(journal):
        if isinstance(found, Intent) and found.purpose == "read":
            begun.add((found.span, found.number))
        elif isinstance(found, Answer) and found.purpose == "read":
            ended.add((found.span, found.number))
    return len(ended), len(begun - ended)


def measure(measuring: Measuring, every: int) -> dict[str, Any]:
    """Measure all for one number of parts."""
    unbroken, whole = measuring.unbroken()
    print(json.dumps(unbroken), flush=True)
    found: dict[str, Any] = {"unbroken": unbroken, "seconds": measuring.timed(), "caps": []}
    print(json.dumps(found["seconds"]), flush=True)
    for kind, share in ((kind, share) for kind in ("usd", "tokens") for share in _CAPS):
        cap = round(Decimal(share) * getattr(whole, kind), 4 if kind == "usd" else 0)
        rows = [measuring.capped(kind, cap)]
        if measuring.peers is not None:
            rows.append(measuring.capped_theirs(kind, cap))
            if kind == "usd":
                rows.append(measuring.capped_theirs(kind, cap, is_told_costs=False))
        found["caps"] += rows
        print("\n".join(map(json.dumps, rows)), flush=True)
    found["kills"] = measuring.kills(every)
    print(json.dumps(found["kills"]), flush=True)
    if measuring.peers is not None:
        found["kills_of_rlms"] = [measuring.killed_theirs(share) for share in _THEIR_KILLS]
        print(json.dumps(found["kills_of_rlms"]), flush=True)
    return found


def all_kills(asker: Asker) -> tuple[dict[str, Any], list[str]]:
    """Kill the longest run at each answer; return the counts and what was missed."""
    measuring = Measuring(asker, None, max(_PARTS))
    return {"chunk_characters": _KILLED_CHUNK, **measuring.kills(1)}, measuring.missed


def all_but_those(asker: Asker, peers: Path | None) -> tuple[dict[str, Any], list[str]]:
    """Measure the rest; return the figures and what was missed."""
    missed: list[str] = []
    found = {
        "models": [ROOT_MODEL, READER_MODEL],
        "chunk_characters": _CHUNK,
        "killed_chunk_characters": _KILLED_CHUNK,
        "at_once": MOST_AT_ONCE,
        "sizes": {
            str(parts): measure(Measuring(asker, peers, parts, missed), _EVERY[parts]) for parts in _PARTS
        },
    }
    return found, missed


def times_again(asker: Asker, peers: Path | None) -> tuple[dict[str, Any], list[str]]:
    """Measure the times alone, and return the recorded figures with them."""
    found = json.loads((ROOT / "benchmarks" / "results" / "long_context.json").read_text())
    missed = [one for one in found["missed"] if " s, more than " not in one]
    for parts, size in found["sizes"].items():
        measuring = Measuring(asker, peers, int(parts), missed)
        with measuring.place(_KILLED_CHUNK) as (folder, server, _):
            asker.ask(folder, server)  # it loads the modules that later processes begin with
        size["seconds"] = measuring.timed()
        print(json.dumps(size["seconds"]), flush=True)
    own = ("models", "chunk_characters", "killed_chunk_characters", "at_once", "sizes")
    return {**{name: found[name] for name in own}, "times_of_another_run": True}, missed


def main() -> None:
    """Measure, print, record, and fail where a bar is missed."""
    parser = argparse.ArgumentParser(description="What a question about a long context costs.")
    environments.add_option(parser)
    parser.add_argument(
        "--all-kills", action="store_true", help="only kill the run of 500 parts, at each answer"
    )
    parser.add_argument("--times", action="store_true", help="only the times, put into the recorded result")
    parser.add_argument("--no-result", action="store_true", help="print only")
    given = parser.parse_args()
    with asking() as asker:
        peers = given.peers if _PEER in environments.found(given.peers, _JOB) else None
        if given.all_kills:
            found, missed = all_kills(asker)
        elif given.times:
            found, missed = times_again(asker, peers)
        else:
            found, missed = all_but_those(asker, peers)
    if not given.no_result:
        name = "long_context_kills" if given.all_kills else "long_context"
        print(f"written: {record(name, found | {'missed': missed}).relative_to(ROOT)}")
    if missed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
