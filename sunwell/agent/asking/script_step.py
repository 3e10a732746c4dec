"""One script of a model that looks into contexts, while it runs: what it printed, asked and spent."""

import symtable
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Self

import attrs

from sunwell.agent.asking.part_reader import FanOut
from sunwell.core.task import Bill
from sunwell.core.tool import Place
from sunwell.errors import ToolError
from sunwell.tools.python_session import Printed
from sunwell.tools.wording import counted

_MOST_TOLD = 8
"""Calls of a script that asked which are told one by one."""


@attrs.define(eq=False)
class RunningStep:
    """One step while it runs."""

    place: Place
    code: str
    printed: Printed = attrs.field(factory=lambda: Printed(0))
    is_again: bool = False
    """Whether it only runs for its names: what it cost is known."""
    asks: bool = False
    lost: str = ""
    asked: list["AskedFanOut"] = attrs.field(factory=list, init=False)
    others: list[str] = attrs.field(factory=list, init=False)
    """Sentences on questions that had a session of their own."""
    _calls: int = attrs.field(default=0, init=False)

    @property
    def name_of_next(self) -> str:
        """What :meth:`next_name` will return."""
        return f"asked-{self._calls}"

    def next_name(self) -> str:
        """Return the name of the note on the next call whose result is no function of the steps."""
        self._calls += 1
        return f"asked-{self._calls - 1}"

    def told(self) -> list[str]:
        """Return sentences on what was asked: a script may ask a thousand times, so the last one sums up."""
        none = "there are no parts, so nothing was asked"
        sentences = [
            f"{one.fan_out}{_outcome_of([one])}" if one.fan_out.questions else none
            for one in self.asked[:_MOST_TOLD]
        ]
        if rest := self.asked[_MOST_TOLD:]:
            calls = counted(sum(one.fan_out.calls for one in rest), "call")
            sentences.append(f"{counted(len(rest), 'more request')}, {calls}{_outcome_of(rest)}")
        sentences += self.others[:_MOST_TOLD]
        if more := self.others[_MOST_TOLD:]:
            sentences.append(f"rlm_query: {counted(len(more), 'more question')}")
        return sentences

    def grown_bytes(self) -> int:
        """Return about how many bytes longer the conversation is by now, through this step."""
        return sum(
            len(text.encode("utf-8", "replace")) for text in (self.code, self.printed.text, *self.told())
        )


@attrs.frozen
class AskedFanOut:
    """What came of one call of a script that asked."""

    fan_out: FanOut
    missing: int
    """Questions without an answer."""
    usd: Decimal | None
    """What it cost; ``None``: unknown."""
    cut: int
    """Answers that ended at their limit of tokens."""


def _outcome_of(asked: Sequence[AskedFanOut]) -> str:
    known = [one.usd for one in asked if one.usd is not None]
    cost = f": they cost ${sum(known, Decimal(0)):.4f}" if len(known) == len(asked) else ""
    missing = sum(one.missing for one in asked)
    cut = sum(one.cut for one in asked)
    cut_off = f", {counted(cut, 'answer')} cut off" if cut else ""
    return cost + (f", {counted(missing, 'question')} without an answer" if missing else "") + cut_off


@attrs.frozen
class Spent:
    """What a run spent from one time to another."""

    calls: int
    usd: Decimal | None

    @classmethod
    def between(cls, before: Bill, after: Bill) -> Self:
        """Return what *after* has more than *before*."""
        is_known = before.cost_usd is not None and after.cost_usd is not None
        usd = after.cost_usd - before.cost_usd if is_known else None  # type: ignore[operator]
        return cls(after.calls - before.calls, usd)

    @property
    def cost(self) -> str:
        """The dollars in words; empty if they are not known."""
        return "" if self.usd is None else f": they cost ${self.usd:.4f}"


def require_free_names(code: str, needed: Collection[str]) -> None:
    """Raise :exc:`~sunwell.errors.ToolError` if *code* takes one of the names that later steps need.

    Names persist, and the interpreter has no ``del``: the session could never again show or ask anything.
    """
    try:
        table = symtable.symtable(code, "", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # the interpreter says what is wrong
    tables = [table]
    for one in tables:
        for symbol in one.get_symbols():
            is_set = symbol.is_assigned() or symbol.is_imported()
            if is_set and symbol.get_name() in needed and (one is table or symbol.is_declared_global()):
                raise ToolError(
                    f"not run: {symbol.get_name()} is a name of the session that later steps need; choose "
                    "another one"
                )
        tables += one.get_children()
