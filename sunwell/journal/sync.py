"""Many who wait for durability share one sync."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import attrs

_QUICK_SECONDS = 0.002
_TRIED_AGAIN_AFTER, _LONGEST_TRIAL = 16, 1024


@attrs.define(eq=False)
class SharedSync:
    """Makes what was written durable; whoever asks while a sync runs shares the next one.

    The sync runs in a thread of its own, so that the event loop goes on; on the loop itself where
    *threaded* is false, or where the disk is so quick that the way to a thread and back costs more:
    after a slow one on the loop the next sixteen run in the thread, and twice as many each time that
    the one after them is slow again. After the first failure nothing is tried again: a system may
    report a failed sync once and then forget the data.
    """

    _sync: Callable[[], None]
    _written: Callable[[], int]
    """How many records are in the file."""
    _threaded: bool
    synced: int = 0
    """How many records are known to be durable."""
    clock: Callable[[], float] = perf_counter
    failure: Exception | None = None
    """Why the first sync that failed did."""
    _waiting: list["asyncio.Future[bool]"] = attrs.field(factory=list, init=False)
    _running: bool = attrs.field(default=False, init=False)
    _thread: ThreadPoolExecutor | None = attrs.field(default=None, init=False)
    _in_thread: int = attrs.field(default=1, init=False)
    """How many of the next syncs run in the thread."""
    _next_trial: int = attrs.field(default=_TRIED_AGAIN_AFTER, init=False)
    """How many will after the next slow one on the loop."""

    def coming(self) -> "asyncio.Future[bool]":
        """Return what becomes true once all that is written by now is durable, false where that failed."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(waiter)
        if not self._running:
            self._running = True
            loop.call_soon(self._begin)  # not at once: what else is ready to append shares the sync
        return waiter

    def close(self) -> None:
        """End the thread, make the rest durable here, and tell everyone who still waits."""
        if self._thread is not None:
            self._thread.shutdown(wait=True)
        if self.failure is None and self.synced < self._written():
            self._sync_now(self._written())
        self._tell(self._waiting)
        self._waiting = []

    def _begin(self) -> None:
        batch, self._waiting = self._waiting, []
        if not batch:
            self._running = False
            return
        written = self._written()
        if not self._threaded or self._in_thread == 0:
            began = self.clock()
            self._sync_now(written)
            # Measured here alone: in the thread the wait for the interpreter's lock would count, too.
            if self.clock() - began > _QUICK_SECONDS:
                self._in_thread = self._next_trial
                self._next_trial = min(2 * self._next_trial, _LONGEST_TRIAL)
            else:
                self._next_trial = _TRIED_AGAIN_AFTER
            self._finish(batch)
            return
        self._in_thread -= 1
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="sunwell-journal")
        done = asyncio.get_running_loop().run_in_executor(self._thread, self._sync_now, written)
        done.add_done_callback(lambda _: self._finish(batch))

    def _sync_now(self, written: int) -> None:
        if self.failure is not None:
            return
        try:
            self._sync()
        except Exception as error:  # whatever it is, nobody may be told that all is well
            self.failure = error
        else:
            self.synced = written

    def _finish(self, batch: "list[asyncio.Future[bool]]") -> None:
        self._tell(batch)
        self._begin()

    def _tell(self, batch: "list[asyncio.Future[bool]]") -> None:
        for waiter in batch:
            if not waiter.done() and not waiter.get_loop().is_closed():
                waiter.set_result(self.failure is None)
