"""200 workers on a connection that takes 50 requests a second: how many are refused, how much is used.

Run: python benchmarks/rate_limits.py. It takes about half a minute.
"""

import asyncio
import time

import attrs
from recording import record

from sunwell.core.message import user
from sunwell.core.model import Request
from sunwell.errors import RateLimited
from sunwell.models.connection import Connection, close_clients
from sunwell.models.openai_chat import ChatModel
from sunwell.simulator import SimulatedModel, Simulator, echo

WORKERS, CALLS, PER_SECOND = 200, 5, 50.0


@attrs.frozen
class Outcome:
    """What one round came to."""

    seconds: float
    answered: int
    refused: int

    @property
    def per_second(self) -> float:
        """Answers in a second."""
        return self.answered / self.seconds


async def round_of(requests_per_minute: int | None) -> Outcome:
    """Let all workers make their calls; a refused one is made again after the second that it is told."""
    models = {"gpt-6-luna": SimulatedModel(echo, latency_seconds=0.2)}
    async with Simulator(models, requests_per_second=PER_SECOND) as simulator:
        connection = Connection(
            "openai", simulator.openai_url, "key-of-a-benchmark", requests_per_minute=requests_per_minute
        )
        model = ChatModel("gpt-6-luna", connection)
        refused = 0

        async def work() -> None:
            nonlocal refused
            done = 0
            while done < CALLS:
                try:
                    await model.complete(Request(messages=[user("x")], max_output_tokens=64))
                    done += 1
                except RateLimited as error:
                    refused += 1
                    await asyncio.sleep(error.retry_after_seconds or 1)

        begun = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WORKERS):
                tasks.create_task(work())
        seconds = time.perf_counter() - begun
        await close_clients()
    return Outcome(seconds, WORKERS * CALLS, refused)


async def main() -> dict[str, dict[str, float]]:
    """Return the figures of both rounds."""
    figures = {}
    for name, chosen in (("told by headers", None), ("requests_per_minute = 3000", 3000)):
        outcome = await round_of(chosen)
        print(
            f"{name:<28} {outcome.answered} answers in {outcome.seconds:.1f} s: "
            f"{outcome.per_second:.1f} a second of {PER_SECOND:g}, {outcome.refused} refused"
        )
        figures[name] = {
            "seconds": round(outcome.seconds, 2),
            "per_second": round(outcome.per_second, 1),
            "refused": outcome.refused,
        }
    return figures


if __name__ == "__main__":
    record("rate_limits", asyncio.run(main()))
