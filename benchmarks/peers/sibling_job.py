"""What ``siblings.py`` asks of every peer: one system prompt, many questions, all at once."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple


class Job(NamedTuple):
    """What comes in on standard input."""

    url: str
    provider: str
    """``anthropic`` or ``openai``: the wire format."""
    model: str
    system: str
    questions: list[str]
    marked: bool
    """Whether the cache is asked for, in the way that the library's documentation shows."""


def do(version: str, work: Callable[[Job], Callable[[str], Awaitable[Any]]]) -> None:
    """Read the job, have what *work* makes of it answer all questions at once, and print what came of it."""
    job = Job(**json.load(sys.stdin))

    async def main() -> tuple[int, float]:
        ask = work(job)
        began = time.perf_counter()
        answers = await asyncio.gather(*(ask(question) for question in job.questions))
        return len(answers), time.perf_counter() - began

    answers, seconds = asyncio.run(main())
    print(json.dumps({"version": version, "answers": answers, "seconds": seconds}))
