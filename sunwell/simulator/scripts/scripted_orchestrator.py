"""A model that hands work out, reads what comes back and mends what failed; and one that works for it."""

import hashlib
import re
from collections.abc import Iterator

import attrs

from sunwell.core.message import Text
from sunwell.simulator.script import Asked, Reply, Script
from sunwell.simulator.scripts.conversation_state import ScriptedConversation, Wanted

_REPORT = re.compile(
    r"^Worker (?P<id>\S+): (?P<status>\w+) .*\nTask: (?P<task>.*)\n"
    r"(?:Error.*\n(?P<error>`{3,})\n(?:.*\n)*?(?P=error)\n)?"
    r"(?:The worker reports|What there is of its work).*\n"
    r"(?P<fence>`{3,})\n(?P<said>(?:.*\n)*?)(?P=fence)$",
    re.MULTILINE,
)
_PART = re.compile(r"Part (\d+)\b")
_AGAIN = "This is the second attempt"


@attrs.frozen
class WorkerReport:
    """What an orchestrator was told of one worker."""

    task_id: str
    part: int
    is_good: bool
    said: str


def reports_in(text: str) -> Iterator[WorkerReport]:
    """Yield each report in the results of delegation tools, in order."""
    for found in _REPORT.finditer(text):
        part = _PART.search(found["task"])
        if part:
            yield WorkerReport(found["id"], int(part[1]), found["status"] == "ok", found["said"].strip())


@attrs.frozen
class _Orchestrator:
    parts: int
    tools: tuple[str, ...] | None
    about: str = "write it down and report what you wrote."

    def __call__(self, asked: Asked) -> Reply:
        talk = ScriptedConversation.of(asked)
        wanted = list(self._calls(talk))
        # In a conversation that goes on, all is done: it gives its answer once more.
        call = next((call for call in wanted if talk.is_open(call, 1)), wanted[-1])
        said = f"I call {call.name}."
        return Reply((Text(said), call.as_call(f"call_{talk.turns:03d}")))

    def _calls(self, talk: ScriptedConversation) -> Iterator[Wanted]:
        """Yield all calls in order, each worked out from the results of those before."""
        tools = None if self.tools is None else list(self.tools)
        tasks = [{"task": self._task(part), "tools": tools} for part in range(self.parts)]
        yield Wanted("delegate_batch", {"tasks": tasks})
        yield Wanted("stream_results", {})
        yield Wanted("await_results", {"task_ids": None, "timeout_seconds": None})
        told = list(reports_in(talk.results()))
        for report in sorted({r.part: r for r in told if not r.is_good}.values(), key=lambda one: one.part):
            yield Wanted("inspect", {"key": f"task:{report.task_id}", "page": None})
            again = f"{self._task(report.part)} {_AGAIN}: the first came to nothing."
            yield Wanted("delegate", {"task": again, "tools": tools})
        yield Wanted("await_results", {"task_ids": None, "timeout_seconds": 3600})
        yield Wanted("set_answer", {"content": self._answer(told), "ready": True, "confidence": 0.95})

    def _task(self, part: int) -> str:
        return f"Part {part} of {self.parts}: {self.about}"

    def _answer(self, told: list[WorkerReport]) -> str:
        good = {report.part: report.said for report in told if report.is_good}
        lines = [f"- part {part}: {good.get(part, 'missing')}" for part in range(self.parts)]
        return "\n".join([f"{len(good)} of {self.parts} parts are done.", *lines])


def handed_out(asked: Asked, parts: int, about: str) -> Reply:
    """Answer as :func:`orchestrator` would, with parts that are *about* something else."""
    return _Orchestrator(parts, None, about)(asked)


def orchestrator(parts: int, *, tools: tuple[str, ...] | None = None) -> Script:
    """Return a model that hands *parts* parts to workers, all at once, and answers with what they report.

    It streams what is there, waits for the rest, looks at each failure in full, hands that part out
    once more, and sets its answer. What it does next depends on the results in its prompt alone.
    """
    return _Orchestrator(parts, tools)


@attrs.frozen
class _PartWorker:
    fails: frozenset[int]

    def __call__(self, asked: Asked) -> Reply:
        talk = ScriptedConversation.of(asked)
        found = _PART.search(talk.task)
        part = int(found[1]) if found else 0
        if part in self.fails and _AGAIN not in talk.task:
            return Reply((Text(f"I will not do part {part}."),), stop="refusal")
        written = hashlib.sha256(f"part {part}".encode()).hexdigest()[:12]
        call = Wanted("write_file", {"path": f"parts/{part:03d}.txt", "content": f"{written}\n"})
        if call.name in asked.tools and not talk.attempts:
            return Reply((Text("I write it down."), call.as_call(f"call_{part:03d}")))
        return Reply((Text(f"wrote {written}"),))


def part_worker(fails: tuple[int, ...] = ()) -> Script:
    """Return a model that does one part: it writes a file and reports it. *fails* are refused at first."""
    return _PartWorker(frozenset(fails))
