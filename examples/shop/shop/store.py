"""The tables, in memory."""

from typing import Any


class Table:
    """Records by id, in the order in which they came."""

    def __init__(self) -> None:
        self._records: dict[str, Any] = {}

    def insert(self, record: Any) -> None:
        """Keep *record* under its id."""
        self._records[record.id] = record

    def get(self, record_id: str) -> Any | None:
        """Return the record, also one that is marked as deleted; ``None`` where there is none."""
        return self._records.get(record_id)

    def remove(self, record_id: str) -> None:
        """Forget the record."""
        del self._records[record_id]

    def all(self) -> list[Any]:
        """Return every record, also those that are marked as deleted."""
        return list(self._records.values())


class Store:
    """All tables, made when they are first asked for, and the numbers for new ids."""

    def __init__(self) -> None:
        self._tables: dict[str, Table] = {}
        self._last_number = 0

    def table(self, name: str) -> Table:
        """Return the table called *name*."""
        return self._tables.setdefault(name, Table())

    def next_number(self) -> int:
        """Return a number that was not given out before."""
        self._last_number += 1
        return self._last_number

    def new_id(self, prefix: str) -> str:
        """Return an id that was not given out before, such as ``cus_000042``."""
        return f"{prefix}_{self.next_number():06d}"
