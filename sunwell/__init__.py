"""Think once, generate many."""
