"""Keeps writing and checking apart: a check looks at files that nobody is changing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs


@attrs.define(eq=False)
class Quiet:
    """Many may write at the same time, or one may check. Whoever wants to check goes first."""

    _writing: int = attrs.field(default=0, init=False)
    _checks: int = attrs.field(default=0, init=False)
    """Checks that run or wait."""
    _is_checking: bool = attrs.field(default=False, init=False)
    _changed: asyncio.Condition = attrs.field(factory=asyncio.Condition, init=False)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Let the body change files; wait until no check runs or waits."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._checks)
            self._writing += 1
        try:
            yield
        finally:
            self._writing -= 1
            await self._tell()

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
