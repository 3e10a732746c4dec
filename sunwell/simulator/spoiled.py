"""Applies the faults that affect the content of an answer, in any wire format."""

from typing import Any

import attrs

from sunwell.core.message import Part, Text, ToolCall
from sunwell.simulator.cache import CacheSplit
from sunwell.simulator.faults import Fault
from sunwell.simulator.said import Said


@attrs.frozen
class Reported:
    """Usage as the provider reports it; usually it equals what is billed."""

    uncached_tokens: int
    read_tokens: int
    write_tokens: int
    write_1h_tokens: int
    output_tokens: int
    reasoning_tokens: int

    @property
    def input_tokens(self) -> int:
        """All input, cached or not."""
        return self.uncached_tokens + self.read_tokens + self.write_tokens + self.write_1h_tokens


def report(split: CacheSplit, said: Said, fault: Fault) -> Reported | None:
    """Return the usage in the answer; ``None`` if the answer reports none."""
    if fault.usage == "missing":
        return None
    factor = 2 if fault.usage == "wrong" else 1
    return Reported(
        split.uncached_tokens * factor,
        split.read_tokens * factor,
        split.write_tokens * factor,
        split.write_1h_tokens * factor,
        said.output_tokens * factor,
        said.reasoning_tokens * factor,
    )


def told(usage: dict[str, Any], reported: Reported, fault: Fault) -> dict[str, Any]:
    """Return *usage*, written in some wire format, with the faults that change the report."""
    output = "completion_tokens" if "completion_tokens" in usage else "output_tokens"
    if fault.reasoning is not None and "total_tokens" in usage:
        usage[output] -= reported.reasoning_tokens
        if fault.reasoning == "total":
            usage[f"{output}_details"] = None
    if fault.usage == "zero":
        usage = {key: 0 if type(value) is int else None for key, value in usage.items()}
    return usage if fault.stated_usd is None else usage | {"cost": fault.stated_usd}


def spoil(said: Said, fault: Fault) -> Said:
    """Return *said* with the faults that change its content; the bill stays the same."""
    if fault.refusal:
        return attrs.evolve(said, parts=(), stop="refusal")
    if not (fault.arguments or fault.tool_ids or fault.json):
        return said
    return attrs.evolve(said, parts=tuple(_spoiled(part, fault) for part in said.parts))


def _spoiled(part: Part, fault: Fault) -> Part:
    if isinstance(part, ToolCall):
        if fault.tool_ids:
            part = attrs.evolve(part, id="call_same" if fault.tool_ids == "doubled" else "")
        if fault.arguments:
            part = attrs.evolve(part, arguments=_broken(part.arguments, fault.arguments))
    elif isinstance(part, Text) and fault.json:
        part = Text(_around(part.text, fault.json))
    return part


def _broken(arguments: str, kind: str) -> str:
    if kind == "truncated":
        return arguments[: max(1, len(arguments) - 1)]
    # JSON forbids a raw newline inside a string; outside it would be white space.
    opening = arguments.find('": "')
    place = opening + 4 if opening >= 0 else arguments.find(':"') + 2
    return arguments[:place] + "\n" + arguments[place:] if place > 1 else '{"text":"\n"}'


def _around(text: str, kind: str) -> str:
    if kind == "fenced":
        return f"```json\n{text}\n```"
    if kind == "prose":
        return f"Here is what you asked for:\n\n{text}\n\nTell me if anything is missing."
    return text[: len(text) // 2]
