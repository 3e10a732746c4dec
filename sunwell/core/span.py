"""Where in a run something happens: a path that is the same each time the run is taken up again."""

import attrs


@attrs.frozen
class Span:
    """A node in the tree of a run, named from its parent and a tool-call id or batch index.

    A span's path never comes from chance or time, so the key of a call, the path and the call's
    place in the span, finds the recorded answer whatever order workers finish in. Calls that run
    side by side need spans of their own.
    """

    path: str = "run"
    depth: int = 0
    """Nesting of workers: the root is 0, a worker that it starts is 1."""

    def child(self, name: str) -> "Span":
        """Return the span of a part of this work at the same depth."""
        return Span(f"{self.path}/{_escape(name)}", self.depth)

    def worker(self, name: str) -> "Span":
        """Return the span of a worker that this span starts, one level deeper."""
        return Span(f"{self.path}/{_escape(name)}", self.depth + 1)

    def __str__(self) -> str:
        return self.path


def _escape(name: str) -> str:
    return name.replace("%", "%25").replace("/", "%2F")
