"""The smallest cap with which a run could begin, if its cap does not hold its first call."""

from decimal import Decimal
from math import ceil

from sunwell.agent.run.run_context import Ending, Run
from sunwell.budget.standing import Standing
from sunwell.errors import ConfigurationError
from sunwell.journal.records import Refused

_OPTIONS = {"usd": "--budget-usd", "tokens": "--budget-tokens"}
_PRE_WARM = "/pre-warm"
_SLACK = Decimal("1.02")


def too_small_a_cap(run: Run, ended: Ending) -> ConfigurationError | None:
    """Return why *run*, which *ended*, could not begin under its cap; ``None`` if that was not the reason.

    The figure is the one by which the call was refused: nothing was booked before it and nothing was kept for
    a closing call, so a cap of just that much holds the call. If several calls could have been the first, as
    in a batch, it is the least of theirs. For an orchestrator it is up to 2 % more than the least.
    """
    root = run.root.path
    used = run.ledger.used(root)
    is_begun = used.settled_tokens or used.uncertain_tokens or used.settled_usd
    if is_begun or ended.status in ("ok", "cancelled"):
        return None
    refused = [
        record
        for record in run.journal.records()
        if isinstance(record, Refused)
        and record.account == root
        and record.limit in _OPTIONS
        and not record.span.endswith(_PRE_WARM)
    ]
    if not refused or (ended.stop_reason != "lens_failed" and not ended.stop_reason.startswith("budget_")):
        return None
    if ended.stop_reason != "lens_failed":  # the lens was refused before, and the run went on without it
        refused = [record for record in refused if record.span != f"{root}/lens"] or refused
    last = refused[-1].limit
    first = min((record for record in refused if record.limit == last), key=lambda record: record.needed)
    least = first.needed
    if first.span == f"{root}/orchestrator":  # its status line tells the cap: a larger one is longer
        least = least * _SLACK if last == "usd" else Decimal(ceil(least * _SLACK))
    cap = Standing(last, refused[-1].ceiling, Decimal(0))
    return ConfigurationError(
        f"a cap of {cap.amount(cap.ceiling)} does not hold the first call, and nothing was spent: the "
        f"smallest cap with which the run can begin is {cap.amount(least)} ({_OPTIONS[last]} {least:f}); "
        "raise it, or use a cheaper model"
    )
