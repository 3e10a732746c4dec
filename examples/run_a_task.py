"""Run one task in the current folder and print the result with its bill.

In a copy of examples/shop, with a key or with `sunwell simulate`: python run_a_task.py
"""

import sunwell

result = sunwell.run_sync("Say what this shop lacks", model="haiku", budget=sunwell.Budget(usd="0.10"))

print(result.status, result.stop_reason)
print(result.answer)
print(f"${result.bill.cost_usd} on {', '.join(line.model for line in result.bill.models)}")
