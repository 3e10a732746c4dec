"""From a method and a path to a handler."""

from collections.abc import Callable
from dataclasses import dataclass

from shop.context import Shop
from shop.errors import MethodNotAllowed, NotFound
from shop.http import Request, Response

Handler = Callable[[Shop, Request], Response]


class Router:
    """Routes in the order in which they were added; ``{name}`` matches one segment of a path."""

    def __init__(self) -> None:
        self._routes: list[_Route] = []

    def add(self, method: str, pattern: str, handler: Handler) -> None:
        """Send *method* on *pattern* to *handler*."""
        self._routes.append(_Route(method, _segments(pattern), handler))

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]]:
        """Return the handler and its params, or raise ``NotFound`` or ``MethodNotAllowed``."""
        segments = _segments(path)
        matches = [(route, params) for route in self._routes if (params := route.match(segments)) is not None]
        for route, params in matches:
            if route.method == method:
                return route.handler, params
        if matches:
            raise MethodNotAllowed(f"{method} is not served on {path}")
        raise NotFound(f"nothing is served on {path}")


@dataclass(frozen=True)
class _Route:
    method: str
    pattern: tuple[str, ...]
    handler: Handler

    def match(self, segments: tuple[str, ...]) -> dict[str, str] | None:
        if len(segments) != len(self.pattern):
            return None
        params = {}
        for expected, got in zip(self.pattern, segments):
            if expected.startswith("{"):
                params[expected.strip("{}")] = got
            elif expected != got:
                return None
        return params


def _segments(path: str) -> tuple[str, ...]:
    return tuple(path.strip("/").split("/"))
