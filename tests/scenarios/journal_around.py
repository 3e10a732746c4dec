"""A journal around another one, for tests that look at it or break it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import attrs

from sunwell.journal.protocol import Durability, Journal
from sunwell.journal.records import Key, Record

R = TypeVar("R", bound=Record)


@attrs.define(eq=False)
class JournalAround:
    """Passes everything on to the journal that is in it."""

    inner: Journal

    @property
    def run_id(self) -> str:
        return self.inner.run_id

    @property
    def path(self) -> Path | None:
        return self.inner.path

    @property
    def boot(self) -> str:
        return self.inner.boot

    @property
    def count(self) -> int:
        return self.inner.count

    @property
    def synced(self) -> int:
        return self.inner.synced

    async def append(self, record: Record, *, durable: Durability = True) -> None:
        await self.inner.append(record, durable=durable)

    async def reserve_space(self, size_bytes: int) -> None:
        await self.inner.reserve_space(size_bytes)

    def find(self, kind: type[R], key: Key) -> R | None:
        return self.inner.find(kind, key)

    def has(self, kind: type[Record]) -> bool:
        return self.inner.has(kind)

    def records(self) -> Iterator[Record]:
        return self.inner.records()

    def close(self) -> None:
        self.inner.close()
