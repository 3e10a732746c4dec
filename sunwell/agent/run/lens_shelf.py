"""Where a run finds lenses of earlier runs, and what it compares before it takes one."""

from collections.abc import Callable, Sequence

import attrs

from sunwell.core.model import ModelProtocol
from sunwell.memory.lens_store import LensStore
from sunwell.models.connection import Connection
from sunwell.models.prices import known_as


@attrs.frozen
class LensShelf:
    """The store of lenses as one run uses it. All of it blocks: it is used in a thread."""

    store: LensStore
    scope: str
    """Hash of the path of the run's workspace."""
    hashes: Callable[[Sequence[str]], Sequence[str | None]]
    """Gives the SHA-256 of each file as it stands; ``None`` if there is none, or it is hidden from models."""


def lasting_name(model: ModelProtocol) -> str | None:
    """Return under which name later runs know *model* and its provider.

    ``None`` if it is an object of the caller's own: nobody can tell whether a later one is the same.
    """
    connection = getattr(model, "connection", None)
    return f"{connection.provider}/{known_as(model)}" if isinstance(connection, Connection) else None
