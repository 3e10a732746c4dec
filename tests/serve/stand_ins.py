"""A small reducer and a small page, for tests of the server before the real ones are there."""

import json
from decimal import Decimal

import attrs

from sunwell.journal.records import Answer, Intent, Note, Record, RunClosed, RunOpened
from sunwell.report.page.page_data import (
    BillRow,
    BillTables,
    JournalHealth,
    PageData,
    PageText,
    RunCost,
    RunHead,
    TokenCounts,
)

ROW = BillRow("all", 0, TokenCounts(), *[Decimal(0)] * 8)


@attrs.define(eq=False)
class StandInReducer:
    records: int = 0
    run_id: str = ""
    status: str = "open"
    texts: dict[str, PageText] = attrs.field(factory=dict)
    calls: dict[str, str] = attrs.field(factory=dict)

    def take(self, record: Record) -> None:
        self.records += 1
        match record:
            case RunOpened():
                self.run_id = record.run_id
            case RunClosed():
                self.status = "ok"
            case Intent():
                self.texts[f"{record.span}:{record.number}"] = PageText("open")
            case Answer():
                self.texts[f"{record.span}:{record.number}"] = PageText(record.completion.text)
            case Note():
                self.texts[f"note {record.key}"] = PageText(repr(record.value))

    def data(self) -> PageData:
        zero = Decimal(0)
        head = RunHead(
            self.run_id, "", self.status, "", "", "", "", 0.0, 0.0, (), "", "", "", None, "", (), "", ""
        )
        cost = RunCost(zero, zero, zero, zero, None, zero, TokenCounts(), 0, 0, 0, 0, 0, 0, None, None, "")
        health = JournalHealth("", self.records, 0, 0, ())
        bill = BillTables(ROW, (), (), (), ())
        return PageData(
            head, cost, bill, health, (), {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, dict(self.texts)
        )


def plain(value):
    found = attrs.asdict(value, value_serializer=lambda _, __, v: str(v) if isinstance(v, Decimal) else v)
    return json.loads(json.dumps(found))


def patch(before, after):
    old, new = {} if before is None else plain(before), plain(after)
    found = {}
    for section, value in new.items():
        if value == old.get(section):
            continue
        if isinstance(value, dict) and section not in ("head", "cost", "bill", "health"):
            was = old.get(section, {})
            found[section] = {k: v for k, v in value.items() if was.get(k) != v} | {
                k: None for k in was if k not in value
            }
        else:
            found[section] = value
    return found


def patched(base, patch):
    from sunwell.serve.followed_run import ENTRIES

    made = {section: {} for section in ENTRIES} | base
    for section, value in patch.items():
        if section in ENTRIES:
            entries = {**made.get(section, {}), **value}
            made[section] = {k: v for k, v in entries.items() if v is not None}
        else:
            made[section] = value
    return made
