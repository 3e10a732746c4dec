"""Threads for calls that block, which nothing waits for when a run or the process ends."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads(ThreadPoolExecutor):
    """An executor with a new daemon thread for each call.

    An ordinary pool keeps a process alive until its last call has returned, and a few calls that never return
    keep all others from beginning.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Call *fn* in a thread of its own."""
        done: Future[T] = Future()

        def call() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # also SystemExit: it belongs to whoever waits
                done.set_exception(error)
            else:
                done.set_result(result)

        threading.Thread(target=call, name="sunwell-call", daemon=True).start()
        return done

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for nothing: a call may never return."""


_threads = DaemonThreads()


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what *function* returns, called in a thread with the variables of this context.

    Cancelled, it returns at once; the thread ends when *function* does, or with the process.
    """

    def call(*_: Any) -> T:
        return function(*args, **kwargs)

    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_threads, context.run, call)
