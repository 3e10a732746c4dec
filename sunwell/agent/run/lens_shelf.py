"""Where a run finds lenses of earlier runs, and what it compares before it takes one."""

from collections.abc import Callable, Sequence

import attrs

from sunwell.core.model import ModelProtocol
from sunwell.memory.lens_store import LensStore
from sunwell.models.connection import Connection


@attrs.frozen
class LensShelf:
    """The store of lenses as one run uses it. All of it blocks: it is used in a thread."""

    store: LensStore
    scope: str
    """Hash of the path of the run's workspace."""
    hashes: Callable[[Sequence[str]], Sequence[str | None]]
    """Gives the SHA-256 of each file as it stands; ``None`` if there is none, or it is hidden from models."""


def lasting_name(model: ModelProtocol) -> str | None:
    """Return under which name later runs know *model*: its provider and id, and its host if that is another.

    A model of the same name at another address, such as a simulator's, is another model. ``None`` if it is an
    object of the caller's own: nobody can tell whether a later one is the same.
    """
    connection = getattr(model, "connection", None)
    if not isinstance(connection, Connection):
        return None
    from urllib.parse import urlsplit  # most runs keep no lens

    host = urlsplit(connection.base_url or "").netloc.rpartition("@")[2]
    name = f"{connection.provider}/{model.name}"
    return f"{name}@{host}" if host else name
