"""The application: a request in, a response out."""

from dataclasses import replace

from shop.clock import SystemClock
from shop.context import Clock, Shop
from shop.errors import ApiError
from shop.http import Request, Response
from shop.router import Router
from shop.routes import ENDPOINTS
from shop.store import Store


class App:
    """A shop that answers requests; ``store`` and ``clock`` may be given for tests."""

    def __init__(self, store: Store | None = None, clock: Clock | None = None) -> None:
        self.shop = Shop(store or Store(), clock or SystemClock())
        self._router = Router()
        for module in ENDPOINTS:
            module.register(self._router)

    def handle(self, request: Request) -> Response:
        """Answer *request*; what a handler refuses becomes a response with its status and a sentence."""
        try:
            handler, params = self._router.find(request.method, request.path)
            return handler(self.shop, replace(request, params=params))
        except ApiError as error:
            return Response(error.status, {"error": error.code, "message": error.message})
