"""Checks: commands, schemas, judges and rules about files, which say whether a result stands."""
