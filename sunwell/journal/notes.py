"""What the value of a note is, by the note's name: whoever finds one relies on it."""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_ExitCode = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
# As str() writes a Decimal that is an amount of money.
_Amount = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,40}(\.[0-9]{1,99})?(E(\+[0-9]|-[0-9]{1,3}))?$")]
_Ceiling = tuple[_Count | None, _Amount | None]


class _Places(TypedDict):
    length: _Count
    files: list[tuple[str, _Count, _Count]]


class _Context(TypedDict):
    text: str
    reads: list[tuple[str, str | None]]
    needs_scouting: NotRequired[bool]
    fitting: NotRequired[list[str]]
    places: NotRequired[_Places]


class _KeptLens(TypedDict):
    reasons: list[str]
    may_keep: bool
    use: Literal["as it is", "as a start", "not"]
    id: NotRequired[str]
    lens: NotRequired[dict[str, Any]]
    items: NotRequired[list[dict[str, Any]]]
    day: NotRequired[str]
    task: NotRequired[str]
    cost_usd: NotRequired[_Amount | None]
    unseen: NotRequired[str]
    changed: NotRequired[list[str]]
    files: NotRequired[dict[str, str | None]]


class _Scouting(TypedDict):
    most_turns: _Count
    turns: _Count
    tools: list[str]
    is_afresh: bool


class _LensOutcome(TypedDict):
    outcome: Literal["fail", "direct", "generic"]
    reason: str


class _Ids(TypedDict):
    run: str
    milliseconds: _Count


class _ChangedFile(TypedDict):
    path: str
    before: str | None
    after: str | None


class _RanCommand(TypedDict):
    command: str
    exit_code: _ExitCode | None
    duration_seconds: NotRequired[float | None]


class _NotedEntry(TypedDict):
    key: str
    type: Literal["analysis", "decision"]
    summary: str
    raw: dict[str, Any]
    files: list[_ChangedFile]
    commands: list[_RanCommand]
    tools_called: dict[str, _Count]
    run_id: str


class _HistoryCut(TypedDict):
    kept: _Count
    unread_characters: _Count
    text_characters: NotRequired[_Count | None]
    short_of: NotRequired[str | None]


class _FactsTold(TypedDict):
    turn: _Count
    text: str


class _LensTrial(TypedDict):
    places: list[_Count]
    why: NotRequired[str]
    of_known: NotRequired[bool]
    items: NotRequired[str]


class _Plan(TypedDict):
    key: NotRequired[str | None]
    life: NotRequired[str | None]


_SHAPES: dict[str, Any] = {
    "attempt": str,
    "cache-pad": _Count,
    "cache-plan": _Plan,
    "compacted": _HistoryCut | _Count,
    "context": _Context,
    "facts-told": _FactsTold,
    "items": list[dict[str, Any]],
    "kept-lens": _KeptLens,
    "lens-outcome": _LensOutcome,
    "lens-trial": _LensTrial,
    "scouting": _Scouting,
    "status": str,
    "task-ids": _Ids,
    "timed-out": _Count,
}
_BEGINNINGS: dict[str, Any] = {
    "answer-": bool,
    "delivered-": str,
    "lens-look:": list[tuple[bool | None, bool | None, _Amount, _Amount]],
    "lens-pairs:": str,
    "refused-": list[tuple[_Count, str]],
    "scratchpad:": _NotedEntry,
    "start-": list[_Ceiling | None],
    "told-": list[str],
}


def check_note(name: str, value: Any) -> None:
    """Raise :exc:`ValueError` if *value*, which was read, is not what notes of this *name* hold.

    Notes that nobody looks up by name, and those of newer versions, may hold anything.
    """
    wanted = _SHAPES.get(name)
    if wanted is None:
        for mark in ":-":
            kind, found, _ = name.partition(mark)
            wanted = wanted or _BEGINNINGS.get(kind + found)
    if wanted is not None:
        msgspec.convert(value, wanted)
