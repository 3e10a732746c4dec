"""Runs from outside: opened, taken up again, replayed, forked, held against the code of today."""
