"""What must survive a loss of power before anybody relies on it."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.errors import BadRequest
from sunwell.gateway import RetryPolicy
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.protocol import Durability
from sunwell.journal.records import Record
from sunwell.testing import ScriptedModel, run_virtual

INTENT = ("intent", True)


@attrs.define(eq=False)
class Noting:
    """A journal that notes which records were to be durable, and when."""

    durable: list[tuple[str, object]] = attrs.field(factory=list)
    inner: MemoryJournal = attrs.field(factory=lambda: MemoryJournal("noting"))
    run_id: str = "noting"
    path: Path | None = None

    async def append(self, record: Record, *, durable: Durability = True) -> None:
        await self.inner.append(record)
        if durable:
            self.durable.append((record.kind, durable))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        pytest.param("Yes.", [INTENT, ("answer", "soon")], id="answered"),
        pytest.param(BadRequest("haiku", "no"), [INTENT, ("failure", True)], id="failed"),
    ],
)
def test_nothing_is_sent_before_it_is_on_record_for_good(open_door, line, kinds) -> None:
    """The intent is durable when the model is asked, and so is a failure; an answer a moment later."""
    journal = Noting()
    door = open_door(journal=journal, retry=RetryPolicy(attempts=1))
    before: list[list[tuple[str, object]]] = []

    def say(_: object) -> Any:
        before.append(list(journal.durable))
        if isinstance(line, Exception):
            raise line
        return line

    with suppress(BadRequest):
        run_virtual(door.ask(ScriptedModel("haiku", [say])))
    assert before == [[INTENT]]
    assert journal.durable == kinds
