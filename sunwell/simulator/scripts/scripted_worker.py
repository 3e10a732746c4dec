"""How a scripted model writes endpoints with tools: look, read, write, register, answer."""

from collections.abc import Iterator
from typing import Any

import attrs

from sunwell.core.message import Text
from sunwell.simulator.script import Asked, Reply
from sunwell.simulator.scripts.conversation_state import ScriptedConversation, Wanted
from sunwell.simulator.scripts.shop_entities import (
    Entity,
    endpoint_module,
    entities_in,
    plain,
    route_edits,
    wanted_entities,
)

_LIST = Wanted("list_files", {"path": ".", "depth": 3})
_MODELS = "shop/models.py"
_ROUTES = "shop/routes.py"
_TESTS = Wanted("run_command", {"command": "python3 -B -m unittest", "timeout_seconds": 60})


def read(path: str) -> Wanted:
    """Return the call that reads a whole file."""
    return Wanted("read_file", {"path": path, "start_line": None, "end_line": None})


@attrs.frozen
class ScriptedTurn:
    """Calls of one turn, and what the model says with them."""

    says: str
    calls: tuple[Wanted, ...]
    tries: int = 2
    """How often a call is made that comes back as an error."""


@attrs.frozen
class ScriptedWork:
    """What is being done: the conversation, the tools on offer, the conventions that are known."""

    talk: ScriptedConversation
    tools: tuple[str, ...]
    reads: tuple[str, ...]
    """Files to read first."""
    known: frozenset[str]

    @property
    def entities(self) -> tuple[Entity, ...]:
        """The entities of the task, from the definitions that were read."""
        return wanted_entities(self.talk.task, entities_in(self.talk.result_of(read(_MODELS))))

    def steps(self) -> Iterator[ScriptedTurn]:
        """Yield all steps in order, each worked out from the results of those before."""
        yield ScriptedTurn("I look at what is there.", (_LIST,))
        yield ScriptedTurn("I read what the endpoints build on.", tuple(read(path) for path in self.reads))
        yield from self._writing()
        yield from (ScriptedTurn("I register the endpoints.", (call,)) for call in self._registering())
        if self.entities == entities_in(self.talk.result_of(read(_MODELS))) != ():
            yield ScriptedTurn("I run the tests.", (_TESTS,), tries=1)

    def _writing(self) -> Iterator[ScriptedTurn]:
        entities = self.entities
        for two in (entities[i : i + 2] for i in range(0, len(entities), 2)):
            calls = tuple(_write(entity.path, endpoint_module(entity, self.known)) for entity in two)
            yield ScriptedTurn(f"I write the endpoints of {' and '.join(e.noun for e in two)}.", calls)

    def _registering(self) -> Iterator[Wanted]:
        source = plain(self.talk.result_of(read(_ROUTES)))
        edits = route_edits(source, self.entities)
        if "edit_file" in self.tools or not edits:
            for old, new in edits:
                yield Wanted("edit_file", {"path": _ROUTES, "old": old, "new": new})
            return
        for old, new in edits:
            source = source.replace(old, new, 1)
        yield _write(_ROUTES, source)


def _write(path: str, content: str) -> Wanted:
    return Wanted("write_file", {"path": path, "content": content})


def work_on(asked: Asked, known: frozenset[str], reads: tuple[str, ...]) -> Reply:
    """Return the next turn of a model that writes the endpoints which the task asks for.

    A call that failed is made once more, then the model goes on. Calls to tools that are not on
    offer are left out. Where nothing is left that can be done, the answer says what was done.
    """
    work = ScriptedWork(ScriptedConversation.of(asked), asked.tools, reads, known)
    for step in work.steps():
        todo = [c for c in step.calls if c.name in asked.tools and work.talk.is_open(c, step.tries)]
        if todo:
            calls = [call.as_call(f"call_{work.talk.turns:03d}_{i}") for i, call in enumerate(todo)]
            return Reply((Text(step.says), *calls))
    return Reply((Text(_summary(work)),))


def _summary(work: ScriptedWork) -> str:
    if not work.entities:
        return f"Nothing was written: no definition of an entity could be read from {_MODELS}."
    changes = [c for step in work.steps() for c in step.calls if c.name in ("write_file", "edit_file")]
    done = _paths(call.arguments for call in changes if work.talk.succeeded(call))
    left = _paths(call.arguments for call in changes if not work.talk.succeeded(call))
    sentences = [f"The endpoints of {', '.join(e.noun for e in work.entities)} were asked for."]
    sentences.append(f"Done: {', '.join(done)}." if done else "Nothing was written.")
    if left:
        sentences.append(f"Not done: {', '.join(left)}.")
    if tests := [a.result for a in work.talk.attempts if a.wanted == _TESTS and a.result]:
        passed = tests[-1].content.rstrip().endswith("OK") or tests[-1].exit_code == 0
        sentences.append("The tests pass." if passed else "The tests do not all pass.")
    return " ".join(sentences)


def _paths(arguments: Any) -> list[str]:
    return list(dict.fromkeys(each["path"] for each in arguments))
