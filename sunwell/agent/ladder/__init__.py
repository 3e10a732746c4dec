"""The ladder: a task climbs from cheap to dear ways of doing it, with a check after each."""
