"""What is left, told to a model at the end of its prompt: the prefix before it stays as it was."""

from decimal import Decimal

import attrs

from sunwell.budget.ledger_protocol import Ledger

STATUS_BEGINS = "[Status, from the harness:"
_LOW = 5
"""Little is left once less than the fifth part is."""


@attrs.frozen
class Standing:
    """Where a piece of work stands that hands out others."""

    turn: int
    """From 0."""
    turns: int
    working: int
    unread: int


def status_line(ledger: Ledger, path: str, standing: Standing) -> str:
    """Return one line with what is used and left at *path*; it says so where little is left."""
    used = ledger.used(path)
    tokens = used.settled_tokens + used.uncertain_tokens
    tokens_left, usd_left, seconds = (
        ledger.tokens_left(path),
        ledger.usd_left(path),
        ledger.seconds_left(path),
    )
    spent_usd = used.settled_usd + used.uncertain_usd
    parts = [f"turn {standing.turn + 1} of {standing.turns}", f"{tokens:,} tokens used"]
    if tokens_left is not None:
        parts.append(f"{tokens_left:,} tokens left")
    if usd_left is not None:
        parts.append(f"${spent_usd:.4f} spent, ${usd_left:.4f} left")
    if seconds is not None:
        parts.append(f"{_time(seconds)} left")
    parts.append(f"workers: {standing.working} at work, {standing.unread} finished and not yet read")
    line = f"{STATUS_BEGINS} {'; '.join(parts)}.]"
    is_low = (
        (standing.turns - standing.turn) * _LOW <= standing.turns
        or _is_low(tokens_left, tokens)
        or _is_low(usd_left, spent_usd)
        or (seconds is not None and seconds * _LOW <= seconds + used.seconds)
    )
    return f"{line}\nLittle is left: bring the task to its end now." if is_low else line


def _is_low(left: int | Decimal | None, used: int | Decimal) -> bool:
    return left is not None and left * _LOW <= left + used


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
