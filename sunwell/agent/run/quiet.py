"""Keeps writing and checking apart: a check looks at files that nobody is changing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs


@attrs.define(eq=False)
class Quiet:
    """Many may write at the same time, or one may check. Whoever wants to check goes first."""

    _writing: int = attrs.field(default=0, init=False)
    _checks: int = attrs.field(default=0, init=False)
    """Checks that run or wait."""
    _is_checking: bool = attrs.field(default=False, init=False)
    _changed: asyncio.Condition = attrs.field(factory=asyncio.Condition, init=False)

    def writing(self) -> AbstractAsyncContextManager[None]:
        """Let the body change files; wait until no check runs or waits."""
        return _Writing(self)

    @asynccontextmanager
    async def checking(self) -> AsyncIterator[None]:
        """Let the body check; wait until nobody writes and no other check runs."""
        self._checks += 1
        has_turn = False
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._writing and not self._is_checking)
                self._is_checking = has_turn = True
            yield
        finally:
            self._checks -= 1
            if has_turn:
                self._is_checking = False
            await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@attrs.frozen
class _Writing:
    """The body of one writer: a class of its own, since every call of a tool that may write has one."""

    _quiet: Quiet

    async def __aenter__(self) -> None:
        quiet = self._quiet
        if quiet._checks:
            async with quiet._changed:
                await quiet._changed.wait_for(lambda: not quiet._checks)
                quiet._writing += 1
        else:  # nearly always: nobody to wait for, and nobody can come between
            quiet._writing += 1

    async def __aexit__(self, *error: Any) -> None:
        self._quiet._writing -= 1
        if self._quiet._checks:  # else nobody waits for it
            await self._quiet._tell()
