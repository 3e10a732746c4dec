"""Data that is kept after a turn or a run."""

from sunwell.memory.scratchpad import Scratchpad, ScratchpadEntry, entries_of

__all__ = ["Scratchpad", "ScratchpadEntry", "entries_of"]
