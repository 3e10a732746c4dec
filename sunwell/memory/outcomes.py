"""Outcomes."""

from collections import defaultdict, deque
from decimal import Decimal

import attrs

KEPT_OUTCOMES = 100


@attrs.frozen
class Outcome:
    kind: str
    rung: str
    model: str
    after: str
    passed: bool | None
    cost_usd: Decimal | None
    at: float


@attrs.frozen
class OutcomeCount:
    tries: int = 0
    passes: int = 0


@attrs.define(eq=False)
class KnownOutcomes:
    kept: int = KEPT_OUTCOMES
    _latest: dict = attrs.field(factory=lambda: defaultdict(deque), init=False)
    _counts: dict = attrs.field(factory=dict, init=False)

    def add(self, o):
        self._move(o, 1)
        latest = self._latest[o.kind]
        latest.append(o)
        if len(latest) > self.kept:
            self._move(latest.popleft(), -1)

    def _move(self, o, by):
        if o.passed is None:
            return
        c = self._counts.setdefault((o.rung, o.model), {}).setdefault(o.kind, {}).setdefault(o.after, [0, 0])
        c[0] += by
        c[1] += by * o.passed

    def _of(self, rung, model):
        return self._counts.get((rung, model), {})

    def count(self, kind, rung, model, after):
        c = self._of(rung, model).get(kind, {}).get(after, (0, 0))
        return OutcomeCount(*c)

    def count_otherwise(self, kind, rung, model, after):
        cs = [c for a, c in self._of(rung, model).get(kind, {}).items() if a != after]
        return OutcomeCount(sum(c[0] for c in cs), sum(c[1] for c in cs))

    def count_elsewhere(self, kind, rung, model):
        cs = [c for k, by in self._of(rung, model).items() if k != kind for c in by.values()]
        return OutcomeCount(sum(c[0] for c in cs), sum(c[1] for c in cs))
