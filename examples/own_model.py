"""Use a model of your own: anything with a name and two methods is one.

In any folder, without a key: python own_model.py
"""

from collections.abc import AsyncIterator
from decimal import Decimal

import sunwell
from sunwell.core import Completion, Delta, Request, Text, Usage


class Counter:
    """A model that counts the words of the last message. It asks nobody."""

    name = "counter"
    price = sunwell.Price(sunwell.Rates(Decimal(0), Decimal(0)))  # without a price, no dollar budget can hold

    async def complete(self, request: Request) -> Completion:
        words = request.messages[-1].text.split()
        usage = Usage(input_tokens=len(words), output_tokens=1)
        return Completion((Text(f"{len(words)} words"),), "end", usage, self.name)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        yield Delta(completion=await self.complete(request))


sunwell.get_registry().register("counter", Counter())  # or Agent(model=Counter())
result = sunwell.run_sync("How long is this?", model="counter", tools=(), budget=sunwell.Budget(usd="0.01"))

print(result.answer, f"${result.bill.cost_usd}")
