"""A request and a response as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    """One HTTP request. ``params`` holds what stood in the place of ``{names}`` in the route."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    """One HTTP response. ``body`` is what JSON can hold; ``None`` is an empty body."""

    status: int
    body: Any = None
