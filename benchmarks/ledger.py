"""What a reservation costs: one reserve and settle with one and with 1,000 others open.

Run with ``python benchmarks/ledger.py``. Both sides are measured in one process, in turns, so
that the ratio holds on a machine that does other work as well.
"""

import asyncio
import statistics
import time
from decimal import Decimal

from recording import record

from sunwell.budget import Budget, Claim, TreeLedger

_ROUNDS = 60
_CALLS = 500
_CLAIM = Claim(1_000, 500, input_usd=Decimal("0.001"), output_usd_per_token=Decimal("0.000002"))
_BILL_USD = Decimal("0.0005")
_PATH = "run/work/batch%2F3"


async def _ledger(open_reservations: int) -> TreeLedger:
    ledger = TreeLedger()
    ledger.open("run", Budget(usd=1_000_000, tokens=10**12, seconds=86_400))
    ledger.open("run/work", Budget(tokens=10**12))
    ledger.open(_PATH, Budget(usd=100_000))
    for _ in range(open_reservations):
        await ledger.reserve(_PATH, _CLAIM)
    return ledger


async def _microseconds(ledger: TreeLedger) -> float:
    """Return what one reserve and settle takes, through an account three levels down."""
    begun = time.perf_counter()
    for _ in range(_CALLS):
        reservation = await ledger.reserve(_PATH, _CLAIM)
        ledger.settle(reservation, 900, _BILL_USD)
    return (time.perf_counter() - begun) / _CALLS * 1e6


async def measure() -> dict[str, object]:
    """Measure both sides in turns and return the medians and the median ratio."""
    one, thousand = await _ledger(1), await _ledger(1_000)
    pairs = [(await _microseconds(one), await _microseconds(thousand)) for _ in range(_ROUNDS)]
    return {
        "n": _ROUNDS * _CALLS,
        "median_microseconds_1_open": round(statistics.median(pair[0] for pair in pairs), 2),
        "median_microseconds_1000_open": round(statistics.median(pair[1] for pair in pairs), 2),
        "median_ratio": round(statistics.median(pair[1] / pair[0] for pair in pairs), 3),
    }


def main() -> None:
    """Measure, write the results, and print the table."""
    result = asyncio.run(measure())
    record("ledger", result)
    print("| open reservations | reserve + settle, median µs |")
    print("| ---: | ---: |")
    print(f"| 1 | {result['median_microseconds_1_open']} |")
    print(f"| 1,000 | {result['median_microseconds_1000_open']} |")
    print(f"\nratio {result['median_ratio']} (n = {result['n']})")


if __name__ == "__main__":
    main()
