"""The run as an append-only file: write, read, look up, tree."""

from sunwell.journal.disk import Disk, PosixDisk
from sunwell.journal.file import FileJournal
from sunwell.journal.layout import RunFile, find_run, journal_path, list_runs, new_run_id
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.protocol import Journal
from sunwell.journal.reading import Repair, read_records

__all__ = [
    "Disk",
    "FileJournal",
    "Journal",
    "MemoryJournal",
    "PosixDisk",
    "Repair",
    "RunFile",
    "find_run",
    "journal_path",
    "list_runs",
    "new_run_id",
    "read_records",
]
