"""What a handler raises when a request cannot be served; the application turns it into a response."""


class ApiError(Exception):
    """A request that cannot be served. ``status`` is the HTTP status, ``code`` the word for machines."""

    status = 500
    code = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotFound(ApiError):
    """There is nothing under this address."""

    status = 404
    code = "not_found"


class MethodNotAllowed(ApiError):
    """The address exists, but not for this method."""

    status = 405
    code = "method_not_allowed"


class Unprocessable(ApiError):
    """The request was understood, and what it says cannot be accepted."""

    status = 422
    code = "unprocessable"
