"""One run while it goes on: its settings, its journal, ledger and door, its events and files."""
