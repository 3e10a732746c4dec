"""What must survive a loss of power before anybody relies on it."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.errors import BadRequest
from sunwell.gateway import RetryPolicy
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.records import Record
from sunwell.testing import ScriptedModel, run_virtual


@attrs.define(eq=False)
class Noting:
    """A journal that notes which records were to be durable."""

    durable: list[str] = attrs.field(factory=list)
    inner: MemoryJournal = attrs.field(factory=lambda: MemoryJournal("noting"))
    run_id: str = "noting"
    path: Path | None = None

    async def append(self, record: Record, *, durable: bool = True) -> None:
        await self.inner.append(record)
        if durable:
            self.durable.append(record.kind)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        pytest.param("Yes.", ["intent", "answer"], id="answered"),
        pytest.param(BadRequest("haiku", "no"), ["intent", "failure"], id="failed"),
    ],
)
def test_nothing_is_sent_or_used_before_it_is_on_record_for_good(open_door, line, kinds) -> None:
    """The intent is durable when the model is asked, the answer when it is given back."""
    journal = Noting()
    door = open_door(journal=journal, retry=RetryPolicy(attempts=1))
    before: list[list[str]] = []

    def say(_: object) -> Any:
        before.append(list(journal.durable))
        if isinstance(line, Exception):
            raise line
        return line

    with suppress(BadRequest):
        run_virtual(door.ask(ScriptedModel("haiku", [say])))
    assert before == [["intent"]]
    assert journal.durable == kinds
