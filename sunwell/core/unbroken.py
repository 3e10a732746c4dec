"""Finishes what must be finished although whoever waits for it is cancelled."""

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar, cast

_Result = TypeVar("_Result")


async def unbroken(doing: Coroutine[Any, Any, None]) -> None:
    """Finish *doing* although we may be cancelled meanwhile; then the cancellation is raised."""
    try:
        awaited = doing.send(None)
    except StopIteration:  # it had nothing to wait for, as most often, and nobody could cancel us
        return
    task = asyncio.ensure_future(going_on(doing, awaited))
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
def going_on(begun: Coroutine[Any, Any, _Result], awaited: Any) -> Generator[Any, Any, _Result]:
    """Finish *begun*, whose first step was made by hand and which waits for *awaited* since."""
    while True:
        try:
            yield awaited
        except BaseException as error:
            try:
                awaited = begun.throw(error)
            except StopIteration as done:
                return cast(_Result, done.value)
        else:  # who waits is told nothing by the event loop but that it can go on
            return cast(_Result, (yield from begun))
