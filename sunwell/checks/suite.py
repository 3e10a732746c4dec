"""Several checks, one verdict."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal

import attrs

from sunwell.core.check import Check, Checking, Verdict, name_of

log = logging.getLogger("sunwell.checks")


async def run_checks(checks: Sequence[Check], checking: Checking) -> Verdict:
    """Return the one verdict of *checks* on *checking*, each run in order.

    It has passed if all of them passed, and has not if any of them did not; else they could not tell. The
    evidence names each check. All of them run, so that whoever repairs the work sees all that is wrong.
    A check that raises, or that returns anything else than a :class:`~sunwell.core.check.Verdict`, could
    not tell, and its evidence says so.
    """
    found = [(name_of(check), await _verdict(check, checking)) for check in checks]
    return joined(found)


def joined(found: Sequence[tuple[str, Verdict]]) -> Verdict:
    """Return the verdicts *found* by checks of these names as one."""
    passed = [verdict.passed for _, verdict in found]
    whole = False if False in passed else None if None in passed or not passed else True
    costs = [verdict.cost_usd for _, verdict in found]
    cost_usd = sum((cost for cost in costs if cost is not None), Decimal(0))
    evidence = [f"{name}: {_WORDS[one.passed]}\n{one.evidence}".strip() for name, one in found]
    return Verdict(whole, "\n\n".join(evidence), None if None in costs else cost_usd)


_WORDS = {True: "passed", False: "failed", None: "could not tell"}


async def _verdict(check: Callable[[Checking], Awaitable[Verdict]], checking: Checking) -> Verdict:
    try:
        verdict = await check(checking)
    except Exception as error:  # the caller's own code: the run goes on, unverified
        log.exception("the check %s failed", name_of(check))
        said = checking.secrets.redact(f"the check itself failed: {type(error).__name__}: {error}")
        return Verdict(None, said)
    if not isinstance(verdict, Verdict):
        log.error("the check %s returned %s, not a Verdict", name_of(check), type(verdict).__name__)
        return Verdict(None, f"the check itself failed: it returned {type(verdict).__name__}, not a Verdict")
    return attrs.evolve(verdict, evidence=checking.secrets.redact(verdict.evidence))
