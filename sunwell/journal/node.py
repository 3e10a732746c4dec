"""A run as one nested tree of what it did."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Literal

import attrs

from sunwell.core.model import Purpose
from sunwell.core.usage import Usage

NodeType = Literal["run", "sub_completion", "part", "call", "tool"]
"""``sub_completion`` is a worker, ``part`` a piece of work at its parent's depth, ``call`` one call
of a model with all its attempts."""

NodeStatus = Literal[
    "ok", "incomplete", "error", "cancelled", "answered", "failed", "refused", "open", "kept"
]
"""A run ends ``ok`` to ``cancelled``; a call or a tool is ``answered``, ``failed``, ``refused`` for want
of budget, or ``open``, which is begun and without an end in the journal. A call that is ``kept`` was copied
from another run, which has paid for it: it has neither usage nor cost here."""


@attrs.frozen
class Node:
    """One thing that a run did, with what it led to. Figures are its own; the totals include all below."""

    type: NodeType
    span: str
    depth: int
    """Nesting of workers; the root is 0."""
    name: str = ""
    """Id of a run, name of a tool."""
    status: NodeStatus | None = None
    """``None`` where nobody noted one: parts, and workers without records of their own."""
    stop_reason: str | None = None
    """Why a worker ended; ``None`` where it has not, and for all that is no worker."""
    model: str | None = None
    """The model that answered, or was asked; of a run, worker or part: the only one that it asked itself."""
    purpose: Purpose | None = None
    number: int | None = None
    """Place of a call in its span."""
    attempts: int = 0
    usage: Usage | None = None
    """Of a call, as the provider reported it; ``None`` where it did not."""
    cost_usd: Decimal | None = None
    """Of a call, as it was booked; ``None`` where usage or price is unknown, and for all that is no call."""
    uncertain_usd: Decimal | None = Decimal(0)
    """Upper bound for attempts that may be billed and brought no usage; ``None``: price unknown."""
    started_at: float | None = None
    """Seconds since 1970. A tool has the time of the answer before it."""
    duration_ms: int | None = None
    parent_turn: int | None = None
    """Turn of the parent that started the worker."""
    query: str | None = None
    """What a worker was asked; the task of a run; of a tool what it was called with, in a word."""
    context_query: str | None = None
    tools_called: tuple[str, ...] = ()
    """Names of tools called in the span itself, in order, each as often as it was called."""
    result_tokens: int | None = None
    """Output tokens of the call; of a worker, of its last answer."""
    children: "tuple[Node, ...]" = ()

    def walk(self) -> "Iterator[Node]":
        """Yield this node and all below it, parents before children, in order."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))

    @property
    def total_usage(self) -> Usage:
        """All tokens that were reported, here and below."""
        return sum((node.usage for node in self.walk() if node.usage), Usage())

    @property
    def tokens_used(self) -> int:
        """Input and output of :attr:`total_usage`."""
        return self.total_usage.total_tokens

    @property
    def total_cost_usd(self) -> Decimal | None:
        """What the reported tokens here and below cost, as booked; ``None`` where a price is unknown."""
        return _sum([node.cost_usd for node in self.walk() if node.usage is not None])

    @property
    def total_uncertain_usd(self) -> Decimal | None:
        """Upper bound for what may be billed besides; ``None`` where a price is unknown."""
        return _sum([node.uncertain_usd for node in self.walk()])

    def total_cost(self, price: Callable[[str, int, int], Decimal | float | None]) -> Decimal | None:
        """Return what all reported tokens here and below cost by *price*, each at its own model's rate.

        *price* gets the model and its input and output tokens, and gives US dollars, or ``None`` for a
        model whose price it does not know: then so is the total.
        """
        priced: list[Decimal | None] = []
        for node in self.walk():
            if node.usage is not None:
                usd = price(node.model or "", node.usage.input_tokens, node.usage.output_tokens)
                priced.append(None if usd is None else Decimal(str(usd)))
        return _sum(priced)


def _sum(amounts: list[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None
