"""A scripted orchestrator that behaves as a person did who played one by hand.

It asks for a tool that no worker has, sets a draft early, says that it is waiting instead of calling a
tool, takes reports in a few at a time, looks at long ones, hands out again what failed, has further workers
build on what others found, and sets its answer twice in one message. It knows nothing but its prompt, so it
does the same in a run that is resumed. With the tools of an earlier version, which have no brief, no wait
for a number and no context, it does the same work with what there is: it repeats its rules in each task,
asks for what has come in, and types again what it passes on. Its earlier prompt did not say that calls that
need no answer in between belong in one message, so there it looks at long reports one after another.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from sunwell.core.message import Text, ToolCall, ToolResult
from sunwell.simulator import Asked, Reply, Script

RULES = (
    "Read the function before you describe it, and the code that calls it.",
    "Give path and line for each finding, and quote no more than three lines.",
    "Say what happens if an argument is empty, negative, or of another type than expected.",
    "Name every error that can be raised, and who handles it.",
    "Say in the last lines what you could not check, and why.",
)
_HEAD = re.compile(r"^Worker (?P<id>\w{26}): (?P<status>\w+) ", re.MULTILINE)
_PART = re.compile(r"\bPart (\d+)\b")
_TEXT = re.compile(r"^(?P<fence>`{3,})\n(?P<said>.*?)\n(?P=fence)$", re.MULTILINE | re.DOTALL)
AGAIN, BUILDS = "This is the second attempt", "Compare what is known"


@attrs.frozen
class Report:
    """What the orchestrator was told of one worker."""

    task_id: str
    part: int
    is_good: bool
    said: str
    is_cut: bool


def reports_in(texts: Sequence[str]) -> dict[int, Report]:
    """Return the reports in *texts* by their part; a later one of a part replaces an earlier one."""
    found: dict[int, Report] = {}
    for text in texts:
        begins = [head.start() for head in _HEAD.finditer(text)]
        for begin, end in zip(begins, [*begins[1:], len(text)], strict=False):
            told = text[begin:end]
            head = _HEAD.match(told)
            assert head
            part, said = _PART.search(told), _TEXT.search(told)
            if part:
                cut = "left out here" in told
                words = said["said"] if said else ""
                found[int(part[1])] = Report(head["id"], int(part[1]), head["status"] == "ok", words, cut)
    return found


def texts_of(asked: Asked) -> list[str]:
    """Return the texts of all tool results, and what else the harness told."""
    parts = [part for message in asked.messages[1:] if message.role != "assistant" for part in message.parts]
    return [part.content if isinstance(part, ToolResult) else part.text for part in parts if _has_text(part)]


def _has_text(part: Any) -> bool:
    return isinstance(part, ToolResult | Text)


@attrs.frozen
class ReadingOrchestrator:
    """Hands *parts* parts out, and has *follow_ups* further workers build on three reports each."""

    parts: int
    follow_ups: int = 5
    odd: int = 2
    """The part for which it asks for a tool that is not there."""
    looks_at: int = 3
    """How many long reports it looks at in full."""
    at_once: int = 5
    """How many reports it takes in at once."""
    wait_seconds: float = 30.0
    """How long it waits at once if it cannot wait for so many."""

    def __call__(self, asked: Asked) -> Reply:
        turn = sum(message.role == "assistant" for message in asked.messages)
        said, calls = self._next(asked, turn)
        made = [
            ToolCall(f"call_{turn:03d}_{index}", name, json.dumps(given))
            for index, (name, given) in enumerate(calls)
        ]
        return Reply((Text(said), *made))

    def _next(self, asked: Asked, turn: int) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
        """Return the words and the calls of the next message."""
        is_new, told = "write_brief" in asked.tools, reports_in(texts_of(asked))
        called = [call.name for message in asked.messages for call in message.tool_calls]
        if turn == 0:
            return "I split the task.", list(self._begin(is_new))
        if turn == 1 and not is_new:  # one mistake has refused the whole batch: all of it is sent again
            return "Without that tool.", list(self._begin(is_new, tools=None))
        if turn == 1 + (not is_new):
            again = [self._one(self.odd, None)] if is_new else []
            draft = _sets("Nothing is known yet.", ready=False, confidence=0.95)
            return "A first draft.", [*again, draft]
        if turn == 2 and is_new:
            return f"I have started {self.parts} workers and wait for their reports.", []
        if len(told) < self.parts:
            return "I take the next reports in.", [self._wait(is_new)]
        long = [one for one in told.values() if one.is_cut and one.part < self.parts][: self.looks_at]
        looks = [("inspect", {"key": f"task:{one.task_id}", "page": None}) for one in long]
        if is_new and called.count("delegate") <= 1:  # its prompt says what fits into one message
            more = [*self._more(told, is_new), self._wait(is_new)]
            return "I look at long ones, and hand out what failed and what builds on the rest.", looks + more
        if (seen := called.count("inspect")) < len(long):
            return "I look at a long one.", [looks[seen]]
        if not called.count("delegate"):
            return "I hand out what failed, and what builds on the rest.", list(self._more(told, is_new))
        if len(told) < self.parts + self.follow_ups or not all(one.is_good for one in told.values()):
            return "I take the next reports in.", [self._wait(is_new)]
        answer = self._answer(told)
        if is_new and called.count("set_answer") == 1:
            return "I am sure.", [_sets(answer, ready=None, confidence=0.97)]
        # In an earlier version the late draft would have taken the answer back.
        late = [_sets("A late draft.", ready=False)] if is_new else []
        return "That is it.", [_sets(answer, ready=True), *late]

    def _begin(
        self, is_new: bool, tools: tuple[str, ...] | None = ("grep",)
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        rules = "" if is_new else " ".join(["", *RULES])
        if is_new:
            empty: dict[str, list[str]] = {"patterns": [], "anti_patterns": [], "examples": []}
            yield "write_brief", {"heuristics": list(RULES[:2]), "constraints": list(RULES[2:]), **empty}
        yield (
            "delegate_batch",
            {
                "tasks": [
                    {"task": self._text(part) + rules, "tools": tools if part == self.odd else None}
                    for part in range(self.parts)
                ]
            },
        )

    def _text(self, part: int) -> str:
        return f"Part {part} of {self.parts}: look into it."

    def _one(self, part: int, tools: Sequence[str] | None) -> tuple[str, dict[str, Any]]:
        return "delegate", {"task": self._text(part), "tools": tools}

    def _wait(self, is_new: bool) -> tuple[str, dict[str, Any]]:
        if is_new:
            return "await_results", {"task_ids": None, "wait_for": self.at_once, "timeout_seconds": None}
        return "await_results", {"task_ids": None, "timeout_seconds": self.wait_seconds}

    def _more(self, told: Mapping[int, Report], is_new: bool) -> Iterator[tuple[str, dict[str, Any]]]:
        good = sorted((one for one in told.values() if one.is_good), key=lambda one: one.part)
        for one in (one for one in told.values() if not one.is_good):
            task = f"{self._text(one.part)} {AGAIN}: the first came to nothing."
            yield "delegate", {"task": task, "tools": None}
        for number in range(self.follow_ups):
            on = [good[(3 * number + at) % len(good)] for at in range(3)]
            task = f"Part {self.parts + number}: {BUILDS} of parts {', '.join(str(one.part) for one in on)}."
            if is_new:
                yield (
                    "delegate",
                    {"task": task, "tools": None, "context": [f"task:{one.task_id}" for one in on]},
                )
            else:
                typed = "\n\n".join(one.said for one in on)
                yield "delegate", {"task": f"{task}\n\n{typed}\n\n{' '.join(RULES)}", "tools": None}

    def _answer(self, told: Mapping[int, Report]) -> str:
        return "\n".join(f"- part {part}: {told[part].said[:60]}" for part in sorted(told))


def _sets(content: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "set_answer", {"content": content, "confidence": None, **more}


def reading_worker(sizes: Mapping[int, int], fails: Sequence[int] = ()) -> Script:
    """Return a model that reports as many characters as *sizes* says for its part; *fails* refuse at first.

    A part that is not in *sizes* is reported in 400 characters.
    """

    def answer(asked: Asked) -> Reply:
        task = asked.messages[0].text
        found = _PART.search(task)
        part = int(found[1]) if found else 0
        if part in fails and AGAIN not in task:
            return Reply((Text(f"I will not do part {part}."),), stop="refusal")
        line = f"Part {part}: line %d says that the value is checked before it is used.\n"
        size = sizes.get(part, 400)
        return Reply((Text("".join(line % number for number in range(size // len(line) + 1))[:size]),))

    return answer
