"""Be asked before each write: here a rule answers in place of a person.

In a copy of examples/shop, with a key or with `sunwell simulate`: python approve_writes.py
"""

from pathlib import Path

import sunwell

ALLOWED = "shop/endpoints/"


def approve(proposal: sunwell.Proposal) -> bool:
    """Allow what changes files below one folder; only True is a yes."""
    allowed = proposal.tool in ("write_file", "edit_file") and ALLOWED in proposal.summary
    print("yes" if allowed else "no ", proposal.summary)
    return allowed  # proposal.details holds the whole difference


result = sunwell.run_sync(
    "Generate CRUD endpoints for 5 entities", model="opus", approve=approve, budget=sunwell.Budget(usd="1")
)

print(result.status, "-", ", ".join(Path(change.path).name for change in result.files))
