"""The world of ``long_context.py``: a log, two scripted models on one server, and what the server billed.

The log has lines of 80 characters, and each part of it that is asked about begins with another line, by
which the server knows the part again, whoever asks and however the request looks. The model that looks into
the log takes the same three turns on both sides: it looks, it maps one question over all parts, it answers.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs

from sunwell.core import Text, ToolCall
from sunwell.simulator import Asked, BillEntry, Reply, SimulatedModel, Simulator, running_simulator

ROOT_MODEL, READER_MODEL = "gpt-6.1-sol", "gpt-6-luna"
QUESTION = "On how many lines is a disk full?"
OTHER_QUESTION = "Which share of the lines is about a full disk?"
_PROMPT = "On how many lines of this part is a disk full? Begin with the number, then name the first line."
_LINE_CHARACTERS = 80
_READER_TOKENS = 300
"""Output of each answer about a part, of the 600 that Sunwell allows unless a script says otherwise."""
_LOOK = "print(context.size)\nprint(context.part(0, 400).text())"
_MAP = """parts = context.chunks({chunk})
answers = []
most = len(parts)
while most > 0 and len(answers) < len(parts):
    try:
        answers = answers + llm_map({prompt!r}, parts[len(answers):len(answers) + most])
    except Exception:
        most = most // 2
known = [int(one.split()[0]) for one in answers if not one.startswith('[no answer')]
report = f'{{sum(known)}} lines, from {{len(known)}} of {{len(parts)}} parts'
print(report)"""
_LOOK_IN_A_STRING = "print(len(context))\nprint(context[:400])"
_MAP_OF_A_STRING = """parts = [context[i:i + {chunk}] for i in range(0, len(context), {chunk})]
answers = llm_query_batched([{prompt!r} + '\\n\\n' + part for part in parts])
known = [int(one.split()[0]) for one in answers if not one.startswith('Error')]
report = f'{{sum(known)}} lines, from {{len(known)}} of {{len(parts)}} parts'
print(report)"""
_ANSWER_OF_A_STRING = "answer['content'] = report\nanswer['ready'] = True"
_REPORT = re.compile(r"\d+ lines, from \d+ of \d+ parts")


def write_log(folder: Path, parts: int, chunk: int) -> str:
    """Write ``context.txt`` with so many parts of *chunk* characters; return the right answer."""
    lines = parts * chunk // _LINE_CHARACTERS
    full = 0
    with (folder / "context.txt").open("w") as log:
        for number in range(lines):
            is_full = number % 97 == 5
            full += is_full
            said = "ERROR disk full" if is_full else "INFO request served"
            log.write(f"2026-11-30 {said} in line {number}".ljust(_LINE_CHARACTERS - 1) + "\n")
    return f"{full} lines, from {parts} of {parts} parts"


def part_of(text: str) -> int | None:
    """Return the first line of the log in *text*, which tells the parts apart; ``None``: there is none."""
    found = re.search(r" in line (\d+)", text)
    return None if found is None else int(found[1])


def _reader(asked: Asked) -> Reply:
    text = asked.messages[-1].text
    said = f"{text.count('disk full in line')} lines; the part begins with line {part_of(text)}."
    return Reply((Text(said),), output_tokens=_READER_TOKENS)


def _root(chunk: int) -> Any:
    ours = (_LOOK, _MAP.format(chunk=chunk, prompt=_PROMPT))
    theirs = (
        _LOOK_IN_A_STRING,
        _MAP_OF_A_STRING.format(chunk=chunk, prompt=_PROMPT),
        _ANSWER_OF_A_STRING,
    )

    def answer(asked: Asked) -> Reply:
        turn = sum(message.role == "assistant" for message in asked.messages)
        if "explore" not in asked.tools:
            if turn < len(theirs) and "llm_query_batched" in asked.system:
                return Reply((Text(f"```repl\n{theirs[turn]}\n```"),), output_tokens=150)
            return Reply((Text(_reported(asked)),), output_tokens=60)
        if turn < len(ours):
            call = ToolCall(f"c{turn}", "explore", json.dumps({"code": ours[turn]}))
            return Reply((call,), output_tokens=150)
        given = json.dumps({"content": None, "variable": "report"})
        return Reply((ToolCall("c9", "set_answer", given),), output_tokens=150)

    return answer


def _reported(asked: Asked) -> str:
    """Return the report that the model was shown, for a last call without tools."""
    shown = [
        getattr(part, "content", "") or getattr(part, "text", "")
        for message in asked.messages
        for part in message.parts
    ]
    found = _REPORT.findall("\n".join(shown))
    return found[-1] if found else "It is not known."


@attrs.frozen
class Billed:
    """What the server billed for one run."""

    calls: tuple[tuple[BillEntry, int | None], ...]
    """Lines of the bill with the part that was asked about; ``None``: a turn of the root."""

    @property
    def usd(self) -> Decimal:
        """All of it."""
        return sum((line.usd for line, _ in self.calls), Decimal(0))

    @property
    def tokens(self) -> int:
        """Input and output."""
        return sum(line.input_tokens + line.output_tokens for line, _ in self.calls)

    @property
    def parts(self) -> list[int]:
        """Parts in the order in which they were asked about."""
        return [part for _, part in self.calls if part is not None]

    @property
    def root_turns(self) -> int:
        """Calls of the model that looks into the log."""
        return sum(part is None for _, part in self.calls)

    @property
    def root_input_tokens(self) -> int:
        """What that model read in all its turns."""
        return sum(line.input_tokens for line, part in self.calls if part is None)

    def of(self, key: str) -> "Billed":
        """Return what was billed to the account of *key*."""
        return Billed(tuple(call for call in self.calls if call[0].key == key))

    def usd_of(self, parts: set[int]) -> Decimal:
        """Return what was billed for answered questions about *parts*."""
        return sum((line.usd for line, part in self.calls if part in parts), Decimal(0))

    @property
    def answered(self) -> list[int]:
        """Parts about which an answer was sent."""
        return [part for line, part in self.calls if part is not None and line.why == "answered"]


@attrs.define(eq=False)
class LogServer:
    """The simulator with both models."""

    simulator: Simulator
    _seen: int = attrs.field(default=0, init=False)

    @property
    def url(self) -> str:
        """For clients of OpenAI."""
        return self.simulator.openai_url

    def billed(self) -> Billed:
        """Return what was billed since this was asked last, once nothing is in flight."""
        lines = self.simulator.bill.entries()[self._seen :]
        requests = self.simulator.requests[self._seen :]
        self._seen += len(lines)
        return Billed(
            tuple(
                (line, _part_asked(request.body) if line.model == READER_MODEL else None)
                for line, request in zip(lines, requests, strict=True)
            )
        )

    def answered(self) -> int:
        """Return how many answers about parts were sent since :meth:`billed` was asked last."""
        lines = self.simulator.bill.entries()[self._seen :]
        return sum(line.model == READER_MODEL and line.why == "answered" for line in lines)


def _part_asked(body: Any) -> int | None:
    return part_of(json.dumps(body["messages"][-1]))


@contextmanager
def serving(chunk: int, latency_seconds: float = 0.0) -> Iterator[LogServer]:
    """Serve both models, each answer after so many seconds."""
    models = {
        ROOT_MODEL: SimulatedModel(_root(chunk), latency_seconds),
        READER_MODEL: SimulatedModel(_reader, latency_seconds),
    }
    with running_simulator(Simulator(models)) as simulator:
        yield LogServer(simulator)
