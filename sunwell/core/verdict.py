"""Whether a result was verified: on which rung, by what, and what was tried before."""

from decimal import Decimal
from typing import Any, Literal

import attrs


@attrs.frozen
class RungAttempt:
    """One rung of the ladder that was climbed, with what its check found."""

    rung: str
    """Its name: ``cheap``, ``cheap_again``, ``lens``, ``second`` or ``smart``."""
    model: str
    """Who did the work on it."""
    passed: bool | None
    """What the checks found; ``None``: they could not tell."""
    evidence: str = ""
    """What they saw."""
    cost_usd: Decimal | None = None
    """US dollars of the rung: its work, its lens and its checks; ``None``: a price is unknown."""
    quoted_usd: Decimal | None = None
    """What it was expected to cost when it was chosen; ``None``: unknown."""
    reason: str = ""
    """Why it was chosen."""


@attrs.frozen
class Verification:
    """What is known of a result: verified, not verified, or found wrong."""

    passed: bool | None
    """Whether the checks passed; ``None``: they could not tell."""
    by: tuple[str, ...]
    """The checks, as they are called."""
    evidence: str = ""
    """What they saw of the result that stands."""
    attempts: tuple[RungAttempt, ...] = ()
    """The rungs that were climbed, in order; empty without a ladder."""
    gave_up: str = ""
    """Why no further rung was climbed although the checks did not pass; empty if they passed."""
    alone_usd: Decimal | None = None
    """What the smart model alone would about have cost: the tokens of the first rung at its price, or what it
    did cost if it worked on a rung itself; ``None``: unknown."""
    alone_model: str = ""
    """The smart model."""
    missed: tuple[str, ...] = ()
    """The checks that did not pass, as they are called."""


LensTestFinding = Literal["helps", "harms", "no harm", "no gain", "undecided", "not tested"]
"""``no harm``: a little better, and not enough to say that it helps. ``undecided``: the test was stopped,
or too few of its pairs show anything."""


@attrs.frozen
class LensTest:
    """What came of running items of a batch both ways, with its lens and without it."""

    finding: LensTestFinding
    reason: str = ""
    """Why the lens was not tested, or why the test was stopped; else empty."""
    withheld: bool = False
    """Whether the items that were left were done without the lens: it harms, or costs more without a gain."""
    pairs: int = 0
    """Items that ran both ways, each with one extra run."""
    better: int = 0
    """Pairs in which only the run with the lens passed its checks."""
    worse: int = 0
    """Pairs in which only the run without it did."""
    unknown: int = 0
    """Pairs that show nothing: a run broke off, or a check could not tell."""
    extra_usd: Decimal | None = Decimal(0)
    """US dollars of the extra runs; ``None``: a price is unknown."""
    without_lens: int = 0
    """Items from which the lens was withheld."""

    @property
    def evidence(self) -> str:
        """The finding with the pairs that it rests on, as a lens file and a skill keep it."""
        if not self.pairs:
            return f"{self.finding}: {self.reason}" if self.reason else self.finding
        counts = f"better in {self.better:,}, worse in {self.worse:,} of {self.pairs:,} pairs"
        return f"{self.finding}: {counts}"


def lens_test_fields(test: LensTest | None) -> dict[str, Any] | None:
    """Return *test* as JSON values, amounts with all their digits; ``None`` if there was no lens to test."""
    if test is None:
        return None
    return attrs.asdict(test) | {"reason": test.reason or None, "extra_usd": _digits(test.extra_usd)}


def verification_fields(found: Verification | None) -> dict[str, Any] | None:
    """Return *found* as JSON values, amounts with all their digits; what is unknown is ``None``."""
    if found is None:
        return None
    return {
        "passed": found.passed,
        "by": list(found.by),
        "missed": list(found.missed),
        "evidence": found.evidence,
        "rungs": [_attempt_fields(attempt) for attempt in found.attempts],
        "gave_up": found.gave_up or None,
        "alone": None
        if found.alone_usd is None
        else {"model": found.alone_model, "about_usd": _digits(found.alone_usd)},
    }


def _attempt_fields(attempt: RungAttempt) -> dict[str, Any]:
    return {
        "rung": attempt.rung,
        "model": attempt.model,
        "passed": attempt.passed,
        "evidence": attempt.evidence,
        "cost_usd": _digits(attempt.cost_usd),
        "quoted_usd": _digits(attempt.quoted_usd),
        "reason": attempt.reason,
    }


def _digits(amount: Decimal | None) -> str | None:
    if amount is None:
        return None
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
