"""What a loss of power may have taken from the record of a run."""

import functools
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from uuid import UUID

import attrs

from sunwell.journal.records import Forked, Leeway, Record, RunClosed, RunResumed

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@functools.cache
def boot_id() -> str:
    """Return what names this start of the machine; empty where the system does not say.

    What was written to a file survives every end of a process. It may be lost only if the machine itself
    stops, and then the next start has another name. Only Linux is asked. The name is a digest of what
    Linux says, which other programs may use for purposes of their own.
    """
    with suppress(OSError):
        return named(_BOOT_ID.read_bytes())
    return ""


def named(said: bytes) -> str:
    """Return the name of the start of which Linux *said* a UUID; empty if that names nothing."""
    try:
        is_one = UUID(said.decode("ascii").strip()).int != 0
    except ValueError:
        is_one = False
    return blake2b(said, digest_size=8, person=b"sunwell").hexdigest() if is_one else ""


@attrs.define(eq=False)
class PowerLosses:
    """Follows the records of a run, and tells what may be missing among them.

    While a run goes on, its leeway may be sent before the disk has the intents. If the machine stops then,
    nobody knows how much of it was used. The leeway is settled once the run ends in good order, or is taken
    up before the machine starts anew.
    """

    lost: list[Leeway] = attrs.field(factory=list)
    """Those of processes that the machine stopped: each may have been used in full."""
    _latest: Leeway | None = None
    """That of the latest process, unless it is settled."""

    def see(self, record: Record) -> None:
        """Take note of *record*; records come in order."""
        if isinstance(record, Leeway):
            self._latest = record
        elif isinstance(record, RunResumed):
            self.lost += self._left_at(record.boot)
            self._latest = None
        elif isinstance(record, RunClosed):
            self._latest = None
        elif isinstance(record, Forked):  # what was copied counts for the other run
            self.lost.clear()
            self._latest = None

    def until(self, boot: str) -> tuple[Leeway, ...]:
        """Return what may have been used and is not on record, if the machine has now started as *boot*.

        That is :attr:`lost`, and the leeway of the latest process if *boot* is not the start that it had.
        """
        return (*self.lost, *self._left_at(boot))

    def _left_at(self, boot: str) -> tuple[Leeway, ...]:
        latest = self._latest
        return () if latest is None or latest.boot == boot else (latest,)


def missing_calls(lost: Leeway) -> str:
    """Return a sentence on what the record of a run may lack."""
    return (
        "since the run was left, the machine was started anew or is another one, or its disk failed: the "
        f"record may lack the latest calls, so up to {lost.calls} calls and ${lost.usd:,.4f} count as "
        "unconfirmed"
    )
