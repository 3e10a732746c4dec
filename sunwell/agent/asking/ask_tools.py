"""The tools of a model that looks into a context: explore, operations and set_answer."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import attrs

from sunwell.agent.asking.exploration import Exploration
from sunwell.core.message import ToolCall, ToolResult
from sunwell.core.model import ToolSpec
from sunwell.core.tool import Place, RepeatableCall, Staged
from sunwell.errors import ToolError
from sunwell.tools.arguments import closed, nullable, read_arguments, text, whole
from sunwell.tools.limits import Outcome
from sunwell.tools.python_session import MODULES, NOT_THERE
from sunwell.tools.tool_plugins import unknown_tool

EXPLORE = ToolSpec(
    "explore",
    "Run Python on the contexts. Names persist from call to call; you see only what is printed, at most "
    "8,000 characters of it. No files, no network, no packages; of the standard library only "
    f"{', '.join(MODULES)}. {NOT_THERE}",
    closed(
        {
            "code": text(
                'A script, e.g. print(context.count("ERROR"))\nprint(context.search("ERROR", 5)[0].text())'
            )
        }
    ),
)
_NAME = "Name of a context or of an earlier result; null: the first context."
OPERATIONS = ToolSpec(
    "operations",
    "The same without Python: operations in order, each bound to a name. Use it if you cannot write the "
    'script. Example: {"mode": "explore", "operations": [{"op": "grep", "input": null, "pattern": "ERROR", '
    '"bind": "hits"}, {"op": "count", "input": "hits", "bind": "n"}], "answer": null, "output": null}',
    closed(
        {
            "mode": {
                "type": "string",
                "enum": ["explore", "commit", "final"],
                "description": "explore: look; commit: also ask (map, combine); final: set the answer.",
            },
            "operations": {
                "type": "array",
                "items": closed(
                    {
                        "op": {
                            "type": "string",
                            "enum": ["slice", "grep", "count", "chunk", "split", "map", "combine"],
                            "description": "slice: bytes start to end, or items start to end of a list, "
                            "which are shown; grep: the first 1,000 lines that match pattern; count: of a "
                            "list, or of all lines that match pattern; chunk: parts of size "
                            "characters; split: lines of a short text, or what is between pattern; map: ask "
                            "prompt about each part; combine: join a list, and ask prompt about it if there "
                            "is one.",
                        },
                        "input": nullable(text(_NAME)),
                        "bind": text("Name of the result."),
                        "pattern": nullable(
                            text("Regular expression of grep and count; separator of split.")
                        ),
                        "start": nullable(whole("First byte or item of slice, counted from 0.")),
                        "end": nullable(whole("The one behind the last of slice.")),
                        "size": nullable(whole("Characters of a chunk; null: the proposed size.")),
                        "prompt": nullable(text("Question of map or combine.")),
                    }
                ),
                "description": "The operations; empty for final.",
            },
            "answer": nullable(text("final: the answer itself.")),
            "output": nullable(text("The name that is shown; for final, the one that holds the answer.")),
        }
    ),
)
SET_ANSWER = ToolSpec(
    "set_answer",
    "End the run with the answer: the text, or a name of the session that holds it. Example: "
    '{"content": null, "variable": "report"}',
    closed(
        {
            "content": nullable(text("The whole answer, as the user is to read it.")),
            "variable": nullable(text("The name in the session whose value is the answer.")),
        }
    ),
)
SPECS = (EXPLORE, OPERATIONS, SET_ANSWER)
_MOST_GREPPED = 1_000
_SHOWN_OF_A_LIST, _SHOWN_OF_A_SLICE = 5, 50


def script_of(operations: Sequence[Mapping[str, Any]], output: str | None, *, may_ask: bool) -> str:
    """Return the script that does what *operations* say, and shows what *output* names, else the last result.

    Raises :exc:`~sunwell.errors.ToolError` for operations without a meaning.
    """
    if not operations:
        raise ToolError("operations is empty: name at least one, or use mode final")
    lines = [_line(one, may_ask=may_ask) for one in operations]
    shown = _name(output or operations[-1]["bind"])
    most = _SHOWN_OF_A_SLICE if operations[-1]["op"] == "slice" else _SHOWN_OF_A_LIST
    lines.append(
        f"if isinstance({shown}, list):\n"
        f"    print(len({shown}), 'parts' if len({shown}) <= {most} else\n"
        f"        'parts, the first {most} of them (slice shows others):')\n"
        f"    for _one in {shown}[:{most}]:\n"
        "        print(_one if isinstance(_one, str) else (_one.place(), _one.part(0, 400).text()))\n"
        f"elif isinstance({shown}, (str, int)):\n    print({shown})\n"
        f"else:\n    print({shown}.place(), {shown}.part(0, 2000).text())"
    )
    return "\n".join(lines)


def _line(one: Mapping[str, Any], *, may_ask: bool) -> str:
    op, bind = one["op"], _name(one["bind"])
    given = "context" if one["input"] is None else _name(one["input"])
    pattern, prompt = one["pattern"], one["prompt"]
    if op in ("map", "combine") and prompt and not may_ask:
        raise ToolError(f"{op} asks, which costs money: use mode commit")
    if (op == "map" and not prompt) or (op == "grep" and not pattern):
        raise ToolError(f"{op} needs a {'prompt' if op == 'map' else 'pattern'}")
    match op:
        case "slice":
            start, end = one["start"] or 0, one["end"]
            items = f"{given}[{start}:{'' if end is None else end}]"
            return f"{bind} = {items} if isinstance({given}, list) else {given}.part({start}, {end})"
        case "grep":
            return f"{bind} = {given}.search({pattern!r}, {_MOST_GREPPED})"
        case "count" if pattern:
            several = f"({given} if isinstance({given}, list) else [{given}])"
            return f"{bind} = sum([_one.count({pattern!r}, literal=False) for _one in {several}])"
        case "count":
            return (
                f"{bind} = len({given}) if isinstance({given}, (list, str)) else {given}.size\n"
                f"if {bind} == {_MOST_GREPPED} and isinstance({given}, list):\n"
                f"    print('{_MOST_GREPPED:,} is the limit of grep: count with a pattern counts all lines')"
            )
        case "chunk":
            return f"{bind} = {given}.chunks({one['size'] or ''})"
        case "split":
            source = f"({given} if isinstance({given}, str) else {given}.text())"
            return f"{bind} = {source}.split({pattern!r})" if pattern else f"{bind} = {source}.splitlines()"
        case "map":
            return f"{bind} = llm_map({prompt!r}, {given} if isinstance({given}, list) else [{given}])"
    each = "str(_one) if isinstance(_one, (str, int)) else _one.text()"
    joined = f"'\\n\\n'.join([{each} for _one in {given}])"
    joined = f"({joined} if isinstance({given}, list) else {given})"
    return f"{bind} = llm_query({prompt!r}, {joined})" if prompt else f"{bind} = {joined}"


def _name(written: str) -> str:
    if not written.isidentifier():
        raise ToolError(f"{written[:60]!r} is not a name: use letters, digits and _")
    return written


@attrs.define(eq=False)
class AskTools:
    """The three tools, as a :class:`~sunwell.core.tool.PlacedExecutor`."""

    exploration: Exploration
    place: Place | None = None
    writes: ClassVar[bool] = False

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return the tools, in an order that never changes."""
        return SPECS

    def is_parallel(self, name: str) -> bool:
        """Steps of one session come one after the other."""
        return False

    async def hashes(self, paths: tuple[str, ...]) -> tuple[str | None, ...]:
        """Look at no file: none is touched here."""
        return tuple(None for _ in paths)

    def at(self, place: Place) -> "AskTools":
        """Return the tools for a call at *place*."""
        return AskTools(self.exploration, place)

    async def stage(self, call: ToolCall) -> Staged:
        """Return *call* to be carried out. It may be carried out again: what it has paid is on record."""
        return RepeatableCall(self, call)

    def recall(self, call: ToolCall, place: Place) -> None:
        """Take note of a recorded *call*: what it cost, and what it left in the session."""
        try:
            name, arguments = _read(call)
            code = _code_of(name, arguments)
        except ToolError:
            return  # the model was told of its mistake, and nothing came of the call
        if code is None:
            self.exploration.recall_answer(place)
        else:
            self.exploration.recall(place, code)

    async def execute(self, call: ToolCall) -> ToolResult:
        """Carry *call* out; a mistake in it is told to the model."""
        if self.place is None:
            raise RuntimeError(f"{call.name} is carried out at a place in a run, and none was given")
        if self.exploration.answer is not None:
            said = "Not carried out: an earlier call of this message has set the answer."
            return ToolResult(call.id, said, is_error=True, refused=True)
        if self.exploration.run.gateway.recorded_only:  # the context may be gone, and nothing is asked
            await asyncio.sleep(0)  # a recorded time-out comes now
            return ToolResult(call.id, "The record of the run ends here.", is_error=True)
        try:
            name, arguments = _read(call)
            code = _code_of(name, arguments)
            outcome = await self._carry_out(self.place, code, arguments)
        except ToolError as error:
            return ToolResult(call.id, error.sentence, is_error=True, refused=True)
        return ToolResult(call.id, outcome.text, outcome.is_error)

    async def _carry_out(self, place: Place, code: str | None, arguments: Mapping[str, Any]) -> Outcome:
        if code is not None:
            return await self.exploration.explore(place, code)
        content = arguments["content"] if "content" in arguments else arguments["answer"]
        variable = arguments["variable"] if "variable" in arguments else arguments["output"]
        return Outcome(await self.exploration.declare(place, content, variable))


def _read(call: ToolCall) -> tuple[str, dict[str, Any]]:
    spec = next((one for one in SPECS if one.name == call.name), None)
    if spec is None:
        raise ToolError(unknown_tool(call.name, tuple(one.name for one in SPECS)))
    return call.name, read_arguments(call, spec)


def _code_of(name: str, arguments: Mapping[str, Any]) -> str | None:
    """Return the script of a step; ``None``: the call sets the answer."""
    if name == "explore":
        return str(arguments["code"])
    if name == "set_answer" or arguments["mode"] == "final":
        return None
    return script_of(arguments["operations"], arguments["output"], may_ask=arguments["mode"] == "commit")
