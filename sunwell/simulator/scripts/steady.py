"""A model that works for a given number of turns, for tests of runs that are killed and resumed."""

import hashlib

import attrs

from sunwell.core.message import Text
from sunwell.simulator.script import Asked, Reply, Script
from sunwell.simulator.scripts.conversation_state import ScriptedConversation, Wanted


@attrs.frozen
class _Steps:
    turns: int
    calls_per_turn: int
    folder: str

    def __call__(self, asked: Asked) -> Reply:
        talk = ScriptedConversation.of(asked)
        calls = [call for call in self._calls(talk) if call.name in asked.tools]
        if talk.turns >= self.turns or not calls:
            return Reply((Text(_account(talk)),))
        parts = [call.as_call(f"call_{talk.turns:03d}_{i}") for i, call in enumerate(calls)]
        return Reply((Text(f"Turn {talk.turns + 1} of {self.turns}."), *parts))

    def _calls(self, talk: ScriptedConversation) -> list[Wanted]:
        pair, is_reading = divmod(talk.turns, 2)
        paths = [f"{self.folder}/{pair:03d}-{i}.txt" for i in range(self.calls_per_turn)]
        if is_reading:
            return [
                Wanted("read_file", {"path": path, "start_line": None, "end_line": None}) for path in paths
            ]
        return [Wanted("write_file", {"path": path, "content": _content(talk.task, path)}) for path in paths]


def steps(turns: int, *, calls_per_turn: int = 1, folder: str = "steps") -> Script:
    """Return a model that makes tool calls for *turns* turns and then answers.

    From the first turn on, it writes ``<folder>/000-0.txt``, reads it back, writes
    ``<folder>/001-0.txt``, and so on; with *calls_per_turn* files a turn. The content depends on
    the task and the path alone. The answer counts the results and the errors and ends with a
    digest of all results, so it differs where a single result did. A tool that is not on offer is
    not called; where none is, the model answers.
    """
    return _Steps(turns, calls_per_turn, folder)


def _content(task: str, path: str) -> str:
    digest = hashlib.sha256(f"{path}\n{task}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"{path}\n{digest}\n"


def _account(talk: ScriptedConversation) -> str:
    failed = sum(not attempt.succeeded for attempt in talk.attempts)
    digest = hashlib.sha256(talk.results().encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{talk.turns} turns, {len(talk.attempts)} calls, {failed} of them failed, results {digest}."
