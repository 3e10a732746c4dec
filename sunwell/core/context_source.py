"""Sources of context: what finds passages for a question. No model is asked by any of them."""

from pathlib import Path
from typing import Protocol, runtime_checkable


@runtime_checkable
class ContextSource(Protocol):
    """Finds what is relevant to a question: a folder's index, or a server.

    It raises :exc:`~sunwell.errors.ToolError` with a sentence if it cannot answer; anything else that it
    raises is a bug. A caller cuts what is too long, and stops waiting at a limit of its own. A source that
    holds something open has ``async aclose()``, which is awaited at the end of each run; a later query may
    open it again.
    """

    @property
    def name(self) -> str:
        """What models and users call it: a short name that is unique in a run."""
        ...

    async def context_query(self, query: str, most_tokens: int) -> str:
        """Return the passages that fit *query* best, the best first, in about *most_tokens*; empty for none.

        *query* is free text, perhaps a model's: no syntax is assumed.
        """
        ...


@runtime_checkable
class ContextSourceMaker(Protocol):
    """Makes a source for each run: what a source needs that starts a program, or that holds a connection."""

    @property
    def name(self) -> str:
        """The name of each source that is made."""
        ...

    def for_run(self, root: Path) -> ContextSource:
        """Return the source of one run in the workspace *root*. Nothing is started or asked yet."""
        ...


@runtime_checkable
class DocumentSource(ContextSource, Protocol):
    """A source that also gives a whole document."""

    async def load_document(self, name: str) -> str:
        """Return the document *name* of this source. Raises :exc:`~sunwell.errors.ToolError` for none."""
        ...
