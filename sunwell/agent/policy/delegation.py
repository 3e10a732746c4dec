"""The policy: whether a task is delegated, from its words and numbers alone."""

from decimal import Decimal

from sunwell.agent.policy.task_words import Group, groups
from sunwell.core.price import DelegationDecision, OutputEstimate, Quote

THRESHOLD_TOKENS = 2_000
"""RFC-137: the largest output that is not worth a lens."""
LOW_BUDGET_FACTOR = 3
"""RFC-137: a budget is low where it holds the estimate fewer than three times."""
ASSUMED_LENS_TOKENS = 1_000
"""RFC-137's upper figure for writing a lens; used where no quote says better."""

_NOUNS = {"file": "files", "endpoint": "endpoints", "component": "components", "module": "modules"}


def should_use_delegation(
    task: str,
    estimated_tokens: int | OutputEstimate,
    budget_remaining: int | None = None,
    *,
    threshold_tokens: int = THRESHOLD_TOKENS,
    quote: Quote | None = None,
    budget_usd: Decimal | None = None,
    lens_usd: Decimal | None = None,
) -> DelegationDecision:
    """Decide from the words and the numbers alone; no model is called.

    Any of three triggers proposes: more output than the threshold, a budget that holds the estimate
    fewer than three times, or several files, endpoints, components or modules in the task. Either
    of two vetoes stops a proposal: a lens that does not fit the tokens or dollars left, or a quote that
    makes delegation the dearer way.

    Args:
        task: What is to be done, in the user's words.
        estimated_tokens: Expected output of the whole task. The expected figure of a range decides; the
            reason names the range if the threshold lies in it.
        budget_remaining: Tokens the run may still use; ``None`` means no limit.
        threshold_tokens: Largest output not worth a lens.
        quote: What either way would cost; ``None`` where nobody asked.
        budget_usd: US dollars the run may still use; ``None`` means no limit.
        lens_usd: Most that writing the lens and the first call under it can cost; ``None``: unknown.

    Raises:
        ValueError: ``estimated_tokens`` or ``threshold_tokens`` is negative.
    """
    given = estimated_tokens
    output = OutputEstimate(given, given, given) if isinstance(given, int) and given >= 0 else given
    if not isinstance(output, OutputEstimate) or threshold_tokens < 0:
        raise ValueError(
            f"tokens cannot be negative: estimated_tokens={given}, threshold_tokens={threshold_tokens}"
        )
    proposal = _trigger(task, output, budget_remaining, threshold_tokens)
    misfit = lens_misfit(budget_remaining, quote, budget_usd, lens_usd) if proposal else None
    veto = misfit or (_dearer(quote) if proposal else None)
    reason = proposal or _no_trigger(output, budget_remaining, threshold_tokens)
    return DelegationDecision(
        delegate=proposal is not None and veto is None,
        reason=veto or reason,
        estimated_tokens=output.expected_tokens,
        threshold_tokens=threshold_tokens,
        budget_remaining=budget_remaining,
        lens_fits=misfit is None,
    )


def _trigger(task: str, output: OutputEstimate, left: int | None, threshold: int) -> str | None:
    estimated = output.expected_tokens
    if estimated > threshold:
        return f"{_expected(output, threshold)} is above the threshold of {threshold:,}"
    if left is not None and left < estimated * LOW_BUDGET_FACTOR:
        return (
            f"the budget is low: {max(0, left):,} tokens are left, fewer than "
            f"{LOW_BUDGET_FACTOR} times the expected output of {estimated:,}"
        )
    several = groups(task, _NOUNS)
    return _breadth(several[0]) if several else None


def _breadth(group: Group) -> str:
    count = "several" if group.count is None else f"{group.count:,}"
    return f'the task is about {count} {_NOUNS[group.noun]} ("{group.words}")'


def lens_misfit(
    left: int | None, quote: Quote | None, budget_usd: Decimal | None, lens_usd: Decimal | None
) -> str | None:
    """Return why the budget does not hold a lens; ``None`` if it does. Arguments as above."""
    # Nothing is written if a lens is there: its quote has 0 tokens.
    lens_tokens = quote.lens_tokens if quote else ASSUMED_LENS_TOKENS
    if left is not None and left < lens_tokens:
        return (
            f"writing a lens takes about {lens_tokens:,} tokens, and {max(0, left):,} are left of the budget"
        )
    if budget_usd is not None and lens_usd is not None and budget_usd < lens_usd:
        what = (
            "writing a lens and the first call under it" if lens_tokens else "the first call under the lens"
        )
        return (
            f"{what} may cost {_usd(lens_usd)}, and {_usd(max(Decimal(0), budget_usd))} is left of the budget"
        )
    return None


def _dearer(quote: Quote | None) -> str | None:
    if quote is None or not quote.delegation_is_dearer:
        return None
    known = [
        (side.expected_usd, side.name)
        for side in (quote.direct, *quote.alternatives)
        if side.expected_usd is not None
    ]
    cheapest_usd, name = min(known)
    ours = _usd(quote.delegated.expected_usd)
    reason = f"delegating would cost about {ours}, the {name} way about {_usd(cheapest_usd)}"
    high = [side.high_usd for side in (quote.direct, *quote.alternatives) if side.high_usd is not None]
    ours_high = quote.delegated.high_usd
    if quote.output is None or ours_high is None or not high or ours_high >= min(high):
        return reason
    return f"{reason}; with {quote.output.high_tokens:,} tokens of output it would be the cheaper way"


def _expected(output: OutputEstimate, threshold: int) -> str:
    """Return the expected output in words, with its range if the threshold lies in it."""
    low, high = output.low_tokens, output.high_tokens
    span = f" ({low:,} to {high:,})" if low <= threshold < high else ""
    return f"the expected output of {output.expected_tokens:,} tokens{span}"


def _no_trigger(output: OutputEstimate, left: int | None, threshold: int) -> str:
    budget = "" if left is None else f", the budget of {left:,} holds it {LOW_BUDGET_FACTOR} times"
    return (
        f"{_expected(output, threshold)} is within the threshold of {threshold:,}{budget}, "
        "and the task is not about several files, endpoints, components or modules"
    )


def _usd(amount: Decimal | None) -> str:
    if amount is None:
        return "an unknown amount"
    return f"${amount:.4f}" if amount >= Decimal("0.01") else f"${amount:.6f}"
