"""Who approves what a tool is about to do, and two who must agree."""

from collections.abc import Awaitable, Callable
from inspect import isawaitable, ismethod

from sunwell.core.tool import Proposal

Approve = Callable[[Proposal], "bool | Awaitable[bool]"]
"""Returns, or resolves to, ``True`` for a yes; anything else is a no."""


def both_approve(first: Approve | None, second: Approve | None) -> Approve | None:
    """Return who asks *first*, then *second*, and approves only if both do; the same one is asked once."""
    if first is None or second is None or _is_same(first, second):
        return second if first is None else first

    async def approve(proposal: Proposal) -> bool:
        for one in (first, second):
            said = one(proposal)
            if (await said if isawaitable(said) else said) is not True:
                return False
        return True

    return approve


def _is_same(first: Approve, second: Approve) -> bool:
    # A bound method is a new object each time that it is looked up.
    return first is second or (ismethod(first) and ismethod(second) and first == second)
