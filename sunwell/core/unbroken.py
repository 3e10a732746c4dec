"""Finishes what must be finished although whoever waits for it is cancelled."""

import asyncio
import functools
import types
from collections.abc import Coroutine, Generator
from typing import Any


async def unbroken(doing: Coroutine[Any, Any, None]) -> None:
    """Finish *doing* although we may be cancelled meanwhile; then the cancellation is raised."""
    try:
        awaited = doing.send(None)
    except StopIteration:  # it had nothing to wait for, as most often, and nobody could cancel us
        return
    task = asyncio.ensure_future(_going_on(doing, awaited))
    cancelled: asyncio.CancelledError | None = None
    # A loop: a run that is closed may cancel a worker that a time limit has cancelled already.
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:
            break
    task.result()
    if cancelled is not None:
        raise cancelled


@types.coroutine
def _going_on(begun: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """Finish *begun*, which waits for *awaited*, as a task of its own."""
    while True:
        try:
            got = yield awaited
        except BaseException as error:
            step = functools.partial(begun.throw, error)
        else:
            step = functools.partial(begun.send, got)
        try:
            awaited = step()
        except StopIteration:
            return
