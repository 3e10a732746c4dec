"""Random trees of work, drawn from a seed: small ones by the thousand, and crowds of a thousand."""

import random
from decimal import Decimal

from money_parts import NAMES, Conduct, Part, Plan

from sunwell.budget import Budget
from sunwell.core import Span

_WORDS = "the same words again and again, so that much of a prompt can be read from a cache. " * 60
_CONDUCTS: tuple[Conduct, ...] = (
    *("steady",) * 10,
    *("hidden", "changing") * 2,
    "small",
    "large",
    "missing",
    "routed",
)
_FACTORS = (0.6, 3.0)
"""Tokens of real tokenizers, as multiples of a quarter of the bytes, and far beyond them."""
_SHARES = ("0.8", "1.1", "1.5", "2.2", "3", "5", "9", "20")


def drawn(seed: int) -> Plan:
    """Return a small tree, up to three levels deep, with all that can go wrong."""
    dice = random.Random(seed)
    conduct: Conduct = dice.choice(_CONDUCTS)
    tree = _part(dice, Span(), 0, Decimal(dice.choice(_SHARES)))
    kills = tuple(dice.random() * 8 for _ in range(dice.choice((0, 0, 0, 0, 1, 2))))
    factor, later = dice.uniform(*_FACTORS), dice.uniform(*_FACTORS)
    return Plan(seed, tree, kills, False, conduct, dice.randrange(8), factor, later)


def crowd(seed: int, workers: int) -> Plan:
    """Return *workers* side by side, some of them below others, on a cap that only some fit under."""
    dice = random.Random(seed)
    children = [_leaf(dice, Span().worker(f"w{number}")) for number in range(workers // 2)]
    for group in range(workers // 20):
        span = Span().worker(f"group{group}")
        below = tuple(_leaf(dice, span.worker(f"w{number}")) for number in range(10))
        children.insert(0, Part(span, _ceiling(dice, Decimal(4)), NAMES[0], _WORDS[:200], 50, 0, 1, below))
    cap = Budget(usd=_attempt_usd(len(_WORDS) // 8, 60) * workers * Decimal(dice.choice(_SHARES)) / 3)
    return Plan(seed, Part(Span(), cap, NAMES[0], _WORDS[:200], 60, 0, 1, tuple(children)), truthful=True)


def _part(dice: random.Random, span: Span, depth: int, attempts: Decimal) -> Part:
    size, output = dice.choice((40, 300, 1200, 4000)), dice.choice((20, 100, 400))
    budget, is_counted = None, dice.random() < 0.4
    if depth == 0 or dice.random() < 0.6:
        cap = _attempt_usd(size, output) * attempts / (4 if is_counted else 1)
        tokens = dice.choice((None, None, None, (size + 1024 + output) * 3))
        budget = Budget(usd=cap, tokens=tokens, calls=dice.choice((None, None, None, 3)))
    width = dice.choice((0, 1, 1, 2, 2, 3) if depth == 0 else (0, 0, 0, 1, 2)) if depth < 3 else 0
    share = attempts * Decimal(dice.choice(_SHARES)) / 3
    return Part(
        span,
        budget,
        dice.choice(NAMES),
        _WORDS[:size],
        output,
        before=dice.choice((0, 0, 1, 2) if width else (1, 1, 2, 5)),
        after=dice.choice((0, 1)) if width else 0,
        children=tuple(_part(dice, span.worker(f"w{i}"), depth + 1, share) for i in range(width)),
        cancelled_after=dice.random() * 10 if depth and dice.random() < 0.15 else None,
        is_counted=is_counted,
        can_count=not is_counted and dice.random() < 0.3,
        closes=budget is not None and dice.random() < 0.3,
    )


def _leaf(dice: random.Random, span: Span) -> Part:
    size = dice.randrange(len(_WORDS) // 4)
    budget = _ceiling(dice, Decimal("1.3")) if dice.random() < 0.5 else None
    cancelled = dice.random() * 30 if dice.random() < 0.1 else None
    model, closes = dice.choice(NAMES), budget is not None
    return Part(span, budget, model, _WORDS[:size], 100, 1, 0, (), cancelled, dice.random() < 0.3, closes)


def _ceiling(dice: random.Random, attempts: Decimal) -> Budget:
    return Budget(usd=_attempt_usd(1200, 100) * attempts * Decimal(dice.choice(_SHARES)))


def _attempt_usd(size_bytes: int, output_tokens: int) -> Decimal:
    """Return about what one attempt of the cheap model reserves above its tier."""
    return (Decimal(size_bytes + 1024) * 10 + output_tokens * 25) / 1_000_000
