import errno
import os
from decimal import Decimal

import attrs
import pytest

from sunwell.core import Completion, Text, Usage
from sunwell.journal.records import Answer, Intent, Note, RunOpened

BLOCK_BYTES = 64  # small against a line, so that a loss of power tears lines in many ways


@attrs.define(eq=False)
class FakeDisk:
    """A file in memory that can lose power, fill up, and fail to sync."""

    content: bytearray = attrs.field(factory=bytearray, converter=bytearray)
    threaded: bool = False
    boot: str = "first"
    """Which start of the machine it is; whatever survives a loss of power finds another one."""
    capacity: int | None = None
    operations_left: int | None = None
    """Writes and syncs until the power fails; ``None``: it does not."""
    sync_error: Exception | None = None
    durable_size: int = 0
    syncs: int = 0
    kept: list = attrs.field(factory=list)
    allocated_to: int = 0
    events: list = attrs.field(factory=list)
    closed: bool = False

    def size(self):
        return len(self.content)

    def read(self, offset, size):
        return bytes(self.content[offset : offset + size])

    def write(self, data):
        if not self._powered():
            self.content += data[: len(data) // 2]
            raise OSError(errno.EIO, "no power")
        room = len(data) if self.capacity is None else self.capacity - len(self.content)
        self.content += data[: max(0, room)]
        if room < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self):
        self.syncs += 1
        if not self._powered():
            raise OSError(errno.EIO, "no power")
        if self.sync_error is not None:
            raise self.sync_error
        self.durable_size = len(self.content)
        self.events.append("sync")

    def truncate(self, size):
        del self.content[size:]
        self.durable_size = min(self.durable_size, size)
        self.allocated_to = size
        self.events.append("truncate")

    def allocate(self, offset, size):
        if self.capacity is not None and offset + size > self.capacity:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.allocated_to = max(self.allocated_to, offset + size)

    def set_aside(self, data):
        self.kept.append(data)
        self.events.append("set aside")

    def close(self):
        self.closed = True

    def survivor(self, length, lost_blocks=()):
        """Return what is left of the file: blocks past the last sync may be gone, in any order."""
        start = self.durable_size
        tail = self.content[start : start + length]
        for block in lost_blocks:
            here = slice(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES)
            tail[here] = bytes(len(tail[here]))
        return FakeDisk(self.content[:start] + tail, boot=f"{self.boot}-and-next")

    def _powered(self):
        if self.operations_left is None:
            return True
        self.operations_left -= 1
        return self.operations_left >= 0


@pytest.fixture(scope="session")
def fake_disk():
    """The class of a file in memory that can lose power, fill up, and fail to sync."""
    return FakeDisk


@pytest.fixture
def opened():
    return RunOpened("r1", "write it", 1000.0)


@pytest.fixture
def note():
    """Makes the note with a number, of a given size."""
    return lambda number, size=10: Note("run", str(number), "x" * size)


@pytest.fixture
def intent():
    def make(span="run", number=0, attempt=1, *, depth=0, model="haiku", usd="0.01", at=1000.0):
        reserved = None if usd is None else Decimal(usd)
        return Intent(span, number, attempt, "work", model, depth, "d", 100, 500, reserved, at)

    return make


@pytest.fixture
def answer():
    def make(span="run", number=0, attempt=1, *, depth=0, model="haiku", usd="0.001", at=1001.5, **other):
        usage = other.pop("usage", Usage(10, 5))
        completion = Completion((Text(f"answer of {span}"),), "end", usage, model)
        cost = None if usd is None else Decimal(usd)
        return Answer(span, number, attempt, "work", depth, "d", completion, cost, 1.5, at)

    return make
