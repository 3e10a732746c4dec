"""A host that delegates one task, until it is killed.

Started as a program by ``test_delegated_tasks.py``: the address of the simulator and the workspace.
"""

import asyncio
import sys
from pathlib import Path

from sunwell.simulator import Simulator
from tests.adapters.pydantic_ai.hosting import TASK, called, delegating


class Elsewhere(Simulator):
    """The simulator of another process."""

    def __init__(self, url: str) -> None:
        self.there = url

    @property
    def url(self) -> str:
        """Its address."""
        return self.there


if __name__ == "__main__":
    asyncio.run(called(delegating(Path(sys.argv[2]), Elsewhere(sys.argv[1])), "delegate", task=TASK))
