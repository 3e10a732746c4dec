"""Records of time in which a run, or a part of it, waited for something that is no model's answer."""

from typing import ClassVar, Literal

import attrs

from sunwell.journal.records import Record

HoldReason = Literal["planner", "ledger", "rate"]
"""What is waited for. ``planner``: the first answer of siblings; ``ledger``: room in a ceiling;
``rate``: the time until a failed attempt is made again."""

PauseReason = Literal["approval", "reader"]
"""Who was waited for. ``approval``: whoever approves what a tool is about to do; ``reader``: whoever
reads the run's events and asked for no more."""


@attrs.frozen
class Held(Record):
    """Somebody who could have gone on was made to wait, and now goes on."""

    kind: ClassVar[str] = "held"
    span: str
    reason: HoldReason
    seconds: float
    at: float


@attrs.frozen
class Paused(Record):
    """Everything waited for a person, which is no time that the run took."""

    kind: ClassVar[str] = "paused"
    reason: PauseReason
    seconds: float
    at: float
    """When it went on."""
