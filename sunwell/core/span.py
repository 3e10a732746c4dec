"""Spans: where in a run something happens, as a path that is the same each time the run is resumed."""

import attrs


@attrs.frozen
class Span:
    """A node in the tree of a run, named after its parent and a tool-call id or batch index.

    A span's path never depends on chance or time. So the key of a call, which is the path and the number
    of the call in the span, finds the recorded answer in whatever order workers finish. Concurrent calls
    need separate spans.
    """

    path: str = "run"
    depth: int = 0
    """Nesting of workers: the root is 0, a worker started by it is 1."""

    def child(self, name: str) -> "Span":
        """Return the span of a part of this work at the same depth."""
        return Span(f"{self.path}/{_escape(name)}", self.depth)

    def worker(self, name: str) -> "Span":
        """Return the span of a worker that is started here, one level deeper."""
        return Span(f"{self.path}/{_escape(name)}", self.depth + 1)

    def __str__(self) -> str:
        return self.path


def _escape(name: str) -> str:
    return name.replace("%", "%25").replace("/", "%2F")
