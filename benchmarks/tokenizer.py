"""How exact the bound of the tokenizer is, beside the usage that OpenAI reported for recorded requests.

    python benchmarks/tokenizer.py RECORDED.jsonl

Each line of the file is an exchange with ``api`` (``chat`` or ``responses``), ``model``, ``request`` and
``usage``. For each model and kind of request the table shows how many are bounded, and by how much a bound is
more than what was billed. A bound that does not hold, or is more than 5 % above, is listed by itself.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from recording import record
from tables import rows

from sunwell.models.openai_framing import body_tokens

LARGEST_EXCESS = 0.05


@attrs.frozen
class Comparison:
    """One recorded request: what was billed, and the bound."""

    line: int
    model: str
    kind: str
    billed: int
    bound: int | None

    @property
    def excess(self) -> float:
        """By how much of the billed tokens the bound is more; negative if it is less."""
        assert self.bound is not None
        return (self.bound - self.billed) / self.billed


def kind_of(api: str, request: Mapping[str, Any]) -> str:
    """Return what a request has besides plain messages."""
    text, parts = json.dumps(request), [api]
    parts += ["tools"] if request.get("tools") else []
    parts += ["schema"] if '"json_schema"' in text else []
    parts += ["calls"] if '"tool_calls": [' in text or '"function_call"' in text else []
    other = ("tool_search", "additional_tools", '"mcp"', '"compaction"', '"type": "reasoning"')
    parts += ["other items"] if any(word in text for word in other) else []
    return ", ".join(parts)


def compared(lines: Iterator[str]) -> Iterator[Comparison]:
    """Yield a comparison for each recorded request whose usage was reported."""
    for number, line in enumerate(lines, 1):
        row = json.loads(line)
        usage, request, model = row["usage"], row["request"], row["model"]
        billed = usage.get("prompt_tokens", usage.get("input_tokens"))
        if not billed:
            print(f"line {number}: no input is reported; left out")
            continue
        bound = body_tokens(row["api"], {**request, "model": model})
        yield Comparison(number, model, kind_of(row["api"], request), billed, bound)


def line_of(group: list[Comparison]) -> dict[str, Any]:
    """Return the figures of one line of the table."""
    excesses = sorted(one.excess for one in group if one.bound is not None)
    return {
        "requests": len(group),
        "bounded": len(excesses),
        "exact": sum(excess == 0 for excess in excesses),
        "within": sum(0 <= excess <= LARGEST_EXCESS for excess in excesses),
        "below": sum(excess < 0 for excess in excesses),
        "least": round(excesses[0], 4) if excesses else None,
        "most": round(excesses[-1], 4) if excesses else None,
    }


def main() -> None:
    """Compare, print and record; say which bounds do not hold."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with Path(sys.argv[1]).open() as lines:
        found = list(compared(iter(lines)))
    groups: dict[tuple[str, str], list[Comparison]] = defaultdict(list)
    for one in found:
        groups[one.model, one.kind].append(one)
    table = {f"{model}: {kind}": line_of(group) for (model, kind), group in sorted(groups.items())}
    body = [
        [name, line["requests"], line["bounded"], line["exact"], line["within"], line["below"], line["most"]]
        for name, line in table.items()
    ]
    print(
        "\n".join(rows(("model: kind", "requests", "bounded", "exact", "0 to +5 %", "below", "most"), body))
    )
    for one in found:
        if one.bound is not None and not 0 <= one.excess <= LARGEST_EXCESS:
            where = f"line {one.line}: {one.model}, {one.kind}"
            print(f"{where}: {one.bound} for {one.billed} ({one.excess:+.1%})")
    total = line_of(found)
    print(
        f"{total['bounded']} of {total['requests']} bounded: {total['exact']} exact, {total['within']} within"
    )
    print(f"written to {record('tokenizer', {'total': total, 'by_model': table})}")


if __name__ == "__main__":
    main()
