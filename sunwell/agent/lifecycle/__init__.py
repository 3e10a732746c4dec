"""Runs from outside: opened, resumed, replayed, forked, and compared with the installed version."""
