"""Have a smart model write a lens and a cheap one do the work, for at most $0.50.

In a copy of examples/shop, with a key or with `sunwell simulate`: python delegate_under_a_budget.py
"""

import sunwell

result = sunwell.run_sync(
    "Generate CRUD endpoints for 5 entities",
    enable_delegation=True,
    smart_model="opus",
    delegation_model="haiku",
    budget=sunwell.Budget(usd="0.50"),
)

if result.decision:  # true if the task was delegated; its reason is a sentence either way
    print("delegated:", result.decision.reason)
print(result.status, "-", len(result.files), "files")
for purpose, total in result.bill.split("purpose"):
    print(f"{purpose}: {total.calls} calls, ${total.cost_usd}")
