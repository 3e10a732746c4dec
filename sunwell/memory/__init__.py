"""What outlives a turn or a run."""

from sunwell.memory.scratchpad import Entry, Scratchpad, entries_of

__all__ = ["Entry", "Scratchpad", "entries_of"]
