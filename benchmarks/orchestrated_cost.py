"""Whether the estimate of an orchestrated run holds what the run is billed.

Run ``python benchmarks/orchestrated_cost.py``: it estimates tasks of different sizes on the command line, has
each done by an orchestrated run on the simulator, and compares the printed range with the simulator's bill.
It prints the ratios, writes ``benchmarks/results/orchestrated_cost.json``, and fails where a bill lies
outside its range.
"""

import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from recording import ROOT, record


def rows() -> list[dict[str, Any]]:
    """Estimate and run each case, and return the figures."""
    sys.path.insert(0, str(ROOT))
    from tests.scenarios.priced_orchestrations import CASES, priced

    found = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            place = shutil.copytree(ROOT / "examples" / "shop", Path(folder) / "shop")
            run = priced(case, place)
        found.append(
            {
                "task": case.task,
                "workers": len(run.told["workers"]),
                "low_usd": str(run.low_usd),
                "expected_usd": str(run.expected_usd),
                "high_usd": str(run.high_usd),
                "billed_usd": str(run.actual_usd),
                "is_within": run.is_within,
                "to_expected": round(float(run.actual_usd / run.expected_usd), 3),
                "to_smart_alone": round(float(run.actual_usd / run.smart_alone_usd), 3),
            }
        )
    return found


def main() -> None:
    """Measure, print and record."""
    found = rows()
    ratios = [row["to_expected"] for row in found]
    figures = {
        "within": sum(row["is_within"] for row in found),
        "least": min(ratios),
        "median": round(statistics.median(ratios), 3),
        "most": max(ratios),
        "rows": found,
    }
    print(json.dumps(figures, indent=2))
    if outside := [row["task"] for row in found if not row["is_within"]]:
        raise SystemExit(f"billed outside the range that was printed: {', '.join(outside)}")
    record("orchestrated_cost", figures)


if __name__ == "__main__":
    main()
