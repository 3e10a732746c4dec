"""Sends finished bodies over the connections of an SDK's client."""

from typing import Any

import attrs


@attrs.define(eq=False)
class Sender:
    """An SDK's client, and the way to send a body with it that is finished already.

    The SDK says where a request goes and with what headers, authentication among them, once for
    each path. What it would do anew for every body and every answer costs more than the rest of a
    call, and is left out: a request is its address, its headers and the body.
    """

    client: Any
    """The SDK's own client."""
    _http: Any
    """The ``httpx2`` client that it was given."""
    _options: dict[str, Any] = attrs.field(factory=dict)
    """What the SDK wants to be told with each request."""
    _heads: dict[str, Any] = attrs.field(factory=dict, init=False)
    """For each path a request without a body."""
    _extensions: dict[str, Any] = attrs.field(init=False)

    @_extensions.default
    def _time_limits(self) -> dict[str, Any]:
        return {"timeout": self._http.timeout.as_dict()}

    async def post(self, path: str, body: bytes) -> Any:
        """Send *body* and return the ``httpx2`` response, whatever its status, before its body is read."""
        import httpx2

        head = self._heads.get(path)
        if head is None:
            head = self._heads[path] = await self._head(path)
        request = httpx2.Request(
            "POST", head.url, headers=head.headers, content=body, extensions=self._extensions
        )
        return await self._http.send(request, stream=True)

    async def _head(self, path: str) -> Any:
        """Have the SDK make a request to *path*, and catch it in place of sending it."""
        import httpx2

        made: list[httpx2.Request] = []

        def caught(request: httpx2.Request) -> httpx2.Response:
            made.append(request)
            return httpx2.Response(200)

        async with httpx2.AsyncClient(transport=httpx2.MockTransport(caught)) as nowhere:
            client = self.client.copy(http_client=nowhere)
            # As a stream, like every request here: a header of the SDK says which it is.
            await client.post(
                path, cast_to=httpx2.Response, content=b"{}", options=self._options, stream=True
            )
        del made[0].headers["content-length"]  # each body has its own
        return made[0]
